//! Exact attention, its gradients, positions and normalisers: the tiled kernel and the definition.

use super::vectors::{Array, Vectors};
use kilobase_kernels::attention::{
    AttnSpec, Heads, KeyForm, MaskRule, Normalizer, PosRule, Selection, Sequence, Strided, T5Bias, backward,
    dense, forward, merge,
};
use kilobase_kernels::rotary::{RopeStyle, Rotary};
use kilobase_models::attention::alibi;
use std::ops::Range;
use std::sync::Arc;

const TOLERANCE: f64 = 2e-5;

/// Compares a case; false if it is none of this area.
pub fn check(vectors: &Vectors, case: &str) -> bool {
    let inputs = Inputs::new(vectors);
    let spec = AttnSpec { causal: true, ..AttnSpec::new(1.0 / (inputs.dim as f32).sqrt()) };
    let both_ways = |spec: &AttnSpec| AttnSpec { causal: false, ..spec.clone() };
    let slopes = || PosRule::Alibi { slopes: alibi::slopes(inputs.heads).into(), cap: None };
    let rotary = || Arc::new(Rotary::plain(vectors.f64("theta"), inputs.dim, RopeStyle::Half));
    let rope = |cap| PosRule::Rope { rotary: rotary(), cap };
    let window = |width: &str| {
        let left = vectors.usize(width) as u32 - 1;
        MaskRule::Window { left, right: 0, sink: vectors.usize("sink") as u32 }
    };
    match case {
        "dense_causal_alibi_gqa" => inputs.compare(vectors, case, &AttnSpec { pos: slopes(), ..spec }),
        "dense_bidir_alibi" => {
            inputs.compare(vectors, case, &AttnSpec { pos: slopes(), ..both_ways(&spec) });
        }
        "dense_causal_rope" => inputs.compare(vectors, case, &AttnSpec { pos: rope(None), ..spec }),
        "rope_interleaved" => interleaved(vectors, case, &inputs),
        "dense_holes" => {
            let positions = |name| vectors.list(name).iter().map(|&p| p as u32).collect::<Vec<_>>();
            let (queries, keys) = (positions("qpos3"), positions("kpos"));
            let rows = inputs.rows_of_q - queries.len()..inputs.rows_of_q;
            let inputs = Inputs { rows, queries, keys, ..inputs };
            inputs.compare(vectors, case, &AttnSpec { pos: slopes(), ..spec });
        }
        "dense_padding" => {
            let mask = MaskRule::Slots(Arc::new(valid(vectors, &inputs)));
            inputs.compare(vectors, case, &AttnSpec { pos: slopes(), mask, ..both_ways(&spec) });
        }
        "packed_segments" => {
            let ids: Arc<[u32]> = vectors.list("segments").iter().map(|&s| s as u32).collect();
            let mask = MaskRule::Segments { queries: ids.clone(), slots: ids };
            inputs.compare(vectors, case, &AttnSpec { pos: rope(None), mask, ..spec });
        }
        "window_sink" => inputs.compare(vectors, case, &AttnSpec { mask: window("win"), ..spec }),
        "lambda" => {
            let pos = rope(Some(vectors.usize("n_local") as u32));
            inputs.compare(vectors, case, &AttnSpec { pos, mask: window("n_local"), ..spec });
        }
        "lssa" => {
            let norm = Normalizer::SoftplusL1;
            inputs.compare(vectors, case, &AttnSpec { pos: rope(None), norm, ..spec });
        }
        "lssar" => {
            let norm = Normalizer::SoftplusPow { p: vectors.f64("p") as f32 };
            let spec = AttnSpec { pos: rope(None), norm, ..spec };
            inputs.compare(vectors, case, &spec);
            last_weights(vectors, case, &inputs, &spec);
        }
        "backward_causal_alibi" => gradients(vectors, case, &inputs, &AttnSpec { pos: slopes(), ..spec }),
        "merge" => merged(vectors, case, &inputs, &both_ways(&spec)),
        "sqa" => sqa(vectors, case),
        "alibi_slopes" => {
            for key in keys(vectors, case) {
                let heads = key.trim_start_matches('h').parse().expect("a number of heads");
                vectors.close(case, &key, &wide(&alibi::slopes(heads)), 1e-7);
            }
        }
        "t5_buckets" => buckets(vectors, case),
        _ => return false,
    }
    true
}

/// What a case expects and has not been compared yet.
fn keys(vectors: &Vectors, case: &str) -> Vec<String> {
    let prefix = format!("{case}/");
    vectors.left().iter().filter_map(|key| key.strip_prefix(&prefix)).map(String::from).collect()
}

/// `q` `[heads, rows, dim]`, `k` and `v` `[kv heads, rows, dim]`, and where queries and keys stand.
struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    heads: usize,
    kv_heads: usize,
    rows_of_q: usize,
    slots: usize,
    dim: usize,
    /// Query rows of the call.
    rows: Range<usize>,
    queries: Vec<u32>,
    keys: Vec<u32>,
}

impl Inputs {
    fn new(vectors: &Vectors) -> Self {
        let (q, k, v) = (vectors.data("q"), vectors.data("k"), vectors.data("v"));
        let (rows, slots) = (q.shape[1], k.shape[1]);
        Self {
            heads: q.shape[0],
            kv_heads: k.shape[0],
            rows_of_q: rows,
            slots,
            dim: q.shape[2],
            rows: 0..rows,
            queries: (slots as u32 - rows as u32..slots as u32).collect(),
            keys: (0..slots as u32).collect(),
            q: q.f32(),
            k: k.f32(),
            v: v.f32(),
        }
    }

    fn queries(&self) -> Heads<'_> {
        by_head(&self.q, self.heads, self.rows_of_q, self.dim).slice(self.rows.clone())
    }

    /// The keys and values of some slots.
    fn view(&self, slots: Range<usize>) -> Strided<'_> {
        Strided {
            k: by_head(&self.k, self.kv_heads, self.slots, self.dim).slice(slots.clone()),
            v: by_head(&self.v, self.kv_heads, self.slots, self.v.len() / self.kv_heads / self.slots)
                .slice(slots.clone()),
            positions: &self.keys[slots],
            form: KeyForm::Raw,
        }
    }

    /// `out` `[rows, heads, dim]` and `lse` of the kernel and of the definition, over some slots.
    fn attend(&self, spec: &AttnSpec, slots: Range<usize>) -> [(Vec<f64>, Vec<f64>); 2] {
        let (q, view) = (self.queries(), self.view(slots));
        let sequences = [Sequence { rows: 0..q.rows, kv: &view }];
        let mut out = vec![0.0; q.rows * q.heads * view.v.dim];
        let mut lse = vec![0.0; q.rows * q.heads];
        forward(q, &self.queries, &sequences, spec, None, &mut out, &mut lse);
        [(wide(&out), wide(&lse)), dense::forward(q, &self.queries, &sequences, spec, None)]
    }

    /// Compares `out`, and `lse` where the case has it.
    fn compare(&self, vectors: &Vectors, case: &str, spec: &AttnSpec) {
        let has_lse = keys(vectors, case).contains(&"lse".to_owned());
        for (out, lse) in self.attend(spec, 0..self.slots) {
            compare_rows(vectors, case, "out", &out, self.heads);
            if has_lse {
                vectors.close(case, "lse", &by_head_first(&lse, self.heads, 1), TOLERANCE);
            }
        }
    }
}

/// `[heads, rows, dim]` as the kernel reads it.
fn by_head(data: &[f32], heads: usize, rows: usize, dim: usize) -> Heads<'_> {
    Heads { data, rows, heads, dim, row_stride: dim, head_stride: rows * dim }
}

/// `[rows, heads, dim]` to `[heads, rows, dim]`.
fn by_head_first(x: &[f64], heads: usize, dim: usize) -> Vec<f64> {
    let rows = x.len() / heads / dim;
    let places = (0..heads).flat_map(|head| (0..rows).map(move |row| (row * heads + head) * dim));
    places.flat_map(|at| &x[at..at + dim]).copied().collect()
}

/// Compares `[rows, heads, dim]` with the rows of `[heads, rows, dim]` that are stored.
fn compare_rows(vectors: &Vectors, case: &str, key: &str, ours: &[f64], heads: usize) {
    let shape = vectors.expected(case, key).shape;
    let (stored, dim) = (shape[1], shape[2]);
    let rows = ours.len() / heads / dim;
    let kept = Vectors::thinned(rows, stored);
    let ours: Vec<f64> =
        kept.iter().flat_map(|row| &ours[row * heads * dim..][..heads * dim]).copied().collect();
    vectors.close(case, key, &by_head_first(&ours, heads, dim), TOLERANCE);
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn interleaved(vectors: &Vectors, case: &str, inputs: &Inputs) {
    let rotary = Rotary::plain(vectors.f64("theta"), inputs.dim, RopeStyle::Interleaved);
    let stored = vectors.expected(case, "out").shape[1];
    let mut ours = Vec::new();
    for head in inputs.k.chunks_exact(inputs.slots * inputs.dim) {
        let mut head = head.to_vec();
        rotary.rotate(&mut head, &(0..inputs.slots as i64).collect::<Vec<_>>());
        let rows = Vectors::thinned(inputs.slots, stored);
        ours.extend(rows.iter().flat_map(|row| wide(&head[row * inputs.dim..][..inputs.dim])));
    }
    vectors.close(case, "out", &ours, TOLERANCE);
}

/// The slots that are no padding, for every query.
fn valid(vectors: &Vectors, inputs: &Inputs) -> Selection {
    let valid = vectors.list("key_valid");
    let slots: Vec<Range<usize>> = (0..valid.len()).filter(|&j| valid[j] != 0).map(|j| j..j + 1).collect();
    Selection { query_block: inputs.rows.len(), slots: vec![vec![slots]; inputs.kv_heads] }
}

fn gradients(vectors: &Vectors, case: &str, inputs: &Inputs, spec: &AttnSpec) {
    let (q, view) = (inputs.queries(), inputs.view(0..inputs.slots));
    let sequences = [Sequence { rows: 0..q.rows, kv: &view }];
    let d_out = vectors.data("do").f32();
    let d_out = by_head(&d_out, inputs.heads, inputs.rows_of_q, inputs.dim);
    let rows = (0..q.rows).flat_map(|row| (0..inputs.heads).map(move |head| (row, head)));
    let d_out: Vec<f32> = rows.flat_map(|(row, head)| d_out.row(row, head)).copied().collect();
    let mut out = vec![0.0; d_out.len()];
    let mut lse = vec![0.0; q.rows * q.heads];
    forward(q, &inputs.queries, &sequences, spec, None, &mut out, &mut lse);
    let ours = backward(q, &inputs.queries, &sequences, spec, &out, &lse, &d_out, None);
    let exact = dense::backward(q, &inputs.queries, &sequences, spec, &d_out, None);
    let tiled = [wide(&ours.dq), wide(&ours.dk[0]), wide(&ours.dv[0])];
    for [dq, dk, dv] in [tiled, [exact.dq, exact.dk[0].clone(), exact.dv[0].clone()]] {
        compare_rows(vectors, case, "dq", &dq, inputs.heads);
        compare_rows(vectors, case, "dk", &dk, inputs.kv_heads);
        compare_rows(vectors, case, "dv", &dv, inputs.kv_heads);
    }
}

/// The last queries over two halves of the keys, and both together.
fn merged(vectors: &Vectors, case: &str, inputs: &Inputs, spec: &AttnSpec) {
    let count = vectors.expected(case, "lse").shape[1];
    let rows = inputs.rows_of_q - count..inputs.rows_of_q;
    let queries = inputs.queries[rows.clone()].to_vec();
    let inputs = Inputs {
        rows,
        queries,
        q: inputs.q.clone(),
        k: inputs.k.clone(),
        v: inputs.v.clone(),
        keys: inputs.keys.clone(),
        ..*inputs
    };
    let split = vectors.usize("split");
    let (first, second) = (inputs.attend(spec, 0..split), inputs.attend(spec, split..inputs.slots));
    for ((out_a, lse_a), (out_b, lse_b)) in first.into_iter().zip(second) {
        vectors.close(case, "lse_a", &by_head_first(&lse_a, inputs.heads, 1), TOLERANCE);
        vectors.close(case, "lse_b", &by_head_first(&lse_b, inputs.heads, 1), TOLERANCE);
        let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let (mut out, mut lse) = (narrow(&out_a), narrow(&lse_a));
        merge(&mut out, &mut lse, &narrow(&out_b), &narrow(&lse_b), inputs.dim);
        compare_rows(vectors, case, "out", &wide(&out), inputs.heads);
        vectors.close(case, "lse", &by_head_first(&wide(&lse), inputs.heads, 1), TOLERANCE);
    }
}

/// The weights of the last query: from the definition, and by attending to unit vectors.
fn last_weights(vectors: &Vectors, case: &str, inputs: &Inputs, spec: &AttnSpec) {
    let (heads, rows, slots) = (inputs.heads, inputs.rows_of_q, inputs.slots);
    let view = inputs.view(0..slots);
    let sequences = [Sequence { rows: 0..rows, kv: &view }];
    let weights = dense::weights(inputs.queries(), &inputs.queries, &sequences, spec, None);
    let exact: Vec<f64> = weights[0].iter().flat_map(|head| &head[(rows - 1) * slots..]).copied().collect();
    vectors.close(case, "A_last", &exact, TOLERANCE);
    let units = (0..slots * slots).map(|i| f32::from(u8::from(i / slots == i % slots)));
    let units: Vec<f32> = units.collect::<Vec<_>>().repeat(inputs.kv_heads);
    let inputs = Inputs {
        v: units,
        q: inputs.q.clone(),
        k: inputs.k.clone(),
        queries: inputs.queries.clone(),
        keys: inputs.keys.clone(),
        rows: inputs.rows.clone(),
        ..*inputs
    };
    let [(tiled, _), _] = inputs.attend(spec, 0..slots);
    vectors.close(case, "A_last", &tiled[(rows - 1) * heads * slots..], TOLERANCE);
}

/// Sparse query attention: a layer of fewer query heads than its width has.
fn sqa(vectors: &Vectors, case: &str) {
    let dim = vectors.usize("dh");
    let x = vectors.data("x");
    let project = |x: &Array, name: &str| {
        let w = vectors.data(name);
        let (rows, inner, columns) = (x.shape[0], w.shape[0], w.shape[1]);
        let cell =
            |i: usize, j: usize| (0..inner).map(|l| x.data[i * inner + l] * w.data[l * columns + j]).sum();
        let data = (0..rows * columns).map(|at| cell(at / columns, at % columns)).collect();
        Array { shape: vec![rows, columns], data }
    };
    let [q, k, v] = ["Wq", "Wk", "Wv"].map(|name| project(&x, name));
    let rows = x.shape[0];
    let (heads, kv_heads) = (q.shape[1] / dim, k.shape[1] / dim);
    let (q, k, v) = (q.f32(), k.f32(), v.f32());
    let positions: Vec<u32> = (0..rows as u32).collect();
    let view = Strided {
        k: Heads::contiguous(&k, rows, kv_heads, dim),
        v: Heads::contiguous(&v, rows, kv_heads, dim),
        positions: &positions,
        form: KeyForm::Raw,
    };
    let rotary = Arc::new(Rotary::plain(vectors.f64("theta"), dim, RopeStyle::Half));
    let spec = AttnSpec {
        causal: true,
        pos: PosRule::Rope { rotary, cap: None },
        ..AttnSpec::new(1.0 / (dim as f32).sqrt())
    };
    let (q, sequences) = (Heads::contiguous(&q, rows, heads, dim), [Sequence { rows: 0..rows, kv: &view }]);
    let (mut out, mut lse) = (vec![0.0; rows * heads * dim], vec![0.0; rows * heads]);
    forward(q, &positions, &sequences, &spec, None, &mut out, &mut lse);
    let (exact, _) = dense::forward(q, &positions, &sequences, &spec, None);
    for data in [wide(&out), exact] {
        let attended = Array { shape: vec![rows, heads * dim], data };
        vectors.close(case, "out", &project(&attended, "Wo").data, TOLERANCE);
    }
}

fn buckets(vectors: &Vectors, case: &str) {
    for (key, bidirectional) in [("bidir", true), ("causal", false)] {
        let bias = T5Bias { table: [].into(), buckets: 32, max_distance: 128, bidirectional };
        let ours: Vec<usize> = vectors.list("t5_rel").iter().map(|&relative| bias.bucket(relative)).collect();
        vectors.same(case, key, &ours);
    }
}
