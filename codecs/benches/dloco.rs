//! Speed of the inner codes: `cargo bench -p kilobase-codecs --bench dloco -- [--threads N,N...]`.
//!
//! Megabytes of payload a second, letters to bits and back. Rounds on one thread are a millisecond or two and the best of
//! many is taken, so that other work on the machine hardly counts. With `--threads` nothing but the scaling of one code is
//! measured: rounds of all threads in turn, a tenth of a second each, so that what else runs meets all counts alike.

#![allow(clippy::print_stdout, reason = "a benchmark reports")]

use std::hint::black_box;
use std::time::Instant;

use kilobase_codecs::dloco::{Codebook, Hamming, Params, Residue, Value, alphabet};
use rayon::prelude::*;

/// Splitmix64: the seed is the counter.
fn random(counter: u64) -> u64 {
    let x = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn messages(bits: usize, count: usize) -> Vec<Value> {
    let message = |number: usize| {
        let mut message = Value::ZERO;
        for first in (0..bits).step_by(64) {
            let width = (bits - first).min(64);
            message.put_bits(first, random((number * 16 + first / 64) as u64) >> (64 - width));
        }
        message
    };
    (0..count).map(message).collect()
}

fn encode(code: &dyn Codebook, messages: &[Value]) -> Vec<u8> {
    let mut letters = vec![0; messages.len() * code.length()];
    code.encode_all(messages, &mut letters);
    for symbol in &mut letters {
        *symbol = alphabet::letter_of(*symbol);
    }
    letters
}

fn decode(code: &dyn Codebook, letters: &[u8], out: &mut Vec<Value>) {
    let mut word = vec![0; code.length()];
    for sent in letters.chunks_exact(code.length()) {
        alphabet::read_symbols(sent, &mut word).expect("letters of a word");
        out.push(code.decode(&word).entry().expect("a clean word").message);
    }
}

/// The best of several rounds, in seconds.
fn best(rounds: usize, mut run: impl FnMut()) -> f64 {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

/// Words of a round on one thread.
const PART: usize = 2000;

fn measure(name: &str, code: &dyn Codebook) {
    let messages = messages(code.payload_bits(), 40_000);
    let megabytes = (messages.len() * code.payload_bits()) as f64 / 8e6;
    let letters = encode(code, &messages);
    let mut decoded = Vec::with_capacity(messages.len());
    decode(code, &letters, &mut decoded);
    assert_eq!(decoded, messages);
    let times = messages.len() as f64 / PART as f64;
    let part = &messages[..PART];
    let encoding = times * best(150, || drop(black_box(encode(code, black_box(part)))));
    let part = &letters[..PART * code.length()];
    let decoding = times
        * best(150, || {
            decoded.clear();
            decode(code, black_box(part), &mut decoded);
        });
    let errors: Vec<Vec<u8>> = letters
        .chunks_exact(code.length())
        .take(500)
        .enumerate()
        .map(|(number, word)| {
            let mut word = alphabet::to_symbols(word).expect("letters of a word");
            word[random(number as u64) as usize % code.length()] ^= 1;
            word
        })
        .collect();
    let correcting = best(40, || {
        for (word, message) in errors.iter().zip(&messages) {
            assert_eq!(black_box(code.correct(word)).expect("one substitution").0.message, *message);
        }
    });
    let listing = best(10, || errors.iter().for_each(|word| drop(black_box(code.within_two(word)))));
    println!(
        "{name:24} encode {:6.1} MB/s ({:4.2} us/word)  decode {:6.1} MB/s ({:4.2} us/word)  \
         one substitution {:5.2} us  list {:6.2} us",
        megabytes / encoding,
        encoding / messages.len() as f64 * 1e6,
        megabytes / decoding,
        decoding / messages.len() as f64 * 1e6,
        correcting / errors.len() as f64 * 1e6,
        listing / errors.len() as f64 * 1e6,
    );
}

/// The same work on pools of so many threads, several rounds in turn.
fn measure_scaling(name: &str, code: &dyn Codebook, counts: &[usize]) {
    let messages = messages(code.payload_bits(), 40_000);
    let megabytes = (messages.len() * code.payload_bits()) as f64 / 8e6;
    let letters = encode(code, &messages);
    let part = messages.len().div_ceil(64);
    let pools: Vec<rayon::ThreadPool> = counts
        .iter()
        .map(|&count| rayon::ThreadPoolBuilder::new().num_threads(count).build().expect("threads"))
        .collect();
    let mut times = vec![[f64::INFINITY; 2]; counts.len()];
    for _ in 0..15 {
        for (pool, times) in pools.iter().zip(&mut times) {
            let encoding = best(2, || {
                pool.install(|| {
                    messages.par_chunks(part).for_each(|part| drop(black_box(encode(code, part))));
                });
            });
            let decoding = best(2, || {
                pool.install(|| {
                    letters.par_chunks(part * code.length()).for_each(|part| {
                        let mut out = Vec::with_capacity(part.len() / code.length());
                        decode(code, part, &mut out);
                        black_box(out);
                    });
                });
            });
            *times = [times[0].min(encoding), times[1].min(decoding)];
        }
    }
    for (count, [encoding, decoding]) in counts.iter().zip(times) {
        let [encoding, decoding] = [encoding, decoding].map(|seconds| megabytes / seconds);
        println!("{name:24} {count} threads  encode {encoding:6.1} MB/s  decode {decoding:6.1} MB/s");
    }
}

/// The counts of `--threads`.
fn thread_counts() -> Option<Vec<usize>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--threads");
    arguments.next()?;
    let counts = arguments.next().expect("--threads N,N...");
    Some(counts.split(',').map(|count| count.parse().expect("a number of threads")).collect())
}

fn main() {
    if let Some(counts) = thread_counts() {
        let code = Residue::new(Params::new(3, 64).expect("a listed length"));
        measure_scaling("residue l=3 m=64", &code, &counts);
        return;
    }
    for (run_limit, length) in [(1, 64), (2, 64), (3, 40), (3, 64), (3, 75), (3, 150), (3, 260)] {
        let code = Residue::new(Params::new(run_limit, length).expect("a listed length"));
        measure(&format!("residue l={run_limit} m={length}"), &code);
    }
    measure("hamming l=3 m=64", &Hamming::new(3, 64).expect("a possible length"));
}
