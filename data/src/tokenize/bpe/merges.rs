use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::load::Refusal;

/// Tokens and how they are made. Letters that merge come first, then products in the order of their ranks: of two
/// products, the smaller number is made first.
pub(super) struct Merges {
    letters: u32,
    halves: Vec<(u32, u32)>,
    products: HashMap<u64, u32, BuildHasherDefault<Mix>>,
    lengths: Vec<u32>,
}

/// The number of no token.
pub(super) const NONE: u32 = u32::MAX;

impl Merges {
    /// Takes the number of letters, and the halves of each product in the order of ranks.
    pub(super) fn new(letters: u32, halves: Vec<(u32, u32)>) -> Result<Self, Refusal> {
        let mut lengths = vec![1_u32; letters as usize];
        let mut products = HashMap::with_capacity_and_hasher(halves.len(), BuildHasherDefault::default());
        for &(left, right) in &halves {
            let product = lengths.len() as u32;
            if left >= product || right >= product {
                return Err(Refusal::Order);
            }
            if products.insert(key(left, right), product).is_some() {
                return Err(Refusal::Product);
            }
            let length = lengths[left as usize].checked_add(lengths[right as usize]);
            lengths.push(length.filter(|&length| length < 1 << 20).ok_or(Refusal::Length)?);
        }
        Ok(Self { letters, halves, products, lengths })
    }

    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// What two tokens make.
    pub(super) fn product(&self, left: u32, right: u32) -> Option<u32> {
        self.products.get(&key(left, right)).copied()
    }

    /// The halves of a product; none of a letter.
    pub(super) fn halves(&self, token: u32) -> Option<(u32, u32)> {
        Some(self.halves[token.checked_sub(self.letters)? as usize])
    }

    /// The letters of a token, appended to `out`.
    pub(super) fn spell(&self, token: u32, out: &mut Vec<u8>) {
        let mut rest = vec![token];
        while let Some(token) = rest.pop() {
            match self.halves(token) {
                Some((left, right)) => rest.extend([right, left]),
                None => out.push(token as u8),
            }
        }
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Spreads pairs of small numbers; tokens of one file are no way to attack the next text.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }
}
