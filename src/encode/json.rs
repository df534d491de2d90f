//! Placeholder.
/// Placeholder.
pub fn write_entities(_: &crate::table::Table, out: &mut Vec<u8>) {
    out.extend_from_slice(b"[]");
}
