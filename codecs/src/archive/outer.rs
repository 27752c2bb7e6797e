//! The outer code: Reed-Solomon across the strands of a group.
//!
//! Data strands come first and hold the data as they are; parity strands follow. Any `data` strands of a group restore it.
//! The last [`CHECK`] bytes of a group's data are the beginning of the SHA-256 of the rest, which tells strands that are
//! wrong although their checksums were right.
//!
//! The code is that of `reed-solomon-simd` (GF(2^16) with polynomial 0x1002D, encoded and decoded by fast transforms), because
//! a group of tens of thousands of strands takes it milliseconds; a classical decoder takes the square of the strands.

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use sha2::{Digest, Sha256};

use super::{Error, Result};

/// Bytes of a group's checksum.
pub const CHECK: usize = 8;

/// Strands of a group at most, where the choice is ours.
const USUAL_STRANDS: usize = 32_768;

/// Parity strands that even the smallest group has: chance is large in small numbers.
const LEAST_PARITY: usize = 4;

/// How a container is cut into groups. All groups of an archive have the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Groups.
    pub groups: usize,
    /// Strands of a group that hold data.
    pub data: usize,
    /// Strands of a group that restore others.
    pub parity: usize,
    /// Bytes of a strand.
    pub payload: usize,
}

impl Geometry {
    /// For `bytes` of container, with parity strands being the share `redundancy` of all strands.
    pub fn new(bytes: u64, payload: usize, redundancy: f64) -> Result<Self> {
        let wrong =
            |value: String| Error::Field { field: "redundancy", value, allowed: "0.01 to 0.9 are possible" };
        if !(0.01..=0.9).contains(&redundancy) {
            return Err(wrong(redundancy.to_string()));
        }
        let most = ((1.0 - redundancy) * USUAL_STRANDS as f64) as usize;
        let capacity = (most * payload - CHECK) as u64;
        let groups = bytes.div_ceil(capacity).max(1);
        let data = (bytes.div_ceil(groups) + CHECK as u64).div_ceil(payload as u64) as usize;
        let share = (data as f64 * redundancy / (1.0 - redundancy)).ceil() as usize;
        let geometry = Self { groups: groups as usize, data, parity: share.max(LEAST_PARITY), payload };
        geometry.check()
    }

    /// Refuses what cannot be.
    pub fn check(self) -> Result<Self> {
        let field =
            |field, value: usize, allowed| Err(Error::Field { field, value: value.to_string(), allowed });
        if self.groups == 0 || self.groups > u32::MAX as usize {
            return field("groups", self.groups, "1 to 4294967295 are possible");
        }
        if self.data == 0 || self.data + self.parity > 65_535 {
            return field("strands of a group", self.data + self.parity, "1 to 65535 are possible");
        }
        if self.parity == 0 || !ReedSolomonEncoder::supports(self.data, self.parity) {
            return field("parity strands", self.parity, "the outer code has no such numbers of strands");
        }
        if self.payload == 0 || self.payload % 2 == 1 || self.data * self.payload <= CHECK {
            return field(
                "payload bytes",
                self.payload,
                "an even number that leaves room for data is possible",
            );
        }
        Ok(self)
    }

    /// Strands of a group.
    pub fn strands(&self) -> usize {
        self.data + self.parity
    }

    /// Strands of the pool.
    pub fn total(&self) -> u64 {
        self.groups as u64 * self.strands() as u64
    }

    /// Bytes of container in a group.
    pub fn capacity(&self) -> usize {
        self.data * self.payload - CHECK
    }

    /// Payloads of all strands of a group, one after the other, from `content` of [`capacity`](Self::capacity) bytes or less.
    pub fn encode(&self, content: &[u8]) -> Vec<u8> {
        assert!(content.len() <= self.capacity(), "content of a group");
        let mut strands = content.to_vec();
        strands.resize(self.capacity(), 0);
        strands.extend(check(&strands));
        let expected = "numbers and sizes were checked";
        let mut encoder = ReedSolomonEncoder::new(self.data, self.parity, self.payload).expect(expected);
        for strand in strands.chunks_exact(self.payload) {
            encoder.add_original_shard(strand).expect(expected);
        }
        let parity = encoder.encode().expect(expected);
        parity.recovery_iter().for_each(|strand| strands.extend(strand));
        strands
    }

    /// The content of a group from some of its strands, given with their positions; none if there are too few, or if the
    /// checksum is wrong.
    pub fn decode<'a>(&self, strands: impl Iterator<Item = (usize, &'a [u8])> + Clone) -> Option<Vec<u8>> {
        let mut data = vec![0; self.data * self.payload];
        let mut present = 0;
        for (position, strand) in strands.clone().filter(|&(position, _)| position < self.data) {
            data[position * self.payload..][..self.payload].copy_from_slice(strand);
            present += 1;
        }
        if present < self.data {
            let mut decoder = ReedSolomonDecoder::new(self.data, self.parity, self.payload).ok()?;
            for (position, strand) in strands {
                let (data, parity) = (position, position.wrapping_sub(self.data));
                if position < self.data {
                    decoder.add_original_shard(data, strand).ok()?;
                } else {
                    decoder.add_recovery_shard(parity, strand).ok()?;
                }
            }
            let restored = decoder.decode().ok()?;
            for (position, strand) in restored.restored_original_iter() {
                data[position * self.payload..][..self.payload].copy_from_slice(strand);
            }
        }
        let sum = data.split_off(self.capacity());
        (sum == check(&data)).then_some(data)
    }
}

fn check(content: &[u8]) -> [u8; CHECK] {
    *Sha256::digest(content).first_chunk().expect("a hash has more bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strands(payloads: &[u8], payload: usize, keep: impl Fn(usize) -> bool) -> Vec<(usize, &[u8])> {
        payloads.chunks(payload).enumerate().filter(|(position, _)| keep(*position)).collect()
    }

    #[test]
    fn as_many_strands_as_there_is_parity_may_be_lost_and_no_more() {
        let geometry = Geometry::new(1000, 26, 0.15).unwrap();
        let content: Vec<u8> = (0..geometry.capacity()).map(|i| (i * i) as u8).collect();
        let payloads = geometry.encode(&content);
        assert_eq!(payloads.len(), geometry.strands() * geometry.payload);
        for first in [0, 5, geometry.data - 1] {
            let lost = |position: usize, count: usize| (first..first + count).contains(&position);
            let kept = strands(&payloads, 26, |position| !lost(position, geometry.parity));
            assert_eq!(geometry.decode(kept.into_iter()).as_ref(), Some(&content));
            let kept = strands(&payloads, 26, |position| !lost(position, geometry.parity + 1));
            assert_eq!(geometry.decode(kept.into_iter()), None);
        }
    }

    #[test]
    fn wrong_strand_is_noticed() {
        let geometry = Geometry::new(500, 18, 0.2).unwrap();
        let mut payloads = geometry.encode(b"content");
        payloads[3] ^= 1;
        assert_eq!(geometry.decode(strands(&payloads, 18, |_| true).into_iter()), None);
        let content = geometry.decode(strands(&payloads, 18, |position| position > 0).into_iter()).unwrap();
        assert!(content.starts_with(b"content\0\0"));
    }

    #[test]
    fn sizes_from_nothing_to_very_much_are_cut_into_groups() {
        for bytes in [0, 1, 64, 10_000, 1_000_000, 10_000_000, 3_000_000_000] {
            for redundancy in [0.01, 0.15, 0.5, 0.9] {
                let geometry = Geometry::new(bytes, 26, redundancy).unwrap();
                assert!(geometry.groups as u64 * geometry.capacity() as u64 >= bytes);
                let share = geometry.parity as f64 / geometry.strands() as f64;
                assert!(share >= redundancy - 1e-9 && (share < redundancy + 0.01 || geometry.data < 500));
            }
        }
        assert!(Geometry::new(10, 26, 0.0).is_err());
        assert!(Geometry::new(10, 26, f64::NAN).is_err());
    }
}
