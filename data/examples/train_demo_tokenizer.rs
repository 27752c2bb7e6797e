//! Trains the small DNA tokenizer of the demo model: byte-pair encoding in the layout of DNABERT-2's `tokenizer.json`.
//!
//! ```text
//! cargo run -p kilobase-data --example train_demo_tokenizer -- tests/data/lambda.fa.gz tests/data/demo-model
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};

use kilobase_data::fastx;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::whitespace::Whitespace;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder,
};

const VOCABULARY: usize = 1024;
const LINE: usize = 2000;
const SPECIAL: [&str; 5] = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"];

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(fasta), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: train_demo_tokenizer <FASTA> <FOLDER>".into());
    };
    train(&fasta, &folder)
}

fn train(fasta: &Path, folder: &Path) -> Result<()> {
    // Training on a chromosome as one word is quadratic: lines of 2 kb lose only the merges across their ends.
    let mut lines = Vec::new();
    for record in fastx::Reader::open(fasta)? {
        let sequence = String::from_utf8(record?.sequence)?.to_ascii_uppercase();
        let runs = sequence.split(|letter| !matches!(letter, 'A' | 'C' | 'G' | 'T')).map(str::as_bytes);
        for line in runs.flat_map(|run| run.chunks(LINE)) {
            lines.push(String::from_utf8(line.to_vec())?);
        }
    }

    let specials = SPECIAL.map(|text| AddedToken::from(text, true));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(VOCABULARY)
        .special_tokens(specials.to_vec())
        .initial_alphabet(['A', 'C', 'G', 'T'].into())
        .show_progress(false)
        .build();
    let template = TemplateProcessing::builder()
        .try_single("[CLS]:0 $A:0 [SEP]:0")?
        .try_pair("[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")?
        .special_tokens(vec![("[CLS]", 1), ("[SEP]", 2)])
        .build()?;
    let mut tokenizer = TokenizerBuilder::<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >::new()
    .with_model(BPE::builder().unk_token("[UNK]".into()).build()?)
    .with_pre_tokenizer(Some(Whitespace.into()))
    .with_post_processor(Some(template.into()))
    .build()?;
    tokenizer.train(&mut trainer, lines.iter())?;

    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": SPECIAL[0],
        "cls_token": SPECIAL[1],
        "sep_token": SPECIAL[2],
        "pad_token": SPECIAL[3],
        "mask_token": SPECIAL[4],
    });
    std::fs::create_dir_all(folder)?;
    tokenizer.save(folder.join("tokenizer.json"), true)?;
    std::fs::write(folder.join("tokenizer_config.json"), serde_json::to_string_pretty(&config)? + "\n")?;
    Ok(())
}
