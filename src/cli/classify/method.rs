//! Flags that say how sequences are compared.

use std::num::NonZeroUsize;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use kilobase::codecs::compress::Distance;
use kilobase::codecs::compress::bytes::{Compressor, Kind};
use kilobase::codecs::compress::cm::Coding;
use kilobase::codecs::compress::neighbours::Measure;
use kilobase::codecs::compress::{Letters, letters};

use crate::cli::exit::Usage;

/// How a class is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// Class models of mixed contexts: the class that takes the fewest bits
    Cm,
    /// Nearest neighbours by a distance of compression
    Ncd,
    /// Nearest neighbours by shared words
    Jaccard,
}

/// Settings under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// gzip-9 NCD with one neighbour, letters as they are (arXiv 2401.14025)
    Paper,
}

/// Byte between two sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Separator {
    /// One space
    Space,
    /// Nothing
    None,
    /// A line feed
    Newline,
}

impl Separator {
    fn byte(self) -> Option<u8> {
        match self {
            Self::Space => Some(b' '),
            Self::None => None,
            Self::Newline => Some(b'\n'),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DistanceKind {
    /// (C(xy) - min(C(x), C(y))) / max(C(x), C(y))
    Ncd,
    /// C(xy) / (C(x) + C(y))
    Cdm,
    /// (C(xy) - C(y)) / (2 |x|), one-way
    Nrc,
    /// (C(xy) - C(y)) / C(x), one-way
    Cond,
}

impl DistanceKind {
    pub(crate) fn distance(self) -> Distance {
        match self {
            Self::Ncd => Distance::Ncd,
            Self::Cdm => Distance::Cdm,
            Self::Nrc => Distance::Nrc,
            Self::Cond => Distance::Cond,
        }
    }
}

/// Which compressor, and which distance.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Compression")]
pub(crate) struct CompressorArgs {
    /// Compressor of distances
    #[arg(
        long,
        default_value = Kind::Gzip.name(),
        value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)).try_map(|name| name.parse::<Kind>())
    )]
    pub(crate) compressor: Kind,
    /// Level of the compressor [default: 9 for gzip, zlib and bz2, 11 for brotli, 6 for xz, 3 for zstd]
    #[arg(long, value_name = "N")]
    pub(crate) level: Option<u8>,
    /// What stands between two sequences
    #[arg(long, value_enum, default_value_t = Separator::Space)]
    pub(crate) separator: Separator,
    /// How code lengths become a distance
    #[arg(long, value_enum, default_value_t = DistanceKind::Ncd)]
    pub(crate) distance: DistanceKind,
    /// Leave out what even an empty sequence costs; it rules the distances of sequences of a few bases
    #[arg(long)]
    pub(crate) no_overhead: bool,
    /// Go on with sequences longer than the compressor looks back
    #[arg(long)]
    pub(crate) allow_window_overflow: bool,
}

impl CompressorArgs {
    pub(crate) fn compressor(self) -> Result<Compressor, Usage> {
        let kind = self.compressor;
        let level = self.level.unwrap_or_else(|| kind.default_level());
        let compressor = Compressor::new(kind, level).ok_or_else(|| {
            let (first, last) = (kind.levels().start().to_owned(), kind.levels().end().to_owned());
            Usage(format!("--level {level}: {} has levels from {first} to {last}", kind.name()))
        })?;
        let compressor = compressor.separator(self.separator.byte());
        Ok(if self.no_overhead { compressor.without_overhead() } else { compressor })
    }
}

/// Neighbours, beside the compressor.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Neighbours")]
pub(crate) struct NeighbourArgs {
    /// Neighbours that vote
    #[arg(short, long = "neighbours", value_name = "K", default_value = "1")]
    pub(crate) k: NonZeroUsize,
    /// The mean of both orders of a pair
    #[arg(long)]
    pub(crate) symmetric: bool,
    /// Look with gzip at all sequences, and with the compressor at the N nearest only; another answer, and faster
    #[arg(long, value_name = "N", conflicts_with = "symmetric")]
    pub(crate) rerank: Option<NonZeroUsize>,
    /// Length of words, for --method jaccard
    #[arg(long, value_name = "BASES", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=31))]
    pub(crate) word: u32,
}

impl NeighbourArgs {
    pub(crate) fn measure(&self, method: Method, compressor: CompressorArgs) -> Result<Measure, Usage> {
        if method == Method::Jaccard {
            return Ok(Measure::Jaccard { word: self.word });
        }
        Ok(Measure::Compression {
            compressor: compressor.compressor()?,
            distance: compressor.distance.distance(),
            symmetric: self.symmetric,
            rerank: self.rerank.map(NonZeroUsize::get),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Lower case is read as upper case, and U as T
    Upper,
    /// Letters stay as they are
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ambiguous {
    /// They stay
    Keep,
    /// They are left out
    Skip,
}

/// What becomes of letters before sequences are compared.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Letters")]
pub(crate) struct LetterArgs {
    /// Case of letters [default: upper]
    #[arg(long, value_enum)]
    case: Option<Case>,
    /// Letters other than A, C, G and T [default: keep]
    #[arg(long, value_enum)]
    ambiguous: Option<Ambiguous>,
}

impl LetterArgs {
    /// What was asked for, and the usual where nothing was.
    pub(crate) fn rule(self) -> Letters {
        self.over(Letters::default())
    }

    /// The rule of a model, which flags may repeat and not change.
    pub(crate) fn agreeing_with(self, model: Letters) -> Result<Letters, Usage> {
        let asked = self.over(model);
        if asked == model {
            return Ok(model);
        }
        Err(Usage(format!("the model was trained on letters with {model}, not with {asked}")))
    }

    fn over(self, usual: Letters) -> Letters {
        Letters {
            case: self.case.map_or(usual.case, |case| match case {
                Case::Upper => letters::Case::Upper,
                Case::Keep => letters::Case::Keep,
            }),
            ambiguous: self.ambiguous.map_or(usual.ambiguous, |ambiguous| match ambiguous {
                Ambiguous::Keep => letters::Ambiguous::Keep,
                Ambiguous::Skip => letters::Ambiguous::Skip,
            }),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodingChoice {
    /// If the training sequences read as genes
    #[default]
    Auto,
    /// Always
    Yes,
    /// Never
    No,
}

impl CodingChoice {
    pub(crate) fn coding(self) -> Coding {
        match self {
            Self::Auto => Coding::Auto,
            Self::Yes => Coding::Yes,
            Self::No => Coding::No,
        }
    }
}

/// All that says how a class is found.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct MethodArgs {
    /// How a class is found
    #[arg(long, value_enum, default_value_t = Method::Cm)]
    pub(crate) method: Method,
    /// Settings under one name, in place of all others
    #[arg(long, value_enum)]
    pub(crate) preset: Option<Preset>,
    /// Contexts in the reading frame, for --method cm
    #[arg(long, value_enum, default_value_t = CodingChoice::Auto)]
    pub(crate) coding: CodingChoice,
    #[command(flatten)]
    pub(crate) compressor: CompressorArgs,
    #[command(flatten)]
    pub(crate) neighbours: NeighbourArgs,
    #[command(flatten)]
    pub(crate) letters: LetterArgs,
}

impl MethodArgs {
    /// With the preset applied, and refused where flags do not go together.
    pub(crate) fn checked(&self) -> Result<Self, Usage> {
        let mut args = *self;
        if self.preset == Some(Preset::Paper) {
            args.method = Method::Ncd;
            args.neighbours =
                NeighbourArgs { k: NonZeroUsize::MIN, symmetric: false, rerank: None, ..args.neighbours };
            args.compressor = CompressorArgs {
                compressor: Kind::Gzip,
                level: None,
                separator: Separator::Space,
                distance: DistanceKind::Ncd,
                no_overhead: false,
                ..args.compressor
            };
            args.letters = LetterArgs { case: Some(Case::Keep), ambiguous: Some(Ambiguous::Keep) };
        }
        if args.method != Method::Ncd && args.letters.case == Some(Case::Keep) {
            return Err(Usage(
                "--case keep is for --method ncd; other methods know upper case only".to_owned(),
            ));
        }
        args.compressor.compressor()?;
        Ok(args)
    }
}
