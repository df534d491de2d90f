//! A key that is confined to some queues or divisions sees those and nothing else, on every route, in every form.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use proptest::{
    prelude::*,
    sample::{select, subsequence},
    strategy::ValueTree as _,
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use crate::support::{
    events::Listener,
    service::{Answer, Service, Setup},
};

/// The organisation's queues and divisions, which are the same whenever it is started anew.
struct Organisation {
    /// Id and the id of its division.
    queues: Vec<(String, String)>,
    divisions: Vec<String>,
}

impl Organisation {
    async fn known() -> Self {
        let service = Service::start().await;
        let queues = service.get("/api/v2/routing/queues?pageSize=100").await.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let queues = queues["entities"].as_array().unwrap().iter();
        let divisions = service.get("/v1/lookups/divisions").await.json();
        let divisions = divisions["entities"].as_array().unwrap().iter();
        Self {
            queues: queues
                .map(|queue| (text(&queue["id"]), text(&queue["division"]["id"])))
                .collect(),
            divisions: divisions.map(|division| text(&division["id"])).collect(),
        }
    }

    /// The queues of the division with the most of them that has not all of them.
    fn division(&self) -> &str {
        let of = |division: &String| self.queues.iter().filter(|(_, its)| its == division).count();
        self.divisions.iter().max_by_key(|division| of(division)).unwrap()
    }
}

/// An organisation, a key that sees everything, and one that is confined.
struct Stage {
    service: Service,
    open: String,
    confined: String,
    /// The dimension that key is confined by, and to which ids.
    dimension: &'static str,
    ids: BTreeSet<String>,
    /// Ids that it must never be told.
    foreign: BTreeSet<String>,
    own_queues: BTreeSet<String>,
    foreign_queue: String,
    foreign_queues: Vec<String>,
}

const EVERYTHING: &str = r#""read", "export", "live""#;

impl Stage {
    async fn by_queues() -> Self {
        let known = Organisation::known().await;
        // Of different divisions, as far as there are.
        let ids: BTreeSet<String> = [known.queues.first(), known.queues.last()]
            .into_iter()
            .flatten()
            .map(|(id, _)| id.clone())
            .collect();
        Self::of(&known, "routing.queue.id", ids.clone(), ids).await
    }

    async fn by_division() -> Self {
        let known = Organisation::known().await;
        let division = known.division().to_owned();
        let queues = known.queues.iter().filter(|(_, its)| *its == division);
        let queues = queues.map(|(id, _)| id.clone()).collect();
        Self::of(&known, "division.id", BTreeSet::from([division]), queues).await
    }

    async fn of(
        known: &Organisation,
        dimension: &'static str,
        ids: BTreeSet<String>,
        own_queues: BTreeSet<String>,
    ) -> Self {
        let (setup, open) = Setup::new().key(EVERYTHING, "");
        let (setup, confined) = setup.key(EVERYTHING, &format!(", filters={{\"{dimension}\"={}}}", json!(ids)));
        let foreign_queues = known.queues.iter().filter(|(id, _)| !own_queues.contains(id));
        let foreign_queues: BTreeSet<String> = foreign_queues.map(|(id, _)| id.clone()).collect();
        let own = known.queues.iter().filter(|(id, _)| own_queues.contains(id));
        let own_divisions: BTreeSet<&String> = own.map(|(_, division)| division).collect();
        let foreign_divisions = known
            .divisions
            .iter()
            .filter(|division| !own_divisions.contains(division));
        Self {
            service: setup.start().await,
            open,
            confined,
            dimension,
            ids,
            foreign_queue: foreign_queues.first().unwrap().clone(),
            foreign: foreign_queues.iter().chain(foreign_divisions).cloned().collect(),
            foreign_queues: foreign_queues.iter().cloned().collect(),
            own_queues,
        }
    }

    async fn ask(&self, key: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.service.request(method, path).header("x-api-key", key);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        self.service.send(request).await
    }

    async fn openly(&self, path: &str) -> Answer {
        self.ask(&self.open, Method::GET, path, None).await
    }

    /// As the confined key. Nothing it is answered tells of others.
    async fn get(&self, path: &str) -> Answer {
        let answer = self.ask(&self.confined, Method::GET, path, None).await;
        self.assert_tells_of_no_others(path, &answer);
        answer
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let answer = self.ask(&self.confined, Method::POST, path, Some(body)).await;
        self.assert_tells_of_no_others(path, &answer);
        answer
    }

    #[track_caller]
    fn assert_tells_of_no_others(&self, question: &str, answer: &Answer) {
        let text = format!("{:?} {}", answer.headers, answer.text());
        for id in &self.foreign {
            assert!(!text.contains(id), "{question} tells of {id}: {text}");
        }
    }

    /// The filter by hand that the key is confined by, narrowed by one of its own.
    fn by_hand(&self) -> Value {
        json!({"dimension": self.dimension, "values": self.ids})
    }
}

/// A question and whatever it filters queues on.
fn questions(stage: &Stage, foreign: &[String]) -> impl Strategy<Value = (Value, Option<BTreeSet<String>>)> + use<> {
    let groups = vec![
        "routing.queue.id",
        "routing.queue.name",
        "division.id",
        "media.type",
        "conversation.direction",
        "agent.id",
    ];
    let metrics = vec![
        "conversation.count",
        "conversation.answered",
        "handle.time.average",
        "talk.time.sum",
    ];
    let queues: Vec<String> = stage.own_queues.iter().chain(foreign).cloned().collect();
    let most = queues.len().min(3);
    (
        subsequence(groups, 0..=3),
        subsequence(metrics, 1..=3),
        select(vec![None, Some("P1D"), Some("PT1H")]),
        proptest::option::of(subsequence(queues, 1..=most)),
        proptest::option::of(select(vec!["voice", "chat", "email"])),
        select(vec!["none", "zero"]),
        1_u32..5,
    )
        .prop_map(|(groups, metrics, interval, queues, media, fill, days)| {
            let mut filter = Vec::new();
            if let Some(media) = media {
                filter.push(json!({"dimension": "media.type", "values": [media]}));
            }
            let select: Vec<&str> = groups.iter().chain(&metrics).copied().collect();
            let mut body = json!({
                "dateFrom": "2023-11-20", "dateTo": format!("2023-11-{}", 20 + days), "select": select,
                "pageSize": 1000, "filter": filter,
            });
            if let Some(interval) = interval {
                body["interval"] = json!(interval);
                body["fill"] = json!(fill);
            }
            (body, queues.map(|queues| queues.into_iter().collect()))
        })
}

async fn answers_are_those_of_a_filter_by_hand(stage: Stage) {
    let foreign = stage.foreign_queues.clone();
    let mut runner = TestRunner::deterministic();
    let questions = questions(&stage, &foreign);
    let (mut answered, mut empty) = (0, 0);
    for _ in 0..60 {
        let (body, queues) = questions.new_tree(&mut runner).unwrap().current();
        let with = |clauses: Vec<Value>| {
            let mut body = body.clone();
            body["filter"].as_array_mut().unwrap().extend(clauses);
            body
        };
        let of = |queues: &BTreeSet<String>| json!({"dimension": "routing.queue.id", "values": queues});
        let own = with(queues.iter().map(of).collect());
        let both: BTreeSet<String> = match &queues {
            Some(queues) => queues.intersection(&stage.own_queues).cloned().collect(),
            None => stage.own_queues.clone(),
        };
        let by_hand = match stage.dimension {
            "division.id" => with(queues.iter().map(|_| of(&both)).chain([stage.by_hand()]).collect()),
            _ => with(vec![of(&both)]),
        };
        let found = stage.ask(&stage.confined, Method::POST, "/v1/query", Some(&own)).await;
        if found.status == 422 {
            // What makes no sense makes none for anybody.
            assert_eq!(
                stage
                    .ask(&stage.open, Method::POST, "/v1/query", Some(&own))
                    .await
                    .status,
                422
            );
            continue;
        }
        assert_eq!(found.status, 200, "{own} {}", found.text());
        let found = found.json();
        for row in found["entities"].as_array().unwrap() {
            let text = row.to_string();
            assert!(stage.foreign.iter().all(|id| !text.contains(id)), "{own}: {text}");
        }
        if both.is_empty() {
            let nothing = found["entities"].as_array().unwrap();
            let is_zero = |row: &Value| {
                row.pointer("/conversation/count")
                    .is_none_or(|count| *count == 0 || count.is_null())
            };
            assert!(nothing.iter().all(is_zero), "{own}: {found}");
            empty += 1;
            continue;
        }
        let expected = stage.ask(&stage.open, Method::POST, "/v1/query", Some(&by_hand)).await;
        assert_eq!(expected.status, 200, "{by_hand} {}", expected.text());
        assert_eq!(found["entities"], expected.json()["entities"], "{own} as {by_hand}");
        answered += usize::from(!found["entities"].as_array().unwrap().is_empty());
    }
    assert!(answered > 20 && empty > 0, "{answered} {empty}");
}

#[tokio::test(start_paused = true)]
async fn a_key_of_some_queues_is_answered_as_if_it_had_filtered_on_them() {
    answers_are_those_of_a_filter_by_hand(Stage::by_queues().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_of_a_division_is_answered_as_if_it_had_filtered_on_it() {
    answers_are_those_of_a_filter_by_hand(Stage::by_division().await).await;
}

#[tokio::test(start_paused = true)]
async fn what_contradicts_is_nothing_and_costs_nothing() {
    let stage = Stage::by_queues().await;
    stage.get("/v1/lookups/queues").await;
    let before = stage.service.upstream_calls();
    let foreign = &stage.foreign_queue;
    for path in [
        format!("/v1/query?dateFrom=yesterday&groupBy=routing.queue.id&filter=routing.queue.id:{foreign}"),
        format!("/v1/query?dateFrom=yesterday&interval=PT1H&groupBy=media.type&filter=routing.queue.id:{foreign}"),
        format!("/v1/conversations?dateFrom=yesterday&filter=routing.queue.id:{foreign}"),
        format!("/v1/now/queues?filter=routing.queue.id:{foreign}"),
    ] {
        let answer = stage.ask(&stage.confined, Method::GET, &path, None).await;
        assert_eq!(answer.status, 200, "{path} {}", answer.text());
        let answer = answer.json();
        assert_eq!(
            (&answer["total"], &answer["entities"]),
            (&json!(0), &json!([])),
            "{path}"
        );
    }
    assert_eq!(stage.service.upstream_calls(), before);
}

fn ids_of(answer: &Answer) -> BTreeSet<String> {
    let entities = answer.json()["entities"].as_array().unwrap().clone();
    let id = |entity: &Value| {
        entity["conversationId"]
            .as_str()
            .or(entity["id"].as_str())
            .unwrap()
            .to_owned()
    };
    entities.iter().map(id).collect()
}

#[tokio::test(start_paused = true)]
async fn conversations_are_those_of_a_filter_by_hand_without_what_others_did() {
    for stage in [Stage::by_queues().await, Stage::by_division().await] {
        let range = "dateFrom=2023-11-27&dateTo=2023-11-29";
        let ids: Vec<&str> = stage.ids.iter().map(String::as_str).collect();
        let by_hand = format!(
            "/v1/conversations?{range}&pageSize=500&filter={}:{}",
            stage.dimension,
            ids.join(",")
        );
        let by_hand = stage.openly(&by_hand).await;
        let found = stage.get(&format!("/v1/conversations?{range}&pageSize=500")).await;
        assert_eq!(ids_of(&found), ids_of(&by_hand));
        assert!(ids_of(&found).len() > 10, "{}", found.text());
        // Of a conversation that went through none but its own queues it sees everything.
        let (shown, whole) = (found.json(), by_hand.json());
        let pairs = shown["entities"]
            .as_array()
            .unwrap()
            .iter()
            .zip(whole["entities"].as_array().unwrap());
        let mut cut = 0;
        for (shown, whole) in pairs {
            let text = whole.to_string();
            if stage.foreign.iter().all(|id| !text.contains(id)) {
                assert_eq!(shown, whole);
            } else {
                cut += 1;
            }
        }
        assert!(cut > 0, "some were transferred");
        let newest = stage
            .get(&format!(
                "/v1/conversations?{range}&orderBy=-conversation.start&pageSize=5"
            ))
            .await;
        assert_eq!(newest.json()["total"], found.json()["total"]);
        for format in ["ndjson", "csv", "table"] {
            let stream = stage.get(&format!("/v1/conversations?{range}&format={format}")).await;
            assert_eq!(stream.status, 200, "{}", stream.text());
            assert!(ids_of(&found).iter().all(|id| stream.text().contains(id)), "{format}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reports_boards_lookups_and_names_are_confined_too() {
    let stage = Stage::by_queues().await;
    for report in [
        "queue-performance",
        "abandon-analysis",
        "conversation-list",
        "queues-now",
        "wrapup-breakdown",
    ] {
        for format in ["json", "csv"] {
            let answer = stage.get(&format!("/v1/reports/{report}?format={format}")).await;
            assert_eq!(answer.status, 200, "{report} {}", answer.text());
        }
        assert_eq!(stage.get(&format!("/v1/reports/{report}/definition")).await.status, 200);
    }
    for (path, queues) in [
        ("/v1/now/queues", &stage.own_queues),
        ("/v1/lookups/queues", &stage.own_queues),
    ] {
        let answer = stage.get(path).await.json();
        let found = answer["entities"].as_array().unwrap().iter();
        let found = found.map(|row| {
            row.pointer("/routing/queue/id")
                .unwrap_or(&row["id"])
                .as_str()
                .unwrap()
                .to_owned()
        });
        assert_eq!(&found.collect::<BTreeSet<_>>(), queues, "{path}");
    }
    assert_eq!(stage.get("/v1/lookups/divisions").await.status, 200);
    for lookup in ["users", "wrapup-codes", "skills", "languages", "flows"] {
        let refused = stage.get(&format!("/v1/lookups/{lookup}")).await;
        assert_eq!(
            (refused.status.as_u16(), refused.problem().as_str()),
            (403, "forbidden")
        );
        assert!(refused.text().contains("routing.queue.id"), "{}", refused.text());
    }
    let request = stage.service.request(Method::GET, "/v1/live/queues");
    let mut board = Listener::send(request.header("x-api-key", &stage.confined)).await;
    let mut event = board.next().await.unwrap();
    while event.name != "queues" {
        event = board.next().await.unwrap();
    }
    assert!(stage.foreign.iter().all(|id| !event.text.contains(id)), "{event:?}");
    assert_eq!(event.data()["total"], stage.own_queues.len());

    // Names of others mean nothing, and none is given away as what might have been meant.
    let names = stage.openly("/v1/lookups/queues").await.json();
    for queue in names["entities"].as_array().unwrap() {
        let (id, name) = (queue["id"].as_str().unwrap(), queue["name"].as_str().unwrap());
        let encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        for path in [
            format!("/v1/query?dateFrom=yesterday&filter=routing.queue.name:{encoded}"),
            format!("/v1/query?dateFrom=yesterday&filter=routing.queue.name:{encoded}x"),
        ] {
            let answer = stage.get(&path).await;
            let is_own = stage.own_queues.contains(id) && !path.ends_with('x');
            assert_eq!(answer.status, if is_own { 200 } else { 422 }, "{path}");
            for other in names["entities"].as_array().unwrap() {
                let (other, called) = (other["id"].as_str().unwrap(), other["name"].as_str().unwrap());
                let is_told = answer.text().contains(&format!("\"{called}\""));
                assert!(!is_told || stage.own_queues.contains(other), "{path} tells of {called}");
            }
        }
    }
    let agents = stage
        .get("/v1/query?dateFrom=yesterday&filter=agent.name:Somebody")
        .await;
    assert_eq!(agents.status, 403, "{}", agents.text());
    // What a family does not tell apart.
    let users = stage
        .get("/v1/query?dateFrom=yesterday&source=users&select=presence.on.queue.time")
        .await;
    assert_eq!(users.status, 403, "{}", users.text());
    assert!(users.text().contains("source=users"), "{}", users.text());
}

#[tokio::test(start_paused = true)]
async fn what_is_held_for_others_is_not_theirs() {
    let stage = Stage::by_queues().await;
    let path = "/v1/query?dateFrom=yesterday&interval=PT1H&groupBy=routing.queue.id";
    let open = stage.openly(path).await;
    let confined = stage.get(path).await;
    assert_ne!(open.header("etag"), confined.header("etag"));
    let unless = async |tag: &str| {
        let request = stage.service.request(Method::GET, path);
        let request = request.header("x-api-key", &stage.confined);
        stage.service.send(request.header("if-none-match", tag)).await
    };
    let answer = unless(open.header("etag")).await;
    assert_eq!(answer.status, 200);
    stage.assert_tells_of_no_others(path, &answer);
    assert_eq!(unless(confined.header("etag")).await.status, 304);

    // A job is of the key that began it.
    stage.service.simulator.set_latency(Duration::from_secs(1));
    let job = stage
        .openly("/v1/query?dateFrom=2023-11-20&dateTo=2023-11-21&groupBy=routing.queue.id&wait=0")
        .await;
    assert_eq!(job.status, 202, "{}", job.text());
    let location = job.header("location").to_owned();
    for suffix in ["", "/result", "/events"] {
        let mut request = stage.service.request(Method::GET, &format!("{location}{suffix}"));
        if suffix == "/events" {
            request = request.header("accept", "text/event-stream");
        }
        let answer = stage.service.send(request.header("x-api-key", &stage.confined)).await;
        assert_eq!(answer.status, 404, "{suffix}");
    }
    assert_eq!(
        stage.ask(&stage.confined, Method::DELETE, &location, None).await.status,
        404
    );
    assert_eq!(stage.openly(&location).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_upstreams_own_paths_are_narrowed_or_refused() {
    let stage = Stage::by_queues().await;
    let interval = "2023-11-27T00:00:00.000Z/2023-11-29T00:00:00.000Z";
    let aggregates = "/api/v2/analytics/conversations/aggregates/query";
    let body = json!({"interval": interval, "groupBy": ["queueId"], "metrics": ["nOffered", "tTalk"]});
    let answer = stage.post(aggregates, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let queues: BTreeSet<String> = answer.json()["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["group"]["queueId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(queues, stage.own_queues);
    // What the model does not express is refused, not passed on.
    let mut odd = body.clone();
    odd["flattenMultivaluedDimensions"] = json!(true);
    assert_eq!(stage.post(aggregates, &odd).await.status, 403);

    let details = "/api/v2/analytics/conversations/details/query";
    let body = json!({"interval": interval, "paging": {"pageSize": 100, "pageNumber": 1}});
    let found = stage.post(details, &body).await;
    assert_eq!(found.status, 200, "{}", found.text());
    let conversations = found.json()["conversations"].as_array().unwrap().clone();
    assert!(!conversations.is_empty());
    let mut counting = body.clone();
    counting["aggregations"] = json!([{"type": "termFrequency", "dimension": "queueId", "size": 10}]);
    assert_eq!(stage.post(details, &counting).await.status, 403);

    // By id: one's own without what others did, and none of others.
    let everybodys = stage.ask(&stage.open, Method::POST, details, Some(&body)).await.json();
    let own: BTreeSet<&str> = conversations
        .iter()
        .map(|one| one["conversationId"].as_str().unwrap())
        .collect();
    let mut hidden = 0;
    for conversation in everybodys["conversations"].as_array().unwrap().iter().take(40) {
        let text = conversation.to_string();
        let is_own = stage.own_queues.iter().any(|queue| text.contains(queue));
        let id = conversation["conversationId"].as_str().unwrap();
        let some = stage
            .get(&format!("/api/v2/analytics/conversations/details?id={id}"))
            .await
            .json();
        assert_eq!(
            some["conversations"].as_array().map_or(0, Vec::len),
            usize::from(is_own),
            "{some}"
        );
        hidden += usize::from(!is_own);
    }
    assert!(hidden > 0 && !own.is_empty());
}

/// A job of everybody's conversations, read by somebody confined, and one of its own.
#[tokio::test(start_paused = true)]
async fn jobs_of_the_upstream_are_read_as_they_are_seen() {
    let stage = Stage::by_queues().await;
    let jobs = "/api/v2/analytics/conversations/details/jobs";
    let question = json!({"interval": "2023-11-20T00:00:00.000Z/2023-11-22T00:00:00.000Z"});
    let begun = stage.ask(&stage.open, Method::POST, jobs, Some(&question)).await.json();
    let id = begun["jobId"].as_str().unwrap();
    let own = stage.post(jobs, &question).await;
    assert_eq!(own.status, 202, "{}", own.text());
    let own = own.json()["jobId"].as_str().unwrap().to_owned();
    assert_ne!(id, own);
    stage.service.pass(600).await;
    let mut counts = Vec::new();
    for (key, job) in [
        (&stage.open, id),
        (&stage.confined, id),
        (&stage.confined, own.as_str()),
    ] {
        let path = format!("{jobs}/{job}");
        assert_eq!(stage.ask(key, Method::GET, &path, None).await.status, 200);
        let answer = stage
            .ask(key, Method::GET, &format!("{path}/results?pageSize=1000"), None)
            .await;
        if *key == stage.confined {
            stage.assert_tells_of_no_others(&path, &answer);
        }
        counts.push(answer.json()["conversations"].as_array().unwrap().len());
    }
    assert!(
        counts[0] > counts[1] && counts[1] == counts[2] && counts[1] > 0,
        "{counts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn observations_and_listings_of_the_upstream_are_narrowed_or_refused() {
    let stage = Stage::by_queues().await;
    let observations = "/api/v2/analytics/queues/observations/query";
    let of = |queues: &[&String]| {
        let predicates: Vec<_> = queues
            .iter()
            .map(|id| json!({"dimension": "queueId", "value": id}))
            .collect();
        json!({"filter": {"type": "or", "predicates": predicates}, "metrics": ["oWaiting", "oOnQueueUsers"]})
    };
    let own = stage.own_queues.first().unwrap();
    let observed = stage.post(observations, &of(&[own, &stage.foreign_queue])).await;
    assert_eq!(observed.status, 200, "{}", observed.text());
    assert!(observed.text().contains(own.as_str()));
    let nothing = stage.post(observations, &of(&[&stage.foreign_queue])).await.json();
    assert_eq!(nothing["results"], json!([]));

    let listed = stage.get("/api/v2/routing/queues?pageSize=100").await;
    assert_eq!(ids_of(&listed), stage.own_queues);
    let foreign = &stage.foreign_queue;
    let listed = stage
        .ask(
            &stage.confined,
            Method::GET,
            &format!("/api/v2/routing/queues?id={foreign}"),
            None,
        )
        .await;
    assert_eq!(listed.json()["total"], 0, "{}", listed.text());
    for path in [
        "/api/v2/users".to_owned(),
        "/api/v2/routing/skills".to_owned(),
        "/api/v2/flows".to_owned(),
        format!("/api/v2/routing/queues/{foreign}"),
    ] {
        let refused = stage.ask(&stage.confined, Method::GET, &path, None).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["code"].as_str()),
            (403, Some("not.authorized")),
            "{path}"
        );
    }
    let users = stage
        .post(
            "/api/v2/analytics/users/observations/query",
            &json!({"metrics": ["oMemberQueues"]}),
        )
        .await;
    assert_eq!(users.status, 403);
}

#[tokio::test(start_paused = true)]
async fn who_runs_the_service_is_not_confined() {
    let stage = Stage::by_queues().await;
    for (method, path) in [(Method::GET, "/v1/cache"), (Method::DELETE, "/v1/cache")] {
        assert_eq!(stage.ask(&stage.confined, method, path, None).await.status, 403);
    }
    let quota = stage.get("/v1/quota").await;
    assert_eq!(quota.status, 200);
    let callers = quota.json()["callers"].clone();
    let named: Vec<_> = callers
        .as_array()
        .unwrap()
        .iter()
        .map(|caller| caller["caller"].clone())
        .collect();
    assert!(
        named.iter().all(|name| *name == "test-1" || *name == "others"),
        "{named:?}"
    );
    assert_eq!(stage.get("/v1/catalog").await.status, 200);
}
