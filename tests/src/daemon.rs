//! The real `ravelin` binary, started, talked to, killed and restarted.
//!
//! A [`Daemon`] owns a [`Home`]; [`Daemon::kill`] and a second [`Daemon::start`] keep it, so pins and state survive as they
//! would on a host. On a panic the log is printed. Knows the command line and the socket protocol, none of the code behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::home::Home;
use crate::netns::{Namespace, expect_success};
use crate::wait;

/// Which halves run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// `ravelin edge`.
    Edge,
    /// `ravelin filter`.
    Filter,
    /// `ravelin run`.
    Both,
}

impl Half {
    const fn command(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Filter => "filter",
            Self::Both => "run",
        }
    }
}

/// A `ravelin` process under test. Stopped on drop.
#[derive(Debug)]
pub struct Daemon {
    half: Half,
    home: Home,
    namespace: Option<PathBuf>,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    variables: Vec<(String, PathBuf)>,
    hook: Option<&'static str>,
    binary: PathBuf,
    child: Option<Child>,
}

/// An edge that another has taken over from: it drains, and ends by itself. Killed on drop.
#[derive(Debug)]
pub struct Relieved(Child);

impl Relieved {
    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn await_end(mut self) -> ExitStatus {
        wait::until("the relieved edge to end", READY, || {
            self.0.try_wait().ok().flatten()
        })
    }
}

impl Drop for Relieved {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Daemon {
    /// A daemon that is not started yet, with `policy` in its folder. Filters get a bpf file system for their pins.
    #[must_use]
    #[track_caller]
    pub fn new(test: &str, half: Half, policy: &str) -> Self {
        let home = Home::new(test);
        home.write("ravelin.toml", policy);
        if half != Half::Edge {
            home.mount_pins();
        }
        Self {
            half,
            home,
            namespace: None,
            arguments: Vec::new(),
            wrapper: Vec::new(),
            variables: Vec::new(),
            hook: None,
            binary: binary(),
            child: None,
        }
    }

    /// The same daemon, whose policies say where what goes out is judged.
    #[must_use]
    pub fn outbound_hook(mut self, hook: &'static str) -> Self {
        self.hook = Some(hook);
        let policy = fs::read_to_string(self.home.policy()).expect("the policy");
        self.write_policy(&policy);
        self
    }

    /// The same daemon, to run inside `namespace`.
    #[must_use]
    pub fn inside(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.path());
        self
    }

    /// The same daemon, with one more argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The same daemon, started by another program: `prlimit --nofile=64`.
    #[must_use]
    pub fn wrapped(mut self, program: &[&str]) -> Self {
        self.wrapper = program.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The same daemon, with an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &Path) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same daemon, of a binary elsewhere.
    #[must_use]
    pub fn running(mut self, binary: PathBuf) -> Self {
        self.binary = binary;
        self
    }

    /// Starts it and waits until it answers on its socket.
    #[must_use]
    #[track_caller]
    pub fn started(mut self) -> Self {
        self.start();
        self
    }

    /// Starts it and waits until it answers on its socket; panics with its log when it does not.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn();
        self.await_ready();
    }

    /// Starts it without waiting.
    #[track_caller]
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "already started");
        self.child = Some(self.command(&[]));
    }

    /// Starts another edge that takes over from this one, and waits until it answers in its place. This is the other one from now on.
    #[track_caller]
    pub fn take_over(&mut self) -> Relieved {
        let old = self.child.take().expect("not started");
        self.child = Some(self.command(&["--take-over"]));
        let pid = self.pid().as_raw();
        wait::until("the new edge to answer", READY, || {
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                panic!("the new edge ended with {status}\n{}", self.logs());
            }
            (ask(&self.home.edge_socket(), "status").ok()?["pid"] == pid).then_some(())
        });
        Relieved(old)
    }

    /// The same for a start that must not succeed; its end.
    #[track_caller]
    pub fn fail_to_take_over(&self) -> ExitStatus {
        let mut new = self.command(&["--take-over"]);
        wait::until("the new edge to end", READY, || new.try_wait().ok().flatten())
    }

    fn command(&self, more: &[&str]) -> Child {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.log())
            .unwrap_or_else(|error| panic!("open the log: {error}"));
        let mut command = self.in_namespace();
        command
            .arg(self.half.command())
            .arg("--config")
            .arg(self.home.policy())
            .arg("--socket")
            .arg(self.home.socket())
            .arg("--pin-dir")
            .arg(self.home.pins().join("ravelin"))
            .arg("--state-dir")
            .arg(self.home.state())
            .args(&self.arguments)
            .args(more)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
            .spawn()
            .unwrap_or_else(|error| panic!("start ravelin: {error}"))
    }

    /// Waits until every half that was started answers `status`.
    #[track_caller]
    pub fn await_ready(&mut self) {
        let sockets = match self.half {
            Half::Edge => vec![self.home.edge_socket()],
            Half::Filter => vec![self.home.socket()],
            Half::Both => vec![self.home.socket(), self.home.edge_socket()],
        };
        let start = Instant::now();
        for socket in sockets {
            wait::until(&format!("an answer on {}", socket.display()), READY, || {
                if let Some(child) = &mut self.child
                    && let Ok(Some(status)) = child.try_wait()
                {
                    panic!("ravelin ended with {status} after {:?}", start.elapsed());
                }
                ask(&socket, "status").ok()
            });
        }
    }

    /// Runs it until it ends by itself: for starts that must be refused.
    #[track_caller]
    pub fn run_to_end(&mut self) -> ExitStatus {
        self.spawn();
        self.await_end()
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("not started");
        let status = wait::until("ravelin to end", READY, || child.try_wait().ok().flatten());
        self.child = None;
        status
    }

    /// The process id.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("not started");
        Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|error| panic!("send {signal}: {error}"));
    }

    /// `kill -9`, and waits until the process is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.await_end();
    }

    /// SIGTERM, and waits until the process has ended by itself.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.await_end()
    }

    /// The folder with everything of this daemon.
    #[must_use]
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// Replaces the policy on disk, in one step.
    #[track_caller]
    pub fn write_policy(&self, policy: &str) {
        let firewall = "[firewall]\n";
        let policy = self.hook.map_or_else(
            || policy.to_owned(),
            |hook| policy.replacen(firewall, &format!("{firewall}outbound_hook = \"{hook}\"\n"), 1),
        );
        self.home.write("ravelin.toml", &policy);
    }

    /// The file of the policy.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.home.policy()
    }

    /// Everything logged so far.
    #[must_use]
    pub fn logs(&self) -> String {
        fs::read_to_string(self.home.log()).unwrap_or_default()
    }

    /// Runs `ravelin COMMAND... --socket ...` against this daemon.
    #[track_caller]
    pub fn ravelin(&self, arguments: &[&str]) -> Output {
        self.ravelin_reading(arguments, "")
    }

    /// As [`Self::ravelin`], with something to read on standard input.
    #[track_caller]
    pub fn ravelin_reading(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.in_namespace();
        command.args(arguments);
        let command_word = arguments.first().copied();
        if !matches!(command_word, Some("explain" | "flows" | "limits")) {
            command.arg("--socket").arg(self.home.socket());
        }
        if matches!(command_word, Some("detach" | "explain" | "flows" | "limits"))
            && !arguments.contains(&"--pin-dir")
        {
            command.arg("--pin-dir").arg(self.home.pins().join("ravelin"));
        }
        command.stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        });
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("run ravelin: {error}"));
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // Beside the reading of what it prints: a full pipe in either direction stops nobody.
            scope.spawn(|| {
                if let Some(mut stdin) = stdin {
                    let _hung_up = stdin.write_all(input.as_bytes());
                }
            });
            child.wait_with_output()
        })
        .unwrap_or_else(|error| panic!("run ravelin: {error}"))
    }

    /// Runs a command that must succeed and print one JSON document.
    #[must_use]
    #[track_caller]
    pub fn json(&self, command: &str) -> Value {
        let output = self.ravelin(&[command, "--format", "json"]);
        expect_success(&format!("ravelin {command}"), &output);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "`ravelin {command}` is not JSON: {error}\n{}",
                String::from_utf8_lossy(&output.stdout)
            )
        })
    }

    /// Packets by rule, from `ravelin rules`.
    #[must_use]
    #[track_caller]
    pub fn rule_packets(&self) -> BTreeMap<String, u64> {
        let rules = self.json("rules");
        let rules = rules["rules"].as_array().expect("a list of rules").iter();
        let entry = |rule: &Value| Some((rule["name"].as_str()?.to_owned(), rule["packets"].as_u64()?));
        rules
            .map(|rule| entry(rule).expect("a name and a count"))
            .collect()
    }

    /// Packets that got `verdict` for `reason`, from `ravelin rules`.
    #[must_use]
    #[track_caller]
    pub fn reason_packets(&self, verdict: &str, reason: &str) -> u64 {
        self.reason_packets_of("inbound", verdict, reason)
    }

    /// The same, of one direction.
    #[must_use]
    #[track_caller]
    pub fn reason_packets_of(&self, direction: &str, verdict: &str, reason: &str) -> u64 {
        let rules = self.json("rules");
        let mut reasons = rules["reasons"].as_array().expect("a list of reasons").iter();
        let found = reasons.find(|entry| {
            entry["direction"] == direction && entry["verdict"] == verdict && entry["reason"] == reason
        });
        found.map_or(0, |entry| entry["packets"].as_u64().expect("a count"))
    }

    /// What the filter says of itself in `ravelin status`.
    #[must_use]
    #[track_caller]
    pub fn filter_status(&self) -> Value {
        self.json("status")["filter"].clone()
    }

    /// A metric that both halves have, of the filter.
    #[must_use]
    #[track_caller]
    pub fn gauge(&self, name: &str) -> f64 {
        // The label tells the filter's value from the edge's, which is served in the same text.
        self.series(&format!("{name}{{half=\"filter\"}}"))
    }

    /// A series of the filter, by its name and labels as they are printed.
    #[must_use]
    #[track_caller]
    pub fn series(&self, series: &str) -> f64 {
        let answer = ask(&self.home.socket(), "metrics").expect("the metrics");
        let text = answer["text"].as_str().expect("a text").to_owned();
        let line = format!("{series} ");
        let value = text
            .lines()
            .find_map(|text| text.strip_prefix(&line)?.parse().ok());
        value.unwrap_or_else(|| panic!("no `{series}` in\n{text}"))
    }

    /// `ravelin reload`, which must be accepted.
    #[track_caller]
    pub fn reload(&self) {
        expect_success("ravelin reload", &self.ravelin(&["reload"]));
    }

    fn in_namespace(&self) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(path) = &self.namespace {
            words.push("nsenter".into());
            words.push(format!("--net={}", path.display()).into());
            words.push("--".into());
        }
        words.extend(self.wrapper.iter().map(OsString::from));
        words.push(self.binary.clone().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let pid = i32::try_from(child.id()).map(Pid::from_raw);
            if let Ok(pid) = pid {
                let _gone = kill(pid, Signal::SIGTERM);
            }
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _gone = child.kill();
            let _gone = child.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "---- log of ravelin {} ----\n{}----",
                self.half.command(),
                self.logs()
            );
        }
    }
}

/// Sends one action to a control socket and gives the line it answers.
///
/// # Errors
///
/// When nobody answers in time.
pub fn ask(socket: &Path, action: &str) -> std::io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(READY))?;
    stream.write_all(format!("{{\"version\":1,\"action\":\"{action}\"}}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(Into::into)
}

/// The `ravelin` binary: `RAVELIN_BIN`, or the one cargo built beside this test.
#[must_use]
#[track_caller]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("RAVELIN_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("the test's own path");
    // A test is target/debug/deps/traffic-0123, the demo target/debug/ravelin-demo; wanted is target/debug/ravelin.
    let mut folders = test.ancestors().skip(1);
    let beside = folders.next().expect("a folder").join("ravelin");
    let above = folders.next().expect("a target folder").join("ravelin");
    let path = if beside.is_file() { beside } else { above };
    assert!(
        path.is_file(),
        "{} does not exist: build it with `cargo build -p ravelin-daemon`, or name it in RAVELIN_BIN",
        path.display()
    );
    path
}

/// Long enough for a busy two-core machine: a wait ends as soon as its condition holds.
const READY: Duration = Duration::from_secs(30);
