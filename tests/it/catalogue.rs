//! The catalogue lists what can be asked for: all of it, and nothing else.

use genesys_reports::query::{
    ConversationQuery, ConversationRequest, FilterRequest, Limits, Query, QueryRequest, Source, catalogue,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::service::Service;

#[tokio::test(start_paused = true)]
async fn it_is_held_by_its_readers_and_costs_nothing_upstream() {
    let service = Service::start().await;
    let first = service.get("/v1/catalog").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("cache-control"), "private, max-age=86400");
    let again = service
        .request(reqwest::Method::GET, "/v1/catalog")
        .header("if-none-match", first.header("etag"));
    assert_eq!(service.send(again).await.status, 304);
    let csv = service
        .request(reqwest::Method::GET, "/v1/catalog")
        .header("accept", "text/csv");
    assert_eq!(service.send(csv).await.status, 406);
    assert_eq!(service.upstream_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_says_how_figures_combine() {
    let catalog = catalog().await;
    let metric = |upstream: &str| {
        let metrics = catalog["metrics"].as_array().unwrap();
        metrics
            .iter()
            .find(|metric| metric["upstream"] == upstream)
            .unwrap()
            .clone()
    };
    let statistic = |metric: &Value, name: &str| {
        let statistics = metric["statistics"].as_array().unwrap();
        statistics
            .iter()
            .find(|each| each["statistic"] == name)
            .unwrap()
            .clone()
    };
    let handle = metric("tHandle");
    assert_eq!(
        (&handle["rollup"], &handle["byAgent"], &handle["exception"]),
        (&json!("timer"), &json!(true), &json!(null))
    );
    assert_eq!(
        statistic(&handle, "average"),
        json!({
            "statistic": "average", "unit": "milliseconds", "columns": ["handle.time.average", "tHandle.average"],
            "overTime": "recomputed", "overMediaTypes": "recomputed"
        })
    );
    assert_eq!(
        statistic(&handle, "count")["columns"],
        json!(["conversation.handled", "handle.time.count", "tHandle.count"])
    );
    assert_eq!(statistic(&handle, "p95")["overTime"], "never");

    let conversations = metric("nConversations");
    let count = statistic(&conversations, "count");
    assert_eq!(
        (&count["overTime"], &count["overMediaTypes"]),
        (&json!("never"), &json!("sum"))
    );
    let exception = conversations["exception"].as_str().unwrap();
    assert!(exception.contains("several media types counts once for each"));
    assert_eq!(metric("nOffered")["byAgent"], false);

    let families = json!([
        "conversations",
        "flows",
        "evaluations",
        "surveys",
        "agentcopilots",
        "knowledge",
        "resolutions",
        "summaries",
        "taskmanagement",
        "transcripts"
    ]);
    let dimensions = catalog["dimensions"].as_array().unwrap();
    let queue = dimensions.iter().find(|dimension| dimension["upstream"] == "queueId");
    assert_eq!(
        queue.unwrap(),
        &json!({
            "name": "routing.queue.id", "upstream": "queueId", "meaning": "The queue.", "groupable": families,
            "filterable": families, "detailsLevel": "segment", "multiValued": false,
            "named": {"name": "routing.queue.name", "lookup": "queues", "uri": "/v1/lookups/queues"}
        })
    );
}

/// Every name is asked for where the catalogue says it fits, and refused where it says it does not.
#[tokio::test(start_paused = true)]
async fn what_it_lists_is_accepted() {
    let catalog = catalog().await;
    for bucket in catalog["buckets"].as_array().unwrap() {
        assert_accepted(&select(&[bucket["name"].as_str().unwrap(), "nOffered"]));
    }
    for metric in catalog["metrics"].as_array().unwrap() {
        let of_metric = Source::named(metric["source"].as_str().unwrap()).unwrap();
        for source in Source::ALL {
            let select = |columns: &[&str]| from(source, select(columns));
            let pinned = source.tells_media_types_apart();
            let by_media = |columns: &[&'static str], column| {
                let mut columns: Vec<&str> = columns.to_vec();
                columns.extend(pinned.then_some("media.type"));
                select(&[&columns[..], &[column]].concat())
            };
            for statistic in metric["statistics"].as_array().unwrap() {
                for column in texts(&statistic["columns"]) {
                    let mine = source == of_metric;
                    assert_eq!(is_accepted(&by_media(&[], column)), mine, "{column} {source:?}");
                    let folds = !pinned || statistic["overMediaTypes"] != "never";
                    assert_eq!(is_accepted(&select(&[column])), mine && folds, "{column} {source:?}");
                    assert_eq!(
                        is_accepted(&by_media(&["agent.id"], column)),
                        mine && metric["byAgent"] == true,
                        "{column} {source:?}"
                    );
                }
            }
        }
    }
    for kpi in catalog["kpis"].as_array().unwrap() {
        let source = Source::named(kpi["source"].as_str().unwrap()).unwrap();
        let select = |columns: &[&str]| from(source, select(columns));
        for column in texts(&kpi["columns"]) {
            assert_accepted(&select(&[column]));
            assert_eq!(
                is_accepted(&select(&["agent.id", column])),
                kpi["byAgent"] == true,
                "{column}"
            );
        }
        for part in kpi["parts"].as_array().unwrap() {
            assert_accepted(&select(&[part["column"].as_str().unwrap()]));
        }
    }
    for dimension in catalog["dimensions"].as_array().unwrap() {
        for source in Source::ALL {
            let is = |what: &str| texts(&dimension[what]).contains(&source.name());
            let plain = source.default_metric();
            for name in names(dimension) {
                let grouped = from(source, select(&[name, plain]));
                assert_eq!(fits_dimension(&grouped), is("groupable"), "{name} {source:?}");
                assert_eq!(
                    fits_dimension(&from(source, filter(name, plain))),
                    is("filterable"),
                    "{name} {source:?}"
                );
            }
            for id in [&dimension["name"], &dimension["upstream"]] {
                let request = QueryRequest {
                    group_by: Some(vec![id.as_str().unwrap().to_owned()]),
                    ..from(source, select(&[plain]))
                };
                assert_eq!(fits_dimension(&request), is("groupable"), "{id} {source:?}");
            }
        }
        for name in names(dimension) {
            assert_eq!(details_accept(name), dimension["detailsLevel"] != json!(null), "{name}");
        }
    }
}

/// All spellings that could be thought of, from names and statistics in every combination.
#[tokio::test(start_paused = true)]
async fn what_is_accepted_is_listed() {
    let catalog = catalog().await;
    let mut listed: Vec<&str> = texts_of(&catalog["buckets"], "name");
    for metric in catalog["metrics"].as_array().unwrap() {
        for statistic in metric["statistics"].as_array().unwrap() {
            listed.extend(texts(&statistic["columns"]));
        }
    }
    for kpi in catalog["kpis"].as_array().unwrap() {
        listed.extend(texts(&kpi["columns"]));
    }
    for dimension in catalog["dimensions"].as_array().unwrap() {
        listed.extend(names(dimension));
    }

    let mut spellings: Vec<String> = catalogue::column_names().collect();
    let suffixes = [
        "",
        ".count",
        ".sum",
        ".min",
        ".max",
        ".average",
        ".ratio",
        ".numerator",
        ".denominator",
        ".target",
        ".current",
        ".p95",
        ".p99",
        ".id",
        ".name",
    ];
    let mut stems: Vec<&str> = listed.clone();
    stems.extend(texts_of(&catalog["metrics"], "name"));
    stems.extend(texts_of(&catalog["metrics"], "upstream"));
    for dimension in catalogue::DIMENSIONS {
        stems.extend(dimension.names().collect::<Vec<&str>>());
    }
    for stem in stems {
        spellings.extend(suffixes.map(|suffix| format!("{stem}{suffix}")));
    }
    let missing: Vec<_> = spellings
        .iter()
        .filter(|name| catalogue::column(name).is_some() || catalogue::dimension(name).is_some())
        .filter(|name| !listed.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

async fn catalog() -> Value {
    Service::start().await.get("/v1/catalog").await.json()
}

fn select(columns: &[&str]) -> QueryRequest {
    QueryRequest {
        date_from: "yesterday".to_owned(),
        select: Some(columns.iter().map(|&column| column.to_owned()).collect()),
        ..QueryRequest::default()
    }
}

fn on(dimension: &str) -> Vec<FilterRequest> {
    vec![FilterRequest {
        dimension: dimension.to_owned(),
        values: vec!["value".to_owned()],
    }]
}

fn filter(dimension: &str, column: &str) -> QueryRequest {
    QueryRequest {
        filter: on(dimension),
        ..select(&[column])
    }
}

fn from(source: Source, request: QueryRequest) -> QueryRequest {
    QueryRequest {
        source: Some(source.name().to_owned()),
        ..request
    }
}

/// Whether nothing is wrong but that no agent is involved in a flow's figures, which is about the pair of dimension and
/// metric.
fn fits_dimension(request: &QueryRequest) -> bool {
    match Query::parse(request, now(), &Limits::default()) {
        Ok(_) => true,
        Err(complaints) => complaints
            .iter()
            .all(|complaint| complaint.detail.contains("no agent is involved")),
    }
}

fn now() -> Timestamp {
    "2023-12-01T12:00:00Z".parse().unwrap()
}

fn is_accepted(request: &QueryRequest) -> bool {
    Query::parse(request, now(), &Limits::default()).is_ok()
}

#[track_caller]
fn assert_accepted(request: &QueryRequest) {
    let parsed = Query::parse(request, now(), &Limits::default());
    assert!(parsed.is_ok(), "{request:?}: {parsed:?}");
}

fn details_accept(dimension: &str) -> bool {
    let request = ConversationRequest {
        date_from: "yesterday".to_owned(),
        filter: on(dimension),
        ..ConversationRequest::default()
    };
    ConversationQuery::parse(&request, now(), &Limits::default()).is_ok()
}

/// The friendly name, the upstream's, and that of what the ids stand for.
fn names(dimension: &Value) -> Vec<&str> {
    let names = [&dimension["name"], &dimension["upstream"], &dimension["named"]["name"]];
    names.into_iter().filter_map(Value::as_str).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

fn texts_of<'v>(list: &'v Value, field: &str) -> Vec<&'v str> {
    let fields = list.as_array().unwrap().iter().map(|each| &each[field]);
    fields.filter_map(Value::as_str).collect()
}
