//! The HTTP endpoint: `/metrics`, `/healthz`, `/readyz` and a plain status page.
//!
//! registry → **export** → Prometheus. Bounded in connections, header size and time, because it may face a network; knows no
//! metric by name and no secret to tell.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
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
    /// Joined in this order. A metric two sources tell of is taken from the first.
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
    accepting: JoinHandle<()>,
}

/// Binds `bind` and serves until the [`Server`] is dropped.
///
/// # Errors
///
/// When the address cannot be bound.
pub async fn serve(bind: SocketAddr, sources: Sources) -> io::Result<Server> {
    let listener = TcpListener::bind(bind).await?;
    let address = listener.local_addr()?;
    let accepting = tokio::spawn(accept(listener, sources));
    Ok(Server { address, accepting })
}

impl Server {
    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, sources: Sources) {
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
    let mut page = Page::default();
    for source in sources {
        // One silent source must not take the others' metrics with it.
        page.add(&timeout(SOURCE_TIMEOUT, source.text()).await.unwrap_or_default());
    }
    page.text
}

/// Expositions joined into one: a metric family may stand in a page only once.
#[derive(Default)]
struct Page {
    text: String,
    families: HashSet<String>,
}

impl Page {
    fn add(&mut self, exposition: &str) {
        let mut new = HashSet::new();
        let mut skip = false;
        for line in exposition.lines() {
            if let Some(family) = family(line) {
                skip = self.families.contains(family);
                if !skip && !new.contains(family) {
                    new.insert(family.to_owned());
                }
            }
            if !skip {
                self.text.push_str(line);
                self.text.push('\n');
            }
        }
        self.families.extend(new);
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
    fn a_family_two_sources_tell_of_is_taken_from_the_first() {
        let mut page = Page::default();
        page.add("# HELP a A.\n# TYPE a counter\na{x=\"1\"} 1\n");
        page.add("# HELP a A.\n# TYPE a counter\na{x=\"2\"} 2\n# HELP b B.\n# TYPE b gauge\nb 3\n");
        assert_eq!(
            page.text,
            "# HELP a A.\n# TYPE a counter\na{x=\"1\"} 1\n# HELP b B.\n# TYPE b gauge\nb 3\n"
        );
    }
}
