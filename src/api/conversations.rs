//! `/v1/conversations`: single conversations. Pages for people, from one consistent snapshot, and so are tables and
//! workbooks; the whole range as a stream for machines, of the documents as they are or of rows.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    auth::Caller,
    conditional::{self, CACHE_STATUS, Representation},
    format::Format,
    lookups,
    page::{self, Meta, PageHead},
    params::{Delivery, JsonBody, QueryString, beside_body},
    problem::Problem,
    rows::{self, EVERYTHING, Rows, TableAnswer},
};
use crate::{
    aside::aside,
    clock::Clock,
    config::Scope,
    definitions::{Places, bind::PAGING},
    encode::pieces::PieceWriter,
    query::{Complaint, ConversationQuery, ConversationRequest, Limits, Listing, Named, Zone},
    report::{Answer, Conversations, Reached, ReportError, Reports, conversation_columns, conversation_rows},
    upstream::Errand,
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
/// Exactly the conversations that *started* in the range, by start. JSON gives a page of them; NDJSON streams the
/// same documents, all of them; the other formats have a row for each, with columns that never change. CSV, Arrow and
/// Parquet are streams, too, unless a page or the latest first is asked for; tables and workbooks are made of as many
/// as can be held. A stream that cannot be finished ends visibly broken.
#[utoipa::path(
    get,
    path = "/v1/conversations",
    operation_id = "getConversations",
    tag = "Conversations",
    responses((status = 200, description = "The conversations", content(
        (ConversationsAnswer = "application/json"),
        (TableAnswer = "application/vnd.genesys-reports.table+json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))),
)]
pub async fn get(
    State(api): State<ConversationsApi>,
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    let parse =
        |pairs: &[(String, String)]| ConversationRequest::from_pairs(pairs).meaning(|request| api.parse(request));
    let (delivery, question) = Delivery::take(&query_string, &headers, Format::OF_ROWS)
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    let is_paged = question.iter().any(|(name, _)| PAGING.contains(&name.as_str()));
    caller.require(scope_of(delivery.format, is_paged))?;
    let (request, question) = parse(&question).map_err(Problem::invalid)?;
    let asked = Asked::new(&request, question, Some(query_string.pairs));
    api.answer(asked, delivery, &caller, &errand, &method, &headers).await
}

/// List conversations by a JSON body
///
/// Exactly the conversations that *started* in the range, by start. JSON gives a page of them; NDJSON streams the
/// same documents, all of them; the other formats have a row for each, with columns that never change. CSV, Arrow and
/// Parquet are streams, too, unless a page or the latest first is asked for; tables and workbooks are made of as many
/// as can be held. A stream that cannot be finished ends visibly broken.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    operation_id = "postConversations",
    tag = "Conversations",
    request_body(content = ConversationRequest, content_type = "application/json"),
    responses((status = 200, description = "The conversations", content(
        (ConversationsAnswer = "application/json"),
        (TableAnswer = "application/vnd.genesys-reports.table+json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))),
)]
pub async fn post(
    State(api): State<ConversationsApi>,
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let parsed = ConversationRequest::from_json(&body).meaning(|request| api.parse(request));
    let (delivery, (request, question)) = beside_body(&query_string, &headers, Format::OF_ROWS, parsed)?;
    let get_form = page::get_form(&request).map(|question| [question, query_string.pairs].concat());
    let asked = Asked::new(&request, question, get_form);
    caller.require(scope_of(delivery.format, asked.is_paged))?;
    api.answer(asked, delivery, &caller, &errand, &method, &headers).await
}

/// Whole ranges are for those who may take data away.
pub(super) fn scope_of(format: Format, is_paged: bool) -> Scope {
    if format.is_paged() || is_paged {
        Scope::Read
    } else {
        Scope::Export
    }
}

/// Which conversations, and which of them to show.
type Question = Named<(ConversationQuery, Listing)>;

/// A question, whichever way it came.
pub(super) struct Asked<'a> {
    /// The route, to be asked for other pages.
    pub(super) path: &'a str,
    /// What files of it are called by, before its days.
    pub(super) name: &'a str,
    /// Which parameter of a report stands where.
    pub(super) places: Places,
    pub(super) question: Question,
    /// Whether the caller named a page.
    pub(super) is_paged: bool,
    /// Where rows show their instants.
    pub(super) time_zone: Zone,
    /// The question as parameters, where that can be written.
    pub(super) get_form: Option<Vec<(String, String)>>,
}

impl Asked<'_> {
    fn new(request: &ConversationRequest, question: Question, get_form: Option<Vec<(String, String)>>) -> Self {
        Self {
            path: "/v1/conversations",
            name: "conversations",
            places: Places::default(),
            question,
            is_paged: request.page.is_some() || request.page_size.is_some(),
            time_zone: request.zone(),
            get_form,
        }
    }
}

impl ConversationsApi {
    fn parse(&self, request: ConversationRequest) -> Result<(ConversationRequest, Question), Vec<Complaint>> {
        let question = ConversationQuery::parse(&request, self.clock.now(), &self.limits)?;
        Ok((request, question))
    }

    /// Answers a question, that of a report as any other.
    pub(super) async fn answer(
        &self,
        asked: Asked<'_>,
        delivery: Delivery,
        caller: &Caller,
        errand: &Errand,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let (format, freshness) = (delivery.format, delivery.freshness);
        let mut question = asked.question;
        if !format.is_paged() && !asked.is_paged {
            question = question.with(|(_, listing)| listing.page = EVERYTHING);
        }
        let (question, calls) =
            lookups::resolve(&self.reports, question, &asked.places, caller, freshness, errand).await?;
        let (query, listing) = &*question;
        let listing = *listing;
        let [first, last] = query.range.days(&asked.time_zone);
        let filename = format!("{}-{first}-{last}", asked.name);
        let is_stream = matches!(format, Format::Ndjson | Format::Csv | Format::Arrow | Format::Parquet);
        if is_stream && listing.page == EVERYTHING && !listing.newest_first {
            let whole_by = Instant::now() + self.stream_timeout;
            let reached = Reached::default();
            let documents = self
                .reports
                .conversation_stream(&question, freshness, errand, whole_by, &reached);
            let mut response = streamed(documents, format, asked.time_zone, &filename).await?;
            // For who is in the same process.
            response.extensions_mut().insert(reached);
            return Ok(response);
        }
        let mut found = self.reports.conversations(&question, freshness, errand).await?;
        found.provenance.upstream_calls += calls;
        let now = self.clock.now();
        match format {
            Format::Json => {
                let (body, answer_bytes) = json(asked.path, listing, asked.get_form.as_deref(), &found);
                let representation = Representation {
                    content_type: format.content_type(),
                    tag: &conditional::entity_tag(&body[..answer_bytes], &found.provenance),
                    answer: body,
                    compressed: false,
                    rest: Bytes::new(),
                    provenance: &found.provenance,
                    fresh_for: found.fresh_for,
                };
                Ok(conditional::answer(method, headers, representation, now))
            }
            Format::Ndjson => {
                let documents: Vec<_> = found.documents.iter().cloned().map(Ok).collect();
                streamed(stream::iter(documents), format, asked.time_zone, &filename).await
            }
            Format::Table | Format::Csv | Format::Xlsx | Format::Arrow | Format::Parquet => {
                let (documents, zone) = (found.documents, asked.time_zone.clone());
                let table = written_aside(move || conversation_rows(&documents, &zone)).await?;
                let rows = Rows {
                    answer: Answer {
                        content: move || table,
                        turn: None,
                        total: found.total,
                        provenance: found.provenance,
                        fresh_for: found.fresh_for,
                    },
                    kept: None,
                    page: listing.page,
                    path: asked.path,
                    question: asked.get_form.as_deref(),
                    time_zone: asked.time_zone,
                    formulas: None,
                    plan: None,
                    filename,
                };
                rows.respond(format, now, method, headers).await
            }
        }
    }
}

/// A page of conversations, and how many of its bytes come before what says how it came about.
pub fn json(
    path: &str,
    listing: Listing,
    get_form: Option<&[(String, String)]>,
    found: &Conversations,
) -> (Bytes, usize) {
    let head = PageHead::new(path, get_form, listing.page, found.total);
    page::document(&head, &found.provenance, |body| {
        body.push(b'[');
        for (index, document) in found.documents.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(document);
        }
        body.push(b']');
    })
}

/// How many conversations are written at a time: they take a thread aside for a few milliseconds.
const AT_A_TIME: usize = 500;

/// Waits for the first conversations, so that a question that fails at once is answered with its failure; sends the
/// rest as it comes in. A later failure breaks the body off without the end its framing calls for.
async fn streamed(
    documents: impl Stream<Item = Result<Bytes, ReportError>> + Send + 'static,
    format: Format,
    zone: Zone,
    filename: &str,
) -> Result<Response, Problem> {
    let writer = Writer::new(format, zone)?;
    let mut pieces = Box::pin(pieces(documents, writer));
    let first = pieces.next().await.transpose()?;
    let rest = pieces.inspect(log_break(tracing::Span::current()));
    let body = stream::iter(first.map(Ok)).chain(rest);
    // A piece without bytes would say nothing.
    let body = body.try_filter(|piece| std::future::ready(!piece.is_empty()));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        (CACHE_STATUS, "genesys-reports; fwd=bypass"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let disposition = rows::disposition(filename, format);
    headers.extend(disposition.map(|value| (header::CONTENT_DISPOSITION, value)));
    Ok(response)
}

/// What there is to send, as it comes in: with the first conversations what stands before them, after the last what
/// ends them.
fn pieces(
    documents: impl Stream<Item = Result<Bytes, ReportError>> + Send + 'static,
    writer: Writer,
) -> impl Stream<Item = Result<Bytes, ReportError>> + Send + 'static {
    // Whatever is there already, and never waiting for more.
    let documents = documents.ready_chunks(AT_A_TIME).boxed();
    stream::try_unfold(Some((documents, writer)), async |state| {
        let Some((mut documents, writer)) = state else {
            return Ok(None);
        };
        let Some(came) = documents.next().await else {
            return Ok(Some((writer.finish().await?, None)));
        };
        let came = came.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (piece, writer) = writer.write(came).await?;
        Ok(Some((piece, Some((documents, writer)))))
    })
}

/// Writes conversations in a format, some at a time.
enum Writer {
    /// The documents, a line each.
    Lines,
    /// A row each.
    Rows(Box<PieceWriter>, Zone),
}

impl Writer {
    fn new(format: Format, zone: Zone) -> Result<Self, Problem> {
        let columns = conversation_columns();
        let pieces = match format {
            Format::Csv => Ok(PieceWriter::csv(columns)),
            Format::Arrow => PieceWriter::arrow(&columns, zone.name()),
            Format::Parquet => PieceWriter::parquet(&columns, zone.name()),
            // Workbooks, tables and pages are made whole and are no stream.
            Format::Json | Format::Table | Format::Ndjson | Format::Xlsx => return Ok(Self::Lines),
        };
        let pieces = pieces.map_err(|error| defect(&error))?;
        Ok(Self::Rows(Box::new(pieces), zone))
    }

    async fn write(self, documents: Vec<Bytes>) -> Result<(Bytes, Self), ReportError> {
        match self {
            Self::Lines => Ok((lines(&documents), self)),
            Self::Rows(mut pieces, zone) => {
                written_aside(move || {
                    let rows = conversation_rows(&documents, &zone)?;
                    let piece = pieces.write(rows).map_err(|error| defect(&error))?;
                    Ok((piece.into(), Self::Rows(pieces, zone)))
                })
                .await
            }
        }
    }

    async fn finish(self) -> Result<Bytes, ReportError> {
        match self {
            Self::Lines => Ok(Bytes::new()),
            Self::Rows(pieces, _) => {
                written_aside(move || pieces.finish().map(Bytes::from).map_err(|error| defect(&error))).await
            }
        }
    }
}

/// Where nobody else has to wait for it.
async fn written_aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReportError> + Send + 'static,
) -> Result<T, ReportError> {
    aside(work).await.unwrap_or_else(|error| Err(defect(&error)))
}

fn defect(error: &impl std::error::Error) -> ReportError {
    tracing::error!(%error, "conversations cannot be encoded");
    ReportError::Internal
}

/// The body is sent after the request's span has closed, so the span comes along for the one line that matters.
fn log_break(span: tracing::Span) -> impl FnMut(&Result<Bytes, ReportError>) {
    move |piece| {
        if let Err(error) = piece {
            span.in_scope(|| tracing::warn!(%error, "a stream broke off"));
        }
    }
}

/// The documents, which are on one line each already, and the lines' ends.
fn lines(documents: &[Bytes]) -> Bytes {
    let mut lines = Vec::with_capacity(documents.iter().map(|document| document.len() + 1).sum());
    for document in documents {
        lines.extend_from_slice(document);
        lines.push(b'\n');
    }
    lines.into()
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
    use http_body_util::BodyExt as _;

    const STREAMED: [Format; 4] = [Format::Ndjson, Format::Csv, Format::Arrow, Format::Parquet];

    async fn answer(format: Format, documents: Vec<Result<Bytes, ReportError>>) -> Result<Response, Problem> {
        streamed(stream::iter(documents), format, Zone::utc(), "conversations").await
    }

    fn document(id: &str) -> Bytes {
        format!("{{\"conversationId\":\"{id}\",\"conversationStart\":\"2026-03-01T10:00:00Z\"}}").into()
    }

    async fn whole(response: Response) -> Result<Vec<u8>, axum::Error> {
        Ok(response.into_body().collect().await?.to_bytes().into())
    }

    #[tokio::test]
    async fn a_failure_before_the_first_document_is_the_answer() {
        for format in STREAMED {
            assert!(
                answer(format, vec![Err(ReportError::Internal)]).await.is_err(),
                "{format:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_later_failure_breaks_the_body() {
        for format in STREAMED {
            let mut documents: Vec<_> = (0..AT_A_TIME).map(|id| Ok(document(&id.to_string()))).collect();
            documents.push(Err(ReportError::Internal));
            let response = answer(format, documents).await.unwrap();
            assert!(whole(response).await.is_err(), "{format:?}: never a shorter valid body");
        }
    }

    #[tokio::test]
    async fn a_document_that_cannot_be_read_breaks_rows_and_not_lines() {
        for format in STREAMED {
            let documents = (0..AT_A_TIME).map(|id| Ok(document(&id.to_string())));
            let documents = documents.chain([Ok(Bytes::from("{}"))]).collect();
            let response = answer(format, documents).await.unwrap();
            assert_eq!(whole(response).await.is_ok(), format == Format::Ndjson, "{format:?}");
        }
    }

    #[tokio::test]
    async fn every_document_is_a_line() {
        let documents = vec![Ok(Bytes::from("{}")), Ok(Bytes::from("[1]"))];
        let response = answer(Format::Ndjson, documents).await.unwrap();
        assert_eq!(whole(response).await.unwrap(), b"{}\n[1]\n");
    }

    #[tokio::test]
    async fn an_empty_range_is_an_empty_body_or_the_columns_alone() {
        for format in STREAMED {
            let body = whole(answer(format, Vec::new()).await.unwrap()).await.unwrap();
            assert_eq!(body.is_empty(), format == Format::Ndjson, "{format:?}");
        }
    }
}
