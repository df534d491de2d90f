//! Rows as a Parquet file, compressed, with the columns and types of [`arrow`](super::arrow).
//!
//! The names and metadata of the Arrow schema are in the file too: programs that know Arrow find zones and units,
//! others find plain Parquet types.

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};

use super::arrow::Layout;
use crate::table::Table;

/// Rows gathered before they are compressed and leave: what is held of a file of any length.
const ROWS_IN_A_GROUP: usize = 8_192;

/// The file. `about` becomes its metadata; equal tables with equal `about` are equal bytes.
///
/// Fails on a cell that is not what its column says: never a wrong number.
pub fn file(table: &Table, zone: &str, about: BTreeMap<String, String>) -> Result<Vec<u8>, ParquetError> {
    let layout = Layout::new(&table.columns, zone, about);
    let mut writer = writer(layout.schema())?;
    writer.write(&layout.batch(&table.rows)?)?;
    writer.into_inner()
}

/// Writes a file to memory, from where it can be taken as it grows.
pub(super) fn writer(schema: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let about = schema.metadata().iter();
    let about = about.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("genesys-reports ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_max_row_group_row_count(Some(ROWS_IN_A_GROUP))
        .set_key_value_metadata(Some(about.collect()))
        .build();
    ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties))
}
