//! Conversations, looked up by hand.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rand::{
    RngExt,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use serde_json::{Value, json};

use super::any_range;
use crate::support::service::Service;

/// Which conversations.
#[derive(Debug)]
pub(super) struct Wanted {
    range: (Timestamp, Timestamp),
    /// Places of the filterable values, and how many of them are wanted.
    filters: Vec<(&'static Place, usize)>,
    newest_first: bool,
    page_size: usize,
}

impl Wanted {
    pub(super) fn any(random: &mut StdRng, now: Timestamp, days: u32) -> Self {
        let mut places: Vec<_> = PLACES.iter().collect();
        places.shuffle(random);
        places.truncate(*[0, 0, 1, 1, 2, 3].choose(random).unwrap());
        Self {
            range: any_range(random, now, days),
            filters: places
                .into_iter()
                .map(|place| (place, random.random_range(1..3)))
                .collect(),
            newest_first: random.random_bool(0.5),
            page_size: random.random_range(20..=500),
        }
    }
}

/// A dimension and where a document has it.
#[derive(Debug)]
struct Place {
    dimension: &'static str,
    level: Level,
    field: &'static str,
}

#[derive(Debug, PartialEq)]
enum Level {
    Conversation,
    Participant,
    Session,
    Segment,
}

const fn place(dimension: &'static str, level: Level, field: &'static str) -> Place {
    Place {
        dimension,
        level,
        field,
    }
}

static PLACES: &[Place] = &[
    place("conversation.direction", Level::Conversation, "originatingDirection"),
    place("division.id", Level::Conversation, "divisionIds"),
    place("agent.id", Level::Participant, "userId"),
    place("participant.purpose", Level::Participant, "purpose"),
    place("media.type", Level::Session, "mediaType"),
    place("direction", Level::Session, "direction"),
    place("routing.queue.id", Level::Segment, "queueId"),
    place("segment.type", Level::Segment, "segmentType"),
    place("disconnectType", Level::Segment, "disconnectType"),
    place("wrapUpCode", Level::Segment, "wrapUpCode"),
];

/// Asks in every way and compares: as lines, and as pages until there are no more.
pub(super) async fn check(service: &Service, wanted: &Wanted, random: &mut StdRng, context: &str) {
    let (start, end) = wanted.range;
    let mut body = json!({ "dateFrom": format!("{start:.3}"), "dateTo": format!("{end:.3}") });
    let now = service.clock.now();
    let all = lines(service, &body, context).await;
    assert_eq!(service.clock.now(), now, "no time passed: {context}");
    let expected: Vec<_> = service.simulator.organisation().conversations_started(start, end, now);
    let told = |document: &Value| {
        let instant = |field: &str| document[field].as_str().map(|text| text.parse::<Timestamp>().unwrap());
        (
            id(document).to_owned(),
            instant("conversationStart").unwrap(),
            instant("conversationEnd"),
        )
    };
    let mut given: Vec<_> = all.iter().map(told).collect();
    let mut expected = expected;
    given.sort_by_key(|(id, start, _)| (*start, id.clone()));
    expected.sort_by_key(|(id, start, _)| (*start, id.clone()));
    assert_eq!(given, expected, "{context}");

    let clauses = clauses(&wanted.filters, &all, random);
    if !clauses.is_empty() {
        let clause = |(place, values): &Clause| json!({ "dimension": place.dimension, "values": values });
        body["filter"] = clauses.iter().map(clause).collect();
    }
    let matching = |document: &&Value| matches(document, &clauses);
    let mut expected: Vec<&str> = Vec::new();
    let mut sorted: Vec<&Value> = all.iter().filter(matching).collect();
    sorted.sort_by_key(|document| (document["conversationStart"].as_str().unwrap(), id(document)));
    if wanted.newest_first {
        sorted.reverse();
    }
    expected.extend(sorted.iter().map(|document| id(document)));

    let streamed = lines(service, &body, context).await;
    let ids = |documents: &[Value]| documents.iter().map(|one| id(one).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        ids(&streamed).iter().map(String::as_str).collect::<BTreeSet<_>>(),
        expected.iter().copied().collect(),
        "lines, filtered: {body} of {context}"
    );
    assert_eq!(streamed.len(), expected.len(), "each once: {body} of {context}");

    if wanted.newest_first {
        body["orderBy"] = json!(["-conversation.start"]);
    }
    body["pageSize"] = wanted.page_size.into();
    let mut paged: Vec<String> = Vec::new();
    for page in 1.. {
        body["page"] = page.into();
        let answer = service.post("/v1/conversations", &body).await;
        assert_eq!(answer.status, 200, "{} of {context}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["total"], expected.len(), "{body} of {context}");
        paged.extend(ids(answer["entities"].as_array().unwrap()));
        if answer["nextUri"].is_null() {
            break;
        }
    }
    assert_eq!(paged, expected, "pages in order: {body} of {context}");
}

async fn lines(service: &Service, body: &Value, context: &str) -> Vec<Value> {
    let answer = service.post("/v1/conversations?format=ndjson", body).await;
    assert_eq!(answer.status, 200, "{} of {context}", answer.text());
    let text = answer.text();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn id(document: &Value) -> &str {
    document["conversationId"].as_str().unwrap()
}

type Clause = (&'static Place, BTreeSet<String>);

/// Filters on values that some document has; on places that none has, on nothing.
fn clauses(filters: &[(&'static Place, usize)], documents: &[Value], random: &mut StdRng) -> Vec<Clause> {
    let values = |(place, count): &(&'static Place, usize)| {
        let mut values = BTreeSet::new();
        for document in documents {
            for_each_segment(document, |levels| {
                values.extend(values_at(place, levels));
                false
            });
        }
        let values: Vec<_> = values.into_iter().collect();
        (*place, values.sample(random, *count).cloned().collect::<BTreeSet<_>>())
    };
    let clauses: Vec<_> = filters.iter().map(values).collect();
    clauses.into_iter().filter(|(_, values)| !values.is_empty()).collect()
}

/// Whether the conversation has the values wanted, those of a segment all on the same segment.
fn matches(document: &Value, clauses: &[Clause]) -> bool {
    let holds = |(place, wanted): &Clause, levels: [&Value; 4]| {
        values_at(place, levels).iter().any(|value| wanted.contains(value))
    };
    let (whole, parts): (Vec<&Clause>, Vec<&Clause>) = clauses
        .iter()
        .partition(|(place, _)| place.level == Level::Conversation);
    whole.iter().all(|clause| holds(clause, [document; 4]))
        && (parts.is_empty() || for_each_segment(document, |levels| parts.iter().all(|clause| holds(clause, levels))))
}

/// Whether `judge` says yes to some segment, seen with all it is part of.
fn for_each_segment<'d>(document: &'d Value, mut judge: impl FnMut([&'d Value; 4]) -> bool) -> bool {
    let list = |value: &'d Value, name: &str| value[name].as_array().map_or(&[][..], Vec::as_slice);
    list(document, "participants").iter().any(|participant| {
        list(participant, "sessions").iter().any(|session| {
            list(session, "segments")
                .iter()
                .any(|segment| judge([document, participant, session, segment]))
        })
    })
}

fn values_at(place: &Place, [conversation, participant, session, segment]: [&Value; 4]) -> Vec<String> {
    let holder = match place.level {
        Level::Conversation => conversation,
        Level::Participant => participant,
        Level::Session => session,
        Level::Segment => segment,
    };
    match &holder[place.field] {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    }
}
