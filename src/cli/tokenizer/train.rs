use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use kilobase::data::export::{AtomicFile, metadata_path};
use kilobase::data::fastx::Record;
use kilobase::data::tokenize::train::{Options, Trainer};
use serde_json::json;

use crate::cli::Ctx;
use crate::cli::args::InputArgs;
use crate::cli::exit::Usage;
use crate::cli::output::{Summary, shown};
use crate::cli::progress::Progress;
use crate::cli::scan;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// Tokens of the vocabulary, special tokens and the four bases included
    #[arg(long, value_name = "TOKENS", default_value_t = 4096)]
    vocab: usize,
    /// Bases of a line: tokens do not reach across lines, and the reference trainer finds the same merges in the same lines
    #[arg(long, value_name = "BASES", default_value_t = 2000)]
    line: usize,
    /// Do not merge pairs that are rarer
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_frequency: u64,
    /// File to write, such as tokenizer.json
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    if args.output.as_os_str() == "-" {
        return Err(Usage("a tokenizer is written to a file; name one with -o".to_owned()).into());
    }
    AtomicFile::check(&args.output, args.force)?;
    let options = Options {
        vocabulary: args.vocab,
        line: args.line,
        min_frequency: args.min_frequency,
        ..Options::default()
    };
    let mut trainer = Trainer::new(options).map_err(|error| Usage(error.to_string()))?;
    let sources = args.input.sources()?;
    let (mut records, mut letters) = (0_u64, 0_u64);
    let mut record = Record::default();
    let progress = Progress::new(&ctx.console, None, "bases");
    for source in &sources {
        let mut reader = scan::open(source, &args.input)?;
        while reader.read_record(&mut record)? {
            if args.input.upper {
                record.sequence.make_ascii_uppercase();
            }
            trainer.add(&record.sequence);
            records += 1;
            letters += record.len() as u64;
            progress.inc(record.len() as u64);
        }
        scan::warn(&reader, &ctx.console);
    }
    progress.finish();
    drop(record);
    ensure!(records > 0, "{}: no records", scan::names(&sources));
    let bases = trainer.bases();
    if bases < letters {
        let hint = if args.input.upper { "" } else { "; --upper reads lower case" };
        ctx.console.warn(format_args!(
            "{} letters are not A, C, G or T and part what is around them{hint}",
            letters - bases
        ));
    }
    let memory = trainer.memory();
    ctx.console.info(format_args!("training on {bases} bases in {} MB of memory", memory / 1_000_000));
    let progress = Progress::new(&ctx.console, Some(args.vocab as u64), "tokens");
    let mut vocabulary = 0;
    let mut tokens = bases;
    let trained = trainer
        .train(|step| {
            progress.inc((step.vocabulary - vocabulary) as u64);
            (vocabulary, tokens) = (step.vocabulary, step.tokens);
        })
        .with_context(|| scan::names(&sources))?;
    progress.finish();
    let found = trained.tokens().len();
    if found < args.vocab {
        ctx.console
            .warn(format_args!("only {found} tokens were found: no pair is left that is frequent enough"));
    }
    let metadata = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "tokenizer train",
        "inputs": sources.iter().map(scan::name).collect::<Vec<_>>(),
        "bases": bases,
        "vocabulary": found,
        "line": args.line,
        "min_frequency": args.min_frequency,
        "upper": args.input.upper,
    });
    let mut side = AtomicFile::create(metadata_path(&args.output), true)?;
    writeln!(side, "{metadata:#}")?;
    let mut file = AtomicFile::create(&args.output, args.force)?;
    writeln!(file, "{:#}", trained.to_json())?;
    side.commit()?;
    file.commit()?;
    let longest = trained.tokens().iter().skip(9).map(String::len).max().unwrap_or(1);
    let summary = Summary::new("tokenizer train")
        .fact("records", records)
        .fact("bases", bases)
        .fact("vocabulary", found)
        .fact("longest_token", longest)
        .fact("bases_per_token", format!("{:.3}", bases as f64 / tokens.max(1) as f64))
        .fact("memory_bytes", memory)
        .fact("output", shown(Some(&args.output)));
    ctx.console.summary(&summary, false)
}
