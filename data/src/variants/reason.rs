use std::fmt;

use super::error::Shown;

/// Why an allele has no score. The [`code`](Self::code) goes to the output, the text to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The reference has no contig of this name.
    UnknownContig {
        /// The name.
        contig: String,
        /// A contig that it has and that may be meant.
        similar: Option<String>,
    },
    /// The bases are not all inside the contig.
    OutsideContig {
        /// The first base, from 1; 0 is before the contig.
        position: u64,
        /// Bases of the record's REF.
        bases: u64,
        /// Bases of the contig.
        length: u64,
    },
    /// The reference has other bases than the record's REF.
    RefMismatch {
        /// REF.
        given: String,
        /// The bases of the reference.
        found: String,
    },
    /// The reference has other letters than `A`, `C`, `G` and `T` there.
    ReferenceLetters {
        /// The bases of the reference.
        found: String,
    },
    /// An allele has other letters than `A`, `C`, `G` and `T`.
    AlleleLetters {
        /// `REF` or `ALT`.
        column: &'static str,
        /// The allele.
        allele: String,
    },
    /// The allele is symbolic, such as `<DEL>`.
    Symbolic {
        /// The allele.
        allele: String,
    },
    /// The allele is a breakend.
    Breakend {
        /// The allele.
        allele: String,
    },
    /// The allele is `*`, a deletion that another record describes.
    Star,
    /// REF or ALT is missing.
    Missing {
        /// `REF` or `ALT`.
        column: &'static str,
    },
    /// REF and ALT are the same.
    NoChange {
        /// Both alleles.
        allele: String,
    },
    /// The score is one of single bases, and an allele has more.
    NotSubstitution {
        /// Bases of REF.
        reference: u64,
        /// Bases of ALT.
        alternate: u64,
    },
    /// The bases that a model would read have other letters than `A`, `C`, `G` and `T`.
    WindowLetters {
        /// The first of them, from 1, on the contig.
        position: u64,
        /// The letter.
        found: char,
    },
    /// Too few bases lie beside the variant.
    ShortContext {
        /// Bases there are.
        bases: u64,
        /// Bases needed.
        needed: u64,
    },
    /// The alleles are longer than the model can read.
    TooLong {
        /// Bases of the longer allele.
        bases: u64,
        /// Bases the model can read.
        limit: u64,
    },
    /// The score is not a finite number.
    NotFinite {
        /// The field.
        field: String,
    },
}

impl Reason {
    /// A short word for the output, the same in every version.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownContig { .. } => "unknown_contig",
            Self::OutsideContig { .. } => "outside_contig",
            Self::RefMismatch { .. } => "ref_mismatch",
            Self::ReferenceLetters { .. } => "reference_letters",
            Self::AlleleLetters { .. } => "allele_letters",
            Self::Symbolic { .. } => "symbolic",
            Self::Breakend { .. } => "breakend",
            Self::Star => "star",
            Self::Missing { .. } => "missing",
            Self::NoChange { .. } => "no_change",
            Self::NotSubstitution { .. } => "not_substitution",
            Self::WindowLetters { .. } => "window_letters",
            Self::ShortContext { .. } => "short_context",
            Self::TooLong { .. } => "too_long",
            Self::NotFinite { .. } => "not_finite",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownContig { contig, similar: None } => {
                write!(f, "the reference has no contig {}", Shown(contig))
            }
            Self::UnknownContig { contig, similar: Some(similar) } => {
                write!(f, "the reference has no contig {}; it has {}", Shown(contig), Shown(similar))
            }
            Self::OutsideContig { position: 0, .. } => f.write_str("position 0 is before the contig"),
            Self::OutsideContig { position, bases, length } => {
                let last = position.saturating_add(bases.saturating_sub(1));
                write!(f, "bases {position}-{last} are not all inside the contig, which has {length}")
            }
            Self::RefMismatch { given, found } => {
                write!(f, "REF is {}, the reference has {}", Shown(given), Shown(found))
            }
            Self::ReferenceLetters { found } => {
                write!(f, "the reference has {} there, which is not only A, C, G and T", Shown(found))
            }
            Self::AlleleLetters { column, allele } => {
                write!(f, "{column} {} is not only A, C, G and T", Shown(allele))
            }
            Self::Symbolic { allele } => write!(f, "ALT {} is symbolic", Shown(allele)),
            Self::Breakend { allele } => write!(f, "ALT {} is a breakend", Shown(allele)),
            Self::Star => f.write_str("ALT '*' is a deletion that another record describes"),
            Self::Missing { column } => write!(f, "{column} is missing"),
            Self::NoChange { allele } => write!(f, "REF and ALT are both {}", Shown(allele)),
            Self::NotSubstitution { reference, alternate } => {
                write!(f, "REF has {reference} bases and ALT {alternate}, the score is one of single bases")
            }
            Self::WindowLetters { position, found } => {
                write!(f, "base {position} of the window is '{}'", found.escape_debug())
            }
            Self::ShortContext { bases, needed } => {
                write!(f, "{bases} bases lie beside the variant, {needed} are needed")
            }
            Self::TooLong { bases, limit } => {
                write!(f, "an allele has {bases} bases, the model reads {limit}")
            }
            Self::NotFinite { field } => write!(f, "{} is not a finite number", Shown(field)),
        }
    }
}
