//! Takes what the edge wants banned to the filter, over its control socket.
//!
//! `transport::escalation` → queue → **`ban_requests`** → the filter. One request at a time, of many wishes. A filter that is away for a moment
//! is waited for; wishes that grow too old meanwhile are lost, and are asked for again when their sources offend again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::causes::chain;
use crate::control::bans::{Done, NewBan};
use crate::control::client::Connection;
use crate::control::protocol::Request;
use crate::control::{Action, Answer};
use crate::transport::BanWish;

/// Carries wishes until there is nobody left who could have any.
pub(super) async fn carry(socket: PathBuf, wishes: Receiver<BanWish>) {
    carry_until_old(socket, wishes, KEPT).await;
}

async fn carry_until_old(socket: PathBuf, mut wishes: Receiver<BanWish>, kept: Duration) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut away = false;
    while wishes.recv_many(&mut batch, BATCH).await > 0 {
        loop {
            // What was asked for long ago may be about somebody who has been quiet since.
            batch.retain(|wish| wish.age() < kept);
            if batch.is_empty() {
                break;
            }
            match ask(&socket, &batch).await {
                Ok(done) => {
                    if away {
                        tracing::info!("the filter takes bans again");
                    }
                    away = false;
                    settle(std::mem::take(&mut batch), &done);
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(
                            error,
                            "the filter takes no bans; they are tried again for a while"
                        );
                    }
                    away = true;
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Asks once. An error is worth another try.
async fn ask(socket: &Path, batch: &[BanWish]) -> Result<Done, String> {
    let mut request = Request::new(Action::Ban);
    request.ban = batch.iter().map(new_ban).collect();
    let socket = socket.to_owned();
    let asked = spawn_blocking(move || Connection::open(&socket, PATIENCE)?.ask(&request)).await;
    match asked {
        Ok(Ok(Answer::Banned(done))) => Ok(done),
        Ok(Ok(Answer::Failed { error })) => Err(error),
        Ok(Ok(other)) => {
            // A no that another try would not change.
            tracing::warn!(answer = ?other, "the filter refuses bans");
            Ok(all_refused(batch.len()))
        }
        Ok(Err(error)) => Err(chain(&error)),
        Err(stopping) => Err(stopping.to_string()),
    }
}

fn new_ban(wish: &BanWish) -> NewBan {
    NewBan {
        prefix: wish.prefix().to_string(),
        lasts: format!("{}ms", wish.lasts().as_millis()),
        reason: wish.reason(),
    }
}

fn all_refused(count: usize) -> Done {
    let refused = (0..count).map(|index| crate::control::bans::NotDone {
        index,
        error: String::new(),
    });
    Done {
        done: 0,
        refused: refused.collect(),
    }
}

fn settle(batch: Vec<BanWish>, done: &Done) {
    for (index, wish) in batch.into_iter().enumerate() {
        match done.refused.iter().find(|refused| refused.index == index) {
            Some(refused) => {
                tracing::debug!(prefix = %wish.prefix(), error = refused.error, "no ban");
                wish.refused();
            }
            None => {
                tracing::debug!(prefix = %wish.prefix(), reason = wish.reason(), "banned");
                wish.made();
            }
        }
    }
}

/// How many wishes one request has: some 10 of the 64 KiB that a request may have.
const BATCH: usize = 64;

/// A filter that restarts is back by then.
const KEPT: Duration = Duration::from_secs(30);

/// Between two tries: a filter that is away costs a system call or two a second.
const PAUSE: Duration = Duration::from_millis(500);

/// A filter that hangs is given up on.
const PATIENCE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use ravelin_rules::policy::SourceBan;

    use super::*;
    use crate::control::bans::NotDone;
    use crate::control::peer::{Access, Peer, Standing};
    use crate::control::server::{ControlSocket, Handler};
    use crate::metrics::EdgeMetrics;
    use crate::metrics::labels::Offence;
    use crate::transport::BanQueue;
    use crate::transport::escalation::Escalation;

    /// Answers in turn as told; the last answer is for all that comes then. Remembers what it was asked.
    struct Filter {
        answers: Mutex<Vec<Answer>>,
        asked: Mutex<Vec<Vec<NewBan>>>,
    }

    impl Handler for Filter {
        async fn handle(&self, request: Request, _: Peer, _: Standing) -> Answer {
            self.asked.lock().unwrap().push(request.ban);
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 {
                answers.remove(0)
            } else {
                answers[0].clone()
            }
        }
    }

    struct Edge {
        metrics: EdgeMetrics,
        escalation: Arc<Escalation>,
    }

    impl Edge {
        fn new() -> (Self, Receiver<BanWish>) {
            let (queue, wishes) = BanQueue::bounded();
            let metrics = EdgeMetrics::new().unwrap();
            let ban = SourceBan {
                offences: 1,
                window: Duration::from_secs(60),
                lasts: Duration::from_millis(90_500),
            };
            let counters = metrics.listener("web");
            let escalation = Escalation::new("web", ban, queue, counters, Instant::now());
            (Self { metrics, escalation }, wishes)
        }

        fn offends(&self, sources: u32) {
            for number in 0..sources {
                let peer = IpAddr::V4(Ipv4Addr::from_bits(0xc633_6400 + number));
                self.escalation.offended(peer, Offence::NotTls, Instant::now());
            }
        }

        fn count(&self, result: &str) -> Option<u32> {
            let series = format!("ravelin_edge_bans_total{{listener=\"web\",result=\"{result}\"}} ");
            let text = self.metrics.text();
            text.lines()
                .find_map(|line| line.strip_prefix(&series)?.parse().ok())
        }

        async fn comes_to(&self, result: &str, count: u32) {
            let deadline = Instant::now() + Duration::from_secs(20);
            while self.count(result) != Some(count) {
                assert!(Instant::now() < deadline, "{}", self.metrics.text());
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Runs `test` beside a carrier, and a filter that gives `answers`; without any there is no filter.
    fn with_filter<F: Future<Output = ()>>(
        name: &str,
        answers: Vec<Answer>,
        kept: Duration,
        test: impl FnOnce(Edge, Arc<Filter>) -> F,
    ) {
        let directory = std::env::temp_dir().join(format!("ravelin-{name}-{}", std::process::id()));
        let path = directory.join("control.sock");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let silent = answers.is_empty();
            let mut socket = (!silent).then(|| ControlSocket::bind(&path, None).unwrap());
            let filter = Arc::new(Filter {
                answers: Mutex::new(answers),
                asked: Mutex::default(),
            });
            let (edge, wishes) = Edge::new();
            let served = async {
                match &mut socket {
                    Some(socket) => drop(socket.serve(Access::to_edge(), Arc::clone(&filter)).await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = served => panic!("the server ended"),
                () = carry_until_old(path.clone(), wishes, kept) => panic!("the carrier ended"),
                () = test(edge, Arc::clone(&filter)) => {}
            }
        });
        if directory.exists() {
            std::fs::remove_dir(&directory).unwrap();
        }
    }

    fn banned(done: u64, refused: &[usize]) -> Answer {
        let refused = refused.iter().map(|index| NotDone {
            index: *index,
            error: "never banned".to_owned(),
        });
        Answer::Banned(Done {
            done,
            refused: refused.collect(),
        })
    }

    #[test]
    fn many_wishes_are_one_request_and_each_gets_its_own_answer() {
        with_filter(
            "ban-batch",
            vec![banned(8, &[3, 9])],
            KEPT,
            async |edge, filter| {
                edge.offends(10);
                edge.comes_to("made", 8).await;
                edge.comes_to("refused", 2).await;
                let asked = filter.asked.lock().unwrap();
                let [request] = asked.as_slice() else {
                    panic!("{asked:?}")
                };
                let first = NewBan {
                    prefix: "198.51.100.0/32".to_owned(),
                    lasts: "90500ms".to_owned(),
                    reason: "web: not_tls".to_owned(),
                };
                assert_eq!((request.len(), &request[0]), (10, &first));
                assert_eq!(
                    ravelin_rules::read_duration("90500ms"),
                    Some(Duration::from_millis(90_500))
                );
            },
        );
    }

    #[test]
    fn a_filter_that_is_not_ready_is_asked_again_and_one_that_forbids_is_not() {
        let not_ready = Answer::Failed {
            error: "there are no bans yet".to_owned(),
        };
        let answers = vec![not_ready, banned(1, &[])];
        with_filter("ban-again", answers, KEPT, async |edge, filter| {
            edge.offends(1);
            edge.comes_to("made", 1).await;
            assert_eq!(filter.asked.lock().unwrap().len(), 2);
        });
        let forbidden = Answer::Forbidden {
            error: "not you".to_owned(),
        };
        with_filter("ban-forbidden", vec![forbidden], KEPT, async |edge, filter| {
            edge.offends(3);
            edge.comes_to("refused", 3).await;
            edge.offends(3);
            assert_eq!(filter.asked.lock().unwrap().len(), 1);
            assert_eq!((edge.count("made"), edge.count("lost")), (Some(0), Some(0)));
        });
    }

    #[test]
    fn without_a_filter_wishes_grow_old_and_are_asked_for_again() {
        with_filter(
            "ban-nobody",
            Vec::new(),
            Duration::from_millis(20),
            async |edge, _| {
                for round in 1..=2 {
                    edge.offends(3);
                    edge.comes_to("lost", 3 * round).await;
                }
                assert_eq!(edge.count("made"), Some(0));
            },
        );
    }
}
