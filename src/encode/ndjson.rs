//! Rows as JSON objects, one to a line, shaped as in [`json`](super::json).

use super::json::Template;
use crate::table::Table;

/// Writes every row as a line that ends in a line feed; no row, nothing.
pub fn write_lines(table: &Table, out: &mut Vec<u8>) {
    let mut template = Template::new(&table.columns);
    for row in &table.rows {
        template.write_row(row, out);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Cell, ColumnKind, TableColumn};

    #[test]
    fn one_object_to_a_line() {
        let column = |name: &str, kind| TableColumn {
            name: name.to_owned(),
            title: String::new(),
            kind,
        };
        let mut table = Table {
            columns: vec![
                column("media.type", ColumnKind::Text),
                column("nOffered", ColumnKind::Count),
            ],
            rows: vec![
                vec![Cell::Text("voice\nchat".into()), Cell::Number(2.0)],
                vec![Cell::Empty, Cell::Number(1.0)],
            ],
        };
        let mut out = Vec::new();
        write_lines(&table, &mut out);
        let expected =
            "{\"media\":{\"type\":\"voice\\nchat\"},\"nOffered\":2}\n{\"media\":{\"type\":null},\"nOffered\":1}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);

        table.rows.clear();
        let mut out = Vec::new();
        write_lines(&table, &mut out);
        assert!(out.is_empty());
    }
}
