//! Serves connections one by one, so that a fault can reach below HTTP: stop a connection in the middle of a
//! body, or reset it before the first byte.
//!
//! A [`Wire`] is the handle a response holds on the connection that will carry it.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::Router;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};
use tower::ServiceExt;

/// Answers on this listener until `shutdown` resolves; then lets requests under way finish for a moment, and
/// ends those that never will. Dropping the future ends everything at once.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let mut connections = JoinSet::new();
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = stream else {
            // Out of file descriptors, most likely: give connections time to end.
            time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = graceful.watch(connection(stream, router.clone()));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the simulator ended early");
            }
        });
    }
    drop(listener);
    if time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::debug!("requests to the simulator that never end were dropped");
    }
}

/// A handle on the connection that carries a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire(Arc<AtomicU8>);

impl Wire {
    /// Resets the connection in place of writing anything more.
    pub(super) fn reset_now(&self) {
        self.order(RESET_NOW);
    }

    /// Ends the connection once all that was handed over has been written: by a reset, or by closing it.
    pub(super) fn end_when_flushed(&self, reset: bool) {
        self.order(if reset { RESET_WHEN_FLUSHED } else { CLOSE_WHEN_FLUSHED });
    }

    /// The first order stands: a body that asks for a later end must not undo a reset.
    fn order(&self, order: u8) {
        self.0
            .compare_exchange(CARRY_ON, order, Ordering::Relaxed, Ordering::Relaxed)
            .ok();
    }
}

const CARRY_ON: u8 = 0;
const RESET_NOW: u8 = 1;
const RESET_WHEN_FLUSHED: u8 = 2;
const CLOSE_WHEN_FLUSHED: u8 = 3;

/// How long requests under way may take to finish after the shutdown.
const DRAIN: Duration = Duration::from_secs(5);

fn connection(
    stream: TcpStream,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // Without this, small answers wait for the acknowledgement of the ones before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection to the simulator was gone before it began");
    }
    let wire = Wire::default();
    let service = service_fn({
        let wire = wire.clone();
        move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(wire.clone());
            router.clone().oneshot(request)
        }
    });
    http1::Builder::new().serve_connection(TokioIo::new(Connection { stream, wire }), service)
}

/// A connection that does what its [`Wire`] is told. An error from here makes hyper drop the connection.
struct Connection {
    stream: TcpStream,
    wire: Wire,
}

impl Connection {
    fn check_before_write(&self) -> io::Result<()> {
        match self.wire.0.load(Ordering::Relaxed) {
            RESET_NOW => Err(self.reset()),
            _ => Ok(()),
        }
    }

    fn check_after_flush(&self) -> io::Result<()> {
        match self.wire.0.load(Ordering::Relaxed) {
            RESET_NOW | RESET_WHEN_FLUSHED => Err(self.reset()),
            CLOSE_WHEN_FLUSHED => Err(io::Error::other("a fault closes this connection")),
            _ => Ok(()),
        }
    }

    /// With no time to linger, closing the socket sends a reset.
    fn reset(&self) -> io::Error {
        let lingering = self.stream.set_zero_linger();
        lingering
            .err()
            .unwrap_or_else(|| io::Error::other("a fault resets this connection"))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_before_write()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_before_write()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Poll::Ready(self.check_after_flush())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
