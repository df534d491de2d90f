//! A server of the same framework that does nothing but send bytes it has: what `./bench` compares a hit with.
//!
//! `bare ADDRESS DIRECTORY` holds every file of the directory in memory and answers `GET /NAME` with it, on one
//! thread. The header fields are the few that any cached answer needs.

use std::{collections::HashMap, env, fs, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, runtime::Builder};

// The service's own; a peer with a slower one would flatter it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Files = Arc<HashMap<String, Bytes>>;

fn main() {
    // What `cargo bench` adds.
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [address, directory] = arguments.as_slice() else {
        eprintln!("usage: bare ADDRESS DIRECTORY (started by ./bench)");
        return;
    };
    let address: SocketAddr = address.parse().expect("an address and a port");
    let files: Files = Arc::new(read(directory.into()));
    let router = Router::new().route("/{name}", get(file)).with_state(files);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind(address).await.expect("a free port");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _ = connection.await;
            });
        }
    });
}

fn read(directory: PathBuf) -> HashMap<String, Bytes> {
    let entries = fs::read_dir(directory).expect("a directory");
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("a plain name");
        (name, fs::read(entry.path()).expect("a file").into())
    };
    entries.map(|entry| read(entry.expect("an entry"))).collect()
}

async fn file(State(files): State<Files>, Path(name): Path<String>) -> Response {
    let Some(bytes) = files.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let fields = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "max-age=3600"),
        (header::ETAG, "\"1\""),
    ];
    (fields, bytes.clone()).into_response()
}
