use super::{Error, Fault, Interval};
use crate::regions::Contig;

/// Intervals that were checked, neighbours of one value joined.
pub(super) struct Runs<'c, I> {
    contigs: &'c [Contig],
    values: I,
    joins: bool,
    /// The interval that may still grow.
    open: Option<Interval>,
    has_failed: bool,
}

impl<'c, I> Runs<'c, I> {
    pub(super) fn new(contigs: &'c [Contig], values: I, joins: bool) -> Self {
        Self { contigs, values, joins, open: None, has_failed: false }
    }

    /// Whether an interval may stand after those before it.
    fn check(&self, interval: &Interval) -> Result<(), Error> {
        let Interval { contig, start, end, value } = *interval;
        let known = self.contigs.get(contig);
        let fault = match known {
            None => Fault::Contig { contigs: self.contigs.len() },
            Some(_) if start >= end => Fault::Empty,
            Some(known) if end > known.length => Fault::PastEnd { length: known.length },
            _ if self.open.is_some_and(|open| (contig, start) < (open.contig, open.end)) => Fault::Order,
            _ if !value.is_finite() => Fault::NotFinite { value },
            Some(_) => return Ok(()),
        };
        let contig = known.map_or_else(|| contig.to_string(), |contig| contig.name.clone());
        Err(Error::Interval { contig, start, end, fault })
    }
}

impl<E: From<Error>, I: Iterator<Item = Result<Interval, E>>> Iterator for Runs<'_, I> {
    type Item = Result<Interval, E>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.has_failed {
            let Some(interval) = self.values.next() else { return self.open.take().map(Ok) };
            let checked =
                interval.and_then(|interval| self.check(&interval).map(|()| interval).map_err(E::from));
            let interval = match checked {
                Ok(interval) => interval,
                Err(error) => {
                    self.has_failed = true;
                    return Some(Err(error));
                }
            };
            match &mut self.open {
                // Bits, so that zeros of both signs stay what they are.
                Some(open)
                    if self.joins
                        && (open.contig, open.end) == (interval.contig, interval.start)
                        && open.value.to_bits() == interval.value.to_bits() =>
                {
                    open.end = interval.end;
                }
                _ => {
                    if let Some(whole) = self.open.replace(interval) {
                        return Some(Ok(whole));
                    }
                }
            }
        }
        None
    }
}
