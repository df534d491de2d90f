//! One answer to a file or to standard output, for cron and warehouse loads: the command `run`.
//!
//! The question goes through the service's own routes, in this process and over no socket, so that what is checked,
//! answered and written is what a caller over HTTP gets, byte for byte. A file appears whole or not at all: it is written
//! beside its place and moved there when all of it is on disk. By day, every partition of the range is replaced, also by
//! one without rows: asked again tomorrow, nothing is there twice and a correction to nothing is a correction.

use std::{
    io,
    path::{Path, PathBuf},
};

use axum::body::Body;
use futures_util::TryStreamExt as _;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use jiff::{Timestamp, civil::Date};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        Api,
        conditional::{DATA_AS_OF, DATA_COMPLETE},
    },
    definitions::{Bound, Definition, Kind, Library},
    query::{Complaint, Granularity, Limits, Query, QueryRequest, Range, Zone},
    report::Reached,
    upstream::Class,
};

/// What to ask, and where its answer goes.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What to ask.
    pub question: Question,
    /// Where the range begins, instead of what the question says.
    pub from: Option<String>,
    /// Where it ends.
    pub to: Option<String>,
    /// Further parameters of a report.
    pub parameters: Vec<(String, String)>,
    /// What to write: `csv`, `ndjson`, `table`, `xlsx`, `arrow` or `parquet`.
    pub format: Option<String>,
    /// Where to.
    pub output: Output,
}

/// What to ask.
#[derive(Clone, Debug)]
pub enum Question {
    /// A report, by its name.
    Report(String),
    /// A body of `POST /v1/query`.
    Query(Value),
}

/// Where an answer goes.
#[derive(Clone, Debug)]
pub enum Output {
    /// Standard output.
    Standard,
    /// A file, which is replaced.
    File(PathBuf),
    /// A directory with a Parquet file for every day, `date=2026-03-01/part-0.parquet`, which are replaced.
    Partitions(PathBuf),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The question is wrong; every mistake on a line of its own.
    #[error("{0}")]
    Wrong(String),
    /// The question is right, and there is no answer.
    #[error("{0}")]
    Failed(String),
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Bytes, of all files together.
    pub bytes: u64,
    /// Files; none if it went to standard output.
    pub files: usize,
    /// When the oldest part was fetched, where the answer says so before its end.
    pub as_of: Option<String>,
    /// Whether all figures have settled, likewise.
    pub complete: Option<String>,
}

/// Asks, and writes the answer; `stop` ends it with nothing half-written.
pub async fn run(
    api: &Api,
    library: &Library,
    now: Timestamp,
    wanted: &Wanted,
    stop: &CancellationToken,
) -> Result<Written, RunError> {
    let format = wanted.format()?;
    let progress = Progress::start();
    let written = async {
        match &wanted.output {
            Output::Standard => {
                let answer = ask(api, wanted, format, None).await?;
                copy(answer, &mut io::stdout().lock(), Some(&progress)).await
            }
            Output::File(path) => {
                let answer = ask(api, wanted, format, None).await?;
                to_file(answer, path, Some(&progress)).await
            }
            Output::Partitions(directory) => {
                let days = wanted.days(library, now).await?;
                to_partitions(api, wanted, &days, directory, &progress).await
            }
        }
    };
    let outcome = tokio::select! {
        written = written => written,
        () = stop.cancelled() => Err(RunError::Failed("stopped; nothing was written but whole files".to_owned())),
    };
    progress.0.finish_and_clear();
    outcome
}

/// On a terminal, how far it has come; nothing elsewhere.
struct Progress(ProgressBar);

impl Progress {
    /// Nobody knows yet how much there will be.
    fn start() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} {msg} {elapsed}"));
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Self(bar)
    }

    /// There will be a file for each of so many days.
    fn by_day(&self, days: usize) {
        self.0.set_style(style("{bar:30} {pos}/{len} days {msg} {elapsed}"));
        self.0.set_length(days as u64);
    }

    fn begin(&self, day: &Day) {
        self.0.set_message(day.date.to_string());
    }

    fn end_of_day(&self) {
        self.0.inc(1);
    }

    /// So many bytes of an answer have come, and so far it is through its range, where that is known.
    fn came(&self, bytes: u64, reached: Option<&Reached>) {
        if let Some(reached) = reached {
            if self.0.length().is_none() {
                self.0.set_style(style("{bar:30} {percent}% {msg} {elapsed}"));
                self.0.set_length(1000);
            }
            self.0.set_position(reached.thousandths().into());
        }
        self.0.set_message(HumanBytes(bytes).to_string());
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

const FORMATS: [&str; 6] = ["csv", "ndjson", "table", "xlsx", "arrow", "parquet"];

impl Wanted {
    /// By what is said, else by the ending of the file, else CSV.
    fn format(&self) -> Result<&str, RunError> {
        let wrong = |why: String| Err(RunError::Wrong(why));
        let ending = match &self.output {
            Output::File(path) => path.extension().and_then(|ending| ending.to_str()),
            Output::Partitions(_) => Some("parquet"),
            Output::Standard => None,
        };
        let known_ending = ending.filter(|ending| FORMATS.contains(ending));
        match (self.format.as_deref(), known_ending) {
            (Some(said), _) if !FORMATS.contains(&said) => {
                wrong(format!("--format {said}: there are {}", FORMATS.join(", ")))
            }
            (Some(said), Some(ending)) if said != ending => wrong(format!(
                "--format {said} and an output of {ending}: say one or the other"
            )),
            (Some(format), _) | (None, Some(format)) => Ok(format),
            (None, None) if ending.is_some() => wrong(format!("--format: one of {}", FORMATS.join(", "))),
            (None, None) => Ok("csv"),
        }
    }

    /// The question as a request, of one day if told.
    fn request(&self, format: &str, day: Option<&Day>) -> Result<Request<Body>, RunError> {
        let from = day.map(|day| day.range.start.to_string()).or_else(|| self.from.clone());
        let to = day.map(|day| day.range.end.to_string()).or_else(|| self.to.clone());
        let mut delivery = form_urlencoded::Serializer::new(String::new());
        delivery.extend_pairs([("format", format), ("on_error", "fail")]);
        let request = match &self.question {
            Question::Report(name) => {
                let [from_name, to_name] = day.map_or(["from", "to"].map(str::to_owned), |day| day.parameters.clone());
                let range = [(&from_name, from), (&to_name, to)];
                let range = range.into_iter().filter_map(|(name, value)| Some((name, value?)));
                let others = self.parameters.iter().filter(|(name, _)| {
                    // A day takes the place of a range that was given by parameters.
                    day.is_none() || (*name != from_name && *name != to_name)
                });
                delivery.extend_pairs(range).extend_pairs(others);
                let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
                Request::get(format!("/v1/reports/{name}?{}", delivery.finish()))
                    .extension(Class::Export)
                    .body(Body::empty())
            }
            Question::Query(body) => {
                if let Some((name, _)) = self.parameters.first() {
                    return Err(RunError::Wrong(format!(
                        "--param {name}: a query has no parameters, its file says everything"
                    )));
                }
                let mut body = body.clone();
                if let Some(members) = body.as_object_mut() {
                    let range = [("dateFrom", from), ("dateTo", to)];
                    let range = range.into_iter().filter_map(|(name, value)| Some((name, value?)));
                    members.extend(range.map(|(name, value)| (name.to_owned(), value.into())));
                }
                Request::post(format!("/v1/query?{}", delivery.finish()))
                    .header(header::CONTENT_TYPE, "application/json")
                    .extension(Class::Export)
                    .body(body.to_string().into())
            }
        };
        request.map_err(|error| RunError::Wrong(error.to_string()))
    }

    /// The days of the range, if it is made of whole ones and the answer can be told apart by them.
    async fn days(&self, library: &Library, now: Timestamp) -> Result<Vec<Day>, RunError> {
        let limits = Limits::default();
        let mut is_of_figures = true;
        let (range, zone, parameters) = match &self.question {
            Question::Report(name) => {
                let reports = library.current(now).await;
                let Some(definition) = reports.definitions.get(name) else {
                    return Err(RunError::Wrong(format!("there is no report `{name}`")));
                };
                let given = [("from", &self.from), ("to", &self.to)];
                let given = given
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
                let arguments: Vec<_> = given.chain(self.parameters.iter().cloned()).collect();
                let (bound, _) = definition.bind(&arguments, now, &limits).map_err(wrong)?;
                let (range, zone) = match &bound {
                    Bound::Figures { query, .. } => by_day(query.question())?,
                    Bound::Conversations { time_zone, question } => {
                        is_of_figures = false;
                        (question.question().0.range, time_zone.clone())
                    }
                    Bound::States(query) => {
                        is_of_figures = false;
                        let question = query.question();
                        (question.range, question.time_zone.clone())
                    }
                    Bound::Now(_) | Bound::UsersNow(_) => {
                        return Err(RunError::Wrong(format!(
                            "partitions are days, and the report {name} shows this moment"
                        )));
                    }
                };
                (range, zone, range_parameters(definition)?)
            }
            Question::Query(body) => {
                let mut body = body.clone();
                if let Some(members) = body.as_object_mut() {
                    let range = [("dateFrom", &self.from), ("dateTo", &self.to)];
                    let range = range
                        .into_iter()
                        .filter_map(|(name, value)| Some((name, value.clone()?)));
                    members.extend(range.map(|(name, value)| (name.to_owned(), value.into())));
                }
                let read = QueryRequest::from_json(&body);
                let query = read
                    .meaning(|request| Query::parse(&request, now, &limits))
                    .map_err(wrong)?;
                let (range, zone) = by_day(query.question())?;
                (range, zone, ["from", "to"].map(str::to_owned))
            }
        };
        let days: Vec<Day> = Granularity::Day
            .buckets(range, &zone)
            .map(|range| Day {
                date: range.days(&zone)[0],
                range,
                is_of_figures,
                parameters: parameters.clone(),
            })
            .collect();
        let is_whole = |day: &Day| Granularity::Day.bucket_at(day.range.start, &zone) == Some(day.range);
        if days.iter().all(is_whole) {
            Ok(days)
        } else {
            Err(RunError::Wrong(format!(
                "partitions are whole days of {}, as each replaces its day: {range} begins or ends within one",
                zone.name()
            )))
        }
    }
}

/// A day of the range, and the names of the parameters that choose it.
#[derive(Clone, Debug)]
struct Day {
    date: Date,
    range: Range,
    is_of_figures: bool,
    parameters: [String; 2],
}

fn by_day(query: &Query) -> Result<(Range, Zone), RunError> {
    let aggregate = &query.aggregate;
    match aggregate.granularity {
        Some(Granularity::Minutes(_) | Granularity::Day) if query.limit.is_none() => {
            Ok((aggregate.range, aggregate.time_zone.clone()))
        }
        Some(Granularity::Minutes(_) | Granularity::Day) => Err(RunError::Wrong(
            "partitions: `limit` is of the whole answer, not of a day".to_owned(),
        )),
        _ => Err(RunError::Wrong(
            "partitions are days: ask for an interval of a day (P1D) or shorter".to_owned(),
        )),
    }
}

fn range_parameters(definition: &Definition) -> Result<[String; 2], RunError> {
    let named = |kind: &Kind| {
        let found = definition.parameters.iter().find(|parameter| parameter.kind == *kind);
        found.map(|parameter| parameter.name.clone())
    };
    match (named(&Kind::RangeStart), named(&Kind::RangeEnd)) {
        (Some(from), Some(to)) => Ok([from, to]),
        _ => Err(RunError::Wrong(format!(
            "partitions: the report {} has no parameters for its range",
            definition.name
        ))),
    }
}

fn wrong(complaints: Vec<Complaint>) -> RunError {
    let told = complaints.into_iter().map(|complaint| {
        let advice = complaint
            .suggestion
            .map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
        format!("{}: {}{advice}", complaint.pointer, complaint.detail)
    });
    RunError::Wrong(told.collect::<Vec<_>>().join("\n"))
}

/// The answer's head is there and says that it is one.
async fn ask(api: &Api, wanted: &Wanted, format: &str, day: Option<&Day>) -> Result<Response<Body>, RunError> {
    let request = wanted.request(format, day)?;
    let answer = api.answer(request).await;
    if answer.status() == StatusCode::OK {
        return Ok(answer);
    }
    let is_ours = answer.status().is_client_error();
    let problem = answer.into_body().collect().await.map_err(|error| failed(&error))?;
    let problem: Value = serde_json::from_slice(&problem.to_bytes()).unwrap_or_default();
    let text = |of: &Value, name: &str| of[name].as_str().map(str::to_owned);
    let mut told = vec![
        [text(&problem, "title"), text(&problem, "detail")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(": "),
    ];
    for error in problem["errors"].as_array().into_iter().flatten() {
        let advice = text(error, "suggestion").map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
        let pointer = text(error, "pointer").unwrap_or_default();
        told.push(format!(
            "{pointer}: {}{advice}",
            text(error, "detail").unwrap_or_default()
        ));
    }
    let told = told.join("\n");
    Err(if is_ours {
        RunError::Wrong(told)
    } else {
        RunError::Failed(told)
    })
}

fn failed(error: &dyn std::fmt::Display) -> RunError {
    RunError::Failed(error.to_string())
}

async fn copy(
    answer: Response<Body>,
    out: &mut impl io::Write,
    progress: Option<&Progress>,
) -> Result<Written, RunError> {
    let field = |name: &http::HeaderName| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let mut written = Written {
        as_of: field(&DATA_AS_OF),
        complete: field(&DATA_COMPLETE),
        ..Written::default()
    };
    let reached = answer.extensions().get::<Reached>().cloned();
    let mut pieces = answer.into_body().into_data_stream();
    let broken = |error: axum::Error| RunError::Failed(format!("the answer broke off: {error}"));
    while let Some(piece) = pieces.try_next().await.map_err(broken)? {
        out.write_all(&piece).map_err(|error| failed(&error))?;
        written.bytes += piece.len() as u64;
        if let Some(progress) = progress {
            progress.came(written.bytes, reached.as_ref());
        }
    }
    out.flush().map_err(|error| failed(&error))?;
    Ok(written)
}

async fn to_file(answer: Response<Body>, path: &Path, progress: Option<&Progress>) -> Result<Written, RunError> {
    let told = |error: &dyn std::fmt::Display| RunError::Failed(format!("{}: {error}", path.display()));
    let beside = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(beside).map_err(|error| told(&error))?;
    let mut written = copy(answer, &mut file, progress).await?;
    file.as_file().sync_all().map_err(|error| told(&error))?;
    readable(&file).map_err(|error| told(&error))?;
    file.persist(path).map_err(|error| told(&error))?;
    written.files = 1;
    Ok(written)
}

/// As readable as files usually are; a temporary one is its owner's only.
fn readable(file: &NamedTempFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

async fn to_partitions(
    api: &Api,
    wanted: &Wanted,
    days: &[Day],
    directory: &Path,
    progress: &Progress,
) -> Result<Written, RunError> {
    // Figures all at once first, so that their days are held: one request for all of them, not one for each. What is too
    // large for that is asked for by day, and what fails is told there.
    if days.len() > 1 && days.iter().all(|day| day.is_of_figures) {
        let _ = ask(api, wanted, "ndjson", None).await;
    }
    let mut all = Written::default();
    progress.by_day(days.len());
    for day in days {
        progress.begin(day);
        let partition = directory.join(format!("date={}", day.date));
        std::fs::create_dir_all(&partition)
            .map_err(|error| RunError::Failed(format!("{}: {error}", partition.display())))?;
        let answer = ask(api, wanted, "parquet", Some(day)).await?;
        let written = to_file(answer, &partition.join("part-0.parquet"), None).await?;
        progress.end_of_day();
        all.bytes += written.bytes;
        all.files += 1;
        // Instants of the same form: the earliest is the least.
        all.as_of = match (all.as_of.take(), written.as_of) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        all.complete = match (all.complete.take(), written.complete) {
            (Some(one), Some(other)) => Some(if one == "true" { other } else { one }),
            (one, other) => one.or(other),
        };
    }
    Ok(all)
}
