//! Columns worked out from the other columns of the same row, once rows are merged, ordered and cut.

use exmex::{Express as _, FlatEx};

use super::Definition;
use crate::table::{Cell, ColumnKind, Table, TableColumn};

/// A column worked out from others.
#[derive(Clone, Debug)]
pub struct Derived {
    /// Its name; dots nest in JSON.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What its numbers are.
    pub kind: ColumnKind,
    /// The columns it needs, in the order the expression takes them.
    pub needs: Vec<String>,
    /// The expression as written.
    pub text: String,
    expression: FlatEx<f64>,
}

impl Derived {
    /// A column by an arithmetic expression over columns in braces: `{conversation.abandoned} / {conversation.offered}`.
    pub fn new(name: String, title: String, kind: ColumnKind, text: &str) -> Result<Self, String> {
        let expression = FlatEx::<f64>::parse(text).map_err(|error| error.msg().to_owned())?;
        if kind == ColumnKind::Count && !stays_whole(text) {
            return Err("a count is made of sums, differences and products of counts".to_owned());
        }
        Ok(Self {
            name,
            title,
            kind,
            needs: expression.var_names().to_vec(),
            text: text.to_owned(),
            expression,
        })
    }

    /// Empty where a part is empty, and where the result is no number: nothing of nothing is nothing.
    fn cell(&self, places: &[Option<usize>], row: &[Cell]) -> Cell {
        let number = |place: &Option<usize>| match row.get((*place)?) {
            Some(Cell::Number(number)) => Some(*number),
            _ => None,
        };
        let numbers: Option<Vec<f64>> = places.iter().map(number).collect();
        let result = numbers.and_then(|numbers| self.expression.eval(&numbers).ok());
        result
            .filter(|number| number.is_finite())
            .map_or(Cell::Empty, Cell::Number)
    }
}

/// Whether whole numbers give a whole number.
fn stays_whole(text: &str) -> bool {
    let outside = text.split('}').map(|part| part.split('{').next().unwrap_or_default());
    let mut characters = outside.flat_map(str::chars);
    characters.all(|character| character.is_ascii_digit() || " +-*()".contains(character))
}

impl Definition {
    /// Adds the derived columns to the rows, and gives columns their titles.
    pub fn finish(&self, table: &mut Table) {
        for derived in &self.derived {
            let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
            let places: Vec<_> = derived.needs.iter().map(place).collect();
            for row in &mut table.rows {
                row.push(derived.cell(&places, row));
            }
            table.columns.push(TableColumn {
                name: derived.name.clone(),
                title: derived.title.clone(),
                kind: derived.kind,
            });
        }
        for column in &mut table.columns {
            if let Some(title) = self.titles.get(&column.name) {
                column.title.clone_from(title);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_worked_out_or_empty() {
        let number = Cell::Number;
        for (text, row, expected) in [
            ("{a.b} / {c}", [number(1.0), number(4.0)], number(0.25)),
            ("{a.b} / {c}", [number(0.0), number(0.0)], Cell::Empty),
            ("{a.b} / {c}", [number(1.0), number(0.0)], Cell::Empty),
            ("{a.b} / {c}", [Cell::Empty, number(4.0)], Cell::Empty),
            ("1 - {c}", [Cell::Empty, number(0.25)], number(0.75)),
            ("({a.b} + {c}) * 2 / 4", [number(3.0), number(5.0)], number(4.0)),
            ("{a.b} - {c} - 1", [number(3.0), number(5.0)], number(-3.0)),
        ] {
            let derived = Derived::new("x".into(), "X".into(), ColumnKind::Ratio, text).unwrap();
            let places: Vec<_> = derived
                .needs
                .iter()
                .map(|name| ["a.b", "c"].iter().position(|known| known == name))
                .collect();
            assert_eq!(derived.cell(&places, &row), expected, "{text} of {row:?}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for (kind, text, is_right) in [
            (ColumnKind::Ratio, "{a} / {b}", true),
            (ColumnKind::Ratio, "{a} /", false),
            (ColumnKind::Ratio, "({a}", false),
            (ColumnKind::Ratio, "", false),
            (ColumnKind::Count, "{a.x} - 2 * ({b} + {c})", true),
            (ColumnKind::Count, "{a} / {b}", false),
            (ColumnKind::Count, "sqrt({a})", false),
            (ColumnKind::Count, "0.5 * {a}", false),
        ] {
            let made = Derived::new("x".into(), "X".into(), kind, text);
            assert_eq!(made.is_ok(), is_right, "{text}: {made:?}");
        }
    }
}
