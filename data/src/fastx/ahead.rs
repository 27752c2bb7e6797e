//! Inflating ahead of the reader, on threads of its own, through channels of bounded length.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Bytes of a portion.
const BYTES: usize = 1 << 18;
/// Portions that may wait for the reader.
const WAITING: usize = 4;

/// A stretch of text, and what ended the stream after it.
#[derive(Default)]
pub(super) struct Portion {
    pub(super) text: Vec<u8>,
    pub(super) failure: Option<io::Error>,
}

/// The place of a portion in the order of the text; it is filled when its work is done.
pub(super) type Place = Receiver<Portion>;

/// Memory of portions that were read: what is new from the system is cleared, page by page, before it can be written to.
#[derive(Clone, Default)]
pub(super) struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

/// Portions that are kept: more are not under way, unless there are very many threads.
const SPARE: usize = 32;

impl Spare {
    /// Memory of any content, or none.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give(&self, memory: Vec<u8>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.capacity() > 0 && spare.len() < SPARE {
            spare.push(memory);
        }
    }
}

/// Portions in order as other threads make them.
pub(super) struct Ahead {
    order: Receiver<Place>,
    spare: Spare,
    failure: Option<io::Error>,
}

impl Ahead {
    /// Takes what comes through `order`, made in memory from `spare`.
    pub(super) fn new(order: Receiver<Place>, spare: Spare) -> Self {
        Self { order, spare, failure: None }
    }

    /// Reads `inner` to its end or first error on a thread.
    pub(super) fn read(mut inner: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, order) = sync_channel(WAITING);
        let spare = Spare::default();
        let taken = spare.clone();
        thread::Builder::new()
            .name("inflate".to_owned())
            .spawn(move || pass_on(&mut inner, &send, &taken))?;
        Ok(Self::new(order, spare))
    }

    /// The next text; none at the end. `read` is the memory of an earlier one.
    pub(super) fn next(&mut self, read: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        self.spare.give(read);
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let Ok(place) = self.order.recv() else { return Ok(None) };
            let lost = || io::Error::other("a thread that inflates has failed");
            let portion = place.recv().map_err(|_| lost())?;
            self.failure = portion.failure;
            if !portion.text.is_empty() {
                return Ok(Some(portion.text));
            }
        }
    }
}

/// Sends what `inner` has, in portions, until it ends, fails, or nobody listens.
pub(super) fn pass_on(inner: &mut impl Read, order: &SyncSender<Place>, spare: &Spare) {
    loop {
        let mut portion = Portion { text: spare.take(), failure: None };
        portion.text.resize(BYTES, 0);
        let outcome = loop {
            match inner.read(&mut portion.text) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        portion.text.truncate(*outcome.as_ref().unwrap_or(&0));
        portion.failure = outcome.err();
        let is_last = portion.text.is_empty();
        let (send, place) = sync_channel(1);
        if send.send(portion).is_err() || order.send(place).is_err() || is_last {
            return;
        }
    }
}
