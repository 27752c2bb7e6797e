//! Backward: the definition, and the definition against finite differences.

use super::case::{Case, MASK_RULES, Noise, POSITION_RULES, Shape, shapes};
use super::forward::worst;
use crate::attention::{Gradients, PosRule, backward, dense};
use crate::matmul::Precision;
use proptest::prelude::*;

/// The gradient of a random linear function of `out` and `lse`.
struct Direction {
    d_out: Vec<f32>,
    d_lse: Vec<f32>,
}

impl Direction {
    fn new(case: &Case) -> Self {
        let mut noise = Noise::new(77);
        let rows = case.rows * case.heads;
        Self { d_out: noise.floats(rows * case.value_dim()), d_lse: noise.floats(rows) }
    }

    /// The function itself, by the definition. Rows that see nothing do not count.
    fn value(&self, case: &Case) -> f64 {
        let (out, lse) = case.dense();
        let product = |(&x, &d): (&f64, &f32)| if x.is_finite() { x * f64::from(d) } else { 0.0 };
        out.iter().zip(&self.d_out).map(product).chain(lse.iter().zip(&self.d_lse).map(product)).sum()
    }
}

fn tiled(case: &Case, direction: &Direction) -> Gradients {
    let ((out, lse), sequences) = (case.forward(), case.sequences());
    let (d_out, d_lse) = (&direction.d_out, Some(&direction.d_lse[..]));
    backward(case.queries(), &case.positions, &sequences, &case.spec, &out, &lse, d_out, d_lse)
}

fn defined(case: &Case, direction: &Direction) -> dense::Gradients {
    let (d_out, d_lse) = (&direction.d_out, Some(&direction.d_lse[..]));
    dense::backward(case.queries(), &case.positions, &case.sequences(), &case.spec, d_out, d_lse)
}

/// Largest difference, relative to the largest gradient of an array.
fn difference(ours: &[f32], exact: &[f64]) -> f64 {
    let largest = exact.iter().fold(1.0_f64, |max, x| max.max(x.abs()));
    let scaled: Vec<f64> = exact.iter().map(|x| x / largest).collect();
    let ours: Vec<f32> = ours.iter().map(|&x| (f64::from(x) / largest) as f32).collect();
    worst(&ours, &scaled)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tiled_equals_dense(shape in shapes(260)) {
        let shape = Shape { selected: false, even: true, ..shape };
        let error = error(&Case::new(&shape));
        prop_assert!(error < 1e-5, "error {error:e}");
    }

    /// On processors that do not multiply bf16 these are f32 products.
    #[test]
    fn products_of_bf16_are_off_by_their_rounding(shape in shapes(330), wide: bool) {
        let times = if wide { 4 } else { 1 };
        let (half_dim, value_dim) = (shape.half_dim * times, shape.value_dim * times);
        let shape = Shape { selected: false, even: true, softcap: false, half_dim, value_dim, ..shape };
        let mut case = Case::new(&shape);
        case.spec.precision = Precision::Bf16;
        let error = error(&case);
        prop_assert!(error < 3e-2, "error {error:e}");
    }
}

/// The largest of all gradients of a case.
fn error(case: &Case) -> f64 {
    let direction = Direction::new(case);
    let (ours, exact) = (tiled(case, &direction), defined(case, &direction));
    let pairs = [(&ours.dq, &exact.dq), (&ours.d_table, &exact.d_table)].into_iter();
    let pairs = pairs.chain(ours.dk.iter().zip(&exact.dk)).chain(ours.dv.iter().zip(&exact.dv));
    pairs.map(|(ours, exact)| difference(ours, exact)).fold(0.0, f64::max)
}

/// A case small enough for a difference of every input, for each pair of rules.
fn small(pos: usize, mask: usize, causal: bool, softcap: bool) -> Case {
    let shape = Shape {
        lengths: vec![(7, 12), (3, 5)],
        kv_heads: 2,
        group: 2,
        half_dim: 2,
        value_dim: 3,
        seed: (pos * 10 + mask) as u64,
        causal,
        pos,
        mask,
        selected: false,
        softcap,
        norm: 0,
        even: true,
    };
    Case::new(&shape.fitting())
}

#[test]
fn the_definition_agrees_with_finite_differences_for_every_rule() {
    for pos in 0..POSITION_RULES {
        for mask in 0..MASK_RULES {
            for (causal, softcap) in [(false, false), (true, true)] {
                let mut case = small(pos, mask, causal, softcap);
                let direction = Direction::new(&case);
                let exact = defined(&case, &direction);
                let what = format!("position rule {pos}, mask rule {mask}, causal {causal}");
                for i in 0..case.q.len() {
                    slope(&mut case, &direction, exact.dq[i], &what, |case, x| case.q[i] += x);
                }
                let (heads, dim, value_dim) = (case.views[0].heads.len(), case.dim, case.value_dim());
                for s in 0..case.views.len() {
                    // Gradients are [slots, heads, dim], the heads of the view [slots, dim].
                    for (i, &gradient) in exact.dk[s].iter().enumerate() {
                        let (slot, head, c) = (i / dim / heads, i / dim % heads, i % dim);
                        slope(&mut case, &direction, gradient, &what, |case, x| {
                            case.views[s].heads[head].keys[slot * dim + c] += x;
                        });
                    }
                    for (i, &gradient) in exact.dv[s].iter().enumerate() {
                        let (slot, head, c) = (i / value_dim / heads, i / value_dim % heads, i % value_dim);
                        slope(&mut case, &direction, gradient, &what, |case, x| {
                            case.views[s].heads[head].values[slot * value_dim + c] += x;
                        });
                    }
                }
                for i in 0..exact.d_table.len() {
                    let change = |case: &mut Case, x| {
                        let PosRule::T5(bias) = &mut case.spec.pos else { panic!("a table has a gradient") };
                        let mut table = bias.table.to_vec();
                        table[i] += x;
                        bias.table = table.into();
                    };
                    slope(&mut case, &direction, exact.d_table[i], &what, change);
                }
            }
        }
    }
}

/// Compares a gradient with the central difference of a change by a power of two, which f32 inputs hold exactly enough.
fn slope(case: &mut Case, direction: &Direction, gradient: f64, what: &str, change: impl Fn(&mut Case, f32)) {
    let step = 2.0_f32.powi(-10);
    change(case, step);
    let above = direction.value(case);
    change(case, -2.0 * step);
    let below = direction.value(case);
    change(case, step);
    let slope = (above - below) / (2.0 * f64::from(step));
    let error = (gradient - slope).abs() / gradient.abs().max(1.0);
    assert!(error < 2e-5, "{what}: gradient {gradient}, difference {slope}");
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let shape = Shape { lengths: vec![(2300, 500), (40, 60)], even: true, ..small_shape() };
    let mut case = Case::new(&shape);
    let direction = Direction::new(&case);
    for precision in [Precision::F32, Precision::Bf16] {
        case.spec.precision = precision;
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| tiled(&case, &direction))
        };
        assert!(run(1) == run(4));
    }
}

/// More stacked queries than a job takes: keys are rotated once, before.
#[test]
fn keys_that_several_jobs_read() {
    for seed in 0..8 {
        // Every other seed or so stores raw keys.
        let lengths = vec![(700, 300), (30, 40)];
        let case = Case::new(&Shape { lengths, pos: 1, softcap: false, seed, ..small_shape() });
        assert!(matches!(case.spec.pos, PosRule::Rope { cap: None, .. }));
        let error = error(&case);
        assert!(error < 1e-5, "seed {seed}: error {error:e}");
    }
}

fn small_shape() -> Shape {
    Shape {
        lengths: vec![],
        kv_heads: 2,
        group: 2,
        half_dim: 3,
        value_dim: 5,
        seed: 5,
        causal: true,
        pos: 3,
        mask: 1,
        selected: false,
        softcap: true,
        norm: 0,
        even: true,
    }
}
