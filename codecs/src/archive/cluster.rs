//! Noisy reads of the same strand, found without knowing the strand.
//!
//! Reads are taken one by one. Stretches of a read that a cluster has at about the same place vote for the cluster; the
//! first few are compared by edit distance with reads of the cluster; the read joins the first that is near enough, or
//! begins a cluster of its own.

use std::collections::HashMap;

use super::align::Aligner;

/// Symbols of a stretch.
const STRETCH: usize = 12;
/// Symbols by which a stretch may be displaced.
const SHIFT: usize = 20;
/// Reads of a cluster whose stretches are looked up, and with which others are compared.
const SAMPLES: usize = 6;
/// Clusters that a read is compared with at most.
const COMPARED: usize = 4;
/// Edits of two reads of one strand, as a share of their length. At one error in nine symbols two reads differ in a fifth;
/// unrelated reads differ in half.
const NEAR: f64 = 0.33;

/// Reads of two bits a symbol.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    symbols: Vec<u8>,
    /// First byte, and number of symbols.
    reads: Vec<(u64, u32)>,
}

impl Packed {
    pub(super) fn push(&mut self, read: &[u8]) {
        self.reads.push((self.symbols.len() as u64, read.len() as u32));
        let byte = |part: &[u8]| part.iter().rev().fold(0, |byte, symbol| byte << 2 | symbol);
        self.symbols.extend(read.chunks(4).map(byte));
    }

    pub(super) fn get(&self, number: usize) -> Vec<u8> {
        let (start, length) = self.reads[number];
        let start = start as usize;
        (0..length as usize).map(|i| self.symbols[start + i / 4] >> (2 * (i % 4)) & 3).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.reads.len()
    }
}

/// Clusters of reads, as numbers of them. Those of reads near a strand of `known` are left out.
pub(super) fn cluster(reads: &Packed, known: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u32>> {
    let mut clusters = Clusters::default();
    for strand in known {
        let number = clusters.begin(strand);
        clusters.members[number as usize] = None;
    }
    for number in 0..reads.len() {
        clusters.place(number as u32, reads.get(number));
    }
    let mut members: Vec<Vec<u32>> = clusters.members.into_iter().flatten().collect();
    members.sort_by_key(|reads| (std::cmp::Reverse(reads.len()), reads[0]));
    members
}

#[derive(Default)]
struct Clusters {
    /// Reads by cluster; none for a known strand.
    members: Vec<Option<Vec<u32>>>,
    samples: Vec<Vec<Vec<u8>>>,
    stretches: Stretches,
}

impl Clusters {
    /// A new cluster with a sample and no members.
    fn begin(&mut self, sample: Vec<u8>) -> u32 {
        let number = self.members.len() as u32;
        self.stretches.add(number, &sample);
        self.members.push(Some(Vec::new()));
        self.samples.push(vec![sample]);
        number
    }

    fn place(&mut self, number: u32, read: Vec<u8>) {
        let aligner = Aligner::new(&read);
        let near = |sample: &Vec<u8>| {
            let limit = (NEAR * sample.len().max(read.len()) as f64) as usize;
            sample.len().abs_diff(read.len()) <= limit && aligner.distance(sample) <= limit
        };
        let home = self.stretches.candidates(&read).into_iter().find(|&cluster| {
            // One comparison decides nearly always; a second sample serves a first that is far out.
            self.samples[cluster as usize].iter().take(2).any(near)
        });
        let home = match home {
            Some(cluster) => {
                let samples = &mut self.samples[cluster as usize];
                if samples.len() < SAMPLES && self.members[cluster as usize].is_some() {
                    self.stretches.add(cluster, &read);
                    samples.push(read);
                }
                cluster
            }
            None => self.begin(read),
        };
        if let Some(members) = &mut self.members[home as usize] {
            members.push(number);
        }
    }
}

/// Where clusters have which stretch.
#[derive(Default)]
struct Stretches {
    /// By stretch: the last entry of its chain.
    heads: HashMap<u32, u32, Hasher>,
    entries: Vec<Entry>,
}

struct Entry {
    cluster: u32,
    place: u16,
    before: u32,
}

const NONE: u32 = u32::MAX;

impl Stretches {
    fn add(&mut self, cluster: u32, read: &[u8]) {
        for (place, code) in stretches(read) {
            let entry = self.entries.len() as u32;
            let before = self.heads.insert(code, entry).unwrap_or(NONE);
            self.entries.push(Entry { cluster, place: place as u16, before });
        }
    }

    /// Clusters that share most stretches with the read, at about the same place.
    fn candidates(&self, read: &[u8]) -> Vec<u32> {
        let mut hits = Vec::new();
        for (place, code) in stretches(read) {
            let mut at = self.heads.get(&code).copied().unwrap_or(NONE);
            while at != NONE {
                let entry = &self.entries[at as usize];
                if usize::from(entry.place).abs_diff(place) <= SHIFT {
                    hits.push(entry.cluster);
                }
                at = entry.before;
            }
        }
        hits.sort_unstable();
        let mut counted: Vec<(usize, u32)> =
            hits.chunk_by(|a, b| a == b).map(|same| (same.len(), same[0])).collect();
        counted.sort_unstable_by_key(|&(count, cluster)| (std::cmp::Reverse(count), cluster));
        counted.into_iter().take(COMPARED).map(|(_, cluster)| cluster).collect()
    }
}

fn stretches(read: &[u8]) -> impl Iterator<Item = (usize, u32)> {
    let mask = (1_u32 << (2 * STRETCH)) - 1;
    let mut code = 0;
    read.iter().take(usize::from(u16::MAX)).enumerate().filter_map(move |(end, &symbol)| {
        code = (code << 2 | u32::from(symbol)) & mask;
        (end + 1 >= STRETCH).then(|| (end + 1 - STRETCH, code))
    })
}

/// Stretches are random numbers nearly; one multiplication spreads them enough.
#[derive(Clone, Copy, Debug, Default)]
struct Hasher(u64);

impl std::hash::BuildHasher for Hasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl std::hash::Hasher for Hasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    fn write_u32(&mut self, code: u32) {
        self.0 = super::keystream::mix(self.0 ^ u64::from(code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::channel::{CHANNELS, Rng};

    #[test]
    fn packed_reads_come_back() {
        let mut packed = Packed::default();
        let reads = [vec![], vec![3], vec![0, 1, 2, 3, 3, 2, 1], vec![1; 8]];
        for read in &reads {
            packed.push(read);
        }
        assert_eq!(packed.len(), 4);
        assert!(reads.iter().enumerate().all(|(number, read)| packed.get(number) == *read));
    }

    #[test]
    fn reads_of_photolithography_find_together_and_known_strands_are_left_out() {
        let (_, channel) = CHANNELS[2];
        let mut rng = Rng::new(11);
        let strands: Vec<Vec<u8>> = (0..40).map(|_| (0..150).map(|_| rng.below(4) as u8).collect()).collect();
        let mut packed = Packed::default();
        let mut origin = Vec::new();
        for _ in 0..25 {
            for (number, strand) in strands.iter().enumerate() {
                packed.push(&channel.damage(strand, &mut rng));
                origin.push(number);
            }
        }
        let clusters = cluster(&packed, strands[30..].iter().cloned());
        for reads in &clusters {
            let first = origin[reads[0] as usize];
            assert!(first < 30 && reads.iter().all(|&read| origin[read as usize] == first));
        }
        let whole = clusters.iter().filter(|reads| reads.len() >= 22).count();
        assert!(whole >= 27, "{whole} of 30 clusters are nearly whole");
    }
}
