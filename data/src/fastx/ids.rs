use std::hash::BuildHasher;

/// Ids remembered for the duplicate check: hashes of 2^20 are 16 MB, whatever the length of the file.
pub const IDS_KEPT: usize = 1 << 20;

/// Hashes of the ids of a file, the first [`IDS_KEPT`] different ones.
///
/// A table with open addressing: a look is one access to memory, and several can be under way.
#[derive(Debug)]
pub(super) struct Ids {
    hasher: foldhash::quality::RandomState,
    /// Of a power of two of places, half of them free at least; 0 is a free place.
    table: Vec<u64>,
    kept: usize,
}

/// How many are looked up at a time.
const TOGETHER: usize = 32;

impl Default for Ids {
    fn default() -> Self {
        Self { hasher: foldhash::quality::RandomState::default(), table: vec![0; 1 << 8], kept: 0 }
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
            let mask = self.table.len() - 1;
            let near = some.iter().fold(0, |near, &hash| near ^ self.table[hash as usize & mask]);
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
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        while self.table[at] != 0 {
            if self.table[at] == hash {
                return false;
            }
            at = (at + 1) & mask;
        }
        if self.kept < IDS_KEPT {
            self.table[at] = hash;
            self.kept += 1;
        }
        true
    }

    fn make_room(&mut self, more: usize) {
        let needed = 2 * (self.kept + more).min(IDS_KEPT);
        if needed <= self.table.len() {
            return;
        }
        let larger = vec![0; needed.next_power_of_two().max(4 * self.table.len()).min(2 * IDS_KEPT)];
        let old = std::mem::replace(&mut self.table, larger);
        self.kept = 0;
        for hash in old.into_iter().filter(|&hash| hash != 0) {
            self.insert(hash);
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
        assert_eq!(ids.table.len(), 2 * IDS_KEPT);
        ids.take(&[numbers[5], 77, numbers[IDS_KEPT - 1], numbers[IDS_KEPT], 77], |at| repeated.push(at));
        assert_eq!(repeated, [0, 2], "beyond the limit nothing is kept");
        let mut few = Ids::default();
        let hash = few.hash(b"a");
        few.take(&[hash, 0, few.hash(b"b"), hash, 0], |at| repeated.push(at));
        assert_eq!(repeated[2..], [3, 4]);
    }
}
