//! With the days held and without them, the same conversations.
//!
//! Random histories of questions, clock movements, conversations that end and that turn up late, pages in any cut and
//! order, and sweeps that break off run against a model of the upstream. What is answered must be what the upstream said
//! when the day was read, in order, and what it says now unless the day is within its freshness. `ORACLE_SEED` runs the
//! histories of a run that failed (it prints its seed).

use jiff::SignedDuration;
use proptest::prelude::*;
use rand::{
    Rng, RngExt, SeedableRng,
    seq::{IndexedRandom, SliceRandom},
};
use rand_pcg::Pcg64;

use super::{
    day::{Line, Outlasting},
    *,
};
use crate::{query::Page, report::freshness::Dated, upstream::Conversation};

const DAYS: i64 = 7;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn first_day() -> Timestamp {
    at("2026-03-01T00:00:00Z")
}

fn range(from: i64, until: i64) -> Range {
    Range {
        start: first_day() + SignedDuration::from_secs(from),
        end: first_day() + SignedDuration::from_secs(until),
    }
}

/// Whole days.
fn days(from: i64, until: i64) -> Range {
    range(from * 86_400, until * 86_400)
}

/// A conversation, and when the upstream heard of it and of its end.
struct Known {
    id: String,
    start: Timestamp,
    visible_from: Timestamp,
    end: Timestamp,
    padding: usize,
}

struct Model {
    conversations: Vec<Known>,
    now: Timestamp,
    calls: usize,
}

impl Model {
    fn new(random: &mut Pcg64) -> Self {
        let seconds = DAYS * 86_400;
        let longest = if random.random_bool(0.1) { 90_000 } else { 40 };
        let known = (0..random.random_range(0..60)).map(|number| {
            // Few instants, so that some start together.
            let start = first_day() + SignedDuration::from_secs(random.random_range(0..seconds / 600) * 600);
            let late = if random.random_bool(0.2) {
                random.random_range(0..40 * 3600)
            } else {
                0
            };
            let lasts = if random.random_bool(0.1) { 5 * 86_400 } else { 3_000 };
            Known {
                id: format!("{:02}-{number}", random.random_range(0..100)),
                start,
                visible_from: start + SignedDuration::from_secs(late),
                end: start + SignedDuration::from_secs(random.random_range(1..lasts)),
                padding: random.random_range(0..longest),
            }
        });
        Self {
            conversations: known.collect(),
            now: first_day() + SignedDuration::from_secs(random.random_range(2 * 86_400..seconds)),
            calls: 0,
        }
    }

    /// What the upstream said at an instant of those that started in a range.
    fn answer(&self, range: Range, at: Timestamp) -> Vec<Conversation> {
        let known = self.conversations.iter();
        let known = known.filter(|known| range.contains(known.start) && known.visible_from <= at && known.start <= at);
        let mut answer: Vec<_> = known.map(|known| known.told(at)).collect();
        answer.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        answer
    }

    /// The same; what was looked at by itself, as it was told then.
    fn answer_of(
        &self,
        range: Range,
        at: Timestamp,
        looked_at: impl Fn(&str) -> Option<Timestamp>,
    ) -> Vec<Conversation> {
        let mut answer = self.answer(range, at);
        for told in &mut answer {
            let known = self.conversations.iter().find(|known| *known.id == *told.id);
            if let (Some(known), Some(looked_at)) = (known, looked_at(&told.id)) {
                *told = known.told(looked_at);
            }
        }
        answer
    }

    /// What the upstream says now of those named.
    fn told(&mut self, ids: &[Arc<str>]) -> ConversationsById {
        self.calls += 1;
        let known = self
            .conversations
            .iter()
            .filter(|known| ids.contains(&known.id.as_str().into()));
        let told = known.map(|known| (known.id.as_str().into(), known.told(self.now)));
        ConversationsById {
            by_id: told.collect(),
            fetched_at: self.now,
            upstream_calls: 1,
        }
    }

    /// The pages of whole days as the pager hands them on: windows in order, within each by start, but for what is found
    /// by reading a second time.
    fn pages(&mut self, days: Range, random: &mut Pcg64) -> Vec<ConversationPage> {
        let mut pages = Vec::new();
        let mut start = days.start;
        while start < days.end {
            let whole = SignedDuration::from_hours(24 * random.random_range(1..5));
            let window = Range {
                start,
                end: (start + whole).min(days.end),
            };
            let mut rows = self.answer(window, self.now);
            // Those that start together come in any order.
            rows.shuffle(random);
            rows.sort_by_key(|row| row.start);
            let mut again = Vec::new();
            if random.random_bool(0.3) {
                rows.retain(|row| {
                    let is_missed = random.random_bool(0.3);
                    again.extend(is_missed.then(|| row.clone()));
                    !is_missed
                });
            }
            rows.extend(again);
            let size = random.random_range(1..9);
            let mut cut: Vec<&[Conversation]> = rows.chunks(size).collect();
            cut.push(&[]);
            for rows in cut {
                self.calls += 1;
                pages.push(ConversationPage {
                    conversations: rows.to_vec(),
                    expected: rows.len(),
                    read_through: window.start,
                    upstream_calls: 1,
                    fetched_at: self.now,
                });
            }
            start = window.end;
        }
        pages
    }
}

impl Known {
    fn told(&self, at: Timestamp) -> Conversation {
        let end = Some(self.end).filter(|end| *end <= at);
        let document = format!("{} {end:?} {}", self.id, "x".repeat(self.padding));
        Conversation {
            id: self.id.as_str().into(),
            start: self.start,
            end,
            document: document.into(),
        }
    }
}

/// The days that come of a sweep, and whether it breaks off.
fn read(model: &mut Model, sweep: &Sweep, random: &mut Pcg64) -> (Vec<Day>, bool) {
    let pages = model.pages(sweep.days, random);
    let breaks_at = random.random_bool(0.15).then(|| random.random_range(0..pages.len()));
    let mut builder = Builder::new(sweep.days);
    let came = &pages[..breaks_at.unwrap_or(pages.len())];
    let mut whole: Vec<Day> = came.iter().flat_map(|page| builder.add(page)).collect();
    if breaks_at.is_none() {
        whole.extend(builder.finish());
    }
    (whole, breaks_at.is_some())
}

/// Alone, and as large as told.
fn cache_of(capacity_bytes: u64) -> DayCache {
    let (windows, disk, fleet) = (Windows::default(), Disk::default(), Fleet::default());
    DayCache::new(capacity_bytes, u64::MAX, windows, disk, fleet)
}

/// One history.
fn history(random: &mut Pcg64) {
    let mut model = Model::new(random);
    let capacity = if random.random_bool(0.2) { 2_000 } else { 50_000_000 };
    let cache = cache_of(capacity);
    let filter = Arc::new(Filter::default());
    for _ in 0..random.random_range(1..12) {
        if random.random_bool(0.6) {
            let most = *[5, 40, 600, 7_200, 86_400, 200_000].choose(random).unwrap();
            model.now += SignedDuration::from_secs(random.random_range(0..most));
        }
        let from = random.random_range(0..DAYS * 24) * 3600;
        let asked = range(from, from + random.random_range(1..72) * 3600);
        let wish = Wish {
            freshness: Freshness {
                max_age: random.random_bool(0.1).then_some(std::time::Duration::ZERO),
                ..Freshness::default()
            },
            now: model.now,
            windows: Windows::default(),
        };
        let (mut came, mut waited_for) = (HashMap::new(), WaitedFor::default());
        let mut parts = cache.parts(&filter, asked, &came, model.now);
        let held_before: Vec<_> = parts.iter().map(|part| part.held.clone()).collect();
        let there = parts
            .iter()
            .filter_map(|part| Some((part.day.start, part.held.clone()?)));
        came.extend(there);
        let mut is_broken = false;
        if let Some(missing) = plan::missing(&parts, &waited_for, wish) {
            for sweep in sweeps(&filter, asked, &missing.sweeps) {
                let (whole, breaks) = read(&mut model, &sweep, random);
                is_broken |= breaks;
                for day in whole {
                    let day = cache.hold(&filter, day, model.now);
                    waited_for.days.insert(day.range.start);
                    came.insert(day.range.start, day);
                }
            }
            let are_told = random.random_bool(0.85);
            is_broken |= !missing.looks.is_empty() && !are_told;
            for look in missing.looks.iter().filter(|_| are_told) {
                let told = model.told(&look.ids);
                let day = cache.hold_told(&filter, &look.day, &told, model.now).unwrap();
                waited_for.conversations.extend(look.ids.iter().cloned());
                came.insert(day.range.start, day);
            }
            parts = cache.parts(&filter, asked, &came, model.now);
            assert!(
                is_broken || plan::missing(&parts, &waited_for, wish).is_none(),
                "{asked}"
            );
        }
        let Some(summary) = plan::summary(&parts, &waited_for, wish) else {
            assert!(is_broken, "all has come");
            // What is there was there before, or came whole.
            for (part, before) in parts.iter().zip(held_before) {
                let is_new = waited_for.days.contains(&part.day.start);
                let is_read = |day: &Arc<Day>| Some(day.fetched_at) == before.as_ref().map(|before| before.fetched_at);
                assert!(is_new || part.held.as_ref().is_none_or(is_read));
            }
            continue;
        };
        let of_days: Vec<_> = parts
            .iter()
            .map(|part| (part.held.clone().unwrap(), part.asked))
            .collect();
        let (total, documents) = day::cut(&of_days, |total| 0..total).unwrap();
        assert_eq!(total, documents.len());
        let mut given = documents.into_iter();
        for (day, part) in &of_days {
            let looked_at = |id: &str| {
                day.outlasting
                    .iter()
                    .find(|one| &*one.id == id)
                    .map(|one| one.looked_at)
            };
            let then = model.answer_of(*part, day.fetched_at, looked_at);
            let given: Vec<_> = given.by_ref().take(then.len()).collect();
            let said: Vec<_> = then.iter().map(|told| told.document.clone()).collect();
            assert_eq!(given, said, "{part} as read at {}", day.fetched_at);
            let now: Vec<_> = model
                .answer(*part, model.now)
                .into_iter()
                .map(|told| told.document)
                .collect();
            let is_young = |dated: Dated| !dated.complete() && dated.age(model.now) <= dated.lifetime() * 3 / 2;
            let mut dates = day.outlasting_in(*part, wish.windows).map(|(_, dated)| dated);
            let may_differ = is_young(day.dated(*part, wish.windows)) || dates.any(is_young);
            assert!(said == now || may_differ || is_broken, "{part} is stale");
            assert!(!summary.complete || said == now, "{part} is not what it was");
        }
        assert_eq!(given.next(), None);
        assert_eq!(
            summary.as_of,
            of_days.iter().map(|(day, _)| day.fetched_at).min().unwrap()
        );
    }
}

#[test]
fn with_days_held_and_without_the_same_conversations() {
    #[expect(clippy::disallowed_methods, reason = "a knob of this test, not of the service")]
    let seed = std::env::var("ORACLE_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| rand::rng().next_u64());
    println!("ORACLE_SEED={seed}");
    let mut random = Pcg64::seed_from_u64(seed);
    for _ in 0..2_000 {
        history(&mut random);
    }
}

/// What was read before the clock was set back says a later instant than what is read now.
#[test]
fn what_was_just_read_counts_although_the_clock_was_set_back() {
    let cache = cache_of(1_000_000);
    let filter = Arc::new(Filter::default());
    let counts = |came: &HashMap<_, _>, now: &str| {
        let parts = cache.parts(&filter, days(1, 2), came, at(now));
        parts[0].held.as_ref().map(|day| day.count())
    };
    let nothing = HashMap::new();
    let (before, after) = ("2026-03-20T12:00:00Z", "2026-03-20T11:30:00Z");
    cache.hold(&filter, held(1, before, 3, true), at(before));
    let came = Arc::new(held(1, after, 4, true));
    let came = HashMap::from([(came.range.start, came)]);
    assert_eq!(counts(&came, after), Some(4), "there is no room to hold it");
    cache.hold(&filter, held(1, after, 4, true), at(after));
    assert_eq!(counts(&nothing, after), Some(4));
    cache.hold(&filter, held(1, "2026-03-20T11:29:00Z", 5, true), at(after));
    assert_eq!(counts(&nothing, after), Some(4), "that came late");
}

// ── what is asked for ──

fn held(day: i64, fetched_at: &str, count: usize, is_finished: bool) -> Day {
    let range = days(day, day + 1);
    let mut builder = Builder::new(range);
    builder.add(&ConversationPage {
        conversations: (0..count)
            .map(|number| Conversation {
                id: format!("{number:04}").into(),
                start: range.start,
                end: is_finished.then_some(range.start),
                document: Bytes::from(format!("{number}")),
            })
            .collect(),
        expected: count,
        read_through: range.start,
        upstream_calls: 1,
        fetched_at: at(fetched_at),
    });
    builder.finish().pop().unwrap()
}

#[test]
fn days_in_a_row_are_one_sweep() {
    const SETTLED: &str = "2026-03-20T12:00:00Z";
    const NOW: &str = "2026-03-20T13:00:00Z";
    // By day: how many conversations are held, if any.
    for (held_counts, expected) in [
        (&[None; 5][..], &[(0, 5)][..]),
        (&[Some(7), None, None, Some(7), None], &[(1, 5)]),
        (&[Some(7), None, Some(51), None, Some(7)], &[(1, 2), (3, 4)]),
        (&[None, Some(25), Some(25), None, Some(0)], &[(0, 4)]),
        (&[None, Some(25), Some(26), None, Some(0)], &[(0, 1), (3, 4)]),
        (&[Some(0); 5], &[]),
    ] {
        let parts = held_counts.iter().zip(0..).map(|(count, day)| Part {
            day: days(day, day + 1),
            asked: days(day, day + 1),
            held: count.map(|count| Arc::new(held(day, SETTLED, count, true))),
        });
        let parts: Vec<_> = parts.collect();
        let wish = Wish {
            freshness: Freshness::default(),
            now: at(NOW),
            windows: Windows::default(),
        };
        let missing = plan::missing(&parts, &WaitedFor::default(), wish);
        let sweeps = missing.map_or_else(Vec::new, |missing| missing.sweeps);
        let expected: Vec<_> = expected.iter().map(|(from, until)| days(*from, *until)).collect();
        assert_eq!(sweeps, expected, "{held_counts:?}");
    }
}

#[test]
fn what_runs_is_asked_for_again_and_only_where_it_is_asked_about() {
    let day = |is_finished| Arc::new(held(1, "2026-03-20T12:00:00Z", 3, is_finished));
    let parts = |day, asked| {
        vec![Part {
            day: days(1, 2),
            asked,
            held: Some(day),
        }]
    };
    // It runs since midnight.
    let (night, noon) = (range(86_400, 90_000), range(100_000, 172_800));
    for (is_finished, asked, minutes, expected) in [
        (true, night, 0, Some(true)),
        (true, night, 60 * 24 * 40, Some(true)),
        (false, night, 0, Some(false)),
        (false, night, 1, None),
        (false, noon, 60 * 24 * 40, Some(true)),
    ] {
        let wish = Wish {
            freshness: Freshness::default(),
            now: at("2026-03-20T12:00:00Z") + SignedDuration::from_mins(minutes),
            windows: Windows::default(),
        };
        let parts = parts(day(is_finished), asked);
        let missing = plan::missing(&parts, &WaitedFor::default(), wish);
        if let Some(missing) = &missing {
            assert_eq!(missing.sweeps, [], "the day itself has settled");
            let ids: Vec<&str> = missing
                .looks
                .iter()
                .flat_map(|look| &look.ids)
                .map(AsRef::as_ref)
                .collect();
            assert_eq!(ids, ["0000", "0001", "0002"]);
        }
        let complete =
            (missing.is_none()).then(|| plan::summary(&parts, &WaitedFor::default(), wish).unwrap().complete);
        assert_eq!(complete, expected, "{is_finished} {asked} after {minutes} min");
    }
}

/// When days were read that have settled since.
const READ: &str = "2026-03-20T12:00:00Z";

fn hour(hours: i64) -> Timestamp {
    at(READ) + SignedDuration::from_hours(hours)
}

/// Such a day, with what ran on.
fn outlasted(number: i64, outlasting: &[(&str, Option<Timestamp>, Timestamp)], count: usize) -> Day {
    let mut day = held(number, READ, count, true);
    let start = day.range.start;
    let outlasting = outlasting.iter().map(|(id, end, looked_at)| Outlasting {
        start,
        id: (*id).into(),
        end: *end,
        looked_at: *looked_at,
    });
    day.outlasting = outlasting.collect();
    day
}

/// Three days that had settled when they were read, but for what ran on.
#[test]
fn what_runs_on_is_asked_for_by_itself() {
    let runs = |id, looked_at| (id, None, looked_at);
    let ended = |id, end, looked_at| (id, Some(end), looked_at);
    // Of each day, what outlasts it and how many conversations it has: what is asked for twelve hours after it was read,
    // and what is said of the days if that is nothing.
    let now = hour(12);
    let complete = Some((true, days(0, 3).end));
    for (outlasting, sweeps, looks, told) in [
        ([vec![], vec![], vec![]], vec![], vec![], complete),
        (
            [
                vec![runs("a", hour(0))],
                vec![],
                vec![runs("b", hour(0)), runs("c", hour(1))],
            ],
            vec![],
            vec!["a", "b", "c"],
            None,
        ),
        // Half a minute is young enough, and then it is not told to have settled.
        (
            [vec![], vec![runs("a", now)], vec![]],
            vec![],
            vec![],
            Some((false, days(1, 2).start)),
        ),
        // One that has ended may still be corrected for two days, which are looked for ever more rarely.
        (
            [
                vec![ended("a", hour(2), hour(3))],
                vec![],
                vec![ended("b", hour(2), hour(12))],
            ],
            vec![],
            vec!["a"],
            None,
        ),
        (
            [vec![], vec![], vec![ended("b", hour(2), hour(12))]],
            vec![],
            vec![],
            Some((false, days(2, 3).start)),
        ),
        (
            [vec![ended("a", hour(-48), hour(0))], vec![], vec![]],
            vec![],
            vec![],
            complete,
        ),
        (
            [vec![ended("a", hour(-47), hour(0))], vec![], vec![]],
            vec![],
            vec!["a"],
            None,
        ),
    ] {
        let parts: Vec<_> = (0..)
            .zip(&outlasting)
            .map(|(number, outlasting)| Part {
                day: days(number, number + 1),
                asked: days(number, number + 1),
                held: Some(Arc::new(outlasted(number, outlasting, 60))),
            })
            .collect();
        let wish = Wish {
            freshness: Freshness::default(),
            now,
            windows: Windows::default(),
        };
        let missing = plan::missing(&parts, &WaitedFor::default(), wish);
        let asked = missing.as_ref().map(|missing| missing.sweeps.clone());
        assert_eq!(asked.unwrap_or_default(), sweeps, "{outlasting:?}");
        let ids = missing
            .iter()
            .flat_map(|missing| &missing.looks)
            .flat_map(|look| &look.ids);
        assert_eq!(ids.map(AsRef::as_ref).collect::<Vec<&str>>(), looks, "{outlasting:?}");
        let summary = plan::summary(&parts, &WaitedFor::default(), wish).filter(|_| missing.is_none());
        let summary = summary.map(|summary| (summary.complete, summary.settled_through));
        assert_eq!(summary, told, "{outlasting:?}");
    }
}

/// Between two days that are read it is read along with them, if it holds little.
#[test]
fn what_runs_on_comes_along_with_the_days_around_it() {
    for (count, sweeps, looks) in [(50, vec![days(0, 3)], 0), (51, vec![days(0, 1), days(2, 3)], 1)] {
        let running = Arc::new(outlasted(1, &[("a", None, hour(0))], count));
        let parts: Vec<_> = (0..3)
            .map(|number| Part {
                day: days(number, number + 1),
                asked: days(number, number + 1),
                held: (number == 1).then(|| Arc::clone(&running)),
            })
            .collect();
        let wish = Wish {
            freshness: Freshness::default(),
            now: hour(12),
            windows: Windows::default(),
        };
        let missing = plan::missing(&parts, &WaitedFor::default(), wish).unwrap();
        assert_eq!((missing.sweeps, missing.looks.len()), (sweeps, looks), "{count}");
    }
}

/// What is told later takes the place of what was told before, in whichever piece it is, and nothing else changes.
#[test]
fn what_is_told_later_takes_its_place() {
    let range = days(1, 2);
    let later = at("2026-03-21T12:00:00Z");
    let conversation = |number: usize, end: Option<Timestamp>, document: &str| Conversation {
        id: format!("{number:04}").into(),
        start: range.start + SignedDuration::from_secs(i64::try_from(number).unwrap() / 2 * 60),
        end,
        document: format!("{document} {number} {}", "x".repeat(3_000)).into(),
    };
    let mut builder = Builder::new(range);
    builder.add(&ConversationPage {
        conversations: (0..300)
            .map(|number| conversation(number, (number % 100 != 7).then_some(range.end), "first"))
            .collect(),
        expected: 300,
        read_through: range.start,
        upstream_calls: 1,
        fetched_at: at("2026-03-20T12:00:00Z"),
    });
    let day = builder.finish().pop().unwrap();
    assert!(day.pieces.len() > 2);
    let outlasting = |day: &Day| -> Vec<_> {
        let all = day.outlasting.iter();
        all.map(|one| (one.id.to_string(), one.end, one.looked_at)).collect()
    };
    let read = day.fetched_at;
    let running = |id: &str| (id.to_owned(), None, read);
    assert_eq!(outlasting(&day), [running("0007"), running("0107"), running("0207")]);
    // One that is not among them changes nothing, nor one that began at another time.
    let mut moved = conversation(207, None, "second");
    moved.start = range.start;
    let told = [
        conversation(7, None, "second"),
        conversation(107, Some(later), "second"),
        conversation(8, None, "second"),
        moved,
    ];
    let told: HashMap<Arc<str>, _> = told.into_iter().map(|told| (Arc::clone(&told.id), told)).collect();
    let after = day.with(&told, later, later).unwrap();
    assert_eq!(
        outlasting(&after),
        [
            ("0007".to_owned(), None, later),
            ("0107".to_owned(), Some(later), later),
            running("0207"),
        ]
    );
    let lines = |day: &Day| -> Vec<Line> { day.pieces.iter().flat_map(|piece| piece.lines().unwrap()).collect() };
    for (before, after) in lines(&day).iter().zip(&lines(&after)) {
        let is_told = matches!(&*before.id, b"0007" | b"0107");
        assert_eq!((&before.id, before.start), (&after.id, after.start));
        assert_eq!(after.document.starts_with(b"second"), is_told, "{:?}", before.id);
        assert_eq!(after.is_unfinished, matches!(&*after.id, b"0007" | b"0207"));
    }
    assert_eq!(lines(&day).len(), lines(&after).len());
    // What was asked for before comes too late.
    let earlier = read - SignedDuration::from_secs(1);
    assert_eq!(day.with(&told, earlier, read).unwrap(), day);
    // Unless the clock was set back since the day was read.
    let set_back = day.with(&told, earlier, earlier).unwrap();
    assert_eq!(outlasting(&set_back)[0], ("0007".to_owned(), None, earlier));
}

#[test]
fn a_range_is_the_days_it_touches() {
    for (asked, expected) in [
        (days(0, 2), &[(0, 86_400), (86_400, 172_800)][..]),
        (range(3_600, 7_200), &[(3_600, 7_200)]),
        (range(86_399, 86_401), &[(86_399, 86_400), (86_400, 86_401)]),
    ] {
        let parts: Vec<_> = days_of(asked).into_iter().map(|(_, part)| part).collect();
        let expected: Vec<_> = expected.iter().map(|(from, until)| range(*from, *until)).collect();
        assert_eq!(parts, expected);
    }
    let before = Range {
        start: at("1969-12-31T12:00:00Z"),
        end: at("1970-01-01T00:00:00Z"),
    };
    assert_eq!(days_of(before)[0].0.start, at("1969-12-31T00:00:00Z"));
}

// ── pages ──

#[test]
fn a_page_is_cut_from_all() {
    for (newest_first, number, size, expected) in [
        (false, 1, 2, 0..2),
        (false, 2, 2, 2..4),
        (false, 3, 2, 4..5),
        (false, 4, 2, 5..5),
        (false, 1, 100, 0..5),
        (false, u32::MAX, u32::MAX, 5..5),
        (true, 1, 2, 3..5),
        (true, 3, 2, 0..1),
        (true, 4, 2, 0..0),
        (true, 1, 100, 0..5),
    ] {
        let listing = Listing {
            newest_first,
            page: Page { number, size },
        };
        assert_eq!(places(listing, 5), expected, "{listing:?}");
    }
}

/// The upstream's first page has an order of its own among those that started together, and may be a row short.
#[test]
fn pages_that_follow_the_upstreams_first_one_lose_nothing_and_repeat_nothing() {
    let mut random = Pcg64::seed_from_u64(11);
    for _ in 0..500 {
        let mut told: Vec<Conversation> = (0..random.random_range(1..40))
            .map(|number| Conversation {
                id: format!("{:02}-{number}", random.random_range(0..100)).into(),
                // Few instants.
                start: first_day() + SignedDuration::from_hours(random.random_range(0..12) * 5),
                end: Some(first_day() + SignedDuration::from_hours(100)),
                document: number.to_string().into(),
            })
            .collect();
        told.sort_by_key(|conversation| conversation.start);
        let mut builder = Builder::new(days(0, 3));
        let mut parts: Vec<Day> = builder.add(&ConversationPage {
            conversations: told.clone(),
            expected: told.len(),
            read_through: first_day(),
            upstream_calls: 1,
            fetched_at: at(READ),
        });
        parts.extend(builder.finish());
        let parts: Vec<_> = parts
            .into_iter()
            .map(|day| {
                let range = day.range;
                (Arc::new(day), range)
            })
            .collect();

        let newest_first = random.random_bool(0.5);
        told.shuffle(&mut random);
        told.sort_by_key(|conversation| conversation.start);
        if newest_first {
            told.reverse();
        }
        let size = random.random_range(1..9_usize);
        let short = usize::from(size > 1 && random.random_bool(0.3));
        let first = &told[..(size - short).min(told.len())];
        let before = ToldBefore {
            starts: first
                .iter()
                .map(|one| (one.id.as_bytes().to_vec(), one.start))
                .collect(),
        };
        let mut given: Vec<Bytes> = first.iter().map(|one| one.document.clone()).collect();
        for number in 2.. {
            let page = Page {
                number,
                size: u32::try_from(size).unwrap(),
            };
            let (total, documents) = before.cut(&parts, Listing { newest_first, page }).unwrap();
            assert_eq!(total, size + told.len() - first.len());
            assert!(documents.len() <= size);
            if documents.is_empty() {
                break;
            }
            given.extend(documents);
        }
        let start_of = |document: &Bytes| told.iter().find(|one| one.document == *document).unwrap().start;
        let mut starts: Vec<_> = given.iter().map(start_of).collect();
        if newest_first {
            starts.reverse();
        }
        assert!(starts.is_sorted());
        given.sort_unstable();
        let mut expected: Vec<_> = told.iter().map(|one| one.document.clone()).collect();
        expected.sort_unstable();
        assert_eq!(given, expected);
    }
}

#[test]
fn a_listing_is_refused_on_its_first_page_when_it_can_be_foreseen_to_be_too_large() {
    for (hours, limit_bytes, expected, refused) in [
        (24, 200_000, 100, false),
        (24, 99_999, 100, true),
        (24, 200_000, 400, false),
        (24, 200_000, 401, true),
        // Half of the day's conversations are to be expected of half a day.
        (12, 200_000, 800, false),
        (12, 200_000, 802, true),
    ] {
        let conversation = |number: usize| Conversation {
            id: number.to_string().into(),
            start: first_day(),
            end: Some(first_day()),
            document: Bytes::from(vec![b' '; 1000]),
        };
        let outcome = Allowance::new(range(0, hours * 3600), limit_bytes).take(&ConversationPage {
            conversations: (0..100).map(conversation).collect(),
            expected,
            read_through: first_day(),
            upstream_calls: 1,
            fetched_at: first_day(),
        });
        assert_eq!(outcome.is_err(), refused, "{hours} h, {expected} expected: {outcome:?}");
    }
}

// ── on disk ──

fn any_day() -> impl Strategy<Value = Day> {
    let conversation = (0..86_400_i64, 0..1000_u32, 0..60_000_usize);
    prop::collection::vec(conversation, 0..30).prop_map(|conversations| {
        let range = days(0, 1);
        let mut conversations: Vec<_> = conversations
            .into_iter()
            .enumerate()
            .map(|(index, (second, id, length))| Conversation {
                id: format!("{id} {index}").into(),
                start: range.start + SignedDuration::from_secs(second),
                end: Some(range.end),
                document: Bytes::from(vec![b'x'; length]),
            })
            .collect();
        conversations.sort_by_key(|conversation| conversation.start);
        let mut builder = Builder::new(range);
        for conversations in conversations.chunks(3) {
            builder.add(&ConversationPage {
                conversations: conversations.to_vec(),
                expected: 30,
                read_through: range.start,
                upstream_calls: 1,
                fetched_at: range.end + SignedDuration::from_hours(100),
            });
        }
        builder.add(&ConversationPage {
            conversations: Vec::new(),
            expected: 30,
            read_through: range.start,
            upstream_calls: 1,
            fetched_at: range.end + SignedDuration::from_hours(101),
        });
        builder.finish().pop().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_settled_day_comes_back(day in any_day()) {
        let lines: Vec<Line> = day.pieces.iter().flat_map(|piece| piece.lines().unwrap()).collect();
        prop_assert!(lines.is_sorted_by_key(|line| (line.start, line.id.clone())));
        let bytes = stored::encode(&day, Windows::default()).unwrap();
        prop_assert_eq!(stored::decode(&bytes, day.range, Windows::default()).unwrap(), day);
    }

    #[test]
    fn what_is_not_such_a_day_is_refused(
        day in any_day(),
        changed in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        nonsense in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let bytes = stored::encode(&day, Windows::default()).unwrap();
        prop_assert!(stored::decode(&bytes[..cut.index(bytes.len())], day.range, Windows::default()).is_none());
        if !day.pieces.is_empty() {
            prop_assert!(stored::decode(&bytes, days(1, 2), Windows::default()).is_none(), "of another day");
        }
        // Whatever comes of it, nothing fails later.
        let mut other = bytes.clone();
        for (at, to) in changed {
            other[at.index(bytes.len())] = to;
        }
        for bytes in [other, nonsense] {
            if let Some(decoded) = stored::decode(&bytes, day.range, Windows::default()) {
                prop_assert!(decoded.pieces.iter().all(|piece| piece.lines().is_some()));
            }
        }
    }
}

/// Days as they are kept.
fn kept_days() -> Vec<Vec<u8>> {
    let ended = days(0, 1).end;
    let days = [
        held(0, READ, 3, true),
        held(0, READ, 0, true),
        outlasted(0, &[("0001", None, ended), ("0002", Some(ended), ended)], 4),
    ];
    days.iter().map(stored::encode_all).collect()
}

proptest! {
    #![proptest_config(crate::fuzz::cases())]

    /// What is taken for a day is one that can be written, and is the same when it is read again.
    #[test]
    fn fuzz_days(bytes in crate::fuzz::changed(kept_days())) {
        if let Some(day) = stored::decode_all(&bytes, days(0, 1)) {
            prop_assert!(day.pieces.iter().all(|piece| piece.lines().is_some()));
            prop_assert_eq!(stored::decode_all(&stored::encode_all(&day), day.range), Some(day));
        }
    }
}

#[test]
fn what_may_change_is_not_kept() {
    assert!(stored::encode(&held(1, "2026-03-05T00:00:00Z", 3, true), Windows::default()).is_some());
    assert!(
        stored::encode(&held(1, "2026-03-05T00:00:00Z", 3, false), Windows::default()).is_none(),
        "one runs"
    );
    assert!(
        stored::encode(&held(1, "2026-03-04T23:59:59Z", 3, true), Windows::default()).is_none(),
        "too early"
    );
}

/// A day of few bytes that would be gigabytes is no day.
#[test]
fn a_bomb_is_refused() {
    let sound = held(1, "2026-03-05T00:00:00Z", 1, true);
    let mut day = sound.clone();
    let bomb = crate::report::packed::pack(&vec![0; 65 << 20]);
    assert!(bomb.len() < 16 << 10);
    day.pieces[0].packed = bomb.into();
    let bytes = stored::encode(&day, Windows::default()).unwrap();
    assert!(stored::decode(&bytes, day.range, Windows::default()).is_none());
    assert!(
        stored::decode(
            &stored::encode(&sound, Windows::default()).unwrap(),
            sound.range,
            Windows::default()
        )
        .is_some()
    );
}
