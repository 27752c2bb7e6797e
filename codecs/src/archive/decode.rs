//! Reads of a pool as the file.

use std::io::{self, Read, Write};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::cluster::{Packed, cluster};
use super::consensus::{Consensus, consensus, draft};
use super::container::{HASH, HEADER, Header};
use super::error::LostGroup;
use super::format::{Format, PRESETS};
use super::manifest::Manifest;
use super::outer::Geometry;
use super::primers::Primers;
use super::report::{COVERAGES, Edits, Group, Report};
use super::strand::{Codec, Strand};
use super::votes::{Vote, Votes};
use super::{Error, Result, align};
use crate::dloco::alphabet::{FOREIGN, SYMBOLS, to_symbols};

/// Length of a read that may be of use in a cluster, as a share of the strand's.
const LENGTHS: std::ops::RangeInclusive<f64> = 0.8..=1.2;
/// Reads of a cluster that vote.
const VOTERS: usize = 20;
/// Doubts of a consensus that are tried.
const DOUBTS: usize = 12;
/// Ways to leave out doubtful strands of a group.
const TRIES: usize = 40;

/// Collects what reads say, and restores the file.
pub struct Decoder {
    codec: Codec,
    primers: Primers,
    manifest: Option<Manifest>,
    /// Strands of the pool; without a manifest any number.
    total: u64,
    votes: Votes,
    failed: Packed,
    report: Report,
}

impl Decoder {
    /// For a pool with a manifest.
    pub fn new(manifest: Manifest) -> Result<Self> {
        Self::with(&manifest.format.clone(), Some(manifest))
    }

    /// For a pool of which only the format is known.
    pub fn without_manifest(format: &Format) -> Result<Self> {
        Self::with(format, None)
    }

    fn with(format: &Format, manifest: Option<Manifest>) -> Result<Self> {
        let codec = Codec::new(format)?;
        let [forward, reverse] =
            [&format.forward_primer, &format.reverse_primer].map(|primer| to_symbols(primer.as_bytes()));
        let primers = Primers::new(&forward?, &reverse?);
        let (votes, failed, report) = Default::default();
        let total = match &manifest {
            Some(manifest) => manifest.geometry()?.total(),
            None => u64::MAX,
        };
        Ok(Self { codec, primers, manifest, total, votes, failed, report })
    }

    /// Takes reads up, in letters. A letter that is no nucleotide counts as an error.
    pub fn push(&mut self, reads: &[Vec<u8>]) {
        let heard: Vec<Heard> = reads.par_iter().map(|read| self.hear(read)).collect();
        for heard in heard {
            self.report.reads += 1;
            match heard {
                Heard::Strand(strand, cost, edits) => {
                    self.report.understood += 1;
                    self.report.understood_edits.add(&edits);
                    self.votes.add(strand, cost);
                }
                Heard::Noise(read) => {
                    self.report.failed += 1;
                    self.failed.push(&read);
                }
                Heard::Nothing => self.report.without_primers += 1,
            }
        }
    }

    fn hear(&self, read: &[u8]) -> Heard {
        let symbol = |&letter: &u8| match SYMBOLS[usize::from(letter)] {
            FOREIGN => 0,
            symbol => symbol,
        };
        let read: Vec<u8> = read.iter().map(symbol).collect();
        let length = self.codec.format().strand_length();
        let mut strands = self.primers.trim(&read);
        strands.retain(|strand| LENGTHS.contains(&(strand.len() as f64 / length as f64)));
        for strand in &strands {
            if let Some((said, explanation)) = self.codec.decode(strand, |index| index < self.total) {
                let edits = Edits {
                    symbols: length as u64,
                    substitutions: explanation.substitutions as u64,
                    deletions: explanation.deletions as u64,
                    insertions: explanation.insertions as u64,
                };
                return Heard::Strand(said, explanation.cost, edits);
            }
        }
        strands.into_iter().next().map_or(Heard::Nothing, Heard::Noise)
    }

    /// What is known so far of the reads.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Restores the file into `out`, which must not be kept if this fails, and says what was found either way.
    pub fn finish(mut self, out: &mut impl Write) -> (Report, Result<()>) {
        let outcome = self.restore(out);
        (self.report, outcome)
    }

    fn restore(&mut self, out: &mut impl Write) -> Result<()> {
        if self.report.reads == 0 {
            return Err(Error::Empty);
        }
        let mut rescued = false;
        if self.votes.len() == 0 {
            self.rescue();
            rescued = true;
        }
        if self.votes.len() == 0 {
            return Err(Error::Foreign { reads: self.report.reads });
        }
        let geometry = match self.geometry() {
            Err(Error::NoHeader) if !rescued => {
                self.rescue();
                rescued = true;
                self.geometry()?
            }
            geometry => geometry?,
        };
        self.votes.retain(geometry.total());
        if !rescued && (0..geometry.groups).any(|group| self.group(&geometry, group).read < geometry.data) {
            self.rescue();
            self.votes.retain(geometry.total());
        }
        self.describe(&geometry);
        let lost = self.lost(&geometry);
        if !lost.is_empty() {
            return Err(Error::Lost { groups: lost });
        }
        self.write(&geometry, out)
    }

    /// How the pool is cut: by the manifest, or by the header in its first strands.
    fn geometry(&self) -> Result<Geometry> {
        if let Some(manifest) = &self.manifest {
            return manifest.geometry();
        }
        let payload = self.codec.format().payload_bytes;
        let mut bytes = Vec::with_capacity(HEADER + payload);
        for index in 0..HEADER.div_ceil(payload) as u64 {
            let best = self.votes.get(index).and_then(|vote| vote.best.as_ref());
            bytes.extend(best.ok_or(Error::NoHeader)?.payload.iter());
        }
        let header = Header::parse(bytes.first_chunk().expect("as many strands as the header needs"))?;
        self.check_header(&header)?;
        let cut =
            |groups| Geometry { groups, data: header.data, parity: header.strands - header.data, payload };
        let capacity = cut(1).check()?.capacity() as u64;
        let groups = if header.zstd {
            // How far the compressed data go, only they say: as far as groups were read that can be restored, or nearly.
            let mut read = std::collections::BTreeMap::<u64, usize>::new();
            for (index, _) in self.votes.iter() {
                *read.entry(index / header.strands as u64).or_default() += 1;
            }
            read.iter().rev().find(|(_, read)| **read * 2 > header.data).map_or(1, |(group, _)| group + 1)
        } else {
            (header.file_len.saturating_add(HEADER as u64)).div_ceil(capacity)
        };
        cut(usize::try_from(groups).unwrap_or(usize::MAX)).check()
    }

    /// The header must speak of the strands that it was read from.
    fn check_header(&self, header: &Header) -> Result<()> {
        let mut format = self.codec.format().clone();
        format.forward_primer.clear();
        format.reverse_primer.clear();
        if header.format != format {
            let value = format!("strands of {} words of {}", header.format.words, header.format.word_length);
            return Err(Error::Header { field: "format", value, allowed: "the reads are of another" });
        }
        Ok(())
    }

    /// Takes the failed reads together by strand, and asks what they say.
    fn rescue(&mut self) {
        let strand = |(index, vote): (u64, &Vote)| {
            let best = vote.best.as_ref()?;
            Some(self.codec.encode(index, &best.payload, best.salt))
        };
        let clusters = cluster(&self.failed, self.votes.iter().filter_map(strand));
        let heard: Vec<_> = clusters
            .par_iter()
            .filter(|reads| reads.len() > 1)
            .map(|reads| {
                let reads: Vec<Vec<u8>> =
                    reads.iter().take(VOTERS).map(|&read| self.failed.get(read as usize)).collect();
                // The code forgives most drafts; the others are worth more time.
                let said = self.agree(&draft(&reads));
                let (strand, cost) = said.or_else(|| self.agree(&consensus(&reads)))?;
                Some((self.edits(&strand, &reads), strand, cost))
            })
            .collect();
        self.report.clusters += heard.len() as u64;
        for (edits, strand, cost) in heard.into_iter().flatten() {
            self.report.clusters_understood += 1;
            self.report.clustered_edits.add(&edits);
            self.votes.add(strand, cost);
        }
        self.failed = Packed::default();
    }

    /// What a consensus says, as it is or with one of its doubts.
    fn agree(&self, consensus: &Consensus) -> Option<(Strand, usize)> {
        let said = |symbols: &[u8]| {
            let (strand, explanation) = self.codec.decode(symbols, |index| index < self.total)?;
            Some((strand, explanation.cost))
        };
        said(&consensus.symbols).or_else(|| {
            consensus.doubts.iter().take(DOUBTS).find_map(|doubt| {
                let (strand, cost) = said(&consensus.with(doubt))?;
                Some((strand, cost + 1))
            })
        })
    }

    fn edits(&self, strand: &Strand, reads: &[Vec<u8>]) -> Edits {
        let symbols = self.codec.encode(strand.index, &strand.payload, strand.salt);
        let mut edits = Edits::default();
        for read in reads {
            edits.symbols += symbols.len() as u64;
            for edit in align::Aligner::new(read).align(&symbols) {
                match edit {
                    align::Edit::Read { place, symbol } => {
                        edits.substitutions += u64::from(symbols[place] != symbol);
                    }
                    align::Edit::Missing { .. } => edits.deletions += 1,
                    align::Edit::Added { .. } => edits.insertions += 1,
                }
            }
        }
        edits
    }

    fn group(&self, geometry: &Geometry, group: usize) -> Group {
        let first = (group * geometry.strands()) as u64;
        let read = (0..geometry.strands() as u64).filter(|at| self.votes.get(first + at).is_some()).count();
        Group {
            group,
            strands: geometry.strands(),
            read,
            erasures: geometry.strands() - read,
            parity: geometry.parity,
            margin: read as i64 - geometry.data as i64,
            tries: 0,
            restored: false,
        }
    }

    /// Fills in what the report says of groups and coverage.
    fn describe(&mut self, geometry: &Geometry) {
        self.report.groups = (0..geometry.groups).map(|group| self.group(geometry, group)).collect();
        let mut coverage = vec![0; COVERAGES];
        coverage[0] = geometry.total() - self.votes.len() as u64;
        for (_, vote) in self.votes.iter() {
            coverage[(vote.reads as usize).min(COVERAGES - 1)] += 1;
        }
        while coverage.len() > 1 && coverage.last() == Some(&0) {
            coverage.pop();
        }
        self.report.coverage = coverage;
    }

    fn lost(&self, geometry: &Geometry) -> Vec<LostGroup> {
        let bad = self.report.groups.iter().filter(|group| group.margin < 0);
        bad.map(|group| {
            let first = (group.group * geometry.strands()) as u64;
            let votes = (0..geometry.strands() as u64).filter_map(|at| self.votes.get(first + at));
            let understood: u32 = votes.map(|vote| vote.reads).sum();
            LostGroup {
                group: group.group,
                read: group.read,
                needed: geometry.data,
                strands: group.strands,
                coverage: f64::from(understood) / group.strands as f64,
                wanted: wanted(geometry),
            }
        })
        .collect()
    }

    fn write(&mut self, geometry: &Geometry, out: &mut impl Write) -> Result<()> {
        let mut body = Body {
            votes: &self.votes,
            geometry: *geometry,
            groups: &mut self.report.groups,
            next: 0,
            content: Vec::new(),
            at: 0,
            error: None,
        };
        let mut header = [0; HEADER];
        if let Err(error) = body.read_exact(&mut header) {
            return Err(body.error.take().unwrap_or(Error::Expand(error)));
        }
        let header = Header::parse(&header)?;
        let copied = copy(&header, &mut body, out);
        // A group that could not be restored is why the stream ended.
        let error = body.error.take();
        let hash = match (error, copied) {
            (Some(error), _) => return Err(error),
            (None, copied) => copied?,
        };
        let same = hash[..HASH] == header.hash
            && self.manifest.as_ref().is_none_or(|manifest| {
                manifest.file_bytes == header.file_len && manifest.file_sha256 == hex::encode(hash)
            });
        self.check_header(&header)?;
        if same { Ok(()) } else { Err(Error::Hash) }
    }
}

/// Copies the file out of the container and gives its hash.
fn copy(header: &Header, body: &mut impl Read, out: &mut impl Write) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut plain: Box<dyn Read + '_> = if header.zstd {
        let decoder = zstd::stream::read::Decoder::new(body).map_err(Error::Expand)?;
        Box::new(decoder.single_frame())
    } else {
        Box::new(body)
    };
    let mut left = header.file_len;
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let take = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = plain.read(&mut buffer[..take]).map_err(Error::Expand)?;
        if count == 0 {
            return Err(Error::Hash);
        }
        hash.update(&buffer[..count]);
        out.write_all(&buffer[..count]).map_err(Error::io("the restored file"))?;
        left -= count as u64;
    }
    Ok(hash.finalize().into())
}

/// Understood reads a strand at which chance alone loses so few strands that the parity serves, with five standard
/// deviations to spare.
fn wanted(geometry: &Geometry) -> Option<f64> {
    let strands = geometry.strands() as f64;
    (1..=2000).map(|step| f64::from(step) / 10.0).find(|coverage| {
        let missing = (-coverage).exp();
        let spread = (strands * missing * (1.0 - missing)).sqrt();
        strands * missing + 5.0 * spread <= geometry.parity as f64
    })
}

/// What came of a read.
enum Heard {
    Strand(Strand, usize, Edits),
    Noise(Vec<u8>),
    Nothing,
}

/// The container, restored group by group as it is read.
struct Body<'a> {
    votes: &'a Votes,
    geometry: Geometry,
    groups: &'a mut Vec<Group>,
    next: usize,
    content: Vec<u8>,
    at: usize,
    error: Option<Error>,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.content.len() && self.next < self.geometry.groups {
            match self.restore(self.next) {
                Ok(content) => (self.content, self.at) = (content, 0),
                Err(error) => {
                    let message = error.to_string();
                    self.error = Some(error);
                    return Err(io::Error::other(message));
                }
            }
            self.next += 1;
        }
        let count = buffer.len().min(self.content.len() - self.at);
        buffer[..count].copy_from_slice(&self.content[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Body<'_> {
    /// The content of a group. If the checksum says that strands are wrong, the doubtful ones are replaced by the second
    /// choice, and left out, more and more of them; then some by chance.
    fn restore(&mut self, group: usize) -> Result<Vec<u8>> {
        let first = (group * self.geometry.strands()) as u64;
        let mut votes: Vec<(usize, &Vote)> = (0..self.geometry.strands())
            .filter_map(|at| Some((at, self.votes.get(first + at as u64)?)))
            .collect();
        votes.sort_by(|a, b| b.1.margin().total_cmp(&a.1.margin()));
        let surplus = votes.len() - self.geometry.data;
        let report = &mut self.groups[group];
        let mut attempt = |strands: &mut dyn Iterator<Item = (usize, &[u8])>| {
            report.tries += 1;
            let strands: Vec<(usize, &[u8])> = strands.collect();
            self.geometry.decode(strands.into_iter())
        };
        let mut left_out: Vec<usize> = std::iter::successors(Some(0), |out| Some((2 * out).max(1)))
            .take_while(|&out| out < surplus)
            .collect();
        left_out.push(surplus);
        for out in left_out {
            let kept = &votes[..votes.len() - out];
            let mut content = attempt(&mut kept.iter().filter_map(|vote| best(vote)));
            if content.is_none() && out > 0 {
                // The doubtful ones by their second choice.
                let seconds = votes[votes.len() - out..]
                    .iter()
                    .filter_map(|&(at, vote)| Some((at, &*vote.second.as_ref()?.payload)));
                content = attempt(&mut kept.iter().filter_map(best).chain(seconds));
            }
            if let Some(content) = content {
                report.restored = true;
                return Ok(content);
            }
        }
        let mut rng = super::channel::Rng::new(group as u64);
        for _ in 0..TRIES {
            for at in (1..votes.len()).rev() {
                votes.swap(at, rng.below(at as u64 + 1) as usize);
            }
            let kept = &votes[..self.geometry.data];
            if let Some(content) = attempt(&mut kept.iter().filter_map(best)) {
                report.restored = true;
                return Ok(content);
            }
        }
        let (strands, needed, tries) = (votes.len(), self.geometry.data, report.tries);
        Err(Error::Contradiction { group, strands, needed, tries })
    }
}

/// A strand's place in its group, and its likeliest payload.
fn best<'a>(&(at, vote): &(usize, &'a Vote)) -> Option<(usize, &'a [u8])> {
    Some((at, &vote.best.as_ref()?.payload))
}

/// The preset of which most of the reads, in letters, are strands; whitened by `seed`, between the built-in primers.
pub fn recognise(reads: &[Vec<u8>], seed: u64) -> Result<Format> {
    if reads.is_empty() {
        return Err(Error::Empty);
    }
    let mut best = None;
    for preset in PRESETS {
        let format = preset.format(seed);
        let mut decoder = Decoder::without_manifest(&format)?;
        decoder.push(reads);
        let understood = decoder.report.understood;
        if understood > best.as_ref().map_or(0, |(most, _)| *most) {
            best = Some((understood, format));
        }
    }
    best.map(|(_, format)| format).ok_or(Error::Foreign { reads: reads.len() as u64 })
}
