//! Exact merge of partial attentions.

/// Merges attention over one set of keys with attention over another, disjoint set, in place: rows of `out` have `dim`
/// numbers and one `lse` each.
///
/// `m = max(a, b)`, `w = exp(lse - m)`, `out = (w_a out_a + w_b out_b) / (w_a + w_b)`, `lse = m + ln(w_a + w_b)`; a row that
/// saw no key (`lse` minus infinity) has weight 0, and two such rows give 0 and minus infinity.
///
/// # Panics
/// If the shapes differ.
pub fn merge(out_a: &mut [f32], lse_a: &mut [f32], out_b: &[f32], lse_b: &[f32], dim: usize) {
    assert_eq!((out_a.len(), lse_a.len()), (out_b.len(), lse_b.len()), "partial results of one shape");
    assert_eq!(out_a.len(), lse_a.len() * dim, "one lse a row");
    for (row, (a, &b)) in lse_a.iter_mut().zip(lse_b).enumerate() {
        let max = a.max(b);
        if max == f32::NEG_INFINITY {
            continue;
        }
        let (weight_a, weight_b) = ((*a - max).exp(), (b - max).exp());
        let inverse = (weight_a + weight_b).recip();
        *a = max + (weight_a + weight_b).ln();
        let rows = row * dim..(row + 1) * dim;
        for (x, y) in out_a[rows.clone()].iter_mut().zip(&out_b[rows]) {
            *x = (weight_a * *x + weight_b * y) * inverse;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_saw_nothing_changes_nothing() {
        let none = f32::NEG_INFINITY;
        let (mut out, mut lse) = ([1.0, 2.0, 0.0, 0.0, 0.0, 0.0], [0.5, none, none]);
        merge(&mut out, &mut lse, &[0.0, 0.0, 3.0, 4.0, 0.0, 0.0], &[none, -7.0, none], 2);
        assert!(out == [1.0, 2.0, 3.0, 4.0, 0.0, 0.0] && lse == [0.5, -7.0, none]);
    }

    #[test]
    fn weights_follow_the_sums() {
        let (mut out, mut lse) = ([1.0], [2.0_f32.ln()]);
        merge(&mut out, &mut lse, &[5.0], &[6.0_f32.ln()], 1);
        assert!((out[0] - 4.0).abs() < 1e-6 && (lse[0] - 8.0_f32.ln()).abs() < 1e-6);
    }
}
