//! Rows and columns on their way out, in whichever format the caller wants.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use jiff::Timestamp;
use utoipa::ToSchema;

use super::{
    conditional::{self, Representation},
    format::Format,
    page::{self, ColumnFormula, Meta, PageHead, Plan},
    problem::{Problem, ProblemKind},
};
use crate::{
    aside::aside,
    encode,
    query::{Page, Zone},
    report::Answer,
    table::{Provenance, Table},
};

/// All rows, on one page.
pub const EVERYTHING: Page = Page {
    number: 1,
    size: u32::MAX,
};

/// An answer of rows and columns, and what its formats say of the question.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The rows.
    pub answer: Answer,
    /// The page they are.
    pub page: Page,
    /// The route, to be asked for other pages …
    pub path: &'a str,
    /// … by these parameters, if it can be asked by parameters.
    pub question: Option<&'a [(String, String)]>,
    /// The zone that instants are shown in.
    pub time_zone: Zone,
    /// How its columns come about, if that was asked.
    pub formulas: Option<Vec<ColumnFormula>>,
    /// How it came about itself, if that was asked.
    pub plan: Option<Plan>,
    /// What a file of them is called, without its ending: letters, digits, dots and dashes.
    pub filename: String,
}

impl Rows<'_> {
    /// The whole response: 304 when the caller holds these bytes already.
    pub async fn respond(
        self,
        format: Format,
        now: Timestamp,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let disposition = disposition(&self.filename, format);
        let (provenance, fresh_for) = (self.answer.provenance.clone(), self.answer.fresh_for);
        let (body, answer_bytes) = self.encode(format).await?;
        let representation = Representation {
            content_type: format.content_type(),
            body,
            answer_bytes,
            provenance: &provenance,
            fresh_for,
        };
        let mut response = conditional::answer(method, headers, representation, now);
        let disposition = disposition.map(|value| (header::CONTENT_DISPOSITION, value));
        response.headers_mut().extend(disposition);
        Ok(response)
    }

    /// The body, and how many of its bytes come before what says how it came about.
    async fn encode(mut self, format: Format) -> Result<(Bytes, usize), Problem> {
        let (formulas, plan) = (self.formulas.take(), self.plan.take());
        let (head, provenance) = (self.head(), &self.answer.provenance);
        let meta = Meta {
            formulas,
            plan,
            ..provenance.into()
        };
        let table = self.answer.table;
        match format {
            Format::Json => {
                written(table, move |table| {
                    page::document(&head, meta, Some(&table.columns), |body| {
                        encode::json::write_entities(table, body);
                    })
                })
                .await
            }
            Format::Table => written(table, move |table| page::table_document(&head, meta, table)).await,
            Format::Ndjson => written(table, |table| all_of(|body| encode::ndjson::write_lines(table, body))).await,
            Format::Csv => written(table, |table| all_of(|body| encode::csv::write_records(table, body))).await,
            Format::Xlsx => workbook(table, provenance).await,
            Format::Arrow => {
                let about = about(provenance);
                made_aside(move || {
                    let mut body = Vec::new();
                    encode::arrow::write_stream(&table, self.time_zone.name(), about, &mut body).map(|()| body)
                })
                .await
            }
            Format::Parquet => {
                let about = about(provenance);
                made_aside(move || encode::parquet::file(&table, self.time_zone.name(), about)).await
            }
        }
    }

    fn head(&self) -> PageHead {
        let mut page = self.page;
        if page == EVERYTHING {
            page.size = u32::try_from(self.answer.total.max(1)).unwrap_or(u32::MAX);
        }
        PageHead::new(self.path, self.question, page, self.answer.total)
    }
}

/// So many rows are written while others wait; with more, a thread aside has them.
const A_FEW_ROWS: usize = 500;

async fn written(
    table: Table,
    write: impl FnOnce(&Table) -> (Bytes, usize) + Send + 'static,
) -> Result<(Bytes, usize), Problem> {
    if table.rows.len() <= A_FEW_ROWS {
        return Ok(write(&table));
    }
    aside(move || write(&table)).await.map_err(|error| defect(&error))
}

fn all_of(write: impl FnOnce(&mut Vec<u8>)) -> (Bytes, usize) {
    let mut body = Vec::new();
    write(&mut body);
    let answer_bytes = body.len();
    (body.into(), answer_bytes)
}

async fn workbook(table: Table, provenance: &Provenance) -> Result<(Bytes, usize), Problem> {
    let rows = table.rows.len() as u64;
    if rows > encode::xlsx::MAX_ROWS {
        let limit = encode::xlsx::MAX_ROWS;
        return Err(Problem::new(ProblemKind::AnswerTooLarge).detail(format!(
            "a workbook takes {limit} rows and there are {rows}: ask for format=csv, for a page, or for less"
        )));
    }
    let created = provenance.as_of;
    made_aside(move || encode::xlsx::workbook(&table, created)).await
}

/// Compressing takes long enough that others should not have to wait for it.
async fn made_aside<E: std::error::Error + Send + 'static>(
    make: impl FnOnce() -> Result<Vec<u8>, E> + Send + 'static,
) -> Result<(Bytes, usize), Problem> {
    match aside(make).await {
        Ok(Ok(bytes)) => {
            let answer_bytes = bytes.len();
            Ok((bytes.into(), answer_bytes))
        }
        Ok(Err(error)) => Err(defect(&error)),
        Err(error) => Err(defect(&error)),
    }
}

fn defect(error: &impl std::error::Error) -> Problem {
    tracing::error!(%error, "an answer cannot be encoded");
    Problem::new(ProblemKind::Internal)
}

/// Where the figures came from, for files that are read far from the response's header fields. Only what stays
/// the same for as long as the figures do: the entity tag is made from the file.
fn about(provenance: &Provenance) -> BTreeMap<String, String> {
    [
        ("asOf", format!("{:.3}", provenance.as_of)),
        ("complete", provenance.complete.to_string()),
        ("settledThrough", format!("{:.3}", provenance.settled_through)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// What to call the file, of formats that are files. `filename` is letters, digits, dots and dashes.
pub(super) fn disposition(filename: &str, format: Format) -> Option<HeaderValue> {
    let extension = format.file_extension()?;
    let text = format!("attachment; filename=\"{filename}.{extension}\"");
    Some(HeaderValue::try_from(text).expect("letters, digits, dots and dashes"))
}

/// A table.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
pub(super) struct TableAnswer {
    #[serde(flatten)]
    head: PageHead,
    /// The columns, in the order of every row's cells.
    columns: Vec<TableAnswerColumn>,
    /// One array a row; a cell is text, a number or null.
    #[schema(example = json!([["2026-03-01T00:00:00.000Z/2026-03-02T00:00:00.000Z", "Support", 145]]))]
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    rows: (),
    meta: Meta,
}

/// A column of a table.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
pub(super) struct TableAnswerColumn {
    /// The name as asked for.
    #[schema(example = "conversation.count")]
    name: String,
    /// What people call it.
    #[schema(example = "Conversation count")]
    title: String,
    /// What its cells are: `interval` is `start/end`, `instant` is RFC 3339.
    #[schema(rename = "type")]
    kind: TableAnswerKind,
    /// What a number is a number of.
    unit: Option<TableAnswerUnit>,
}

/// What the cells of a column are.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
enum TableAnswerKind {
    Interval,
    Instant,
    Text,
    Number,
}

/// What a number is a number of. A ratio is a share: 0.25 is a quarter.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
enum TableAnswerUnit {
    Count,
    Milliseconds,
    Ratio,
}
