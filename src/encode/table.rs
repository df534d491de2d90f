//! Rows as JSON arrays beside typed columns: for programs that would rather not walk objects.

use serde_json::json;

use super::{
    json::{write_cell, write_text},
    times::Times,
};
use crate::table::{ColumnKind, Table, TableColumn};

/// Writes the columns as a JSON array of objects: `name`, `title`, `type` and `unit`, which is null where there is none.
pub fn write_columns(columns: &[TableColumn], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let (kind, unit) = describe(column.kind);
        out.extend_from_slice(b"{\"name\":");
        write_text(&column.name, out);
        out.extend_from_slice(b",\"title\":");
        write_text(&column.title, out);
        out.extend_from_slice(format!(",\"type\":\"{kind}\",\"unit\":{}}}", json!(unit)).as_bytes());
    }
    out.push(b']');
}

/// Writes the rows as a JSON array of arrays, cells in the order of the columns and written as in
/// [`json`](super::json).
pub fn write_rows(table: &Table, out: &mut Vec<u8>) {
    let mut times = Times::default();
    out.push(b'[');
    for (index, row) in table.rows.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                out.push(b',');
            }
            write_cell(cell, column, &mut times, out);
        }
        out.push(b']');
    }
    out.push(b']');
}

/// Type and unit. Ratios and averages have fractions, and averages are of milliseconds; counts never have.
pub(super) const fn describe(kind: ColumnKind) -> (&'static str, Option<&'static str>) {
    match kind {
        ColumnKind::Interval => ("interval", None),
        ColumnKind::Instant => ("instant", None),
        ColumnKind::Text => ("text", None),
        ColumnKind::Count => ("number", Some("count")),
        ColumnKind::Milliseconds => ("number", Some("milliseconds")),
        ColumnKind::Ratio => ("number", Some("ratio")),
        ColumnKind::Quantity => ("number", None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::table::Cell;

    fn written(table: &Table) -> (Value, Value) {
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        write_columns(&table.columns, &mut columns);
        write_rows(table, &mut rows);
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap();
        (read(&columns), read(&rows))
    }

    #[test]
    fn columns_and_rows() {
        let column = |name: &str, kind| TableColumn {
            name: name.to_owned(),
            title: "T".to_owned(),
            kind,
        };
        let mut table = Table {
            columns: vec![
                column("interval", ColumnKind::Interval),
                column("interval.start", ColumnKind::Instant),
                column("agent.\"name\"", ColumnKind::Text),
                column("nOffered", ColumnKind::Count),
                column("handle.time.average", ColumnKind::Milliseconds),
                column("service.level", ColumnKind::Ratio),
            ],
            rows: vec![
                vec![
                    Cell::Empty,
                    Cell::Empty,
                    Cell::Text("\"".into()),
                    Cell::Number(2.0),
                    Cell::Number(0.5),
                    Cell::Empty,
                ],
                vec![Cell::Empty; 6],
            ],
        };
        let (columns, rows) = written(&table);
        assert_eq!(
            columns,
            json!([
                {"name": "interval", "title": "T", "type": "interval", "unit": null},
                {"name": "interval.start", "title": "T", "type": "instant", "unit": null},
                {"name": "agent.\"name\"", "title": "T", "type": "text", "unit": null},
                {"name": "nOffered", "title": "T", "type": "number", "unit": "count"},
                {"name": "handle.time.average", "title": "T", "type": "number", "unit": "milliseconds"},
                {"name": "service.level", "title": "T", "type": "number", "unit": "ratio"},
            ])
        );
        assert_eq!(
            rows,
            json!([[null, null, "\"", 2, 0.5, null], [null, null, null, null, null, null]])
        );
        table.rows.clear();
        assert_eq!(written(&table), (columns, json!([])));
    }
}
