//! How often each base follows each context, for all classes side by side.

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

/// What is known of one context.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// It never occurred.
    Nothing,
    /// It occurred in one class and before one base only.
    One { base: u8, class: u16, count: u16 },
    /// Counts of A in all classes, then of C, G and T.
    Row(&'a [u16]),
}

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
    /// Rows of four times `width`; those in use come first.
    rows: Table<u16>,
    row_count: usize,
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
            let rows = Table::zeroed(4 * width * keys);
            return Self { context, width, rows, row_count: keys, slots: Slots::Direct };
        }
        let expected = usize::try_from(letters / 2).unwrap_or(usize::MAX).min(keys).min(1 << 24);
        let size = expected.next_power_of_two().max(1 << 10);
        let slots = Slots::Hashed { slots: Table::zeroed(size), used: 0 };
        Self { context, width, rows: Table::zeroed(0), row_count: 0, slots }
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

    /// Whether it is small enough to be counted in without asking for memory ahead.
    pub(super) fn is_small(&self) -> bool {
        matches!(self.slots, Slots::Direct)
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

    /// Asks the processor for the slot of a key, or for its row where that has the key's number.
    #[inline]
    pub(super) fn prefetch(&self, key: u64) {
        match &self.slots {
            Slots::Direct => prefetch(&self.rows, 4 * key as usize * self.width),
            Slots::Hashed { slots, .. } => prefetch(slots, start(slots.len(), key)),
        }
    }

    /// Finds what a key has, and asks the processor for its row.
    #[inline]
    pub(super) fn find(&self, key: u64) -> Handle {
        match &self.slots {
            Slots::Direct => Handle(ROW | key),
            Slots::Hashed { slots, .. } => {
                let slot = slots[find(slots, key)];
                if slot & ROW != 0 {
                    prefetch(&self.rows, 4 * (slot & (ROW - 1)) as usize * self.width);
                }
                Handle(slot & ((1 << KEY_SHIFT) - 1))
            }
        }
    }

    /// What was found.
    #[inline]
    pub(super) fn get(&self, Handle(slot): Handle) -> Found<'_> {
        if slot & ROW != 0 {
            let row = (slot & (ROW - 1)) as usize;
            return Found::Row(&self.rows[4 * row * self.width..4 * (row + 1) * self.width]);
        }
        if slot == 0 {
            return Found::Nothing;
        }
        let (base, class, count) = unpack(slot);
        Found::One { base, class, count }
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

#[inline]
fn pack(key: u64, base: u8, class: usize, count: u64) -> u64 {
    key << KEY_SHIFT | u64::from(base) << (CLASS_BITS + COUNT_BITS) | (class as u64) << COUNT_BITS | count
}

#[inline]
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
