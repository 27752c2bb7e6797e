use super::{Allele, Reason, Record};
use crate::alphabet::Letter;
use crate::regions::{self, Reference};

/// A change of the reference that can be scored: `A`, `C`, `G` and `T` only, and the reference has what is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<'r> {
    /// The first base that is replaced, from 0.
    pub start: u64,
    /// What is replaced.
    pub reference: &'r [u8],
    /// What stands in its place; another sequence.
    pub alternate: &'r [u8],
}

impl Edit<'_> {
    /// One past the last base that is replaced, from 0.
    pub fn end(&self) -> u64 {
        self.start + self.reference.len() as u64
    }

    /// Whether one base is replaced by one.
    pub fn is_substitution(&self) -> bool {
        self.reference.len() == 1 && self.alternate.len() == 1
    }
}

/// What to score for each alternate of `record`, or why not.
///
/// Fails only when the reference cannot be read.
pub fn classify<'r>(
    record: &'r Record,
    reference: &Reference,
) -> Result<Vec<Result<Edit<'r>, Reason>>, regions::Error> {
    let length = match reference.contig(&record.contig) {
        Ok(contig) => contig.length,
        Err(regions::Error::UnknownContig { contig, similar, .. }) => {
            return Ok(all(record, &Reason::UnknownContig { contig, similar }));
        }
        Err(error) => return Err(error),
    };
    let bases = record.reference.len() as u64;
    let last = record.position.saturating_add(bases.saturating_sub(1));
    if record.position == 0 || last > length {
        return Ok(all(record, &Reason::OutsideContig { position: record.position, bases, length }));
    }
    let found = reference.fetch(&record.contig, record.position - 1..last)?;
    let given = check_reference(&record.reference, &found);
    Ok(record
        .alternates
        .iter()
        .map(|alternate| {
            let alternate = sequence(alternate)?;
            if let Some(reason) = &given {
                return Err(reason.clone());
            }
            if !is_plain(alternate) {
                return Err(Reason::AlleleLetters { column: "ALT", allele: text(alternate) });
            }
            if alternate == record.reference {
                return Err(Reason::NoChange { allele: text(alternate) });
            }
            Ok(Edit { start: record.position - 1, reference: &record.reference, alternate })
        })
        .collect())
}

fn all(record: &Record, reason: &Reason) -> Vec<Result<Edit<'static>, Reason>> {
    record.alternates.iter().map(|_| Err(reason.clone())).collect()
}

/// The bases of an alternate, or why it has none.
fn sequence(alternate: &Allele) -> Result<&[u8], Reason> {
    match alternate {
        Allele::Sequence(bases) => Ok(bases),
        Allele::Symbolic(allele) => Err(Reason::Symbolic { allele: allele.clone() }),
        Allele::Breakend(allele) => Err(Reason::Breakend { allele: allele.clone() }),
        Allele::Missing => Err(Reason::Missing { column: "ALT" }),
        Allele::Star => Err(Reason::Star),
    }
}

/// What stands in the way on the side of REF, whatever the alternate is.
fn check_reference(given: &[u8], found: &[u8]) -> Option<Reason> {
    if given.is_empty() {
        Some(Reason::Missing { column: "REF" })
    } else if !is_plain(given) {
        Some(Reason::AlleleLetters { column: "REF", allele: text(given) })
    } else if !is_plain(found) {
        Some(Reason::ReferenceLetters { found: text(found) })
    } else if given != found {
        Some(Reason::RefMismatch { given: text(given), found: text(found) })
    } else {
        None
    }
}

fn is_plain(bases: &[u8]) -> bool {
    bases.iter().all(|&base| Letter::of(base) == Letter::Base)
}

fn text(bases: &[u8]) -> String {
    String::from_utf8_lossy(bases).into_owned()
}
