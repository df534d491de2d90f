//! Questions in the upstream's own words of callers who do not see everything, and the answers to them.
//!
//! Only what can be narrowed exactly is passed on: conversations by a further filter, queues and divisions by their ids,
//! observations by the queues they are of. Everything else is refused. What is read by an id that anybody might name (a
//! conversation, a job's results) is looked at when it comes, and so is whatever comes told of others beside one's own.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Worded, figures, paths::Path};
use crate::{
    api::problem::{Problem, ProblemKind},
    query::{Confine, NotPermitted, PassedQuestion, Seen, catalogue::DetailsLevel},
    upstream::withheld,
};

const CONVERSATIONS: &str = "/api/v2/analytics/conversations/details/query";
const JOBS: &str = "/api/v2/analytics/conversations/details/jobs";
const JOB_STATE: &str = "/api/v2/analytics/conversations/details/jobs/{jobId}";
const JOB_RESULTS: &str = "/api/v2/analytics/conversations/details/jobs/{jobId}/results";
const CONVERSATION: &str = "/api/v2/analytics/conversations/{conversationId}/details";
const CONVERSATIONS_BY_ID: &str = "/api/v2/analytics/conversations/details";
const JOBS_AVAILABILITY: &str = "/api/v2/analytics/conversations/details/jobs/availability";
const QUEUE_OBSERVATIONS: &str = "/api/v2/analytics/queues/observations/query";
const QUEUES: [&str; 2] = ["/api/v2/routing/queues", "/api/v2/routing/queues/divisionviews"];
const DIVISIONS: [&str; 2] = [
    "/api/v2/authorization/divisions",
    "/api/v2/authorization/divisions/query",
];

/// What a list of ids is asked for by when it is of nothing.
const NOTHING: &str = "00000000-0000-0000-0000-000000000000";
/// The most ids that are put into a query string.
const MOST_IDS: usize = 100;

impl Confine for Worded {
    type Question = PassedQuestion;

    fn whole(self) -> PassedQuestion {
        self.question()
    }

    fn confined(mut self, seen: &Seen) -> Result<PassedQuestion, NotPermitted> {
        match self.path.template {
            CONVERSATIONS | JOBS => narrow_conversations(self.body.as_mut(), seen)?,
            // Told of nothing but itself, or looked at when it comes.
            JOB_STATE | JOB_RESULTS | JOBS_AVAILABILITY | CONVERSATION | CONVERSATIONS_BY_ID => {}
            QUEUE_OBSERVATIONS => narrow_observations(self.body.as_mut(), seen)?,
            template if QUEUES.contains(&template) => narrow_ids(&mut self.pairs, seen.queues())?,
            template if DIVISIONS.contains(&template) => narrow_ids(&mut self.pairs, seen.divisions())?,
            _ => of_one(&self.values, seen)?,
        }
        Ok(self.question())
    }
}

/// What is about a queue or a division by its id, and that is seen.
fn of_one(values: &[(String, String)], seen: &Seen) -> Result<(), NotPermitted> {
    let is_seen = values.first().is_some_and(|(name, id)| match name.as_str() {
        "queueId" => seen.queues().contains(id),
        "divisionId" => seen.divisions().contains(id),
        _ => false,
    });
    is_seen
        .then_some(())
        .ok_or_else(|| NotPermitted("what is asked here cannot be narrowed to what this key is confined to".to_owned()))
}

fn narrow_conversations(body: Option<&mut Value>, seen: &Seen) -> Result<(), NotPermitted> {
    let wrong = |field: &str| NotPermitted(format!("`{field}` cannot be narrowed to what this key is confined to"));
    let body = body.and_then(Value::as_object_mut).ok_or_else(|| wrong("body"))?;
    let counts = body.get("aggregations");
    // Counts by queue would count others' beside one's own.
    if counts.is_some_and(|counts| !counts.is_null() && *counts != json!([])) {
        return Err(wrong("aggregations"));
    }
    for (dimension, values) in &seen.forced().clauses {
        let list = match dimension.details {
            Some(DetailsLevel::Conversation) => "conversationFilters",
            Some(DetailsLevel::Segment) => "segmentFilters",
            None => return Err(wrong(dimension.name)),
        };
        let filters = body.entry(list).or_insert(Value::Null);
        if filters.is_null() {
            *filters = json!([]);
        }
        let filters = filters.as_array_mut().ok_or_else(|| wrong(list))?;
        filters.push(figures::any_of(dimension, values));
    }
    Ok(())
}

fn narrow_observations(body: Option<&mut Value>, seen: &Seen) -> Result<(), NotPermitted> {
    let wrong = || {
        NotPermitted(
            "only plain filters can be narrowed to what this key is confined to: some values for some dimensions"
                .to_owned(),
        )
    };
    let body = body.and_then(Value::as_object_mut).ok_or_else(wrong)?;
    let own = body.get("filter").filter(|filter| !filter.is_null());
    let mut clauses = match own {
        None => figures::Clauses::new(),
        Some(filter) => figures::clauses(filter).ok_or_else(wrong)?,
    };
    let queue = figures::dimension("queueId").ok_or_else(wrong)?;
    let queues = clauses.entry(queue).or_insert_with(|| seen.queues().clone());
    queues.retain(|queue| seen.queues().contains(queue));
    if queues.is_empty() {
        queues.insert(NOTHING.to_owned());
    }
    let clauses: Vec<Value> = clauses
        .iter()
        .map(|(dimension, values)| figures::any_of(dimension, values))
        .collect();
    body.insert("filter".to_owned(), json!({"type": "and", "clauses": clauses}));
    Ok(())
}

/// Asks for those ids that are seen, of those asked for if there are any.
fn narrow_ids(pairs: &mut Vec<(String, String)>, seen: &BTreeSet<String>) -> Result<(), NotPermitted> {
    let asked: BTreeSet<String> = pairs
        .iter()
        .filter(|(name, _)| name == "id")
        .flat_map(|(_, ids)| ids.split(',').map(str::to_owned))
        .collect();
    let mut ids: Vec<String> = if asked.is_empty() {
        seen.iter().cloned().collect()
    } else {
        asked.intersection(seen).cloned().collect()
    };
    if ids.len() > MOST_IDS {
        return Err(NotPermitted(format!(
            "this key sees more than {MOST_IDS} of them: ask for some by `id`, or at /v1/lookups"
        )));
    }
    if ids.is_empty() {
        ids.push(NOTHING.to_owned());
    }
    pairs.retain(|(name, _)| name != "id");
    pairs.extend(ids.into_iter().map(|id| ("id".to_owned(), id)));
    Ok(())
}

/// The answer as it is seen.
pub(super) fn answer(path: &Path, body: Bytes, seen: &Seen) -> Result<Bytes, Problem> {
    let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else {
        tracing::error!(path = path.template, "what was passed on is no JSON");
        return Err(Problem::new(ProblemKind::Internal));
    };
    if path.template == CONVERSATION && !withheld::is_seen(&answer, seen) {
        return Err(Problem::new(ProblemKind::NotFound));
    }
    let mut is_cut = false;
    let is_by_id = [JOB_RESULTS, CONVERSATIONS_BY_ID].contains(&path.template);
    let conversations = answer.get_mut("conversations").and_then(Value::as_array_mut);
    if let Some(conversations) = conversations.filter(|_| is_by_id) {
        let before = conversations.len();
        conversations.retain(|conversation| withheld::is_seen(conversation, seen));
        is_cut |= conversations.len() < before;
    }
    is_cut |= withheld::cut(&mut answer, seen);
    Ok(if is_cut { answer.to_string().into() } else { body })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{
        api::gateway::PATHS,
        query::{NamesById, Restriction, Sight},
    };

    const QUEUE: &str = "00000000-0000-4000-8000-00000000000a";
    const OTHER: &str = "00000000-0000-4000-8000-00000000000b";
    const DIVISION: &str = "00000000-0000-4000-8000-00000000000d";

    fn sight(dimension: &str, id: &str) -> Sight {
        let written = BTreeMap::from([(dimension.to_owned(), vec![id.to_owned()])]);
        let queues = NamesById::from([
            (Arc::from(QUEUE), Arc::from(DIVISION)),
            (Arc::from(OTHER), Arc::from("another")),
        ]);
        Sight::of(&Restriction::try_from(written).unwrap(), &queues)
    }

    fn worded(method: &str, template: &str, values: &[(&str, &str)], pairs: &str, body: Option<Value>) -> Worded {
        let path = PATHS
            .iter()
            .find(|path| path.template == template && path.method == method)
            .unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Worded {
            path,
            values: values.iter().map(owned).collect(),
            pairs: form_urlencoded::parse(pairs.as_bytes()).into_owned().collect(),
            body,
        }
    }

    #[test]
    fn conversations_are_narrowed_by_a_further_filter() {
        let own = json!({"type": "or", "predicates": [{"dimension": "mediaType", "value": "voice"}]});
        let narrowed = |dimension, body: Value| {
            let template = "/api/v2/analytics/conversations/details/query";
            let question = worded("POST", template, &[], "", Some(body));
            let question =
                sight(dimension, if dimension == "division.id" { DIVISION } else { QUEUE }).confine(question);
            question.map(|question| serde_json::from_slice::<Value>(question.body.as_ref().unwrap()).unwrap())
        };
        let body = narrowed("routing.queue.id", json!({"interval": "i", "segmentFilters": [own]})).unwrap();
        let predicate = json!({"type": "dimension", "dimension": "queueId", "operator": "matches", "value": QUEUE});
        assert_eq!(
            body["segmentFilters"],
            json!([own, {"type": "or", "predicates": [predicate]}])
        );
        let body = narrowed("division.id", json!({"conversationFilters": null})).unwrap();
        assert_eq!(body["conversationFilters"][0]["predicates"][0]["value"], DIVISION);
        for body in [
            json!({"aggregations": [{"type": "termFrequency", "dimension": "queueId"}]}),
            json!({"segmentFilters": "all"}),
        ] {
            assert!(narrowed("routing.queue.id", body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn observations_are_of_the_queues_seen() {
        let predicate = |value: &str| json!({"dimension": "queueId", "value": value});
        for (filter, queues) in [
            (json!(null), Some(vec![QUEUE])),
            (
                json!({"type": "or", "predicates": [predicate(QUEUE), predicate(OTHER)]}),
                Some(vec![QUEUE]),
            ),
            (
                json!({"type": "or", "predicates": [predicate(OTHER)]}),
                Some(vec![NOTHING]),
            ),
            (
                json!({"type": "or", "predicates": [{"dimension": "mediaType", "value": "voice"}]}),
                Some(vec![QUEUE]),
            ),
            // More than some values for some dimensions.
            (
                json!({"type": "or", "predicates": [predicate(OTHER), {"dimension": "mediaType", "value": "voice"}]}),
                None,
            ),
            (
                json!({"type": "or", "predicates": [{"dimension": "queueId", "operator": "exists"}]}),
                None,
            ),
        ] {
            let body = json!({"filter": filter, "metrics": ["oWaiting"]});
            let question = worded("POST", QUEUE_OBSERVATIONS, &[], "", Some(body));
            let narrowed = sight("routing.queue.id", QUEUE).confine(question).ok();
            let found = narrowed.map(|question| {
                let body: Value = serde_json::from_slice(question.body.as_ref().unwrap()).unwrap();
                let clauses = figures::clauses(&body["filter"]).unwrap();
                clauses[figures::dimension("queueId").unwrap()].clone()
            });
            let queues = queues.map(|queues| queues.into_iter().map(str::to_owned).collect());
            assert_eq!(found, queues, "{filter}");
        }
    }

    #[test]
    fn listings_are_of_the_ids_seen() {
        for (asked, target) in [
            ("", format!("/api/v2/routing/queues?id={QUEUE}")),
            (
                &*format!("id={OTHER}&id={QUEUE}&pageSize=5"),
                format!("/api/v2/routing/queues?id={QUEUE}&pageSize=5"),
            ),
            (
                &*format!("id={OTHER},{QUEUE}"),
                format!("/api/v2/routing/queues?id={QUEUE}"),
            ),
            (&*format!("id={OTHER}"), format!("/api/v2/routing/queues?id={NOTHING}")),
        ] {
            let question = worded("GET", "/api/v2/routing/queues", &[], asked, None);
            let narrowed = sight("division.id", DIVISION).confine(question).unwrap();
            assert_eq!(narrowed.target, target, "{asked}");
        }
    }

    /// Of all the paths there are, what a caller who does not see everything may ask. A new one is refused until it is
    /// decided about.
    #[test]
    fn what_cannot_be_narrowed_is_refused() {
        let sight = sight("routing.queue.id", QUEUE);
        let permitted = PATHS.iter().filter(|path| {
            let segments = path.template.split('/');
            let names = segments.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
            let question = Worded {
                path,
                values: names.map(|name| (name.to_owned(), QUEUE.to_owned())).collect(),
                pairs: Vec::new(),
                body: (path.method == "POST").then(|| json!({})),
            };
            sight.confine(question).is_ok()
        });
        let permitted: Vec<_> = permitted
            .map(|path| path.template.trim_start_matches("/api/v2/"))
            .collect();
        assert_eq!(
            permitted,
            [
                "analytics/conversations/details",
                "analytics/conversations/details/jobs",
                "analytics/conversations/details/jobs/availability",
                "analytics/conversations/details/jobs/{jobId}",
                "analytics/conversations/details/jobs/{jobId}",
                "analytics/conversations/details/jobs/{jobId}/results",
                "analytics/conversations/details/query",
                "analytics/conversations/{conversationId}/details",
                "analytics/queues/observations/query",
                "authorization/divisions",
                "authorization/divisions/query",
                "routing/queues",
                "routing/queues/divisionviews",
                "routing/queues/{queueId}",
                "routing/queues/{queueId}/estimatedwaittime",
                "routing/queues/{queueId}/mediatypes/{mediaType}/estimatedwaittime",
                "routing/queues/{queueId}/members",
                "routing/queues/{queueId}/wrapupcodes",
            ]
        );
        let other = worded(
            "GET",
            "/api/v2/routing/queues/{queueId}",
            &[("queueId", OTHER)],
            "",
            None,
        );
        assert!(sight.confine(other).is_err());
    }

    #[test]
    fn what_is_read_by_an_id_is_looked_at() {
        let conversation = |queue: &str| json!({"conversationId": queue, "participants": [{"sessions": [{"segments": [{"queueId": queue}]}]}]});
        let path = |template: &str| PATHS.iter().find(|path| path.template == template).unwrap();
        let sight = sight("routing.queue.id", QUEUE);
        let seen = sight.seen().unwrap();
        let ask = |template: &str, body: &Value| answer(path(template), body.to_string().into(), seen);
        assert!(ask(CONVERSATION, &conversation(QUEUE)).is_ok());
        let hidden = ask(CONVERSATION, &conversation(OTHER)).unwrap_err();
        assert_eq!(hidden.kind(), ProblemKind::NotFound);
        let both = json!({"conversations": [conversation(QUEUE), conversation(OTHER)], "cursor": "x"});
        for template in [
            CONVERSATIONS_BY_ID,
            "/api/v2/analytics/conversations/details/jobs/{jobId}/results",
        ] {
            let body: Value = serde_json::from_slice(&ask(template, &both).unwrap()).unwrap();
            assert_eq!(
                body,
                json!({"conversations": [conversation(QUEUE)], "cursor": "x"}),
                "{template}"
            );
        }
    }
}
