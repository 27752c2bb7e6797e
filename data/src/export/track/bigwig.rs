//! bigWig (Kent et al. 2010, Bioinformatics 26:2204), by bigtools.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bigtools::bed::bedparser::BedValueError;
use bigtools::beddata::BedParserStreamingIterator;
use bigtools::{BBIProcessError, BigWigWrite, InputSortType, Value};

use super::{Error, Interval};
use crate::export::{self, AtomicFile};
use crate::regions::Contig;

/// bigtools counts the contigs of its index in 16 bits, and does not notice more.
const MOST_CONTIGS: usize = u16::MAX as usize;

/// Writes checked intervals to a new file.
pub(super) fn write<E: From<Error>>(
    contigs: &[Contig],
    runs: &mut dyn Iterator<Item = Result<Interval, E>>,
    file: &AtomicFile,
) -> Result<(), E> {
    let io = |source| E::from(Error::from(export::Error::Io { path: file.path().to_owned(), source }));
    let sizes = sizes(contigs)?;
    let mut runs = runs.peekable();
    if runs.peek().is_none() {
        return Err(Error::Empty { path: file.path().to_owned() }.into());
    }
    // bigtools has its own type of errors of a source; ours waits here.
    let failure = RefCell::new(None);
    let (mut written, mut last) = (0, None);
    let values = runs.map(|interval| {
        let interval = interval.and_then(|interval| {
            written += usize::from(last.replace(interval.contig) != Some(interval.contig));
            if written > MOST_CONTIGS {
                Err(Error::TooMany { limit: MOST_CONTIGS }.into())
            } else {
                Ok(interval)
            }
        });
        match interval {
            // The checks, and the sizes of the contigs, keep all places within 32 bits.
            Ok(Interval { contig, start, end, value }) => {
                Ok((Name(&contigs[contig].name), Value { start: start as u32, end: end as u32, value }))
            }
            Err(error) => {
                *failure.borrow_mut() = Some(error);
                Err(BedValueError::InvalidInput(String::new()))
            }
        }
    });
    let fault = Arc::default();
    let sink = Sink { file: file.try_clone().map_err(io)?, fault: Arc::clone(&fault) };
    let mut writer = BigWigWrite::new(sink, sizes);
    writer.options.input_sort_type = InputSortType::START;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().map_err(io)?;
    let outcome = writer.write(BedParserStreamingIterator::wrap_iter(values, true), runtime);
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    if let Some(error) = fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(io(error));
    }
    outcome.map_err(|error| match error {
        BBIProcessError::IoError(error) => io(error),
        error => io(io::Error::other(error.to_string())),
    })
}

fn sizes(contigs: &[Contig]) -> Result<HashMap<String, u32>, Error> {
    let mut sizes = HashMap::new();
    for Contig { name, length } in contigs {
        let size =
            u32::try_from(*length).map_err(|_| Error::TooLong { contig: name.clone(), length: *length })?;
        if sizes.insert(name.clone(), size).is_some() {
            return Err(Error::DuplicateContig { contig: name.clone() });
        }
    }
    Ok(sizes)
}

/// The name of a contig, which becomes a `String` once a contig and not once a value.
struct Name<'c>(&'c str);

impl From<Name<'_>> for String {
    fn from(name: Name<'_>) -> Self {
        name.0.to_owned()
    }
}

impl PartialEq<&str> for Name<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// The file, whose first error is kept for us: bigtools panics on some, and does not look at those of its last flush.
struct Sink {
    file: File,
    fault: Arc<Mutex<Option<io::Error>>>,
}

impl Sink {
    /// `otherwise` stands for the result once something has failed: the file is given up then.
    fn attempt<T>(&mut self, otherwise: T, act: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if fault.is_some() {
            return Ok(otherwise);
        }
        match act(&mut self.file) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                *fault = Some(error);
                Ok(otherwise)
            }
            outcome => outcome,
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(bytes.len(), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt((), Write::flush)
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.attempt(0, |file| file.seek(to))
    }
}
