//! The HTTP endpoint: `/metrics`, `/healthz`, `/readyz` and a plain status page.
//!
//! registry → **export** → Prometheus. Bounded in connections, header size and time, because it may face a network; knows no
//! metric by name and no secret to tell.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A source of metrics in Prometheus' text format, asked at each scrape.
pub trait Exposition: Send + Sync + 'static {
    /// The text; empty when the source cannot be reached.
    fn text(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>>;
}

/// What the endpoint tells.
#[derive(Clone)]
pub struct Sources {
    /// Joined in this order. A series two sources tell of is taken from the first.
    pub metrics: Vec<Arc<dyn Exposition>>,
    /// `/readyz`: whether traffic may come, and why not.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// `/`: a few lines of plain text for people.
    pub status: Arc<dyn Fn() -> String + Send + Sync>,
}

/// A running endpoint. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listener: Weak<TcpListener>,
    accepting: JoinHandle<()>,
}

/// Binds `bind` and serves until the [`Server`] is dropped.
///
/// # Errors
///
/// When the address cannot be bound.
pub async fn serve(bind: SocketAddr, sources: Sources) -> io::Result<Server> {
    serve_on(TcpListener::bind(bind).await?, sources)
}

/// The same on a socket that listens already. Must run inside the async runtime.
///
/// # Errors
///
/// When it has no address.
pub fn serve_on(listener: TcpListener, sources: Sources) -> io::Result<Server> {
    let address = listener.local_addr()?;
    let listener = Arc::new(listener);
    Ok(Server {
        address,
        listener: Arc::downgrade(&listener),
        accepting: tokio::spawn(accept(listener, sources)),
    })
}

impl Server {
    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its socket once more, for another process.
    ///
    /// # Errors
    ///
    /// Out of descriptors.
    pub fn socket(&self) -> io::Result<Option<OwnedFd>> {
        let listener = self.listener.upgrade();
        listener
            .map(|listener| listener.as_fd().try_clone_to_owned())
            .transpose()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: Arc<TcpListener>, sources: Sources) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: the connection stays in the backlog, trying at once would spin.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let sources = sources.clone();
        tokio::spawn(async move {
            // Errors are a peer's: a broken request, a hang-up, a time-out. There is nothing to do about them here.
            drop(timeout(CONNECTION_TIMEOUT, converse(stream, sources)).await);
            drop(slot);
        });
    }
}

async fn converse(stream: TcpStream, sources: Sources) -> Result<(), hyper::Error> {
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| answer(request, &sources)),
        )
        .await
}

async fn answer(request: Request<Incoming>, sources: &Sources) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = match request.uri().path() {
        "/" | "/healthz" | "/metrics" | "/readyz" if !READING.contains(request.method()) => {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refusal
        }
        "/" => plain(StatusCode::OK, (sources.status)()),
        "/healthz" => plain(StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => {
            let mut metrics = plain(StatusCode::OK, joined(&sources.metrics).await);
            metrics
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(EXPOSITION_FORMAT));
            metrics
        }
        "/readyz" => match (sources.ready)() {
            Ok(()) => plain(StatusCode::OK, "ready\n".to_owned()),
            Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
        },
        _ => plain(StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    Ok(response)
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

async fn joined(sources: &[Arc<dyn Exposition>]) -> String {
    let mut texts = Vec::new();
    for source in sources {
        // One silent source must not take the others' metrics with it.
        texts.push(timeout(SOURCE_TIMEOUT, source.text()).await.unwrap_or_default());
    }
    match texts.as_slice() {
        [only] => only.clone(),
        several => Page::join(several.iter().map(String::as_str)),
    }
}

/// Expositions joined into one: the format wants all series of a family in one place, and each of them once.
#[derive(Default)]
struct Page {
    families: Vec<Family>,
    numbers: HashMap<String, usize>,
}

#[derive(Default)]
struct Family {
    text: String,
    /// Which exposition its header came from; another one's is left out.
    exposition: usize,
    series: HashSet<String>,
}

impl Page {
    fn join<'t>(expositions: impl IntoIterator<Item = &'t str>) -> String {
        let mut page = Self::default();
        for (number, exposition) in expositions.into_iter().enumerate() {
            page.add(number, exposition);
        }
        page.families.into_iter().map(|family| family.text).collect()
    }

    fn add(&mut self, exposition: usize, text: &str) {
        // Series before any header belong to nothing and are left out.
        let mut current = None;
        for line in text.lines() {
            if let Some(name) = family(line) {
                let number = *self.numbers.entry(name.to_owned()).or_insert(self.families.len());
                if number == self.families.len() {
                    self.families.push(Family {
                        exposition,
                        ..Family::default()
                    });
                }
                current = Some(number);
            }
            if let Some(family) = current.and_then(|number| self.families.get_mut(number)) {
                family.add(exposition, line);
            }
        }
    }
}

impl Family {
    fn add(&mut self, exposition: usize, line: &str) {
        let new = match line.rsplit_once(' ') {
            _ if line.starts_with('#') => self.exposition == exposition,
            Some((series, _)) => self.series.insert(series.to_owned()),
            None => false,
        };
        if new {
            self.text.push_str(line);
            self.text.push('\n');
        }
    }
}

/// The family a `# HELP` or `# TYPE` line begins.
fn family(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("# HELP ")
        .or_else(|| line.strip_prefix("# TYPE "))?;
    rest.split(' ').next()
}

const EXPOSITION_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

const READING: [Method; 2] = [Method::GET, Method::HEAD];

/// Scrapers are few. More would be someone holding connections to keep Prometheus out or to use up descriptors.
const MAX_CONNECTIONS: usize = 32;

/// A scrape's request is some hundred bytes; more is somebody filling memory. hyper takes no less than 8 KiB.
const MAX_HEADER_BYTES: usize = 8192;

const MAX_HEADERS: usize = 32;

/// Slow headers hold a slot this long at most.
const HEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// From accept to the last byte of the answer: a slow reader holds a slot this long at most.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

const SOURCE_TIMEOUT: Duration = Duration::from_secs(2);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_of_two_sources_stands_in_one_place_and_a_series_once() {
        let first = "# HELP a A.\n# TYPE a counter\na{x=\"1\"} 1\n# HELP b B.\n# TYPE b gauge\nb 3\n";
        let second = "lost 7\n# HELP a Other.\n# TYPE a counter\na{x=\"1\"} 9\na{x=\"2 2\"} 2\n# HELP c C.\n# TYPE c gauge\nc 4\n";
        assert_eq!(
            Page::join([first, second]),
            "# HELP a A.\n# TYPE a counter\na{x=\"1\"} 1\na{x=\"2 2\"} 2\n# HELP b B.\n# TYPE b gauge\nb 3\n\
             # HELP c C.\n# TYPE c gauge\nc 4\n"
        );
    }
}
