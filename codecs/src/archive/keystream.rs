//! The pseudo-random bits that whiten strands: SplitMix64, by counter.
//!
//! Data of any kind become words that look random, so that constraints which the code does not guarantee hold for most
//! strands, and another salt serves where they do not. The payload and the rest have streams of their own, because the index
//! must be readable before the payload's stream is known.

/// Which part of a strand.
#[derive(Clone, Copy)]
pub(super) enum Domain {
    Payload = 0x5041_594c,
    Header = 0x4845_4144,
}

/// Words of a stream, one by one.
pub(super) struct Keystream {
    state: u64,
}

impl Keystream {
    pub(super) fn new(seed: u64, domain: Domain, salt: u8, index: u64) -> Self {
        let place = u64::from(salt) << 48 ^ index;
        Self { state: mix(mix(seed ^ (domain as u64) << 32) ^ place) }
    }

    pub(super) fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Whitens, or undoes it.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let word = self.word().to_be_bytes();
            part.iter_mut().zip(word).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

/// The finaliser of SplitMix64.
pub(super) fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
