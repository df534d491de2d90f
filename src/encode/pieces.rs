//! Rows that are more than can be held, piece by piece: what comes out leaves before the next rows come in.
//!
//! Pieces put together are what the format's own module makes of all rows at once, but for how rows lie in
//! batches. Without [`finish`](PieceWriter::finish) they are not whole, and no reader takes them for it: an Arrow
//! stream lacks its end and a Parquet file its footer; of CSV only the transport can tell.

use arrow_ipc::writer::StreamWriter;
use parquet::{arrow::ArrowWriter, errors::ParquetError};

use super::{arrow::Layout, csv, parquet as file};
use crate::table::{Cell, Table, TableColumn};

/// Writes rows of the same columns as they come.
pub struct PieceWriter(Kind);

enum Kind {
    Csv {
        /// Not written yet.
        header: Option<Vec<TableColumn>>,
    },
    Arrow {
        layout: Layout,
        writer: StreamWriter<Vec<u8>>,
        /// Rows for the next batch.
        waiting: Vec<Vec<Cell>>,
        started: bool,
    },
    Parquet {
        layout: Layout,
        writer: ArrowWriter<Vec<u8>>,
    },
}

/// Rows of an Arrow batch: enough that what a batch costs does not matter. The first is sent with what there is.
const ROWS_IN_A_BATCH: usize = 4_096;

impl PieceWriter {
    /// Writes CSV.
    pub fn csv(columns: Vec<TableColumn>) -> Self {
        Self(Kind::Csv { header: Some(columns) })
    }

    /// Writes an Arrow stream whose instants are shown in the zone of that IANA name.
    pub fn arrow(columns: &[TableColumn], zone: &str) -> Result<Self, ParquetError> {
        let layout = Layout::new(columns, zone, std::collections::BTreeMap::new());
        let writer = StreamWriter::try_new(Vec::new(), layout.schema())?;
        Ok(Self(Kind::Arrow {
            layout,
            writer,
            waiting: Vec::new(),
            started: false,
        }))
    }

    /// Writes a Parquet file, likewise.
    pub fn parquet(columns: &[TableColumn], zone: &str) -> Result<Self, ParquetError> {
        let layout = Layout::new(columns, zone, std::collections::BTreeMap::new());
        let writer = file::writer(layout.schema())?;
        Ok(Self(Kind::Parquet { layout, writer }))
    }

    /// The bytes that are ready with these rows; there may be none.
    pub fn write(&mut self, table: Table) -> Result<Vec<u8>, ParquetError> {
        match &mut self.0 {
            Kind::Csv { header } => {
                let mut out = Vec::new();
                if let Some(columns) = header.take() {
                    csv::write_header(&columns, &mut out);
                }
                csv::write_rows(&table, &mut out);
                Ok(out)
            }
            Kind::Arrow {
                layout,
                writer,
                waiting,
                started,
            } => {
                waiting.extend(table.rows);
                if !waiting.is_empty() && (!*started || waiting.len() >= ROWS_IN_A_BATCH) {
                    writer.write(&layout.batch(waiting)?)?;
                    waiting.clear();
                    *started = true;
                }
                Ok(std::mem::take(writer.get_mut()))
            }
            Kind::Parquet { layout, writer } => {
                writer.write(&layout.batch(&table.rows)?)?;
                take(writer)
            }
        }
    }

    /// The rest, and the end.
    pub fn finish(self) -> Result<Vec<u8>, ParquetError> {
        match self.0 {
            Kind::Csv { header } => {
                let mut out = Vec::new();
                if let Some(columns) = header {
                    csv::write_header(&columns, &mut out);
                }
                Ok(out)
            }
            Kind::Arrow {
                layout,
                mut writer,
                waiting,
                ..
            } => {
                if !waiting.is_empty() {
                    writer.write(&layout.batch(&waiting)?)?;
                }
                writer.finish()?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Kind::Parquet { writer, .. } => writer.into_inner(),
        }
    }
}

/// What has been written so far, out of the writer, which counts bytes for itself.
fn take(writer: &mut ArrowWriter<Vec<u8>>) -> Result<Vec<u8>, ParquetError> {
    writer.sync()?;
    Ok(std::mem::take(writer.inner_mut()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnKind;

    fn columns() -> Vec<TableColumn> {
        let column = |name: &str, kind| TableColumn {
            name: name.to_owned(),
            title: String::new(),
            kind,
        };
        vec![
            column("conversation.id", ColumnKind::Text),
            column("agent.count", ColumnKind::Count),
        ]
    }

    fn rows(numbers: std::ops::Range<u32>) -> Table {
        let row = |number: u32| vec![Cell::Text(format!("id {number}").into()), Cell::Number(number.into())];
        Table {
            columns: columns(),
            rows: numbers.map(row).collect(),
        }
    }

    fn in_pieces(mut writer: PieceWriter, sizes: &[u32]) -> (Vec<usize>, Vec<u8>) {
        let (mut next, mut lengths, mut whole) = (0, Vec::new(), Vec::new());
        for size in sizes {
            let piece = writer.write(rows(next..next + size)).unwrap();
            next += size;
            lengths.push(piece.len());
            whole.extend(piece);
        }
        whole.extend(writer.finish().unwrap());
        (lengths, whole)
    }

    #[test]
    fn csv_in_pieces_is_csv() {
        let mut expected = Vec::new();
        csv::write_records(&rows(0..7), &mut expected);
        for sizes in [&[7][..], &[1, 0, 6], &[3, 4]] {
            let (_, whole) = in_pieces(PieceWriter::csv(columns()), sizes);
            assert_eq!(whole, expected);
        }
        let (_, empty) = in_pieces(PieceWriter::csv(columns()), &[]);
        assert_eq!(empty, b"conversation.id,agent.count\r\n");
    }

    #[test]
    fn the_first_rows_leave_at_once_and_no_row_is_lost() {
        let sizes = [100, 100, 4_000, 20_000, 100];
        let (lengths, whole) = in_pieces(PieceWriter::arrow(&columns(), "UTC").unwrap(), &sizes);
        assert!(
            lengths[0] > 1_000 && lengths[1] == 0 && lengths[2] > 10_000,
            "{lengths:?}"
        );
        let reader = arrow_ipc::reader::StreamReader::try_new(&whole[..], None).unwrap();
        let batches: Vec<_> = reader.map(|batch| batch.unwrap().num_rows()).collect();
        assert_eq!(batches, [100, 4_100, 20_000, 100]);

        let (lengths, whole) = in_pieces(PieceWriter::parquet(&columns(), "UTC").unwrap(), &sizes);
        assert!(lengths[3] > 10_000, "a group is full: {lengths:?}");
        assert_eq!((&whole[..4], &whole[whole.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    }
}
