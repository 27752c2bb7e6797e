use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::blocks::Blocks;
use super::bytes::Bytes;
use super::index::{self, Entry, Fit, Stale};
use super::scan::{self, Layout};
use super::{Error, Result, like};
use crate::alphabet;
use crate::fastx::inflate::{Inflate, read_up_to};
use crate::fastx::{self, Warning, WarningKind};

/// A sequence of a [`Reference`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contig {
    /// The first word of the header.
    pub name: String,
    /// Bases.
    pub length: u64,
}

/// Where the index of a [`Reference`] comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexOrigin {
    /// The `.fai` file beside the FASTA file.
    File,
    /// A pass over the file, which has no `.fai` file beside it.
    Built,
    /// A pass over the file, because its `.fai` file does not belong to it.
    Rebuilt(Stale),
    /// The bases are held in memory: the file is gzip, or its lines have several lengths.
    Memory,
}

/// Options of a [`Reference`].
#[derive(Debug, Clone)]
pub struct Builder {
    memory: u64,
}

impl Default for Builder {
    fn default() -> Self {
        // The human genome, and not much more.
        Self { memory: 4 << 30 }
    }
}

impl Builder {
    /// Sets how many bases are held in memory at most, where a file cannot be read from any place. 4 GiB by default; more
    /// is an error that says how to do without.
    #[must_use]
    pub fn max_in_memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Opens a FASTA file. See [`Reference`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Reference> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(Error::io(&name))?;
        let mut magic = [0; 6];
        let found = read_up_to(&mut file, &mut magic).map_err(Error::io(&name))?;
        if let Some(format) = fastx::sniff::unsupported(&magic[..found]) {
            return Err(Error::Unsupported { file: name, format });
        }
        if !magic.starts_with(&[0x1f, 0x8b]) {
            return self.index(path, name, Bytes::Plain(file));
        }
        match blocks(path, &mut file).map_err(Error::io(&name))? {
            Some(blocks) => self.index(path, name, Bytes::Blocks(file, blocks)),
            None => self.load(path, name, "it is gzip and not bgzf", "write it with bgzip instead of gzip"),
        }
    }

    /// Uses the `.fai` file, or reads the file once.
    fn index(&self, path: &Path, name: String, mut bytes: Bytes) -> Result<Reference> {
        let index_path = with_suffix(path, ".fai");
        let mut origin = IndexOrigin::Built;
        if let Some(index) = read_if_there(&index_path)? {
            let fit = match index::parse(&index) {
                Ok(entries) => match index::check(&entries, &mut bytes).map_err(Error::io(&name))? {
                    Fit::Fresh => return Ok(Reference::new(name, IndexOrigin::File, entries, bytes)),
                    fit => fit,
                },
                Err(stale) => Fit::Stale(stale),
            };
            match fit {
                Fit::Short { contig, missing } => {
                    let index = index_path.display().to_string();
                    return Err(Error::Truncated { file: name, contig, missing, index });
                }
                Fit::Stale(stale) => origin = IndexOrigin::Rebuilt(stale),
                Fit::Fresh => {}
            }
        }
        let layout = match &mut bytes {
            Bytes::Plain(file) => {
                scan_from_start(file, &name, |file| BufReader::with_capacity(1 << 17, file))?
            }
            Bytes::Blocks(file, _) => scan_from_start(file, &name, |file| {
                let file = BufReader::with_capacity(1 << 17, file);
                BufReader::with_capacity(1 << 17, Inflate::new(file, Arc::default()))
            })?,
        };
        match layout {
            Layout::Even(entries) => Ok(Reference::new(name, origin, entries, bytes)),
            Layout::Ragged => {
                let why = "it has contigs whose lines are not of one length";
                self.load(path, name, why, "wrap its lines evenly (seqkit seq -w 60)")
            }
        }
    }

    /// Holds all bases in memory.
    fn load(&self, path: &Path, name: String, why: &'static str, remedy: &'static str) -> Result<Reference> {
        let limit = self.memory;
        let too_large = |file: String| Error::TooLarge { file, why, limit, remedy };
        let mut reader = fastx::Reader::builder()
            .max_record(usize::try_from(limit).unwrap_or(usize::MAX / 2))
            .open(path)?;
        let (mut entries, mut sequences, mut total) = (Vec::new(), Vec::new(), 0);
        for record in reader.by_ref() {
            let record = match record {
                Ok(record) => record,
                Err(fastx::Error::Malformed { fault: fastx::Fault::TooLarge { .. }, .. }) => {
                    return Err(too_large(name));
                }
                Err(error) => return Err(error.into()),
            };
            if record.quality.is_some() {
                return Err(Error::NotFasta { file: name, line: 1, found: b'@' });
            }
            let length = record.sequence.len() as u64;
            total += length;
            if total > limit {
                return Err(too_large(name));
            }
            entries.push(Entry { name: record.id, length, offset: 0, line_bases: 1, line_bytes: 1 });
            let mut sequence = record.sequence;
            sequence.shrink_to_fit();
            sequences.push(sequence);
        }
        if entries.is_empty() {
            return Err(Error::Empty { file: name });
        }
        let warnings = reader
            .warnings()
            .iter()
            .filter(|warning| matches!(warning.kind, WarningKind::NoEndBlock | WarningKind::TrailingBytes))
            .cloned()
            .collect();
        let mut reference = Reference::of(name, IndexOrigin::Memory, entries, Source::Memory(sequences));
        if reference.names.len() < reference.contigs.len() {
            let contig = first_repeated(&reference.contigs).to_owned();
            return Err(Error::DuplicateContig { file: reference.file, contig });
        }
        reference.warnings = warnings;
        Ok(reference)
    }
}

/// A FASTA file of which any stretch can be read.
///
/// - Plain and bgzf files are read where the bases lie. Their `.fai` (and `.gzi`) files are used when they are there and
///   belong to the file: the headers must be where they say, and the file must end where they say. Without them, the file
///   is read once to find the places; nothing is ever written beside the user's file.
/// - Other gzip files, and files whose lines are not of one length, are held in memory, up to
///   [`Builder::max_in_memory`].
///
/// Letters are IUPAC codes of either case; anything else is an error, where it is met. Lower case marks repeats in many
/// genomes and must not matter to a model: [`fetch`](Self::fetch) gives upper case, [`fetch_raw`](Self::fetch_raw) the
/// letters of the file. All methods may be called from several threads.
#[derive(Debug)]
pub struct Reference {
    file: String,
    origin: IndexOrigin,
    contigs: Vec<Contig>,
    names: HashMap<String, usize>,
    /// Contigs by what their names have in common with others, made when a name is not found.
    similar: OnceLock<HashMap<String, usize>>,
    entries: Vec<Entry>,
    source: Source,
    warnings: Vec<Warning>,
}

enum Source {
    File(Mutex<Bytes>),
    /// The bases of each contig.
    Memory(Vec<Vec<u8>>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Memory(_) => "Memory",
        })
    }
}

impl Reference {
    /// Opens a FASTA file with default options.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// Options other than the default ones.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn new(file: String, origin: IndexOrigin, entries: Vec<Entry>, bytes: Bytes) -> Self {
        let cut = matches!(&bytes, Bytes::Blocks(_, blocks) if !blocks.has_end);
        let mut reference = Self::of(file, origin, entries, Source::File(Mutex::new(bytes)));
        if cut {
            let kind = WarningKind::NoEndBlock;
            reference.warnings.push(Warning { kind, count: 1, record: 0, id: String::new() });
        }
        reference
    }

    fn of(file: String, origin: IndexOrigin, entries: Vec<Entry>, source: Source) -> Self {
        let contigs: Vec<Contig> =
            entries.iter().map(|entry| Contig { name: entry.name.clone(), length: entry.length }).collect();
        let names = contigs.iter().enumerate().map(|(at, contig)| (contig.name.clone(), at)).collect();
        let (similar, warnings) = (OnceLock::new(), Vec::new());
        Self { file, origin, contigs, names, similar, entries, source, warnings }
    }

    /// The file's name as messages give it.
    pub fn name(&self) -> &str {
        &self.file
    }

    /// All contigs, in the order of the file, or of its index file.
    pub fn contigs(&self) -> &[Contig] {
        &self.contigs
    }

    /// The contig of this name.
    pub fn contig(&self, name: &str) -> Result<&Contig> {
        self.find(name).map(|at| &self.contigs[at])
    }

    /// Where the index came from.
    pub fn index_origin(&self) -> &IndexOrigin {
        &self.origin
    }

    /// What is odd about the file: a bgzf file without its last block, bytes after the end of a gzip stream.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The bases `range` (from 0, half open) of a contig, in upper case.
    pub fn fetch(&self, contig: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bases = self.fetch_raw(contig, range)?;
        alphabet::to_upper(&mut bases);
        Ok(bases)
    }

    /// The bases `range` (from 0, half open) of a contig as the file has them: lower case marks repeats in many genomes.
    pub fn fetch_raw(&self, contig: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let at = self.find(contig)?;
        let (entry, length) = (&self.entries[at], self.contigs[at].length);
        let (start, end) = (range.start.saturating_add(1), range.end);
        if range.end > length || range.start > range.end {
            return Err(Error::PastEnd {
                file: self.file.clone(),
                contig: contig.to_owned(),
                start,
                end,
                length,
            });
        }
        match &self.source {
            Source::Memory(sequences) => Ok(sequences[at][range.start as usize..range.end as usize].to_vec()),
            Source::File(bytes) => {
                let count = (range.end - range.start) as usize;
                let mut bases = Vec::new();
                let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.read(entry.bytes(&range), &mut bases).map_err(Error::io(&self.file))?;
                drop(bytes);
                bases.retain(|byte| !matches!(byte, b'\n' | b'\r'));
                if bases.len() != count {
                    return Err(Error::Changed {
                        file: self.file.clone(),
                        contig: contig.to_owned(),
                        start,
                        end,
                    });
                }
                match alphabet::find_foreign(&bases) {
                    None => Ok(bases),
                    Some(at) => Err(Error::Letter {
                        file: self.file.clone(),
                        contig: contig.to_owned(),
                        position: range.start + at as u64 + 1,
                        found: bases[at],
                    }),
                }
            }
        }
    }

    fn find(&self, contig: &str) -> Result<usize> {
        self.names.get(contig).copied().ok_or_else(|| {
            // Kept, because a file of variants may ask a million times.
            let similar = self.similar.get_or_init(|| {
                let contigs = self.contigs.iter().enumerate().rev();
                contigs.flat_map(|(at, contig)| like::keys(&contig.name).map(move |key| (key, at))).collect()
            });
            let similar = like::keys(contig).find_map(|key| similar.get(&key));
            Error::UnknownContig {
                file: self.file.clone(),
                contig: contig.to_owned(),
                similar: similar.map(|&at| self.contigs[at].name.clone()),
            }
        })
    }
}

fn scan_from_start<'f, R: io::BufRead>(
    file: &'f mut File,
    name: &str,
    text: impl FnOnce(&'f mut File) -> R,
) -> Result<Layout> {
    file.seek(SeekFrom::Start(0)).map_err(Error::io(name))?;
    scan::scan(text(file), name)
}

/// The blocks of a bgzf file; none when it is gzip of another kind.
fn blocks(path: &Path, file: &mut File) -> io::Result<Option<Blocks>> {
    let index = match File::open(with_suffix(path, ".gzi")) {
        Ok(index) => {
            // 16 bytes a block, of which each has at least 26: a longer index belongs to another file.
            let mut bytes = Vec::new();
            index.take(file.metadata()?.len() + 8).read_to_end(&mut bytes)?;
            Blocks::from_index(&bytes, file)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    index.map_or_else(|| Blocks::walk(file), |blocks| Ok(Some(blocks)))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(&path.display().to_string())(error)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn first_repeated(contigs: &[Contig]) -> &str {
    let mut seen = std::collections::HashSet::new();
    contigs.iter().map(|contig| contig.name.as_str()).find(|name| !seen.insert(*name)).unwrap_or_default()
}
