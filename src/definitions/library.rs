//! Every definition there is: those that came with the service, and those of the directory, which win.
//!
//! The directory is looked at when a report is asked for, at most every few seconds. A file is read again when what it
//! leads to, its time or its length has changed, so that a link that is switched counts as a change too. A file that
//! cannot be used any more leaves the definition it gave before in place, and a problem for everybody to see.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::Definition;

/// How long the directory goes unlooked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

const MAX_FILES: usize = 500;
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The definitions that came with the service, by name.
const BUILT_IN: [(&str, &str); 14] = [
    ("abandon-analysis", include_str!("builtin/abandon-analysis.toml")),
    ("agent-performance", include_str!("builtin/agent-performance.toml")),
    ("agent-states", include_str!("builtin/agent-states.toml")),
    ("agent-timeline", include_str!("builtin/agent-timeline.toml")),
    ("agents-now", include_str!("builtin/agents-now.toml")),
    ("conversation-list", include_str!("builtin/conversation-list.toml")),
    ("evaluation-scores", include_str!("builtin/evaluation-scores.toml")),
    ("flow-outcomes", include_str!("builtin/flow-outcomes.toml")),
    ("media-mix", include_str!("builtin/media-mix.toml")),
    ("queue-performance", include_str!("builtin/queue-performance.toml")),
    ("queues-now", include_str!("builtin/queues-now.toml")),
    (
        "service-level-by-half-hour",
        include_str!("builtin/service-level-by-half-hour.toml"),
    ),
    ("survey-scores", include_str!("builtin/survey-scores.toml")),
    ("wrapup-breakdown", include_str!("builtin/wrapup-breakdown.toml")),
];

/// Definitions and the directory some of them come from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Library(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    directory: Option<PathBuf>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    looked_at: Option<Instant>,
    files: Files,
    shelf: Arc<Shelf>,
}

/// The definitions at one time.
#[derive(Debug)]
pub struct Shelf {
    /// By name.
    pub definitions: BTreeMap<String, Arc<Definition>>,
    /// What is wrong with files that are not used, or not as they are now.
    pub problems: Vec<FileProblem>,
}

/// What is wrong with a file of the directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileProblem {
    /// The name of the file.
    pub file: String,
    /// What is wrong, and where in it.
    pub detail: String,
}

/// Files by name, as they were when they were last looked at.
type Files = BTreeMap<String, File>;

#[derive(Clone, Debug)]
struct File {
    stamp: Option<Stamp>,
    /// What it gave when it was last right.
    definition: Option<Arc<Definition>>,
    problems: Vec<String>,
}

/// What tells that a file has changed: what it leads to, when that was written, how long it is.
type Stamp = (PathBuf, Option<SystemTime>, u64);

impl Library {
    /// Reads the directory for the first time; a file that is wrong is refused, every mistake at once.
    pub fn open(directory: Option<PathBuf>, now: Timestamp) -> Result<Self, Vec<FileProblem>> {
        let files = match &directory {
            Some(directory) => look(directory, &Files::new(), now).map_err(|problem| vec![problem])?,
            None => Files::new(),
        };
        let shelf = Arc::new(Shelf::new(&files, now));
        if !shelf.problems.is_empty() {
            return Err(shelf.problems.clone());
        }
        let held = Held {
            looked_at: None,
            files,
            shelf,
        };
        Ok(Self(Arc::new(Parts {
            directory,
            held: Mutex::new(held),
        })))
    }

    /// The definitions as they are now, or were some seconds ago.
    pub async fn current(&self, now: Timestamp) -> Arc<Shelf> {
        if let Some((directory, files)) = self.due() {
            let looked = tokio::task::spawn_blocking(move || look(&directory, &files, now)).await;
            match looked {
                Ok(looked) => self.put(looked, now),
                Err(error) => tracing::error!(%error, "the directory of reports could not be looked at"),
            }
        }
        Arc::clone(&self.held().shelf)
    }

    /// The definitions that came with the service, and no directory.
    pub fn of_built_in(now: Timestamp) -> Self {
        let shelf = Arc::new(Shelf::built_in(now));
        let held = Held {
            looked_at: None,
            files: Files::new(),
            shelf,
        };
        Self(Arc::new(Parts {
            directory: None,
            held: Mutex::new(held),
        }))
    }

    /// What to look at, if it is time; whoever else asks meanwhile gets what is held.
    fn due(&self) -> Option<(PathBuf, Files)> {
        let directory = self.0.directory.clone()?;
        let mut held = self.held();
        if held.looked_at.is_some_and(|looked_at| looked_at.elapsed() < LOOK_EVERY) {
            return None;
        }
        held.looked_at = Some(Instant::now());
        Some((directory, held.files.clone()))
    }

    fn put(&self, looked: Result<Files, FileProblem>, now: Timestamp) {
        let mut held = self.held();
        let mut fresh = match looked {
            Ok(files) => {
                let is_same = |(one, other): ((&String, &File), (&String, &File))| {
                    one.0 == other.0 && one.1.stamp == other.1.stamp
                };
                let is_unchanged = files.len() == held.files.len() && files.iter().zip(&held.files).all(is_same);
                if is_unchanged && !held.shelf.problems.iter().any(|problem| problem.file.is_empty()) {
                    return;
                }
                held.files = files;
                Shelf::new(&held.files, now)
            }
            Err(problem) => {
                let mut fresh = Shelf::new(&held.files, now);
                fresh.problems.insert(0, problem);
                fresh
            }
        };
        fresh.problems.sort();
        for problem in fresh
            .problems
            .iter()
            .filter(|problem| !held.shelf.problems.contains(problem))
        {
            tracing::warn!(
                file = problem.file,
                detail = problem.detail,
                "a report's file cannot be used; what it said before stays"
            );
        }
        tracing::info!(reports = fresh.definitions.len(), "the reports were read again");
        held.shelf = Arc::new(fresh);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// The definitions that came with the service.
    pub fn built_in(now: Timestamp) -> Self {
        Self::new(&Files::new(), now)
    }

    fn new(files: &Files, now: Timestamp) -> Self {
        let mut definitions = BTreeMap::new();
        for (name, text) in BUILT_IN {
            let mut definition = Definition::parse(name, text, now).expect("a test reads every built-in definition");
            definition.is_built_in = true;
            definitions.insert(name.to_owned(), Arc::new(definition));
        }
        let given = files.values().filter_map(|file| file.definition.clone());
        definitions.extend(given.map(|definition| (definition.name.clone(), definition)));
        let problems = files.iter().flat_map(|(name, file)| {
            file.problems.iter().map(|detail| FileProblem {
                file: name.clone(),
                detail: detail.clone(),
            })
        });
        Self {
            definitions,
            problems: problems.collect(),
        }
    }
}

/// The files of the directory: those that have not changed as they were, the others read.
fn look(directory: &Path, known: &Files, now: Timestamp) -> Result<Files, FileProblem> {
    let wrong = |detail: String| FileProblem {
        file: String::new(),
        detail,
    };
    let unreadable = |error: std::io::Error| wrong(format!("{}: {error}", directory.display()));
    let mut files = Files::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let Some(name) = name
            .to_str()
            .filter(|name| name.strip_suffix(".toml").is_some() && !name.starts_with('.'))
        else {
            continue;
        };
        if files.len() == MAX_FILES {
            return Err(wrong(format!(
                "{}: there are more than {MAX_FILES} files",
                directory.display()
            )));
        }
        let before = known.get(name);
        files.insert(name.to_owned(), file(&directory.join(name), name, before, now));
    }
    Ok(files)
}

fn file(path: &Path, name: &str, before: Option<&File>, now: Timestamp) -> File {
    // Before it is read: what changes meanwhile is read again next time.
    let stamp = stamp(path).ok();
    if let Some(before) = before.filter(|before| stamp.is_some() && before.stamp == stamp) {
        return before.clone();
    }
    match read(path, name.trim_end_matches(".toml"), now) {
        Ok(definition) => File {
            stamp,
            definition: Some(Arc::new(definition)),
            problems: Vec::new(),
        },
        Err(problems) => File {
            stamp,
            definition: before.and_then(|before| before.definition.clone()),
            problems,
        },
    }
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let target = fs::canonicalize(path)?;
    let about = fs::metadata(&target)?;
    Ok((target, about.modified().ok(), about.len()))
}

fn read(path: &Path, name: &str, now: Timestamp) -> Result<Definition, Vec<String>> {
    let about = fs::metadata(path).map_err(|error| vec![error.to_string()])?;
    if about.len() > MAX_FILE_BYTES {
        return Err(vec![format!("a definition takes at most {MAX_FILE_BYTES} bytes")]);
    }
    let text = fs::read_to_string(path).map_err(|error| vec![error.to_string()])?;
    Definition::parse(name, &text, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-06-17T21:30:59.500Z".parse().unwrap()
    }

    #[test]
    fn every_built_in_definition_is_right() {
        for (name, text) in BUILT_IN {
            let definition = Definition::parse(name, text, now());
            assert!(definition.is_ok(), "{name}: {definition:?}");
        }
        assert!(Library::open(None, now()).is_ok());
    }

    #[test]
    fn the_documented_example_is_right() {
        let page = include_str!("../../docs/reports.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let definition = Definition::parse("first-contact", example.unwrap(), now()).unwrap();
        assert_eq!(definition.derived[0].name, "rate.transferred");
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_problem() {
        let problems = Library::open(Some(PathBuf::from("/nowhere/reports")), now()).unwrap_err();
        assert!(problems[0].detail.starts_with("/nowhere/reports: "), "{problems:?}");
    }
}
