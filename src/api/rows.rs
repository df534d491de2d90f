//! Rows and columns on their way out, in whichever format the caller wants.

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
    page::{self, ColumnFormula, Meta, PageHead},
    problem::{Problem, ProblemKind},
};
use crate::{
    encode,
    query::Page,
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
    /// How its columns come about, if that was asked.
    pub formulas: Option<Vec<ColumnFormula>>,
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
        let disposition = format.is_file().then(|| disposition(&self.filename, format));
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
        let formulas = self.formulas.take();
        let (table, provenance) = (&self.answer.table, &self.answer.provenance);
        let meta = || Meta {
            formulas,
            ..provenance.into()
        };
        match format {
            Format::Json => Ok(page::document(&self.head(), meta(), |body| {
                encode::json::write_entities(table, body);
            })),
            Format::Table => Ok(page::table_document(&self.head(), meta(), table)),
            Format::Ndjson => Ok(written(|body| encode::ndjson::write_lines(table, body))),
            Format::Csv => Ok(written(|body| encode::csv::write_records(table, body))),
            Format::Xlsx => workbook(self.answer.table, &self.answer.provenance).await,
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

fn written(write: impl FnOnce(&mut Vec<u8>)) -> (Bytes, usize) {
    let mut body = Vec::new();
    write(&mut body);
    let answer_bytes = body.len();
    (body.into(), answer_bytes)
}

/// Compressing takes long enough that others should not have to wait for it.
async fn workbook(table: Table, provenance: &Provenance) -> Result<(Bytes, usize), Problem> {
    let rows = table.rows.len() as u64;
    if rows > encode::xlsx::MAX_ROWS {
        let limit = encode::xlsx::MAX_ROWS;
        return Err(Problem::new(ProblemKind::AnswerTooLarge).detail(format!(
            "a workbook takes {limit} rows and there are {rows}: ask for format=csv, for a page, or for less"
        )));
    }
    let created = provenance.as_of;
    let made = tokio::task::spawn_blocking(move || encode::xlsx::workbook(&table, created)).await;
    match made {
        Ok(Ok(bytes)) => {
            let answer_bytes = bytes.len();
            Ok((bytes.into(), answer_bytes))
        }
        Ok(Err(error)) => Err(defect(&error)),
        Err(error) => Err(defect(&error)),
    }
}

fn defect(error: &impl std::error::Error) -> Problem {
    tracing::error!(%error, "a workbook cannot be written");
    Problem::new(ProblemKind::Internal)
}

fn disposition(filename: &str, format: Format) -> HeaderValue {
    let text = format!("attachment; filename=\"{filename}.{}\"", format.name());
    HeaderValue::try_from(text).expect("letters, digits, dots and dashes")
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
struct TableAnswerColumn {
    /// The name as asked for.
    #[schema(example = "conversation.count")]
    name: String,
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
