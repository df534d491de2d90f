//! Placeholder.
/// Placeholder.
pub fn write(_: &crate::table::Table, _: &mut Vec<u8>) {}
