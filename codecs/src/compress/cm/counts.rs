//! How often each base follows each context, for all classes side by side.

#![allow(
    clippy::inline_always,
    reason = "a call between code for different instruction sets would cost more than the work"
)]
#![allow(clippy::needless_range_loop, reason = "loops over lanes, which become one instruction")]

use super::{Context, Error, Result};
use crate::compress::prefetch::prefetch;
use crate::compress::table::Table;

/// Classes in a step of the mixer. Rows are as wide as a multiple of it.
pub(super) const LANES: usize = 8;

/// Contexts with keys of so many bits have a row for each key; others are looked up by hash.
const DIRECT_BITS: u32 = 16;

const KEY_SHIFT: u32 = 64 - Context::KEY_BITS;
const ROW: u64 = 1 << (KEY_SHIFT - 1);
const MOST_ROWS: usize = ROW as usize;
/// Rows that the first of them makes room for.
const FIRST_ROWS: usize = 1 << 8;
const COUNT_BITS: u32 = 11;
const CLASS_BITS: u32 = 10;
const MOST_INLINE: u64 = (1 << COUNT_BITS) - 1;

/// Where the counts of a key are: the lower part of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle(u64);

impl Handle {
    /// Of a key that has nothing.
    pub(super) const NOTHING: Self = Self(0);
}

/// The counts of one context.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    context: Context,
    /// Classes, rounded up to whole steps.
    width: usize,
    /// Rows of four times `width`, counts of A in all classes, then of C, G and T; those in use come first.
    rows: Table<u16>,
    row_count: usize,
    /// A row that stays empty: of what has no row.
    no_row: usize,
    slots: Slots,
}

#[derive(Clone, Debug)]
enum Slots {
    /// The key is the number of the row.
    Direct,
    /// Open addressing. A slot holds the key in its upper 40 bits and below either the number of a row, marked, or the only
    /// count there is: base, class and number. Most long contexts occur once, and take 8 bytes.
    Hashed { slots: Table<u64>, used: usize },
}

impl Counts {
    /// No counts yet, for so many classes. `letters` to be counted are a hint.
    pub(super) fn new(context: Context, classes: usize, letters: u64) -> Self {
        let width = classes.next_multiple_of(LANES);
        let keys = 1_usize << context.key_bits().min(63);
        if context.key_bits() <= DIRECT_BITS {
            let rows = Table::zeroed(4 * width * (keys + 1));
            return Self { context, width, rows, row_count: keys + 1, no_row: keys, slots: Slots::Direct };
        }
        let expected = usize::try_from(letters / 2).unwrap_or(usize::MAX).min(keys).min(1 << 24);
        let size = expected.next_power_of_two().max(1 << 10);
        let slots = Slots::Hashed { slots: Table::zeroed(size), used: 0 };
        Self { context, width, rows: Table::zeroed(4 * width), row_count: 1, no_row: 0, slots }
    }

    /// Makes room for more classes.
    pub(super) fn widen(&mut self, classes: usize) {
        let width = classes.next_multiple_of(LANES);
        if width <= self.width {
            return;
        }
        let mut rows = Table::zeroed(4 * self.row_count * width);
        for (to, from) in rows.chunks_exact_mut(width).zip(self.rows.chunks_exact(self.width)) {
            to[..self.width].copy_from_slice(from);
        }
        (self.width, self.rows) = (width, rows);
    }

    /// Adds `count` occurrences. Counts stay at their largest.
    pub(super) fn count(&mut self, key: u64, base: u8, class: usize, count: u16) -> Result<()> {
        let width = self.width;
        let (slots, used) = match &mut self.slots {
            Slots::Direct => {
                let cell = &mut self.rows[(4 * key as usize + usize::from(base)) * width + class];
                *cell = cell.saturating_add(count);
                return Ok(());
            }
            Slots::Hashed { slots, used } => (slots, used),
        };
        let at = find(slots, key);
        let slot = slots[at];
        if slot & ROW != 0 {
            let row = (slot & (ROW - 1)) as usize;
            let cell = &mut self.rows[(4 * row + usize::from(base)) * width + class];
            *cell = cell.saturating_add(count);
            return Ok(());
        }
        if slot != 0 {
            let (old_base, old_class, old_count) = unpack(slot);
            let total = u64::from(old_count) + u64::from(count);
            if old_base == base && usize::from(old_class) == class && total <= MOST_INLINE {
                slots[at] = pack(key, base, class, total);
                return Ok(());
            }
        } else {
            *used += 1;
            if u64::from(count) <= MOST_INLINE {
                slots[at] = pack(key, base, class, u64::from(count));
                if 4 * *used > 3 * slots.len() {
                    grow(slots);
                }
                return Ok(());
            }
        }
        // Counts of several kinds, or too large a one, take a row.
        let row = self.row_count;
        if row >= MOST_ROWS {
            return Err(Error::TooLarge { context: self.context.to_string() });
        }
        if 4 * width * (row + 1) > self.rows.len() {
            self.rows.grow(4 * width * (2 * row).max(FIRST_ROWS));
        }
        self.row_count += 1;
        slots[at] = key << KEY_SHIFT | ROW | row as u64;
        if slot != 0 {
            let (old_base, old_class, old_count) = unpack(slot);
            self.rows[(4 * row + usize::from(old_base)) * width + usize::from(old_class)] = old_count;
        }
        let cell = &mut self.rows[(4 * row + usize::from(base)) * width + class];
        *cell = cell.saturating_add(count);
        if 4 * *used > 3 * slots.len() {
            grow(slots);
        }
        Ok(())
    }

    /// Adds a batch. Parts of it go to parts of the table one after the other, so that the part at hand stays in the cache.
    pub(super) fn count_batch(&mut self, batch: &mut Batch) -> Result<()> {
        let before = match &self.slots {
            Slots::Direct => {
                let (rows, width) = (&mut self.rows[..], self.width);
                for &record in &batch.records {
                    let (base, class, _) = unpack(record);
                    let at = (4 * (record >> KEY_SHIFT) as usize + usize::from(base)) * width;
                    let cell = &mut rows[at + usize::from(class)];
                    *cell = cell.saturating_add(1);
                }
                return Ok(());
            }
            Slots::Hashed { slots, used } => {
                batch.split(slots.len());
                *used
            }
        };
        for part in 0..Batch::PARTS {
            self.count_part(batch.part(part))?;
            // Until its last part has come, a table is fuller where it has parts than on the whole.
            let Slots::Hashed { slots, used } = &mut self.slots else { continue };
            let expected = before + (*used - before) * Batch::PARTS / (part + 1);
            while 4 * expected > 3 * slots.len() {
                grow(slots);
            }
        }
        Ok(())
    }

    /// What [`count`](Self::count) does for one record after the other, with the usual cases here.
    fn count_part(&mut self, mut records: &[u64]) -> Result<()> {
        while let Some(&first) = records.first() {
            let Slots::Hashed { slots, used } = &mut self.slots else { break };
            let (slots, rows, width) = (&mut slots[..], &mut self.rows[..], self.width);
            // One slot always stays empty, so a look ends.
            let mut room = (slots.len() - 1).saturating_sub(*used);
            let mut done = 0;
            for &record in records {
                let at = find(slots, record >> KEY_SHIFT);
                let slot = slots[at];
                if slot & ROW != 0 {
                    let (base, class, _) = unpack(record);
                    let row = 4 * (slot & (ROW - 1)) as usize + usize::from(base);
                    let cell = &mut rows[row * width + usize::from(class)];
                    *cell = cell.saturating_add(1);
                } else if slot == 0 {
                    if room == 0 {
                        break;
                    }
                    room -= 1;
                    *used += 1;
                    slots[at] = record;
                } else if (slot ^ record) >> COUNT_BITS == 0 && slot & MOST_INLINE < MOST_INLINE {
                    // The same key, base and class.
                    slots[at] = slot + 1;
                } else {
                    break;
                }
                done += 1;
            }
            if done == 0 {
                let (base, class, count) = unpack(first);
                self.count(first >> KEY_SHIFT, base, class.into(), count)?;
                done = 1;
            }
            records = &records[done..];
        }
        Ok(())
    }

    /// For looking up.
    pub(super) fn view(&self) -> View<'_> {
        let slots = match &self.slots {
            Slots::Direct => None,
            Slots::Hashed { slots, .. } => Some(&slots[..]),
        };
        View { slots, rows: &self.rows, width: self.width, no_row: self.no_row }
    }

    /// Adds all counts of another table; `map` gives its classes' numbers here.
    pub(super) fn add(&mut self, other: &Self, map: &[usize]) -> Result<()> {
        for (key, base, class, count) in other.sorted() {
            self.count(key, base, map[usize::from(class)], count)?;
        }
        Ok(())
    }

    /// All counts, in one order whatever the order of counting: by key, base and class.
    pub(super) fn sorted(&self) -> Vec<(u64, u8, u16, u16)> {
        let mut all = Vec::new();
        let add_row = |all: &mut Vec<_>, key: u64, row: usize| {
            let counts = &self.rows[4 * row * self.width..4 * (row + 1) * self.width];
            for (at, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                all.push((key, (at / self.width) as u8, (at % self.width) as u16, count));
            }
        };
        match &self.slots {
            Slots::Direct => {
                (0..self.row_count).for_each(|row| add_row(&mut all, row as u64, row));
            }
            Slots::Hashed { slots, .. } => {
                let mut slots: Vec<u64> = slots.iter().copied().filter(|&slot| slot != 0).collect();
                slots.sort_unstable();
                for slot in slots {
                    let key = slot >> KEY_SHIFT;
                    if slot & ROW != 0 {
                        add_row(&mut all, key, (slot & (ROW - 1)) as usize);
                    } else {
                        let (base, class, count) = unpack(slot);
                        all.push((key, base, class, count));
                    }
                }
            }
        }
        all
    }
}

/// Counts of one context, for looking up.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    slots: Option<&'a [u64]>,
    rows: &'a [u16],
    width: usize,
    no_row: usize,
}

impl View<'_> {
    /// Asks the processor for the slot of a key, or for its row where that has the key's number.
    #[inline]
    pub(super) fn prefetch(&self, key: u64) {
        match self.slots {
            None => prefetch(self.rows, 4 * key as usize * self.width),
            Some(slots) => prefetch(slots, start(slots.len(), key)),
        }
    }

    /// Finds what a key has, and asks the processor for its row.
    #[inline]
    pub(super) fn find(&self, key: u64) -> Handle {
        let Some(slots) = self.slots else { return Handle(ROW | key) };
        let slot = slots[find(slots, key)];
        if slot & ROW != 0 {
            prefetch(self.rows, 4 * (slot & (ROW - 1)) as usize * self.width);
        }
        Handle(slot & ((1 << KEY_SHIFT) - 1))
    }

    /// How often `base` and how often any base came, in the eight classes from `first` on. The one count of a slot is added
    /// to an empty row and a row is added to no count: without a branch, which would often be guessed wrong.
    #[inline(always)]
    pub(super) fn get(&self, Handle(slot): Handle, base: u8, first: usize) -> [[f32; LANES]; 2] {
        let has_row = slot & ROW != 0;
        let row = if has_row { (slot & (ROW - 1)) as usize } else { self.no_row };
        let (only, class, count) = unpack(slot);
        let count = if has_row { 0.0 } else { f32::from(count) };
        let own_count = if only == base { count } else { 0.0 };
        let lane = &LANE[usize::from(class).wrapping_sub(first).min(LANES)];
        let row = &self.rows[4 * row * self.width + first..][..3 * self.width + LANES];
        let counts = |base: usize| -> [f32; LANES] {
            let counts: &[u16; LANES] =
                row[base * self.width..].first_chunk().expect("a row has whole steps");
            let mut wide = [0.0; LANES];
            for lane in 0..LANES {
                wide[lane] = f32::from(counts[lane]);
            }
            wide
        };
        let (a, c, g, t) = (counts(0), counts(1), counts(2), counts(3));
        let mut own = counts(usize::from(base & 3));
        let mut total = [0.0; LANES];
        for at in 0..LANES {
            own[at] += own_count * lane[at];
        }
        for at in 0..LANES {
            total[at] = ((a[at] + c[at]) + (g[at] + t[at])) + count * lane[at];
        }
        [own, total]
    }
}

/// One for a lane; for none at the end.
const LANE: [[f32; LANES]; LANES + 1] = {
    let mut ones = [[0.0; LANES]; LANES + 1];
    let mut lane = 0;
    while lane < LANES {
        ones[lane][lane] = 1.0;
        lane += 1;
    }
    ones
};

/// Occurrences to be counted.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Slots as they would be if this were all.
    records: Vec<u64>,
    /// The same by the part of the table that they go to, and where parts end.
    split: Vec<u64>,
    ends: Vec<usize>,
}

impl Batch {
    const PARTS: usize = 256;

    /// Takes key, base and class of those that are marked, in place of what was there.
    pub(super) fn fill(&mut self, all: impl ExactSizeIterator<Item = (u64, u8, u16, bool)>) {
        self.records.clear();
        self.records.resize(all.len(), 0);
        let mut count = 0;
        for (key, base, class, is_there) in all {
            // Written in any case, and kept if it counts: cheaper than to guess.
            self.records[count] = pack(key, base, class.into(), 1);
            count += usize::from(is_there);
        }
        self.records.truncate(count);
    }

    fn part(&self, part: usize) -> &[u64] {
        let begin = if part == 0 { 0 } else { self.ends[part - 1] };
        &self.split[begin..self.ends[part]]
    }

    /// Sorts by the part of a table of `size` slots.
    fn split(&mut self, size: usize) {
        // Slots are the upper bits of a hash, for any size.
        let shift = size.trailing_zeros() - Self::PARTS.trailing_zeros();
        let part = |record: u64| start(size, record >> KEY_SHIFT) >> shift;
        let mut next = [0; Self::PARTS];
        for &record in &self.records {
            next[part(record)] += 1;
        }
        let mut begin = 0;
        for next in &mut next {
            begin += std::mem::replace(next, begin);
        }
        self.split.resize(self.records.len(), 0);
        for &record in &self.records {
            let next = &mut next[part(record)];
            self.split[*next] = record;
            *next += 1;
        }
        self.ends = next.to_vec();
    }
}

#[inline]
fn pack(key: u64, base: u8, class: usize, count: u64) -> u64 {
    key << KEY_SHIFT | u64::from(base) << (CLASS_BITS + COUNT_BITS) | (class as u64) << COUNT_BITS | count
}

#[inline(always)]
fn unpack(slot: u64) -> (u8, u16, u16) {
    let base = slot >> (CLASS_BITS + COUNT_BITS) & 3;
    let class = slot >> COUNT_BITS & ((1 << CLASS_BITS) - 1);
    (base as u8, class as u16, (slot & MOST_INLINE) as u16)
}

#[inline]
fn start(size: usize, key: u64) -> usize {
    // Fibonacci hashing; sizes are powers of two from 2^10 on.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - size.trailing_zeros())) as usize
}

/// The slot of a key, or the empty one where it would stand. There is always an empty slot.
#[inline]
fn find(slots: &[u64], key: u64) -> usize {
    let mask = slots.len() - 1;
    let mut at = start(slots.len(), key) & mask;
    loop {
        let slot = slots[at];
        if slot == 0 || slot >> KEY_SHIFT == key {
            return at;
        }
        at = (at + 1) & mask;
    }
}

fn grow(slots: &mut Table<u64>) {
    let old = std::mem::replace(slots, Table::zeroed(2 * slots.len()));
    for &slot in old.iter().filter(|&&slot| slot != 0) {
        let at = find(slots, slot >> KEY_SHIFT);
        slots[at] = slot;
    }
}
