//! An order that depends on the seed alone, on every machine and in every version.

/// Splitmix64's finaliser: every bit of the result depends on every bit of `x`.
pub(super) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Fisher and Yates: every order is as likely as any other, up to 2^-64 times the length.
pub(super) fn shuffle<T>(items: &mut [T], seed: u64) {
    for last in (1..items.len()).rev() {
        let draw = mix(seed ^ mix(last as u64));
        let other = (u128::from(draw) * (last as u128 + 1)) >> 64;
        items.swap(last, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_as_likely_as_each_other_and_those_of_the_seed() {
        let mut seen = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            let mut items = [0, 1, 2];
            shuffle(&mut items, seed);
            *seen.entry(items).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|count| (850..1150).contains(count)), "{seen:?}");
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        shuffle(&mut items, 42);
        let mut again = [0, 1, 2, 3, 4, 5, 6, 7];
        shuffle(&mut again, 42);
        assert_eq!(items, again);
    }
}
