//! Genomics sequence modelling without Python: tokens, embeddings and scores from FASTA and FASTQ, and codecs between
//! information and DNA.
//!
//! The crate collects the areas of the toolkit under one name; each is a crate of its own as well.

#[doc(inline)]
pub use kilobase_codecs as codecs;
#[doc(inline)]
pub use kilobase_data as data;
#[doc(inline)]
pub use kilobase_models as models;
