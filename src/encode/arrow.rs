//! Rows as Arrow record batches: typed columns for programs that calculate.
//!
//! | column | type | when empty |
//! | --- | --- | --- |
//! | a bucket `x` | two columns, `x.start` and `x.end`, each an instant | null |
//! | an instant | timestamp in milliseconds, in the query's zone | null |
//! | a text | UTF-8 | null |
//! | a count | 64-bit integer | null |
//! | milliseconds, a share, a number without a unit | 64-bit floating point | null |
//!
//! Types follow from the columns alone and never from what is in them, so an answer without rows has the schema of
//! every other answer. Times are not integers because averages have fractions. A field's metadata has its `unit`,
//! where it has one.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::table::describe;
use crate::table::{Cell, ColumnKind, Table, TableColumn};

/// Writes the rows as an IPC stream: the schema, one batch, the end. `about` becomes the schema's metadata; equal
/// tables with equal `about` are equal bytes.
///
/// Fails on a cell that is not what its column says: never a wrong number.
pub fn write_stream(
    table: &Table,
    zone: &str,
    about: BTreeMap<String, String>,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let layout = Layout::new(&table.columns, zone, about);
    let mut writer = StreamWriter::try_new(out, layout.schema())?;
    if !table.rows.is_empty() {
        writer.write(&layout.batch(&table.rows)?)?;
    }
    writer.finish()
}

/// How rows lie in record batches.
pub(super) struct Layout {
    schema: SchemaRef,
    /// Where the values of each field are found in a row.
    places: Vec<Place>,
}

/// The cells of a field.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    part: Part,
}

/// What of a cell a field has.
#[derive(Clone, Copy)]
enum Part {
    BucketStart,
    BucketEnd,
    Whole(ColumnKind),
}

impl Layout {
    /// `zone` is the IANA name of the zone that instants are shown in.
    pub(super) fn new(columns: &[TableColumn], zone: &str, about: BTreeMap<String, String>) -> Self {
        let mut fields = Vec::new();
        let mut places = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let mut add = |name: &str, part: Part| {
                fields.push(field(name, part, zone));
                places.push(Place { index, part });
            };
            if column.kind != ColumnKind::Interval {
                add(&column.name, Part::Whole(column.kind));
                continue;
            }
            for (edge, part) in [("start", Part::BucketStart), ("end", Part::BucketEnd)] {
                let name = format!("{}.{edge}", column.name);
                // An edge that was asked for by its own name stands where it was asked for.
                if columns.iter().all(|other| other.name != name) {
                    add(&name, part);
                }
            }
        }
        Self {
            schema: Arc::new(Schema::new(fields).with_metadata(about)),
            places,
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn batch(&self, rows: &[Vec<Cell>]) -> Result<RecordBatch, ArrowError> {
        let fields = self.schema.fields().iter().zip(&self.places);
        let columns = fields.map(|(field, place)| {
            let cells = rows.iter().map(|row| row.get(place.index).unwrap_or(&Cell::Empty));
            column(field, place.part, cells)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        // Said aloud because there may be no column to tell it.
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

fn field(name: &str, part: Part, zone: &str) -> Field {
    let instant = || DataType::Timestamp(TimeUnit::Millisecond, Some(zone.into()));
    let (data_type, unit) = match part {
        Part::BucketStart | Part::BucketEnd => (instant(), None),
        Part::Whole(kind) => {
            let data_type = match kind {
                ColumnKind::Interval | ColumnKind::Instant => instant(),
                ColumnKind::Text => DataType::Utf8,
                ColumnKind::Count => DataType::Int64,
                ColumnKind::Milliseconds | ColumnKind::Ratio | ColumnKind::Quantity => DataType::Float64,
            };
            (data_type, describe(kind).1)
        }
    };
    let metadata = unit.map(|unit| ("unit".to_owned(), unit.to_owned()));
    Field::new(name, data_type, true).with_metadata(metadata.into_iter().collect::<BTreeMap<_, _>>())
}

fn column<'a>(field: &Field, part: Part, cells: impl Iterator<Item = &'a Cell>) -> Result<ArrayRef, ArrowError> {
    let misfit = |cell: &Cell| {
        let name = field.name();
        ArrowError::InvalidArgumentError(format!("{cell:?} does not belong into the column {name}"))
    };
    Ok(match field.data_type() {
        DataType::Timestamp(_, zone) => {
            let instants = cells.map(|cell| match (cell, part) {
                (Cell::Empty, _) => Ok(None),
                (Cell::Interval(range), Part::BucketStart) => Ok(Some(range.start.as_millisecond())),
                (Cell::Interval(range), Part::BucketEnd) => Ok(Some(range.end.as_millisecond())),
                (Cell::Instant(instant), Part::Whole(_)) => Ok(Some(instant.at.as_millisecond())),
                _ => Err(misfit(cell)),
            });
            let array: TimestampMillisecondArray = instants.collect::<Result<_, _>>()?;
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => {
            let texts = cells.map(|cell| match cell {
                Cell::Empty => Ok(None),
                Cell::Text(text) => Ok(Some(&**text)),
                _ => Err(misfit(cell)),
            });
            Arc::new(texts.collect::<Result<StringArray, _>>()?)
        }
        DataType::Int64 => {
            let counts = cells.map(|cell| match cell {
                Cell::Empty => Ok(None),
                Cell::Number(number) => whole(*number).map(Some).ok_or_else(|| misfit(cell)),
                _ => Err(misfit(cell)),
            });
            Arc::new(counts.collect::<Result<Int64Array, _>>()?)
        }
        _ => {
            let numbers = cells.map(|cell| match cell {
                Cell::Empty => Ok(None),
                // There should be none that is no number; it must not pass for one.
                Cell::Number(number) => Ok(Some(*number).filter(|number| number.is_finite())),
                _ => Err(misfit(cell)),
            });
            Arc::new(numbers.collect::<Result<Float64Array, _>>()?)
        }
    })
}

/// The number as an integer, if it is one: from 2^53 on doubles skip some.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and small enough, as checked")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array as _, cast::AsArray as _, types};
    use arrow_ipc::reader::StreamReader;
    use jiff::tz::Offset;

    use super::*;
    use crate::{query::Range, table::LocalInstant};

    fn columns(columns: &[(&str, ColumnKind)]) -> Vec<TableColumn> {
        let column = |(name, kind): &(&str, ColumnKind)| TableColumn {
            name: (*name).to_owned(),
            title: String::new(),
            kind: *kind,
        };
        columns.iter().map(column).collect()
    }

    fn about() -> BTreeMap<String, String> {
        BTreeMap::from([("complete".to_owned(), "true".to_owned())])
    }

    fn every_kind(rows: Vec<Vec<Cell>>) -> Table {
        let columns = columns(&[
            ("interval", ColumnKind::Interval),
            ("interval.end", ColumnKind::Instant),
            ("agent.name", ColumnKind::Text),
            ("conversation.count", ColumnKind::Count),
            ("handle.time.average", ColumnKind::Milliseconds),
            ("service.level", ColumnKind::Ratio),
            ("mos", ColumnKind::Quantity),
        ]);
        Table { columns, rows }
    }

    fn written(table: &Table) -> Vec<u8> {
        let mut out = Vec::new();
        write_stream(table, "Europe/Berlin", about(), &mut out).unwrap();
        out
    }

    fn read(bytes: &[u8]) -> (SchemaRef, Vec<RecordBatch>) {
        let reader = StreamReader::try_new(bytes, None).unwrap();
        (reader.schema(), reader.map(Result::unwrap).collect())
    }

    #[test]
    fn every_kind_of_column_has_its_type_whatever_is_in_it() {
        let range = Range::new(
            "2026-11-01T00:00Z".parse().unwrap(),
            "2026-11-02T00:00Z".parse().unwrap(),
        )
        .unwrap();
        let end = LocalInstant {
            at: range.end,
            offset: Offset::UTC,
        };
        let table = every_kind(vec![
            vec![
                Cell::Interval(range),
                Cell::Instant(end),
                Cell::Text("=1".into()),
                Cell::Number(145.0),
                Cell::Number(0.5),
                Cell::Number(1.0),
                Cell::Number(4.9),
            ],
            vec![Cell::Empty; 7],
        ]);
        let (schema, batches) = read(&written(&table));
        let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into()));
        let fields: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| {
                (
                    field.name().as_str(),
                    field.data_type().clone(),
                    field.metadata().get("unit"),
                )
            })
            .collect();
        let unit = |unit: &str| Some(unit.to_owned());
        let [count, milliseconds, ratio] = ["count", "milliseconds", "ratio"].map(unit);
        assert_eq!(
            fields,
            [
                ("interval.start", instant.clone(), None),
                ("interval.end", instant, None),
                ("agent.name", DataType::Utf8, None),
                ("conversation.count", DataType::Int64, count.as_ref()),
                ("handle.time.average", DataType::Float64, milliseconds.as_ref()),
                ("service.level", DataType::Float64, ratio.as_ref()),
                ("mos", DataType::Float64, None),
            ]
        );
        assert_eq!(schema.metadata().get("complete").map(String::as_str), Some("true"));
        let [batch] = &batches[..] else { panic!("{batches:?}") };
        let instants = |index: usize| batch.column(index).as_primitive::<types::TimestampMillisecondType>();
        assert_eq!(instants(0).value(0), range.start.as_millisecond());
        assert_eq!(instants(1).value(0), range.end.as_millisecond());
        assert_eq!(batch.column(2).as_string::<i32>().value(0), "=1");
        assert_eq!(batch.column(3).as_primitive::<types::Int64Type>().value(0), 145);
        assert!(batch.columns().iter().all(|column| column.is_null(1)));

        let (empty, batches) = read(&written(&every_kind(Vec::new())));
        assert_eq!((empty, batches.len()), (schema, 0));
    }

    #[test]
    fn what_does_not_belong_into_a_column_is_refused() {
        for (kind, cell, fits) in [
            (ColumnKind::Count, Cell::Number(0.5), false),
            (ColumnKind::Count, Cell::Number(9_007_199_254_740_992.0), true),
            (ColumnKind::Count, Cell::Number(1e16), false),
            (ColumnKind::Count, Cell::Number(f64::NAN), false),
            (ColumnKind::Count, Cell::Text("1".into()), false),
            (ColumnKind::Text, Cell::Number(1.0), false),
            (ColumnKind::Instant, Cell::Number(1.0), false),
            (ColumnKind::Ratio, Cell::Text("1".into()), false),
            (ColumnKind::Ratio, Cell::Number(f64::NAN), true),
        ] {
            let layout = Layout::new(&columns(&[("x", kind)]), "UTC", about());
            let outcome = layout.batch(&[vec![cell.clone()]]);
            assert_eq!(outcome.is_ok(), fits, "{kind:?} {cell:?}");
        }
    }

    #[test]
    fn equal_tables_are_equal_bytes() {
        let table = || every_kind(vec![vec![Cell::Empty; 7]]);
        assert_eq!(written(&table()), written(&table()));
    }
}
