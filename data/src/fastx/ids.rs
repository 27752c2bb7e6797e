use std::hash::BuildHasher;

use memmap2::MmapMut;

/// Ids remembered for the duplicate check: hashes of 2^20 are 16 MB, whatever the length of the file.
pub const IDS_KEPT: usize = 1 << 20;

/// Hashes of the ids of a file, the first [`IDS_KEPT`] different ones.
///
/// A table with open addressing: a look is one access to memory, and several can be under way.
#[derive(Debug)]
pub(super) struct Ids {
    hasher: foldhash::quality::RandomState,
    table: Table,
    kept: usize,
}

/// Places of hashes, a power of two of them, half of them free at least; 0 is a free place.
///
/// It is looked into at random, so that the system is asked for large pages: in small ones each look would first have to find
/// its page.
#[derive(Debug)]
struct Table(MmapMut);

impl Table {
    /// # Panics
    /// Where memory runs out, as allocation does everywhere else.
    fn new(places: usize) -> Self {
        let memory = MmapMut::map_anon(8 * places).expect("there is memory");
        #[cfg(target_os = "linux")]
        if places == LARGEST {
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        Self(memory)
    }

    #[inline]
    fn places(&self) -> &[[u8; 8]] {
        self.0.as_chunks().0
    }

    /// The place where a look for a hash begins.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        hash as usize & (self.places().len() - 1)
    }

    #[inline]
    fn get(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.places()[at])
    }

    #[inline]
    fn set(&mut self, at: usize, hash: u64) {
        self.0.as_chunks_mut().0[at] = hash.to_ne_bytes();
    }
}

/// Places of the first table.
const FEW: usize = 1 << 13;
/// Places of the second one.
const LARGEST: usize = 2 * IDS_KEPT;

/// How many are looked up at a time.
const TOGETHER: usize = 32;

impl Default for Ids {
    fn default() -> Self {
        Self { hasher: foldhash::quality::RandomState::default(), table: Table::new(FEW), kept: 0 }
    }
}

impl Ids {
    /// What ids are hashed by.
    pub(super) fn hasher(&self) -> foldhash::quality::RandomState {
        self.hasher.clone()
    }

    pub(super) fn hash(&self, id: &[u8]) -> u64 {
        self.hasher.hash_one(id)
    }

    /// Takes ids in their order, and calls `repeated` with the place of each that was there before. Two different ids among a
    /// million share a hash in one file of about 3 * 10^7.
    pub(super) fn take(&mut self, hashes: &[u64], mut repeated: impl FnMut(usize)) {
        for (number, some) in hashes.chunks(TOGETHER).enumerate() {
            self.make_room(some.len());
            // The accesses do not wait for each other, as they would among the branches below.
            let near = some.iter().fold(0, |near, &hash| near ^ self.table.get(self.table.home(hash)));
            std::hint::black_box(near);
            for (at, &hash) in some.iter().enumerate() {
                if !self.insert(hash.max(1)) {
                    repeated(number * TOGETHER + at);
                }
            }
        }
    }

    /// False when it is there.
    fn insert(&mut self, hash: u64) -> bool {
        let mut at = self.table.home(hash);
        loop {
            match self.table.get(at) {
                0 => break,
                there if there == hash => return false,
                _ => at = self.table.home(at as u64 + 1),
            }
        }
        if self.kept < IDS_KEPT {
            self.table.set(at, hash);
            self.kept += 1;
        }
        true
    }

    fn make_room(&mut self, more: usize) {
        if 2 * (self.kept + more).min(IDS_KEPT) <= self.table.places().len() {
            return;
        }
        // Few records stay in a small table; with more it is at its largest at once, and ids move a single time.
        let old = std::mem::replace(&mut self.table, Table::new(LARGEST));
        self.kept = 0;
        for &hash in old.places() {
            let hash = u64::from_ne_bytes(hash);
            if hash != 0 {
                self.insert(hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_told_up_to_the_limit() {
        let mut ids = Ids::default();
        let mut repeated = Vec::new();
        let numbers: Vec<u64> =
            (0..IDS_KEPT as u64 + 10).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for part in numbers.chunks(1000) {
            ids.take(part, |at| repeated.push(at));
        }
        // 0 is kept as 1.
        assert!(repeated.is_empty());
        assert_eq!(ids.table.places().len(), LARGEST);
        ids.take(&[numbers[5], 77, numbers[IDS_KEPT - 1], numbers[IDS_KEPT], 77], |at| repeated.push(at));
        assert_eq!(repeated, [0, 2], "beyond the limit nothing is kept");
        let mut few = Ids::default();
        let hash = few.hash(b"a");
        few.take(&[hash, 0, few.hash(b"b"), hash, 0], |at| repeated.push(at));
        assert_eq!(repeated[2..], [3, 4]);
    }
}
