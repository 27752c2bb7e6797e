//! The kernel's results and gradients against those of the composed form, over all rules.

use super::*;
use crate::family::values;
use burn::tensor::{Device, Int, TensorData};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// Standard normal numbers of one test. The backend's generator is one for the process, so tests beside each
/// other would draw from it in an order that changes from run to run.
struct Normal(ChaCha8Rng);

impl Normal {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let numbers: Vec<f32> =
            StandardNormal.sample_iter(&mut self.0).take(shape.iter().product()).collect();
        Tensor::from_data(TensorData::new(numbers, shape), device)
    }
}

/// One call over random tensors.
struct Case {
    q: Tensor<3>,
    q_packing: Packing,
    kv: Kv,
    spec: AttnSpec,
}

impl Case {
    /// Rows of both sides in the given sequences; queries stand among the last keys, keys in falling order.
    fn new(
        normal: &mut Normal,
        offsets: &[usize],
        [heads, kv_heads]: [usize; 2],
        spec: AttnSpec,
        device: &Device,
    ) -> Self {
        let rows = *offsets.last().expect("offsets");
        let mut random = |h, d| normal.tensor([rows, h, d], device);
        let packing = Packing::from_offsets(offsets);
        let falling: Vec<u32> = offsets.windows(2).flat_map(|w| (0..(w[1] - w[0]) as u32).rev()).collect();
        let keys = packing.clone().with_positions(&falling);
        let (q, k, v) = (random(heads, 8), random(kv_heads, 8), random(kv_heads, 5));
        Self { q, q_packing: packing, kv: Kv::new(k, v, keys), spec }
    }

    fn composed(&self) -> Attended {
        composed::attention(&self.q, &self.q_packing, &self.kv, &self.spec, None)
    }

    fn kernel(&self) -> Attended {
        flex::attention(self.q.clone(), &self.q_packing, self.kv.clone(), &self.spec, None)
    }
}

fn close(what: &str, a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len(), "{what}");
    let largest = b.iter().filter(|b| b.is_finite()).fold(1.0_f32, |max, b| max.max(b.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a - b).abs() <= tolerance * largest;
        assert!(same, "{what}[{i}]: {a} and {b}");
    }
}

fn matrix(t: Tensor<2>) -> Vec<f32> {
    values(t.unsqueeze::<3>())
}

const ROWS: usize = 90;

/// Every position rule, and every mask rule, of one sequence of `ROWS` rows.
fn specs(heads: usize, kv_heads: usize) -> Vec<(String, AttnSpec)> {
    let rotary = |style| Arc::new(Rotary::plain(50.0, 8, style).with_factor(1.2));
    let slopes: Arc<[f32]> = alibi::slopes(heads).into();
    let t5 = |bidirectional| {
        let table = (0..heads * 8).map(|i| (i as f32 * 0.7).sin()).collect();
        PosRule::T5(T5Bias { table, buckets: 8, max_distance: 20, bidirectional })
    };
    let positions = [
        PosRule::None,
        PosRule::Rope { rotary: rotary(RopeStyle::Half), cap: None },
        PosRule::Rope { rotary: rotary(RopeStyle::Interleaved), cap: Some(13) },
        PosRule::Alibi { slopes: slopes.clone(), cap: None },
        PosRule::Alibi { slopes, cap: Some(9) },
        t5(true),
        t5(false),
    ];
    let window = MaskRule::Window { left: 20, right: 6, sink: 3 };
    let runs: Arc<[u32]> = (0..ROWS as u32).map(|i| i / 40).collect();
    let segments = MaskRule::Segments { queries: runs.clone(), slots: runs };
    let list = |i: usize| vec![i..i + 10, 40..40 + i, 80..ROWS];
    let slots = (0..kv_heads).map(|h| (0..3).map(|b| list(3 * h + b)).collect()).collect();
    let listed = MaskRule::Slots(Arc::new(Selection { query_block: 37, slots }));
    let all = MaskRule::And(vec![window.clone(), segments.clone(), listed.clone()]);
    let masks = [MaskRule::Full, window, segments, listed, all];
    let mut specs = Vec::new();
    for (p, pos) in positions.iter().enumerate() {
        for (m, mask) in masks.iter().enumerate() {
            let causal = (p + m) % 2 == 0;
            let softcap = (m % 2 == 1).then_some(2.0);
            let (pos, mask) = (pos.clone(), mask.clone());
            let spec = AttnSpec { causal, pos, mask, softcap, ..AttnSpec::new(0.4) };
            specs.push((format!("position rule {p}, mask rule {m}"), spec));
        }
    }
    specs
}

#[test]
fn kernel_and_composed_agree_for_every_rule() {
    let device = Device::flex();
    let mut normal = Normal::new(7);
    let norms = [Normalizer::Softmax, Normalizer::SoftplusL1, Normalizer::SoftplusPow { p: 3.0 }];
    for (what, spec) in specs(4, 2) {
        for norm in norms {
            let case = Case::new(&mut normal, &[0, ROWS], [4, 2], AttnSpec { norm, ..spec.clone() }, &device);
            let (a, b) = (case.kernel(), case.composed());
            close(&format!("{what}, {norm:?}, out"), &values(a.out), &values(b.out), 2e-5);
            close(&format!("{what}, {norm:?}, lse"), &matrix(a.lse), &matrix(b.lse), 2e-5);
        }
    }
}

/// Packed sequences, some of them empty, longer than a tile of the composed form.
#[test]
fn kernel_and_composed_agree_over_packed_sequences() {
    let device = Device::flex();
    let mut normal = Normal::new(8);
    for (heads, kv_heads, causal) in [(4, 4, false), (4, 2, true), (6, 1, true), (1, 1, false)] {
        let pos = PosRule::Alibi { slopes: alibi::slopes(heads).into(), cap: None };
        let spec = AttnSpec { causal, pos, ..AttnSpec::new(0.35) };
        let case = Case::new(&mut normal, &[0, 3, 3, 40, 700], [heads, kv_heads], spec, &device);
        let (a, b) = (case.kernel(), case.composed());
        close("out", &values(a.out), &values(b.out), 5e-6);
        close("lse", &matrix(a.lse), &matrix(b.lse), 5e-6);
    }
}

/// Gradients of `q`, `k` and `v` of a fixed function of both results.
fn gradients(case: &Case, run: impl Fn(&Case) -> Attended) -> [Vec<f32>; 3] {
    let leaf = |t: &Tensor<3>| t.clone().require_grad();
    let (q, k, v) = (leaf(&case.q), leaf(&case.kv.k), leaf(&case.kv.v));
    let kv = Kv { k: k.clone(), v: v.clone(), ..case.kv.clone() };
    let attended =
        run(&Case { q: q.clone(), kv, q_packing: case.q_packing.clone(), spec: case.spec.clone() });
    let gradients = function(attended).backward();
    [q, k, v].map(|leaf| values(leaf.grad(&gradients).expect("a gradient")))
}

fn function(attended: Attended) -> Tensor<1> {
    let [rows, heads, dim] = attended.out.dims();
    let device = attended.out.device();
    let weights = |n: usize| Tensor::<1, Int>::arange(0..n as i64, &device).float().mul_scalar(0.37).sin();
    let out = (attended.out * weights(rows * heads * dim).reshape([rows, heads, dim])).sum();
    // Rows that see nothing have no logarithm to take a gradient of.
    let seen = attended.lse.clone().greater_scalar(f32::MIN).float();
    let lse = attended.lse.clamp_min(-1e30) * seen * weights(rows * heads).reshape([rows, heads]);
    out + lse.sum()
}

#[test]
fn gradients_of_the_kernel_are_those_of_the_composed_form() {
    for device in [Device::flex().autodiff(), Device::flex().autodiff().gradient_checkpointing()] {
        let mut normal = Normal::new(9);
        for (what, spec) in specs(4, 2) {
            let case = Case::new(&mut normal, &[0, ROWS], [4, 2], spec, &device);
            let (ours, theirs) = (gradients(&case, Case::kernel), gradients(&case, Case::composed));
            for ((name, a), b) in ["q", "k", "v"].iter().zip(&ours).zip(&theirs) {
                close(&format!("{what}, gradient of {name}"), a, b, 1e-5);
            }
        }
    }
}

#[test]
fn gradients_of_a_table_of_biases() {
    let device = Device::flex().autodiff();
    let mut normal = Normal::new(10);
    for bidirectional in [false, true] {
        let bias = T5Bias { table: vec![0.0; 32].into(), buckets: 8, max_distance: 20, bidirectional };
        let spec = AttnSpec { pos: PosRule::T5(bias), ..AttnSpec::new(0.4) };
        let case = Case::new(&mut normal, &[0, 30, 95], [4, 2], spec, &device);
        let numbers: Vec<f32> = (0..32).map(|i| (i as f32 * 0.9).cos()).collect();
        let table = Tensor::<1>::from_floats(&numbers[..], &device).reshape([4, 8]).require_grad();
        let ours =
            attention_with_table(case.q.clone(), &case.q_packing, case.kv.clone(), &case.spec, table.clone());
        let theirs = composed::attention(&case.q, &case.q_packing, &case.kv, &case.spec, Some(&table));
        close("out", &values(ours.out.clone()), &values(theirs.out.clone()), 1e-5);
        let gradient = |attended| matrix(table.grad(&function(attended).backward()).expect("a gradient"));
        close("table", &gradient(ours), &gradient(theirs), 1e-5);
    }
}

/// Only the composed form has gradients of the softplus normalisers, so the definition is its measure.
#[test]
fn gradients_of_softplus_attention_follow_the_definition() {
    let device = Device::flex().autodiff();
    let mut normal = Normal::new(11);
    for norm in [Normalizer::SoftplusL1, Normalizer::SoftplusPow { p: 3.0 }] {
        let spec = AttnSpec { causal: true, norm, ..AttnSpec::new(1.0) };
        let case = Case::new(&mut normal, &[0, 12], [2, 1], spec, &device);
        let [dq, ..] =
            gradients(&case, |case| attention(case.q.clone(), &case.q_packing, case.kv.clone(), &case.spec));
        let value = |i: usize, step: f32| -> f64 {
            let mut q = values(case.q.clone());
            q[i] += step;
            let q = Tensor::<1>::from_floats(&q[..], &Device::flex()).reshape([12, 2, 8]);
            let plain = |t: &Tensor<3>| Tensor::<3>::from_data(t.clone().into_data(), &Device::flex());
            let kv = Kv { k: plain(&case.kv.k), v: plain(&case.kv.v), ..case.kv.clone() };
            let attended = attention(q, &case.q_packing, kv, &case.spec);
            f64::from(function(attended).into_scalar::<f32>())
        };
        for i in (0..dq.len()).step_by(7) {
            // Two differences, so that the third derivative (large where p is 3) does not enter.
            let step = 2.0_f32.powi(-5);
            let slope = |step| (value(i, step) - value(i, -step)) / (2.0 * f64::from(step));
            let slope = (4.0 * slope(step) - slope(2.0 * step)) / 3.0;
            assert!((slope - f64::from(dq[i])).abs() < 5e-4, "{norm:?}: {} instead of {slope}", dq[i]);
        }
    }
}

#[test]
fn kernel_reads_a_fused_projection_in_place() {
    let device = Device::flex();
    let fused = Normal::new(13).tensor([5, 3, 2, 4], &device);
    let part = |i| fused.clone().narrow(1, i, 1).squeeze_dim::<3>(1);
    let packing = Packing::from_offsets(&[0, 5]);
    let spec = AttnSpec::new(0.5);
    let strided = attention(part(0), &packing, Kv::new(part(1), part(2), packing.clone()), &spec).out;
    let copy = |t: Tensor<3>| Tensor::<3>::from_data(t.into_data(), &device);
    let kv = Kv::new(copy(part(1)), copy(part(2)), packing.clone());
    let contiguous = attention(copy(part(0)), &packing, kv, &spec).out;
    assert_eq!(strided.into_data(), contiguous.into_data());
}

#[test]
fn rows_of_one_projection_are_their_parts_forward_and_backward() {
    let mut normal = Normal::new(12);
    let [heads, kv_heads, dim] = [4, 2, 8];
    let rotary = Arc::new(Rotary::plain(50.0, dim, RopeStyle::Half));
    let pos = PosRule::Rope { rotary, cap: None };
    let spec = AttnSpec { causal: true, pos, ..AttnSpec::new(0.4) };
    let packing = Packing::from_offsets(&[0, 37, 37, 50]);
    let width = (heads + 2 * kv_heads) * dim;
    let numbers = normal.tensor([50, width], &Device::flex());
    let weights = normal.tensor([50, heads * dim], &Device::flex());
    let run = |attend: &dyn Fn(Tensor<2>) -> Tensor<2>| {
        let rows = numbers.clone().autodiff().require_grad();
        let out = attend(rows.clone());
        let gradients = (out.clone() * weights.clone().autodiff()).sum().backward();
        (matrix(out.inner()), matrix(rows.grad(&gradients).expect("a gradient")))
    };
    let (out, gradient) = run(&|rows| attention_of_rows(rows, [heads, kv_heads, dim], &packing, &spec));
    let (of_parts, gradient_of_parts) = run(&|rows| {
        let all = rows.reshape([50, heads + 2 * kv_heads, dim]);
        let part = |first, count| all.clone().narrow(1, first, count);
        let kv = Kv::new(part(heads, kv_heads), part(heads + kv_heads, kv_heads), packing.clone());
        attention(part(0, heads), &packing, kv, &spec).out.reshape([50, heads * dim])
    });
    assert_eq!(out, of_parts);
    close("gradient", &gradient, &gradient_of_parts, 1e-6);
}
