//! Attention itself: the tiled kernel and the dense reference, over every rule of positions and masks.

use super::vectors::{Array, Vectors};
use kilobase_kernels::attention::{
    AttnSpec, Heads, KeyForm, MaskRule, Normalizer, PosRule, Selection, Sequence, Strided, T5Bias, backward,
    dense, forward, merge,
};
use kilobase_kernels::rotary::{RopeStyle, Rotary};
use kilobase_models::attention::alibi;
use std::ops::Range;
use std::sync::Arc;

/// Of the f32 kernel.
const TOLERANCE: f64 = 2e-5;
/// Of the f64 reference, whose inputs are rounded to f32.
const ROUNDED: f64 = 5e-6;

pub(crate) fn check(vectors: &Vectors, case: &str) -> bool {
    match case {
        "alibi_slopes" => return check_slopes(vectors, case),
        "t5_buckets" => return check_buckets(vectors, case),
        "sqa" => return check_sqa(vectors, case),
        _ => {}
    }
    let inputs = Inputs::new(vectors);
    let causal = AttnSpec { causal: true, ..inputs.spec() };
    let rope = |cap| PosRule::Rope { rotary: Arc::new(inputs.rotary(RopeStyle::Half)), cap };
    let alibi = || PosRule::Alibi { slopes: alibi::slopes(inputs.q.heads).into(), cap: None };
    match case {
        "dense_causal_alibi_gqa" => inputs.check(vectors, case, &AttnSpec { pos: alibi(), ..causal }),
        "dense_bidir_alibi" => inputs.check(vectors, case, &AttnSpec { pos: alibi(), ..inputs.spec() }),
        "dense_causal_rope" => inputs.check(vectors, case, &AttnSpec { pos: rope(None), ..causal }),
        "rope_interleaved" => check_interleaved(vectors, case, &inputs),
        "dense_holes" => check_holes(vectors, case, &inputs, &AttnSpec { pos: alibi(), ..causal }),
        "dense_padding" => check_padding(vectors, case, &inputs, &AttnSpec { pos: alibi(), ..inputs.spec() }),
        "packed_segments" => check_segments(vectors, case, &inputs, &AttnSpec { pos: rope(None), ..causal }),
        "window_sink" => {
            let mask = window(vectors.usize("win"), vectors);
            inputs.check(vectors, case, &AttnSpec { mask, ..causal });
        }
        "backward_causal_alibi" => {
            check_backward(vectors, case, &inputs, &AttnSpec { pos: alibi(), ..causal });
        }
        "merge" => check_merge(vectors, case, &inputs),
        "lambda" => {
            let local = vectors.usize("n_local");
            let pos = rope(Some(local as u32));
            inputs.check(vectors, case, &AttnSpec { pos, mask: window(local, vectors), ..causal });
        }
        "lssa" => {
            let norm = Normalizer::SoftplusL1;
            inputs.check(vectors, case, &AttnSpec { pos: rope(None), norm, ..causal });
        }
        "lssar" => {
            let norm = Normalizer::SoftplusPow { p: vectors.f64("p") as f32 };
            let spec = AttnSpec { pos: rope(None), norm, ..causal };
            inputs.check(vectors, case, &spec);
            check_weights(vectors, case, &inputs, &spec);
        }
        _ => return false,
    }
    true
}

/// `[rows, heads, dim]`, and the position of each row.
#[derive(Clone)]
struct Rows {
    data: Vec<f32>,
    heads: usize,
    dim: usize,
    positions: Vec<u32>,
}

impl Rows {
    /// From `[heads, rows, dim]`, at positions 0, 1, ...
    fn from_heads(array: &Array) -> Self {
        let [heads, rows, dim] = array.shape[..] else { panic!("an input of shape {:?}", array.shape) };
        let row = |row| (0..heads).map(move |head| (head * rows + row) * dim);
        let starts = (0..rows).flat_map(row);
        let data = starts.flat_map(|at| &array.data[at..at + dim]).map(|&x| x as f32).collect();
        Self { data, heads, dim, positions: (0..rows as u32).collect() }
    }

    fn len(&self) -> usize {
        self.positions.len()
    }

    fn view(&self) -> Heads<'_> {
        Heads::contiguous(&self.data, self.len(), self.heads, self.dim)
    }

    /// Some of the rows.
    fn gather(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let rows: Vec<usize> = rows.into_iter().collect();
        let size = self.heads * self.dim;
        Self {
            data: rows.iter().flat_map(|row| &self.data[row * size..][..size]).copied().collect(),
            positions: rows.iter().map(|&row| self.positions[row]).collect(),
            ..*self
        }
    }

    fn at(self, positions: &[i64]) -> Self {
        Self { positions: positions.iter().map(|&position| position as u32).collect(), ..self }
    }
}

/// Queries, keys and values, as projected.
#[derive(Clone)]
struct Inputs {
    q: Rows,
    k: Rows,
    v: Rows,
    theta: f64,
}

/// `out` and `lse`, `[rows, heads, ..]`.
type Attended = (Vec<f64>, Vec<f64>);

impl Inputs {
    fn new(vectors: &Vectors) -> Self {
        let [q, k, v] = ["q", "k", "v"].map(|name| Rows::from_heads(&vectors.data(name)));
        Self { q, k, v, theta: vectors.f64("theta") }
    }

    fn spec(&self) -> AttnSpec {
        AttnSpec::new((self.q.dim as f32).sqrt().recip())
    }

    fn rotary(&self, style: RopeStyle) -> Rotary {
        Rotary::plain(self.theta, self.q.dim, style)
    }

    /// The same queries over some of the keys.
    fn over(&self, slots: impl IntoIterator<Item = usize> + Clone) -> Self {
        Self { k: self.k.gather(slots.clone()), v: self.v.gather(slots), ..self.clone() }
    }

    fn kv(&self) -> Strided<'_> {
        let positions = &self.k.positions;
        Strided { k: self.k.view(), v: self.v.view(), positions, form: KeyForm::Raw }
    }

    /// What the tiled kernel gives, and what the reference gives.
    fn attend(&self, spec: &AttnSpec) -> [Attended; 2] {
        let kv = self.kv();
        attend(&self.q, &[Sequence { rows: 0..self.q.len(), kv: &kv }], spec, self.v.dim)
    }

    fn check(&self, vectors: &Vectors, case: &str, spec: &AttnSpec) {
        self.compare(vectors, case, &self.attend(spec));
    }

    /// Compares `out`, and `lse` where the case has it.
    fn compare(&self, vectors: &Vectors, case: &str, [tiled, reference]: &[Attended; 2]) {
        for ((out, lse), tolerance) in [(tiled, TOLERANCE), (reference, ROUNDED)] {
            compare(vectors, case, "out", out, self.q.heads, tolerance);
            if vectors.keys(case).iter().any(|key| key == "lse") {
                compare(vectors, case, "lse", lse, self.q.heads, tolerance);
            }
        }
    }
}

fn attend(q: &Rows, sequences: &[Sequence<'_>], spec: &AttnSpec, value_dim: usize) -> [Attended; 2] {
    let rows = q.len() * q.heads;
    let (mut out, mut lse) = (vec![f32::NAN; rows * value_dim], vec![f32::NAN; rows]);
    forward(q.view(), &q.positions, sequences, spec, None, &mut out, &mut lse);
    let tiled = (f64s(&out), f64s(&lse));
    [tiled, dense::forward(q.view(), &q.positions, sequences, spec, None)]
}

/// Compares `[rows, heads, dim]` with an expected `[heads, rows, dim]`, of which only every n-th row may be stored.
fn compare(vectors: &Vectors, case: &str, key: &str, ours: &[f64], heads: usize, tolerance: f64) {
    let shape = vectors.expected(case, key).shape;
    let dim = shape[2..].iter().product::<usize>();
    let rows = ours.len() / (heads * dim);
    let kept = Vectors::thinned(rows, shape[1]);
    let starts = (0..heads).flat_map(|head| kept.iter().map(move |row| (row * heads + head) * dim));
    let ours: Vec<f64> = starts.flat_map(|at| &ours[at..at + dim]).copied().collect();
    vectors.close(case, key, &ours, tolerance);
}

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn window(keys: usize, vectors: &Vectors) -> MaskRule {
    MaskRule::Window { left: keys as u32 - 1, right: 0, sink: vectors.usize("sink") as u32 }
}

fn check_interleaved(vectors: &Vectors, case: &str, inputs: &Inputs) {
    let mut keys = inputs.k.clone();
    let positions = keys.positions.iter().flat_map(|&p| std::iter::repeat_n(i64::from(p), keys.heads));
    inputs.rotary(RopeStyle::Interleaved).rotate(&mut keys.data, &positions.collect::<Vec<_>>());
    compare(vectors, case, "out", &f64s(&keys.data), keys.heads, ROUNDED);
}

fn check_holes(vectors: &Vectors, case: &str, inputs: &Inputs, spec: &AttnSpec) {
    let places = vectors.list("qpos3");
    let last = inputs.q.len() - places.len()..inputs.q.len();
    let holes = Inputs {
        q: inputs.q.gather(last).at(&places),
        k: inputs.k.clone().at(&vectors.list("kpos")),
        ..inputs.clone()
    };
    holes.check(vectors, case, spec);
}

/// Padding is a list of slots that are seen, or keys that are not there at all.
fn check_padding(vectors: &Vectors, case: &str, inputs: &Inputs, spec: &AttnSpec) {
    let valid = vectors.list("key_valid");
    let slots: Vec<usize> = (0..valid.len()).filter(|&slot| valid[slot] != 0).collect();
    inputs.over(slots.iter().copied()).check(vectors, case, spec);
    let ranges: Vec<Range<usize>> = slots.iter().map(|&slot| slot..slot + 1).collect();
    let slots = vec![vec![ranges]; inputs.k.heads];
    let mask = MaskRule::Slots(Arc::new(Selection { query_block: inputs.q.len(), slots }));
    inputs.check(vectors, case, &AttnSpec { mask, ..spec.clone() });
}

/// Segments are a mask over one sequence, or sequences of their own with positions from 0.
fn check_segments(vectors: &Vectors, case: &str, inputs: &Inputs, spec: &AttnSpec) {
    let segments: Vec<u32> = vectors.list("segments").iter().map(|&segment| segment as u32).collect();
    let (queries, slots) = (segments.as_slice().into(), segments.as_slice().into());
    let mask = MaskRule::Segments { queries, slots };
    inputs.check(vectors, case, &AttnSpec { mask, ..spec.clone() });

    let mut rows: Vec<Range<usize>> = Vec::new();
    for run in segments.chunk_by(|a, b| a == b) {
        let start = rows.last().map_or(0, |rows| rows.end);
        rows.push(start..start + run.len());
    }
    let positions: Vec<u32> = rows.iter().flat_map(|rows| 0..rows.len() as u32).collect();
    let kv: Vec<Strided<'_>> = rows
        .iter()
        .map(|rows| Strided {
            k: inputs.k.view().slice(rows.clone()),
            v: inputs.v.view().slice(rows.clone()),
            positions: &positions[rows.clone()],
            form: KeyForm::Raw,
        })
        .collect();
    let sequences: Vec<Sequence<'_>> =
        rows.iter().zip(&kv).map(|(rows, kv)| Sequence { rows: rows.clone(), kv }).collect();
    let q = Rows { positions: positions.clone(), ..inputs.q.clone() };
    inputs.compare(vectors, case, &attend(&q, &sequences, spec, inputs.v.dim));
}

fn check_backward(vectors: &Vectors, case: &str, inputs: &Inputs, spec: &AttnSpec) {
    let d_out = Rows::from_heads(&vectors.data("do")).data;
    let rows = inputs.q.len() * inputs.q.heads;
    let (mut out, mut lse) = (vec![f32::NAN; rows * inputs.v.dim], vec![f32::NAN; rows]);
    let (q, positions, kv) = (inputs.q.view(), &inputs.q.positions, inputs.kv());
    let sequences = [Sequence { rows: 0..inputs.q.len(), kv: &kv }];
    forward(q, positions, &sequences, spec, None, &mut out, &mut lse);
    let tiled = backward(q, positions, &sequences, spec, &out, &lse, &d_out, None);
    let reference = dense::backward(q, positions, &sequences, spec, &d_out, None);
    let compare = |key, tiled: &[f32], reference: &[f64], heads| {
        compare(vectors, case, key, &f64s(tiled), heads, TOLERANCE);
        compare(vectors, case, key, reference, heads, ROUNDED);
    };
    compare("dq", &tiled.dq, &reference.dq, inputs.q.heads);
    compare("dk", &tiled.dk[0], &reference.dk[0], inputs.k.heads);
    compare("dv", &tiled.dv[0], &reference.dv[0], inputs.v.heads);
}

fn check_merge(vectors: &Vectors, case: &str, inputs: &Inputs) {
    let (split, end) = (vectors.usize("split"), inputs.q.len());
    let queries = vectors.expected(case, "lse_a").shape[1];
    let last = Inputs { q: inputs.q.gather(end - queries..end), ..inputs.clone() };
    let parts = [("lse_a", 0..split), ("lse_b", split..inputs.k.len())];
    let [a, b] = parts.map(|(key, slots)| {
        let [tiled, reference] = last.over(slots).attend(&last.spec());
        compare(vectors, case, key, &tiled.1, last.q.heads, TOLERANCE);
        compare(vectors, case, key, &reference.1, last.q.heads, ROUNDED);
        tiled
    });
    let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<_>>();
    let (mut out, mut lse) = (narrow(&a.0), narrow(&a.1));
    merge(&mut out, &mut lse, &narrow(&b.0), &narrow(&b.1), last.v.dim);
    let [_, reference] = last.attend(&last.spec());
    last.compare(vectors, case, &[(f64s(&out), f64s(&lse)), reference]);
}

/// The weights of the last query: attention to values that are unit vectors.
fn check_weights(vectors: &Vectors, case: &str, inputs: &Inputs, spec: &AttnSpec) {
    let (slots, heads) = (inputs.k.len(), inputs.v.heads);
    let mut units = vec![0.0; slots * heads * slots];
    for (i, unit) in units.chunks_exact_mut(slots).enumerate() {
        unit[i / heads] = 1.0;
    }
    let v = Rows { data: units, dim: slots, ..inputs.v.clone() };
    let last = inputs.q.len() - 1;
    let last = Inputs { q: inputs.q.gather([last]), v, ..inputs.clone() };
    let [tiled, reference] = last.attend(spec);
    vectors.close(case, "A_last", &tiled.0, TOLERANCE);
    vectors.close(case, "A_last", &reference.0, ROUNDED);
}

/// A layer with fewer query heads than its width has room for is the same kernel between other projections.
fn check_sqa(vectors: &Vectors, case: &str) -> bool {
    let x = vectors.data("x");
    let dim = vectors.usize("dh");
    let project = |weights: &str| {
        let weights = vectors.data(weights);
        let data = product(&x, &weights);
        let positions = (0..x.shape[0] as u32).collect();
        Rows { data: data.iter().map(|&x| x as f32).collect(), heads: weights.shape[1] / dim, dim, positions }
    };
    let theta = vectors.spec(case, "theta");
    let inputs = Inputs { q: project("Wq"), k: project("Wk"), v: project("Wv"), theta };
    let pos = PosRule::Rope { rotary: Arc::new(inputs.rotary(RopeStyle::Half)), cap: None };
    let [tiled, reference] = inputs.attend(&AttnSpec { causal: true, pos, ..inputs.spec() });
    for ((out, _), tolerance) in [(tiled, TOLERANCE), (reference, ROUNDED)] {
        let out = Array { shape: vec![x.shape[0], inputs.q.heads * dim], data: out };
        vectors.close(case, "out", &product(&out, &vectors.data("Wo")), tolerance);
    }
    true
}

/// `[rows, inner]` times `[inner, columns]`.
fn product(a: &Array, b: &Array) -> Vec<f64> {
    let ([_, inner], [_, columns]) = (&a.shape[..], &b.shape[..]) else { panic!("matrices") };
    let entry = |row: &[f64], column| (0..*inner).map(|i| row[i] * b.data[i * columns + column]).sum();
    a.data.chunks_exact(*inner).flat_map(|row| (0..*columns).map(move |column| entry(row, column))).collect()
}

fn check_slopes(vectors: &Vectors, case: &str) -> bool {
    for key in vectors.keys(case) {
        let heads = key.trim_start_matches('h').parse().expect("a number of heads");
        vectors.close(case, &key, &f64s(&alibi::slopes(heads)), 1e-7);
    }
    true
}

fn check_buckets(vectors: &Vectors, case: &str) -> bool {
    for (key, bidirectional) in [("bidir", true), ("causal", false)] {
        let bias = T5Bias { table: [].into(), buckets: 32, max_distance: 128, bidirectional };
        let buckets = vectors.list("t5_rel").into_iter().map(|relative| bias.bucket(relative));
        vectors.same(case, key, &buckets.collect::<Vec<_>>());
    }
    true
}
