//! Rows as CSV (RFC 4180): a header of column names, then a record for every row; lines end in CR LF.
//!
//! Spreadsheets run cells that look like formulas, and callers choose their own names. So a text that begins
//! with what could start a formula gets an apostrophe in front, which spreadsheets hide; to be able to take
//! it away again, so does a text that begins with an apostrophe. Numbers are written as they are, negative
//! ones included.

use super::{json::write_number, times::Times};
use crate::table::{Cell, Table, TableColumn};

/// Writes a header and the rows. What is empty is an empty field; buckets are `start/end` in UTC, their
/// edges (`interval.start`, `interval.end`) have the offset of the query's zone.
pub fn write_records(table: &Table, out: &mut Vec<u8>) {
    write_header(&table.columns, out);
    write_rows(table, out);
}

pub(super) fn write_header(columns: &[TableColumn], out: &mut Vec<u8>) {
    let names = columns.iter().map(|column| column.name.as_bytes());
    let mut writer = writer(out);
    let written = writer.write_record(names);
    written.and_then(|()| Ok(writer.flush()?)).expect(MEMORY);
}

/// Without the header.
pub(super) fn write_rows(table: &Table, out: &mut Vec<u8>) {
    try_write_rows(table, out).expect(MEMORY);
}

const MEMORY: &str = "writing to memory does not fail, and all records have the header's length";

fn try_write_rows(table: &Table, out: &mut Vec<u8>) -> csv::Result<()> {
    let mut writer = writer(out);
    let mut fields = Fields::default();
    for row in &table.rows {
        for index in 0..table.columns.len() {
            writer.write_field(fields.field(index, row.get(index).unwrap_or(&Cell::Empty)))?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.flush()?;
    Ok(())
}

fn writer(out: &mut Vec<u8>) -> csv::Writer<&mut Vec<u8>> {
    csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(out)
}

/// Cells as fields, before they are quoted.
#[derive(Default)]
struct Fields<'a> {
    times: Times<'a>,
    /// What the last field was made of, where it does not stand anywhere.
    made: Vec<u8>,
}

impl<'a> Fields<'a> {
    fn field(&mut self, column: usize, cell: &'a Cell) -> &[u8] {
        self.made.clear();
        match cell {
            Cell::Empty => b"",
            Cell::Interval(range) => self.times.text(column, cell, range).as_bytes(),
            Cell::Instant(instant) => self.times.text(column, cell, instant).as_bytes(),
            Cell::Text(text) if may_start_a_formula(text) => {
                self.made.push(b'\'');
                self.made.extend_from_slice(text.as_bytes());
                &self.made
            }
            Cell::Text(text) => text.as_bytes(),
            // There should be none that is no number; a word in a column of numbers would spoil the column.
            Cell::Number(number) if !number.is_finite() => b"",
            Cell::Number(number) => {
                write_number(*number, &mut self.made);
                &self.made
            }
        }
    }
}

fn may_start_a_formula(text: &str) -> bool {
    // The full-width forms are read as the plain ones by some spreadsheets.
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0', '\'', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        query::Range,
        table::{ColumnKind, TableColumn},
    };

    fn encoded(names: &[&str], rows: Vec<Vec<Cell>>) -> String {
        let column = |name: &&str| TableColumn {
            name: (*name).to_owned(),
            title: String::new(),
            kind: ColumnKind::Text,
        };
        let columns = names.iter().map(column).collect();
        let mut out = Vec::new();
        write_records(&Table { columns, rows }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records() {
        let range = Range::new(
            "2026-11-01T00:00Z".parse().unwrap(),
            "2026-11-02T00:00Z".parse().unwrap(),
        )
        .unwrap();
        let rows = vec![
            vec![
                Cell::Interval(range),
                Cell::Text("Sales, \"EU\"\r\nnorth".into()),
                Cell::Number(-12.5),
            ],
            vec![Cell::Empty, Cell::Empty, Cell::Number(145.0)],
        ];
        assert_eq!(
            encoded(&["interval", "routing.queue.name", "x"], rows),
            "interval,routing.queue.name,x\r\n\
             2026-11-01T00:00:00.000Z/2026-11-02T00:00:00.000Z,\"Sales, \"\"EU\"\"\r\nnorth\",-12.5\r\n\
             ,,145\r\n"
        );
        assert_eq!(encoded(&["agent.id", "nOffered"], Vec::new()), "agent.id,nOffered\r\n");
        assert_eq!(encoded(&["agent.id"], vec![vec![Cell::Empty]]), "agent.id\r\n\"\"\r\n");
    }

    #[test]
    fn texts_never_start_a_formula_and_numbers_are_untouched() {
        for text in [
            "=1+1",
            "+49 30 1234",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "\0=1",
            "＝1",
            "＋1",
            "－1",
            "＠1",
            "'=1",
        ] {
            let encoded = encoded(&["a", "b"], vec![vec![Cell::Text(text.into()), Cell::Number(-1.0)]]);
            let record = encoded.strip_prefix("a,b\r\n").unwrap().trim_start_matches('"');
            assert!(record.starts_with('\''), "{text:?}");
            assert!(record.ends_with(",-1\r\n"), "{text:?}");
        }
        assert_eq!(encoded(&["a"], vec![vec![Cell::Text("a=1".into())]]), "a\r\na=1\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read_back(texts in proptest::collection::vec("[-=+@'\",;\r\n\t\0 a-c＝é🙂]{0,6}", 1..5)) {
            let names = ["a", "b", "c", "d", "e"];
            let row = texts.iter().map(|text| Cell::Text(text.as_str().into())).collect();
            let encoded = encoded(&names[..texts.len()], vec![row]);
            let mut reader = csv::Reader::from_reader(encoded.as_bytes());
            let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            prop_assert_eq!(records.len(), 1);
            let read: Vec<_> = records[0].iter().map(|field| field.strip_prefix('\'').unwrap_or(field)).collect();
            prop_assert_eq!(read, texts);
        }
    }

    fn any_cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::Empty),
            any::<String>().prop_map(|text| Cell::Text(text.as_str().into())),
            "[-=+@'\",;\r\n\t\0 a-c＝é🙂]{0,6}".prop_map(|text| Cell::Text(text.as_str().into())),
            any::<f64>().prop_map(Cell::Number),
            (-1_000_000_000_000..1_000_000_000_000_i64).prop_map(|number| Cell::Number(number as f64)),
        ]
    }

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        /// Whatever the cells are: as many records, as many fields, and each says what its cell does.
        #[test]
        fn fuzz_records(
            columns in 1..5_usize,
            rows in proptest::collection::vec(proptest::collection::vec(any_cell(), 0..5), 0..8),
        ) {
            let names = ["a", "=b", "c,d", "e\"f", "g\nh"];
            let names = &names[..columns];
            let encoded = encoded(names, rows.clone());
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(encoded.as_bytes());
            let mut records = reader.records().map(Result::unwrap);
            let header = records.next().unwrap();
            prop_assert_eq!(header.iter().collect::<Vec<_>>(), names);
            for row in &rows {
                let record = records.next().unwrap();
                prop_assert_eq!(record.len(), columns);
                for (index, field) in record.iter().enumerate() {
                    match row.get(index).unwrap_or(&Cell::Empty) {
                        Cell::Text(text) => {
                            prop_assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0']), "{}", field);
                            prop_assert_eq!(field.strip_prefix('\'').unwrap_or(field), &**text);
                        }
                        Cell::Number(number) if number.is_finite() => prop_assert_eq!(field.parse::<f64>(), Ok(*number)),
                        _ => prop_assert_eq!(field, ""),
                    }
                }
            }
            prop_assert!(records.next().is_none());
        }
    }
}
