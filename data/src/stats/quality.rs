/// Sums over quality letters, read as Phred scores from `!` on, as all instruments in use write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Letters.
    pub letters: u64,
    /// Sum of the scores.
    pub sum: u64,
    /// Letters with a score of 20 and more: an error in 100.
    pub at_least_20: u64,
    /// Letters with a score of 30 and more: an error in 1000.
    pub at_least_30: u64,
    pub(super) lowest: u8,
    pub(super) highest: u8,
}

impl Default for Quality {
    fn default() -> Self {
        Self { letters: 0, sum: 0, at_least_20: 0, at_least_30: 0, lowest: u8::MAX, highest: 0 }
    }
}

impl Quality {
    /// Adds the quality of a record, of letters from `!` to `~`.
    pub fn add(&mut self, quality: &[u8]) {
        self.letters += quality.len() as u64;
        // In blocks of fewer than 256 a byte holds a count, so that a vector holds many.
        for block in quality.chunks(240) {
            let over = |score: u8| {
                let hits = block.iter().map(|&letter| u8::from(letter >= b'!' + score));
                u64::from(hits.fold(0, u8::wrapping_add))
            };
            self.at_least_20 += over(20);
            self.at_least_30 += over(30);
            self.sum +=
                u64::from(block.iter().map(|&letter| u32::from(letter.wrapping_sub(b'!'))).sum::<u32>());
            self.lowest = block.iter().fold(self.lowest, |lowest, &letter| lowest.min(letter));
            self.highest = block.iter().fold(self.highest, |highest, &letter| highest.max(letter));
        }
    }

    /// Adds what was summed elsewhere.
    pub(super) fn merge(&mut self, other: &Self) {
        self.letters += other.letters;
        self.sum += other.sum;
        self.at_least_20 += other.at_least_20;
        self.at_least_30 += other.at_least_30;
        self.lowest = self.lowest.min(other.lowest);
        self.highest = self.highest.max(other.highest);
    }

    /// The mean score; none without letters.
    pub fn mean(&self) -> Option<f64> {
        (self.letters > 0).then(|| self.sum as f64 / self.letters as f64)
    }

    /// The lowest score; none without letters.
    pub fn min(&self) -> Option<u8> {
        (self.letters > 0).then(|| self.lowest - b'!')
    }

    /// The highest score; none without letters.
    pub fn max(&self) -> Option<u8> {
        (self.letters > 0).then(|| self.highest - b'!')
    }
}
