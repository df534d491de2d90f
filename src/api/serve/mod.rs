//! The accept loop: connections in, plain or by TLS, HTTP/1.1 and HTTP/2 on the same port, an orderly end.
//!
//! Our own instead of the framework's, for what that leaves out: bounds on connections, on how long each may keep us
//! waiting (`patience`) and on header sizes, and a graceful shutdown that ends.

mod patience;

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderValue, Version, header},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use hyper::{body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::patience::{Answer, HEAD, HEAD_IN_A_CROWD, Seen, Verdict, Watched};
use super::{Api, limits::Crowded};
use crate::{telemetry, tls::Identity};

/// Connections the kernel holds until they are accepted: a burst of callers is no reason to turn one away.
const BACKLOG: u32 = 4096;
/// Of all connections, the last: those get health, metrics and documents, and for the rest a refusal.
const CONNECTIONS_IN_A_CROWD: usize = 32;
/// What a probe's connection begins with.
const PROBE: &[u8] = b"GET /health/";
/// Past our own limits (which answer with a problem), the connection's: a bare 431 from the protocol layer.
const PROTOCOL_HEADER_COUNT: usize = 200;
const PROTOCOL_BUFFER_BYTES: usize = 128 << 10;
const PROTOCOL_HEADER_LIST_BYTES: u32 = 96 << 10;
/// Requests under way on one HTTP/2 connection.
const STREAMS: u32 = 100;
/// Requests a client of HTTP/2 may have taken back while we had not seen them yet; more, and it is cut off.
const STREAMS_TAKEN_BACK: usize = 20;
/// Streams of HTTP/2 that may end by a client's mistakes; more, and it is cut off.
const STREAMS_IN_ERROR: usize = 128;
/// What a client of HTTP/2 may send of a body, and of all bodies of a connection, before we have read it.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// What is made of an answer over HTTP/2 before its reader takes it.
const STREAM_BUFFER_BYTES: usize = 64 << 10;
/// How often an HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);
/// What the kernel takes on for a connection beyond what is on its way to the reader. With more, a slow reader looks
/// like one that reads nothing until a third of megabytes has gone.
const UNSENT_BYTES: u32 = 64 << 10;
/// When the process has no file descriptor left and no connection of ours ends, how soon to look again.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(100);
/// How often a connection is looked at, however patient we are with it.
const GLANCE: Duration = Duration::from_secs(5);
/// How long connections may still ask once nothing more is accepted: their request may be on its way.
const LAST_CALL: Duration = Duration::from_millis(500);

/// What the service's end looks like from a connection. Each of the three is cancelled after the one before.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Answer, but ask for connections to be closed.
    pub draining: CancellationToken,
    /// Accept nothing more, finish what runs; answers that have no end of their own end now.
    pub closing: CancellationToken,
    /// Cut off what still runs.
    pub cutting: CancellationToken,
}

/// How connections are taken on.
#[derive(Clone, Debug)]
pub struct Doors {
    /// The most connections at once. The last `CONNECTIONS_IN_A_CROWD` of them are for probes, and for telling
    /// everybody else that there are too many; beyond, they wait in the kernel's queue.
    pub max_connections: usize,
    /// The certificate, where TLS is spoken.
    pub identity: Option<Identity>,
}

/// Listens there, with room for bursts.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart finds its port, although connections of the last run are still being forgotten by the kernel.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves connections until told to stop and everything in flight is answered, or is to be cut off.
/// Says whether all of it was answered.
pub async fn serve(listener: TcpListener, api: Api, doors: Doors, stop: Stop) -> bool {
    let streams = Streams::default();
    let mut server = Server {
        places: Arc::new(Semaphore::new(doors.max_connections)),
        crowd: CONNECTIONS_IN_A_CROWD.min(doors.max_connections / 2),
        tls: doors
            .identity
            .map(|identity| TlsAcceptor::from(identity.server_config())),
        house: Arc::new(House {
            api,
            protocol: protocol(streams.clone()),
            draining: stop.draining,
            leaving: CancellationToken::new(),
        }),
        streams,
        at_the_door: FuturesUnordered::new(),
        connections: JoinSet::new(),
    };
    server.accept_until(&listener, &stop.closing).await;
    // Who got as far as the kernel's queue was still let in, for all they know.
    server.accept_waiting(listener);
    let finished = tokio::select! {
        () = server.finish() => true,
        () = stop.cutting.cancelled() => false,
    };
    // Whatever is left is cut off here: an unfinished stream ends without its terminator.
    server.cut_off().await;
    finished
}

struct Server {
    places: Arc<Semaphore>,
    /// How many of the places are for connections that are one too many.
    crowd: usize,
    tls: Option<TlsAcceptor>,
    house: Arc<House>,
    streams: Streams,
    /// Connections that have not said yet what they want, and probes. They are looked after by whoever accepts, and not
    /// by the threads that answer requests: so a probe is answered while a thousand requests wait for those.
    at_the_door: FuturesUnordered<AtTheDoor>,
    connections: JoinSet<()>,
}

/// What all connections share.
struct House {
    api: Api,
    protocol: auto::Builder<Streams>,
    draining: CancellationToken,
    /// Cancelled when connections have to end as soon as what they asked is answered.
    leaving: CancellationToken,
}

/// Gives the connection back when it is none of a probe.
type AtTheDoor = Pin<Box<dyn Future<Output = Option<Newcomer>> + Send>>;

/// A connection that was accepted.
struct Newcomer {
    stream: TcpStream,
    accepted: Instant,
    in_a_crowd: bool,
    _place: OwnedSemaphorePermit,
    _open: Open,
}

impl Server {
    async fn accept_until(&mut self, listener: &TcpListener, closing: &CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = closing.cancelled() => return,
                Some(_ended) = self.connections.join_next() => continue,
                Some(known) = self.at_the_door.next() => {
                    self.serve_unless_probe(known);
                    continue;
                }
                accepted = accept(listener, &self.places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => self.meet(stream, place),
                Err(error) => self.after_failure(&error).await,
            }
        }
    }

    fn accept_waiting(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
            && let Ok((stream, _peer)) = listener.accept()
        {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.meet(stream, place);
            }
        }
    }

    fn meet(&mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Answers are written whole; waiting to fill packets only delays their last piece.
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
        let newcomer = Newcomer {
            stream,
            accepted: Instant::now(),
            in_a_crowd: self.places.available_permits() < self.crowd,
            _place: place,
            _open: Open::new(),
        };
        if self.tls.is_some() {
            return self.serve(newcomer);
        }
        let house = Arc::clone(&self.house);
        self.at_the_door.push(Box::pin(async move {
            if !house.leaving.run_until_cancelled(newcomer.is_probe()).await? {
                return Some(newcomer);
            }
            // One answer and no more, as in a crowd: what else is asked belongs to others.
            let connection = Connection::new(&house, newcomer.accepted, true);
            Box::pin(connection.run(newcomer.stream)).await;
            None
        }));
    }

    fn serve_unless_probe(&mut self, known: Option<Newcomer>) {
        if let Some(newcomer) = known {
            self.serve(newcomer);
        }
    }

    fn serve(&mut self, newcomer: Newcomer) {
        let connection = Connection::new(&self.house, newcomer.accepted, newcomer.in_a_crowd);
        let tls = self.tls.clone();
        self.connections.spawn(async move {
            let Newcomer {
                stream,
                accepted,
                _place,
                _open,
                ..
            } = newcomer;
            match tls {
                None => connection.run(stream).await,
                Some(tls) => connection.run_secured(&tls, stream, accepted).await,
            }
        });
    }

    /// A failure of one connection concerns nobody else. A lack of descriptors ends when a connection does, so that
    /// is what is waited for; the listener is readable all along, and accepting again at once would spin.
    async fn after_failure(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        tracing::error!(%error, "cannot accept connections");
        tokio::select! {
            Some(_ended) = self.connections.join_next() => {}
            () = tokio::time::sleep(DESCRIPTOR_WAIT) => {}
        }
    }

    /// Waits until every connection has ended: after the last call, as soon as it is answered.
    async fn finish(&mut self) {
        let mut last_call = pin!(tokio::time::sleep(LAST_CALL));
        while !(self.connections.is_empty() && self.at_the_door.is_empty()) {
            tokio::select! {
                Some(_ended) = self.connections.join_next() => {}
                Some(known) = self.at_the_door.next() => self.serve_unless_probe(known),
                () = &mut last_call, if !self.house.leaving.is_cancelled() => self.house.leaving.cancel(),
            }
        }
    }

    async fn cut_off(mut self) {
        self.at_the_door.clear();
        self.connections.shutdown().await;
        self.streams.cut_off().await;
    }
}

impl Newcomer {
    /// Whether it begins as a probe does; waits for its first bytes, as long as it may be silent.
    async fn is_probe(&self) -> bool {
        let patience = if self.in_a_crowd { HEAD_IN_A_CROWD } else { HEAD };
        let mut first = [0; PROBE.len()];
        let peeked = tokio::time::timeout_at(self.accepted + patience, self.stream.peek(&mut first)).await;
        matches!(peeked, Ok(Ok(_))) && first == PROBE
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, place))
}

struct Connection {
    house: Arc<House>,
    /// Of its own, so that asking them is nobody else's wait.
    draining: CancellationToken,
    leaving: CancellationToken,
    seen: Arc<Seen>,
    in_a_crowd: bool,
}

impl Connection {
    fn new(house: &Arc<House>, accepted: Instant, in_a_crowd: bool) -> Self {
        Self {
            house: Arc::clone(house),
            draining: house.draining.child_token(),
            leaving: house.leaving.child_token(),
            seen: Seen::new(accepted, in_a_crowd),
            in_a_crowd,
        }
    }

    /// The handshake is part of what the first head may take.
    async fn run_secured(self, tls: &TlsAcceptor, stream: TcpStream, accepted: Instant) {
        let handshake = tokio::time::timeout_at(accepted + HEAD, tls.accept(stream));
        match self.leaving.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.run(stream).await,
            Some(Ok(Err(error))) => tracing::debug!(%error, "no connection by TLS"),
            Some(Err(_)) | None => tracing::debug!("no connection by TLS in time"),
        }
    }

    /// Serves the connection until it ends, it has kept us waiting too long, or it is told to leave and does.
    async fn run<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: S) {
        let Self {
            house,
            draining,
            leaving,
            seen,
            in_a_crowd,
        } = self;
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&seen)));
        let service = service_fn(|request| {
            answer(
                house.api.clone(),
                draining.clone(),
                Arc::clone(&seen),
                in_a_crowd,
                request,
            )
        });
        let mut served = pin!(house.protocol.serve_connection(stream, service));
        let mut told = pin!(leaving.cancelled());
        let mut look_again = pin!(tokio::time::sleep(HEAD));
        let (mut is_leaving, mut is_told) = (false, false);
        poll_fn(|context| {
            loop {
                if let Poll::Ready(ended) = served.as_mut().poll(context) {
                    // Why a connection ended is its client's affair; it is kept for those who look for it.
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return Poll::Ready(());
                }
                is_leaving = is_leaving || told.as_mut().poll(context).is_ready();
                // Whoever is in the middle of a head still gets an answer.
                let verdict = if is_leaving && !is_told && !seen.is_asking() {
                    Verdict::Retire
                } else {
                    seen.verdict(Instant::now())
                };
                match verdict {
                    Verdict::Cut(reason) => {
                        tracing::debug!(reason, "connection cut off");
                        return Poll::Ready(());
                    }
                    Verdict::Retire => {
                        is_told = true;
                        seen.leaves(Instant::now());
                        served.as_mut().graceful_shutdown();
                    }
                    Verdict::Until(instant) => {
                        // In steps: one moment in which nothing moves is no verdict.
                        let instant = instant.min(Instant::now() + GLANCE);
                        if instant < look_again.deadline() {
                            look_again.as_mut().reset(instant);
                        }
                        ready!(look_again.as_mut().poll(context));
                        look_again.as_mut().reset(instant);
                    }
                }
            }
        })
        .await;
    }
}

fn protocol(streams: Streams) -> auto::Builder<Streams> {
    let mut protocol = auto::Builder::new(streams);
    protocol
        .http1()
        .timer(TokioTimer::new())
        // Ours knows a connection between two requests from a head that does not come.
        .header_read_timeout(None)
        .max_headers(PROTOCOL_HEADER_COUNT)
        .max_buf_size(PROTOCOL_BUFFER_BYTES);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(STREAMS_TAKEN_BACK)
        .max_local_error_reset_streams(STREAMS_IN_ERROR)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(STREAM_BUFFER_BYTES)
        .max_header_list_size(PROTOCOL_HEADER_LIST_BYTES);
    protocol
}

async fn answer(
    api: Api,
    draining: CancellationToken,
    seen: Arc<Seen>,
    in_a_crowd: bool,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Answer>, Infallible> {
    let version = request.version();
    let under_way = seen.asked(version);
    let mut request: Request = request.map(axum::body::Body::new);
    if in_a_crowd {
        request.extensions_mut().insert(Crowded);
    }
    let mut response = api.answer(request).await;
    if in_a_crowd || draining.is_cancelled() {
        // HTTP/2 has a frame for it.
        if version == Version::HTTP_2 {
            seen.retire();
        } else {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
    }
    Ok(response.map(|body| Answer::new(body, under_way)))
}

/// The requests of HTTP/2 connections, each a task of its own: owned here, so that none outlives the service.
#[derive(Clone, Debug, Default)]
struct Streams {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.tasks.spawn(self.cut.clone().run_until_cancelled_owned(stream));
    }
}

impl Streams {
    async fn cut_off(self) {
        self.cut.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
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

#[cfg(test)]
mod tests {
    use std::{
        hint::black_box,
        io::{Read as _, Write as _},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use axum::{Router, routing::get};
    use tokio::{runtime::Builder, sync::oneshot};

    use super::*;

    /// So many requests are ready to be worked on, again and again.
    const READY: usize = 1_000;

    /// Its wait is counted in the pieces of work that were done between its bytes being there and it being answered:
    /// neither the speed of the machine matters nor when the asking thread is given a processor. The accepting thread may
    /// have to wait for one, too, but not each time; whoever stands in line behind those requests waits for all of them,
    /// each time.
    #[test]
    fn a_probe_does_not_wait_for_requests_that_are_ready_to_be_worked_on() {
        let done = Arc::new(AtomicUsize::new(0));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).event_interval(11).enable_all();
        let runtime = runtime.build().expect("a runtime");
        let (waited, answer) = runtime.block_on(async {
            let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port is free");
            let address = listener.local_addr().expect("it has one");
            for _ in 0..READY {
                let done = Arc::clone(&done);
                tokio::spawn(poll_fn(move |context| {
                    black_box((0..20_000_u64).fold(0, |sum, number| black_box(sum ^ number)));
                    done.fetch_add(1, Ordering::Relaxed);
                    context.waker().wake_by_ref();
                    Poll::<()>::Pending
                }));
            }
            let (tell, told) = oneshot::channel();
            let alive = {
                let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
                move || async move {
                    answered.store(done.load(Ordering::Relaxed), Ordering::Relaxed);
                    "alive"
                }
            };
            std::thread::spawn(move || {
                // Until all of it is under way.
                while done.load(Ordering::Relaxed) < READY {
                    std::thread::yield_now();
                }
                let probe = || {
                    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
                    let probe = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
                    stream.write_all(probe).expect("it is there");
                    let before = done.load(Ordering::Relaxed);
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).expect("an answer");
                    let waited = answered.load(Ordering::Relaxed).saturating_sub(before);
                    (waited, answer)
                };
                let least = std::iter::repeat_with(probe).take(10).min();
                tell.send(least.expect("there are ten")).expect("it is waited for");
            });
            let doors = Doors {
                max_connections: 1_000,
                identity: None,
            };
            let router = Router::new().route("/health/live", get(alive));
            tokio::select! {
                _ = serve(listener, router.into(), doors, Stop::default()) => unreachable!("nobody tells it to stop"),
                told = told => told.expect("the probe is answered"),
            }
        });
        runtime.shutdown_background();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive"),
            "{answer}"
        );
        assert!(waited < READY / 2, "{waited} pieces of work came first");
    }
}
