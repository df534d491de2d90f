//! An answer that is held whole, as bytes for other replicas.
//!
//! What is read back was sealed by another replica; it is still taken apart as if it could be anything: nothing panics,
//! and nothing is allocated that the bytes at hand do not fill.

#![expect(
    clippy::option_option,
    reason = "the bytes do not tell, or tell that there is none, or tell which"
)]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::{
    Windows,
    freshness::Covers,
    held::{Held, Key, Listed, Payload, WholeRows},
    once,
    packed::{Pieces, pack, put_count, put_text, unpack},
};
use crate::{
    fleet::Name,
    query::{About, AggregateQuery, NamesById, Range, Source, StateKind, catalogue::OBSERVATIONS},
    table::{SliceRow, Stats},
    upstream::{ObservedRow, StateNow, UserNow, UserState},
};

/// The most bytes of an answer taken apart.
const MOST_BYTES: usize = 64 << 20;
/// How long what is good for seconds is kept for others.
const MOMENT: Duration = Duration::from_mins(2);

/// What an answer is kept by; `None` for what every replica asks itself.
pub(super) fn name(key: &Key) -> Option<Name> {
    let text = match key {
        Key::Aggregates(query) => json!(["whole", once::question(query)]),
        Key::Names(lookup) => json!(["names and divisions", lookup.name()]),
        Key::QueuesNow(queues) => json!(["queues now", queues]),
        Key::States(window) => json!(["states", window.days.to_string(), window.users]),
        Key::UsersNow(users) => json!(["users now", users]),
        Key::Passed(question) => {
            let body = question.body.as_deref().map(String::from_utf8_lossy);
            json!(["passed", question.method.as_str(), question.target, body])
        }
        Key::LimitHistory => return None,
    };
    Some(Name::of(text.to_string()))
}

/// What an answer covers.
pub(super) fn covers(key: &Key, is_unfinished: bool) -> Covers {
    match key {
        Key::Aggregates(query) => Covers::Aggregates(query.source, query.range),
        Key::Names(_) => Covers::Names,
        Key::QueuesNow(_) | Key::UsersNow(_) => Covers::Now,
        Key::States(window) => Covers::Aggregates(Source::Users, window.days),
        Key::LimitHistory => Covers::LimitHistory,
        Key::Passed(question) => match question.about {
            About::Now => Covers::Now,
            About::Names => Covers::Names,
            // What may still become another state is looked at again soon.
            About::JobState if is_unfinished => Covers::Now,
            About::Job | About::JobState => Covers::Job,
            About::Figures(source, range) => Covers::Aggregates(source, range),
            About::Happened(range) | About::Conversations(range) => Covers::Figures {
                range,
                unfinished: is_unfinished,
            },
        },
    }
}

/// How long an answer is kept for others.
pub(super) fn kept_for(held: &Held) -> Duration {
    match held.dated.covers {
        Covers::Now => MOMENT,
        Covers::Figures { .. } | Covers::Aggregates(..) | Covers::Names | Covers::LimitHistory | Covers::Job => {
            once::KEPT_FOR
        }
    }
}

/// An answer as bytes; `None` if it would be too much, or every replica asks itself.
pub(super) fn encode(held: &Held) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    put_instant(&mut bytes, held.dated.fetched_at);
    bytes.push(u8::from(held.is_unfinished));
    match &held.payload {
        Payload::Slice(whole) => put_rows(&mut bytes, &whole.rows),
        Payload::Names(listed) => {
            for by_id in [&*listed.names, &listed.divisions] {
                put_count(&mut bytes, by_id.len());
                for (id, text) in by_id {
                    put_text(&mut bytes, id);
                    put_text(&mut bytes, text);
                }
            }
        }
        Payload::Observed(rows) => {
            put_count(&mut bytes, rows.len());
            for row in rows {
                put_text(&mut bytes, &row.queue);
                put_optional_text(&mut bytes, row.media_type.as_deref());
                for value in &row.values {
                    put_figure(&mut bytes, *value);
                }
            }
        }
        Payload::States(states) => {
            put_count(&mut bytes, states.len());
            for state in &**states {
                put_text(&mut bytes, &state.user);
                bytes.push(u8::from(state.kind == StateKind::Routing));
                put_text(&mut bytes, &state.status);
                put_optional_text(&mut bytes, state.presence.as_deref());
                put_instant(&mut bytes, state.start);
                put_optional_instant(&mut bytes, state.end);
            }
        }
        Payload::Users(users) => {
            put_count(&mut bytes, users.len());
            for user in users {
                put_text(&mut bytes, &user.user);
                for state in [&user.presence, &user.routing] {
                    bytes.push(u8::from(state.is_some()));
                    if let Some(state) = state {
                        put_text(&mut bytes, &state.status);
                        put_optional_text(&mut bytes, state.presence.as_deref());
                        put_optional_instant(&mut bytes, state.since);
                    }
                }
                put_figure(&mut bytes, user.member);
                put_figure(&mut bytes, user.active);
            }
        }
        Payload::Passed(body) => bytes.extend_from_slice(body),
        Payload::LimitHistory(_) => return None,
    }
    (bytes.len() <= MOST_BYTES).then(|| pack(&bytes))
}

fn put_rows(bytes: &mut Vec<u8>, rows: &[SliceRow]) {
    put_count(bytes, rows.len());
    for row in rows {
        for value in row.group.iter().chain([&row.media_type]) {
            put_optional_text(bytes, value.as_deref());
        }
        for instant in [row.bucket.start, row.bucket.end] {
            put_instant(bytes, instant);
        }
        for stats in &row.metrics {
            bytes.push(u8::from(stats.is_some()));
            for value in stats.iter().flat_map(|stats| stats.to_array()) {
                put_figure(bytes, value);
            }
        }
    }
}

fn put_instant(bytes: &mut Vec<u8>, instant: Timestamp) {
    bytes.extend_from_slice(&instant.as_second().to_le_bytes());
    bytes.extend_from_slice(&instant.subsec_nanosecond().to_le_bytes());
}

fn put_optional_instant(bytes: &mut Vec<u8>, instant: Option<Timestamp>) {
    bytes.push(u8::from(instant.is_some()));
    if let Some(instant) = instant {
        put_instant(bytes, instant);
    }
}

fn put_optional_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    bytes.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_text(bytes, text);
    }
}

/// Not a number where there is none.
fn put_figure(bytes: &mut Vec<u8>, figure: Option<f64>) {
    bytes.extend_from_slice(&figure.unwrap_or(f64::NAN).to_le_bytes());
}

fn by_id(pieces: &mut Pieces<'_>) -> Option<NamesById> {
    let mut by_id = NamesById::new();
    for _ in 0..pieces.count(8)? {
        by_id.insert(Arc::from(pieces.text()?), Arc::from(pieces.text()?));
    }
    Some(by_id)
}

/// The answer again; `None` if it is none to that question. It cost nothing here.
pub(super) fn decode(packed: &[u8], key: &Key, windows: Windows) -> Option<Held> {
    let bytes = unpack(packed, MOST_BYTES)?;
    let mut pieces = Pieces(&bytes);
    let fetched_at = instant(&mut pieces)?;
    let is_unfinished = is_there(&mut pieces)?;
    let payload = match key {
        Key::Aggregates(query) => Payload::Slice(Arc::new(WholeRows::new(rows(&mut pieces, query)?))),
        Key::Names(_) => Payload::Names(Arc::new(Listed {
            names: Arc::new(by_id(&mut pieces)?),
            divisions: by_id(&mut pieces)?,
        })),
        Key::QueuesNow(_) => {
            let mut rows = Vec::new();
            for _ in 0..pieces.count(5 + 8 * OBSERVATIONS.len())? {
                rows.push(ObservedRow {
                    queue: Arc::from(pieces.text()?),
                    media_type: optional_text(&mut pieces)?,
                    values: OBSERVATIONS
                        .iter()
                        .map(|_| figure(&mut pieces))
                        .collect::<Option<_>>()?,
                });
            }
            Payload::Observed(rows)
        }
        Key::States(_) => Payload::States(states(&mut pieces)?.into()),
        Key::UsersNow(_) => Payload::Users(users(&mut pieces)?),
        Key::Passed(_) => {
            let rest = pieces.rest();
            Payload::Passed(Bytes::copy_from_slice(rest))
        }
        Key::LimitHistory => return None,
    };
    pieces.is_at_end().then(|| Held {
        dated: windows.dated(fetched_at, covers(key, is_unfinished)),
        is_unfinished,
        is_left_by_another: true,
        upstream_calls: 0,
        payload,
    })
}

fn rows(pieces: &mut Pieces<'_>, query: &AggregateQuery) -> Option<Vec<SliceRow>> {
    let mut rows = Vec::new();
    let least = query.group_by.len() + 1 + 24 + query.metrics.len();
    for _ in 0..pieces.count(least)? {
        let group = query.group_by.iter().map(|_| optional_text(pieces));
        let group = group.collect::<Option<_>>()?;
        let media_type = optional_text(pieces)?;
        let bucket = Range::new(instant(pieces)?, instant(pieces)?)?;
        let metrics = query.metrics.iter().map(|_| stats(pieces));
        rows.push(SliceRow {
            group,
            media_type,
            bucket,
            metrics: metrics.collect::<Option<_>>()?,
        });
    }
    Some(rows)
}

fn states(pieces: &mut Pieces<'_>) -> Option<Vec<UserState>> {
    let mut states: Vec<UserState> = Vec::new();
    for _ in 0..pieces.count(4 + 1 + 4 + 1 + 12 + 1)? {
        let user = pieces.text()?;
        // They come user by user.
        let known = states.last().map(|last| &last.user).filter(|last| ***last == *user);
        states.push(UserState {
            user: known.map_or_else(|| Arc::from(user), Arc::clone),
            kind: if is_there(pieces)? {
                StateKind::Routing
            } else {
                StateKind::Presence
            },
            status: Arc::from(pieces.text()?),
            presence: optional_text(pieces)?,
            start: instant(pieces)?,
            end: optional_instant(pieces)?,
        });
    }
    Some(states)
}

fn users(pieces: &mut Pieces<'_>) -> Option<Vec<UserNow>> {
    let mut users = Vec::new();
    for _ in 0..pieces.count(4 + 1 + 1 + 8 + 8)? {
        users.push(UserNow {
            user: Arc::from(pieces.text()?),
            presence: state_now(pieces)?,
            routing: state_now(pieces)?,
            member: figure(pieces)?,
            active: figure(pieces)?,
        });
    }
    Some(users)
}

fn state_now(pieces: &mut Pieces<'_>) -> Option<Option<StateNow>> {
    if !is_there(pieces)? {
        return Some(None);
    }
    Some(Some(StateNow {
        status: Arc::from(pieces.text()?),
        presence: optional_text(pieces)?,
        since: optional_instant(pieces)?,
    }))
}

fn stats(pieces: &mut Pieces<'_>) -> Option<Option<Stats>> {
    if !is_there(pieces)? {
        return Some(None);
    }
    let mut statistics = [None; Stats::NAMES.len()];
    for statistic in &mut statistics {
        *statistic = figure(pieces)?;
    }
    Some(Some(Stats::from_array(statistics)))
}

fn instant(pieces: &mut Pieces<'_>) -> Option<Timestamp> {
    Timestamp::new(pieces.i64()?, pieces.i32()?).ok()
}

fn optional_instant(pieces: &mut Pieces<'_>) -> Option<Option<Timestamp>> {
    if is_there(pieces)? {
        Some(Some(instant(pieces)?))
    } else {
        Some(None)
    }
}

fn is_there(pieces: &mut Pieces<'_>) -> Option<bool> {
    match pieces.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn optional_text(pieces: &mut Pieces<'_>) -> Option<Option<Arc<str>>> {
    if is_there(pieces)? {
        Some(Some(Arc::from(pieces.text()?)))
    } else {
        Some(None)
    }
}

fn figure(pieces: &mut Pieces<'_>) -> Option<Option<f64>> {
    let figure = pieces.f64()?;
    Some((!figure.is_nan()).then_some(figure))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::query::{
        Filter, PassedQuestion, Source, Zone,
        catalogue::{Lookup, dimension, metric},
    };
    use crate::report::states::Window;

    fn day() -> Range {
        Range {
            start: "2026-03-01T00:00:00Z".parse().unwrap(),
            end: "2026-03-02T00:00:00Z".parse().unwrap(),
        }
    }

    fn aggregates() -> Key {
        Key::Aggregates(AggregateQuery {
            source: Source::Conversations,
            range: day(),
            granularity: None,
            time_zone: Zone::utc(),
            group_by: vec![dimension("queueId").unwrap()],
            metrics: vec![metric("nOffered"), metric("tHandle")],
            filter: Filter::default(),
        })
    }

    fn passed(body: &'static str) -> Key {
        Key::Passed(PassedQuestion {
            template: "/api/v2/users",
            method: Method::POST,
            target: "/api/v2/users?pageSize=1".to_owned(),
            body: Some(Bytes::from_static(body.as_bytes())),
            about: About::Happened(day()),
        })
    }

    fn states_of(users: &[&str]) -> Key {
        Key::States(Window {
            days: day(),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
        })
    }

    fn held(key: &Key, payload: Payload, is_unfinished: bool) -> Held {
        let fetched_at = day().end + jiff::SignedDuration::from_millis(1_234);
        Held {
            dated: Windows::default().dated(fetched_at, covers(key, is_unfinished)),
            is_unfinished,
            is_left_by_another: false,
            upstream_calls: 3,
            payload,
        }
    }

    fn any_of() -> Vec<(Key, Payload)> {
        let row = |queue: Option<&str>, sum| SliceRow {
            group: vec![queue.map(Arc::from)],
            media_type: queue.map(|_| "voice".into()),
            bucket: day(),
            metrics: vec![
                None,
                Some(Stats {
                    count: Some(2.0),
                    sum,
                    ..Stats::default()
                }),
            ],
        };
        let rows = vec![row(Some("a"), Some(1e9)), row(None, None)];
        let state = |kind, presence: Option<&str>, end| UserState {
            user: "u".into(),
            kind,
            status: "IDLE".into(),
            presence: presence.map(Arc::from),
            start: day().start,
            end,
        };
        let observed = ObservedRow {
            queue: "a".into(),
            media_type: None,
            values: OBSERVATIONS
                .iter()
                .enumerate()
                .map(|(index, _)| (index % 2 == 0).then_some(7.0))
                .collect(),
        };
        vec![
            (aggregates(), Payload::Slice(Arc::new(WholeRows::new(rows)))),
            (
                Key::Names(Lookup::Queues),
                Payload::Names(Arc::new(Listed {
                    names: Arc::new([("a".into(), "Sales".into())].into()),
                    divisions: [("a".into(), "d".into())].into(),
                })),
            ),
            (Key::QueuesNow(["a".into()].into()), Payload::Observed(vec![observed])),
            (
                states_of(&["u"]),
                Payload::States(
                    [
                        state(StateKind::Presence, Some("p"), Some(day().end)),
                        state(StateKind::Routing, None, None),
                    ]
                    .into(),
                ),
            ),
            (
                Key::UsersNow(["u".into()].into()),
                Payload::Users(vec![UserNow {
                    user: "u".into(),
                    presence: Some(StateNow {
                        status: "BUSY".into(),
                        presence: Some("p".into()),
                        since: Some(day().start),
                    }),
                    routing: None,
                    member: Some(3.0),
                    active: None,
                }]),
            ),
            (passed("{}"), Payload::Passed(Bytes::from_static(b"{\"a\":1}"))),
        ]
    }

    /// What is told of an answer, but for what tells its rows from all others.
    fn told(held: &Held) -> String {
        let payload = match &held.payload {
            Payload::Slice(whole) => format!("{:?}", whole.rows),
            other => format!("{other:?}"),
        };
        format!("{:?} {} {payload}", held.dated, held.is_unfinished)
    }

    #[test]
    fn an_answer_comes_back_and_costs_nothing() {
        for (key, payload) in any_of() {
            let held = held(&key, payload, true);
            let bytes = encode(&held).unwrap();
            let back = decode(&bytes, &key, Windows::default()).unwrap();
            assert_eq!(told(&back), told(&held));
            assert_eq!(back.upstream_calls, 0);
        }
    }

    #[test]
    fn every_question_has_a_name_of_its_own() {
        let Key::Aggregates(query) = aggregates() else {
            unreachable!()
        };
        let with = |change: fn(&mut AggregateQuery)| {
            let mut other = query.clone();
            change(&mut other);
            Key::Aggregates(other)
        };
        let keys = [
            aggregates(),
            with(|query| query.source = Source::Flows),
            with(|query| query.range.end += jiff::SignedDuration::from_secs(1)),
            with(|query| query.time_zone = Zone::named("Europe/Berlin").unwrap()),
            with(|query| query.granularity = Some(crate::query::Granularity::Day)),
            with(|query| query.group_by.clear()),
            with(|query| query.metrics.truncate(1)),
            with(|query| {
                let direction = dimension("direction").unwrap();
                query.filter.clauses.insert(direction, ["inbound".to_owned()].into());
            }),
            Key::Names(Lookup::Queues),
            Key::Names(Lookup::Users),
            Key::QueuesNow(["a".into()].into()),
            Key::QueuesNow(["a".into(), "b".into()].into()),
            states_of(&[]),
            states_of(&["a"]),
            Key::UsersNow([].into()),
            Key::UsersNow(["a".into()].into()),
            passed("{}"),
            passed("{\"a\":1}"),
        ];
        let mut names: Vec<_> = keys.iter().map(|key| format!("{:?}", name(key).unwrap())).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), keys.len());
        assert_eq!(name(&Key::LimitHistory), None);
    }

    proptest! {
        #[test]
        fn what_is_changed_is_refused_or_at_least_no_panic(
            which in 0..any_of().len(),
            at in any::<prop::sample::Index>(),
            to in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let (key, payload) = any_of().swap_remove(which);
            let packed = encode(&held(&key, payload, false)).unwrap();
            let bytes = unpack(&packed, MOST_BYTES).unwrap();
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] = to;
            decode(&pack(&changed), &key, Windows::default());
            let cut = decode(&pack(&bytes[..cut.index(bytes.len())]), &key, Windows::default());
            // Of what is passed on any beginning is as good as the whole: that is what seals are for.
            prop_assert!(cut.is_none() || matches!(key, Key::Passed(_)));
        }
    }

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        /// What is taken for an answer is one that can be written, and is the same when it is read again.
        #[test]
        fn fuzz_answers(bytes in crate::fuzz::changed(examples()), which in 0..any_of().len(), is_packed in any::<bool>()) {
            let (key, _) = any_of().swap_remove(which);
            let packed = if is_packed { bytes } else { pack(&bytes) };
            if let Some(answer) = decode(&packed, &key, Windows::default()) {
                let again = decode(&encode(&answer).unwrap(), &key, Windows::default()).unwrap();
                prop_assert_eq!(told(&again), told(&answer));
            }
        }
    }

    /// Answers as they are written, and as they are packed.
    fn examples() -> Vec<Vec<u8>> {
        let packed = any_of()
            .into_iter()
            .map(|(key, payload)| encode(&held(&key, payload, false)).unwrap());
        packed
            .flat_map(|packed| [unpack(&packed, MOST_BYTES).unwrap(), packed])
            .collect()
    }
}
