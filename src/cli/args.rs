//! Groups of flags that commands share, so that a flag has one spelling and one meaning.

use std::{
    io::IsTerminal,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use kilobase::data::export::Format;
use kilobase::models::checkpoint;
use kilobase::models::nn::Precision;
use kilobase::models::pretrained;
use kilobase::models::train::recipe::Compute;

use super::exit::Usage;

/// What to read.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputArgs {
    /// FASTA or FASTQ files, plain or gzip; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Read the regions of a BED file, plain or gzip, in place of the records of the one FASTA file. Each is a record
    /// contig:start-end; those on the strand - are complemented
    #[arg(long, value_name = "BED")]
    pub(crate) bed: Option<PathBuf>,
    /// Accept letters that are no nucleotide code; the tokenizer decides what becomes of them
    #[arg(long)]
    pub(crate) lenient: bool,
    /// Read lower-case (soft-masked) letters as upper case
    #[arg(long)]
    pub(crate) upper: bool,
}

/// Where to read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl InputArgs {
    /// The sources in the order in which they were given. Without any, standard input, unless a person sits there.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, Usage> {
        self.sources_at(std::io::stdin().is_terminal())
    }

    fn sources_at(&self, terminal: bool) -> Result<Vec<Source>, Usage> {
        if self.bed.is_some() && !matches!(&self.inputs[..], [file] if !is_dash(file)) {
            return Err(Usage("--bed needs one FASTA file, which must not be standard input".to_owned()));
        }
        if self.inputs.is_empty() {
            return if terminal {
                Err(Usage("no input; name a file, or - for standard input".to_owned()))
            } else {
                Ok(vec![Source::Stdin])
            };
        }
        if self.inputs.iter().filter(|input| is_dash(input)).count() > 1 {
            return Err(Usage("standard input (-) can be read only once".to_owned()));
        }
        let source =
            |input: &PathBuf| if is_dash(input) { Source::Stdin } else { Source::File(input.clone()) };
        Ok(self.inputs.iter().map(source).collect())
    }
}

/// What to write.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// File to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
    /// Format of the output [default: by the suffix of the file; tsv for standard output]
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    pub(crate) format: Option<Format>,
    /// Replace an output that exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Begin anew where an unfinished run could be continued
    #[arg(long)]
    pub(crate) restart: bool,
}

impl OutputArgs {
    /// The file to write, or none for standard output.
    pub(crate) fn file(&self) -> Option<&Path> {
        (!is_dash(&self.output)).then_some(&self.output)
    }

    /// The format: as asked, or by the suffix.
    pub(crate) fn format(&self) -> anyhow::Result<Format> {
        match (self.format, self.file()) {
            (Some(format), _) => Ok(format),
            (None, Some(file)) => Ok(Format::from_path(file)?),
            (None, None) => Ok(Format::Tsv),
        }
    }
}

pub(super) fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

/// How long records are cut.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Windows")]
pub(crate) struct WindowArgs {
    /// Cut records into windows of so many bases [default: records stay whole]
    #[arg(long, value_name = "BASES")]
    pub(crate) window: Option<NonZeroUsize>,
    /// Bases that a window shares with the one before
    #[arg(long, value_name = "BASES", default_value_t = 0, requires = "window")]
    pub(crate) overlap: usize,
}

impl WindowArgs {
    /// Window and overlap, if records are to be cut.
    pub(crate) fn checked(self) -> Result<Option<(NonZeroUsize, usize)>, Usage> {
        let Some(window) = self.window else { return Ok(None) };
        if self.overlap >= window.get() {
            let overlap = self.overlap;
            return Err(Usage(format!("--overlap {overlap} must be smaller than --window {window}")));
        }
        Ok(Some((window, self.overlap)))
    }
}

/// Which model, and in which numbers it computes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Model: a folder, or a name on the Hugging Face hub [default: the small one that ships with kilobase, where the command
    /// needs no other]
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Tokenizer to use in place of the model's own: a folder or a tokenizer.json
    #[arg(short, long, value_name = "PATH")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Revision of a model on the hub: a branch, a tag or a commit
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
    /// Use only what is on this machine
    #[arg(long, env = "KILOBASE_OFFLINE", hide_env_values = true)]
    pub(crate) offline: bool,
    /// Numbers to compute in
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub(crate) dtype: Dtype,
}

impl ModelArgs {
    /// The model as named, or the name of the one that ships.
    pub(crate) fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(pretrained::NAME)
    }

    /// The same of a model in a folder, which has no revisions.
    pub(crate) fn in_folder(&self, folder: &Path) -> Self {
        Self { model: Some(folder.to_string_lossy().into_owned()), revision: None, ..self.clone() }
    }
}

/// Numbers to compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// 32 bits
    F32,
    /// Weights in 16 bits with the range of f32: half the memory, less exact, faster where the processor has it
    Bf16,
}

impl Dtype {
    /// As written to metadata.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// For writing weights.
    pub(crate) fn stored(self) -> checkpoint::Precision {
        match self {
            Self::F32 => checkpoint::Precision::F32,
            Self::Bf16 => checkpoint::Precision::Bf16,
        }
    }

    /// For training.
    pub(crate) fn compute(self) -> Compute {
        match self {
            Self::F32 => Compute::F32,
            Self::Bf16 => Compute::Bf16,
        }
    }

    pub(crate) fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
        }
    }
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct All {
        #[command(flatten)]
        input: InputArgs,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        window: WindowArgs,
        #[command(flatten)]
        model: ModelArgs,
    }

    fn parse(line: &str) -> All {
        All::try_parse_from(std::iter::once("test").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn standard_input_is_the_default_only_without_a_person() {
        let none = parse("").input;
        assert!(none.sources_at(true).is_err());
        assert_eq!(none.sources_at(false).unwrap(), [Source::Stdin]);
        let both = parse("a.fa -").input.sources_at(true).unwrap();
        assert_eq!(both, [Source::File("a.fa".into()), Source::Stdin]);
        assert!(parse("- -").input.sources_at(false).is_err());
        assert!(parse("a.fa --bed x.bed").input.sources_at(false).is_ok());
        for other in ["--bed x.bed", "- --bed x.bed", "a.fa b.fa --bed x.bed"] {
            assert!(parse(other).input.sources_at(false).is_err(), "{other}");
        }
    }

    #[test]
    fn format_is_asked_for_or_read_off_the_name() {
        assert_eq!(parse("").output.format().unwrap(), Format::Tsv);
        assert_eq!(parse("-o a.npy").output.format().unwrap(), Format::Npy);
        assert_eq!(parse("-o a.npy --format tsv").output.format().unwrap(), Format::Tsv);
        assert!(parse("-o a.xls").output.format().is_err());
        assert_eq!(parse("-o -").output.file(), None);
    }

    #[test]
    fn overlap_is_smaller_than_the_window() {
        assert_eq!(parse("").window.checked().unwrap(), None);
        let (window, overlap) = parse("--window 10 --overlap 9").window.checked().unwrap().unwrap();
        assert_eq!((window.get(), overlap), (10, 9));
        assert!(parse("--window 10 --overlap 10").window.checked().is_err());
        assert_eq!(parse("--dtype bf16").model.dtype, Dtype::Bf16);
    }
}
