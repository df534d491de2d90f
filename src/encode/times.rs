//! Buckets and instants as text, which takes longer to make than the rest of a row: rows in order repeat them.

use std::fmt::Display;

use crate::table::Cell;

/// The last text of every column. Lives as long as one table is written.
#[derive(Default)]
pub(super) struct Times<'a>(Vec<(&'a Cell, String)>);

impl<'a> Times<'a> {
    /// The text of a cell and of what it holds: a bucket as `start/end`, an instant with its offset.
    pub(super) fn text(&mut self, column: usize, cell: &'a Cell, time: &dyn Display) -> &str {
        if self.0.len() <= column {
            self.0.resize(column + 1, (&Cell::Empty, String::new()));
        }
        let (of, text) = &mut self.0[column];
        if *of != cell {
            (*of, *text) = (cell, time.to_string());
        }
        text
    }
}
