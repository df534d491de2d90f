//! Rows as a workbook of one sheet: a bold header that stays in place, then a row for every row, with typed cells.
//!
//! | column | cell |
//! | --- | --- |
//! | a bucket | text, `start/end` in UTC, as everywhere |
//! | an edge of a bucket (`interval.start`, `interval.end`) | a date and time, as clocks showed it in the query's zone |
//! | a text | text, never a formula or a link |
//! | a count, milliseconds | a number |
//! | a share | a number between 0 and 1, shown as a percentage |
//!
//! Workbooks know no zones: who needs instants rather than what clocks showed takes the column `interval`.
//! A workbook is made in memory, as the file system may be read-only; [`MAX_ROWS`] bounds that.

use jiff::Timestamp;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use crate::table::{Cell, ColumnKind, LocalInstant, Table};

/// The most rows of one workbook. The format takes ten times as many; people who open it do not.
pub const MAX_ROWS: u64 = 100_000;

/// The most characters of a cell, by the format's own rules.
const MAX_CELL_CHARS: usize = 32_767;

/// Seconds and days from the epoch of workbooks to that of Unix.
const DAYS_BEFORE_1970: f64 = 25_569.0;
const MILLISECONDS_A_DAY: f64 = 86_400_000.0;

/// The workbook, at most [`MAX_ROWS`] rows of it. `created` is the date it bears: equal tables created at the same
/// time are equal bytes.
///
/// Fails on more rows than the format takes.
pub fn workbook(table: &Table, created: Timestamp) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let created = ExcelDateTime::from_timestamp(created.as_second())?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
    write_sheet(workbook.add_worksheet(), table)?;
    workbook.save_to_buffer()
}

fn write_sheet(sheet: &mut Worksheet, table: &Table) -> Result<(), XlsxError> {
    let header = Format::new().set_bold();
    for (place, column) in (0..).zip(&table.columns) {
        sheet.set_column_width(place, width_of(column.kind))?;
        sheet.set_column_format(place, &format_of(column.kind))?;
        sheet.write_string_with_format(0, place, &column.name, &header)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    for (line, row) in (1..).zip(&table.rows) {
        for (place, cell) in (0..).zip(row) {
            write_cell(sheet, line, place, cell)?;
        }
    }
    Ok(())
}

/// Without a format of its own, as the column has one.
fn write_cell(sheet: &mut Worksheet, line: u32, place: u16, cell: &Cell) -> Result<(), XlsxError> {
    match cell {
        Cell::Empty => {}
        Cell::Interval(range) => {
            sheet.write_string(line, place, range.to_string())?;
        }
        Cell::Instant(instant) => {
            sheet.write_datetime(line, place, clock_time(*instant)?)?;
        }
        Cell::Text(text) => {
            sheet.write_string(line, place, shortened(text))?;
        }
        // There should be none that is no number.
        Cell::Number(number) if !number.is_finite() => {}
        Cell::Number(number) => {
            sheet.write_number(line, place, *number)?;
        }
    }
    Ok(())
}

/// What the clocks showed.
fn clock_time(instant: LocalInstant) -> Result<ExcelDateTime, XlsxError> {
    let offset_ms = i64::from(instant.offset.seconds()) * 1000;
    let shown_ms = (instant.at.as_millisecond() + offset_ms) as f64;
    ExcelDateTime::from_serial_datetime(shown_ms / MILLISECONDS_A_DAY + DAYS_BEFORE_1970)
}

/// A text too long for a cell ends visibly before its end. Cells count in the units of UTF-16.
fn shortened(text: &str) -> String {
    if text.encode_utf16().nth(MAX_CELL_CHARS).is_none() {
        return text.to_owned();
    }
    let mut units = 1;
    let kept = text.chars().take_while(|char| {
        units += char.len_utf16();
        units <= MAX_CELL_CHARS
    });
    kept.chain(['…']).collect()
}

fn format_of(kind: ColumnKind) -> Format {
    match kind {
        ColumnKind::Interval
        | ColumnKind::Text
        | ColumnKind::Count
        | ColumnKind::Milliseconds
        | ColumnKind::Quantity => Format::new(),
        ColumnKind::Instant => Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
        ColumnKind::Ratio => Format::new().set_num_format("0.0%"),
    }
}

/// In characters.
const fn width_of(kind: ColumnKind) -> f64 {
    match kind {
        ColumnKind::Interval => 52.0,
        ColumnKind::Text => 38.0,
        ColumnKind::Instant
        | ColumnKind::Count
        | ColumnKind::Milliseconds
        | ColumnKind::Ratio
        | ColumnKind::Quantity => 20.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TableColumn;

    #[test]
    fn equal_tables_are_equal_bytes() {
        let table = Table {
            columns: vec![TableColumn {
                name: "agent.name".to_owned(),
                title: String::new(),
                kind: ColumnKind::Text,
            }],
            rows: vec![vec![Cell::Text("Anna".into())]],
        };
        let created = "2026-03-01T12:00:00Z".parse().unwrap();
        let bytes = workbook(&table, created).unwrap();
        assert_eq!(bytes, workbook(&table, created).unwrap());
        assert!(bytes.starts_with(b"PK"));
    }

    #[test]
    fn a_text_too_long_for_a_cell_says_so() {
        assert_eq!(shortened("short"), "short");
        for text in ["x".repeat(MAX_CELL_CHARS), "🙂".repeat(MAX_CELL_CHARS / 2)] {
            assert_eq!(shortened(&text), text);
        }
        for text in ["x".repeat(MAX_CELL_CHARS + 1), "🙂".repeat(MAX_CELL_CHARS)] {
            let shortened = shortened(&text);
            assert!(shortened.ends_with('…'));
            let units = shortened.encode_utf16().count();
            assert!((MAX_CELL_CHARS - 1..=MAX_CELL_CHARS).contains(&units), "{units}");
        }
    }
}
