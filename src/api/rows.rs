//! Rows and columns on their way out, in whichever format the caller wants.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use jiff::Timestamp;
use utoipa::ToSchema;

use super::{
    conditional::{self, Representation},
    format::{Format, accepts_gzip},
    page::{self, ColumnFormula, Meta, PageHead, Plan},
    problem::{Problem, ProblemKind},
};
use crate::{
    aside::{Turn, aside},
    definitions::{Definition, Places},
    encode,
    query::{Page, Zone},
    report::{Answer, Written, WrittenAnswers, WrittenKey},
    table::{Provenance, Table},
};

/// All rows, on one page.
pub const EVERYTHING: Page = Page {
    number: 1,
    size: u32::MAX,
};

/// A question whose answer is rows that are always the same columns, whichever way it came.
pub(super) struct Asked<'a, Q> {
    /// The route, to be asked for other pages.
    pub(super) path: &'a str,
    /// The report asked for, where it has a name.
    pub(super) definition: Option<&'a Definition>,
    /// Which of its parameters stands where.
    pub(super) places: Places,
    pub(super) query: Q,
    /// Whether the caller named a page.
    pub(super) is_paged: bool,
    /// The question as parameters.
    pub(super) get_form: Vec<(String, String)>,
}

impl<'a, Q> Asked<'a, Q> {
    /// The same about something else.
    pub(super) fn about<P>(self, query: P) -> Asked<'a, P> {
        self.exchange(query).1
    }

    /// What is asked, and the rest.
    pub(super) fn parted(self) -> (Q, Asked<'a, ()>) {
        self.exchange(())
    }

    fn exchange<P>(self, query: P) -> (Q, Asked<'a, P>) {
        let asked = Asked {
            path: self.path,
            definition: self.definition,
            places: self.places,
            query,
            is_paged: self.is_paged,
            get_form: self.get_form,
        };
        (self.query, asked)
    }

    /// What was found, on its way out, with what a report derives from it.
    pub(super) fn rows(
        &self,
        mut answer: Answer,
        page: Page,
        filename: String,
        time_zone: Zone,
    ) -> Rows<'_, impl FnOnce() -> Table + Send + 'static> {
        if let Some(definition) = self.definition {
            definition.finish(&mut answer.content);
        }
        Rows {
            answer: answer.map(|table| move || table),
            kept: None,
            page,
            path: self.path,
            question: Some(&self.get_form),
            formulas: None,
            plan: None,
            filename,
            time_zone,
        }
    }

    /// What a file of it is called: by the report's name, where it has one.
    pub(super) fn name(&self, otherwise: &str) -> String {
        self.definition
            .map_or(otherwise, |definition| &definition.name)
            .to_owned()
    }

    /// Whether all rows are meant: where a format has no pages and none was named.
    pub(super) fn is_of_everything(&self, format: Format) -> bool {
        !format.is_paged() && !self.is_paged
    }
}

/// An answer of rows and columns, and what its formats say of the question.
pub struct Rows<'a, T> {
    /// What lays out the rows of the page, when they are needed.
    pub answer: Answer<T>,
    /// Where what is written is held for the next who asks.
    pub kept: Option<Kept<'a>>,
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

/// What is written of rows, besides what [`Rows`] knows.
pub struct Kept<'a> {
    /// Where it is held.
    pub answers: &'a WrittenAnswers,
    /// Which [ordered rows](crate::report::OrderedRows::id) they are.
    pub rows: u64,
    /// Whatever else the table depends on.
    pub further: String,
}

impl<T: FnOnce() -> Table + Send + 'static> Rows<'_, T> {
    /// The whole response: 304 when the caller holds these bytes already.
    pub async fn respond(
        self,
        format: Format,
        now: Timestamp,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let (response, _) = self.respond_with_written(format, now, method, headers).await?;
        Ok(response)
    }

    /// The same, and what it was written in.
    pub(super) async fn respond_with_written(
        mut self,
        format: Format,
        now: Timestamp,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(Response, Sent), Problem> {
        let (provenance, fresh_for) = (self.answer.provenance.clone(), self.answer.fresh_for);
        let (formulas, plan) = (self.formulas.take(), self.plan.take());
        let filename = std::mem::take(&mut self.filename);
        let gzip = format.compresses() && accepts_gzip(headers);
        let Sent { written, plain } = self.written(format, gzip).await?;
        let given = Given {
            written: &written,
            format,
            filename: &filename,
            rest: rest(&written, format, formulas, plan, &provenance),
            provenance: &provenance,
            fresh_for,
        };
        let fields = given.fields(now);
        let response = given.respond(method, headers, fields);
        Ok((response, Sent { written, plain }))
    }

    /// What was written before, or is written now; compressed by gzip, if that is wanted and worth it.
    async fn written(mut self, format: Format, gzip: bool) -> Result<Sent, Problem> {
        let Some(kept) = self.kept.take() else {
            self.wait_for_turn(format).await;
            return Ok(Sent::as_is(Arc::new(self.write(format).await?)));
        };
        let question = self.question.map(|question| {
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(question)
                .finish()
        });
        let key = WrittenKey {
            rows: kept.rows,
            form: format!("{format:?} {:?} {} {question:?} {}", self.page, self.path, kept.further).into(),
            compressed: false,
        };
        if !gzip {
            return self.plain(format, kept.answers, key).await.map(Sent::as_is);
        }
        let compressed = WrittenKey {
            compressed: true,
            ..key.clone()
        };
        if let Some(written) = kept.answers.get(&compressed) {
            let plain = kept.answers.get(&key);
            return Ok(Sent { written, plain });
        }
        let sent = Sent::compressed(self.plain(format, kept.answers, key).await?).await?;
        kept.answers.insert(compressed, Arc::clone(&sent.written));
        Ok(sent)
    }

    async fn plain(
        mut self,
        format: Format,
        answers: &WrittenAnswers,
        key: WrittenKey,
    ) -> Result<Arc<Written>, Problem> {
        if let Some(written) = answers.get(&key) {
            return Ok(written);
        }
        if self.wait_for_turn(format).await {
            // Somebody may have had the same written meanwhile.
            if let Some(written) = answers.get(&key) {
                return Ok(written);
            }
        }
        let written = Arc::new(self.write(format).await?);
        answers.insert(key, Arc::clone(&written));
        Ok(written)
    }

    /// Waits for a turn where writing takes long and none was waited for yet; whether it did.
    async fn wait_for_turn(&mut self, format: Format) -> bool {
        let waits = self.answer.turn.is_none() && self.takes_long(format);
        if waits {
            self.answer.turn = Some(Turn::wait().await);
        }
        waits
    }

    fn takes_long(&self, format: Format) -> bool {
        /// So many rows are written while others wait.
        const A_FEW_ROWS: u64 = 500;
        let compresses = matches!(format, Format::Xlsx | Format::Arrow | Format::Parquet);
        compresses || self.answer.total.min(self.page.size.into()) > A_FEW_ROWS
    }

    /// Aside, in the turn that was waited for, or at once.
    async fn write(self, format: Format) -> Result<Written, Problem> {
        let (head, zone, provenance) = (self.head(), self.time_zone, self.answer.provenance);
        let content = self.answer.content;
        let write = move || written(&content(), format, &head, &zone, &provenance);
        match self.answer.turn {
            Some(turn) => turn.aside(write).await.map_err(|error| defect(&error))?,
            None => write(),
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

/// What was written, as it is sent and as it was before it was compressed, if that is held.
pub(super) struct Sent {
    pub(super) written: Arc<Written>,
    pub(super) plain: Option<Arc<Written>>,
}

impl Sent {
    pub(super) fn as_is(plain: Arc<Written>) -> Self {
        Self {
            written: Arc::clone(&plain),
            plain: Some(plain),
        }
    }

    /// Compressed by gzip, if that is worth it.
    pub(super) async fn compressed(plain: Arc<Written>) -> Result<Self, Problem> {
        /// Less than this is sent in one packet either way.
        const WORTH_COMPRESSING: usize = 1 << 10;
        if plain.answer.len() < WORTH_COMPRESSING {
            return Ok(Self::as_is(plain));
        }
        Ok(Self {
            written: Arc::new(packed(&plain).await?),
            plain: Some(plain),
        })
    }
}

/// What was written, and what is told of it.
pub(super) struct Given<'a> {
    pub(super) written: &'a Written,
    pub(super) format: Format,
    /// What a file of it is called, without its ending.
    pub(super) filename: &'a str,
    /// Its [end](rest).
    pub(super) rest: Bytes,
    pub(super) provenance: &'a Provenance,
    pub(super) fresh_for: Duration,
}

impl<'a> Given<'a> {
    /// The header fields of the whole answer.
    pub(super) fn fields(&self, now: Timestamp) -> HeaderMap {
        let mut fields = self.representation().fields(now);
        let disposition = disposition(self.filename, self.format);
        fields.extend(disposition.map(|value| (header::CONTENT_DISPOSITION, value)));
        fields
    }

    /// The answer with these header fields: 304 when the caller holds these bytes already.
    pub(super) fn respond(&self, method: &Method, headers: &HeaderMap, fields: HeaderMap) -> Response {
        self.representation().respond(method, headers, fields)
    }

    fn representation(&self) -> Representation<'a> {
        Representation {
            content_type: self.format.content_type(),
            answer: self.written.answer.clone(),
            compressed: self.written.compressed.is_some(),
            tag: &self.written.tag,
            rest: self.rest.clone(),
            provenance: self.provenance,
            fresh_for: self.fresh_for,
        }
    }
}

/// The end of a body: how the answer came about, where the format says that, and of a compressed one what its stream ends
/// with.
pub(super) fn rest(
    written: &Written,
    format: Format,
    formulas: Option<Vec<ColumnFormula>>,
    plan: Option<Plan>,
    provenance: &Provenance,
) -> Bytes {
    let mut rest = Vec::new();
    if matches!(format, Format::Json | Format::Table) {
        let meta = Meta {
            formulas,
            plan,
            columns: written.columns.clone(),
            ..Meta::from(provenance)
        };
        page::write_meta(&meta, &mut rest);
    }
    if let Some(beginning) = &written.compressed {
        rest = encode::gzip::end(beginning, &rest);
    }
    rest.into()
}

/// The same, compressed. Aside, where that takes longer than others should have to wait.
async fn packed(plain: &Written) -> Result<Written, Problem> {
    const LONG: usize = 32 << 10;
    let text = plain.answer.clone();
    let (answer, compressed) = if text.len() > LONG {
        let packed = aside(move || encode::gzip::begin(&text)).await;
        packed.map_err(|error| defect(&error))?
    } else {
        encode::gzip::begin(&text)
    };
    Ok(Written {
        answer: answer.into(),
        tag: plain.tag.clone(),
        columns: plain.columns.clone(),
        compressed: Some(compressed),
    })
}

/// A table in a format.
fn written(
    table: &Table,
    format: Format,
    head: &PageHead,
    zone: &Zone,
    provenance: &Provenance,
) -> Result<Written, Problem> {
    let answer = match format {
        Format::Json => page::entities(head, |body| encode::json::write_entities(table, body)),
        Format::Table => page::table(head, table),
        Format::Ndjson => all_of(|body| encode::ndjson::write_lines(table, body)),
        Format::Csv => all_of(|body| encode::csv::write_records(table, body)),
        Format::Xlsx => workbook(table, provenance)?,
        Format::Arrow => {
            let mut body = Vec::new();
            encode::arrow::write_stream(table, zone.name(), about(provenance), &mut body)
                .map_err(|error| defect(&error))?;
            body
        }
        Format::Parquet => {
            encode::parquet::file(table, zone.name(), about(provenance)).map_err(|error| defect(&error))?
        }
    };
    Ok(Written {
        tag: conditional::entity_tag(&answer, provenance).into(),
        columns: (format == Format::Json).then(|| page::columns(&table.columns)),
        answer: answer.into(),
        compressed: None,
    })
}

fn all_of(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    write(&mut body);
    body
}

fn workbook(table: &Table, provenance: &Provenance) -> Result<Vec<u8>, Problem> {
    let rows = table.rows.len() as u64;
    if rows > encode::xlsx::MAX_ROWS {
        let limit = encode::xlsx::MAX_ROWS;
        return Err(Problem::new(ProblemKind::AnswerTooLarge).detail(format!(
            "a workbook takes {limit} rows and there are {rows}: ask for format=csv, for a page, or for less"
        )));
    }
    encode::xlsx::workbook(table, provenance.as_of).map_err(|error| defect(&error))
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
