//! `/v1/live`: queues as they are, again and again, as server-sent events.

mod feed;
mod ring;

use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use futures_util::stream;

pub use feed::Feed;

use super::{auth::Caller, lookups, now::NowApi, params::QueryString, problem::Problem, rows::EVERYTHING, sse};
use crate::{config::Scope, definitions::Places, query::NowRequest, report::Freshness, upstream::Errand};

/// What the routes need.
#[derive(Clone)]
pub struct LiveApi {
    /// Understands the question.
    pub now: NowApi,
    /// Answers it again and again.
    pub feed: Feed,
}

/// Watch queues
///
/// The rows of `/v1/now/queues` as server-sent events, every few seconds. However many watch whichever queues, Genesys
/// Cloud is asked once each time.
///
/// - `queues`: `total`, `entities` and `meta` as `/v1/now/queues` gives them.
/// - `stale`: there are no newer figures, and why (`type`, `title`, `detail`, `upstream` as in a problem document);
///   `asOf` is when the last ones were fetched.
/// - `end`: the last one. `reason` is `stopping` (come back: the service stops), `too-slow` (what was not read in time is
///   not kept) or `renew` (come back: a stream lasts an hour).
///
/// A comment comes when there is nothing else for ten seconds. `Last-Event-ID` continues after that event, if what was
/// missed is still kept; else the stream begins with the figures of the moment.
#[utoipa::path(
    get,
    path = "/v1/live/queues",
    operation_id = "watchQueues",
    tag = "Now",
    responses((status = 200, description = "Events, until the caller leaves", body = String, content_type = "text/event-stream")),
)]
pub async fn queues(
    State(api): State<LiveApi>,
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    caller.require(Scope::Live)?;
    sse::require(&headers)?;
    let question = NowRequest::from_pairs(&query_string.pairs).meaning(|request| api.now.parse(&request));
    let (is_paged, question) = question.map_err(Problem::invalid)?;
    let places = Places::default();
    let question = if is_paged {
        question
    } else {
        question.with(|query| query.page = EVERYTHING)
    };
    let freshness = Freshness::default();
    let (query, _calls) = lookups::resolve(&api.now.reports, question, &places, &caller, freshness, &errand).await?;
    if method == Method::HEAD {
        return Ok(sse::response(stream::empty()));
    }
    let last_seen = headers.get(sse::LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let listener = api.feed.join(query, last_seen, &caller)?;
    Ok(sse::response(listener.events()))
}
