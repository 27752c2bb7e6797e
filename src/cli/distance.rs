//! `kilobase distance`: distances of all pairs of sequences, and trees.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use clap::ValueEnum;
use kilobase::codecs::compress::bytes::Compressor;
use kilobase::codecs::compress::code_length::{self, CodeLength, Corpus};
use kilobase::codecs::compress::markov::{Markov, Mixture};
use kilobase::codecs::compress::matrix::{Matrix, Options};
use kilobase::codecs::compress::tree::{Tree, neighbour_joining, upgma};
use kilobase::data::export::{AtomicFile, metadata_path};
use kilobase::data::fastx::Record;
use serde_json::{Value, json};

use super::Ctx;
use super::args::{InputArgs, ModelArgs};
use super::classify::{CompressorArgs, LetterArgs};
use super::exit::Usage;
use super::load::load;
use super::neural::Neural;
use super::output::{Stdout, Summary, shown};
use super::progress::Progress;
use super::scan;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// PHYLIP's square format, with names of any length
    Phylip,
    /// A table with a header
    Tsv,
    /// NumPy's format, in f64
    Npy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TreeKind {
    /// Neighbour joining
    Nj,
    /// Average linkage
    Upgma,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// The compressor of --compressor
    Bytes,
    /// The mixture of models of kilobase compress
    Mixture,
    /// One context of --order bases
    Markov,
    /// The decoder of --model
    Neural,
}

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// Whose code lengths
    #[arg(long, value_enum, default_value_t = By::Bytes)]
    by: By,
    /// Bases of the context of --by markov
    #[arg(long, value_name = "BASES", default_value_t = 8, value_parser = clap::value_parser!(u32).range(..=12))]
    order: u32,
    #[command(flatten)]
    compressor: CompressorArgs,
    #[command(flatten)]
    letters: LetterArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Distances from the row's sequence to the column's, and not the mean of both orders
    #[arg(long)]
    one_way: bool,
    /// Keep the distance of a sequence from itself, which by compression is not 0
    #[arg(long)]
    raw_diagonal: bool,
    /// File to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Format of the matrix [default: by the suffix of the file; phylip for standard output]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Names of 10 letters, as old programs read PHYLIP
    #[arg(long)]
    strict_phylip: bool,
    /// Also make a tree
    #[arg(long, value_enum)]
    tree: Option<TreeKind>,
    /// File for the tree in Newick's format [default: the output's name with .nwk]
    #[arg(long, value_name = "FILE", requires = "tree")]
    newick: Option<PathBuf>,
    /// File for a picture of the tree
    #[arg(long, value_name = "FILE", requires = "tree")]
    svg: Option<PathBuf>,
    /// Keep branches of negative length, as neighbour joining may give them
    #[arg(long, requires = "tree")]
    keep_negative: bool,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
}

impl Args {
    fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(&self.output)
    }

    fn format(&self) -> Format {
        let suffix = self.file().and_then(Path::extension).map(std::ffi::OsStr::to_ascii_lowercase);
        self.format.unwrap_or_else(|| match suffix.as_deref().and_then(|suffix| suffix.to_str()) {
            Some("npy") => Format::Npy,
            Some("tsv") => Format::Tsv,
            _ => Format::Phylip,
        })
    }

    /// Where the tree goes, if one is made.
    fn newick(&self) -> Result<Option<PathBuf>, Usage> {
        match (self.tree, &self.newick, self.file()) {
            (None, ..) => Ok(None),
            (_, Some(path), _) => Ok(Some(path.clone())),
            (_, None, Some(file)) => Ok(Some(file.with_extension("nwk"))),
            (_, None, None) => {
                Err(Usage("--tree beside a matrix on standard output needs --newick FILE".to_owned()))
            }
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let newick = args.newick()?;
    for path in args.file().into_iter().chain(newick.as_deref()).chain(args.svg.as_deref()) {
        AtomicFile::check(path, args.force)?;
    }
    let (names, sequences) = read(args, ctx)?;
    let loaded;
    let matrix = match args.by {
        By::Bytes => {
            let compressor = args.compressor.compressor()?;
            check_window(args, compressor, &names, &sequences, ctx)?;
            matrix(args, &compressor, names, &sequences, ctx)?
        }
        By::Mixture => matrix(args, &Mixture, names, &sequences, ctx)?,
        By::Markov => {
            let markov = Markov::new(args.order).expect("clap checks the range");
            matrix(args, &markov, names, &sequences, ctx)?
        }
        By::Neural => {
            loaded = load(&args.model, ctx)?;
            matrix(args, &Neural::new(&loaded)?, names, &sequences, ctx)?
        }
    };
    if args.strict_phylip {
        matrix.check_strict()?;
    }
    let tree = args.tree.map(|kind| match kind {
        TreeKind::Nj => neighbour_joining(&matrix, args.keep_negative),
        TreeKind::Upgma => upgma(&matrix),
    });
    write(args, &matrix, tree.as_ref(), newick.as_deref())?;
    let mut summary =
        Summary::new("distance").fact("records", matrix.len()).fact("output", shown(args.file()));
    if let Some(path) = &newick {
        summary = summary.fact("tree", shown(Some(path)));
    }
    if let Some(path) = &args.svg {
        summary = summary.fact("picture", shown(Some(path)));
    }
    ctx.console.summary(&summary, args.file().is_none())
}

fn read(args: &Args, ctx: &Ctx) -> anyhow::Result<(Vec<String>, Vec<Vec<u8>>)> {
    let sources = args.input.sources()?;
    let (mut names, mut sequences) = (Vec::new(), Vec::new());
    let mut record = Record::default();
    for source in &sources {
        let mut reader = scan::open(source, &args.input)?;
        while reader.read_record(&mut record)? {
            args.letters.rule().apply(&mut record.sequence);
            if record.is_empty() {
                let (number, id) = (record.number, record.id.escape_debug());
                bail!("{}: record {number} (id {id}) has no letters to compare", reader.name());
            }
            names.push(record.id.clone());
            sequences.push(std::mem::take(&mut record.sequence));
        }
        scan::warn(&reader, &ctx.console);
    }
    ensure!(!names.is_empty(), "{}: no records", scan::names(&sources));
    Ok((names, sequences))
}

fn check_window(
    args: &Args,
    compressor: Compressor,
    names: &[String],
    sequences: &[Vec<u8>],
    ctx: &Ctx,
) -> anyhow::Result<()> {
    let (Some(window), Some(at)) =
        (compressor.window(), (0..names.len()).max_by_key(|&at| sequences[at].len()))
    else {
        return Ok(());
    };
    let (name, length) = (&names[at], sequences[at].len());
    if length <= window {
        return Ok(());
    }
    let kind = compressor.kind().name();
    ensure!(
        args.compressor.allow_window_overflow,
        "{name} has {length} letters, and {kind} looks back {window}: use --compressor xz or --by mixture, or go on with \
         --allow-window-overflow"
    );
    ctx.console.warn(format_args!("{name} has {length} letters, and {kind} looks back {window}"));
    Ok(())
}

fn matrix(
    args: &Args,
    code: &dyn CodeLengthCorpus,
    names: Vec<String>,
    sequences: &[Vec<u8>],
    ctx: &Ctx,
) -> anyhow::Result<Matrix> {
    let letters: usize = sequences.iter().map(Vec::len).sum();
    let progress = Progress::new(&ctx.console, Some(letters as u64), "bases");
    let corpus = code.prepared(sequences)?;
    let options = Options { one_way: args.one_way, raw_diagonal: args.raw_diagonal };
    let distance = args.compressor.distance.distance();
    let matrix = Matrix::new(names, sequences, &*corpus, distance, options, |letters| progress.inc(letters))?;
    progress.finish();
    Ok(matrix)
}

/// Any code length, without its type.
trait CodeLengthCorpus {
    fn prepared<'a>(&'a self, sequences: &'a [Vec<u8>]) -> code_length::Result<Box<dyn Corpus + 'a>>;
}

impl<C: CodeLength> CodeLengthCorpus for C {
    fn prepared<'a>(&'a self, sequences: &'a [Vec<u8>]) -> code_length::Result<Box<dyn Corpus + 'a>> {
        self.corpus(sequences)
    }
}

fn write(args: &Args, matrix: &Matrix, tree: Option<&Tree>, newick: Option<&Path>) -> anyhow::Result<()> {
    let put = |out: &mut dyn Write| -> std::io::Result<()> {
        let mut out = out;
        match args.format() {
            Format::Phylip => matrix.write_phylip(&mut out, args.strict_phylip),
            Format::Tsv => matrix.write_tsv(&mut out),
            Format::Npy => matrix.write_npy(&mut out),
        }
    };
    let mut ready = Vec::new();
    if let (Some(tree), Some(path)) = (tree, newick) {
        let mut file = AtomicFile::create(path, args.force)?;
        writeln!(file, "{}", tree.newick())?;
        ready.push(file);
    }
    if let (Some(tree), Some(path)) = (tree, &args.svg) {
        let mut file = AtomicFile::create(path, args.force)?;
        file.write_all(tree.svg().as_bytes())?;
        ready.push(file);
    }
    match args.file() {
        None => {
            let mut out = Stdout::new();
            put(&mut out)?;
            out.flush()?;
        }
        Some(path) => {
            let mut file = AtomicFile::create(path, args.force)?;
            put(&mut file)?;
            let mut metadata = AtomicFile::create(metadata_path(path), true)?;
            writeln!(metadata, "{:#}", facts(args, matrix))?;
            ready.push(metadata);
            ready.push(file);
        }
    }
    for file in ready {
        file.commit()?;
    }
    Ok(())
}

fn facts(args: &Args, matrix: &Matrix) -> Value {
    let by = match args.by {
        By::Bytes => {
            args.compressor.compressor().map_or_else(|_| String::new(), |compressor| compressor.name())
        }
        By::Mixture => Mixture.name(),
        By::Markov => format!("markov-{}", args.order),
        By::Neural => args.model.name().to_owned(),
    };
    json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "distance",
        "by": by,
        "distance": args.compressor.distance.distance().name(),
        "mean_of_both_orders": !args.one_way,
        "diagonal_set_to_0": !args.raw_diagonal,
        "names": matrix.names(),
    })
}
