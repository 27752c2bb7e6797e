use super::coder::TOTAL;
use super::counts::{History, Order};
use super::follow::Follower;
use super::logistic::Mixer;

/// Lengths of the contexts.
const ORDERS: [u32; 16] = [1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24];
/// Lengths of the words that followers look for, on each strand.
const WORDS: [u32; 4] = [12, 16, 20, 32];
/// Of every input; they come to about their sum.
const FIRST_WEIGHT: f32 = 0.15;
const FIRST_RATE: f32 = 0.006;
/// Least share of a base.
const LEAST: u32 = 24;

/// Predicts bases one after another.
#[derive(Clone, Debug)]
pub struct Predictor {
    history: History,
    bases: Vec<u8>,
    orders: Vec<Order>,
    followers: Vec<Follower>,
    mixer: Mixer,
}

impl Predictor {
    /// A predictor that knows nothing, for so many bases: that bounds its memory.
    pub fn new(length: usize) -> Self {
        let bits = (usize::BITS - length.leading_zeros()).clamp(10, 22) + 2;
        let mut orders: Vec<Order> = ORDERS.iter().map(|&order| Order::new(order, bits)).collect();
        orders.shrink_to_fit();
        let followers: Vec<Follower> = WORDS
            .iter()
            .flat_map(|&word| [false, true].map(|inverted| Follower::new(word, inverted, bits.min(22))))
            .collect();
        let inputs = orders.len() + followers.len();
        let mixer = Mixer::new(inputs, &[1, 16, 17 * 17, 64], FIRST_WEIGHT, FIRST_RATE);
        Self { history: History::default(), bases: Vec::with_capacity(length), orders, followers, mixer }
    }

    /// Shares of the four bases, of a total of 65536.
    pub fn predict(&mut self) -> [u32; 4] {
        let mut known = 0;
        for (input, order) in self.orders.iter_mut().enumerate() {
            let (logs, total) = order.predict(&self.history);
            if total > 0 && input >= 8 {
                known += 1;
            }
            self.mixer.set(input, logs);
        }
        let mut best = [0; 2];
        for (at, follower) in self.followers.iter_mut().enumerate() {
            let (logs, length) = match follower.predict(&self.bases) {
                Some((logs, length)) => (logs, length + 1),
                None => ([-1.386_294_4; 4], 0),
            };
            best[at % 2] = length.max(best[at % 2]) as usize as u32;
            self.mixer.set(self.orders.len() + at, logs);
        }
        let situations = [0, known, (best[0] * 17 + best[1]) as usize, self.history.last(3) as usize];
        let mixed = self.mixer.mix(&situations);
        shares(mixed)
    }

    /// Bits that a base would take now.
    pub fn bits(&mut self, base: u8) -> f64 {
        let share = self.predict()[usize::from(base & 3)];
        -(f64::from(share) / f64::from(TOTAL)).log2()
    }

    /// Learns the base that came, from 0 to 3.
    pub fn update(&mut self, base: u8) {
        let base = base & 3;
        self.mixer.update(base);
        let mut next = self.history;
        next.push(base);
        for order in &mut self.orders {
            order.update(base, &self.history, &next);
        }
        self.bases.push(base);
        self.history = next;
        for follower in &mut self.followers {
            follower.update(base, &self.bases, &self.history);
        }
    }
}

/// Whole shares; none is 0, and the largest takes what rounding leaves.
fn shares(probabilities: [f32; 4]) -> [u32; 4] {
    let free = (TOTAL - 4 * LEAST) as f32;
    let mut shares = probabilities.map(|probability| LEAST + (probability * free) as u32);
    let sum: u32 = shares.iter().sum();
    let mut most = 0;
    for at in 1..4 {
        if shares[at] > shares[most] {
            most = at;
        }
    }
    shares[most] = shares[most] + TOTAL - sum;
    shares
}
