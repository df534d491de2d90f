//! The command line.
//!
//! Exit codes: 0 done, 1 failed while running, 2 wrong use or settings.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use genesys_reports::{
    api,
    app::{self, App},
    clock::Clock,
    config::{self, Problems, Scope, Settings, Sources},
    definitions::Shelf,
    login,
    query::Restriction,
    run,
    simulator::{Options, Simulator, faults::FaultScript, person},
    telemetry::{self, LogFormat},
    upstream::{Checked, Class, Errand},
};
use serde_json::json;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Reporting answers from Genesys Cloud, with how fresh and how complete they are.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try it without an account: a simulated Genesys Cloud and the service in front of it.
    Demo {
        /// Where the service listens.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Serve a real organisation.
    Serve {
        #[command(flatten)]
        file: SettingsFile,
        /// Where to listen; wins over server.listen.
        #[arg(long)]
        listen: Option<SocketAddr>,
    },
    /// The simulated Genesys Cloud alone: login and API on one address.
    Simulate(Simulate),
    /// Check the settings, and what this OAuth client may do.
    Check(SettingsFile),
    /// Log in as yourself, in a browser, to explore under your own permissions.
    Login(LoginOptions),
    /// Write one answer to a file: a report, or a query.
    Run(RunOptions),
    /// Print the document that describes the API.
    Openapi,
    /// Print every setting: its name in the environment, its default, what it may be, what it is for.
    Settings,
    /// Say whether the local service is live, by the exit code.
    Healthcheck(SettingsFile),
    /// API keys.
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Args)]
struct SettingsFile {
    /// The settings file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct LoginOptions {
    /// Where on this machine the browser comes back to: the OAuth client has to know http://127.0.0.1:PORT/callback.
    #[arg(long, default_value_t = 8765)]
    port: u16,
    /// End the login instead.
    #[arg(long)]
    logout: bool,
    #[command(flatten)]
    file: SettingsFile,
}

#[derive(Args)]
struct RunOptions {
    /// The report, by its name.
    #[arg(required_unless_present = "query", conflicts_with = "query")]
    report: Option<String>,
    /// A file with a body of POST /v1/query instead; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    query: Option<PathBuf>,
    /// Where the range begins: a day, an instant, or relative.
    #[arg(long)]
    from: Option<String>,
    /// Where the range ends, not included.
    #[arg(long)]
    to: Option<String>,
    /// A parameter of the report; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// csv, ndjson, table, xlsx, arrow or parquet; by default what the output ends with, or csv.
    #[arg(long)]
    format: Option<String>,
    /// The file to write, which appears whole or not at all; `-`, or none, is standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A directory of Parquet files by day instead (date=2026-03-01/part-0.parquet): each day of the range is replaced.
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    append_partition: Option<PathBuf>,
    /// How long all of it may take, in seconds.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_s: u64,
    /// Ask a simulated Genesys Cloud, without an account.
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    file: SettingsFile,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("this is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Args)]
struct Simulate {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// Seed of the data.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Days of data before today.
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// Conversations on a typical weekday.
    #[arg(long, default_value_t = 1_000)]
    conversations_per_day: u32,
    /// What every answer takes at least, in milliseconds.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Requests a minute and token.
    #[arg(long, default_value_t = 300)]
    rate_limit: u32,
    /// A script of faults (TOML, or JSON by its name).
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Keys {
    /// Make a key: print it once, and the settings to paste.
    New {
        /// Who it is for.
        name: String,
        /// What it may do; may be repeated.
        #[arg(long, value_enum, default_values = ["read"])]
        scope: Vec<Scope>,
        /// What it is confined to: ids by `routing.queue.id` or `division.id`; may be repeated.
        #[arg(long = "filter", value_name = "DIMENSION=ID,ID", value_parser = parameter)]
        filters: Vec<(String, String)>,
    },
}

/// Why a command did not do what it should.
enum Failure {
    /// Wrong use or settings.
    Wrong(String),
    /// Failed while running.
    Failed(String),
}

fn main() -> ExitCode {
    // A wrong command line ends here, with exit code 2.
    let cli = Cli::parse();
    let outcome = runtime().and_then(|runtime| {
        let outcome = runtime.block_on(execute(cli.command));
        // What was cut off may still be at work on a thread aside, and nobody waits for it.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => {
            eprintln!("genesys-reports: {why}");
            ExitCode::from(1)
        }
        Err(Failure::Wrong(why)) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

async fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo { listen } => demo(listen).await,
        Command::Serve { file, listen } => {
            let mut sources = sources(file);
            sources
                .flags
                .extend(listen.map(|listen| ("server.listen", listen.to_string())));
            serve(sources).await
        }
        Command::Simulate(options) => simulate(options).await,
        Command::Check(file) => check(sources(file)).await,
        Command::Healthcheck(file) => healthcheck(&sources(file)).await,
        Command::Run(options) => run_once(options).await,
        Command::Login(options) => log_in(options).await,
        Command::Openapi => {
            let shelf = Shelf::built_in(Clock::system().now());
            print(&api::openapi::pretty(&api::document(&shelf)))
        }
        Command::Settings => print(&config::reference::document()),
        Command::Keys(Keys::New { name, scope, filters }) => print(&new_key(&name, &scope, &filters)?),
    }
}

async fn serve(sources: Sources) -> Result<(), Failure> {
    let settings = Settings::load(&sources)?;
    settings.genesys.may_serve()?;
    let _log = telemetry::start_logging(settings.telemetry.log_format, &settings.telemetry.log_level);
    let app = App::new(&settings, Clock::system()).map_err(|error| failed("cannot start", &error))?;
    // Before anybody is told that it serves: whoever knows may also stop it.
    let stop = stop_on_signal()?;
    raise_open_files(settings.server.max_connections);
    let listener = listen(settings.server.listen)?;
    let address = listener.local_addr().map_err(|error| failed("no address", &error))?;
    tracing::info!(listen = %address, tls = settings.server.identity.is_some(), "serving");
    run_to_its_end(app, listener, stop).await
}

async fn demo(address: SocketAddr) -> Result<(), Failure> {
    let stop = stop_on_signal()?;
    let upstream = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = listen(address)?;
    let local = |listener: &TcpListener| listener.local_addr().map_err(|error| failed("no address", &error));
    let simulator_url = format!("http://{}", local(&upstream)?);
    let clock = Clock::system();
    let mut options = Options::new(clock.clone());
    // A demo may run for days; nobody reads back further than this.
    options.journal_bound = Some(1000);
    let settings = Settings::load(&demo_sources(address, &simulator_url, &options))?;
    let scheme = if settings.server.identity.is_some() {
        "https"
    } else {
        "http"
    };
    let service_url = format!("{scheme}://{}", local(&listener)?);
    let _log = telemetry::start_logging(settings.telemetry.log_format, &settings.telemetry.log_level);

    let ended = CancellationToken::new();
    let simulator = Simulator::new(options);
    let simulated = tokio::spawn({
        let ended = ended.clone();
        async move { simulator.serve(upstream, ended.cancelled()).await }
    });
    let app = App::new(&settings, clock).map_err(|error| failed("cannot start", &error))?;
    print(&demo_text(&service_url, &simulator_url))?;
    let outcome = run_to_its_end(app, listener, stop).await;
    ended.cancel();
    // The simulator has nobody left to answer.
    simulated.abort();
    outcome
}

/// The demo's own organisation, whatever organisation the environment names; the rest can be set as always.
fn demo_sources(listen: SocketAddr, simulator_url: &str, options: &Options) -> Sources {
    let mut environment = config::process_environment();
    environment.retain(|name, _| !name.starts_with("GENESYS"));
    Sources {
        flags: vec![
            ("server.listen", listen.to_string()),
            ("genesys.api_url", simulator_url.to_owned()),
            ("genesys.login_url", simulator_url.to_owned()),
            ("genesys.client_id", options.client_id.clone()),
            ("genesys.client_secret", options.client_secret.clone()),
        ],
        environment,
        file: None,
    }
}

fn demo_text(service_url: &str, simulator_url: &str) -> String {
    format!(
        "genesys-reports demo: a simulated Genesys Cloud, nothing leaves this machine

  service     {service_url}/
  try it out  {service_url}/docs/
  simulator   {simulator_url}

The login of a person, in another terminal:

  GENESYS_API_URL={simulator_url} GENESYS_LOGIN_URL={simulator_url} \
         GENESYS_CLIENT_ID={person} genesys-reports login

Conversations by queue, the seven days before today:

  curl -s '{service_url}/v1/query' -H 'content-type: application/json' -d '{{\"dateFrom\": \"now-7d/d\", \
         \"dateTo\": \"now/d\", \"groupBy\": [\"routing.queue.id\"], \"select\": [\"routing.queue.id\", \
         \"routing.queue.name\", \"conversation.count\"], \"orderBy\": [\"-conversation.count\"]}}'

",
        person = person::CLIENT_ID,
    )
}

async fn run_once(options: RunOptions) -> Result<(), Failure> {
    let stop = stop_on_signal()?;
    let clock = Clock::system();
    let (sources, simulated) = if options.demo {
        let upstream = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = upstream.local_addr().map_err(|error| failed("no address", &error))?;
        let simulated = Options::new(clock.clone());
        let sources = demo_sources(address, &format!("http://{address}"), &simulated);
        let serving = async move { Simulator::new(simulated).serve(upstream, std::future::pending()).await };
        (sources, Some(tokio::spawn(serving)))
    } else {
        (sources(options.file), None)
    };
    let mut settings = Settings::load(&sources)?;
    let wanted = run::Wanted {
        question: match (options.report, options.query) {
            (Some(report), _) => run::Question::Report(report),
            (None, Some(path)) => run::Question::Query(query_of(&path)?),
            (None, None) => return Err(Failure::Wrong("a report, or --query FILE".to_owned())),
        },
        from: options.from,
        to: options.to,
        parameters: options.parameters,
        format: options.format,
        output: match (options.append_partition, options.output) {
            (Some(directory), _) => run::Output::Partitions(directory),
            (None, Some(path)) if path != Path::new("-") => run::Output::File(path),
            (None, _) => run::Output::Standard,
        },
    };
    let _log = telemetry::start_logging(settings.telemetry.log_format, "error");
    // Nobody else asks, and nobody asks from elsewhere.
    settings.auth = config::AuthSettings {
        keys: Vec::new(),
        anonymous: true,
        ..settings.auth
    };
    // Nothing here runs long enough to take spans anywhere.
    settings.telemetry.traces = None;
    settings.server.request_timeout = Duration::from_secs(options.timeout_s);
    settings.server.stream_timeout = settings.server.request_timeout;
    let library = settings.reports.library.clone();
    let app = App::new(&settings, clock.clone()).map_err(|error| failed("cannot start", &error))?;
    let api = app.into_api();
    let outcome = run::run(&api, &library, clock.now(), &wanted, &stop).await;
    if let Some(simulated) = simulated {
        simulated.abort();
    }
    let written = outcome.map_err(|error| match error {
        run::RunError::Wrong(why) => Failure::Wrong(why),
        run::RunError::Failed(why) => Failure::Failed(why),
    })?;
    let to = match (&wanted.output, written.files) {
        (run::Output::Standard, _) => String::new(),
        (run::Output::File(path), _) => format!(" to {}", path.display()),
        (run::Output::Partitions(directory), files) => format!(" in {files} partitions of {}", directory.display()),
    };
    let freshness = match (&written.as_of, written.complete.as_deref()) {
        (Some(as_of), Some("true")) => format!(", as of {as_of}, complete"),
        (Some(as_of), _) => format!(", as of {as_of}, not settled yet"),
        (None, _) => String::new(),
    };
    eprintln!("genesys-reports: {} bytes{to}{freshness}", written.bytes);
    Ok(())
}

fn query_of(path: &Path) -> Result<serde_json::Value, Failure> {
    let wrong = |error: &dyn Error| Failure::Wrong(format!("{}: {}", path.display(), chain(error)));
    let text = if path == Path::new("-") {
        io::read_to_string(io::stdin()).map_err(|error| wrong(&error))?
    } else {
        std::fs::read_to_string(path).map_err(|error| wrong(&error))?
    };
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

async fn simulate(wanted: Simulate) -> Result<(), Failure> {
    let _log = telemetry::start_logging(LogFormat::Text, "info");
    let mut options = Options::new(Clock::system());
    options.seed = wanted.seed;
    options.days = wanted.days;
    options.conversations_per_day = wanted.conversations_per_day;
    options.latency = Duration::from_millis(wanted.latency_ms);
    options.rate_limit = wanted.rate_limit;
    if let Some(path) = &wanted.faults {
        options.faults = faults(path)?;
    }
    let stop = stop_on_signal()?;
    let listener = listen(wanted.listen)?;
    let address = listener.local_addr().map_err(|error| failed("no address", &error))?;
    print(&format!(
        "simulated Genesys Cloud; this points `serve` and `check` at it:\n\n\
         export GENESYS_API_URL=http://{address} GENESYS_LOGIN_URL=http://{address}\n\
         export GENESYS_CLIENT_ID={} GENESYS_CLIENT_SECRET={}\n\n",
        options.client_id, options.client_secret
    ))?;
    Simulator::new(options).serve(listener, stop.cancelled()).await;
    Ok(())
}

fn faults(path: &Path) -> Result<FaultScript, Failure> {
    let wrong = |error: &dyn Error| Failure::Wrong(format!("{}: {}", path.display(), chain(error)));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let is_json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let script = if is_json {
        FaultScript::from_json_str(&text)
    } else {
        FaultScript::from_toml_str(&text)
    };
    script.map_err(|error| wrong(&error))
}

async fn check(sources: Sources) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_mins(1);
    let settings = Settings::load(&sources)?;
    let client = app::client(&settings, Clock::system()).map_err(|error| failed("cannot start", &error))?;
    let checked = client
        .check(&Errand::of_the_service(Class::Interactive, Instant::now() + PATIENCE))
        .await;
    let mut table = format!(
        "API {}\ntoken from {}\n\n",
        settings.genesys.api_url, settings.genesys.token_url
    );
    for line in &checked {
        let outcome = match &line.outcome {
            Ok(()) => "ok".to_owned(),
            Err(_) if line.is_left_out() => "not permitted; optional".to_owned(),
            Err(error) => format!("FAILED: {}", chain(error)),
        };
        table.push_str(format!("{:<28} {:<48} {outcome}", line.what, line.permission).trim_end());
        table.push('\n');
    }
    print(&table)?;
    let is_failure = |line: &&Checked| line.outcome.is_err() && !line.is_left_out();
    match checked.iter().filter(is_failure).count() {
        0 => Ok(()),
        failures => Err(Failure::Failed(format!(
            "{failures} of {} checks failed",
            checked.len()
        ))),
    }
}

async fn log_in(options: LoginOptions) -> Result<(), Failure> {
    let mut sources = sources(options.file);
    sources.flags.push(("genesys.grant", "login".to_owned()));
    let login = Settings::load(&sources)?.genesys.login();
    let login = login.ok_or_else(|| Failure::Failed("cannot log in".to_owned()))?;
    let clock = Clock::system();
    if options.logout {
        let ended = login.log_out(&clock).await;
        ended.map_err(|error| failed("cannot log out", &error))?;
        return print("logged out\n");
    }
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], options.port)))?;
    let address = listener.local_addr().map_err(|error| failed("no address", &error))?;
    let begun = login.begin(&format!("http://{address}{}", login::CALLBACK));
    print(&format!(
        "open this in a browser on this machine:\n\n  {}\n\n",
        begun.url
    ))?;
    let kept = login.kept.0.display().to_string();
    let outcome = login::wait(login, begun, listener, clock).await;
    outcome.map_err(|error| failed("cannot log in", &error))?;
    print(&format!(
        "logged in; kept in {kept}\n\nset GENESYS_GRANT=login for `run` and `check` to use it; \
         `login --logout` ends it\n"
    ))
}

async fn healthcheck(sources: &Sources) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let server = config::server_settings(sources)?;
    let mut address = server.listen;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(loopback);
    }
    let scheme = if server.identity.is_some() { "https" } else { "http" };
    // The certificate names the service as its callers know it, not this address, and nothing is told to whoever
    // answers here.
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true);
    let client = client.timeout(PATIENCE).build();
    let client = client.map_err(|error| failed("cannot ask", &error))?;
    let answer = client.get(format!("{scheme}://{address}/health/live")).send().await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(Failure::Failed(format!("{address} answers {}", answer.status()))),
        Err(error) => Err(failed("no answer", &error)),
    }
}

fn new_key(name: &str, scopes: &[Scope], filters: &[(String, String)]) -> Result<String, Failure> {
    let mut written = BTreeMap::<String, Vec<String>>::new();
    for (dimension, ids) in filters {
        let ids = ids.split(',').map(str::to_owned);
        written.entry(dimension.clone()).or_default().extend(ids);
    }
    Restriction::try_from(written.clone()).map_err(|wrong| Failure::Wrong(format!("--filter {wrong}")))?;
    let clauses = written
        .iter()
        .map(|(dimension, ids)| format!("{} = {}", json!(dimension), json!(ids)));
    let filters = match clauses.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => none,
        clauses => format!("filters = {{ {clauses} }}\n"),
    };
    let (key, sha256) = api::auth::new_key();
    let scopes: Vec<String> = scopes
        .iter()
        .map(|scope| format!("\"{scope:?}\"").to_lowercase())
        .collect();
    Ok(format!(
        "key: {key}\n\n[[auth.keys]]\nname = {}\nsha256 = \"{sha256}\"\nscopes = [{}]\n{filters}",
        // JSON's strings are TOML's basic strings.
        json!(name),
        scopes.join(", ")
    ))
}

async fn run_to_its_end(app: App, listener: TcpListener, stop: CancellationToken) -> Result<(), Failure> {
    if app.serve(listener, stop).await {
        Ok(())
    } else {
        Err(Failure::Failed("requests were cut off".to_owned()))
    }
}

/// Cancelled by the first signal to stop; the second ends the process at once.
fn stop_on_signal() -> Result<CancellationToken, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| failed("cannot listen to signals", &error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    // Lives as long as the process: it is how the process ends.
    tokio::spawn({
        let stop = stop.clone();
        async move {
            for is_first in [true, false] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if is_first {
                    stop.cancel();
                }
            }
            std::process::exit(1);
        }
    });
    Ok(stop)
}

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    api::serve::listen(address).map_err(|error| failed(&format!("cannot listen on {address}"), &error))
}

/// Lets the process open as many files as its hard limit allows: what is set softly is meant for programs of another
/// age, and a connection is a file.
fn raise_open_files(max_connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    /// For all that is no caller's connection.
    const OTHERS: u64 = 256;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if allowed.is_some_and(|allowed| allowed < max_connections as u64 + OTHERS) {
        tracing::warn!(
            allowed,
            max_connections,
            "fewer open files are allowed than connections may be open"
        );
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    /// Threads for work put aside (`aside`), by processor, and at least. By default there are hundreds, for what waits;
    /// ours computes, and more at a time would only be in each other's way.
    const ASIDE: (usize, usize) = (2, 4);
    /// Tasks between two looks at the sockets. By default 61, and in an overload each may take a millisecond.
    const TASKS_BETWEEN_LOOKS: u32 = 11;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads((ASIDE.0 * processors).max(ASIDE.1))
        .event_interval(TASKS_BETWEEN_LOOKS)
        .enable_all()
        .build();
    runtime.map_err(|error| failed("cannot start", &error))
}

fn sources(file: SettingsFile) -> Sources {
    Sources {
        flags: Vec::new(),
        environment: config::process_environment(),
        file: file.config,
    }
}

/// Writes to standard output; whoever closed it early has seen enough.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed("cannot print", &error)),
        _ => Ok(()),
    }
}

fn failed(what: &str, error: &dyn Error) -> Failure {
    Failure::Failed(format!("{what}: {}", chain(error)))
}

/// An error and what lies underneath, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Wrong(problems.to_string())
    }
}
