//! Rows as JSON objects: dots in column names nest, in the order of the columns.

use super::times::Times;
use crate::table::{Cell, Table, TableColumn};

/// Writes the rows as a JSON array, one object each.
///
/// Every object has the same members, as [`Cell::Empty`] is `null`. Numbers are written without a fraction
/// when whole (and below 2^53, from where doubles skip whole numbers), buckets as `start/end` in UTC, their
/// edges with the offset of the query's zone.
pub fn write_entities(table: &Table, out: &mut Vec<u8>) {
    let mut template = Template::new(&table.columns);
    out.push(b'[');
    for (index, row) in table.rows.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        template.write_row(row, out);
    }
    out.push(b']');
}

/// What stands around the cells of every row, worked out once from the names of the columns.
pub(super) struct Template<'a> {
    /// What comes before each cell, and which cell that is.
    before: Vec<(Vec<u8>, usize)>,
    /// What comes after the last.
    end: Vec<u8>,
    times: Times<'a>,
}

impl<'a> Template<'a> {
    pub(super) fn new(columns: &[TableColumn]) -> Self {
        let mut root = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let path: Vec<&str> = column.name.split('.').collect();
            insert(&mut root, &path, index);
        }
        let mut template = Self {
            before: Vec::with_capacity(columns.len()),
            end: Vec::new(),
            times: Times::default(),
        };
        template.add_object(&root);
        template
    }

    pub(super) fn write_row(&mut self, row: &'a [Cell], out: &mut Vec<u8>) {
        for (before, index) in &self.before {
            out.extend_from_slice(before);
            write_cell(row.get(*index).unwrap_or(&Cell::Empty), *index, &mut self.times, out);
        }
        out.extend_from_slice(&self.end);
    }

    fn add_object(&mut self, members: &[Member<'_>]) {
        self.end.push(b'{');
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                self.end.push(b',');
            }
            write_text(member.key, &mut self.end);
            self.end.push(b':');
            match &member.value {
                Node::Cell(cell) => self.before.push((std::mem::take(&mut self.end), *cell)),
                Node::Object(members) => self.add_object(members),
            }
        }
        self.end.push(b'}');
    }
}

/// A member of an object, as the dots in column names lay it out.
struct Member<'a> {
    key: &'a str,
    value: Node<'a>,
}

enum Node<'a> {
    Cell(usize),
    Object(Vec<Member<'a>>),
}

/// Puts a column where its name says. Objects begin where their first column stands.
fn insert<'a>(members: &mut Vec<Member<'a>>, path: &[&'a str], cell: usize) {
    let (key, rest) = match path {
        [] => return,
        [key] => {
            let value = Node::Cell(cell);
            members.push(Member { key, value });
            return;
        }
        [key, rest @ ..] => (*key, rest),
    };
    let held = members.iter_mut().find_map(|member| match &mut member.value {
        Node::Object(inner) if member.key == key => Some(inner),
        Node::Object(_) | Node::Cell(_) => None,
    });
    if let Some(inner) = held {
        insert(inner, rest, cell);
    } else {
        let mut inner = Vec::new();
        insert(&mut inner, rest, cell);
        let value = Node::Object(inner);
        members.push(Member { key, value });
    }
}

/// Writes the cell of a column.
pub(super) fn write_cell<'a>(cell: &'a Cell, column: usize, times: &mut Times<'a>, out: &mut Vec<u8>) {
    match cell {
        Cell::Empty => out.extend_from_slice(b"null"),
        Cell::Interval(range) => write_quoted(times.text(column, cell, range), out),
        Cell::Instant(instant) => write_quoted(times.text(column, cell, instant), out),
        Cell::Text(text) => write_text(text, out),
        Cell::Number(number) => write_number(*number, out),
    }
}

/// Digits and punctuation, which need no escaping.
fn write_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// Up to here every whole number has a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn write_number(number: f64, out: &mut Vec<u8>) {
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        let whole = number as i64;
        let _ = serde_json::to_writer(out, &whole);
    } else {
        // What is no number (there should be none) becomes null.
        let _ = serde_json::to_writer(out, &number);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{query::Range, table::ColumnKind};

    fn table(names: &[&str], rows: Vec<Vec<Cell>>) -> Table {
        let column = |name: &&str| TableColumn {
            name: (*name).to_owned(),
            title: String::new(),
            kind: ColumnKind::Text,
        };
        Table {
            columns: names.iter().map(column).collect(),
            rows,
        }
    }

    fn encoded(table: &Table) -> String {
        let mut out = Vec::new();
        write_entities(table, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn day() -> Cell {
        let instant = |text: &str| text.parse().unwrap();
        Cell::Interval(Range::new(instant("2026-11-01T00:00Z"), instant("2026-11-02T00:00Z")).unwrap())
    }

    #[test]
    fn the_contract_s_example() {
        let names = [
            "interval",
            "routing.queue.id",
            "routing.queue.name",
            "conversation.count",
        ];
        let row = vec![
            day(),
            Cell::Text("q1".into()),
            Cell::Text("Billing \"EU\"".into()),
            Cell::Number(145.0),
        ];
        assert_eq!(
            encoded(&table(&names, vec![row])),
            r#"[{"interval":"2026-11-01T00:00:00.000Z/2026-11-02T00:00:00.000Z","routing":{"queue":{"id":"q1","name":"Billing \"EU\""}},"conversation":{"count":145}}]"#
        );
    }

    #[test]
    fn parts_of_an_object_come_together_where_the_first_stands() {
        let names = ["a.b.c", "x", "a.d", "y.z", "a.b.e"];
        let row = (0..5_u8).map(|number| Cell::Number(f64::from(number))).collect();
        let text = encoded(&table(&names, vec![row]));
        assert_eq!(text, r#"[{"a":{"b":{"c":0,"e":4},"d":2},"x":1,"y":{"z":3}}]"#);
    }

    #[test]
    fn nothing_is_null_and_rows_keep_their_schema() {
        let rows = vec![
            vec![Cell::Empty, Cell::Number(0.5)],
            vec![Cell::Text("a".into()), Cell::Empty],
        ];
        assert_eq!(
            encoded(&table(&["agent.id", "service.level"], rows)),
            r#"[{"agent":{"id":null},"service":{"level":0.5}},{"agent":{"id":"a"},"service":{"level":null}}]"#
        );
        assert_eq!(encoded(&table(&["agent.id"], Vec::new())), "[]");
    }

    #[test]
    fn numbers() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (145.0, "145"),
            (-3.0, "-3"),
            (5_097_600_919.0, "5097600919"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
            (0.475_862_068_965_517_25, "0.47586206896551725"),
            (123_456.789, "123456.789"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let text = "\u{0}\n\u{1b}[31m\"\\\u{2028}</script>🙂";
        let encoded = encoded(&table(&["party.remote"], vec![vec![Cell::Text(text.into())]]));
        let read: serde_json::Value = serde_json::from_str(&encoded).unwrap();
        assert_eq!(read, json!([{"party": {"remote": text}}]));
        assert!(!encoded.contains('\n'));
    }
}
