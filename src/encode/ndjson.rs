//! Placeholder.
/// Placeholder.
pub fn write_lines(_: &crate::table::Table, _: &mut Vec<u8>) {}
