use kilobase_kernels::attention::*;
use kilobase_kernels::matmul::*;
use std::time::Instant;
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (s >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}
fn best(name: &str, flop: f64, mut f: impl FnMut()) {
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{name}: best {:.2} ms median {:.2} ms, {:.0} GFLOP/s",
        times[0] * 1e3,
        times[3] * 1e3,
        flop / times[0] / 1e9
    );
}
fn attn(name: &str, batch: usize, len: usize, heads: usize, kv: usize, spec: &AttnSpec, queries: usize) {
    let d = 64;
    let q = noise(batch * queries * heads * d, 1);
    let k = noise(batch * len * kv * d, 2);
    let v = noise(batch * len * kv * d, 3);
    let kp: Vec<u32> = (0..len as u32).collect();
    let qp: Vec<u32> = (0..batch).flat_map(|_| (len - queries) as u32..len as u32).collect();
    let views: Vec<Strided> = (0..batch)
        .map(|b| Strided {
            k: Heads::contiguous(&k[b * len * kv * d..][..len * kv * d], len, kv, d),
            v: Heads::contiguous(&v[b * len * kv * d..][..len * kv * d], len, kv, d),
            positions: &kp,
            form: KeyForm::Rotated,
        })
        .collect();
    let seqs: Vec<Sequence> = views
        .iter()
        .enumerate()
        .map(|(b, kv)| Sequence { rows: b * queries..(b + 1) * queries, kv })
        .collect();
    let (mut out, mut lse) = (vec![0.0; batch * queries * heads * d], vec![0.0; batch * queries * heads]);
    best(name, (batch * queries * len * heads * d * 4) as f64, || {
        forward(Heads::contiguous(&q, batch * queries, heads, d), &qp, &seqs, spec, None, &mut out, &mut lse)
    });
}
fn main() {
    let which = std::env::args().nth(1).unwrap_or_default();
    let threads: usize = std::env::args().nth(2).map_or(1, |x| x.parse().unwrap());
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let slopes: std::sync::Arc<[f32]> =
        [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -0.5, -1.5, -2.5, -3.5_f64]
            .iter()
            .map(|e| e.exp2() as f32)
            .collect();
    if which.contains('a') || which.contains('d') {
        for bf16 in [false, true] {
            if bf16 && which.contains('f') || !bf16 && which.contains('b') {
                continue;
            }
            let mut plain = AttnSpec::new(0.125);
            if bf16 {
                plain.precision = Precision::Bf16;
            }
            let alibi =
                AttnSpec { pos: PosRule::Alibi { slopes: slopes.clone(), cap: None }, ..plain.clone() };
            let causal = AttnSpec { causal: true, ..plain.clone() };
            if which.contains('d') {
                for _ in 0..100 {
                    attn("decode", 1, 4096, 12, 4, &causal, 1);
                }
                continue;
            }
            attn("alibi 8x512", 8, 512, 12, 12, &alibi, 512);
            attn("alibi 32x128", 32, 128, 12, 12, &alibi, 128);
            attn("alibi 1x4096", 1, 4096, 12, 12, &alibi, 4096);
            attn("plain 1x4096", 1, 4096, 12, 12, &plain, 4096);
            attn("causal gqa 1x4096 (half the work)", 1, 4096, 12, 4, &causal, 4096);
            attn("decode gqa 4096", 1, 4096, 12, 4, &causal, 1);
        }
    }
    for precision in [Precision::F32, Precision::Bf16] {
        if which.contains('m') {
            let (m, h, inner) = (4096, 768, 3072);
            let x = noise(m * h, 1);
            let mut out = vec![0.0; m * h];
            let kernel = Kernel::best(precision);
            let layer = GatedMlp {
                gated: PackedMatrix::gated(Rows::new(&noise(2 * inner * h, 2), h), kernel),
                down: PackedMatrix::with_kernel(Rows::new(&noise(inner * h, 3), inner), kernel),
                bias: None,
                activation: Activation::Gelu,
                norm: None,
            };
            best(&format!("{precision:?} gated"), (m * h * inner * 6) as f64, || {
                gated_mlp(&layer, Rows::new(&x, h), Rows::new(&x, h), &mut out)
            });
            let w = PackedMatrix::new(Rows::new(&noise(2304 * h, 4), h), precision);
            let mut out = vec![0.0; m * 2304];
            best(&format!("{precision:?} qkv"), (m * h * 2304 * 2) as f64, || {
                linear(Rows::new(&x, h), &w, None, &mut out)
            });
        }
        if which.contains('v') {
            let (h, n) = (2048, 16384);
            let w = PackedMatrix::new(Rows::new(&noise(n * h, 4), h), precision);
            for m in [1, 2, 4, 8, 16] {
                let x = noise(m * h, 1);
                let mut out = vec![0.0; m * n];
                best(
                    &format!("{precision:?} {m} rows, {:.0} MB", w.bytes() as f64 / 1e6),
                    (m * h * n * 2) as f64,
                    || linear(Rows::new(&x, h), &w, None, &mut out),
                );
            }
        }
    }
}
