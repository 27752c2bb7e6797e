//! What synthesis, storage and sequencing do to a pool: a simulator.

use super::keystream::mix;
use crate::dloco::alphabet::reverse_complement;

/// Rates of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// Share of symbols read as another.
    pub substitution: f64,
    /// Share of symbols with an additional one before them.
    pub insertion: f64,
    /// Share of symbols that are lost.
    pub deletion: f64,
    /// Share of oligos that are lost altogether.
    pub dropout: f64,
    /// Mean number of reads of an oligo.
    pub coverage: f64,
    /// Standard deviation of the natural logarithm of the oligos' abundances: 0 for reads spread by chance alone.
    pub skew: f64,
    /// Share of bonds that break before reading; a read is one of the pieces.
    pub breakage: f64,
}

impl Default for Channel {
    /// One read of each oligo without error.
    fn default() -> Self {
        Self {
            substitution: 0.0,
            insertion: 0.0,
            deletion: 0.0,
            dropout: 0.0,
            coverage: 1.0,
            skew: 0.0,
            breakage: 0.0,
        }
    }
}

/// Channels with published figures.
pub const CHANNELS: [(&str, Channel); 3] = [
    (
        // Press et al. 2020, the error rates of the HEDGES pool.
        "hedges",
        Channel {
            substitution: 0.0057,
            insertion: 0.0023,
            deletion: 0.0054,
            dropout: 0.01,
            coverage: 10.0,
            skew: 0.0,
            breakage: 0.0,
        },
    ),
    (
        // The decay challenge of ETH Zurich: few copies, broken strands.
        "decay",
        Channel {
            substitution: 0.0049,
            insertion: 0.0,
            deletion: 0.0007,
            dropout: 0.0,
            coverage: 30.0,
            skew: 0.0,
            breakage: 0.023,
        },
    ),
    (
        // The photolithography challenge of ETH Zurich, after Antkowiak et al. 2020.
        "photolithography",
        Channel {
            substitution: 0.025,
            insertion: 0.012,
            deletion: 0.075,
            dropout: 0.0,
            coverage: 50.0,
            skew: 0.0,
            breakage: 0.0,
        },
    ),
];

/// A simulated read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Symbols, in the direction of reading.
    pub symbols: Vec<u8>,
    /// Phred qualities of the symbols.
    pub quality: Vec<u8>,
}

impl Channel {
    /// The share or count that cannot be, with its name.
    pub fn fault(&self) -> Option<(&'static str, f64)> {
        let shares = [
            ("substitution", self.substitution),
            ("insertion", self.insertion),
            ("deletion", self.deletion),
            ("dropout", self.dropout),
            ("breakage", self.breakage),
        ];
        let bad = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share));
        let counts = [("coverage", self.coverage, 1e6), ("skew", self.skew, 5.0)];
        let bad_count = counts.into_iter().find(|&(_, count, most)| !(0.0..=most).contains(&count));
        bad.or(bad_count.map(|(name, count, _)| (name, count)))
    }

    /// The reads of oligo `number` of a pool: the same for the same seed, whatever other oligos there are.
    pub fn read(&self, oligo: &[u8], number: u64, seed: u64) -> Vec<Read> {
        let mut rng = Rng::new(mix(seed) ^ mix(number.wrapping_add(0x632b_e59b_d9b4_e019)));
        if rng.share() < self.dropout {
            return Vec::new();
        }
        let abundance = (self.skew * rng.normal() - self.skew * self.skew / 2.0).exp();
        let count = rng.poisson(self.coverage * abundance);
        (0..count)
            .map(|_| {
                let piece = self.piece(oligo, &mut rng);
                let forward = rng.bits() & 1 == 0;
                let piece = if forward { piece } else { reverse_complement(&piece) };
                self.sequence(&piece, &mut rng)
            })
            .collect()
    }

    /// A read's symbols without qualities, in the direction of `strand`.
    pub fn damage(&self, strand: &[u8], rng: &mut Rng) -> Vec<u8> {
        self.sequence(strand, rng).symbols
    }

    /// One of the pieces into which an oligo breaks.
    fn piece(&self, oligo: &[u8], rng: &mut Rng) -> Vec<u8> {
        if self.breakage == 0.0 {
            return oligo.to_vec();
        }
        let mut ends: Vec<usize> = (1..oligo.len()).filter(|_| rng.share() < self.breakage).collect();
        ends.push(oligo.len());
        let chosen = rng.below(ends.len() as u64) as usize;
        let start = if chosen == 0 { 0 } else { ends[chosen - 1] };
        oligo[start..ends[chosen]].to_vec()
    }

    fn sequence(&self, strand: &[u8], rng: &mut Rng) -> Read {
        let mut read = Read { symbols: Vec::new(), quality: Vec::new() };
        let mut push = |symbol: u8, good: bool, rng: &mut Rng| {
            read.symbols.push(symbol);
            // Qualities tell errors as a sequencer does: most of them, and with false alarms.
            let low = if good { rng.share() < 0.03 } else { rng.share() < 0.8 };
            read.quality.push((if low { 6 + rng.below(14) } else { 28 + rng.below(13) }) as u8);
        };
        for &symbol in strand {
            if rng.share() < self.insertion {
                push(rng.below(4) as u8, false, rng);
            }
            if rng.share() < self.deletion {
                continue;
            }
            if rng.share() < self.substitution {
                push((symbol + 1 + rng.below(3) as u8) & 3, false, rng);
            } else {
                push(symbol, true, rng);
            }
        }
        read
    }
}

/// SplitMix64, so that a seed gives the same reads with every version of every library.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Poisson, as a sum of parts for which a product of shares does not vanish.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        let mut count = 0;
        let mut left = mean;
        while left > 0.0 {
            let part = left.min(30.0);
            left -= part;
            let limit = (-part).exp();
            let mut product = self.share();
            while product > limit {
                count += 1;
                product *= self.share();
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::align::{Aligner, Edit};

    #[test]
    fn rates_are_those_asked_for() {
        let (_, channel) = CHANNELS[0];
        let mut rng = Rng::new(9);
        let strand: Vec<u8> = (0..20_000).map(|i| (mix(i) & 3) as u8).collect();
        let read = channel.damage(&strand, &mut rng);
        let (mut substitutions, mut deletions, mut insertions) = (0, 0, 0);
        for edit in Aligner::new(&read).align(&strand) {
            match edit {
                Edit::Read { place, symbol } => substitutions += usize::from(strand[place] != symbol),
                Edit::Missing { .. } => deletions += 1,
                Edit::Added { .. } => insertions += 1,
            }
        }
        let near = |count: usize, rate: f64| (count as f64 / 20_000.0 - rate).abs() < rate / 3.0;
        assert!(near(substitutions, 0.0057) && near(deletions, 0.0054) && near(insertions, 0.0023));
    }

    #[test]
    fn reads_do_not_depend_on_the_other_oligos_and_coverage_is_a_mean() {
        let (_, channel) = CHANNELS[0];
        let oligo = vec![0, 1, 2, 3, 2, 1, 0, 3];
        assert_eq!(channel.read(&oligo, 7, 1), channel.read(&oligo, 7, 1));
        assert_ne!(channel.read(&oligo, 7, 1), channel.read(&oligo, 8, 1));
        let total: usize = (0..2000).map(|number| channel.read(&oligo, number, 3).len()).sum();
        assert!((total as f64 / 2000.0 - 9.9).abs() < 0.4, "{total}");
        let none = Channel { dropout: 1.0, ..channel };
        assert!(none.read(&oligo, 1, 1).is_empty());
    }

    #[test]
    fn impossible_rates_are_told() {
        assert_eq!(Channel::default().fault(), None);
        assert_eq!(Channel { deletion: 1.5, ..Channel::default() }.fault(), Some(("deletion", 1.5)));
        assert!(Channel { coverage: f64::NAN, ..Channel::default() }.fault().is_some());
    }
}
