//! ALiBi slopes (Press et al. 2022), in the order that published weights expect.

/// One slope a head, steepest first for a power of two: `2^(-8 h / heads)`, `h = 1..=heads`.
///
/// For any other number of heads, the slopes of the largest power of two below it, followed by every other
/// slope of twice that power. The list is not sorted, and the order matters: it is the order of the heads.
pub fn slopes(heads: usize) -> Vec<f32> {
    let power = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let of = |n: usize| (1..=n).map(move |h| (-8.0 * h as f64 / n as f64).exp2() as f32);
    of(power).chain(of(2 * power).step_by(2)).take(heads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_heads_of_dnabert2_in_their_order() {
        let exponents = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -0.5, -1.5, -2.5, -3.5_f64];
        let expected: Vec<f32> = exponents.iter().map(|e| e.exp2() as f32).collect();
        assert_eq!(slopes(12), expected);
    }

    #[test]
    fn powers_of_two_and_none() {
        assert_eq!(slopes(4), [0.25, 0.0625, 0.015_625, 0.003_906_25]);
        assert_eq!(slopes(6), [0.25, 0.0625, 0.015_625, 0.003_906_25, 0.5, 0.125]);
        assert_eq!(slopes(1), [0.003_906_25]);
        assert!(slopes(0).is_empty());
    }
}
