//! The blocks of a BGZF stream, several at a time.

use std::io::{self, Cursor, Read};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::input::Input;
use super::{Inflate, Oddities, block_size};
use crate::fastx::ahead::{Ahead, Place, Portion, Spare, pass_on};

/// Blocks of at most 64 KiB of text each that one worker takes at a time.
const BLOCKS: u64 = 8;

/// Work for one worker: whole blocks, how many come before them, and where the text goes.
struct Job {
    blocks: Vec<u8>,
    before: u64,
    text: SyncSender<Portion>,
}

/// Inflates `inner` on `workers` threads. Whatever is no whole block is left to [`Inflate`], from there to the end.
pub(in crate::fastx) fn blocks(
    inner: impl Read + Send + 'static,
    oddities: Arc<Oddities>,
    workers: usize,
) -> io::Result<Ahead> {
    let (jobs, queue) = sync_channel::<Job>(workers);
    let (order, places) = sync_channel(2 * workers);
    let queue = Arc::new(Mutex::new(queue));
    let spare = Spare::default();
    for _ in 0..workers {
        let (queue, spare) = (Arc::clone(&queue), spare.clone());
        thread::Builder::new().name("inflate".to_owned()).spawn(move || work(&queue, &spare))?;
    }
    let rest = spare.clone();
    let feed = move || hand_out(inner, &oddities, &jobs, &order, &rest);
    thread::Builder::new().name("blocks".to_owned()).spawn(feed)?;
    Ok(Ahead::new(places, spare))
}

fn work(queue: &Mutex<Receiver<Job>>, spare: &Spare) {
    let mut inflate = Inflate::new(Cursor::new(Vec::new()), Arc::default());
    loop {
        let Ok(job) = queue.lock().map_or_else(|poisoned| poisoned.into_inner().recv(), |queue| queue.recv())
        else {
            return;
        };
        inflate.restart(Cursor::new(job.blocks), job.before);
        let mut text = spare.take();
        text.clear();
        text.reserve(BLOCKS as usize * (1 << 16));
        let failure = inflate.read_to_end(&mut text).err();
        // A reader that has gone wants no more.
        let _ = job.text.send(Portion { text, failure });
    }
}

fn hand_out(
    inner: impl Read,
    oddities: &Arc<Oddities>,
    jobs: &SyncSender<Job>,
    order: &SyncSender<Place>,
    spare: &Spare,
) {
    let mut input = Input::new(inner);
    let (mut blocks, mut before, mut held, mut ends_empty) = (Vec::new(), 0, 0, true);
    loop {
        let size = match block(&mut input) {
            Ok(size) => size,
            Err(error) => {
                let _ = send(blocks, before, jobs, order);
                let (send, place) = sync_channel(1);
                let _ = send.send(Portion { text: Vec::new(), failure: Some(error) });
                let _ = order.send(place);
                return;
            }
        };
        if let Some(size) = size {
            let block = &input.ready()[..size];
            ends_empty = block.ends_with(&[0; 4]);
            blocks.extend_from_slice(block);
            input.at += size;
            held += 1;
            if held < BLOCKS {
                continue;
            }
        }
        if !send(std::mem::take(&mut blocks), before, jobs, order) {
            return;
        }
        before += held;
        held = 0;
        if size.is_none() {
            return finish(input, before, ends_empty, oddities, order, spare);
        }
    }
}

/// Gives blocks to a worker; false when nobody wants their text.
fn send(blocks: Vec<u8>, before: u64, jobs: &SyncSender<Job>, order: &SyncSender<Place>) -> bool {
    if blocks.is_empty() {
        return true;
    }
    let (text, place) = sync_channel(1);
    order.send(place).is_ok() && jobs.send(Job { blocks, before, text }).is_ok()
}

/// What comes after the last whole block: the end, foreign bytes, or gzip of another kind.
fn finish(
    input: Input<impl Read>,
    before: u64,
    ends_empty: bool,
    oddities: &Arc<Oddities>,
    order: &SyncSender<Place>,
    spare: &Spare,
) {
    let rest = input.ready();
    if rest.is_empty() || rest[..rest.len().min(2)] != [0x1f, 0x8b][..rest.len().min(2)] {
        oddities.trailing.fetch_or(!rest.is_empty(), Ordering::Relaxed);
        oddities.no_end_block.fetch_or(!ends_empty, Ordering::Relaxed);
        return;
    }
    let mut inflate = Inflate::new(input.into_reader(), Arc::clone(oddities)).after(before);
    inflate.first_is_bgzf = before > 0;
    pass_on(&mut inflate, order, spare);
}

/// The size of the next block, made ready as a whole; none where there is no whole block.
fn block(input: &mut Input<impl Read>) -> io::Result<Option<usize>> {
    const FIXED: usize = 12;
    /// No writer puts more beside the size.
    const EXTRA: usize = 256;
    input.ensure(FIXED + EXTRA)?;
    let ready = input.ready();
    let Some(&[0x1f, 0x8b, 8, 4, .., low, high]) = ready.first_chunk::<FIXED>() else { return Ok(None) };
    let extra = usize::from(u16::from_le_bytes([low, high]));
    let Some(size) = ready[FIXED..].get(..extra).and_then(block_size) else { return Ok(None) };
    let size = usize::from(size) + 1;
    if extra > EXTRA || size < FIXED + extra + 8 {
        return Ok(None);
    }
    input.ensure(size)?;
    Ok((input.ready().len() >= size).then_some(size))
}
