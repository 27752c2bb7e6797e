//! Tokens as rows of a Parquet file, which data frames read without us.

use std::io;
use std::sync::Arc;

use parquet::basic::Encoding as Layout;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value};

use super::{Sequence, places};
use crate::export::AtomicFile;
use crate::tokenize::Encoding;

/// Tokens of a row group: they are held until it is written.
const GROUP: usize = 1 << 20;

/// Writes rows in groups.
pub(super) struct Rows {
    file: SerializedFileWriter<AtomicFile>,
    offsets: bool,
    records: Vec<ByteArray>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    ids: Vec<i32>,
    token_starts: Vec<i64>,
    token_ends: Vec<i64>,
    /// Of lists, a level a token or an empty list: 1 where there is a token.
    definition: Vec<i16>,
    /// 0 where a list begins.
    repetition: Vec<i16>,
}

impl Rows {
    pub(super) fn new(out: AtomicFile, offsets: bool) -> io::Result<Self> {
        let list = |name: &str, kind: &str| {
            format!("required group {name} (LIST) {{ repeated group list {{ required {kind} element; }} }}")
        };
        let more = if offsets {
            list("token_starts", "int64") + &list("token_ends", "int64")
        } else {
            String::new()
        };
        let schema = format!(
            "message tokens {{ required binary record (STRING); required int64 start; required int64 end; {} {more} }}",
            list("ids", "int32")
        );
        let schema = parse_message_type(&schema).map_err(error)?;
        // Places grow steadily: their differences are small.
        let mut properties = WriterProperties::builder();
        for name in ["token_starts", "token_ends"] {
            let column = ColumnPath::new(vec![name.to_owned(), "list".to_owned(), "element".to_owned()]);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Layout::DELTA_BINARY_PACKED);
        }
        let file =
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build())).map_err(error)?;
        Ok(Self {
            file,
            offsets,
            records: Vec::new(),
            starts: Vec::new(),
            ends: Vec::new(),
            ids: Vec::new(),
            token_starts: Vec::new(),
            token_ends: Vec::new(),
            definition: Vec::new(),
            repetition: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, sequence: Sequence<'_>, encoding: &Encoding) -> io::Result<()> {
        self.records.push(ByteArray::from(sequence.record));
        self.starts.push(sequence.start as i64);
        self.ends.push(sequence.end as i64);
        self.ids.extend(encoding.ids.iter().map(|&id| id as i32));
        if self.offsets {
            for (start, end) in places(sequence, encoding) {
                self.token_starts.push(start as i64);
                self.token_ends.push(end as i64);
            }
        }
        self.repetition.push(0);
        self.repetition.extend((1..encoding.len()).map(|_| 1));
        self.definition.extend((0..encoding.len().max(1)).map(|_| i16::from(!encoding.is_empty())));
        if self.definition.len() >= GROUP { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut group = self.file.next_row_group().map_err(error)?;
        let levels = (&self.definition[..], &self.repetition[..]);
        column::<ByteArrayType, _>(&mut group, &self.records, None)?;
        column::<Int64Type, _>(&mut group, &self.starts, None)?;
        column::<Int64Type, _>(&mut group, &self.ends, None)?;
        column::<Int32Type, _>(&mut group, &self.ids, Some(levels))?;
        if self.offsets {
            column::<Int64Type, _>(&mut group, &self.token_starts, Some(levels))?;
            column::<Int64Type, _>(&mut group, &self.token_ends, Some(levels))?;
        }
        group.close().map_err(error)?;
        self.records.clear();
        for list in [&mut self.starts, &mut self.ends, &mut self.token_starts, &mut self.token_ends] {
            list.clear();
        }
        self.ids.clear();
        self.definition.clear();
        self.repetition.clear();
        Ok(())
    }

    /// Writes what remains; the file is for the caller to commit.
    pub(super) fn finish(mut self, metadata: &Map<String, Value>) -> io::Result<AtomicFile> {
        if !self.records.is_empty() {
            self.write_group()?;
        }
        let facts = serde_json::to_string(metadata)?;
        self.file.append_key_value_metadata(KeyValue::new("kilobase".to_owned(), facts));
        self.file.into_inner().map_err(error)
    }
}

/// Writes the next column; lists have levels of definition and repetition.
fn column<T: DataType, W: io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<(&[i16], &[i16])>,
) -> io::Result<()> {
    let mut column =
        group.next_column().map_err(error)?.ok_or_else(|| io::Error::other("a column too many"))?;
    let (definition, repetition) = levels.unzip();
    column.typed::<T>().write_batch(values, definition, repetition).map_err(error)?;
    column.close().map_err(error)
}

fn error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => *inner,
            Err(inner) => io::Error::other(inner),
        },
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, RowAccessor};
    use serde_json::json;

    use super::super::{Format, Options, Writer};
    use super::*;
    use crate::tokenize::Span;

    /// The record, its first and last base, and the lists.
    type Row = (String, [i64; 2], Vec<Vec<i64>>);

    fn encoding(tokens: usize, first: u32) -> Encoding {
        let spans = (0..tokens).map(|at| Span { start: 3 * at, end: 3 * at + 3 }).collect();
        let ids = (first..).take(tokens).collect();
        Encoding { ids, spans, special: vec![false; tokens], type_ids: vec![0; tokens], second: None }
    }

    fn read(offsets: bool, encodings: &[Encoding]) -> (SerializedFileReader<File>, Vec<Row>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let options = Options { format: Format::Parquet, offsets, vocabulary: 1 << 21, force: false };
        let mut writer = Writer::create(&path, options).unwrap();
        for (at, encoding) in encodings.iter().enumerate() {
            let record = format!("r{at}\t\u{e9}");
            let sequence = Sequence { record: &record, start: 100, end: 100 + 3 * encoding.len() as u64 };
            writer.push(sequence, encoding).unwrap();
        }
        assert!(!path.exists(), "nothing before the end");
        writer.finish(&Map::from_iter([("seed".to_owned(), json!(1))])).unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let rows = reader.get_row_iter(None).unwrap().map(|row| {
            let row = row.unwrap();
            let numbers = |at: usize| -> Vec<i64> {
                let number = |field: &Field| match field {
                    Field::Int(id) => i64::from(*id),
                    Field::Long(place) => *place,
                    other => panic!("{other:?}"),
                };
                row.get_list(at).unwrap().elements().iter().map(number).collect()
            };
            let lists = if offsets { vec![numbers(3), numbers(4), numbers(5)] } else { vec![numbers(3)] };
            (row.get_string(0).unwrap().clone(), [row.get_long(1).unwrap(), row.get_long(2).unwrap()], lists)
        });
        let rows = rows.collect();
        (reader, rows)
    }

    #[test]
    fn a_row_holds_the_tokens_of_a_sequence() {
        let (reader, rows) = read(true, &[encoding(2, 7), encoding(0, 0), encoding(1, 300)]);
        let expected = [
            ("r0\t\u{e9}".to_owned(), [100, 106], vec![vec![7, 8], vec![100, 103], vec![103, 106]]),
            ("r1\t\u{e9}".to_owned(), [100, 100], vec![vec![], vec![], vec![]]),
            ("r2\t\u{e9}".to_owned(), [100, 103], vec![vec![300], vec![100], vec![103]]),
        ];
        assert_eq!(rows, expected);
        let facts = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert_eq!((facts[0].key.as_str(), facts[0].value.as_deref()), ("kilobase", Some("{\"seed\":1}")));
    }

    #[test]
    fn many_tokens_are_written_in_groups() {
        let (reader, rows) = read(false, &[encoding(GROUP, 0), encoding(5, 1)]);
        assert_eq!(reader.metadata().num_row_groups(), 2);
        assert_eq!(
            (rows[0].2[0].len(), rows[0].2[0][GROUP - 1], rows[1].2[0].clone()),
            (GROUP, GROUP as i64 - 1, vec![1, 2, 3, 4, 5])
        );
        let (reader, rows) = read(false, &[]);
        assert_eq!((reader.metadata().num_row_groups(), rows.len()), (0, 0));
    }
}
