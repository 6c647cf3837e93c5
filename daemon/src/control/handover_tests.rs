//! Both sides of a handover, and sides that lie.

use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream as Blocking};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

/// A socket on which `old` plays the running edge, and what a new one gets from it.
fn against(name: &str, old: impl FnOnce(Blocking) + Send + 'static) -> Result<usize, String> {
    let path = std::env::temp_dir().join(format!("ravelin-handover-{}-{name}", std::process::id()));
    let _not_there = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let playing = thread::spawn(move || old(listener.accept().unwrap().0));
    let taken = take(&path);
    let outcome = taken.map(|(descriptors, handover)| {
        drop(handover);
        descriptors.len()
    });
    playing.join().unwrap();
    std::fs::remove_file(path).unwrap();
    outcome.map_err(|error| crate::causes::chain(&error))
}

fn answer(stream: &mut Blocking, text: &str) {
    read_line(stream).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.write_all(b"\n").unwrap();
}

fn offer(count: usize) -> String {
    format!(r#"{{"version":1,"answer":"offered","handover":1,"sockets":{count}}}"#)
}

/// Plays the real old side with `count` descriptors; says whether it learnt of being relieved.
fn really(count: usize, taken: Arc<AtomicBool>) -> impl FnOnce(Blocking) + Send + 'static {
    move |mut stream| {
        answer(&mut stream, &offer(count));
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut stream = BufReader::new(UnixStream::from_std(stream).unwrap());
            let descriptors = (0..count)
                .map(|_| File::open("/dev/null").unwrap().into())
                .collect();
            let offer = Offer {
                descriptors,
                taken: Box::new(move || taken.store(true, Ordering::Relaxed)),
                until_the_end: Box::new(()),
            };
            give(&mut stream, offer).await;
        });
    }
}

#[test]
fn as_many_descriptors_arrive_as_were_sent_over_several_messages() {
    for count in [0, 1, PER_MESSAGE, PER_MESSAGE + 1, 3 * PER_MESSAGE - 1] {
        let taken = Arc::new(AtomicBool::new(false));
        assert_eq!(against("count", really(count, Arc::clone(&taken))), Ok(count));
        assert!(
            !taken.load(Ordering::Relaxed),
            "the new process ended before it served"
        );
    }
}

#[test]
fn the_old_process_leaves_when_the_new_one_serves() {
    let path = std::env::temp_dir().join(format!("ravelin-handover-{}-done", std::process::id()));
    let _not_there = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let left = Arc::new(AtomicBool::new(false));
    let old = really(2, Arc::clone(&left));
    let playing = thread::spawn(move || old(listener.accept().unwrap().0));
    let (_, handover) = take(&path).unwrap();
    handover.taken().unwrap();
    assert!(left.load(Ordering::Relaxed));
    playing.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_number_that_is_a_lie_is_not_believed() {
    for count in [MOST + 1, usize::MAX] {
        let error = against("many", move |mut stream| answer(&mut stream, &offer(count))).unwrap_err();
        assert!(error.contains("at most"), "{error}");
    }
    // One is announced, two come.
    let error = against("lie", |mut stream| {
        answer(&mut stream, &offer(1));
        read_line(&mut stream).unwrap();
        let null = File::open("/dev/null").unwrap();
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let two = [null.as_fd(), null.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&two)));
        sendmsg(&stream, &[IoSlice::new(b"+")], &mut control, SendFlags::empty()).unwrap();
    });
    assert!(
        error.clone().unwrap_err().contains("more descriptors came"),
        "{error:?}"
    );
}

#[test]
fn bytes_without_descriptors_an_end_and_garbage_are_errors() {
    let error = against("bytes", |mut stream| {
        answer(&mut stream, &offer(1));
        read_line(&mut stream).unwrap();
        stream.write_all(b"+").unwrap();
    });
    assert!(error.unwrap_err().contains("lost on the way"));
    let error = against("end", |mut stream| answer(&mut stream, &offer(3)));
    assert!(error.is_err());
    for text in [
        "",
        "nonsense",
        r#"{"version":1}"#,
        r#"{"version":1,"answer":"offered","handover":1,"sockets":-1}"#,
    ] {
        assert!(
            against("garbage", move |mut stream| answer(&mut stream, text)).is_err(),
            "{text}"
        );
    }
}

#[test]
fn another_version_and_a_refusal_are_told() {
    let other = r#"{"version":1,"answer":"offered","handover":2,"sockets":1}"#;
    let error = against("version", move |mut stream| answer(&mut stream, other)).unwrap_err();
    assert!(error.contains("version 2"), "{error}");
    let no = r#"{"version":1,"answer":"forbidden","error":"uid 5 may not"}"#;
    let error = against("no", move |mut stream| answer(&mut stream, no)).unwrap_err();
    assert!(error.contains("uid 5"), "{error}");
}

#[test]
fn where_nobody_answers_there_is_nothing_to_take_over() {
    let error = take(Path::new("/nonexistent/ravelin.sock")).unwrap_err();
    assert!(matches!(error, HandOverError::Nobody), "{error:?}");
}
