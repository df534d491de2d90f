//! From a [`Table`](crate::table::Table) to bytes, one module per format.
//!
//! Encoders know columns and cells and nothing else: not where the numbers came from, and nothing of HTTP.
//! They write into a buffer they are given, without building a tree of the answer first.

pub mod arrow;
pub mod csv;
pub mod gzip;
pub mod json;
pub mod ndjson;
pub mod parquet;
pub mod pieces;
pub mod table;
mod times;
pub mod xlsx;
