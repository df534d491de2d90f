//! Puts a router on a free loopback port, within the test's own runtime.

use std::net::SocketAddr;

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet};

/// A listening router; dropping it closes the port and every connection.
pub(crate) struct Listening {
    /// Where it listens. An address, not a name: resolving a name takes a helper thread, and waiting for
    /// that looks like idleness to a paused clock.
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Serves `router` until the returned handle is dropped.
pub(crate) async fn serve(router: Router) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(listener, router));
    Listening { address, _tasks: tasks }
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("loopback connections are accepted");
        stream.set_nodelay(true).expect("the option is known");
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            // A caller that hangs up is part of what the tests do.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Listening {
    /// `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
