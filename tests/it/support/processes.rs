//! The binary, a Redis and an nginx, as processes of their own, in real time. Each ends when it is dropped.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use genesys_reports::simulator::Options;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::service::connect;

/// `genesys-reports serve`.
pub(crate) struct Process {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts it in front of a simulator, with further settings, and waits until it listens.
    pub(crate) async fn start(simulator: &Options, upstream: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let address = free_address().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_genesys-reports"));
        command
            .arg("serve")
            .env_clear()
            .env("GENESYS_API_URL", format!("http://{upstream}"))
            .env("GENESYS_LOGIN_URL", format!("http://{upstream}"))
            .env("GENESYS_CLIENT_ID", &simulator.client_id)
            .env("GENESYS_CLIENT_SECRET", &simulator.client_secret)
            .env("REPORTS_SERVER__LISTEN", address.to_string())
            .env("REPORTS_SERVER__DRAIN_S", "0")
            .env("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "100000")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let process = command.spawn().expect("the binary is built with the tests");
        wait_for(address).await;
        Self { process, address }
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        signal(&self.process, "TERM").await;
        assert!(self.process.wait().await.expect("it can be waited for").success());
    }
}

/// `redis-server`, which forgets everything when it ends.
pub(crate) struct Redis {
    process: Option<Child>,
    address: SocketAddr,
    arguments: Vec<String>,
    /// Where replicas are told that it is.
    pub(crate) url: String,
}

impl Redis {
    /// Starts one on a port of its own.
    pub(crate) async fn start() -> Self {
        let mut redis = Self::absent().await;
        redis.come_back().await;
        redis
    }

    /// One that is not there yet.
    pub(crate) async fn absent() -> Self {
        let address = free_address().await;
        Self {
            process: None,
            address,
            arguments: Vec::new(),
            url: format!("redis://{address}"),
        }
    }

    /// A cluster of one node. What it must write lies in the directory.
    pub(crate) async fn cluster(directory: &Path) -> Self {
        let mut redis = Self::absent().await;
        let nodes = directory.join("nodes.conf").display().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-config-file", &nodes];
        redis.arguments = arguments.map(ToOwned::to_owned).into();
        redis.url = format!("redis-cluster://{0},{0}", redis.address);
        redis.come_back().await;
        redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
        let state = async || redis::from_redis_value::<String>(redis.ask(&["CLUSTER", "INFO"]).await);
        while !state().await.expect("a text").contains("cluster_state:ok") {
            sleep(Duration::from_millis(50)).await;
        }
        redis
    }

    /// A sentinel that watches this one, whom replicas are to ask where it is.
    pub(crate) async fn watched(&mut self, directory: &Path) -> Self {
        let mut sentinel = Self::absent().await;
        let settings = directory.join("sentinel.conf");
        let watches = format!("sentinel monitor mine 127.0.0.1 {} 1\n", self.address.port());
        std::fs::write(&settings, watches).expect("the directory is there");
        sentinel.arguments = vec![settings.display().to_string(), "--sentinel".to_owned()];
        self.url = format!("redis-sentinel://{}/0?service=mine", sentinel.address);
        sentinel.come_back().await;
        sentinel
    }

    /// Starts it, or starts it anew.
    pub(crate) async fn come_back(&mut self) {
        let mut command = Command::new("redis-server");
        command
            .args(&self.arguments)
            .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string()])
            .args(if self.arguments.iter().any(|argument| argument == "--sentinel") {
                &[][..]
            } else {
                &["--save", "", "--appendonly", "no"]
            })
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        self.process = Some(command.spawn().expect("redis-server is installed, as ./test does"));
        wait_for(self.address).await;
    }

    /// Ends it as the kernel would.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.expect("it runs");
        }
    }

    /// Sends it a signal: `STOP` has it hang, `CONT` go on.
    pub(crate) async fn signal(&self, name: &str) {
        signal(self.process.as_ref().expect("it runs"), name).await;
    }

    /// What it says to a command.
    pub(crate) async fn ask(&self, command: &[&str]) -> redis::Value {
        let client = redis::Client::open(format!("redis://{}", self.address)).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("it runs");
        let mut asked = redis::Cmd::new();
        asked.arg(command);
        asked.query_async(&mut connection).await.expect("it answers")
    }

    /// The keys there are.
    pub(crate) async fn keys(&self) -> Vec<String> {
        redis::from_redis_value(self.ask(&["KEYS", "*"]).await).expect("texts")
    }
}

/// nginx in front of a service. It keeps connections to it.
pub(crate) struct Nginx {
    /// Where it takes bodies in before it passes them on, and where it passes them on as they come.
    pub(crate) addresses: [SocketAddr; 2],
    _process: Child,
    _directory: tempfile::TempDir,
}

impl Nginx {
    pub(crate) async fn start(service: SocketAddr) -> Self {
        let addresses = [free_address().await, free_address().await];
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().display();
        let servers = ["on", "off"].iter().zip(addresses).map(|(buffering, address)| {
            format!(
                "server {{ listen {address}; location / {{ proxy_pass http://service; proxy_http_version 1.1;
                proxy_set_header Connection \"\"; proxy_set_header Host $http_host; proxy_request_buffering {buffering}; }} }}"
            )
        });
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path {path}/{what};"));
        let settings = format!(
            "user root; pid {path}/pid; worker_processes 1; events {{ worker_connections 64; }}
            http {{ access_log off; {} keepalive_timeout 1s; client_header_timeout 1s; client_body_timeout 1s;
            upstream service {{ server {service}; keepalive 8; }} {} }}",
            temporary.concat(),
            servers.collect::<String>()
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, settings).expect("the directory can be written to");
        let process = Command::new("nginx")
            .args(["-g", "daemon off; master_process off; error_log stderr crit;", "-c"])
            .arg(&file)
            .arg("-p")
            .arg(directory.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx starts: run ./test, which installs what the tests need");
        for address in addresses {
            wait_for(address).await;
        }
        Self {
            addresses,
            _process: process,
            _directory: directory,
        }
    }

    /// Sends these bytes and reads until it closes the connection.
    pub(crate) async fn exchange(&self, address: SocketAddr, request: &str) -> String {
        let mut stream = connect(address).await.expect("it listens");
        // It may refuse before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received).await;
        String::from_utf8_lossy(&received).into_owned()
    }
}

async fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    free.local_addr().expect("it is bound")
}

async fn wait_for(address: SocketAddr) {
    let started = Instant::now();
    while connect(address).await.is_err() {
        assert!(started.elapsed() < Duration::from_mins(1), "it does not listen");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn signal(process: &Child, name: &str) {
    let id = process.id().expect("it runs");
    let kill = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{name} {id}"))
        .status()
        .await;
    assert!(kill.expect("there is a shell").success());
}
