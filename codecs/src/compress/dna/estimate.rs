//! What a state is worth is learned: how often the predicted thing came true in that state.

/// Probabilities by state, in 16 bits, each with how often it was asked.
#[derive(Clone, Debug)]
pub(super) struct Estimates {
    cells: Vec<Cell>,
    limit: u16,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    probability: u16,
    seen: u16,
}

const ONE: f32 = 65_536.0;

impl Estimates {
    /// Begins with what `first` gives for each state. A cell remembers about `limit` outcomes.
    pub(super) fn new(states: usize, limit: u16, first: impl Fn(usize) -> f32) -> Self {
        let cell = |state| {
            let probability = (first(state) * ONE).clamp(16.0, ONE - 16.0) as u16;
            Cell { probability, seen: 0 }
        };
        Self { cells: (0..states).map(cell).collect(), limit }
    }

    /// The probability of a state, as 1/65536.
    #[inline]
    pub(super) fn get(&self, state: usize) -> u32 {
        u32::from(self.cells[state].probability)
    }

    #[inline]
    pub(super) fn update(&mut self, state: usize, is_hit: bool) {
        let cell = &mut self.cells[state];
        let rate = RATES[usize::from(cell.seen).min(RATES.len() - 1)];
        let target = if is_hit { 65_535 } else { 0 };
        let step = ((target - i32::from(cell.probability)) * rate) >> 16;
        cell.probability = (i32::from(cell.probability) + step).clamp(16, 65_519) as u16;
        if cell.seen < self.limit {
            cell.seen += 1;
        }
    }
}

/// One over how often a cell was asked, from a first weight of some outcomes on.
static RATES: [i32; 1024] = {
    let mut rates = [0; 1024];
    let mut seen = 0;
    while seen < 1024 {
        rates[seen] = (65_536.0 / (seen as f64 + 12.0)) as i32;
        seen += 1;
    }
    rates
};

/// `ln` of a probability in 1/65536, by its upper 12 bits.
#[inline]
pub(super) fn logarithm(probability: u32) -> f32 {
    LOGARITHMS[(probability >> 4) as usize & 4095]
}

/// By a series, since logarithms are not computed at compile time.
static LOGARITHMS: [f32; 4096] = {
    let mut table = [0.0; 4096];
    let mut at = 0;
    while at < 4096 {
        let mut x = (at as f64 + 0.5) / 4096.0;
        let mut halvings = 0.0;
        while x < 0.75 {
            x *= 2.0;
            halvings += 1.0;
        }
        // ln x = 2 artanh((x - 1) / (x + 1))
        let t = (x - 1.0) / (x + 1.0);
        let (mut power, mut sum, mut k) = (t, 0.0, 1.0);
        while k < 40.0 {
            sum += power / k;
            power *= t * t;
            k += 2.0;
        }
        table[at] = (2.0 * sum - halvings * std::f64::consts::LN_2) as f32;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_logarithms() {
        for probability in [0_u32, 100, 16_384, 32_768, 65_535] {
            let middle = ((probability >> 4) as f32 + 0.5) / 4096.0;
            assert!((logarithm(probability) - middle.ln()).abs() < 1e-6);
        }
    }
}
