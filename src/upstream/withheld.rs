//! What a document tells of queues and divisions that its reader does not see is left out of it.
//!
//! A conversation that is a reader's may have gone through others' queues, too. Whatever in it is about one of those (a
//! segment, an evaluation) is left out; so is a session of which nothing is left, a participant without a session, and
//! what was measured of a session of which a part is left out, as it may be of that part. What names no queue stays.

use bytes::Bytes;
use serde_json::Value;

use super::{Told, UpstreamError, wire};
use crate::query::Seen;

/// The document as its reader sees it; the same bytes where nothing is left out.
pub fn without(document: &Bytes, seen: &Seen) -> Result<Bytes, UpstreamError> {
    let mut value: Value = wire::parse(document).map_err(|nonsense| UpstreamError::Unavailable {
        reason: "its description of a conversation cannot be read".to_owned(),
        told: Told::default(),
        source: Some(std::sync::Arc::new(nonsense)),
    })?;
    Ok(if cut(&mut value, seen) {
        value.to_string().into()
    } else {
        document.clone()
    })
}

/// Leaves out of any document what is about others; whether there was anything.
pub fn cut(value: &mut Value, seen: &Seen) -> bool {
    let mut is_cut = false;
    stays(value, seen, &mut is_cut);
    is_cut
}

/// Whether a conversation is one of those its reader sees: one segment in a queue and one division, where the reader is
/// confined by such.
pub fn is_seen(conversation: &Value, seen: &Seen) -> bool {
    let texts = |value: &Value| value.as_array().cloned().unwrap_or_default();
    seen.forced().clauses.iter().all(|(dimension, values)| {
        let carries = |id: &Value| id.as_str().is_some_and(|id| values.contains(id));
        match dimension.upstream {
            "divisionId" => texts(&conversation["divisionIds"]).iter().any(carries),
            "queueId" => texts(&conversation["participants"])
                .iter()
                .flat_map(|participant| texts(&participant["sessions"]))
                .flat_map(|session| texts(&session["segments"]))
                .any(|segment| carries(&segment["queueId"])),
            _ => false,
        }
    })
}

/// Whether a part of a document is for its reader at all, once what is not has been left out of it.
fn stays(part: &mut Value, seen: &Seen, is_cut: &mut bool) -> bool {
    let members = match part {
        Value::Array(elements) => {
            keep(elements, is_cut, |element, is_cut| stays(element, seen, is_cut));
            return true;
        }
        Value::Object(members) => members,
        _ => return true,
    };
    if members
        .get("queueId")
        .and_then(Value::as_str)
        .is_some_and(|id| !is_seen_as("queueid", id, seen))
    {
        return false;
    }
    let (mut is_emptied, mut has_lost_segments) = (false, false);
    let mut gone = Vec::new();
    for (name, member) in members.iter_mut() {
        let kind = name.to_ascii_lowercase();
        let is_own = match member {
            Value::String(id) => is_seen_as(&kind, id, seen),
            Value::Array(elements) => {
                let before = elements.len();
                keep(elements, is_cut, |element, is_cut| match element {
                    Value::String(id) => is_seen_as(&kind, id, seen),
                    other => stays(other, seen, is_cut),
                });
                let is_made_of = matches!(name.as_str(), "segments" | "sessions");
                is_emptied |= is_made_of && before > 0 && elements.is_empty();
                has_lost_segments |= name == "segments" && elements.len() < before;
                true
            }
            Value::Object(entity) if kind == "division" || kind == "queue" => {
                let id = entity.get("id").and_then(Value::as_str);
                id.is_none_or(|id| is_seen_as(&format!("{kind}id"), id, seen))
            }
            other => stays(other, seen, is_cut),
        };
        if !is_own {
            gone.push(name.clone());
        }
    }
    if has_lost_segments {
        gone.push("metrics".to_owned());
    }
    for name in gone {
        *is_cut |= members.remove(&name).is_some();
    }
    !is_emptied
}

fn keep(elements: &mut Vec<Value>, is_cut: &mut bool, mut stays: impl FnMut(&mut Value, &mut bool) -> bool) {
    let before = elements.len();
    elements.retain_mut(|element| stays(element, is_cut));
    *is_cut |= elements.len() < before;
}

/// Whether that id is seen, by the name in small letters of the member it stands in: `queueid`, `backupqueueid`,
/// `divisionids`. Other members hold no such ids.
fn is_seen_as(name: &str, id: &str, seen: &Seen) -> bool {
    let name = name.trim_end_matches('s');
    if name.ends_with("queueid") {
        seen.queues().contains(id)
    } else if name.ends_with("divisionid") {
        id == "*" || seen.divisions().contains(id)
    } else {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use serde_json::json;

    use super::*;
    use crate::query::{NamesById, Restriction, Sight};

    const OWN: &str = "00000000-0000-4000-8000-00000000000a";
    const OTHER: &str = "00000000-0000-4000-8000-00000000000b";
    const DIVISION: &str = "00000000-0000-4000-8000-00000000000d";
    const OTHER_DIVISION: &str = "00000000-0000-4000-8000-00000000000e";

    fn sight(dimension: &str, id: &str) -> Sight {
        let written = BTreeMap::from([(dimension.to_owned(), vec![id.to_owned()])]);
        let queues = [(OWN, DIVISION), (OTHER, OTHER_DIVISION)];
        let queues: NamesById = queues
            .iter()
            .map(|(queue, division)| (Arc::from(*queue), Arc::from(*division)))
            .collect();
        Sight::of(&Restriction::try_from(written).unwrap(), &queues)
    }

    /// A conversation that came in, was handled in one queue, and transferred to another.
    fn conversation() -> Value {
        let segment = |queue: &str| json!({"segmentType": "interact", "queueId": queue});
        let session =
            |segments: Value| json!({"mediaType": "voice", "segments": segments, "metrics": [{"name": "nX"}]});
        json!({
            "conversationId": "c", "divisionIds": [DIVISION, OTHER_DIVISION],
            "evaluations": [{"queueId": OTHER, "score": 9}],
            "participants": [
                {"purpose": "customer", "sessions": [
                    session(json!([{"segmentType": "ivr"}, segment(OWN), segment(OTHER)])),
                ]},
                {"purpose": "agent", "userId": "u1", "sessions": [session(json!([segment(OWN)]))]},
                {"purpose": "agent", "userId": "u2", "sessions": [session(json!([segment(OTHER)]))]},
            ],
        })
    }

    #[test]
    fn what_happened_in_others_queues_is_left_out() {
        for (dimension, id) in [("routing.queue.id", OWN), ("division.id", DIVISION)] {
            let sight = sight(dimension, id);
            let mut document = conversation();
            assert!(cut(&mut document, sight.seen().unwrap()));
            let segment = json!({"segmentType": "interact", "queueId": OWN});
            assert_eq!(
                document,
                json!({
                    "conversationId": "c", "divisionIds": [DIVISION],
                    "evaluations": [],
                    "participants": [
                        {"purpose": "customer", "sessions": [
                            {"mediaType": "voice", "segments": [{"segmentType": "ivr"}, segment]},
                        ]},
                        {"purpose": "agent", "userId": "u1", "sessions": [
                            {"mediaType": "voice", "segments": [segment], "metrics": [{"name": "nX"}]},
                        ]},
                    ],
                }),
                "{dimension}"
            );
            let text = document.to_string();
            assert!(!text.contains(OTHER) && !text.contains(OTHER_DIVISION), "{text}");
        }
    }

    #[test]
    fn a_document_of_one_s_own_stays_as_it_was_written() {
        let own = Bytes::from(format!(
            "{{ \"divisionIds\": [\"{DIVISION}\"], \"queueId\" :\"{OWN}\", \"x\": 1.50 }}"
        ));
        let sight = sight("routing.queue.id", OWN);
        assert_eq!(without(&own, sight.seen().unwrap()).unwrap(), own);
        assert!(without(&Bytes::from_static(b"{"), sight.seen().unwrap()).is_err());
    }

    #[test]
    fn entities_tell_of_no_others_either() {
        let mut queue = json!({"entities": [
            {"id": OWN, "division": {"id": DIVISION}, "directRouting": {"backupQueueId": OTHER}, "peers": {"queueIds": [OWN, OTHER]}},
            {"id": "code", "division": {"id": OTHER_DIVISION, "name": "Others"}, "queue": {"id": OTHER}},
            {"id": "all", "division": {"id": "*"}},
        ]});
        assert!(cut(&mut queue, sight("division.id", DIVISION).seen().unwrap()));
        assert_eq!(
            queue,
            json!({"entities": [
                {"id": OWN, "division": {"id": DIVISION}, "directRouting": {}, "peers": {"queueIds": [OWN]}},
                {"id": "code"},
                {"id": "all", "division": {"id": "*"}},
            ]})
        );
    }

    #[test]
    fn a_conversation_is_seen_by_one_of_its_queues_or_divisions() {
        const NEITHER: &str = "00000000-0000-4000-8000-00000000000f";
        for (dimension, id, expected) in [
            ("routing.queue.id", OWN, true),
            ("routing.queue.id", OTHER, true),
            ("routing.queue.id", NEITHER, false),
            ("division.id", DIVISION, true),
            ("division.id", NEITHER, false),
        ] {
            let sight = sight(dimension, id);
            assert_eq!(
                is_seen(&conversation(), sight.seen().unwrap()),
                expected,
                "{dimension} {id}"
            );
        }
        assert!(!is_seen(&json!({}), sight("division.id", DIVISION).seen().unwrap()));
    }
}
