use std::time::Instant;

use kilobase_data::tokenize::train::{Options, Trainer};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerBuilder,
};

use crate::data::Files;

/// `KILOBASE_BENCH_TRAIN` is `ours` or `reference`, so that each has a process of its own for its memory; both by default.
/// `KILOBASE_BENCH_BASES` cuts or repeats the chromosome, with a change in a hundred bases, to as many bases.
pub(crate) fn run(files: &Files) {
    let which = std::env::var("KILOBASE_BENCH_TRAIN").unwrap_or_default();
    let bases = std::env::var("KILOBASE_BENCH_BASES").ok().and_then(|bases| bases.parse().ok());
    let text = changed(&files.bases, bases.unwrap_or(files.bases.len()));
    let options = Options::default();
    println!("\ntraining: {} letters, vocabulary of {}", text.len(), options.vocabulary);
    let mut tokens = None;
    if which != "reference" {
        let begun = Instant::now();
        let mut trainer = Trainer::new(options.clone()).expect("options");
        trainer.add(&text);
        println!("  ours takes {} MB beside the text", trainer.memory() / 1_000_000);
        let trained = trainer.train(|_| ()).expect("bases");
        println!("  kilobase: {:.1} s, peak of the process {} MB", begun.elapsed().as_secs_f64(), peak());
        tokens = Some(trained.tokens().to_vec());
    }
    if which != "ours" {
        let begun = Instant::now();
        let special = options.special.iter().map(|token| AddedToken::from(token.clone(), true)).collect();
        let mut trainer = BpeTrainer::builder()
            .vocab_size(options.vocabulary)
            .special_tokens(special)
            .initial_alphabet(['A', 'C', 'G', 'T'].into())
            .show_progress(false)
            .build();
        let mut tokenizer = TokenizerBuilder::<
            BPE,
            NormalizerWrapper,
            PreTokenizerWrapper,
            PostProcessorWrapper,
            DecoderWrapper,
        >::new()
        .with_model(BPE::default())
        .build()
        .expect("a tokenizer");
        let runs = text.split(|letter| !b"ACGT".contains(letter));
        let lines = runs.flat_map(|run| run.chunks(options.line)).map(|line| std::str::from_utf8(line).expect("letters"));
        tokenizer.train(&mut trainer, lines).expect("bases");
        println!("  reference: {:.1} s, peak of the process {} MB", begun.elapsed().as_secs_f64(), peak());
        if let Some(tokens) = tokens {
            let same = tokens.iter().enumerate().all(|(id, token)| tokenizer.token_to_id(token) == Some(id as u32));
            println!("  the vocabularies are {}", if same { "the same" } else { "DIFFERENT" });
        }
    }
}

fn changed(bases: &[u8], count: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(count);
    let mut draw = crate::data::Draw(4);
    while text.len() < count {
        let start = text.len();
        text.extend_from_slice(&bases[..bases.len().min(count - start)]);
        if start > 0 {
            for letter in text[start..].iter_mut().step_by(100) {
                *letter = b"ACGT"[(draw.next() % 4) as usize];
            }
        }
    }
    text
}

/// The largest memory of this process so far, in MB, where the system tells.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) / 1000
}
