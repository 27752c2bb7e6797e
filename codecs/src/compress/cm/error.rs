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
    #[error("context {context} occurs in more ways than a table holds; train on fewer sequences or fewer classes")]
    TooLarge {
        /// The context.
        context: String,
    },
    /// Two models that were made in different ways.
    #[error("models with different settings cannot be joined")]
    Settings,
    /// Not a model file.
    #[error("not a model file of kilobase classify")]
    Magic,
    /// A version of another program.
    #[error("model file of version {version}; this program reads version {known}")]
    Version {
        /// In the file.
        version: u32,
        /// The one that is read here.
        known: u32,
    },
    /// Damage.
    #[error("the model file is damaged: its checksum does not match")]
    Checksum,
    /// Damage that is not in transport, or a file made to harm.
    #[error("the model file is not valid: {what}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
    },
    /// Reading or writing failed.
    #[error("cannot read or write the model")]
    Io(#[from] std::io::Error),
}

/// Result of what a model can do.
pub type Result<T> = std::result::Result<T, Error>;
