//! Inflating ahead of the reader, on threads of its own, through channels of bounded length.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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

/// Portions in order as other threads make them.
pub(super) struct Ahead {
    order: Receiver<Place>,
    failure: Option<io::Error>,
}

impl Ahead {
    /// Takes what comes through `order`.
    pub(super) fn new(order: Receiver<Place>) -> Self {
        Self { order, failure: None }
    }

    /// Reads `inner` to its end or first error on a thread.
    pub(super) fn read(mut inner: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, order) = sync_channel(WAITING);
        thread::Builder::new().name("inflate".to_owned()).spawn(move || pass_on(&mut inner, &send))?;
        Ok(Self::new(order))
    }

    /// The next text; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
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
pub(super) fn pass_on(inner: &mut impl Read, order: &SyncSender<Place>) {
    loop {
        let mut portion = Portion { text: vec![0; BYTES], failure: None };
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
