//! Sets of tokens.

/// Which tokens of a vocabulary may come next: one bit a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u64>,
    size: usize,
}

impl Mask {
    /// No token of a vocabulary of `size`.
    pub fn new(size: usize) -> Self {
        Self { words: vec![0; size.div_ceil(64)], size }
    }

    /// Adds a token.
    ///
    /// # Panics
    /// If it is not in the vocabulary.
    pub fn insert(&mut self, token: u32) {
        assert!((token as usize) < self.size, "token {token} of {}", self.size);
        self.words[token as usize / 64] |= 1 << (token % 64);
    }

    /// Whether a token is in the set.
    pub fn contains(&self, token: u32) -> bool {
        self.words.get(token as usize / 64).is_some_and(|word| word >> (token % 64) & 1 == 1)
    }

    /// Number of tokens in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Size of the vocabulary.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The tokens in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.size as u32).filter(|&token| self.contains(token))
    }
}
