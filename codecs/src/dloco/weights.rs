//! Counting: how many ways there are to go on.

use super::params::RunLimit;
use super::value::Value;

/// `W(n, r)`: ways to append `n` symbols to a word whose last run has length `r`, so that no run exceeds the limit.
///
/// `W(0, r) = 1`, `W(n, r) = [r < l] W(n - 1, r + 1) + 3 W(n - 1, 1)`, and 0 for `r > l`.
pub(super) struct Weights {
    run_limit: usize,
    /// By `n`, then `r - 1`.
    table: Vec<[Value; 3]>,
}

impl Weights {
    /// For up to `length - 1` symbols to append.
    pub(super) fn new(run_limit: RunLimit, length: usize) -> Self {
        let run_limit = run_limit.get();
        let mut table = vec![[Value::from(1); 3]];
        for n in 1..length {
            let before = table[n - 1];
            let row = std::array::from_fn(|run| {
                let other = before[0].mul_small(3);
                if run + 1 < run_limit { other.add(&before[run + 1]) } else { other }
            });
            table.push(row);
        }
        Self { run_limit, table }
    }

    /// `W(n, r)`.
    pub(super) fn get(&self, n: usize, run: usize) -> Value {
        if run > self.run_limit { Value::ZERO } else { self.table[n][run - 1] }
    }

    /// `N(m) = 4 W(m - 1, 1)`: the number of words.
    pub(super) fn words(&self) -> Value {
        self.table[self.table.len() - 1][0].mul_small(4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_enumeration() {
        for run_limit in RunLimit::ALL {
            for length in 1..=7_usize {
                let legal = (0..4_u32.pow(length as u32)).filter(|&word| {
                    let symbol = |i: usize| word >> (2 * i) & 3;
                    let mut run = 1;
                    (1..length).all(|i| {
                        run = if symbol(i) == symbol(i - 1) { run + 1 } else { 1 };
                        run <= run_limit.get()
                    })
                });
                let expected = Value::from(legal.count() as u64);
                assert_eq!(Weights::new(run_limit, length).words(), expected, "{run_limit} {length}");
            }
        }
    }
}
