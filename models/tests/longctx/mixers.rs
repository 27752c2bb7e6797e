//! Sequence mixers beside attention.

use super::vectors::Vectors;
use kilobase_models::mixer::lact::{self, FastWeights, Lact};
use kilobase_models::mixer::lmu::Lmu;
use kilobase_models::mixer::s4::S4;
use kilobase_models::mixer::ssd::{self, Ssd};
use kilobase_models::mixer::state_space::Continuous;
use kilobase_models::mixer::{Matrix, Mixer};
use proptest::prelude::*;
use std::f64::consts::TAU;

const TOLERANCE: f64 = 1e-7;

pub(crate) fn check(vectors: &Vectors, case: &str) -> bool {
    match case {
        "ssd" => check_ssd(vectors, case),
        "s4" => check_s4(vectors, case),
        "lmu" => check_lmu(vectors, case),
        "lact" => check_lact(vectors, case),
        _ => return false,
    }
    true
}

fn check_ssd(vectors: &Vectors, case: &str) {
    let [decay, b, c, x] = ["a", "Bm", "Cm", "xx"].map(|name| vectors.data(name));
    let mixer = Ssd { states: b.shape[1], width: x.shape[1], chunk: 5 };
    let input = ssd::Input { decay: &decay.data, b: &b.data, c: &c.data, x: &x.data };
    let (y, h) = mixer.forward_chunk(input, mixer.start());
    vectors.close(case, "y", &y, TOLERANCE);
    vectors.close(case, "h", &h, TOLERANCE);
    let last = decay.data.len() - vectors.usize("win");
    let (_, before) = mixer.recurrent(tokens(&mixer, input, 0..last), mixer.start());
    let window = ssd::window_state(&h, &before, decay.data[last..].iter().product());
    vectors.close(case, "window_state", &window, TOLERANCE);
}

fn check_s4(vectors: &Vectors, case: &str) {
    let (x, weights) = (vectors.data("xx"), vectors.data("Cm"));
    let u: Vec<f64> = x.data.iter().step_by(x.shape[1]).copied().collect();
    let mut c = weights.data[..weights.shape[1]].to_vec();
    c.resize(vectors.spec(case, "N") as usize, 1.0);
    let mixer = S4::legs(c, vectors.f64("dt"));
    vectors.close(case, "y", &mixer.forward_chunk(&u, mixer.start()).0, TOLERANCE);
    vectors.close(case, "y", &mixer.convolve(&u), TOLERANCE);
}

fn check_lmu(vectors: &Vectors, case: &str) {
    let system = Continuous::delay(vectors.spec(case, "N") as usize, vectors.spec(case, "theta"));
    vectors.close(case, "A", system.a.data(), TOLERANCE);
    vectors.close(case, "B", &system.b, TOLERANCE);
}

fn check_lact(vectors: &Vectors, case: &str) {
    let matrix = |name: &str| {
        let array = vectors.data(name);
        Matrix::new(array.shape[1], array.data)
    };
    let (keys, values) = (vectors.data("lk"), vectors.data("lv"));
    let weights = FastWeights { gate: matrix("W0"), down: matrix("W1"), up: matrix("W2") };
    let rates = vec![[vectors.f64("lact_lr"); 3]; keys.shape[0]];
    let mixer = Lact { weights, chunk: keys.shape[0] };
    let input = lact::Input { queries: &keys.data, keys: &keys.data, values: &values.data, rates: &rates };
    let (_, state) = mixer.forward_chunk(input, mixer.start());
    let ours = state.weights();
    for (key, matrix) in [("W0", &ours.gate), ("W1", &ours.down), ("W2", &ours.up)] {
        vectors.close(case, key, matrix.data(), TOLERANCE);
    }
}

/// Some of the tokens of an input.
fn tokens<'a>(mixer: &Ssd, input: ssd::Input<'a>, tokens: std::ops::Range<usize>) -> ssd::Input<'a> {
    let rows = |list: &'a [f64], width: usize| &list[tokens.start * width..tokens.end * width];
    ssd::Input {
        decay: rows(input.decay, 1),
        b: rows(input.b, mixer.states),
        c: rows(input.c, mixer.states),
        x: rows(input.x, mixer.width),
    }
}

/// Numbers between -1 and 1 that look random.
fn noise(count: usize, seed: usize) -> Vec<f64> {
    (0..count)
        .map(|i| (((i + 1) * (2 * seed + 1)) as f64 * 0.754_877_666_246_693).fract() * 2.0 - 1.0)
        .collect()
}

fn assert_close(ours: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), expected.len());
    for (a, b) in ours.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} instead of {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ssd_in_chunks_is_the_recurrence(
        length in 0..40_usize, states in 1..5_usize, width in 1..4_usize, chunk in 1..9_usize,
        cut in 0.0..1.0, seed in 0..50_usize,
    ) {
        let mixer = Ssd { states, width, chunk };
        let decay: Vec<f64> = noise(length, seed).iter().map(|a| a.abs()).collect();
        let (b, c, x) =
            (noise(length * states, seed + 1), noise(length * states, seed + 2), noise(length * width, seed + 3));
        let input = ssd::Input { decay: &decay, b: &b, c: &c, x: &x };
        let start = noise(states * width, seed + 4);
        let (expected, state) = mixer.recurrent(input, start.clone());
        let cut = (cut * length as f64) as usize;
        let (mut ours, middle) = mixer.forward_chunk(tokens(&mixer, input, 0..cut), start);
        let (mut rest, end) = mixer.forward_chunk(tokens(&mixer, input, cut..length), middle.clone());
        ours.append(&mut rest);
        assert_close(&ours, &expected, 1e-12);
        assert_close(&end, &state, 1e-12);
        let window = ssd::window_state(&end, &middle, decay[cut..].iter().product());
        assert_close(&window, &mixer.recurrent(tokens(&mixer, input, cut..length), mixer.start()).1, 1e-12);
    }

    #[test]
    fn s4_as_a_convolution_is_the_scan(length in 0..300_usize, states in 1..9_usize, cut in 0.0..1.0) {
        let mixer = S4::legs(noise(states, 3), 0.05);
        let u = noise(length, 1);
        let (first, second) = u.split_at((cut * length as f64) as usize);
        let (mut scan, middle) = mixer.forward_chunk(first, mixer.start());
        scan.extend(mixer.forward_chunk(second, middle).0);
        assert_close(&mixer.convolve(&u), &scan, 1e-10);
    }

    #[test]
    fn lact_does_not_depend_on_how_a_sequence_is_cut(length in 0..30_usize, chunk in 1..9_usize, cut in 0.0..1.0) {
        let mixer = small_lact(chunk);
        let (queries, keys, values) = (noise(length * 3, 1), noise(length * 3, 2), noise(length * 4, 3));
        let rates = vec![[0.1, 0.2, 0.3]; length];
        let part = |from: usize, to: usize| lact::Input {
            queries: &queries[from * 3..to * 3],
            keys: &keys[from * 3..to * 3],
            values: &values[from * 4..to * 4],
            rates: &rates[from..to],
        };
        let cut = (cut * length as f64) as usize;
        let (expected, end) = mixer.forward_chunk(part(0, length), mixer.start());
        let (mut ours, middle) = mixer.forward_chunk(part(0, cut), mixer.start());
        let (mut rest, state) = mixer.forward_chunk(part(cut, length), middle);
        ours.append(&mut rest);
        prop_assert_eq!(ours, expected);
        prop_assert_eq!(&state, &end);
        // Tokens of the last chunk, if it is not whole, have not moved the weights.
        let whole = length / chunk * chunk;
        let (_, until) = mixer.forward_chunk(part(0, whole), mixer.start());
        prop_assert_eq!(until.weights(), end.weights());
    }
}

fn small_lact(chunk: usize) -> Lact {
    let matrix = |rows: usize, columns: usize, seed: usize| Matrix::new(columns, noise(rows * columns, seed));
    Lact { weights: FastWeights { gate: matrix(5, 3, 4), down: matrix(4, 5, 5), up: matrix(5, 3, 6) }, chunk }
}

#[test]
fn lact_without_a_learning_rate_is_a_fixed_mlp() {
    let mixer = small_lact(4);
    let (x, values) = (noise(20 * 3, 1), noise(20 * 4, 2));
    let input = lact::Input { queries: &x, keys: &x, values: &values, rates: &[[0.0; 3]; 20] };
    let fixed: Vec<f64> = x.chunks(3).flat_map(|x| mixer.weights.forward(x)).collect();
    // Rows are divided by their length plus 1e-5 at each step.
    assert_close(&mixer.forward_chunk(input, mixer.start()).0, &fixed, 1e-4);
}

type Pick = fn(&mut FastWeights) -> &mut Matrix;

#[test]
fn lact_steps_down_the_gradient_of_its_loss() {
    let (keys, values, rates) = (noise(6 * 3, 1), noise(6 * 4, 2), [[0.3, 0.2, 0.1]; 6]);
    let mixer = small_lact(6);
    let loss = |weights: &FastWeights| -> f64 {
        let pairs = keys.chunks(3).zip(values.chunks(4));
        pairs.map(|(k, v)| -weights.forward(k).iter().zip(v).map(|(f, v)| f * v).sum::<f64>()).sum()
    };
    let (_, state) = mixer.forward_chunk(
        lact::Input { queries: &keys, keys: &keys, values: &values, rates: &rates },
        mixer.start(),
    );
    let matrices: [Pick; 3] = [|w| &mut w.gate, |w| &mut w.down, |w| &mut w.up];
    for (pick, rate) in matrices.into_iter().zip(rates[0]) {
        let start = pick(&mut mixer.weights.clone()).clone();
        let nudged = |at: usize, by: f64| {
            let mut weights = mixer.weights.clone();
            let mut data = start.data().to_vec();
            data[at] += by;
            *pick(&mut weights) = Matrix::new(start.columns(), data);
            loss(&weights)
        };
        let step = |at: usize| -rate * (nudged(at, 1e-5) - nudged(at, -1e-5)) / 2e-5;
        let moved: Vec<f64> = start.data().iter().enumerate().map(|(at, w)| w + step(at)).collect();
        let length = |row: &[f64]| row.iter().map(|w| w * w).sum::<f64>().sqrt();
        let rows = moved.chunks(start.columns()).zip(start.data().chunks(start.columns()));
        let expected: Vec<f64> = rows
            .flat_map(|(row, old)| row.iter().map(move |w| w / (length(row) + 1e-5) * length(old)))
            .collect();
        assert_close(pick(&mut state.weights().clone()).data(), &expected, 1e-8);
        assert!(start.data().iter().zip(&expected).any(|(a, b)| (a - b).abs() > 0.01), "the weights moved");
    }
}

#[test]
fn lmu_remembers_what_was_theta_tokens_ago() {
    let theta = 50;
    let mixer = Lmu::new(10, theta as f64);
    let (constant, _) = mixer.forward_chunk(&[0.7; 1000], mixer.start());
    assert_close(&constant[999 * 10..], &[0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 1e-6);
    let wave: Vec<f64> = (0..1000).map(|t| (f64::from(t) * TAU / 100.0).sin()).collect();
    let (states, _) = mixer.forward_chunk(&wave, mixer.start());
    for t in 500..1000 {
        // Every Legendre polynomial is 1 at the far end of the window. Tokens are held, half a token late on average.
        let remembered: f64 = states[t * 10..][..10].iter().sum();
        let ago = (t as f64 - theta as f64 + 0.5) * TAU / 100.0;
        assert!((remembered - ago.sin()).abs() < 0.01, "{t}: {remembered} instead of {}", ago.sin());
    }
}
