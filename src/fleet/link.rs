//! The connection to Redis: one, multiplexed, made when it is needed, and never waited for longer than an operation may take.
//!
//! Whatever fails (no answer in time, a connection lost, a server that refuses to write as it is a replica now, one that is
//! loading) ends the connection, so that the next one finds where the primary is then; and counts towards the circuit
//! breaker, behind which nobody waits. A value that is not what was expected is an answer like any other.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError, RedisFuture,
    RedisResult, ScriptInvocation, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use tokio::time::timeout;

use crate::{
    breaker::{Breaker, BreakerState},
    telemetry,
};

/// How long a connection may take to be made; nobody waits for that long.
const CONNECTED_IN: Duration = Duration::from_secs(1);
/// The longest pause between probes of a server that keeps failing: it is used again so soon after it is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What a client calls an answer that does not come; longer than any bound here, as those end the connection.
const ANSWERED_IN: Duration = Duration::from_secs(5);

/// Where Redis or Valkey is, and how to log in there. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Form);

/// All are URLs that the client library takes.
#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// One server.
    One(String),
    /// Some nodes of a cluster.
    Cluster(Vec<String>),
    /// Sentinels, the name of what they watch, and how to log in there.
    Sentinel {
        sentinels: Vec<String>,
        service: String,
        node: String,
    },
}

impl Address {
    /// Reads a URL:
    ///
    /// | form | what |
    /// | --- | --- |
    /// | `redis://[user:password@]host[:port][/database]`, `unix:///path` | one server |
    /// | `rediss://…` | the same over TLS |
    /// | `redis-cluster://[user:password@]host:port[,host:port…]`, `rediss-cluster://…` | some nodes of a cluster |
    /// | `redis-sentinel://[user:password@]host:port[,host:port…][/database]?service=name`, `rediss-sentinel://…` | sentinels, and what they watch |
    ///
    /// The user and password are those of the servers; sentinels are asked without. What is wrong is told without the URL,
    /// which may hold a password.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "is no address such as `redis://redis.internal:6379`, `rediss://…` (TLS), \
             `redis-cluster://host:port,host:port` or `redis-sentinel://host:port,host:port?service=name`";
        let (scheme, rest) = url.split_once("://").ok_or(WRONG)?;
        let (plain, kind) = scheme.split_once('-').unwrap_or((scheme, ""));
        let form = match (plain, kind) {
            ("redis" | "rediss" | "unix" | "redis+unix", "") => Form::One(url.to_owned()),
            ("redis" | "rediss", "cluster" | "sentinel") => {
                let (rest, service) = rest.split_once("?service=").unwrap_or((rest, ""));
                let (login, rest) = rest
                    .rsplit_once('@')
                    .map_or((String::new(), rest), |(login, rest)| (format!("{login}@"), rest));
                let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
                let hosts = hosts.split(',');
                match (kind, service) {
                    ("cluster", "") if database.is_empty() => {
                        Form::Cluster(hosts.map(|host| format!("{plain}://{login}{host}")).collect())
                    }
                    ("sentinel", service) if !service.is_empty() => Form::Sentinel {
                        sentinels: hosts.map(|host| format!("{plain}://{host}")).collect(),
                        service: service.to_owned(),
                        node: format!("{plain}://{login}sentinel/{database}"),
                    },
                    _ => return Err(WRONG),
                }
            }
            _ => return Err(WRONG),
        };
        let urls = match &form {
            Form::One(url) => std::slice::from_ref(url),
            Form::Cluster(urls) => urls,
            Form::Sentinel { sentinels, node, .. } => {
                node.as_str().into_connection_info().map_err(|_| WRONG)?;
                sentinels
            }
        };
        if urls.iter().any(|url| url.as_str().into_connection_info().is_err()) {
            return Err(WRONG);
        }
        Ok(Self(form))
    }

    async fn connect(&self) -> RedisResult<Connection> {
        let config = || {
            AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECTED_IN))
                .set_response_timeout(Some(ANSWERED_IN))
        };
        match &self.0 {
            Form::One(url) => {
                let client = redis::Client::open(url.as_str())?;
                let connection = client.get_multiplexed_async_connection_with_config(&config()).await?;
                Ok(Connection::One(connection))
            }
            Form::Cluster(urls) => {
                let client = ClusterClient::builder(urls.iter().map(String::as_str))
                    .connection_timeout(CONNECTED_IN)
                    .response_timeout(ANSWERED_IN)
                    .build()?;
                Ok(Connection::Cluster(client.get_async_connection().await?))
            }
            Form::Sentinel {
                sentinels,
                service,
                node,
            } => {
                let node = node.as_str().into_connection_info()?;
                let login =
                    SentinelNodeConnectionInfo::default().set_redis_connection_info(node.redis_settings().clone());
                let sentinels = sentinels.iter().map(String::as_str).collect();
                let mut client =
                    SentinelClient::build(sentinels, service.clone(), Some(login), SentinelServerType::Master)?;
                let connection = client.get_async_connection_with_config(&config()).await?;
                Ok(Connection::One(connection))
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Address(…)")
    }
}

/// A connection of either kind. Clones share it.
#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// The way to Redis, with its circuit breaker.
pub(super) struct Link {
    address: Address,
    breaker: Breaker,
    slot: Arc<Mutex<Slot>>,
}

/// The connection, if there is one; each attempt has its number.
#[derive(Default)]
struct Slot {
    number: u64,
    coming: Option<Coming>,
}

/// What comes of an attempt to connect: the error's kind where nothing does.
type Coming = Shared<BoxFuture<'static, Result<Connection, Arc<RedisError>>>>;

/// Why an operation brought nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no connection: {0}")]
    NotConnected(Arc<RedisError>),
    #[error("no answer in time")]
    TooSlow,
    #[error("{0}")]
    Refused(RedisError),
}

impl Link {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            breaker: Breaker::new("Redis", LONGEST_PAUSE),
            slot: Arc::default(),
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// What is found by some commands of a pipeline that ignores errors, within a bound: where one finds something of
    /// another type, nothing. `None` if nothing comes of it.
    pub(super) async fn read(&self, bound: Duration, request: &Pipeline) -> Option<Vec<Option<Vec<u8>>>> {
        self.guard("read", bound, async |mut connection: Connection| {
            let found: Vec<RedisResult<Vec<u8>>> = request.query_async(&mut connection).await?;
            let found = found.into_iter().map(|one| match one {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if is_an_answer(&error) => Ok(None),
                Err(error) => Err(error),
            });
            found.collect()
        })
        .await
    }

    /// What comes of some commands, within a bound; `None` if nothing does.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        operation: &'static str,
        bound: Duration,
        request: &Pipeline,
    ) -> Option<T> {
        self.guard(operation, bound, async |mut connection: Connection| {
            request.query_async(&mut connection).await
        })
        .await
    }

    /// The same of a script.
    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        operation: &'static str,
        bound: Duration,
        request: &ScriptInvocation<'_>,
    ) -> Option<T> {
        self.guard(operation, bound, async |mut connection: Connection| {
            request.invoke_async(&mut connection).await
        })
        .await
    }

    async fn guard<T>(
        &self,
        operation: &'static str,
        bound: Duration,
        work: impl AsyncFnOnce(Connection) -> RedisResult<T>,
    ) -> Option<T> {
        let count = |outcome: &'static str| {
            let labels = [("operation", operation), ("outcome", outcome)];
            metrics::counter!(telemetry::FLEET_OPERATIONS, &labels).increment(1);
        };
        let Ok(admission) = self.breaker.admit() else {
            count("left_alone");
            return None;
        };
        let (coming, number) = self.connection();
        let attempt = async {
            let connection = coming.await.map_err(Failure::NotConnected)?;
            work(connection).await.map_err(Failure::Refused)
        };
        let failure = match in_turns(bound, attempt).await {
            Some(Ok(done)) => {
                admission.succeeded();
                count("done");
                return Some(done);
            }
            Some(Err(Failure::Refused(error))) if is_an_answer(&error) => {
                tracing::debug!(operation, %error, "what is in Redis is not what was expected");
                admission.succeeded();
                count("nonsense");
                return None;
            }
            Some(Err(failure)) => failure,
            None => Failure::TooSlow,
        };
        tracing::debug!(operation, %failure, "Redis failed");
        count(if matches!(failure, Failure::TooSlow) {
            "too_slow"
        } else {
            "failed"
        });
        admission.failed();
        self.disconnect(number);
        None
    }

    /// The connection there is, or the one that is being made, in a task of its own.
    fn connection(&self) -> (Coming, u64) {
        let mut slot = self.lock();
        if let Some(coming) = &slot.coming {
            return (coming.clone(), slot.number);
        }
        let address = self.address.clone();
        let coming = async move {
            let connected = timeout(CONNECTED_IN, address.connect()).await;
            let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
            connected.map_err(late).flatten().map_err(Arc::new)
        };
        let coming = coming.boxed().shared();
        tokio::spawn(coming.clone());
        slot.number += 1;
        slot.coming = Some(coming.clone());
        (coming, slot.number)
    }

    /// Has the next operation connect anew, unless another has done so already or is about to.
    fn disconnect(&self, number: u64) {
        let mut slot = self.lock();
        let is_made = slot.coming.as_ref().is_some_and(|coming| coming.peek().is_some());
        if slot.number == number && is_made {
            slot.coming = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes of the work within a bound. A process that is short of time itself, so that what has come waits to be looked
/// at, is no sign of a slow server: whoever is late looks again, and gives up only after some turns.
async fn in_turns<T>(bound: Duration, work: impl Future<Output = T>) -> Option<T> {
    const TURNS: u32 = 5;
    let mut work = pin!(work);
    for _ in 0..TURNS {
        if let Ok(done) = timeout(bound / TURNS, &mut work).await {
            return Some(done);
        }
    }
    None
}

/// Whether an error says nothing about the server: something else is in the place of what was looked for.
fn is_an_answer(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE") || error.kind() == redis::ErrorKind::UnexpectedReturnType
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_three_kinds() {
        let one = |url: &str| Form::One(url.to_owned());
        let urls = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        for (url, expected) in [
            ("redis://127.0.0.1:6379", Some(one("redis://127.0.0.1:6379"))),
            (
                "rediss://user:p%40ss@redis:6380/2",
                Some(one("rediss://user:p%40ss@redis:6380/2")),
            ),
            ("unix:///run/redis.sock", Some(one("unix:///run/redis.sock"))),
            (
                "rediss-cluster://user:p@a:1,b:2",
                Some(Form::Cluster(urls(&["rediss://user:p@a:1", "rediss://user:p@b:2"]))),
            ),
            (
                "redis-sentinel://user:p@a:1,b:2/3?service=mine",
                Some(Form::Sentinel {
                    sentinels: urls(&["redis://a:1", "redis://b:2"]),
                    service: "mine".to_owned(),
                    node: "redis://user:p@sentinel/3".to_owned(),
                }),
            ),
            ("redis-sentinel://a:1", None),
            ("redis-cluster://a:1/2", None),
            ("redis-cluster://", None),
            ("http://redis", None),
            ("redis.internal:6379", None),
            ("redis://host:port", None),
        ] {
            let found = Address::parse(url).ok().map(|address| address.0);
            assert!(found == expected, "{url}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_late_looks_again() {
        let bound = Duration::from_millis(250);
        let began = tokio::time::Instant::now();
        assert_eq!(in_turns(bound, std::future::pending::<()>()).await, None);
        assert_eq!(began.elapsed(), bound);
        let slow = async {
            tokio::task::yield_now().await;
            // Everybody waits for somebody else's work.
            tokio::time::advance(2 * bound).await;
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(in_turns(bound, slow).await, Some(7));
    }

    #[test]
    fn an_address_does_not_print() {
        let address = Address::parse("redis://user:canary@redis").unwrap();
        assert_eq!(format!("{address:?}"), "Address(…)");
    }
}
