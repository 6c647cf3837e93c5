//! A program that is talked to: what it says is waited for, and answered.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::wait;

/// A running program with its streams at hand. Killed on drop.
#[derive(Debug)]
pub struct Dialogue {
    program: String,
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Dialogue {
    /// Starts it.
    #[must_use]
    #[track_caller]
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` does not run: {error}"));
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Option<Box<dyn std::io::Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        let readers = streams.into_iter().flatten().map(|mut stream| {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..read]);
                    said.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push_str(&text);
                }
            })
        });
        Self {
            program: program.to_owned(),
            stdin: child.stdin.take(),
            readers: readers.collect(),
            child,
            said,
        }
    }

    /// Writes to its standard input.
    #[track_caller]
    pub fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("not ended");
        let written = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
        written
            .unwrap_or_else(|error| panic!("`{}` does not listen: {error}\n{}", self.program, self.said()));
    }

    /// Waits until it has said this, on either stream.
    #[track_caller]
    pub fn wait_for(&self, text: &str, timeout: Duration) {
        wait::until(&format!("{text:?} in\n{}", self.said()), timeout, || {
            self.said().contains(text).then_some(())
        });
    }

    /// Everything it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes its standard input and waits for its end; everything it has said.
    #[must_use]
    #[track_caller]
    pub fn end(mut self) -> String {
        drop(self.stdin.take());
        self.child.wait().expect("it ends");
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        self.said()
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
