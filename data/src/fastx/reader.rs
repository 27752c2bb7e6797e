use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use memmap2::Mmap;

use super::header::Header;
use super::inflate::{GZIP, Oddities};
use super::letters::Letters;
use super::lines::{Line, Lines};
use super::sniff::{self, Opened, Raw};
use super::text::Text;
use super::warning::Warnings;
use super::{Damage, Error, Fault, Format, Place, Record, Warning, WarningKind, fasta, fastq};
use crate::alphabet::{self, Counts, scan};

/// Which letters a sequence may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Alphabet {
    /// IUPAC nucleotide codes of either case, `U`, `-`, `.` and `*`. Old FASTQ writes `.` for a base not called.
    #[default]
    Iupac,
    /// Every byte but line ends, kept as it is: proteins, or files known to be odd.
    Any,
}

/// Options of a [`Reader`].
///
/// ```
/// use kilobase_data::fastx;
///
/// let reader = fastx::Reader::builder().alphabet(fastx::Alphabet::Any);
/// let mut reader = reader.build(&b">insulin\nMALWMRLLPL\n"[..], "proteins.fa");
/// assert_eq!(reader.next().unwrap()?.len(), 10);
/// # Ok::<(), fastx::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    alphabet: Alphabet,
    limit: usize,
    threads: usize,
}

impl Default for Builder {
    fn default() -> Self {
        // Several times the largest chromosome known, and far below what a small bomb of gzip inflates to.
        Self {
            alphabet: Alphabet::default(),
            limit: usize::try_from(1_u64 << 35).unwrap_or(usize::MAX / 2),
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }
}

impl Builder {
    /// Sets the letters that sequences may have.
    #[must_use]
    pub fn alphabet(mut self, alphabet: Alphabet) -> Self {
        self.alphabet = alphabet;
        self
    }

    /// Sets the largest header, sequence or quality in bytes; a larger one is an error. 32 GiB by default.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets on how many threads compressed text is inflated, beside the one that reads. On 1 it is inflated by the reader
    /// itself. All processors by default; what is read does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Opens a file; `-` is standard input. A file of text is mapped into memory: whoever cuts it short while it is read
    /// ends the process.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Reader, Error> {
        let path = path.as_ref();
        if path.as_os_str() == "-" {
            return Ok(self.build(io::stdin(), "standard input"));
        }
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Ok(match map(&file) {
                // What is inflated is copied anyway, and read from a mapping the whole file would count as memory.
                Some(map) if !map.starts_with(GZIP) => self.read(Raw::Mapped(map), name),
                _ => self.build(file, name),
            }),
            Err(source) => Err(Error::Io { file: name, source }),
        }
    }

    /// Reads from any stream; `name` stands for it in messages.
    pub fn build(self, stream: impl Read + Send + 'static, name: impl Into<String>) -> Reader {
        self.read(Raw::Stream(Box::new(stream)), name)
    }

    fn read(self, raw: Raw, name: impl Into<String>) -> Reader {
        Reader {
            source: Source::Raw(raw),
            options: self,
            name: name.into(),
            format: None,
            number: 0,
            warnings: Warnings::default(),
            oddities: Arc::default(),
            hashes: Vec::new(),
        }
    }
}

/// Maps a file that has a length and a content of its own, as pipes and the files of `/proc` have not.
fn map(file: &File) -> Option<Mmap> {
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return None;
    }
    // SAFETY: the mapping is private and read only. What is read from it is checked as text that may be anything, so that
    // a file that is written to meanwhile gives wrong records or an error, as it would through a buffer.
    let map = unsafe { Mmap::map(file) }.ok()?;
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::Sequential);
    Some(map)
}

/// Reads the records of a FASTA or FASTQ stream in order, one at a time.
///
/// After the first error it yields nothing more. Only a stream that ended without error was whole.
pub struct Reader {
    source: Source,
    options: Builder,
    name: String,
    format: Option<Format>,
    number: u64,
    warnings: Warnings,
    oddities: Arc<Oddities>,
    /// Of [`sum_plain`](Self::sum_plain), kept for its memory.
    hashes: Vec<u64>,
}

/// Text in which records may be read without the reader.
pub(crate) struct AtHand<'a> {
    pub(crate) text: &'a [u8],
    /// Whether parts of it may be given to other threads.
    pub(crate) whole: bool,
    /// The longest line.
    pub(crate) limit: usize,
    /// Of ids.
    pub(crate) hasher: foldhash::quality::RandomState,
}

const FOREIGN: [sniff::Magic; 3] = [(b"##file", "VCF"), (b"BAM\x01", "BAM"), (b"CRAM", "CRAM")];

enum Source {
    /// Nothing was read yet, so that opening never blocks and all errors come from reading.
    Raw(Raw),
    Text(Format, Cursor),
    Done,
}

impl Reader {
    /// Opens a file with default options; `-` is standard input.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().open(path)
    }

    /// Reads any stream with default options; `name` stands for it in messages.
    pub fn new(stream: impl Read + Send + 'static, name: impl Into<String>) -> Self {
        Self::builder().build(stream, name)
    }

    /// Options other than the default ones.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The name of the stream as messages give it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// FASTA or FASTQ; known once a record was read, never for a file without records.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// What was odd so far; complete once the stream has ended.
    pub fn warnings(&self) -> &[Warning] {
        self.warnings.as_slice()
    }

    /// Reads the next record into `record`, whose memory is used again. False at the end of the stream.
    pub fn read_record(&mut self, record: &mut Record) -> Result<bool, Error> {
        // FASTQ goes to the record itself; what a FASTA record goes to cannot be borrowed from it.
        let is_fastq = self.format == Some(Format::Fastq);
        let mut sequence = if is_fastq { Vec::new() } else { std::mem::take(&mut record.sequence) };
        sequence.clear();
        let outcome = self.advance(record, &mut sequence);
        if self.format != Some(Format::Fastq) {
            record.sequence = sequence;
        }
        self.note_end(&outcome);
        outcome
    }

    /// Counts the letters of the next record. Those of a FASTA record are not kept, so that memory does not grow with it,
    /// and of a long one in a plain file several threads of the pool count parts. False at the end of the stream.
    pub fn count_record(&mut self, record: &mut Record, counts: &mut Counts) -> Result<bool, Error> {
        *counts = Counts::default();
        let outcome = self.advance(record, counts);
        counts.add(&record.sequence);
        self.note_end(&outcome);
        outcome
    }

    /// Gives the text at hand to `sum`, when it is that of a FASTQ file between two records. `sum` reads some of the plain
    /// records that the text begins with, none among them of a line above the limit, appends the hash of each id, and tells
    /// their bytes. False when none was read.
    pub(crate) fn sum_plain(
        &mut self,
        sum: impl FnOnce(&AtHand<'_>, &mut Vec<u64>) -> usize,
    ) -> Result<bool, Error> {
        let Source::Text(Format::Fastq, cursor) = &mut self.source else { return Ok(false) };
        if cursor.alphabet != Alphabet::Iupac {
            return Ok(false);
        }
        let (limit, whole) = (cursor.limit, cursor.lines.inner().is_whole());
        let text = match cursor.lines.at_hand() {
            Ok(text) => text,
            Err(source) => {
                let outcome = Err(self.io_error(source));
                self.note_end(&outcome);
                return outcome;
            }
        };
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        let bytes = sum(&AtHand { text, whole, limit, hasher: self.warnings.hasher() }, &mut hashes);
        let (text, records) = (&text[..bytes], hashes.len() as u64);
        self.warnings.look_up();
        self.warnings.note_hashes(self.number + 1, &hashes, |at| {
            let header = text.split(|&byte| byte == b'\n').nth(4 * at).unwrap_or_default();
            let id = header.split(|&byte| byte == b' ').next().unwrap_or_default();
            String::from_utf8_lossy(id.strip_prefix(b"@").unwrap_or(id)).into_owned()
        });
        cursor.lines.take(bytes, 4 * records, 0);
        self.number += records;
        self.hashes = hashes;
        Ok(bytes > 0)
    }

    fn note_end(&mut self, outcome: &Result<bool, Error>) {
        if !matches!(outcome, Ok(true)) {
            self.source = Source::Done;
            self.warnings.look_up();
            for (odd, kind) in [
                (&self.oddities.trailing, WarningKind::TrailingBytes),
                (&self.oddities.no_end_block, WarningKind::NoEndBlock),
            ] {
                if odd.swap(false, Ordering::Relaxed) {
                    self.warnings.note(kind, 0, "");
                }
            }
        }
    }

    /// Reads a record. The letters of FASTA go to `letters`, those of FASTQ into the record.
    fn advance(&mut self, record: &mut Record, letters: &mut impl Letters) -> Result<bool, Error> {
        if matches!(self.source, Source::Raw(_)) {
            self.start()?;
        }
        let Source::Text(format, cursor) = &mut self.source else { return Ok(false) };
        record.id.clear();
        record.description.clear();
        record.sequence.clear();
        record.quality = match format {
            Format::Fasta => None,
            Format::Fastq => Some(record.quality.take().map_or_else(Vec::new, |mut quality| {
                quality.clear();
                quality
            })),
        };
        let outcome = match cursor.lines.skip_empty() {
            Ok(None) => return Ok(false),
            Ok(Some(_)) => {
                record.number = self.number + 1;
                match format {
                    Format::Fasta => fasta::read(cursor, record, letters),
                    Format::Fastq => fastq::read(cursor, record),
                }
            }
            Err(error) => Err(error.into()),
        };
        let (line, replaced) = (cursor.lines.number, cursor.replaced);
        match outcome {
            Ok(()) => {}
            Err(Failure::Io(source)) => return Err(self.io_error(source)),
            Err(Failure::Fault(fault)) => {
                let place =
                    Place { file: self.name.clone(), record: record.number, id: record.id.clone(), line };
                return Err(Error::Malformed { place, fault });
            }
        }
        self.number = record.number;
        self.warnings.note_id(self.number, &record.id);
        if replaced {
            self.warnings.note(WarningKind::DescriptionEncoding, self.number, &record.id);
        }
        Ok(true)
    }

    /// Looks at the first bytes: compression, then format.
    fn start(&mut self) -> Result<(), Error> {
        let Source::Raw(raw) = std::mem::replace(&mut self.source, Source::Done) else { return Ok(()) };
        let text = match sniff::open(raw, self.options.threads, Arc::clone(&self.oddities), &FOREIGN)
            .map_err(|error| self.io_error(error))?
        {
            Opened::Text(text) => text,
            Opened::Unsupported(format) => {
                return Err(Error::Unsupported { file: self.name.clone(), format });
            }
        };
        let mut lines = Lines::new(text);
        let format = match lines.skip_empty().map_err(|error| self.io_error(error))? {
            None => return Ok(()), // an empty file has no records, which is for the caller to judge
            Some(b'>') => Format::Fasta,
            Some(b'@') => Format::Fastq,
            Some(found) => {
                let line = lines.number + 1;
                let place = Place { file: self.name.clone(), record: 0, id: String::new(), line };
                return Err(Error::Malformed { place, fault: Fault::NoHeader { found } });
            }
        };
        self.format = Some(format);
        self.source = Source::Text(format, Cursor::new(lines, format, &self.options));
        Ok(())
    }

    fn io_error(&self, source: io::Error) -> Error {
        let file = self.name.clone();
        match source.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
            Some(damage) => Error::Damaged { file, records: self.number, damage: damage.clone() },
            None => Error::Io { file, source },
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = Record::default();
        match self.read_record(&mut record) {
            Ok(true) => Some(Ok(record)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::iter::FusedIterator for Reader {}

/// The text at the place where the next record starts.
pub(super) struct Cursor {
    pub(super) lines: Lines<Text>,
    pub(super) limit: usize,
    /// The header line of the record at hand, with its mark.
    pub(super) header: Vec<u8>,
    pub(super) scratch: Vec<u8>,
    pub(super) alphabet: Alphabet,
    mark: u8,
    pub(super) replaced: bool,
}

/// Why a record could not be read, before the reader adds where.
pub(super) enum Failure {
    Io(io::Error),
    Fault(Fault),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Cursor {
    fn new(lines: Lines<Text>, format: Format, options: &Builder) -> Self {
        Self {
            lines,
            limit: options.limit,
            header: Vec::new(),
            scratch: Vec::new(),
            mark: if format == Format::Fasta { b'>' } else { b'@' },
            alphabet: options.alphabet,
            replaced: false,
        }
    }

    /// Reads the header line into `record`.
    pub(super) fn read_header(&mut self, record: &mut Record) -> Result<(), Failure> {
        self.header.clear();
        if self.lines.read(&mut self.header, self.limit)? == Line::TooLong {
            return Err(Fault::TooLarge { limit: self.limit }.into());
        }
        match self.header.first() {
            Some(&mark) if mark == self.mark => {}
            found => return Err(Fault::HeaderMark { found: found.copied().unwrap_or(b'\n') }.into()),
        }
        let header = Header::parse(&self.header[1..])?;
        record.id.push_str(header.id);
        record.description.push_str(&header.description);
        self.replaced = header.replaced;
        Ok(())
    }

    /// Checks the letters of the line just read, of which `before` bytes were taken earlier.
    pub(super) fn check_letters(&self, line: &[u8], before: usize) -> Result<(), Fault> {
        if self.alphabet == Alphabet::Iupac && scan::is_nucleotides(line) {
            return Ok(());
        }
        if memchr::memchr(b'\r', line).is_some() {
            return Err(Fault::CarriageReturn);
        }
        if self.alphabet == Alphabet::Any {
            return Ok(());
        }
        let Some(index) = alphabet::find_foreign(line) else { return Ok(()) };
        let found = line[index];
        let protein = alphabet::is_protein_only(found)
            && line.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'*' | b'.'));
        Err(Fault::Letter { found, column: (before + index) as u64 + 1, protein })
    }
}
