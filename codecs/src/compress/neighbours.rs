//! Classifiers by nearest neighbours: a distance by compression, or shared words.

use std::io::{Read, Write};

use super::bytes::{Compressor, Kind};
use super::code_length::{self, CodeLength, Corpus};
use super::knn::{self, Vote};
use super::model_file::{self, Error, put, put_bytes, take, take_bytes, take_text};
use super::words::Words;
use super::{Distance, Letters};

const MAGIC: [u8; 8] = *b"KBNEIGH\n";
/// Of the format. Files of version 1 do not say how letters are read.
const VERSION: u32 = 2;

/// How near two sequences are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// By code lengths.
    Compression {
        /// Whose.
        compressor: Compressor,
        /// What becomes of them.
        distance: Distance,
        /// The mean of both orders of a pair.
        symmetric: bool,
        /// Look with gzip at all, and with the compressor only at so many of the nearest. Another answer than without, and
        /// faster for slow compressors.
        rerank: Option<usize>,
    },
    /// One less the Jaccard index of the sets of words of so many bases.
    Jaccard {
        /// Length of the words, up to 31.
        word: u32,
    },
}

/// Training sequences and how queries are compared with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// The form that sequences have, and that a query must be brought to.
    pub letters: Letters,
    /// The measure.
    pub measure: Measure,
    /// So many neighbours vote.
    pub k: usize,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Names of the sequences.
    pub ids: Vec<String>,
    /// Letters as they are compared.
    pub sequences: Vec<Vec<u8>>,
    /// The class of each sequence.
    pub labels: Vec<usize>,
}

/// Neighbours that queries can be compared with.
pub struct Index<'a> {
    neighbours: &'a Neighbours,
    look: Look<'a>,
}

enum Look<'a> {
    Corpus { corpus: Box<dyn Corpus + 'a>, distance: Distance, symmetric: bool },
    Rerank { first: Box<dyn Corpus + 'a>, compressor: Compressor, distance: Distance, most: usize },
    Words(Vec<Words>, u32),
}

/// The compressor that looks first when another one looks again. Boxes of corpora borrow it.
static GZIP: std::sync::LazyLock<Compressor> =
    std::sync::LazyLock::new(|| Compressor::new(Kind::Gzip, 9).expect("a level of gzip"));

impl Neighbours {
    /// Prepares the sequences.
    pub fn index(&self) -> code_length::Result<Index<'_>> {
        let look = match &self.measure {
            Measure::Jaccard { word } => {
                Look::Words(self.sequences.iter().map(|sequence| Words::of(sequence, *word)).collect(), *word)
            }
            Measure::Compression { compressor, distance, rerank: Some(most), .. } => Look::Rerank {
                first: GZIP.corpus(&self.sequences)?,
                compressor: *compressor,
                distance: *distance,
                most: *most,
            },
            Measure::Compression { compressor, distance, symmetric, .. } => Look::Corpus {
                corpus: compressor.corpus(&self.sequences)?,
                distance: *distance,
                symmetric: *symmetric,
            },
        };
        Ok(Index { neighbours: self, look })
    }

    /// Writes the model.
    pub fn write(&self, out: &mut impl Write) -> Result<(), Error> {
        let mut body = Vec::new();
        self.letters.put(&mut body);
        match self.measure {
            Measure::Jaccard { word } => {
                put(&mut body, 0);
                put(&mut body, u64::from(word));
            }
            Measure::Compression { compressor, distance, symmetric, rerank } => {
                put(&mut body, 1);
                let kind = Kind::ALL.iter().position(|&kind| kind == compressor.kind()).expect("one of all");
                let distance = Distance::ALL.iter().position(|&one| one == distance).expect("one of all");
                for number in [kind, usize::from(compressor.level()), distance, usize::from(symmetric)] {
                    put(&mut body, number as u64);
                }
                put(&mut body, compressor.separator_byte().map_or(0, |byte| 1 + u64::from(byte)));
                put(&mut body, u64::from(compressor.has_overhead()));
                put(&mut body, rerank.unwrap_or(0) as u64);
            }
        }
        put(&mut body, self.k as u64);
        put(&mut body, self.classes.len() as u64);
        for class in &self.classes {
            put_bytes(&mut body, class.as_bytes());
        }
        put(&mut body, self.sequences.len() as u64);
        for ((id, sequence), &label) in self.ids.iter().zip(&self.sequences).zip(&self.labels) {
            put_bytes(&mut body, id.as_bytes());
            put(&mut body, label as u64);
            put_bytes(&mut body, sequence);
        }
        model_file::write(out, MAGIC, VERSION, &body)
    }

    /// Reads a model.
    pub fn read(input: &mut impl Read) -> Result<Self, Error> {
        let body = model_file::read(input, MAGIC, VERSION)?;
        let mut bytes = &body[..];
        let invalid = |what| Error::Invalid { what };
        let letters = Letters::take(&mut bytes)?;
        let measure = match take(&mut bytes)? {
            0 => {
                let word = take(&mut bytes)?;
                if !(1..=31).contains(&word) {
                    return Err(invalid("words are of 1 to 31 bases"));
                }
                Measure::Jaccard { word: word as u32 }
            }
            1 => {
                let mut number =
                    || take(&mut bytes).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
                let (kind, level, distance, symmetric) = (number()?, number()?, number()?, number()? != 0);
                let (separator, overhead, rerank) = (number()?, number()? != 0, number()?);
                let kind = *Kind::ALL.get(kind).ok_or(invalid("its compressor is not known"))?;
                let level = u8::try_from(level).ok().and_then(|level| Compressor::new(kind, level));
                let compressor = level.ok_or(invalid("its compressor has no such level"))?;
                let separator = separator.checked_sub(1).map(|byte| byte as u8);
                let compressor = compressor.separator(separator);
                let compressor = if overhead { compressor } else { compressor.without_overhead() };
                let distance = *Distance::ALL.get(distance).ok_or(invalid("its distance is not known"))?;
                Measure::Compression {
                    compressor,
                    distance,
                    symmetric,
                    rerank: (rerank > 0).then_some(rerank),
                }
            }
            _ => return Err(invalid("its method is not known")),
        };
        let k = usize::try_from(take(&mut bytes)?).unwrap_or(usize::MAX);
        let classes: Vec<String> =
            (0..take(&mut bytes)?).map(|_| take_text(&mut bytes)).collect::<Result<_, Error>>()?;
        let mut model =
            Self { letters, measure, k, classes, ids: Vec::new(), sequences: Vec::new(), labels: Vec::new() };
        for _ in 0..take(&mut bytes)? {
            model.ids.push(take_text(&mut bytes)?);
            let label = take(&mut bytes)? as usize;
            if label >= model.classes.len() {
                return Err(invalid("a sequence is of no class"));
            }
            model.labels.push(label);
            model.sequences.push(take_bytes(&mut bytes)?.to_vec());
        }
        if !bytes.is_empty() || model.k == 0 || model.sequences.is_empty() {
            return Err(invalid("it has no sequences, or bytes follow it"));
        }
        Ok(model)
    }

    /// Whether bytes begin as such a model does.
    pub fn is_model(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }
}

impl Index<'_> {
    /// Distances of a query from all sequences; infinite where it was not looked at.
    pub fn distances(&self, query: &[u8]) -> code_length::Result<Vec<f64>> {
        match &self.look {
            Look::Words(sets, word) => {
                let query = Words::of(query, *word);
                Ok(sets.iter().map(|set| 1.0 - query.jaccard(set)).collect())
            }
            Look::Corpus { corpus, distance, symmetric } => {
                let row = corpus.row(query)?;
                let mut joint = row.joint;
                if *symmetric {
                    for (forward, backward) in joint.iter_mut().zip(corpus.backward(query)?) {
                        *forward = f64::midpoint(*forward, backward);
                    }
                }
                let pairs = joint.iter().zip(corpus.alone());
                Ok(pairs.map(|(&joint, &alone)| distance.of(query.len(), row.alone, alone, joint)).collect())
            }
            Look::Rerank { first, compressor, distance, most } => {
                let near = Distance::Ncd.row(&**first, query)?;
                let mut order: Vec<usize> = (0..near.len()).collect();
                order.sort_unstable_by(|&a, &b| near[a].total_cmp(&near[b]).then(a.cmp(&b)));
                let mut distances = vec![f64::INFINITY; near.len()];
                let alone = compressor.bits(query)?;
                for &at in order.iter().take((*most).max(1)) {
                    let other = &self.neighbours.sequences[at];
                    let joint = compressor.joint_bits(query, other)?;
                    distances[at] = distance.of(query.len(), alone, compressor.bits(other)?, joint);
                }
                Ok(distances)
            }
        }
    }

    /// What the nearest say of a query.
    pub fn classify(&self, query: &[u8]) -> code_length::Result<Vote> {
        Ok(self.vote(&self.distances(query)?))
    }

    /// What the nearest say by these distances.
    pub fn vote(&self, distances: &[f64]) -> Vote {
        let Neighbours { labels, classes, k, .. } = self.neighbours;
        knn::vote(distances, labels, classes.len(), *k).expect("a model has sequences")
    }
}

/// Reads bytes as the body of a model and uses it: used by the property tests and the fuzz target.
#[doc(hidden)]
pub fn check(body: &[u8]) {
    let mut file = Vec::new();
    model_file::write(&mut file, MAGIC, VERSION, body).expect("memory to memory");
    if let Ok(model) = Neighbours::read(&mut &file[..]) {
        // Large levels take memory for each sequence; what they find is not what is looked at here.
        if let Measure::Compression { compressor, .. } = model.measure
            && compressor.kind() != Kind::Gzip
        {
            return;
        }
        let index = model.index().expect("compressors of bytes do not fail");
        assert_eq!(index.distances(b"ACGTACGT").expect("the same").len(), model.sequences.len());
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::super::letters::{Ambiguous, Case};
    use super::*;

    fn model(measure: Measure) -> Neighbours {
        let sequences = [
            &b"ATGACGTTGACCAGTTAACGCATCAG"[..],
            b"GGGCCCTTTAAACCCGGGATATCGCG",
            b"ATGACGTTGACCAGTAAACGCATCAG",
        ];
        Neighbours {
            letters: Letters { case: Case::Keep, ambiguous: Ambiguous::Skip },
            measure,
            k: 1,
            classes: vec!["a".into(), "b".into()],
            ids: vec!["x".into(), "y".into(), "z".into()],
            sequences: sequences.map(<[u8]>::to_vec).to_vec(),
            labels: vec![0, 1, 0],
        }
    }

    fn measures() -> Vec<Measure> {
        let compressor = Compressor::new(Kind::Gzip, 9).unwrap();
        let by = |compressor, symmetric, rerank| Measure::Compression {
            compressor,
            distance: Distance::Ncd,
            symmetric,
            rerank,
        };
        let xz = Compressor::new(Kind::Xz, 6).unwrap().separator(None).without_overhead();
        vec![
            by(compressor, false, None),
            by(compressor, true, None),
            by(xz, false, Some(2)),
            Measure::Jaccard { word: 6 },
        ]
    }

    #[test]
    fn nearest_is_found_by_every_measure_and_models_are_read_back() {
        for measure in measures() {
            let model = model(measure);
            let vote = model.index().unwrap().classify(b"ATGACGTTGACCAGTTAACGCATCAC").unwrap();
            assert_eq!((vote.class, vote.nearest.0), (0, 0), "{measure:?}");
            let mut file = Vec::new();
            model.write(&mut file).unwrap();
            assert_eq!(Neighbours::read(&mut &file[..]).unwrap(), model);
            let last = file.len() - 40;
            file[last] ^= 1;
            assert!(matches!(Neighbours::read(&mut &file[..]), Err(Error::Checksum)));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_a_model_or_an_error(body in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            check(&body);
            check(&[&[0, 0, 6, 1, 2, 1, b'a', 1, b'b'][..], &body].concat());
        }
    }

    #[test]
    fn symmetric_distances_are_the_mean_of_both_orders() {
        let gzip = Compressor::new(Kind::Gzip, 9).unwrap();
        let (one, other) = (b"ATGACGTTGACCAGTTAACGCATCAG".repeat(3), b"ACCAGTTAACGCATCAGGGGATG".repeat(2));
        let sequences = [other.clone()];
        let corpus = gzip.corpus(&sequences).unwrap();
        assert_eq!(corpus.backward(&one).unwrap(), [gzip.joint_bits(&other, &one).unwrap()]);
    }
}
