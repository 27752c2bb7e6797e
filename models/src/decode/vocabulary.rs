//! Which bases the tokens of a vocabulary stand for.

use std::collections::HashSet;

use super::base::Base;

/// The tokens of a model as bases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    bases: Vec<Box<[Base]>>,
    kmer_length: Option<usize>,
}

impl Vocabulary {
    /// Takes the text of every token in the order of the ids; `None` where an id has no token. Texts with another letter
    /// than upper-case `A`, `C`, `G` and `T` are not DNA, and neither are empty ones.
    pub fn new<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let read = |text: &str| text.bytes().map(Base::of).collect::<Option<Box<[Base]>>>();
        let bases: Vec<_> = texts.into_iter().map(|text| text.and_then(read).unwrap_or_default()).collect();
        let kmer_length = kmer_length(&bases);
        Self { bases, kmer_length }
    }

    /// Number of ids.
    pub const fn size(&self) -> usize {
        self.bases.len()
    }

    /// The bases of a token; `None` if it is not DNA.
    pub fn bases(&self, id: u32) -> Option<&[Base]> {
        self.bases.get(id as usize).map(AsRef::as_ref).filter(|bases| !bases.is_empty())
    }

    /// `k`, if the tokens that are DNA are all of the k-mers and nothing else.
    pub const fn kmer_length(&self) -> Option<usize> {
        self.kmer_length
    }

    /// The tokens that are DNA, with their bases.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[Base])> + Clone {
        let dna = self.bases.iter().enumerate().filter(|(_, bases)| !bases.is_empty());
        dna.map(|(id, bases)| (id as u32, bases.as_ref()))
    }
}

fn kmer_length(bases: &[Box<[Base]>]) -> Option<usize> {
    let kmers: HashSet<&[Base]> = bases.iter().map(AsRef::as_ref).filter(|b| !b.is_empty()).collect();
    let k = kmers.iter().next()?.len();
    let all = u32::try_from(k).ok().and_then(|k| 4_usize.checked_pow(k))?;
    (kmers.len() == all && kmers.iter().all(|kmer| kmer.len() == k)).then_some(k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_sets_of_kmers_have_a_length() {
        let texts = ["<s>", "A", "T", "C", "G"];
        let vocabulary = Vocabulary::new(texts.map(Some));
        assert_eq!((vocabulary.size(), vocabulary.kmer_length()), (5, Some(1)));
        assert_eq!(vocabulary.bases(0), None);
        assert_eq!(vocabulary.bases(2), Some(&[Base::T][..]));
        assert_eq!(vocabulary.bases(5), None);
        assert_eq!(Vocabulary::new(["A", "C", "G", "a", "N"].map(Some)).kmer_length(), None);
        assert_eq!(Vocabulary::new(["A", "C", "G", "T", "AC"].map(Some)).kmer_length(), None);
        assert_eq!(Vocabulary::new(["", "N"].map(Some)).kmer_length(), None);
        // Two ids may share a text; an id may have none.
        assert_eq!(
            Vocabulary::new([Some("A"), Some("A"), None, Some("C"), Some("G"), Some("T")]).kmer_length(),
            Some(1)
        );
    }
}
