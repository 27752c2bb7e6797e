//! A file as a pool.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::container::{HASH, HEADER, Header};
use super::enzymes::Enzyme;
use super::format::{Book, Format};
use super::manifest::Manifest;
use super::outer::Geometry;
use super::screen::{Rules, Score};
use super::strand::{Codec, SALTS};
use super::{Error, Result};
use crate::dloco::alphabet::{LETTERS, to_symbols};

/// The file to encode, read once for its hash, and compressed if asked for.
#[derive(Debug)]
pub struct Source {
    body: File,
    body_len: u64,
    file_len: u64,
    sha256: [u8; 32],
    zstd: bool,
}

impl Source {
    /// A file; it is read again while the pool is written.
    pub fn open(path: &Path, level: Option<i32>) -> Result<Self> {
        let what = || path.display().to_string();
        let mut file = File::open(path).map_err(Error::io(what()))?;
        let regular = file.metadata().map_err(Error::io(what()))?.is_file();
        if level.is_some() || !regular {
            return Self::spool(file, level, &what());
        }
        let mut stream = Hashing { inner: &file, hash: Sha256::new(), bytes: 0 };
        io::copy(&mut stream, &mut io::sink()).map_err(Error::io(what()))?;
        let Hashing { hash, bytes: file_len, .. } = stream;
        file.rewind().map_err(Error::io(what()))?;
        Ok(Self { body: file, body_len: file_len, file_len, sha256: hash.finalize().into(), zstd: false })
    }

    /// A stream called `name`, which is kept in a temporary file, compressed at `level` if there is one.
    pub fn spool(stream: impl Read, level: Option<i32>, name: &str) -> Result<Self> {
        let temporary = || Error::io("the temporary file for the data");
        let mut body = tempfile::tempfile().map_err(temporary())?;
        let mut stream = Hashing { inner: stream, hash: Sha256::new(), bytes: 0 };
        if let Some(level) = level {
            zstd::stream::copy_encode(&mut stream, &mut body, level).map_err(Error::io(name))?;
        } else {
            io::copy(&mut stream, &mut body).map_err(Error::io(name))?;
        }
        let body_len = body.stream_position().map_err(temporary())?;
        body.rewind().map_err(temporary())?;
        let Hashing { hash, bytes: file_len, .. } = stream;
        Ok(Self { body, body_len, file_len, sha256: hash.finalize().into(), zstd: level.is_some() })
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Bytes that are laid on strands.
    pub fn container_len(&self) -> u64 {
        HEADER as u64 + self.body_len
    }
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// A pool to be written.
pub struct Pool {
    source: Source,
    codec: Codec,
    geometry: Geometry,
    rules: Rules,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Oligos.
    pub strands: u64,
    /// Of them, with another salt than the first.
    pub salted: u64,
    /// Of them, for which no salt kept all rules.
    pub unclean: u64,
    /// Broken rules of those, all together.
    pub broken: Score,
    /// Nucleotides, with primers.
    pub nucleotides: u64,
    /// Of them, G and C.
    pub strong: u64,
}

impl Pool {
    /// Lays `source` on strands of `format`; parity strands are the share `redundancy` of all.
    pub fn plan(source: Source, format: &Format, redundancy: f64, enzymes: Vec<Enzyme>) -> Result<Self> {
        let codec = Codec::new(format)?;
        let geometry = Geometry::new(source.container_len(), format.payload_bytes, redundancy)?;
        let limit = 1_u64 << format.index_bits;
        if geometry.total() > limit {
            let (strands, index_bits) = (geometry.total(), format.index_bits);
            return Err(Error::TooLarge { strands, index_bits, limit });
        }
        let [forward, reverse] = [&format.forward_primer, &format.reverse_primer]
            .map(|primer| to_symbols(primer.as_bytes()).expect("letters were checked with the format"));
        let rules = Rules::new(format.run_limit, &forward, &reverse, enzymes);
        Ok(Self { source, codec, geometry, rules })
    }

    /// How the file is cut.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The manifest, for the file's name.
    pub fn manifest(&self, file: &str) -> Manifest {
        Manifest {
            archive: "DLC1".to_owned(),
            file: file.to_owned(),
            file_bytes: self.source.file_len,
            file_sha256: hex::encode(self.source.sha256),
            zstd: self.source.zstd,
            format: self.codec.format().clone(),
            groups: self.geometry.groups,
            data_strands: self.geometry.data,
            parity_strands: self.geometry.parity,
            manifest_sha256: String::new(),
        }
    }

    fn header(&self) -> Header {
        Header {
            zstd: self.source.zstd,
            format: self.codec.format().clone(),
            strands: self.geometry.strands(),
            data: self.geometry.data,
            file_len: self.source.file_len,
            hash: self.source.sha256[..HASH].try_into().expect("a hash has more bytes"),
        }
    }

    /// Writes the oligos as FASTA, one group after the other; `progress` hears of the strands of each.
    pub fn write(&mut self, out: &mut impl Write, mut progress: impl FnMut(u64)) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut content = self.header().to_bytes().to_vec();
        let mut left = self.source.body_len;
        let mut hash = Sha256::new();
        for group in 0..self.geometry.groups {
            let room = (self.geometry.capacity() - content.len()) as u64;
            let take = room.min(left);
            let start = content.len();
            let read = (&mut self.source.body).take(take).read_to_end(&mut content);
            read.map_err(Error::io("the data, read again"))?;
            if (content.len() - start) as u64 != take {
                return Err(changed());
            }
            hash.update(&content[start..]);
            left -= take;
            let first = group as u64 * self.geometry.strands() as u64;
            self.write_group(first, &self.geometry.encode(&content), &mut counts, out)?;
            content.clear();
            progress(self.geometry.strands() as u64);
        }
        // A file that changed meanwhile would make a pool that nothing can verify.
        if !self.source.zstd && self.source.sha256 != *hash.finalize() {
            return Err(changed());
        }
        Ok(counts)
    }

    fn write_group(
        &self,
        first: u64,
        payloads: &[u8],
        counts: &mut Counts,
        out: &mut impl Write,
    ) -> Result<()> {
        let payload = self.geometry.payload;
        let parts: Vec<(Vec<u8>, Counts)> = payloads
            .par_chunks(payload * 256)
            .enumerate()
            .map(|(part, payloads)| {
                let (mut text, mut counts) = (Vec::new(), Counts::default());
                for (number, payload) in payloads.chunks_exact(payload).enumerate() {
                    let index = first + (part * 256 + number) as u64;
                    let oligo = self.oligo(index, payload, &mut counts);
                    text.extend(format!(">{index}\n").bytes());
                    text.extend(oligo.iter().map(|&symbol| LETTERS[usize::from(symbol & 3)]));
                    text.push(b'\n');
                }
                (text, counts)
            })
            .collect();
        for (text, part) in parts {
            out.write_all(&text).map_err(Error::io("the pool"))?;
            counts.add(&part);
        }
        Ok(())
    }

    /// The oligo of a strand: with the first salt that keeps all rules, or the best.
    fn oligo(&self, index: u64, payload: &[u8], counts: &mut Counts) -> Vec<u8> {
        let strand = |salt| self.codec.encode(index, payload, salt);
        let clean = (0..SALTS).map(|salt| (salt, strand(salt))).find(|(_, strand)| self.rules.keeps(strand));
        let (score, salt, strand) = match clean {
            Some((salt, strand)) => (Score::default(), salt, strand),
            None => (0..SALTS)
                .map(|salt| (salt, strand(salt)))
                .map(|(salt, strand)| (self.rules.score(&strand), salt, strand))
                .min_by_key(|(score, salt, _)| (*score, *salt))
                .expect("there is a salt"),
        };
        let oligo = self.rules.oligo(&strand);
        counts.add(&Counts {
            strands: 1,
            salted: u64::from(salt > 0),
            unclean: u64::from(!score.is_clean()),
            broken: score,
            nucleotides: oligo.len() as u64,
            strong: oligo.iter().filter(|&&symbol| symbol >= 2).count() as u64,
        });
        oligo
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.source.file_len
    }

    /// Payload bits of the file a nucleotide of strand, primers not counted: what the archive pays for everything.
    pub fn net_rate(&self) -> f64 {
        let nucleotides = self.geometry.total() * self.codec.format().strand_length() as u64;
        8.0 * self.source.file_len as f64 / nucleotides as f64
    }

    /// Nucleotides of the pool, primers counted.
    pub fn nucleotides(&self) -> u64 {
        self.geometry.total() * self.codec.format().oligo_length() as u64
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.strands += other.strands;
        self.salted += other.salted;
        self.unclean += other.unclean;
        self.nucleotides += other.nucleotides;
        self.strong += other.strong;
        let (sum, more) = (&mut self.broken, &other.broken);
        sum.runs += more.runs;
        sum.sites += more.sites;
        sum.primers += more.primers;
        sum.hairpins += more.hairpins;
        sum.gc += more.gc;
    }
}

fn changed() -> Error {
    let source = io::Error::new(io::ErrorKind::InvalidData, "it changed while it was read");
    Error::Io { what: "the file to encode".to_owned(), source }
}

impl Format {
    /// Name of the codebook.
    pub fn book_name(&self) -> &'static str {
        match self.codebook {
            Book::Residue => "residue",
            Book::Hamming => "hamming",
        }
    }
}
