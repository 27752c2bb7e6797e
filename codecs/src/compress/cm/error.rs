use crate::compress::Letters;

/// Why a model cannot be made, joined or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A classifier needs classes to choose from.
    #[error("{classes} classes with sequences; at least two are needed")]
    TooFewClasses {
        /// How many there are.
        classes: usize,
    },
    /// A class without sequences.
    #[error("class {name} has no sequence")]
    EmptyClass {
        /// The class.
        name: String,
    },
    /// More than tables have room for.
    #[error("{classes} classes; a model holds at most {}", super::MOST_CLASSES)]
    TooManyClasses {
        /// How many there are.
        classes: usize,
    },
    /// More contexts than a table has room for.
    #[error(
        "context {context} occurs in more ways than a table holds; train on fewer sequences or fewer classes"
    )]
    TooLarge {
        /// The context.
        context: String,
    },
    /// Two models that were made in different ways.
    #[error("models with different settings cannot be joined")]
    Settings,
    /// Two models that read letters in different ways.
    #[error("a model of letters with {other} cannot be joined to one with {own}")]
    Letters {
        /// Of the model that is added to.
        own: Letters,
        /// Of the other one.
        other: Letters,
    },
    /// The file is not a model, or is damaged.
    #[error(transparent)]
    File(#[from] crate::compress::model_file::Error),
}

/// Result of what a model can do.
pub type Result<T> = std::result::Result<T, Error>;
