use super::*;
use proptest::prelude::*;

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// `x * w^T + bias (+ residual)` in f64, on operands rounded as the kernel rounds them.
fn exact(x: &[f32], w: &[f32], depth: usize, kernel: Kernel) -> Vec<f64> {
    let rounded = |v: f32| f64::from(bf16::widen(bf16::round(v)));
    let w: Vec<f64> = match kernel.precision() {
        Precision::F32 => w.iter().map(|&v| f64::from(v)).collect(),
        Precision::Bf16 => w.iter().map(|&v| rounded(v)).collect(),
    };
    let x: Vec<f64> = match kernel.group() {
        1 => x.iter().map(|&v| f64::from(v)).collect(),
        _ => x.iter().map(|&v| rounded(v)).collect(),
    };
    x.chunks_exact(depth)
        .flat_map(|x| w.chunks_exact(depth).map(move |w| x.iter().zip(w).map(|(a, b)| a * b).sum()))
        .collect()
}

/// Within a few roundings of `sizes`, the sums of the products' absolute values: a sum near zero had larger parts.
fn close(ours: &[f32], exact: &[f64], sizes: &[f64], what: &str) {
    assert_eq!(ours.len(), exact.len(), "{what}");
    for (i, ((&a, &b), size)) in ours.iter().zip(exact).zip(sizes).enumerate() {
        let allowed = 4.0 * f64::from(f32::EPSILON) * (size + b.abs());
        assert!((f64::from(a) - b).abs() <= allowed, "{what}: [{i}] is {a} instead of {b}");
    }
}

fn kernels() -> impl Iterator<Item = Kernel> {
    [Precision::F32, Precision::Bf16].into_iter().flat_map(|p| Kernel::all(p).iter().copied())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// On every kernel of this processor, with sizes that fill no tile.
    #[test]
    fn linear_agrees_with_f64(m in 1usize..150, n in 1usize..90, depth in 1usize..1300) {
        let (x, w, bias) = (noise(m * depth, 1), noise(n * depth, 2), noise(n, 3));
        for kernel in kernels() {
            let packed = PackedMatrix::with_kernel(Rows::new(&w, depth), kernel);
            let mut out = vec![f32::NAN; m * n];
            linear(Rows::new(&x, depth), &packed, Some(&bias), &mut out);
            let mut expected = exact(&x, &w, depth, kernel);
            for row in expected.chunks_exact_mut(n) {
                row.iter_mut().zip(&bias).for_each(|(e, &b)| *e += f64::from(b));
            }
            let absolute = |values: &[f32]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
            let sizes = exact(&absolute(&x), &absolute(&w), depth, kernel);
            close(&out, &expected, &sizes, &kernel.to_string());
        }
    }
}

/// Few rows take another way through the threads than many; both must be the layer.
#[test]
fn gated_layer_agrees_with_its_parts() {
    let (hidden, width) = (70, 45);
    let (g, w, bias) = (noise(2 * width * hidden, 4), noise(hidden * width, 5), noise(hidden, 6));
    let norm = LayerNorm { gamma: noise(hidden, 7), beta: noise(hidden, 8), epsilon: 1e-12 };
    for kernel in kernels() {
        for activation in [Activation::Gelu, Activation::Silu] {
            for (m, norm) in [(1, Some(&norm)), (5, None), (5, Some(&norm)), (700, Some(&norm)), (700, None)]
            {
                let (x, residual) = (noise(m * hidden, 9), noise(m * hidden, 10));
                let layer = GatedMlp {
                    gated: PackedMatrix::gated(Rows::new(&g, hidden), kernel),
                    down: PackedMatrix::with_kernel(Rows::new(&w, width), kernel),
                    bias: Some(bias.clone()),
                    activation,
                    norm: norm.cloned(),
                };
                let mut out = vec![f32::NAN; m * hidden];
                gated_mlp(&layer, Rows::new(&x, hidden), Rows::new(&residual, hidden), &mut out);
                let both = exact(&x, &g, hidden, kernel);
                let intermediate: Vec<f32> = both
                    .chunks_exact(2 * width)
                    .flat_map(|row| {
                        (0..width).map(|c| activation.apply(row[c] as f32) * row[width + c] as f32)
                    })
                    .collect();
                let mut expected: Vec<f32> =
                    exact(&intermediate, &w, width, kernel).iter().map(|&v| v as f32).collect();
                for (row, residual) in expected.chunks_exact_mut(hidden).zip(residual.chunks_exact(hidden)) {
                    for ((e, b), residual) in row.iter_mut().zip(&bias).zip(residual) {
                        *e += b + residual;
                    }
                    if let Some(norm) = norm {
                        norm.apply(row);
                    }
                }
                // Intermediate numbers are rounded to bf16 on some kernels: one that lies near a tie may fall either way.
                let allowed = if kernel.group() == 2 { 2e-2 } else { 2e-5 };
                // Without normalisation the sums cancel: errors are those of their summands.
                let largest = expected.iter().fold(1.0_f32, |largest, e| largest.max(e.abs()));
                let allowed = if norm.is_some() { allowed } else { allowed * largest };
                for (a, b) in out.iter().zip(&expected) {
                    assert!((a - b).abs() < allowed, "{kernel}, {m} rows: {a} instead of {b}");
                }
            }
        }
    }
}

#[test]
fn the_same_bits_alone_and_among_others_and_for_any_number_of_threads() {
    let (m, n, depth) = (500, 96, 1500);
    let (x, w, residual) = (noise(m * depth, 1), noise(n * depth, 2), noise(m * n, 3));
    let norm = LayerNorm { gamma: noise(n, 7), beta: noise(n, 8), epsilon: 1e-5 };
    for kernel in kernels() {
        let packed = PackedMatrix::with_kernel(Rows::new(&w, depth), kernel);
        let run = |threads: usize, rows: std::ops::Range<usize>| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let mut out = vec![f32::NAN; rows.len() * n];
            let x = Rows::new(&x[rows.start * depth..rows.end * depth], depth);
            let residual = Rows::new(&residual[rows.start * n..rows.end * n], n);
            pool.install(|| linear_residual(x, &packed, None, residual, Some(&norm), &mut out));
            out
        };
        let whole = run(1, 0..m);
        assert!(whole == run(5, 0..m), "{kernel}");
        assert!(whole[33 * n..34 * n] == run(2, 33..34), "{kernel}");
    }
}
