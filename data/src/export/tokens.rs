//! Token ids to files, as they come: nothing is held but what is on its way.
//!
//! - TSV: a line a sequence (`record start end tokens ids`), or with offsets a line a token (`record start end id`).
//! - npy: one array of all ids, of 16 bits where the vocabulary fits, else of 32.
//! - Parquet: a row a sequence, `record start end` and the list `ids`, with offsets `token_starts` and `token_ends`.
//! - safetensors: `ids` (I32) and `cu_seqlens` (I64), and with offsets `starts` and `ends` (I64), the bases of each token.
//!
//! Beside npy and safetensors lies `OUT.index.tsv`, which tells for each sequence where its ids are, and beside every file
//! `OUT.meta.json`.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{AtomicFile, Error, Result, index_path, metadata_path, npy, remove_if_there, safetensors, table};
use crate::tokenize::Encoding;

mod format;
mod rows;

pub use format::Format;
use rows::Rows;

/// What a sequence of tokens is of.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// The record.
    pub record: &'a str,
    /// Its first base, from 0.
    pub start: u64,
    /// One past its last base.
    pub end: u64,
}

/// How ids are written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The format.
    pub format: Format,
    /// Whether the bases of each token are written too; npy has no place for them.
    pub offsets: bool,
    /// One more than the largest id.
    pub vocabulary: usize,
    /// Whether an existing file may be replaced.
    pub force: bool,
}

/// Writes the tokens of sequences.
pub struct Writer<'a> {
    options: Options,
    out: Out<'a>,
    tokens: u64,
    sequences: u64,
    line: Vec<u8>,
}

enum Out<'a> {
    Table(Table<'a>),
    Arrays(Box<Arrays>),
    Rows(Box<Rows>, PathBuf),
}

/// Lines go where they belong at once.
enum Table<'a> {
    File(AtomicFile),
    Stream(&'a mut dyn Write),
}

/// Headers come first and tell how much follows: numbers wait in files without a name.
struct Arrays {
    out: AtomicFile,
    index: AtomicFile,
    ids: BufWriter<File>,
    borders: BufWriter<File>,
    starts: BufWriter<File>,
    ends: BufWriter<File>,
}

impl Table<'_> {
    fn writer(&mut self) -> (&mut dyn Write, PathBuf) {
        match self {
            Self::File(file) => {
                let path = file.path().to_owned();
                (file, path)
            }
            Self::Stream(out) => (&mut **out, PathBuf::from("-")),
        }
    }
}

impl<'a> Writer<'a> {
    /// Begins a file.
    ///
    /// # Errors
    /// [`Error::Exists`] for one that is there and may not be replaced, and those of the system.
    pub fn create(path: &Path, options: Options) -> Result<Self> {
        let out = AtomicFile::create(path, options.force)?;
        let out = if options.format == Format::Tsv {
            Out::Table(Table::File(out))
        } else if options.format == Format::Parquet {
            let rows = Rows::new(out, options.offsets).map_err(Error::io(path))?;
            Out::Rows(Box::new(rows), path.to_owned())
        } else {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let scratch = || -> Result<BufWriter<File>> {
                let file = tempfile::tempfile_in(folder).map_err(Error::io(path))?;
                Ok(BufWriter::with_capacity(1 << 16, file))
            };
            let mut index = AtomicFile::create(index_path(path), true)?;
            let columns = ["sequence", "record", "start", "end", "first_token", "tokens"];
            table::write_line(&mut index, columns, []).map_err(Error::io(index_path(path)))?;
            Out::Arrays(Box::new(Arrays {
                out,
                index,
                ids: scratch()?,
                borders: scratch()?,
                starts: scratch()?,
                ends: scratch()?,
            }))
        };
        Self { options, out, tokens: 0, sequences: 0, line: Vec::new() }.begun()
    }

    /// Begins a table on a stream, such as standard output. Other formats need a file.
    pub fn stream(out: &'a mut dyn Write, options: Options) -> Result<Self> {
        if options.format != Format::Tsv {
            return Err(Error::UnknownFormat { name: format!("{} on standard output", options.format) });
        }
        let out = Out::Table(Table::Stream(out));
        Self { options, out, tokens: 0, sequences: 0, line: Vec::new() }.begun()
    }

    fn begun(mut self) -> Result<Self> {
        if let Out::Table(table) = &mut self.out {
            let (out, path) = table.writer();
            let columns: &[&str] = if self.options.offsets {
                &["record", "start", "end", "id"]
            } else {
                &["record", "start", "end", "tokens", "ids"]
            };
            table::write_line(out, columns.iter().copied(), []).map_err(Error::io(path))?;
        }
        Ok(self)
    }

    /// Tokens written so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Adds the tokens of a sequence.
    pub fn push(&mut self, sequence: Sequence<'_>, encoding: &Encoding) -> Result<()> {
        let first = self.tokens;
        self.tokens += encoding.len() as u64;
        self.sequences += 1;
        let number = self.sequences - 1;
        match &mut self.out {
            Out::Table(table) => {
                let line = &mut self.line;
                line.clear();
                if self.options.offsets {
                    token_lines(line, sequence, encoding).map_err(Error::io("-"))?;
                } else {
                    sequence_line(line, sequence, encoding).map_err(Error::io("-"))?;
                }
                let (out, path) = table.writer();
                out.write_all(line).map_err(Error::io(path))
            }
            Out::Rows(rows, path) => rows.push(sequence, encoding).map_err(Error::io(&*path)),
            Out::Arrays(arrays) => {
                let path = arrays.out.path().to_owned();
                arrays.push(sequence, encoding, self.options, number, first).map_err(Error::io(path))
            }
        }
    }

    /// Writes what remains, and gives the files their names. A stream has no metadata.
    pub fn finish(self, metadata: &Map<String, Value>) -> Result<()> {
        match self.out {
            Out::Table(Table::Stream(out)) => out.flush().map_err(Error::io("-")),
            Out::Table(Table::File(out)) => commit(out, self.options, metadata),
            Out::Rows(rows, path) => {
                commit(rows.finish(metadata).map_err(Error::io(path))?, self.options, metadata)
            }
            Out::Arrays(mut arrays) => {
                let path = arrays.out.path().to_owned();
                arrays
                    .write(self.options, self.tokens, self.sequences, metadata)
                    .map_err(Error::io(&path))?;
                let side = side_file(&path, metadata)?;
                if self.options.force {
                    remove_if_there(&path)?;
                }
                side.commit()?;
                arrays.index.commit()?;
                arrays.out.commit()
            }
        }
    }
}

/// Gives a file that tells all itself its name, and its metadata.
fn commit(out: AtomicFile, options: Options, metadata: &Map<String, Value>) -> Result<()> {
    let path = out.path().to_owned();
    let side = side_file(&path, metadata)?;
    if options.force {
        remove_if_there(&path)?;
    }
    side.commit()?;
    remove_if_there(&index_path(&path))?;
    out.commit()
}

fn side_file(path: &Path, metadata: &Map<String, Value>) -> Result<AtomicFile> {
    let path = metadata_path(path);
    let mut file = AtomicFile::create(&path, true)?;
    serde_json::to_writer_pretty(&mut file, metadata)?;
    file.write_all(b"\n").map_err(Error::io(path))?;
    Ok(file)
}

fn sequence_line(line: &mut Vec<u8>, sequence: Sequence<'_>, encoding: &Encoding) -> io::Result<()> {
    let numbers = [sequence.start, sequence.end, encoding.len() as u64].map(|number| number.to_string());
    let mut ids = String::with_capacity(5 * encoding.len());
    for (at, &id) in encoding.ids.iter().enumerate() {
        if at > 0 {
            ids.push(' ');
        }
        push_number(&mut ids, u64::from(id));
    }
    let cells = [sequence.record, &numbers[0], &numbers[1], &numbers[2], &ids];
    table::write_line(line, cells, [])
}

fn token_lines(line: &mut Vec<u8>, sequence: Sequence<'_>, encoding: &Encoding) -> io::Result<()> {
    let mut record = Vec::new();
    table::write_line(&mut record, [sequence.record], [])?;
    record.pop();
    let mut numbers = String::new();
    for (&id, (start, end)) in encoding.ids.iter().zip(places(sequence, encoding)) {
        numbers.clear();
        for number in [start, end, u64::from(id)] {
            numbers.push('\t');
            push_number(&mut numbers, number);
        }
        numbers.push('\n');
        line.extend_from_slice(&record);
        line.extend_from_slice(numbers.as_bytes());
    }
    Ok(())
}

/// The bases of each token in its record. A mark stands where the text before it ends.
fn places(sequence: Sequence<'_>, encoding: &Encoding) -> impl Iterator<Item = (u64, u64)> {
    let mut before = sequence.start;
    encoding.spans.iter().zip(&encoding.special).map(move |(span, &special)| {
        if special {
            return (before, before);
        }
        before = sequence.start + span.end as u64;
        (sequence.start + span.start as u64, before)
    })
}

/// Formatting would take longer than tokenizing.
fn push_number(text: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

impl Arrays {
    fn push(
        &mut self,
        sequence: Sequence<'_>,
        encoding: &Encoding,
        options: Options,
        number: u64,
        first: u64,
    ) -> io::Result<()> {
        let tokens = encoding.len() as u64;
        let numbers = [number, sequence.start, sequence.end, first, tokens].map(|number| number.to_string());
        let [number, start, end, first, tokens] = numbers.each_ref().map(String::as_str);
        table::write_line(&mut self.index, [number, sequence.record, start, end, first, tokens], [])?;
        for &id in &encoding.ids {
            if options.is_short() {
                self.ids.write_all(&(id as u16).to_le_bytes())?;
            } else {
                self.ids.write_all(&id.to_le_bytes())?;
            }
        }
        if options.format == Format::Safetensors {
            self.borders.write_all(&first.parse::<u64>().unwrap_or_default().to_le_bytes())?;
        }
        if options.offsets {
            for (start, end) in places(sequence, encoding) {
                self.starts.write_all(&start.to_le_bytes())?;
                self.ends.write_all(&end.to_le_bytes())?;
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        options: Options,
        tokens: u64,
        sequences: u64,
        metadata: &Map<String, Value>,
    ) -> io::Result<()> {
        if options.format == Format::Npy {
            let descr = if options.is_short() { "<u2" } else { "<u4" };
            self.out.write_all(&npy::header_of(descr, &[tokens]))?;
            return append(&mut self.ids, &mut self.out);
        }
        self.borders.write_all(&tokens.to_le_bytes())?;
        let mut tensors = vec![("cu_seqlens", "I64", sequences + 1, 8)];
        if options.offsets {
            tensors.extend([("starts", "I64", tokens, 8), ("ends", "I64", tokens, 8)]);
        }
        // Numbers of 8 bytes first, so that all lie at multiples of their size.
        tensors.push(("ids", "I32", tokens, 4));
        self.out.write_all(&safetensors::header_of(&tensors, metadata)?)?;
        append(&mut self.borders, &mut self.out)?;
        if options.offsets {
            append(&mut self.starts, &mut self.out)?;
            append(&mut self.ends, &mut self.out)?;
        }
        append(&mut self.ids, &mut self.out)
    }
}

impl Options {
    /// Whether ids are written in 16 bits.
    fn is_short(self) -> bool {
        self.format == Format::Npy && self.vocabulary <= 1 << 16
    }
}

fn append(from: &mut BufWriter<File>, to: &mut impl Write) -> io::Result<()> {
    from.flush()?;
    let file = from.get_mut();
    file.seek(SeekFrom::Start(0))?;
    io::copy(file, to).map(|_| ())
}

/// The metadata that every file of tokens has.
pub fn metadata(tokenizer: &dyn crate::tokenize::Tokenizer) -> Map<String, Value> {
    let facts = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "tokenize",
        "tokenizer": tokenizer.name(),
        "tokenizer_sha256": tokenizer.fingerprint(),
        "vocabulary": tokenizer.vocab_size(),
    });
    match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::Span;

    fn encoding(ids: &[u32]) -> Encoding {
        let spans = (0..ids.len()).map(|at| Span { start: 2 * at, end: 2 * at + 2 }).collect();
        let (special, type_ids) = (vec![false; ids.len()], vec![0; ids.len()]);
        Encoding { ids: ids.to_vec(), spans, special, type_ids, second: None }
    }

    const A: Sequence<'_> = Sequence { record: "a\tb", start: 10, end: 14 };
    const B: Sequence<'_> = Sequence { record: "c", start: 0, end: 0 };

    fn options(format: Format, offsets: bool, vocabulary: usize) -> Options {
        Options { format, offsets, vocabulary, force: false }
    }

    fn written(options: Options, name: &str) -> (Vec<u8>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut writer = Writer::create(&path, options).unwrap();
        writer.push(A, &encoding(&[7, 300])).unwrap();
        writer.push(B, &encoding(&[])).unwrap();
        assert!(!path.exists(), "nothing before the end");
        writer.finish(&Map::from_iter([("seed".to_owned(), json!(1))])).unwrap();
        assert!(metadata_path(&path).exists());
        (std::fs::read(&path).unwrap(), std::fs::read_to_string(index_path(&path)).ok())
    }

    #[test]
    fn tables_have_a_line_a_sequence_or_a_token() {
        let (text, index) = written(options(Format::Tsv, false, 400), "x.tsv");
        let expected = "record\tstart\tend\ttokens\tids\na\\tb\t10\t14\t2\t7 300\nc\t0\t0\t0\t\n";
        assert_eq!((String::from_utf8(text).unwrap().as_str(), index), (expected, None));
        let (text, _) = written(options(Format::Tsv, true, 400), "x.tsv");
        let expected = "record\tstart\tend\tid\na\\tb\t10\t12\t7\na\\tb\t12\t14\t300\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn arrays_are_read_by_their_formats() {
        let (npy, index) = written(options(Format::Npy, false, 400), "x.npy");
        assert!(npy.windows(40).any(|text| text == b"'<u2', 'fortran_order': False, 'shape': "));
        assert_eq!(npy[npy.len() - 4..], [7, 0, 44, 1]);
        let expected =
            "sequence\trecord\tstart\tend\tfirst_token\ttokens\n0\ta\\tb\t10\t14\t0\t2\n1\tc\t0\t0\t2\t0\n";
        assert_eq!(index.unwrap(), expected);
        let (npy, _) = written(options(Format::Npy, false, 1 << 20), "x.npy");
        assert_eq!(npy[npy.len() - 8..], [7, 0, 0, 0, 44, 1, 0, 0]);

        let (file, _) = written(options(Format::Safetensors, true, 400), "x.safetensors");
        let tensors = ::safetensors::SafeTensors::deserialize(&file).unwrap();
        let numbers = |name: &str| -> Vec<i64> {
            let tensor = tensors.tensor(name).unwrap();
            let size = tensor.data().len() / tensor.shape()[0].max(1);
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | i64::from(byte));
            tensor.data().chunks(size.max(1)).map(number).collect()
        };
        assert_eq!((numbers("ids"), numbers("cu_seqlens")), (vec![7, 300], vec![0, 2, 2]));
        assert_eq!((numbers("starts"), numbers("ends")), (vec![10, 12], vec![12, 14]));
    }

    #[test]
    fn an_existing_file_is_kept_and_arrays_need_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        std::fs::write(&path, b"old").unwrap();
        assert!(matches!(Writer::create(&path, options(Format::Npy, false, 9)), Err(Error::Exists { .. })));
        assert!(Writer::stream(&mut Vec::new(), options(Format::Npy, false, 9)).is_err());
    }
}
