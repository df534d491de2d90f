//! What must hold whatever happened: every answer is right or a told failure, and the platform is asked no more than was
//! promised. Knows what the service promises from its documents, and nothing of how it keeps it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use genesys_reports::simulator::{journal::Entry, organisation::Injection};
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    plan::{Ask, Plan, Step},
    question::{Conversations, Figures, Group, Made, Question, Shown, Span},
    stage::{Answer, Evidence, MAX_ATTEMPTS, Outcome},
    truth::{Rows, Seen},
};

/// Everything that does not hold.
pub(super) fn complaints(plan: &Plan, evidence: &Evidence) -> Vec<String> {
    let fetches = fetches(evidence);
    let judge = Judge {
        plan,
        evidence,
        fetches,
    };
    let mut complaints = Vec::new();
    for answer in &evidence.answers {
        complaints.extend(judge.answer(answer).err().map(|complaint| describe(answer, &complaint)));
    }
    for answer in &evidence.recovered {
        let outcome = judge.answer(answer).and_then(|()| is_recovered(answer));
        complaints.extend(
            outcome
                .err()
                .map(|complaint| describe(answer, &format!("at the end: {complaint}"))),
        );
    }
    complaints.extend(calls(plan, evidence));
    complaints.extend(rest(plan, evidence));
    complaints
}

fn describe(answer: &Answer, complaint: &str) -> String {
    let Answer {
        ask,
        asked_at,
        known_at,
        ..
    } = answer;
    let told = match &answer.outcome {
        Outcome::Left => "the caller left".to_owned(),
        Outcome::Came {
            status, headers, body, ..
        } => {
            let text: String = String::from_utf8_lossy(body).chars().take(600).collect();
            let [cache, as_of] = ["cache-status", "x-data-as-of"].map(|name| self::text(headers, name));
            format!("{status} {cache} {as_of} {text}")
        }
    };
    format!(
        "{complaint}\n  asked at {asked_at:.3}, known at {known_at:.3}: {}\n  {told}",
        format_args!("{}{}", ask.question.target(), ask.wishes())
    )
}

type Verdict = Result<(), String>;

fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(complaint()) }
}

struct Judge<'a> {
    plan: &'a Plan,
    evidence: &'a Evidence,
    fetches: Vec<Fetch<'a>>,
}

/// A request to the platform that was answered in full; in milliseconds.
struct Fetch<'a> {
    entry: &'a Entry,
    /// By the platform's clock.
    sent_at: i64,
    /// By the service's.
    label: i64,
    /// When the platform looked.
    of: i64,
    interval: Option<(i64, i64)>,
}

/// How the answer says it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    Fresh,
    Revalidating,
    Stale,
    /// It does not say.
    Untold,
}

/// What an answer, or a bucket of it, is about: what its freshness depends on.
#[derive(Clone, Copy, Debug)]
enum About {
    /// What ends at this instant.
    Until(i64),
    Names,
    Now,
}

impl Judge<'_> {
    fn answer(&self, answer: &Answer) -> Verdict {
        let Outcome::Came {
            status,
            headers,
            head_at,
            body,
            is_whole,
        } = &answer.outcome
        else {
            return Ok(());
        };
        let waited = head_at.duration_since(answer.asked_at).unsigned_abs();
        let most = self.plan.setting.request_timeout + LAST_WORD;
        ensure(waited <= most, || {
            format!("the head took {waited:?}, and {most:?} was promised")
        })?;
        match status.as_u16() {
            200 => self.right(answer, headers, body, *is_whole),
            304 => {
                ensure(answer.ask.names_tags && !body.is_empty(), || {
                    "304 for a tag nobody named".to_owned()
                })?;
                self.right(answer, headers, body, true)
            }
            502..=504 => is_told(status.as_u16(), headers, body),
            _ => Err("a status that was promised for nothing that happens here".to_owned()),
        }
    }

    /// An answer, not a failure.
    fn right(&self, answer: &Answer, headers: &HeaderMap, body: &[u8], is_whole: bool) -> Verdict {
        let used = used(headers)?;
        if answer.ask.question.is_streamed() {
            ensure(used == Used::Untold, || {
                "a stream that says how it came about".to_owned()
            })?;
        } else {
            ensure(is_whole, || "an answer of known length breaks off".to_owned())?;
            let takes_stale = answer.ask.takes_stale;
            ensure(used != Used::Stale || takes_stale, || {
                "a stale answer for on_error=fail".to_owned()
            })?;
            let takes_later = takes_stale && answer.ask.max_age.is_none();
            ensure(used != Used::Revalidating || takes_later, || {
                "an answer past its freshness".to_owned()
            })?;
        }
        match &answer.ask.question {
            Question::Figures(figures) => {
                let told = json(body)?;
                if figures.group == Some(Group::QueueByName) {
                    self.names_are_right(&told)?;
                }
                self.figures(answer, figures, used, headers, &told)
            }
            Question::Conversations(wanted) => match wanted.shown {
                Shown::Streamed => self.streamed(answer, wanted, body, is_whole),
                Shown::Page { .. } => self.page(answer, wanted, used, headers, &json(body)?),
            },
            Question::Names(lookup) => self.names(answer, lookup, used, headers, &json(body)?),
            Question::Now => self.now(answer, used, headers, &json(body)?),
        }
    }

    /// A figure may be made of shorter buckets that are held, each of an age of its own: its bounds are made of the
    /// shortest there are.
    fn figures(&self, answer: &Answer, figures: &Figures, used: Used, headers: &HeaderMap, told: &Value) -> Verdict {
        let told = told_rows(figures, told)?;
        let as_of = self.as_of(answer, headers)?;
        let (mut least, mut most) = (BTreeMap::<_, Rows>::new(), BTreeMap::<_, Rows>::new());
        let fetches = self.fetched(answer, as_of);
        let mut is_young = false;
        for piece in figures.range.pieces() {
            let about = About::Until(piece.1);
            is_young |= self.is_young(answer, used, about, as_of);
            let oldest = self
                .acceptable(&fetches, answer, used, about, Some(piece))
                .map(|fetch| fetch.of)
                .min();
            let oldest = oldest.ok_or_else(|| format!("the figures of {} are older than allowed", shown(piece)))?;
            let (bucket, truth) = (figures.bucket(piece.0), &self.evidence.truth);
            let surely = truth.rows(figures, piece, oldest, Seen::Surely);
            add(figures, least.entry(bucket).or_default(), surely);
            let perhaps = truth.rows(figures, piece, answer.known_at.as_millisecond(), Seen::Perhaps);
            add(figures, most.entry(bucket).or_default(), perhaps);
        }
        ensure(is_young || self.is_of_now(answer, as_of), || {
            "older than allowed, as it says itself".to_owned()
        })?;
        let buckets: BTreeSet<_> = told.keys().chain(most.keys()).copied().collect();
        let nothing = Rows::new();
        for bucket in buckets {
            let [told, least, most] = [&told, &least, &most].map(|rows| rows.get(&bucket).unwrap_or(&nothing));
            lie_between(figures, told, least, most)
                .map_err(|complaint| format!("in {}: {complaint}", shown(bucket)))?;
        }
        Ok(())
    }

    fn names_are_right(&self, told: &Value) -> Verdict {
        for entity in entities(told)? {
            let queue = &entity["routing"]["queue"];
            if let Some(id) = queue["id"].as_str() {
                let name = self.evidence.truth.names["queues"].get(id);
                ensure(queue["name"].as_str() == name.map(String::as_str), || {
                    format!("a wrong name: {queue}")
                })?;
            }
        }
        Ok(())
    }

    fn page(&self, answer: &Answer, wanted: &Conversations, used: Used, headers: &HeaderMap, told: &Value) -> Verdict {
        let Shown::Page {
            number,
            size,
            newest_first,
        } = wanted.shown
        else {
            return Err("no page was asked for".to_owned());
        };
        let as_of = self.as_of(answer, headers)?;
        let days = self.oldest_by_day(answer, wanted, used, as_of);
        let days = days.ok_or("the conversations are older than allowed")?;
        let mut ends = days.iter().map(|(day, _)| About::Until(day.end.as_millisecond()));
        let is_young = ends.any(|about| self.is_young(answer, used, about, as_of));
        ensure(is_young || self.is_of_now(answer, as_of), || {
            "older than allowed, as it says itself".to_owned()
        })?;
        let mut documents: Vec<&Value> = entities(told)?.iter().collect();
        let (least, most) = self.conversations_between(wanted, &days, answer);
        self.documents_are_right(wanted, &documents, &days, answer, &most)?;
        if newest_first {
            documents.reverse();
        }
        let starts: Vec<_> = documents
            .iter()
            .map(|document| start(document))
            .collect::<Result<_, _>>()?;
        let ids: Vec<&str> = documents.iter().map(|document| id(document)).collect();
        let keys: Vec<_> = starts.iter().zip(&ids).collect();
        ensure(keys.is_sorted(), || "not in order".to_owned())?;
        let total = told["total"]
            .as_u64()
            .and_then(|total| usize::try_from(total).ok())
            .ok_or("no total")?;
        ensure((least.len()..=most.len()).contains(&total), || {
            format!(
                "{total} conversations, and there were {} to {}",
                least.len(),
                most.len()
            )
        })?;
        let expected = total.saturating_sub((number - 1) * size).min(size);
        ensure(documents.len() == expected, || {
            format!("{} on a page of {expected}", documents.len())
        })?;
        if least.len() == most.len() {
            let sorted: Vec<&str> = if newest_first {
                least.iter().rev().copied().collect()
            } else {
                least.clone()
            };
            let first = ((number - 1) * size).min(total);
            let mut slice = sorted[first..first + expected].to_vec();
            if newest_first {
                slice.reverse();
            }
            ensure(ids == slice, || {
                format!("not the conversations of the page, but {slice:?}")
            })?;
        } else if number == 1 && total <= size {
            holds_all(&ids, &least)?;
        }
        Ok(())
    }

    fn streamed(&self, answer: &Answer, wanted: &Conversations, body: &[u8], is_whole: bool) -> Verdict {
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        ensure(text.is_empty() || text.ends_with('\n'), || {
            "a line breaks off".to_owned()
        })?;
        let documents: Vec<Value> = text
            .lines()
            .map(|line| json(line.as_bytes()))
            .collect::<Result<_, _>>()?;
        let documents: Vec<&Value> = documents.iter().collect();
        let days = self.oldest_by_day(answer, wanted, Used::Fresh, i64::MIN);
        let is_from_something = days.is_some();
        let days = days.unwrap_or_else(|| vec![(wanted.range, answer.asked_at.as_millisecond())]);
        let (least, most) = self.conversations_between(wanted, &days, answer);
        self.documents_are_right(wanted, &documents, &days, answer, &most)?;
        if is_whole {
            ensure(is_from_something, || {
                "streamed from nothing that may be given".to_owned()
            })?;
            let ids: Vec<&str> = documents.iter().map(|document| id(document)).collect();
            holds_all(&ids, &least)?;
        }
        Ok(())
    }

    /// By day of the range, since when what is told of it may be; nothing if of some day nothing may be told. Days are held
    /// each by itself.
    fn oldest_by_day(
        &self,
        answer: &Answer,
        wanted: &Conversations,
        used: Used,
        as_of: i64,
    ) -> Option<Vec<(Span, i64)>> {
        let fetches = self.fetched(answer, as_of);
        let oldest = |day: Span| {
            let (start, end) = (day.start.as_millisecond(), day.end.as_millisecond());
            let acceptable = self.acceptable(&fetches, answer, used, About::Until(end), Some((start, end)));
            Some((day, acceptable.map(|fetch| fetch.of).min()?))
        };
        wanted.range.by_day().map(oldest).collect()
    }

    /// The ids of those that surely were there to see since then, and of those that can have been seen.
    fn conversations_between(
        &self,
        wanted: &Conversations,
        days: &[(Span, i64)],
        answer: &Answer,
    ) -> (Vec<&str>, Vec<&str>) {
        let truth = &self.evidence.truth;
        let known_at = answer.known_at.as_millisecond();
        let least = days
            .iter()
            .flat_map(|(day, oldest)| truth.conversations(*day, *oldest, Seen::Surely));
        let most = truth.conversations(wanted.range, known_at, Seen::Perhaps);
        (
            least.map(|one| one.id.as_str()).collect(),
            most.map(|one| one.id.as_str()).collect(),
        )
    }

    fn documents_are_right(
        &self,
        wanted: &Conversations,
        documents: &[&Value],
        days: &[(Span, i64)],
        answer: &Answer,
        most: &[&str],
    ) -> Verdict {
        let known_at = answer.known_at.as_millisecond();
        let oldest = days.iter().map(|(_, oldest)| *oldest).min().unwrap_or(known_at);
        let possible: HashSet<&str> = most.iter().copied().collect();
        let mut seen = HashSet::new();
        let ends = [oldest, known_at].map(|at| self.evidence.truth.ends(wanted.range, at));
        for document in documents {
            let id = id(document);
            ensure(possible.contains(id), || {
                format!("conversation {id} was not there to see")
            })?;
            ensure(seen.insert(id), || format!("conversation {id} twice"))?;
            let end = document["conversationEnd"].as_str().map(instant).transpose()?;
            let [before, after] = [&ends[0], &ends[1]].map(|ends| ends.get(id).copied().flatten());
            let is_possible = end == before || end == after || (before != after && end.is_some());
            ensure(is_possible, || {
                format!("conversation {id} ends at {end:?}, not {before:?} to {after:?}")
            })?;
        }
        Ok(())
    }

    fn names(&self, answer: &Answer, lookup: &str, used: Used, headers: &HeaderMap, told: &Value) -> Verdict {
        let as_of = self.as_of(answer, headers)?;
        let fetches = self.fetched(answer, as_of);
        let mut acceptable = self.acceptable(&fetches, answer, used, About::Names, None);
        ensure(acceptable.next().is_some(), || {
            "the names are older than allowed".to_owned()
        })?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let told: BTreeMap<_, _> = entities(told)?
            .iter()
            .map(|one| (text(&one["id"]), text(&one["name"])))
            .collect();
        let Some(names) = self.evidence.truth.names.get(lookup) else {
            return Ok(());
        };
        ensure(told == *names, || format!("not the names there are: {names:?}"))
    }

    fn now(&self, answer: &Answer, used: Used, headers: &HeaderMap, told: &Value) -> Verdict {
        let as_of = self.as_of(answer, headers)?;
        let mut observed = BTreeMap::new();
        for entity in entities(told)? {
            let count = |what: &str| entity[what]["count"].as_u64().unwrap_or_default();
            let id = entity["routing"]["queue"]["id"]
                .as_str()
                .ok_or("a queue without an id")?;
            observed.insert(id.to_owned(), [count("waiting"), count("interacting")]);
        }
        let fetches = self.fetched(answer, as_of);
        let mut acceptable = self.acceptable(&fetches, answer, used, About::Now, None);
        let is_right = acceptable.any(|fetch| {
            // What was told late was not there to observe then, and is now.
            if told_late(self.plan, fetch.of) {
                return true;
            }
            let mut expected = self.evidence.truth.observed(&fetch.entry.body, fetch.of);
            for queue in self.evidence.truth.names["queues"].keys() {
                expected.entry(queue.clone()).or_default();
            }
            expected == observed
        });
        ensure(is_right, || {
            "not what there was to observe, or longer ago than allowed".to_owned()
        })
    }

    /// When the answer says it is of, by the service's clock.
    fn as_of(&self, answer: &Answer, headers: &HeaderMap) -> Result<i64, String> {
        let as_of = instant(text(headers, "x-data-as-of"))?;
        let label = self.evidence.service_clock.label(answer.known_at);
        let is_past = as_of <= label || self.evidence.service_clock.was_set();
        ensure(is_past, || "of an instant that is still to come".to_owned())?;
        Ok(as_of)
    }

    /// What was fetched about the question and may be in the answer: not after it, nor from before what it says it is of.
    fn fetched(&self, answer: &Answer, as_of: i64) -> Vec<&Fetch<'_>> {
        let known_at = answer.known_at.as_millisecond();
        let path = answer.ask.question.upstream_path();
        let fetches = self
            .fetches
            .iter()
            .filter(|fetch| fetch.of <= known_at && fetch.label >= as_of.saturating_sub(1) && fetch.entry.path == path);
        fetches.collect()
    }

    /// Which of them cover this and are no older than the caller and the service's own policy allow.
    fn acceptable<'f>(
        &self,
        fetches: &'f [&'f Fetch<'f>],
        answer: &Answer,
        used: Used,
        about: About,
        covers: Option<(i64, i64)>,
    ) -> impl Iterator<Item = &'f Fetch<'f>> {
        let asked_at = answer.asked_at.as_millisecond();
        fetches.iter().copied().filter(move |fetch| {
            let covers = covers.is_none_or(|(from, until)| {
                let interval = fetch.interval;
                interval.is_some_and(|(start, end)| start <= from && until <= end)
            });
            covers && (fetch.sent_at >= asked_at || self.is_young(answer, used, about, fetch.label))
        })
    }

    /// Whether something was fetched for the answer at the instant it says it is of, whatever the clock was set to since it
    /// was asked for.
    fn is_of_now(&self, answer: &Answer, as_of: i64) -> bool {
        let asked_at = answer.asked_at.as_millisecond();
        let mut since = self.fetches.iter().filter(|fetch| fetch.sent_at >= asked_at);
        since.any(|fetch| (fetch.label - as_of).abs() <= 1)
    }

    /// Whether what was fetched when the service's clock showed `label` could be given to whoever asked then.
    fn is_young(&self, answer: &Answer, used: Used, about: About, label: i64) -> bool {
        let asked_label = self.evidence.service_clock.label(answer.asked_at);
        // What is from an instant still to come is from before the clock was set back: as old as it is ahead.
        (asked_label - label).abs() <= allowed_age(about, label, used, &answer.ask)
    }
}

/// The most milliseconds old that what was fetched at `label` may be: `docs/caching.md`, once more.
fn allowed_age(about: About, label: i64, used: Used, ask: &Ask) -> i64 {
    const SECOND: i64 = 1_000;
    const HOUR: i64 = 3_600 * SECOND;
    let (lifetime, stale_for) = match about {
        About::Now => (5 * SECOND, 60 * SECOND),
        About::Names => (HOUR, 7 * 24 * HOUR),
        About::Until(end) if label < end => (30 * SECOND, 300 * SECOND),
        About::Until(end) if label < end + 48 * HOUR => (((label - end) / 10).clamp(60 * SECOND, HOUR), 24 * HOUR),
        About::Until(_) => (30 * 24 * HOUR, 24 * HOUR),
    };
    let seconds = |seconds: Option<u64>| seconds.map(|seconds| i64::try_from(seconds).expect("few") * SECOND);
    let most_stale = |bound: i64| seconds(ask.max_stale).map_or(bound, |asked| asked.min(bound));
    match used {
        Used::Stale => lifetime + most_stale(stale_for),
        Used::Revalidating => lifetime + most_stale((lifetime / 2).min(60 * SECOND)),
        Used::Fresh | Used::Untold => {
            let names_are_never_too_old = matches!(about, About::Names) && !matches!(ask.question, Question::Names(_));
            let asked = seconds(ask.max_age).filter(|_| !names_are_never_too_old);
            asked.map_or(lifetime, |asked| asked.max(2 * SECOND).min(lifetime))
        }
    }
}

/// Whether a call that goes on at this instant is told of late.
fn told_late(plan: &Plan, at: i64) -> bool {
    plan.steps.iter().any(|(_, step)| match step {
        Step::Late(Injection::Call {
            start,
            wait_ms,
            talk_ms,
            wrap_up_ms,
            ..
        }) => {
            let start = start.as_millisecond();
            (start..=start + wait_ms + talk_ms + wrap_up_ms).contains(&at)
        }
        _ => false,
    })
}

/// How much longer than its deadline an answer may take that is ready at the last moment.
const LAST_WORD: Duration = Duration::from_millis(100);

fn fetches(evidence: &Evidence) -> Vec<Fetch<'_>> {
    let sound = evidence.journal.iter().filter(|entry| {
        let broken = ["cut", "reset", "garbage", "black-hole"];
        let is_broken = entry.fault.as_deref().is_some_and(|fault| broken.contains(&fault));
        entry.status == Some(200) && !is_broken && !entry.is_login()
    });
    let fetches = sound.map(|entry| Fetch {
        entry,
        sent_at: entry.at.as_millisecond(),
        label: evidence.service_clock.label(entry.at),
        of: entry.answered_at.expect("it has a status").as_millisecond(),
        interval: entry.body["interval"].as_str().and_then(interval),
    });
    fetches.collect()
}

fn interval(text: &str) -> Option<(i64, i64)> {
    let (start, end) = text.split_once('/')?;
    Some((instant(start).ok()?, instant(end).ok()?))
}

fn used(headers: &HeaderMap) -> Result<Used, String> {
    let status = text(headers, "cache-status");
    match status.strip_prefix("genesys-reports; ") {
        Some("fwd=bypass") => Ok(Used::Untold),
        Some("fwd=stale; detail=upstream-failed") => Ok(Used::Stale),
        Some("fwd=miss" | "fwd=miss; collapsed") => Ok(Used::Fresh),
        Some(past) if past.starts_with("hit; ttl=-") => Ok(Used::Revalidating),
        Some(hit) if hit.starts_with("hit; ttl=") => Ok(Used::Fresh),
        _ => Err(format!("a Cache-Status nobody knows: {status}")),
    }
}

/// A failure in the one documented shape.
fn is_told(status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
    let problem = json(body)?;
    let kind = problem["type"].as_str().unwrap_or_default();
    let kind = kind.strip_prefix("urn:genesys-reports:problem:").unwrap_or_default();
    let statuses = [
        ("upstream-credentials", 502),
        ("upstream-permission", 502),
        ("upstream-rejected", 502),
        ("upstream-unavailable", 502),
        ("upstream-budget", 503),
        ("upstream-circuit-open", 503),
        ("overloaded", 503),
        ("upstream-timeout", 504),
        ("deadline", 504),
    ];
    ensure(statuses.contains(&(kind, status)), || {
        "not a failure that was promised".to_owned()
    })?;
    ensure(text(headers, "content-type") == "application/problem+json", || {
        "not problem+json".to_owned()
    })?;
    ensure(text(headers, "cache-control") == "no-store", || {
        "a failure that may be stored".to_owned()
    })?;
    ensure(problem["status"] == status && problem["requestId"].is_string(), || {
        "an incomplete problem".to_owned()
    })?;
    let wait = text(headers, "retry-after").parse::<u64>();
    ensure((status == 503) == wait.is_ok(), || {
        "Retry-After belongs to 503 and to nothing else".to_owned()
    })
}

/// Once everything is well for longer than anything lingers, everything is answered, and with what there is now.
fn is_recovered(answer: &Answer) -> Verdict {
    let Outcome::Came {
        status,
        headers,
        is_whole,
        ..
    } = &answer.outcome
    else {
        return Err("the caller left".to_owned());
    };
    ensure(status.as_u16() == 200 && *is_whole, || "not recovered".to_owned())?;
    ensure(!matches!(used(headers)?, Used::Stale), || "still stale".to_owned())
}

/// By bucket, the rows of an answer.
fn told_rows(figures: &Figures, told: &Value) -> Result<BTreeMap<(i64, i64), Rows>, String> {
    let mut rows = BTreeMap::<_, Rows>::new();
    let entities = entities(told)?;
    ensure(told["total"] == entities.len(), || {
        "a total that is not the number of rows".to_owned()
    })?;
    for entity in entities {
        let bucket = match figures.minutes {
            Some(_) => entity["interval"].as_str().and_then(interval).ok_or("no interval")?,
            None => figures.bucket(0),
        };
        let at = |name: &str| name.split('.').fold(entity, |value, key| &value[key]).clone();
        let group = figures
            .group
            .and_then(|group| at(group.column()).as_str().map(str::to_owned));
        let cell = |name: &str| match at(name) {
            Value::Null => Ok(None),
            number => number
                .as_i64()
                .or_else(|| whole(number.as_f64()?))
                .map(Some)
                .ok_or(format!("{number} as {name}")),
        };
        let cells = figures.columns.iter().map(|column| cell(column.name));
        let cells: Vec<_> = cells.collect::<Result<_, _>>()?;
        let before = rows.entry(bucket).or_default().insert(group.clone(), cells);
        ensure(before.is_none(), || {
            format!("two rows for {group:?} in {}", shown(bucket))
        })?;
    }
    Ok(rows)
}

fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it was made of")]
    let whole = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let is_same = (whole as f64 - number).abs() < f64::EPSILON;
    is_same.then_some(whole)
}

/// Adds the figures of a piece to those of its bucket.
fn add(figures: &Figures, rows: &mut Rows, piece: Rows) {
    for (group, cells) in piece {
        let row = rows.entry(group).or_insert_with(|| vec![None; cells.len()]);
        for ((cell, piece), column) in row.iter_mut().zip(cells).zip(figures.columns) {
            *cell = match (*cell, piece, column.made) {
                (Some(one), Some(other), Made::Max) => Some(one.max(other)),
                (Some(one), Some(other), Made::Count | Made::Sum) => Some(one + other),
                (one, other, _) => one.or(other),
            };
        }
    }
}

/// Whether every figure lies between what surely was there to see and what can have been.
fn lie_between(figures: &Figures, rows: &Rows, least: &Rows, most: &Rows) -> Verdict {
    let groups: BTreeSet<_> = rows.keys().chain(most.keys()).collect();
    for group in groups {
        for (place, column) in figures.columns.iter().enumerate() {
            let of = |rows: &Rows| rows.get(group).and_then(|row| row[place]);
            let (told, least, most) = (of(rows), of(least), of(most));
            // Nothing is less than anything.
            ensure(least <= told && told <= most, || {
                format!(
                    "{} of {group:?} is {told:?}, and was {least:?} to {most:?}",
                    column.name
                )
            })?;
        }
    }
    Ok(())
}

fn holds_all(ids: &[&str], least: &[&str]) -> Verdict {
    let ids: HashSet<&str> = ids.iter().copied().collect();
    let missing: Vec<_> = least.iter().filter(|id| !ids.contains(*id)).collect();
    ensure(missing.is_empty(), || {
        format!("{} conversations are missing: {missing:?}", missing.len())
    })
}

/// What was asked of the platform.
fn calls(plan: &Plan, evidence: &Evidence) -> Vec<String> {
    let journal = &evidence.journal;
    let mut complaints = Vec::new();
    let limit = usize::try_from(plan.setting.requests_per_minute).expect("few");
    let busiest = most_in_a_window(journal.iter().filter(|entry| !entry.is_login()), 60_000);
    if busiest > limit {
        complaints.push(format!("{busiest} requests in a minute, and {limit} are allowed"));
    }
    let refused = |entry: &&Entry| entry.status == Some(429) && entry.fault.is_none();
    if let Some(entry) = journal.iter().find(refused) {
        complaints.push(format!("asked too often: {entry:?}"));
    }
    complaints.extend(heeds_waits(evidence));
    complaints.extend(gives_up(journal));
    complaints.extend(mints(journal));
    complaints
}

fn most_in_a_window<'a>(entries: impl Iterator<Item = &'a Entry>, window_ms: i64) -> usize {
    let arrivals: Vec<i64> = entries.map(|entry| entry.at.as_millisecond()).collect();
    let mut first = 0;
    let mut most = 0;
    for (last, arrival) in arrivals.iter().enumerate() {
        while arrival - arrivals[first] >= window_ms {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Nothing is sent while the platform has asked to wait, for an hour at most.
fn heeds_waits(evidence: &Evidence) -> Vec<String> {
    let journal = &evidence.journal;
    let asks_to_wait = journal.iter().filter(|entry| entry.status == Some(429));
    let complaint = |refused: &Entry| {
        let from = refused.answered_at?;
        let wait_ms = wait_ms(refused.retry_after.as_deref()?, from, evidence)?.min(3_600_000);
        let (from, until) = (from.as_millisecond(), from.as_millisecond() + wait_ms);
        let too_early = journal.iter().find(|entry| {
            let at = entry.at.as_millisecond();
            entry.is_login() == refused.is_login() && from < at && at < until
        });
        too_early.map(|entry| format!("sent too early: {entry:?}\n  after {refused:?}"))
    };
    asks_to_wait.filter_map(complaint).collect()
}

fn wait_ms(asked: &str, at: Timestamp, evidence: &Evidence) -> Option<i64> {
    if let Ok(seconds) = asked.parse::<i64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let date = jiff::fmt::rfc2822::parse(&asked.replace("GMT", "+0000")).ok()?;
    // A date means something only to who knows what time it is.
    let is_known = !evidence.service_clock.was_set();
    is_known.then(|| date.timestamp().as_millisecond() - at.as_millisecond())
}

/// Requests for the same, one soon after the other, are attempts of one: no more than allowed. Streams share nothing, nor do
/// questions with different filters, so that the same conversations may be asked for by several at once.
fn gives_up(journal: &[Entry]) -> Vec<String> {
    let mut chains: HashMap<String, (usize, i64)> = HashMap::new();
    let mut complaints = Vec::new();
    for entry in journal {
        if entry.is_login() || entry.path.ends_with("/details/query") || entry.path.ends_with("/details") {
            continue;
        }
        let what = format!("{} {} {:?} {}", entry.method, entry.path, entry.query, entry.body);
        let at = entry.at.as_millisecond();
        let lasted = i64::try_from(entry.duration.unwrap_or_default().as_millis()).expect("short");
        let (failures, ended) = chains.entry(what).or_insert((0, i64::MIN / 2));
        if at - *ended >= 2_000 {
            *failures = 0;
        }
        *ended = at + lasted;
        let is_sound = entry.status == Some(200) && matches!(entry.fault.as_deref(), None | Some("delay" | "trickle"));
        // A connection that closes unanswered may be an idle one's end: it costs one more. So does a token that was refused.
        let is_free = matches!(entry.status, Some(401 | 429));
        *failures = if is_sound { 0 } else { *failures + usize::from(!is_free) };
        if *failures > MAX_ATTEMPTS + 1 {
            complaints.push(format!("{failures} attempts: {entry:?}"));
        }
    }
    complaints
}

/// Tokens are asked for rarely, whatever becomes of them.
fn mints(journal: &[Entry]) -> Vec<String> {
    let mints: Vec<&Entry> = journal.iter().filter(|entry| entry.is_login()).collect();
    let mut complaints = Vec::new();
    // One in its time and one in place of a token that was refused.
    for (window_s, most) in [(10, 2), (30, 4)] {
        let granted = mints
            .iter()
            .copied()
            .filter(|entry| entry.status == Some(200) && entry.fault.is_none());
        let busiest = most_in_a_window(granted, window_s * 1_000);
        if busiest > most {
            complaints.push(format!("{busiest} tokens in {window_s} s"));
        }
    }
    for pair in mints.windows(2) {
        let failed = pair[0].status != Some(200);
        let apart = pair[1].at.duration_since(pair[0].answered_at.unwrap_or(pair[0].at));
        if failed && apart.as_millis() < 1_000 {
            complaints.push(format!("asked for a token at once after a failure: {pair:?}"));
        }
    }
    complaints
}

/// Nothing goes on when nobody asks.
fn rest(plan: &Plan, evidence: &Evidence) -> Vec<String> {
    let rest = &evidence.rest;
    let places = usize::try_from(plan.setting.concurrency).expect("few");
    let is_well = rest.unasked == 0
        && rest.tasks == 0
        && rest.under_way == 0
        && rest.fetches.ends_with(" 0")
        && rest.simultaneous == places.min(6);
    if is_well {
        Vec::new()
    } else {
        vec![format!("not at rest: {rest:?}")]
    }
}

fn entities(told: &Value) -> Result<&Vec<Value>, String> {
    told["entities"].as_array().ok_or_else(|| "no entities".to_owned())
}

fn id(document: &Value) -> &str {
    document["conversationId"].as_str().unwrap_or_default()
}

fn start(document: &Value) -> Result<i64, String> {
    instant(document["conversationStart"].as_str().unwrap_or_default())
}

fn shown((start, end): (i64, i64)) -> String {
    let shown = |ms| Timestamp::from_millisecond(ms).expect("an instant");
    format!("{}/{}", shown(start), shown(end))
}

fn instant(text: &str) -> Result<i64, String> {
    let instant = text.parse::<Timestamp>().map_err(|error| format!("{text}: {error}"))?;
    Ok(instant.as_millisecond())
}

fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
