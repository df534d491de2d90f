//! A [`Query`] in, an [`Answer`] out, as rarely from the upstream as can be.
//!
//! [`Reports::run`] is the journey: what is held and fresh is given at once; else one fetch runs for everybody
//! who asks (`flights`), in a task of its own, and what it brings is held (`held`) for as long as its age
//! allows (`freshness`); if it fails, a held answer within its bound may stand in. Rows are then made from
//! what was held: `merge` and `rows` are pure.

mod account;
mod contents;
mod days;
mod disk;
mod flat;
mod flights;
mod freshness;
mod held;
mod left;
mod merge;
mod observations;
mod once;
mod packed;
mod rows;
mod series;
mod states;
mod stored;
mod users_now;
mod written;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use self::{
    contents::Tally,
    days::DayCache,
    flights::{Flights, Role},
    freshness::{Covers, Dated, Verdict},
    held::{Held, HeldAnswers, Key, Listed, Payload, WholeRows},
    left::SeenLeft,
    series::{Adds, Body, Figures, SeriesCache},
    states::Window,
};
use crate::{
    aside::{Turn, aside},
    clock::Clock,
    fleet::{Entry, Fleet},
    query::{
        AggregateQuery, Column, ColumnValue, FiguresQuery, Named, NamesById, NamesByLookup, NamesQuery, NowQuery,
        PassedQuestion, Permitted, Query, Range, Restriction, Sight, StatesQuery, UsersNowQuery, catalogue::Lookup,
    },
    table::{CacheUse, Provenance, SliceRow, Table},
    upstream::{Class, Client, Errand, LimitUse, TooManyUsers, UpstreamError},
};

pub use account::{Account, Asked, Outcome, Stretch, Way, Whole};
pub use contents::{Contents, Dropped, Uses};
pub use days::{AtHand, Conversations, Reached, ToldBefore};
pub use disk::{Disk, DiskOwner, DiskSettings, Organisation};
pub use flat::{conversation_columns, conversation_rows};
pub use freshness::{Settling, Windows};
pub use held::{HeldAnswer, HeldKind};
pub use left::Left;
pub use rows::MAX_ROWS;
#[doc(hidden)]
pub use series::Workbench;
pub use series::{HeldMetric, HeldSeries};
pub use written::{OrderedRows, Written, WrittenAnswers, WrittenKey};

/// Answers reporting queries, from what is held or from the upstream. Cheap to clone.
#[derive(Clone)]
pub struct Reports(Arc<Parts>);

struct Parts {
    client: Client,
    clock: Clock,
    settings: ReportSettings,
    held: HeldAnswers,
    series: SeriesCache,
    days: DayCache,
    written: WrittenAnswers,
    flights: Flights<Key, Arc<Held>>,
    tally: Tally,
}

/// How much may be held, and for how long.
#[derive(Clone, Debug)]
pub struct ReportSettings {
    /// Bytes of answers held in memory.
    pub memory_bytes: u64,
    /// Bytes of one conversation listing that may be gathered before it is refused as too large for paging.
    pub listing_bytes: u64,
    /// How long a fetch may take that nobody waits for.
    pub refresh_timeout: Duration,
    /// When figures settle, and how long they may stand in for a failure.
    pub windows: Windows,
    /// What outlives a restart.
    pub disk: Disk,
    /// Replicas that have what was fetched in common.
    pub fleet: Fleet,
}

/// What the room is doing and holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Fetches under way.
    pub fetches_under_way: u64,
    /// Bytes of answers held in memory, as weighed for the bound.
    pub held_bytes: u64,
}

/// How fresh an answer the caller wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Not older than this; `None` leaves it to the age of the data.
    pub max_age: Option<Duration>,
    /// If the upstream fails, a held answer may be past its freshness by this much; `None` is the service's bound.
    pub max_stale: Option<Duration>,
    /// What to do when the upstream fails.
    pub on_error: OnError,
}

/// What to answer when the upstream fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// A held answer within its bound, marked as stale; the failure otherwise.
    #[default]
    Stale,
    /// The failure.
    Fail,
}

/// An answer to a [`Query`].
#[derive(Debug)]
pub struct Answer<C = Table> {
    /// The rows: laid out for the page asked for, or not yet.
    pub content: C,
    /// The turn in which many rows were made, for what is still made of them: a crowd of answers is made one by one.
    pub turn: Option<Turn>,
    /// Rows in all pages.
    pub total: u64,
    /// Where it came from.
    pub provenance: Provenance,
    /// How much longer it may be reused; becomes `Cache-Control: max-age`.
    pub fresh_for: Duration,
}

impl<C> Answer<C> {
    /// The same with other content.
    pub fn map<D>(self, change: impl FnOnce(C) -> D) -> Answer<D> {
        Answer {
            content: change(self.content),
            turn: self.turn,
            total: self.total,
            provenance: self.provenance,
            fresh_for: self.fresh_for,
        }
    }
}

/// What an answer is known by, when the same is asked again.
pub struct Seen(Basis);

enum Basis {
    /// It was made here, of what is held by bucket.
    Made {
        figures: series::Seen,
        names: NamesByLookup,
    },
    /// It was made here, of the answer to a whole question.
    Whole {
        key: Key,
        rows: Arc<WholeRows>,
        provenance: Provenance,
        names: NamesByLookup,
        /// How often something that is held by bucket had changed: it may answer the question, too.
        changes: u64,
    },
    Left(SeenLeft),
}

impl Seen {
    /// Where the answer comes from when it is given again.
    pub fn provenance(&self) -> &Provenance {
        match &self.0 {
            Basis::Made { figures, .. } => figures.provenance(),
            Basis::Whole { provenance, .. } => provenance,
            Basis::Left(left) => left.provenance(),
        }
    }
}

/// An answer, and what it was made of.
struct Answered {
    answer: Answer<OrderedRows>,
    figures: Figures,
    names: NamesByLookup,
    /// What its names cost upstream.
    calls_for_names: u32,
}

/// Figures as the upstream gives them.
#[derive(Clone, Debug)]
pub struct Unfolded {
    /// One entry per group, the media type included, and bucket that had data, in no particular order.
    pub rows: Vec<SliceRow>,
    /// Where they came from.
    pub provenance: Provenance,
    /// How much longer they may be reused.
    pub fresh_for: Duration,
}

/// An answer in the upstream's own words.
#[derive(Clone, Debug)]
pub struct Passed {
    /// JSON, as the upstream wrote it.
    pub body: Bytes,
    /// Where it came from.
    pub provenance: Provenance,
    /// How much longer it may be reused.
    pub fresh_for: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReportError {
    /// The upstream gave none.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The caller's deadline passed; the fetch goes on and its answer will be held.
    #[error("the answer was not ready in time")]
    Deadline,
    /// More conversations than can be paged: narrow the range or stream them as NDJSON.
    #[error("the answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The bound.
        limit_bytes: u64,
    },
    /// More rows than are made for one answer, on however many pages.
    #[error("{rows} rows are more than {limit}")]
    TooManyRows {
        /// How many there would be.
        rows: u64,
        /// The most.
        limit: u64,
    },
    /// More upstream requests than one question may cost.
    #[error("{calls} upstream requests are more than {limit}")]
    TooManyCalls {
        /// How many it would take.
        calls: usize,
        /// The most.
        limit: usize,
    },
    /// More users than are asked about together.
    #[error("{users} users are more than {limit}")]
    TooManyUsers {
        /// How many there are, about.
        users: usize,
        /// The most.
        limit: usize,
    },
    /// A defect of this service; the log has it.
    #[error("internal error")]
    Internal,
}

impl ReportError {
    /// How long the failure answers those who ask the same again: longer where asking again cannot help.
    fn lingers(&self) -> Duration {
        match self {
            // What is not there may come to be: a conversation is found by its id only some time after it began.
            Self::Upstream(UpstreamError::Rejected { told, .. }) if told.status == Some(404) => Duration::from_secs(2),
            Self::TooLarge { .. }
            | Self::TooManyUsers { .. }
            | Self::Upstream(UpstreamError::Rejected { .. } | UpstreamError::Permission { .. }) => {
                Duration::from_mins(1)
            }
            // Told here and at no cost, for the moment and the errand it was asked in.
            Self::Upstream(
                UpstreamError::Budget { .. } | UpstreamError::CircuitOpen { .. } | UpstreamError::Memory,
            ) => Duration::ZERO,
            Self::TooManyRows { .. }
            | Self::TooManyCalls { .. }
            | Self::Upstream(_)
            | Self::Deadline
            | Self::Internal => Duration::from_secs(2),
        }
    }
}

impl Reports {
    /// Puts the parts together; nothing runs until a query comes.
    pub fn new(client: Client, clock: Clock, settings: ReportSettings) -> Self {
        Self(Arc::new(Parts {
            held: HeldAnswers::new(settings.memory_bytes / 8 * 3),
            series: SeriesCache::new(settings.memory_bytes / 2, settings.windows, settings.disk.clone()),
            days: DayCache::new(
                settings.memory_bytes / 16,
                settings.listing_bytes,
                settings.windows,
                settings.disk.clone(),
                settings.fleet.clone(),
            ),
            written: WrittenAnswers::new(settings.memory_bytes / 16),
            flights: Flights::new(),
            tally: Tally::default(),
            client,
            clock,
            settings,
        }))
    }

    /// Answers a query before the errand's deadline, and says what to know the answer by if it can be known again.
    pub async fn run(
        &self,
        query: &Permitted<Query>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<(Answer<OrderedRows>, Option<Seen>), ReportError> {
        let changes = self.0.series.changes();
        let Answered {
            answer, figures, names, ..
        } = self.answer(query, freshness, errand).await?;
        let is_fresh = matches!(
            figures.provenance.cache,
            CacheUse::Hit | CacheUse::Miss | CacheUse::Collapsed
        );
        let basis = match &figures.body {
            Body::Held(_) => {
                let seen = series::Seen::of(&figures, &query.aggregate.metrics);
                seen.map(|figures| Basis::Made { figures, names })
            }
            Body::Whole { rows, .. } => Some(Basis::Whole {
                key: Key::Aggregates(query.aggregate.clone()),
                rows: Arc::clone(rows),
                provenance: Provenance {
                    cache: CacheUse::Hit,
                    upstream_calls: 0,
                    ..figures.provenance.clone()
                },
                names,
                changes,
            }),
        };
        Ok((answer, basis.filter(|_| is_fresh).map(Seen)))
    }

    /// Where an answer comes from if the same is asked now by somebody who names no bound on its age, and how much longer
    /// it is fresh; `None` if that has to be looked into.
    pub async fn again(&self, seen: &Seen) -> Option<(Provenance, Duration)> {
        match &seen.0 {
            Basis::Made { figures, names } => {
                let given = self.0.series.again(figures, self.now());
                self.are_held(names).await.then_some(given)?
            }
            Basis::Whole {
                key,
                rows,
                provenance,
                names,
                changes,
            } => {
                let held = self.0.held.get(key).await?;
                let is_same = matches!(&held.payload, Payload::Slice(held) if Arc::ptr_eq(held, rows))
                    && self.0.series.changes() == *changes;
                let Verdict::Fresh(fresh_for) = held.dated.judge(Freshness::default(), self.now()) else {
                    return None;
                };
                (is_same && self.are_held(names).await).then(|| (provenance.clone(), fresh_for))
            }
            Basis::Left(left) => left.again(self.0.series.changes(), self.now()),
        }
    }

    /// Whether these are the names that are held, and fresh.
    async fn are_held(&self, names: &NamesByLookup) -> bool {
        for (lookup, names) in names {
            let Some(held) = self.0.held.get(&Key::Names(*lookup)).await else {
                return false;
            };
            let is_same = matches!(&held.payload, Payload::Names(listed) if Arc::ptr_eq(&listed.names, names));
            let verdict = held.dated.judge(Freshness::default(), self.now());
            if !is_same || !matches!(verdict, Verdict::Fresh(_)) {
                return false;
            }
        }
        true
    }

    /// Counts an answer that was given again.
    pub fn count_hit(&self) {
        self.0.tally.count(CacheUse::Hit);
    }

    /// Answers a query before the errand's deadline, and says how the answer came about.
    pub async fn explained(
        &self,
        query: &Permitted<Query>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<(Answer<OrderedRows>, Account), ReportError> {
        let Answered {
            answer,
            figures,
            calls_for_names,
            ..
        } = self.answer(query, freshness, errand).await?;
        let (way, used) = match &figures.body {
            Body::Held(view) => view.account(&query.aggregate, self.0.settings.windows),
            Body::Whole { reason, dated, .. } => {
                let used = Stretch::of(query.aggregate.range, dated);
                (Way::Whole(*reason), vec![used])
            }
        };
        let account = Account {
            way,
            used,
            asked: figures.asked,
            calls_for_names,
        };
        Ok((answer, account))
    }

    /// The answer, and what it was made of.
    async fn answer(&self, query: &Query, freshness: Freshness, errand: &Errand) -> Result<Answered, ReportError> {
        let (figures, (names, calls_for_names)) = futures_util::try_join!(
            self.figures(
                &query.aggregate,
                Adds::shown(&query.columns),
                query.asked_at,
                freshness,
                errand
            ),
            self.names_by_lookup(lookups_of(&query.columns), freshness, errand),
        )?;
        self.0.tally.count(figures.provenance.cache);
        let series = &self.0.series;
        let (figures, ordered) = if let Some(ordered) = series.ordered(&figures.body, query, &names).await {
            (figures, ordered)
        } else {
            // What is held by bucket does not make the buckets asked for.
            let whole = self.whole(&query.aggregate, Whole::OffGrid, freshness, errand).await?;
            let ordered = series.ordered(&whole.body, query, &names).await;
            (whole, ordered.ok_or(ReportError::Internal)?)
        };
        let (rows, turn) = ordered;
        Ok(Answered {
            answer: figures.answer(rows?, turn, calls_for_names),
            figures,
            names,
            calls_for_names,
        })
    }

    /// The rows of a question that is asked whole, for the reason given.
    async fn whole(
        &self,
        query: &AggregateQuery,
        reason: Whole,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Figures, ReportError> {
        tracing::debug!(?reason, "asked whole");
        let given = self.give(&Key::Aggregates(query.clone()), freshness, errand).await?;
        let Payload::Slice(rows) = &given.held.payload else {
            return Err(ReportError::Internal);
        };
        let outcome = match given.used {
            CacheUse::Hit => None,
            CacheUse::Miss => Some(Outcome::Fetched),
            CacheUse::Collapsed => Some(Outcome::Shared),
            CacheUse::Revalidating(_) => Some(Outcome::UnderWay),
            CacheUse::Stale => Some(Outcome::Failed),
        };
        let asked = outcome.map(|outcome| Asked {
            range: query.range,
            metrics: query.metrics.clone(),
            calls: given.calls(),
            outcome,
        });
        Ok(Figures {
            body: Body::Whole {
                rows: Arc::clone(rows),
                reason,
                dated: given.held.dated,
            },
            asked: asked.into_iter().collect(),
            provenance: given.provenance(0),
            fresh_for: given.fresh_for,
            looked_at: self.now(),
        })
    }

    /// The figures of a question, unfolded and unordered as the upstream gives them.
    pub async fn figures_of(
        &self,
        question: &Permitted<FiguresQuery>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Unfolded, ReportError> {
        let FiguresQuery { aggregate, only } = &**question;
        let adds = Adds::told(&aggregate.metrics);
        let figures = self.figures(aggregate, adds, self.now(), freshness, errand).await?;
        let (mut rows, figures) = match &figures.body {
            Body::Held(view) => match view.rows_of(aggregate) {
                Some(rows) => (rows, figures),
                // What is held by bucket does not make the buckets asked for.
                None => self
                    .whole(aggregate, Whole::OffGrid, freshness, errand)
                    .await?
                    .into_rows()?,
            },
            Body::Whole { .. } => figures.into_rows()?,
        };
        rows.retain(|row| only.shows(&aggregate.group_by, &row.group));
        Ok(Unfolded {
            rows,
            provenance: figures.provenance,
            fresh_for: figures.fresh_for,
        })
    }

    /// Answers a question in the upstream's own words.
    pub async fn passed(
        &self,
        question: &Permitted<PassedQuestion>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Passed, ReportError> {
        let given = self
            .give(&Key::Passed(PassedQuestion::clone(question)), freshness, errand)
            .await?;
        let Payload::Passed(body) = &given.held.payload else {
            return Err(ReportError::Internal);
        };
        Ok(Passed {
            body: body.clone(),
            provenance: given.provenance(0),
            fresh_for: given.fresh_for,
        })
    }

    /// The same, if it is held and fresh.
    pub async fn passed_at_hand(&self, question: &Permitted<PassedQuestion>, freshness: Freshness) -> Option<Passed> {
        let held = self.0.held.get(&Key::Passed(PassedQuestion::clone(question))).await?;
        let Verdict::Fresh(fresh_for) = held.dated.judge(freshness, self.now()) else {
            return None;
        };
        let given = Given::new(held, CacheUse::Hit, fresh_for);
        let Payload::Passed(body) = &given.held.payload else {
            return None;
        };
        Some(Passed {
            body: body.clone(),
            provenance: given.provenance(0),
            fresh_for,
        })
    }

    /// Lists ids and names, by name, then by id.
    pub async fn names(
        &self,
        question: &Permitted<(Lookup, NamesQuery)>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Answer, ReportError> {
        let (lookup, query) = &**question;
        let given = self.give(&Key::Names(*lookup), freshness, errand).await?;
        self.0.tally.count(given.used);
        let (table, total) = rows::names(query, &seen_of(given.listed()?, *lookup, question.sight()));
        Ok(Answer {
            content: table,
            turn: None,
            total,
            fresh_for: given.fresh_for,
            provenance: given.provenance(0),
        })
    }

    /// Lists what users were, by user, kind and start.
    pub async fn user_states(
        &self,
        query: &Permitted<StatesQuery>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Answer, ReportError> {
        let windows = states::windows(query, self.now()).into_iter();
        let given = windows.map(async |window| {
            let key = Key::States(window);
            self.give(&key, freshness, errand).await
        });
        let (given, (names, calls_for_names)) = futures_util::try_join!(
            futures_util::future::try_join_all(given),
            self.names_by_lookup(BTreeSet::from([Lookup::Users]), freshness, errand),
        )?;
        let (provenance, fresh_for) = self.together(query.range, &given, calls_for_names);
        self.0.tally.count(provenance.cache);
        let told = given.iter().map(|given| match &given.held.payload {
            Payload::States(states) => Ok((given.held.dated.fetched_at, Arc::clone(states))),
            Payload::Slice(_)
            | Payload::Observed(_)
            | Payload::Users(_)
            | Payload::Names(_)
            | Payload::Passed(_)
            | Payload::LimitHistory(_) => Err(ReportError::Internal),
        });
        let told = told.collect::<Result<Vec<_>, _>>()?;
        let names = Arc::clone(names.get(&Lookup::Users).ok_or(ReportError::Internal)?);
        let query = StatesQuery::clone(query);
        let made = aside(move || states::table(&query, &told, &names)).await;
        let (table, total) = made.map_err(|error| {
            tracing::error!(%error, "states cannot be listed");
            ReportError::Internal
        })??;
        Ok(Answer {
            content: table,
            turn: None,
            total,
            provenance,
            fresh_for,
        })
    }

    /// What is known of parts of a range together, which are in order and without gaps; and how much longer all of them are
    /// good. Nothing is known of what is still to come.
    fn together(&self, range: Range, given: &[Given], other_calls: u32) -> (Provenance, Duration) {
        let mut known = Provenance {
            as_of: self.now(),
            complete: !given.is_empty(),
            settled_through: range.start,
            cache: CacheUse::Hit,
            upstream_calls: other_calls,
        };
        let urgency = |used: CacheUse| match used {
            CacheUse::Hit => 0,
            CacheUse::Revalidating(_) => 1,
            CacheUse::Collapsed => 2,
            CacheUse::Miss => 3,
            CacheUse::Stale => 4,
        };
        for part in given {
            let dated = &part.held.dated;
            known.as_of = known.as_of.min(dated.fetched_at);
            if known.complete {
                known.settled_through = dated.settled_through().clamp(range.start, range.end);
            }
            known.complete &= dated.complete();
            known.upstream_calls += part.calls();
            if urgency(part.used) > urgency(known.cache) {
                known.cache = part.used;
            }
        }
        let fresh_for = given.iter().map(|part| part.fresh_for).min();
        (known, fresh_for.unwrap_or_default())
    }

    /// Observes queues, by name; all there are unless the query names some.
    pub async fn queues_now(
        &self,
        query: &Permitted<NowQuery>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Answer, ReportError> {
        let observed = self.observe([query], freshness, errand).await?;
        self.0.tally.count(observed.given.used);
        observed.answer(query)
    }

    /// Observes the queues of several questions at once.
    pub async fn observe<'q>(
        &self,
        queries: impl IntoIterator<Item = &'q Permitted<NowQuery>>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Observed, ReportError> {
        let wanted = BTreeSet::from([Lookup::Queues]);
        let (names, calls_for_names) = self.names_by_lookup(wanted, freshness, errand).await?;
        let names = names.get(&Lookup::Queues).ok_or(ReportError::Internal)?;
        let mut queues: BTreeSet<Arc<str>> = BTreeSet::new();
        for query in queries {
            queues.append(&mut queues_of(query, names));
        }
        let given = self.give(&Key::QueuesNow(queues.clone()), freshness, errand).await?;
        Ok(Observed {
            queues,
            given,
            names: Arc::clone(names),
            calls_for_names,
        })
    }

    /// Tells what users are, by name; everybody unless the query names some.
    pub async fn users_now(
        &self,
        query: &Permitted<UsersNowQuery>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Answer, ReportError> {
        let key = Key::UsersNow(query.users().cloned().unwrap_or_default());
        let (given, (names, calls_for_names)) = futures_util::try_join!(
            self.give(&key, freshness, errand),
            self.names_by_lookup(BTreeSet::from([Lookup::Users]), freshness, errand),
        )?;
        self.0.tally.count(given.used);
        let names = names.get(&Lookup::Users).ok_or(ReportError::Internal)?;
        let Payload::Users(told) = &given.held.payload else {
            return Err(ReportError::Internal);
        };
        let (table, total) = users_now::table(query, told, names, given.held.dated.fetched_at);
        Ok(Answer {
            content: table,
            turn: None,
            total,
            fresh_for: given.fresh_for,
            provenance: given.provenance(calls_for_names),
        })
    }

    /// How close the organisation came to its limits in the last hour, by its own account.
    pub async fn limit_history(&self, errand: &Errand) -> Result<Arc<[LimitUse]>, ReportError> {
        let given = self.give(&Key::LimitHistory, Freshness::default(), errand).await?;
        match &given.held.payload {
            Payload::LimitHistory(uses) => Ok(Arc::clone(uses)),
            Payload::Slice(_)
            | Payload::Observed(_)
            | Payload::States(_)
            | Payload::Users(_)
            | Payload::Names(_)
            | Payload::Passed(_) => Err(ReportError::Internal),
        }
    }

    /// What a restriction comes to, by the queues there are, and what that cost upstream.
    pub async fn sight(
        &self,
        restriction: &Restriction,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<(Sight, u32), ReportError> {
        if restriction.is_none() {
            return Ok((Sight::of_everything(), 0));
        }
        let (listings, calls) = self
            .listings(BTreeSet::from([Lookup::Queues]), freshness, errand)
            .await?;
        let (_, queues) = listings.first().ok_or(ReportError::Internal)?;
        Ok((Sight::of(restriction, &queues.divisions), calls))
    }

    /// Listings of names as far as they are seen, to resolve names by, and what they cost upstream.
    pub async fn names_seen(
        &self,
        lookups: BTreeSet<Lookup>,
        sight: &Sight,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<(NamesByLookup, u32), ReportError> {
        let (listings, calls) = self.listings(lookups, freshness, errand).await?;
        let names = listings
            .into_iter()
            .map(|(lookup, listed)| (lookup, seen_of(&listed, lookup, sight)));
        Ok((names.collect(), calls))
    }

    /// Whole listings of names, for ids that are shown, and what they cost upstream.
    async fn names_by_lookup(
        &self,
        lookups: BTreeSet<Lookup>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<(NamesByLookup, u32), ReportError> {
        self.names_seen(lookups, &Sight::of_everything(), freshness, errand)
            .await
    }

    /// A name may be old, so a bound on age is passed over.
    async fn listings(
        &self,
        lookups: BTreeSet<Lookup>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<(Vec<(Lookup, Arc<Listed>)>, u32), ReportError> {
        let freshness = Freshness {
            max_age: None,
            ..freshness
        };
        let listings = lookups.into_iter().map(async |lookup| {
            let given = self.give(&Key::Names(lookup), freshness, errand).await?;
            Ok::<_, ReportError>(((lookup, Arc::clone(given.listed()?)), given.calls()))
        });
        let listings = futures_util::future::try_join_all(listings).await?;
        let (listings, calls): (Vec<_>, Vec<_>) = listings.into_iter().unzip();
        Ok((listings, calls.into_iter().sum()))
    }

    /// Answers as they were written.
    pub fn written(&self) -> &WrittenAnswers {
        &self.0.written
    }

    fn held_bytes(&self) -> u64 {
        let parts = &self.0;
        parts.held.bytes() + parts.series.bytes() + parts.days.bytes() + parts.written.bytes()
    }

    /// Stops what is still being fetched. For the end of the process, after requests have been drained.
    pub fn stop(&self) {
        self.0.flights.stop();
        self.0.series.flights.stop();
        self.0.days.flights.stop();
    }

    /// Fetches under way and bytes held, for the service's own metrics.
    pub fn load(&self) -> Load {
        Load {
            fetches_under_way: (self.0.flights.len() + self.0.series.flights.len() + self.0.days.flights.len()) as u64,
            held_bytes: self.held_bytes(),
        }
    }

    /// What is held and fresh, else what a fetch brings, else what is held and may stand in for a failure.
    async fn give(&self, key: &Key, freshness: Freshness, errand: &Errand) -> Result<Given, ReportError> {
        let held = self.0.held.get(key).await;
        let verdict = held.as_ref().map(|held| held.dated.judge(freshness, self.now()));
        if let (Some(held), Some(Verdict::Fresh(fresh_for))) = (&held, verdict) {
            return Ok(Given::new(Arc::clone(held), CacheUse::Hit, fresh_for));
        }
        let fetch = |errand| self.clone().fetch(key.clone(), errand);
        if let (Some(held), Some(Verdict::Aging(past))) = (&held, verdict) {
            // The fetch goes on by itself.
            let _ = self.0.flights.join(key, &self.refreshing(errand), fetch);
            return Ok(Given::new(
                Arc::clone(held),
                CacheUse::Revalidating(past),
                Duration::ZERO,
            ));
        }
        let (mut landing, mut role) = self.0.flights.join(key, errand, fetch);
        let mut landed = timeout_at(errand.deadline(), landing).await;
        if let Ok(Ok(fetched)) = &landed
            && fetched.is_left_by_another
            && !matches!(fetched.dated.judge(freshness, self.now()), Verdict::Fresh(_))
        {
            // Fresh for most, and not for this one: nothing newer is left, so that it is asked for now.
            (landing, role) = self.0.flights.join(key, errand, fetch);
            landed = timeout_at(errand.deadline(), landing).await;
        }
        let failure = match landed {
            Ok(Ok(fetched)) => {
                let used = match role {
                    Role::Leader if !fetched.is_left_by_another => CacheUse::Miss,
                    Role::Leader | Role::Follower => CacheUse::Collapsed,
                };
                let fresh_for = fetched.dated.lifetime().saturating_sub(fetched.dated.age(self.now()));
                return Ok(Given::new(fetched, used, fresh_for));
            }
            Ok(Err(failure)) => failure,
            Err(_) => ReportError::Deadline,
        };
        match (held, verdict) {
            (Some(held), Some(Verdict::Stale)) if freshness.on_error == OnError::Stale => {
                tracing::warn!(error = %failure, "a held answer stands in for a failed fetch");
                Ok(Given::new(held, CacheUse::Stale, Duration::ZERO))
            }
            _ => Err(failure),
        }
    }

    /// The same, where nobody waits for what it brings.
    fn refreshing(&self, errand: &Errand) -> Errand {
        errand.on_terms(Class::Refresh, Instant::now() + self.0.settings.refresh_timeout)
    }

    fn of_its_own_accord(&self) -> Errand {
        Errand::of_the_service(Class::Refresh, Instant::now() + self.0.settings.refresh_timeout)
    }

    /// Asks for whatever of a question will not be fresh in a while, and waits for it; how many upstream requests that
    /// took. Names that mean nothing any more, and what its reader may not see, are nobody's question.
    pub async fn renew(
        &self,
        question: Named<Query>,
        restriction: &Restriction,
        ahead: Duration,
    ) -> Result<u32, ReportError> {
        let errand = self.of_its_own_accord();
        let lookups = &question.lookups() | &lookups_of(&question.question().columns);
        let (sight, calls_for_sight) = self.sight(restriction, Freshness::default(), &errand).await?;
        let (names, calls) = self.names_seen(lookups, &sight, Freshness::default(), &errand).await?;
        let calls = calls_for_sight + calls;
        match question.resolve(&names).map(|query| sight.confine(query)) {
            Ok(Ok(query)) => Ok(calls + self.renew_figures(&query, ahead, &errand).await?),
            Ok(Err(_)) | Err(_) => Ok(calls),
        }
    }

    /// The same of queues as they are now.
    pub async fn renew_now(
        &self,
        question: Named<NowQuery>,
        restriction: &Restriction,
        ahead: Duration,
    ) -> Result<u32, ReportError> {
        let errand = self.of_its_own_accord();
        let lookups = BTreeSet::from([Lookup::Queues]);
        let (sight, calls_for_sight) = self.sight(restriction, Freshness::default(), &errand).await?;
        let (names, calls) = self.names_seen(lookups, &sight, Freshness::default(), &errand).await?;
        let calls = calls_for_sight + calls;
        let Ok(Ok(query)) = question.resolve(&names).map(|query| sight.confine(query)) else {
            return Ok(calls);
        };
        let queues = queues_of(&query, names.get(&Lookup::Queues).ok_or(ReportError::Internal)?);
        Ok(calls + self.renew_held(&Key::QueuesNow(queues), ahead, &errand).await?)
    }

    /// The same of users as they are now.
    pub async fn renew_users_now(
        &self,
        question: Named<UsersNowQuery>,
        restriction: &Restriction,
        ahead: Duration,
    ) -> Result<u32, ReportError> {
        let errand = self.of_its_own_accord();
        let shown = BTreeSet::from([Lookup::Users]);
        let (sight, calls_for_sight) = self.sight(restriction, Freshness::default(), &errand).await?;
        let (names, calls) = self.names_seen(shown, &sight, Freshness::default(), &errand).await?;
        let calls = calls_for_sight + calls;
        let Ok(Ok(query)) = question.resolve(&names).map(|query| sight.confine(query)) else {
            return Ok(calls);
        };
        let key = Key::UsersNow(query.users().cloned().unwrap_or_default());
        Ok(calls + self.renew_held(&key, ahead, &errand).await?)
    }

    /// Asks for what is held whole, or is to be, unless it will still be fresh in a while.
    async fn renew_held(&self, key: &Key, ahead: Duration, errand: &Errand) -> Result<u32, ReportError> {
        let held = self.0.held.get(key).await;
        let then = self.now() + ahead;
        if held.is_some_and(|held| matches!(held.dated.judge(Freshness::default(), then), Verdict::Fresh(_))) {
            return Ok(0);
        }
        let (landing, role) = self
            .0
            .flights
            .join(key, errand, |errand| self.clone().fetch(key.clone(), errand));
        let fetched = timeout_at(errand.deadline(), landing)
            .await
            .map_err(|_| ReportError::Deadline)??;
        Ok(match role {
            Role::Leader => fetched.upstream_calls,
            Role::Follower => 0,
        })
    }

    /// Has it asked for by one replica for all, and holds what comes. Runs in a flight, for whoever waits and for the cache.
    async fn fetch(self, key: Key, errand: Errand) -> Result<Arc<Held>, ReportError> {
        let Some(name) = stored::name(&key) else {
            return self.ask_upstream(key, errand).await;
        };
        let known = self.0.held.get(&key).await;
        let look = self.left_by_others(&key, known.as_ref());
        let ask = self.ask_upstream(key.clone(), errand.clone());
        let leave = |held: &Arc<Held>| {
            let entry = stored::encode(held).map(|kept| Entry {
                name: name.clone(),
                kept,
                ttl: stored::kept_for(held),
            });
            entry.into_iter().collect()
        };
        let what = serde_json::json!(["asked", name.text()]);
        once::once(&self.0.settings.fleet, what, errand.deadline(), look, ask, leave).await
    }

    /// What another replica has left that is fresh and newer than what is held here, held from now on.
    async fn left_by_others(&self, key: &Key, held: Option<&Arc<Held>>) -> Option<Arc<Held>> {
        let parts = &self.0;
        if !parts.settings.fleet.is_used() {
            return None;
        }
        let purges = parts.series.purges();
        let name = stored::name(key)?;
        let kept = parts.settings.fleet.read(&[name]).await.pop()??;
        let left = Arc::new(stored::decode(&kept, key, parts.settings.windows)?);
        let is_known = held.is_some_and(|held| held.dated.fetched_at >= left.dated.fetched_at);
        let is_fresh = matches!(left.dated.judge(Freshness::default(), self.now()), Verdict::Fresh(_));
        if is_known || !is_fresh {
            return None;
        }
        self.hold_whole(key, &left, purges).await;
        Some(left)
    }

    /// Asks the upstream and holds what it brings.
    async fn ask_upstream(&self, key: Key, errand: Errand) -> Result<Arc<Held>, ReportError> {
        let purges = self.0.series.purges();
        let fetched = match &key {
            Key::Aggregates(query) => self.ask_aggregates(query, &errand).await,
            Key::Names(lookup) => self.ask_names(*lookup, &errand).await,
            Key::QueuesNow(queues) => self.ask_observations(queues, &errand).await,
            Key::States(window) => self.ask_states(window, &errand).await,
            Key::UsersNow(users) => self.ask_users_now(users, &errand).await,
            Key::Passed(question) => self.ask_passed(question, &errand).await,
            Key::LimitHistory => self.ask_limit_history(&errand).await,
        };
        let Brought {
            fetched_at,
            is_unfinished,
            upstream_calls,
            payload,
        } = fetched?;
        let held = Arc::new(Held {
            dated: self.dated(fetched_at, stored::covers(&key, is_unfinished)),
            is_unfinished,
            is_left_by_another: false,
            upstream_calls,
            payload,
        });
        self.hold_whole(&key, &held, purges).await;
        Ok(held)
    }

    /// Holds an answer, unless something was dropped since `purges` was read before it was asked for.
    async fn hold_whole(&self, key: &Key, held: &Arc<Held>, purges: u64) {
        self.0.held.insert(key.clone(), Arc::clone(held)).await;
        if self.0.series.purges() != purges {
            self.0.held.remove(key).await;
        }
    }

    async fn ask_aggregates(&self, query: &AggregateQuery, errand: &Errand) -> Result<Brought, ReportError> {
        let slice = self.0.client.aggregates(query, errand).await?;
        Ok(Brought {
            fetched_at: slice.fetched_at,
            is_unfinished: false,
            upstream_calls: slice.upstream_calls,
            payload: Payload::Slice(Arc::new(WholeRows::new(slice.rows))),
        })
    }

    async fn ask_names(&self, lookup: Lookup, errand: &Errand) -> Result<Brought, ReportError> {
        let names = self.0.client.names(lookup, errand).await?;
        Ok(Brought {
            fetched_at: names.fetched_at,
            is_unfinished: false,
            upstream_calls: names.upstream_calls,
            payload: Payload::Names(Arc::new(Listed {
                names: Arc::new(names.by_id),
                divisions: names.divisions,
            })),
        })
    }

    async fn ask_limit_history(&self, errand: &Errand) -> Result<Brought, ReportError> {
        let fetched_at = self.now();
        let uses = self.0.client.limit_history(errand).await?;
        Ok(Brought {
            fetched_at,
            is_unfinished: false,
            upstream_calls: 1,
            payload: Payload::LimitHistory(uses.into()),
        })
    }

    async fn ask_observations(&self, queues: &BTreeSet<Arc<str>>, errand: &Errand) -> Result<Brought, ReportError> {
        let observed = self.0.client.queue_observations(queues, errand).await?;
        Ok(Brought {
            fetched_at: observed.fetched_at.unwrap_or_else(|| self.now()),
            is_unfinished: false,
            upstream_calls: observed.upstream_calls,
            payload: Payload::Observed(observed.rows),
        })
    }

    async fn ask_states(&self, window: &Window, errand: &Errand) -> Result<Brought, ReportError> {
        let told = self.0.client.user_states(window.days, &window.users, errand).await?;
        Ok(Brought {
            fetched_at: told.fetched_at,
            is_unfinished: false,
            upstream_calls: told.upstream_calls,
            payload: Payload::States(window.within(told.states).into()),
        })
    }

    async fn ask_users_now(&self, users: &BTreeSet<String>, errand: &Errand) -> Result<Brought, ReportError> {
        let limit = users_now::MOST_USERS;
        let told = self.0.client.users_now(users, limit, errand).await?;
        let told = told.map_err(|TooManyUsers { users }| ReportError::TooManyUsers { users, limit })?;
        Ok(Brought {
            fetched_at: told.fetched_at,
            is_unfinished: false,
            upstream_calls: told.upstream_calls,
            payload: Payload::Users(told.users),
        })
    }

    async fn ask_passed(&self, question: &PassedQuestion, errand: &Errand) -> Result<Brought, ReportError> {
        let passed = self.0.client.passed(question, errand).await?;
        Ok(Brought {
            fetched_at: passed.fetched_at,
            is_unfinished: passed.unfinished,
            upstream_calls: passed.upstream_calls,
            payload: Payload::Passed(passed.body),
        })
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn dated(&self, fetched_at: Timestamp, covers: Covers) -> Dated {
        self.0.settings.windows.dated(fetched_at, covers)
    }
}

/// What came of asking the upstream.
struct Brought {
    fetched_at: Timestamp,
    is_unfinished: bool,
    upstream_calls: u32,
    payload: Payload,
}

/// What is seen of a listing.
fn seen_of(listed: &Listed, lookup: Lookup, sight: &Sight) -> Arc<NamesById> {
    match sight.seen() {
        None => Arc::clone(&listed.names),
        Some(seen) => Arc::new(seen.listed(lookup, &listed.names, &listed.divisions)),
    }
}

/// The queues asked about: those named, or all there are.
fn queues_of(query: &NowQuery, names: &NamesById) -> BTreeSet<Arc<str>> {
    match query.queues() {
        Some(asked) => asked.iter().map(|queue| Arc::from(queue.as_str())).collect(),
        None => names.keys().cloned().collect(),
    }
}

/// The listings whose names the columns show.
fn lookups_of(columns: &[Column]) -> BTreeSet<Lookup> {
    columns.iter().filter_map(|column| lookup_of(&column.value)).collect()
}

fn lookup_of(value: &ColumnValue) -> Option<Lookup> {
    match value {
        ColumnValue::Name(dimension) => dimension.named.map(|(_, lookup)| lookup),
        ColumnValue::Interval
        | ColumnValue::IntervalStart
        | ColumnValue::IntervalEnd
        | ColumnValue::Dimension(_)
        | ColumnValue::Metric(..)
        | ColumnValue::Kpi(_) => None,
    }
}

/// Queues as they were when they were asked about, whoever asked: any question about some of them finds its answer here.
pub struct Observed {
    queues: BTreeSet<Arc<str>>,
    given: Given,
    names: Arc<NamesById>,
    calls_for_names: u32,
}

impl Observed {
    /// Whether the queues the question is about were all asked about.
    pub fn covers(&self, query: &NowQuery) -> bool {
        match query.queues() {
            Some(asked) => asked.iter().all(|queue| self.queues.contains(queue.as_str())),
            None => self.names.keys().all(|queue| self.queues.contains(queue)),
        }
    }

    /// The question's part of it.
    pub fn answer(&self, query: &NowQuery) -> Result<Answer, ReportError> {
        let Payload::Observed(rows) = &self.given.held.payload else {
            return Err(ReportError::Internal);
        };
        let observed_at = self.given.held.dated.fetched_at;
        let (table, total) = observations::table(query, rows, &self.names, observed_at);
        Ok(Answer {
            content: table,
            turn: None,
            total,
            fresh_for: self.given.fresh_for,
            provenance: self.given.provenance(self.calls_for_names),
        })
    }
}

/// What a caller is given, and how the cache took part.
struct Given {
    held: Arc<Held>,
    used: CacheUse,
    fresh_for: Duration,
}

impl Given {
    fn new(held: Arc<Held>, used: CacheUse, fresh_for: Duration) -> Self {
        Self { held, used, fresh_for }
    }

    /// The fetch is on the account of the caller who started it.
    fn calls(&self) -> u32 {
        match self.used {
            CacheUse::Miss => self.held.upstream_calls,
            CacheUse::Hit | CacheUse::Collapsed | CacheUse::Revalidating(_) | CacheUse::Stale => 0,
        }
    }

    fn listed(&self) -> Result<&Arc<Listed>, ReportError> {
        match &self.held.payload {
            Payload::Names(listed) => Ok(listed),
            Payload::Slice(_)
            | Payload::Observed(_)
            | Payload::States(_)
            | Payload::Users(_)
            | Payload::Passed(_)
            | Payload::LimitHistory(_) => Err(ReportError::Internal),
        }
    }

    fn provenance(&self, other_calls: u32) -> Provenance {
        let dated = &self.held.dated;
        Provenance {
            as_of: dated.fetched_at,
            complete: dated.complete(),
            settled_through: dated.settled_through(),
            cache: self.used,
            upstream_calls: self.calls() + other_calls,
        }
    }
}
