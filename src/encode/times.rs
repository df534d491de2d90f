//! Buckets and instants as text, which takes longer to make than the rest of a row: rows in order repeat them.

use std::fmt::Display;

use crate::table::Cell;

/// The last text of every column. Lives as long as one table is written.
pub(super) struct Times<'a>(Vec<Option<(&'a Cell, String)>>);

impl<'a> Times<'a> {
    /// Of so many columns.
    pub(super) fn new(columns: usize) -> Self {
        Self(vec![None; columns])
    }

    /// A bucket as `start/end`, an instant with its offset; `None` of any other cell.
    pub(super) fn text(&mut self, column: usize, cell: &'a Cell) -> Option<&str> {
        let time: &dyn Display = match cell {
            Cell::Interval(range) => range,
            Cell::Instant(instant) => instant,
            Cell::Empty | Cell::Text(_) | Cell::Number(_) => return None,
        };
        let last = self.0.get_mut(column)?;
        if last.as_ref().is_none_or(|(of, _)| *of != cell) {
            *last = Some((cell, time.to_string()));
        }
        last.as_ref().map(|(_, text)| text.as_str())
    }
}
