//! `/v1/conversations`: single conversations. Pages for people, from one consistent snapshot; the whole range
//! as a stream of lines for machines.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    auth::Caller,
    conditional::{self, CACHE_STATUS, Representation},
    format::Format,
    limits::Deadline,
    lookups,
    page::{self, Meta, PageHead},
    params::{Delivery, JsonBody, QueryString, beside_body},
    problem::Problem,
};
use crate::{
    clock::Clock,
    config::Scope,
    query::{Complaint, ConversationQuery, ConversationRequest, Limits, Listing, Named},
    report::{Conversations, ReportError, Reports},
};

/// What the routes need.
#[derive(Clone)]
pub struct ConversationsApi {
    /// Answers queries.
    pub reports: Reports,
    /// Tells what "today" is.
    pub clock: Clock,
    /// What may be asked.
    pub limits: Limits,
    /// How long a stream may take, from its head to its last byte.
    pub stream_timeout: Duration,
}

/// List conversations by query-string parameters
///
/// Exactly the conversations that *started* in the range, by start. JSON gives a page; NDJSON streams all of
/// them as they come in, and ends visibly broken when it cannot be finished.
#[utoipa::path(
    get,
    path = "/v1/conversations",
    operation_id = "getConversations",
    tag = "Conversations",
    responses((status = 200, description = "The conversations", content(
        (ConversationsAnswer = "application/json"),
        (String = "application/x-ndjson"),
    ))),
)]
pub async fn get(
    State(api): State<ConversationsApi>,
    caller: Caller,
    deadline: Deadline,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    let parse =
        |pairs: &[(String, String)]| ConversationRequest::from_pairs(pairs).meaning(|request| api.parse(request));
    let (delivery, question) = Delivery::take(&query_string, &headers, Format::OF_DOCUMENTS)
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    caller.require(scope_of(delivery.format))?;
    let (_, question) = parse(&question).map_err(Problem::invalid)?;
    let asked = Asked {
        question,
        get_form: Some(query_string.pairs),
    };
    api.answer(asked, delivery, deadline, &method, &headers).await
}

/// List conversations by a JSON body
///
/// Exactly the conversations that *started* in the range, by start. JSON gives a page; NDJSON streams all of
/// them as they come in, and ends visibly broken when it cannot be finished.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    operation_id = "postConversations",
    tag = "Conversations",
    request_body(content = ConversationRequest, content_type = "application/json"),
    responses((status = 200, description = "The conversations", content(
        (ConversationsAnswer = "application/json"),
        (String = "application/x-ndjson"),
    ))),
)]
pub async fn post(
    State(api): State<ConversationsApi>,
    caller: Caller,
    deadline: Deadline,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let parsed = ConversationRequest::from_json(&body).meaning(|request| api.parse(request));
    let (delivery, (request, question)) = beside_body(&query_string, &headers, Format::OF_DOCUMENTS, parsed)?;
    caller.require(scope_of(delivery.format))?;
    let get_form = page::get_form(&request).map(|question| [question, query_string.pairs].concat());
    let asked = Asked { question, get_form };
    api.answer(asked, delivery, deadline, &method, &headers).await
}

/// Whole ranges are for those who may take data away.
fn scope_of(format: Format) -> Scope {
    if format.is_paged() { Scope::Read } else { Scope::Export }
}

/// Which conversations, and which of them to show.
type Question = Named<(ConversationQuery, Listing)>;

/// A question, whichever way it came.
struct Asked {
    question: Question,
    /// The question as parameters, where that can be written.
    get_form: Option<Vec<(String, String)>>,
}

impl ConversationsApi {
    fn parse(&self, request: ConversationRequest) -> Result<(ConversationRequest, Question), Vec<Complaint>> {
        let question = ConversationQuery::parse(&request, self.clock.now(), &self.limits)?;
        Ok((request, question))
    }

    async fn answer(
        &self,
        asked: Asked,
        delivery: Delivery,
        Deadline(deadline): Deadline,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let ((query, listing), calls) =
            lookups::resolve(&self.reports, asked.question, delivery.freshness, deadline).await?;
        if !delivery.format.is_paged() {
            let whole_by = Instant::now() + self.stream_timeout;
            let documents = self
                .reports
                .conversation_stream(&query, delivery.freshness, deadline, whole_by);
            return stream(documents).await;
        }
        let mut found = self.reports.conversations(&query, delivery.freshness, deadline).await?;
        found.provenance.upstream_calls += calls;
        let (body, answer_bytes) = json(listing, asked.get_form.as_deref(), &found);
        let representation = Representation {
            content_type: delivery.format.content_type(),
            body,
            answer_bytes,
            provenance: &found.provenance,
            fresh_for: found.fresh_for,
        };
        Ok(conditional::answer(method, headers, representation, self.clock.now()))
    }
}

fn json(listing: Listing, get_form: Option<&[(String, String)]>, found: &Conversations) -> (Bytes, usize) {
    let total = found.documents.len();
    let head = PageHead::new("/v1/conversations", get_form, listing.page, total as u64);
    page::document(&head, &found.provenance, |body| {
        body.push(b'[');
        for (index, document) in shown(&found.documents, listing).enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(document);
        }
        body.push(b']');
    })
}

/// The documents of the page, in its order; they are held by start, the earliest first.
fn shown(documents: &[Bytes], listing: Listing) -> impl Iterator<Item = &Bytes> {
    let size = listing.page.size as usize;
    let skipped = (listing.page.number as usize).saturating_sub(1).saturating_mul(size);
    let count = documents.len();
    let nth = move |index: usize| if listing.newest_first { count - 1 - index } else { index };
    (skipped.min(count)..skipped.saturating_add(size).min(count)).map(move |index| &documents[nth(index)])
}

/// Waits for the first document, so that a question that fails at once is answered with its failure; sends the
/// rest as it comes in. A later failure breaks the body off without the end its framing calls for.
async fn stream(
    documents: impl Stream<Item = Result<Bytes, ReportError>> + Send + 'static,
) -> Result<Response, Problem> {
    let mut documents = Box::pin(documents);
    let first = documents.next().await.transpose()?;
    let rest = documents.inspect(log_break(tracing::Span::current()));
    let lines = futures_util::stream::iter(first.map(Ok))
        .chain(rest)
        .map(|document| document.map(|bytes| line(&bytes)));
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, Format::Ndjson.media_type()),
        (header::CACHE_CONTROL, "no-store"),
        (CACHE_STATUS, "genesys-reports; fwd=bypass"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The body is sent after the request's span has closed, so the span comes along for the one line that matters.
fn log_break(span: tracing::Span) -> impl FnMut(&Result<Bytes, ReportError>) {
    move |document| {
        if let Err(error) = document {
            span.in_scope(|| tracing::warn!(%error, "a stream broke off"));
        }
    }
}

/// The document, which is on one line already, and the line's end.
fn line(document: &[u8]) -> Bytes {
    [document, b"\n"].concat().into()
}

/// A page of conversations.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
pub(super) struct ConversationsAnswer {
    #[serde(flatten)]
    head: PageHead,
    /// The conversations as Genesys Cloud writes them (`AnalyticsConversation`).
    #[schema(value_type = Vec<Object>)]
    entities: (),
    meta: Meta,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Page;
    use http_body_util::BodyExt as _;

    #[test]
    fn a_page_is_cut_from_the_snapshot() {
        let documents: Vec<Bytes> = (0..5).map(|index| Bytes::from(index.to_string())).collect();
        for (newest_first, number, size, expected) in [
            (false, 1, 2, "01"),
            (false, 2, 2, "23"),
            (false, 3, 2, "4"),
            (false, 4, 2, ""),
            (false, 1, 100, "01234"),
            (false, u32::MAX, u32::MAX, ""),
            (true, 1, 2, "43"),
            (true, 3, 2, "0"),
            (true, 4, 2, ""),
            (true, 1, 100, "43210"),
        ] {
            let listing = Listing {
                newest_first,
                page: Page { number, size },
            };
            let found: Vec<u8> = shown(&documents, listing).flatten().copied().collect();
            assert_eq!(found, expected.as_bytes(), "{listing:?}");
        }
    }

    #[tokio::test]
    async fn a_failure_before_the_first_document_is_the_answer() {
        let failing = futures_util::stream::iter([Err(ReportError::Internal)]);
        assert!(stream(failing).await.is_err());
    }

    #[tokio::test]
    async fn a_later_failure_breaks_the_body() {
        let broken = futures_util::stream::iter([Ok(Bytes::from("{}")), Err(ReportError::Internal)]);
        let body = stream(broken).await.unwrap().into_body();
        assert!(body.collect().await.is_err(), "never a shorter valid body");
    }

    #[tokio::test]
    async fn every_document_is_a_line() {
        let documents = futures_util::stream::iter([Ok(Bytes::from("{}")), Ok(Bytes::from("[1]"))]);
        let body = stream(documents).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{}\n[1]\n");
    }

    #[tokio::test]
    async fn an_empty_range_is_an_empty_body() {
        let body = stream(futures_util::stream::empty()).await.unwrap().into_body();
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}
