//! All models together.

use super::coder::TOTAL;
use super::counts::{History, Order};
use super::follow::{LENGTHS, Pair};
use super::logistic::Mixer;

/// Lengths of the contexts.
const ORDERS: [u32; 16] = [1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24];
/// Contexts of so many bases and more say by how many of them are known how repetitive a place is.
const TELLING: u32 = 11;
/// Lengths of the words that followers look for, on each strand.
const WORDS: [u32; 4] = [12, 16, 20, 32];
/// Of every input; they come to about their sum.
const FIRST_WEIGHT: f32 = 0.15;
const FIRST_RATE: f32 = 0.006;
/// Least share of a base.
const LEAST: u32 = 24;
/// What a follower without an occurrence says.
const NOTHING: [f32; 4] = [-2.0 * std::f32::consts::LN_2; 4];
/// Situations of one strand's followers: none, or the class of the longest.
const FOLLOWED: usize = LENGTHS + 1;

/// Predicts bases one after another.
#[derive(Clone, Debug)]
pub struct Predictor {
    history: History,
    bases: Vec<u8>,
    orders: Vec<Order>,
    pairs: Vec<Pair>,
    mixer: Mixer,
}

impl Predictor {
    /// A predictor that knows nothing, for so many bases: that bounds its memory.
    pub fn new(length: usize) -> Self {
        let bits = (usize::BITS - length.leading_zeros()).clamp(10, 22) + 2;
        let orders: Vec<Order> = ORDERS.iter().map(|&order| Order::new(order, bits)).collect();
        let pairs: Vec<Pair> = WORDS.iter().map(|&word| Pair::new(word, bits.min(22))).collect();
        let views = [1, ORDERS.len() + 1, FOLLOWED * FOLLOWED, 64];
        let mixer = Mixer::new(orders.len() + 2 * pairs.len(), &views, FIRST_WEIGHT, FIRST_RATE);
        Self { history: History::default(), bases: Vec::with_capacity(length), orders, pairs, mixer }
    }

    /// Shares of the four bases, of a total of 65536.
    pub fn predict(&mut self) -> [u32; 4] {
        let mut known = 0;
        for (input, (order, length)) in self.orders.iter_mut().zip(ORDERS).enumerate() {
            let (logs, total) = order.predict(&self.history);
            known += usize::from(total > 0 && length >= TELLING);
            self.mixer.set(input, logs);
        }
        let mut longest = [0; 2];
        let mut input = self.orders.len();
        for pair in &mut self.pairs {
            for (follower, longest) in pair.followers.iter_mut().zip(&mut longest) {
                let logs = match follower.predict(&self.bases) {
                    Some((logs, length)) => {
                        *longest = (length + 1).max(*longest);
                        logs
                    }
                    None => NOTHING,
                };
                self.mixer.set(input, logs);
                input += 1;
            }
        }
        let followed = longest[0] * FOLLOWED + longest[1];
        shares(self.mixer.mix(&[0, known, followed, self.history.last(3) as usize]))
    }

    /// Bits that a base would take now.
    pub fn bits(&mut self, base: u8) -> f64 {
        let share = self.predict()[usize::from(base & 3)];
        -(f64::from(share) / f64::from(TOTAL)).log2()
    }

    /// Learns the base that came, from 0 to 3, after it was predicted.
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
        for pair in &mut self.pairs {
            pair.update(base, &self.bases, &self.history);
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
