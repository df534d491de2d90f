//! With the cache and without it, the same answer.
//!
//! Random histories of questions, clock movements, late data, failures, purges and questions that come together run against
//! a model of the upstream: a list of events, counted anew for every request. Whatever is answered from what is held must be
//! what the upstream would say now, unless something has happened since the bucket was fetched; and then it must be
//! within its freshness. `ORACLE_CASES` asks for more histories than the default, `ORACLE_SEED` for those of a run that
//! failed (it prints its seed).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use rand::{Rng, RngExt, SeedableRng, seq::IndexedRandom};
use rand_pcg::Pcg64;
use tokio::runtime::Runtime;

use super::*;
use crate::{
    query::{Dimension, FilterRequest, Limits, NamesByLookup, Purge, QueryRequest},
    report::rows,
    table::Stats,
};

const QUEUES: [&str; 3] = ["sales", "support", "retention"];
const USERS: [&str; 3] = ["anna", "ben", "chloe"];
const MEDIA: [&str; 3] = ["voice", "chat", "email"];
const SKILLS: [&str; 3] = ["english", "german", "billing"];
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
const DAYS: i64 = 45;

/// Something that happened, and when the upstream heard of it.
struct Event {
    at: Timestamp,
    visible_from: Timestamp,
    conversation: u32,
    queue: Option<&'static str>,
    user: Option<&'static str>,
    media: &'static str,
    skills: Vec<&'static str>,
    metric: &'static str,
    value: f64,
    goal: f64,
}

/// Bucket, group and media type of a row.
type Place<'e> = (Range, Vec<Option<&'e str>>, &'e str);

struct Model {
    events: Vec<Event>,
    tells_percentiles: bool,
    now: Timestamp,
    calls: u32,
}

impl Model {
    fn new(random: &mut Pcg64) -> Self {
        // So that the ends of summer time of Berlin, New York and Lord Howe Island lie in what is asked about.
        let starts = ["2026-03-01T00:00:00Z", "2026-10-01T00:00:00Z"];
        let start: Timestamp = starts.choose(random).unwrap().parse().unwrap();
        let seconds = (DAYS + 30) * 86_400;
        let (have_own_goals, tells_percentiles) = (random.random_bool(0.5), random.random_bool(0.3));
        let goals_change = start + SignedDuration::from_secs(random.random_range(0..2 * seconds));
        let events = (0..random.random_range(1..250)).map(|_| {
            let at = start + SignedDuration::from_millis(random.random_range(0..seconds * 1000));
            let late = if random.random_bool(0.2) {
                random.random_range(1..40 * 3600)
            } else {
                0
            };
            let skills = random.random_range(0..3);
            let queue = random.random_bool(0.9).then(|| *QUEUES.choose(random).unwrap());
            Event {
                at,
                visible_from: at + SignedDuration::from_secs(late),
                conversation: random.random_range(0..100),
                goal: match queue {
                    _ if at >= goals_change => 0.9,
                    Some("sales") if have_own_goals => 0.7,
                    _ => 0.8,
                },
                queue,
                user: random.random_bool(0.8).then(|| *USERS.choose(random).unwrap()),
                media: MEDIA.choose(random).unwrap(),
                skills: SKILLS.iter().copied().take(skills).collect(),
                metric: ["nOffered", "tHandle", "oServiceLevel", "nConversations"]
                    .choose(random)
                    .unwrap(),
                value: f64::from(random.random_range(0..600_000)),
            }
        });
        let mut events: Vec<_> = events.collect();
        events.sort_by_key(|event| event.at);
        Self {
            events,
            tells_percentiles,
            now: start + SignedDuration::from_secs(random.random_range(DAYS * 86_400 - 172_800..DAYS * 86_400)),
            calls: 0,
        }
    }

    /// What the upstream says now.
    fn answer(&self, query: &AggregateQuery) -> Vec<SliceRow> {
        let buckets: Vec<Range> = match query.granularity {
            None => vec![query.range],
            Some(granularity) => granularity.buckets(query.range, &query.time_zone).collect(),
        };
        let by_agent = query.group_by.iter().any(|dimension| dimension.upstream == "userId")
            || query.filter.values_of("userId").is_some();
        let mut counted: BTreeMap<Place<'_>, Vec<Vec<&Event>>> = BTreeMap::new();
        for event in &self.events {
            let is_known = event.visible_from <= self.now && query.range.contains(event.at);
            let passes = query
                .filter
                .clauses
                .iter()
                .all(|(dimension, allowed)| event.values(dimension).iter().any(|value| allowed.contains(*value)));
            let place = query.metrics.iter().position(|metric| metric.upstream == event.metric);
            let (Some(place), true, true) = (place, is_known, passes) else {
                continue;
            };
            if by_agent && (event.user.is_none() || query.metrics[place].side == crate::query::catalogue::Side::Queue) {
                continue;
            }
            let bucket = buckets[buckets.partition_point(|bucket| bucket.end <= event.at)];
            let mut keys: Vec<Vec<Option<&str>>> = vec![Vec::new()];
            for dimension in &query.group_by {
                let values = event.values(dimension);
                let values: Vec<Option<&str>> = match values.as_slice() {
                    [] => vec![None],
                    some => some.iter().copied().map(Some).collect(),
                };
                let extended = keys
                    .iter()
                    .flat_map(|key| values.iter().map(|value| [key.as_slice(), &[*value]].concat()));
                keys = extended.collect();
            }
            for key in keys {
                let cells = counted
                    .entry((bucket, key, event.media))
                    .or_insert_with(|| vec![Vec::new(); query.metrics.len()]);
                cells[place].push(event);
            }
        }
        let rows = counted.into_iter().map(|((bucket, key, media), cells)| SliceRow {
            group: key.into_iter().map(|value| value.map(Arc::from)).collect(),
            media_type: Some(media.into()),
            bucket,
            metrics: cells.iter().map(|events| self.stats_of(events)).collect(),
        });
        rows.collect()
    }

    fn fetch(&mut self, query: &AggregateQuery) -> Slice {
        self.calls += 1;
        Slice {
            rows: self.answer(query),
            fetched_at: self.now,
            came_at: self.now,
            upstream_calls: 1,
        }
    }

    fn stats_of(&self, events: &[&Event]) -> Option<Stats> {
        let first = events.first()?;
        let values = || events.iter().map(|event| event.value);
        let count = Some(events.len() as f64);
        Some(match first.metric {
            "nConversations" => Stats {
                count: Some(
                    events
                        .iter()
                        .map(|event| event.conversation)
                        .collect::<BTreeSet<_>>()
                        .len() as f64,
                ),
                ..Stats::default()
            },
            "nOffered" => Stats {
                count,
                ..Stats::default()
            },
            "oServiceLevel" => {
                let good = values().filter(|value| *value < 300_000.0).count() as f64;
                Stats {
                    numerator: Some(good),
                    denominator: count,
                    ratio: count.map(|count| good / count),
                    // What the upstream shows where goals differ is not known: something that is not made of parts.
                    target: events.iter().map(|event| event.goal).reduce(f64::max),
                    ..Stats::default()
                }
            }
            _ => Stats {
                count,
                sum: Some(values().sum()),
                min: values().reduce(f64::min),
                max: values().reduce(f64::max),
                // No combination of those of parts.
                p95: self.tells_percentiles.then(|| values().sum::<f64>() / 1_000.0 + 1.0),
                ..Stats::default()
            },
        })
    }

    /// Whether the upstream heard of anything in a bucket since it was fetched.
    fn has_changed(&self, bucket: Range, fetched_at: Timestamp) -> bool {
        let heard = |event: &Event| event.visible_from > fetched_at && event.visible_from <= self.now;
        let before = |instant| self.events.partition_point(|event| event.at < instant);
        self.events[before(bucket.start)..before(bucket.end)].iter().any(heard)
    }
}

impl Event {
    fn values(&self, dimension: &Dimension) -> Vec<&'static str> {
        match dimension.upstream {
            "queueId" => self.queue.into_iter().collect(),
            "userId" => self.user.into_iter().collect(),
            "mediaType" => vec![self.media],
            "requestedRoutingSkillId" => self.skills.clone(),
            other => panic!("no event has {other}"),
        }
    }
}

/// A question as a person would write it, of a small world so that questions meet.
fn any_request(random: &mut Pcg64, zone: &str) -> QueryRequest {
    let some = |random: &mut Pcg64, from: &[&str], share: f64| -> Vec<String> {
        from.iter()
            .filter(|_| random.random_bool(share))
            .map(|name| (*name).to_owned())
            .collect()
    };
    let moments = [
        "now-40d/d",
        "now-30d/d",
        "now-30d/h",
        "now-7d/d",
        "now-7d/h",
        "now-3d/d",
        "now-1d/d",
        "now/d",
        "now-2h/h",
        "now-40d/w",
        "now-40d/M",
        "now-13d",
        "now-90m",
    ];
    let ends = [
        None,
        None,
        None,
        Some("now/d"),
        Some("now/h"),
        Some("now+1d/d"),
        Some("now-1d/d"),
        Some("now-3h"),
    ];
    let mut select = some(
        random,
        &[
            "conversation.offered",
            "handle.time.average",
            "handle.time.max",
            "service.level",
            "conversation.count",
        ],
        0.4,
    );
    let group_by = some(random, &["routing.queue.id", "agent.id", "media.type"], 0.35);
    let mut group_by = group_by;
    if random.random_bool(0.1) {
        group_by.push("skill.requested.id".to_owned());
    }
    if select.is_empty() {
        select.push("conversation.offered".to_owned());
    }
    let select = [group_by.clone(), select].concat();
    let mut filter = Vec::new();
    for (dimension, values, share) in [
        ("routing.queue.id", QUEUES, 0.3),
        ("media.type", MEDIA, 0.15),
        ("agent.id", USERS, 0.1),
    ] {
        if random.random_bool(share) {
            let count = random.random_range(1..3);
            filter.push(FilterRequest {
                dimension: dimension.to_owned(),
                values: values.sample(random, count).map(|value| (*value).to_owned()).collect(),
            });
        }
    }
    let interval = [
        None,
        Some("PT30M"),
        Some("PT30M"),
        Some("PT1H"),
        Some("PT1H"),
        Some("PT1H"),
        Some("PT6H"),
        Some("P1D"),
        Some("P1D"),
        Some("P1W"),
        Some("P1M"),
    ];
    QueryRequest {
        date_from: (*moments.choose(random).unwrap()).to_owned(),
        date_to: ends.choose(random).unwrap().map(str::to_owned),
        interval: interval.choose(random).unwrap().map(str::to_owned),
        time_zone: Some(zone.to_owned()),
        group_by: Some(group_by),
        select: Some(select),
        filter,
        page_size: Some(1000),
        fill: random.random_bool(0.2).then(|| "zero".to_owned()),
        ..QueryRequest::default()
    }
}

/// A question as it is asked by parameters.
pub(super) fn asked(parameters: &str, now: Timestamp) -> Query {
    let pairs: Vec<_> = form_urlencoded::parse(parameters.as_bytes()).into_owned().collect();
    let named = QueryRequest::from_pairs(&pairs).meaning(|request| Query::parse(&request, now, &Limits::default()));
    named.unwrap().resolve(&NamesByLookup::new()).unwrap()
}

/// A question, most often one that was asked before with one thing changed.
fn question(random: &mut Pcg64, zone: &str, now: Timestamp, before: &mut Vec<QueryRequest>) -> Query {
    loop {
        let other = any_request(random, zone);
        let request = match before.choose(random).filter(|_| random.random_bool(0.8)) {
            None => other,
            Some(known) => {
                let mut known = known.clone();
                match random.random_range(0..6) {
                    0 => known.date_from = other.date_from,
                    1 => known.date_to = other.date_to,
                    2 => known.interval = other.interval,
                    3 => (known.select, known.group_by) = (other.select, other.group_by),
                    4 => known.filter = other.filter,
                    _ => {}
                }
                known
            }
        };
        let Ok(named) = Query::parse(&request, now, &Limits::default()) else {
            continue;
        };
        before.push(request);
        return named.resolve(&NamesByLookup::new()).unwrap();
    }
}

/// A question, and whether its figures add: those it shows, or all that its metrics carry.
struct Wanted {
    query: Query,
    adds: Adds,
}

struct History {
    /// There is hardly room for a chunk.
    is_cramped: bool,
    cache: SeriesCache,
    model: Model,
    hits: u32,
    answers: u32,
    stale: u32,
    aging: u32,
    fused: u32,
    folded_as_told: u32,
}

impl History {
    /// Asks several questions that come together, and checks every answer.
    fn ask(&mut self, queries: &[Wanted], random: &mut Pcg64) {
        let (cache, came) = (&self.cache, self.model.now);
        let freshness = Freshness {
            max_age: random.random_bool(0.1).then_some(Duration::ZERO),
            ..Freshness::default()
        };
        let wish_of = |wanted: &Wanted| Wish {
            freshness,
            now: came,
            came,
            whole: wanted.adds != Adds::Always,
            windows: Windows::default(),
        };
        let mut journeys: Vec<Journey> = queries.iter().map(|_| Journey::default()).collect();
        let mut open: Vec<usize> = (0..queries.len()).collect();
        let mut rounds = 0;
        while !open.is_empty() {
            rounds += 1;
            if rounds > ROUNDS {
                // What is displaced before it is read is asked whole.
                let asked: Vec<_> = queries.iter().map(|wanted| &wanted.query).collect();
                assert!(self.is_cramped, "no answer after {ROUNDS} rounds: {asked:?}");
                return;
            }
            let mut asking: Vec<(usize, Vec<AggregateQuery>)> = Vec::new();
            for index in std::mem::take(&mut open) {
                let (wanted, wish) = (&queries[index], wish_of(&queries[index]));
                let Wanted { query, adds } = wanted;
                match cache.choose(&query.aggregate, *adds, wish, query.asked_at, &journeys[index]) {
                    Choice::Whole(_) => {}
                    Choice::Ready(view, _) => {
                        self.hits += u32::from(rounds == 1);
                        self.answers += 1;
                        self.folded_as_told += u32::from(view.lens.adds && *adds == Adds::AsTold);
                        check(cache, &self.model, wanted, view, wish, Standing::Fresh);
                    }
                    Choice::Ask(view, missing) => {
                        assert!(
                            !missing.calls.is_empty() && missing.calls.len() <= MAX_CALLS,
                            "{missing:?}"
                        );
                        if missing.may_come_later && rounds == 1 && random.random_bool(0.5) {
                            self.aging += 1;
                            check(cache, &self.model, wanted, view, wish, Standing::Aging);
                            continue;
                        }
                        if random.random_bool(0.1) {
                            if missing.is_held && view.adds_up(*adds, &query.aggregate.metrics) {
                                self.stale += 1;
                                check(cache, &self.model, wanted, view, wish, Standing::Stale);
                            }
                            continue;
                        }
                        let calls = missing.calls.iter();
                        let calls = calls.map(|range| view.entry.series.query(*range, missing.metrics.clone()));
                        asking.push((index, calls.collect()));
                    }
                }
            }
            // Of one kind, they leave together; otherwise each alone. What is the same is asked once.
            let mut landed = Vec::new();
            let (alone, together): (Vec<_>, Vec<_>) = asking.iter().partition(|(index, _)| journeys[*index].alone);
            for fetch in alone.into_iter().flat_map(|(_, fetches)| fetches) {
                let slice = self.model.fetch(fetch);
                landed.extend(cache.land(fetch, &slice, false, cache.purges()).unwrap().chunks);
            }
            let fetches: BTreeMap<String, AggregateQuery> = together
                .into_iter()
                .flat_map(|(_, fetches)| fetches.iter().map(|fetch| (format!("{fetch:?}"), fetch.clone())))
                .collect();
            for batch in gather::tests::by_class(fetches.into_values().collect()) {
                for (fetch, members) in gather::fuse(batch) {
                    self.fused += u32::from(members.len() > 1);
                    let slice = self.model.fetch(&fetch);
                    for (member, brought) in
                        members
                            .iter()
                            .zip(cache.land_for(&fetch, &slice, &members, cache.purges()))
                    {
                        let brought = brought.unwrap_or_else(|| {
                            cache
                                .land(member, &self.model.fetch(member), false, cache.purges())
                                .unwrap()
                        });
                        landed.extend(brought.chunks);
                    }
                }
            }
            for (index, _) in asking {
                journeys[index].alone = rounds >= 2;
                journeys[index].landed.extend(landed.iter().cloned());
                open.push(index);
            }
        }
    }
}

/// Has many rows made aside, as the service does.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// What is answered is what the upstream says, as far as nothing has happened since.
fn check(cache: &SeriesCache, model: &Model, wanted: &Wanted, view: View, wish: Wish, standing: Standing) {
    let Wanted { query, adds } = wanted;
    let figures = view.answer(&query.aggregate, wish, &mut Journey::default(), standing);
    let figures = figures.unwrap_or_else(|_| panic!("{query:?} is not held"));
    let Body::Held(view) = &figures.body else {
        panic!("{query:?} is answered whole");
    };
    let mut has_changed = false;
    let mut oldest = model.now;
    for part in &view.parts {
        let chunk = part.held.as_deref().unwrap();
        for metric in &query.aggregate.metrics {
            let column = chunk.column(metric).unwrap();
            for index in chunk.buckets_in(part.asked) {
                let (bucket, at) = (chunk.bucket(index), column.fetched_at(index).unwrap());
                oldest = oldest.min(at);
                has_changed |= model.has_changed(bucket, at);
                let (age, ended) = (model.now.duration_since(at), at.duration_since(bucket.end));
                let bound = match ended.as_hours() {
                    _ if ended < SignedDuration::ZERO => SignedDuration::from_secs(30),
                    48.. => SignedDuration::MAX,
                    _ => (ended / 10).clamp(SignedDuration::from_mins(1), SignedDuration::from_hours(1)),
                };
                let stale = match standing {
                    Standing::Stale => SignedDuration::from_hours(24),
                    Standing::Aging => SignedDuration::from_mins(1).min(bound / 2),
                    Standing::Fresh => SignedDuration::ZERO,
                };
                let is_settled = bound == SignedDuration::MAX;
                assert!(
                    is_settled || age <= bound.saturating_add(stale),
                    "{bucket} fetched at {at} is old at {}",
                    model.now
                );
                if wish.freshness.max_age.is_some() && standing != Standing::Stale {
                    assert!(age <= SignedDuration::from_secs(2), "{bucket} is older than asked for");
                }
                if is_settled {
                    assert!(
                        !model.has_changed(bucket, at),
                        "late data comes before {bucket} has settled"
                    );
                }
            }
        }
    }
    assert_eq!(figures.provenance.as_of, oldest);
    assert_eq!(
        figures.provenance.complete,
        figures.provenance.settled_through == query.aggregate.range.end,
    );
    if !has_changed {
        // `now` is whenever the tail was looked up.
        let mut until_now = query.clone();
        if query.asked_at == query.aggregate.range.end {
            let end = model.now.min(view.range.end);
            until_now.aggregate.range.end = end.max(query.aggregate.range.end);
        }
        let expected = rows::ordered(&until_now, &model.answer(&until_now.aggregate), &NamesByLookup::new());
        let expected = expected
            .map(|rows| (rows::shown(query, &rows), rows.len() as u64))
            .map_err(|error| error.to_string());
        let ordered = RUNTIME.block_on(cache.ordered(&figures.body, query, &NamesByLookup::new()));
        let (rows, _turn) = ordered.expect("buckets fit");
        let found = rows
            .map(|rows| (rows.table(query), rows.total()))
            .map_err(|error| error.to_string());
        assert_eq!(found, expected, "{query:?} of {:?}", view.entry.series);
        if *adds == Adds::told(&query.aggregate.metrics) {
            let end = query.aggregate.range.end;
            let by_place = |rows: Vec<SliceRow>| -> BTreeMap<_, _> {
                let rows = rows.into_iter().map(|row| {
                    let bucket = Range::new(row.bucket.start, row.bucket.end.min(end));
                    ((bucket, row.group, row.media_type), row.metrics)
                });
                rows.collect()
            };
            let told = by_place(model.answer(&until_now.aggregate));
            let rows = by_place(view.rows_of(&query.aggregate).expect("buckets fit"));
            assert_eq!(rows, told, "{query:?} of {:?}, as told", view.entry.series);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what to run is asked for by hand, in no setting"
)]
fn asked_for<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// What histories tried.
#[derive(Default)]
struct Tried {
    answers: u32,
    hits: u32,
    stale: u32,
    aging: u32,
    folded_as_told: u32,
    calls: u32,
}

impl std::ops::AddAssign for Tried {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.hits += other.hits;
        self.stale += other.stale;
        self.aging += other.aging;
        self.folded_as_told += other.folded_as_told;
        self.calls += other.calls;
    }
}

#[test]
fn with_the_cache_and_without_it_the_answer_is_the_same() {
    let cases: u64 = asked_for("ORACLE_CASES").unwrap_or(10_000);
    let first: u64 = asked_for("ORACLE_SEED").unwrap_or_else(|| rand::rng().next_u64() >> 16);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tried = Tried::default();
    std::thread::scope(|scope| {
        let shares = (0..threads).map(|share| {
            scope.spawn(move || {
                let mut tried = Tried::default();
                for seed in (first..first + cases).skip(share).step_by(threads) {
                    let told = SeedTold(seed);
                    tried += history(seed);
                    std::mem::forget(told);
                }
                tried
            })
        });
        for share in shares.collect::<Vec<_>>() {
            tried += share.join().expect("its seed has been told");
        }
    });
    let Tried {
        answers,
        hits,
        stale,
        aging,
        folded_as_told,
        calls,
    } = tried;
    println!(
        "{cases} histories from seed {first}: {answers} answers, {hits} without a request, {stale} stale, \
         {aging} to come later, {folded_as_told} put together as told, {calls} requests"
    );
    // Otherwise it does not try what it is for.
    assert!(cases < 100 || hits > answers / 10 && stale > 0 && aging > 0 && folded_as_told > 0 && calls < answers);
}

fn history(seed: u64) -> Tried {
    let mut random = Pcg64::seed_from_u64(seed);
    let random = &mut random;
    let is_cramped = random.random_bool(0.1);
    let mut history = History {
        is_cramped,
        cache: SeriesCache::new(
            if is_cramped { 3_000 } else { 50_000_000 },
            Windows::default(),
            Disk::default(),
        ),
        model: Model::new(random),
        hits: 0,
        answers: 0,
        stale: 0,
        aging: 0,
        fused: 0,
        folded_as_told: 0,
    };
    let zone = ZONES.choose(random).unwrap();
    let mut before = Vec::new();
    for _ in 0..random.random_range(3..12) {
        let together = random.random_range(1..4);
        let queries = (0..together).map(|_| {
            let query = question(random, zone, history.model.now, &mut before);
            let adds = if random.random_bool(0.3) {
                Adds::told(&query.aggregate.metrics)
            } else {
                Adds::shown(&query.columns)
            };
            Wanted { query, adds }
        });
        let queries: Vec<_> = queries.collect();
        history.ask(&queries, random);
        let now = history.model.now;
        if random.random_bool(0.05) {
            let ago = |hours| now - SignedDuration::from_hours(hours);
            let range = Range::new(ago(random.random_range(24..700)), ago(random.random_range(0..24)));
            history.cache.purge(&Purge {
                source: None,
                range: range.filter(|_| random.random_bool(0.7)),
            });
        }
        history.model.now += match random.random_range(0..10) {
            0..=3 => SignedDuration::ZERO,
            4..=6 => SignedDuration::from_secs(random.random_range(3..100)),
            7..=8 => SignedDuration::from_secs(random.random_range(100..20_000)),
            _ => SignedDuration::from_secs(random.random_range(20_000..300_000)),
        };
    }
    Tried {
        answers: history.answers,
        hits: history.hits,
        stale: history.stale,
        aging: history.aging,
        folded_as_told: history.folded_as_told,
        calls: history.model.calls,
    }
}

/// Tells the seed of a history that fails.
struct SeedTold(u64);

impl Drop for SeedTold {
    fn drop(&mut self) {
        eprintln!("ORACLE_SEED={} ORACLE_CASES=1", self.0);
    }
}
