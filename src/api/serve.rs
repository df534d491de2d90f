//! The accept loop: connections in, HTTP/1.1 and HTTP/2 (prior knowledge) on the same port, an orderly end.
//!
//! Our own instead of the framework's, for what that leaves out: bounds on connections, on the time a head may
//! take and on header sizes, and a graceful shutdown that ends.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Version, header},
    response::Response,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::telemetry;

/// The most connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 10_000;
/// How long a client may take to send a request's head, and to say anything at all.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Past our own limits (which answer with a problem), the connection's: a bare 431 from the protocol layer.
const PROTOCOL_HEADER_COUNT: usize = 200;
const PROTOCOL_BUFFER_BYTES: usize = 128 << 10;
const PROTOCOL_HEADER_LIST_BYTES: u32 = 96 << 10;
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 100;
/// How often an HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
/// When the process has no file descriptor left and no connection of ours ends, how soon to look again.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(100);

/// What the service's end looks like from a connection.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Cancelled first: answer, but ask for connections to be closed.
    pub draining: CancellationToken,
    /// Cancelled then: accept nothing more, finish what runs.
    pub closing: CancellationToken,
    /// How long what runs may take to finish; then it is cut off.
    pub grace: Duration,
}

/// Serves connections until told to stop and everything in flight is answered, or `grace` has passed.
/// Says whether all of it was.
pub async fn serve(listener: TcpListener, router: Router, stop: Stop) -> bool {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = stop.closing.cancelled() => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match stream {
            Ok(accepted) => accepted,
            Err(error) => {
                after_failure(&error, &mut connections).await;
                continue;
            }
        };
        let connection = Connection::new(router.clone(), stop.draining.clone());
        let watcher = graceful.watcher();
        connections.spawn(async move {
            connection.run(stream, watcher).await;
            drop(place);
        });
    }
    drop(listener);
    let finished = tokio::time::timeout(stop.grace, graceful.shutdown()).await.is_ok();
    // Whatever is left is cut off here: an unfinished stream ends without its terminator.
    connections.shutdown().await;
    finished
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, place))
}

/// A failure of one connection concerns nobody else. A lack of descriptors ends when a connection does, so that
/// is what is waited for; the listener is readable all along, and accepting again at once would spin.
async fn after_failure(error: &io::Error, connections: &mut JoinSet<()>) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::error!(%error, "cannot accept connections");
    tokio::select! {
        Some(_ended) = connections.join_next() => {}
        () = tokio::time::sleep(DESCRIPTOR_WAIT) => {}
    }
}

struct Connection {
    router: Router,
    draining: CancellationToken,
    has_asked: Arc<AtomicBool>,
}

impl Connection {
    fn new(router: Router, draining: CancellationToken) -> Self {
        Self {
            router,
            draining,
            has_asked: Arc::new(AtomicBool::new(false)),
        }
    }

    async fn run(self, stream: TcpStream, watcher: hyper_util::server::graceful::Watcher) {
        let _open = Open::new();
        // Answers are written whole; waiting to fill packets only delays their last piece.
        let _ = stream.set_nodelay(true);
        let has_asked = Arc::clone(&self.has_asked);
        let service = service_fn(move |request| {
            self.has_asked.store(true, Ordering::Relaxed);
            answer(self.router.clone(), self.draining.clone(), request)
        });
        let protocol = protocol();
        let connection = protocol.serve_connection(TokioIo::new(stream), service);
        let served = watcher.watch(connection.into_owned());
        tokio::pin!(served);
        // The protocol's own head timeout starts once it is known which protocol is spoken; a client that
        // never says enough for that is caught here.
        tokio::select! {
            ended = &mut served => return log_end(ended),
            () = tokio::time::sleep(HEAD_TIMEOUT) => {
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
        log_end(served.await);
    }
}

/// Why a connection ended is its client's affair; it is kept for those who look for it.
fn log_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(PROTOCOL_HEADER_COUNT)
        .max_buf_size(PROTOCOL_BUFFER_BYTES);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(PROTOCOL_HEADER_LIST_BYTES);
    protocol
}

async fn answer(
    router: Router,
    draining: CancellationToken,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let version = request.version();
    let mut response = router.oneshot(request.map(axum::body::Body::new) as Request).await?;
    if draining.is_cancelled() && version <= Version::HTTP_11 {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Counts an open connection.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!(telemetry::HTTP_CONNECTIONS).increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(telemetry::HTTP_CONNECTIONS).decrement(1);
    }
}
