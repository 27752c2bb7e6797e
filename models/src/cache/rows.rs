//! A growing list of rows in pages.

use std::ops::Range;
use std::sync::Arc;

use super::error::{CacheError, FileFault};
use super::file::{Decoder, Encoder};
use super::page::Page;
use super::pool::PagePool;
use super::store::{Axis, Layout, Store};

/// Rows of `dim` numbers. Cloning shares the pages; a shared page is copied before it is written.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    layout: Layout,
    /// Rows of a page.
    slots: usize,
    len: usize,
    pages: Vec<Arc<Page>>,
}

impl Rows {
    pub(super) fn new(store: Store, axis: Axis, dim: usize, slots: usize) -> Self {
        Self { layout: Layout { store, axis, dim }, slots, len: 0, pages: Vec::new() }
    }

    /// Empty rows of another size, stored alike.
    pub(super) fn narrow(&self, dim: usize) -> Self {
        Self { layout: Layout { dim, ..self.layout }, len: 0, pages: Vec::new(), ..*self }
    }

    pub(super) fn dim(&self) -> usize {
        self.layout.dim
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the pages, free slots of the last one included.
    pub(super) fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.len()).sum()
    }

    /// Bytes of the pages of `len` rows.
    pub(super) fn bytes_of(store: Store, axis: Axis, dim: usize, slots: usize, len: usize) -> usize {
        let open = Self::new(store, axis, dim, slots);
        len / slots * open.layout(slots).bytes(slots)
            + if len.is_multiple_of(slots) { 0 } else { open.layout(0).bytes(slots) }
    }

    /// Layout of a page of which `rows` rows are used: an 8-bit page is f32 until it is full.
    fn layout(&self, rows: usize) -> Layout {
        match self.layout.store {
            Store::Int8 if rows < self.slots => Layout { store: Store::F32, ..self.layout },
            _ => self.layout,
        }
    }

    /// Rows in use of one page.
    fn used(&self, page: usize) -> usize {
        (self.len - page * self.slots).min(self.slots)
    }

    pub(super) fn push(&mut self, pool: &PagePool, row: &[f32]) -> Result<(), CacheError> {
        debug_assert_eq!(row.len(), self.layout.dim);
        let (page, slot) = (self.len / self.slots, self.len % self.slots);
        let open = self.layout(0);
        if slot == 0 {
            self.pages.push(Arc::new(pool.allocate(open.bytes(self.slots))?));
        }
        let sealing = self.layout.store == Store::Int8 && slot + 1 == self.slots;
        if sealing {
            let mut numbers = vec![0.0; self.slots * self.layout.dim];
            open.read(&self.pages[page], self.slots, 0, &mut numbers);
            numbers[slot * self.layout.dim..].copy_from_slice(row);
            let mut sealed = pool.allocate(self.layout.bytes(self.slots))?;
            self.layout.write(sealed.as_mut(), self.slots, &numbers);
            self.pages[page] = Arc::new(sealed);
        } else {
            open.write_row(unshared(&mut self.pages[page], pool)?.as_mut(), slot, row);
        }
        self.len += 1;
        Ok(())
    }

    /// Writes rows `range` to `out`, `[rows, dim]`.
    pub(super) fn read(&self, range: Range<usize>, out: &mut [f32]) {
        let dim = self.layout.dim;
        let (mut at, mut out) = (range.start, out);
        while at < range.end {
            let (page, first) = (at / self.slots, at % self.slots);
            let rows = (self.slots - first).min(range.end - at);
            let (here, rest) = out.split_at_mut(rows * dim);
            self.layout(self.used(page)).read(&self.pages[page], self.slots, first, here);
            out = rest;
            at += rows;
        }
    }

    /// Leaves the rows of `order`, in that order. Whole pages at the front that do not change stay as they are.
    pub(super) fn gather(&mut self, pool: &PagePool, order: &[usize]) -> Result<(), CacheError> {
        let same = order.iter().enumerate().take_while(|(i, slot)| i == *slot).count();
        if same == order.len() && same == self.len {
            return Ok(());
        }
        let whole = same / self.slots;
        let mut rows = Self { pages: self.pages[..whole].to_vec(), len: whole * self.slots, ..self.clone() };
        let mut row = vec![0.0; self.layout.dim];
        for &slot in &order[rows.len..] {
            self.read(slot..slot + 1, &mut row);
            rows.push(pool, &row)?;
        }
        *self = rows;
        Ok(())
    }

    /// Lets `change` write every row; a page in which it says no row changed stays as it is.
    pub(super) fn rewrite(
        &mut self,
        pool: &PagePool,
        mut change: impl FnMut(usize, &mut [f32]) -> bool,
    ) -> Result<(), CacheError> {
        let dim = self.layout.dim;
        for page in 0..self.pages.len() {
            let (first, rows) = (page * self.slots, self.used(page));
            let mut numbers = vec![0.0; rows * dim];
            self.read(first..first + rows, &mut numbers);
            let mut changed = false;
            for (i, row) in numbers.chunks_exact_mut(dim).enumerate() {
                changed |= change(first + i, row);
            }
            if changed {
                let layout = self.layout(rows);
                layout.write(unshared(&mut self.pages[page], pool)?.as_mut(), rows, &numbers);
            }
        }
        Ok(())
    }

    /// Writes the used bytes of every page.
    pub(super) fn save(&self, out: &mut Encoder<'_>) -> Result<(), FileFault> {
        out.u64(self.len as u64);
        for (page, bytes) in self.pages.iter().enumerate() {
            out.bytes(&bytes[..self.layout(self.used(page)).bytes(self.used(page))]);
            out.flush()?;
        }
        Ok(())
    }

    /// Fills empty rows with what [`Rows::save`] wrote.
    pub(super) fn load(&mut self, pool: &PagePool, input: &mut Decoder<'_>) -> Result<(), FileFault> {
        let len = input.u64()?;
        while (self.len as u64) < len {
            let rows = (len - self.len as u64).min(self.slots as u64) as usize;
            let layout = self.layout(rows);
            input.announce(layout.bytes(rows) as u64)?;
            let mut page =
                pool.allocate(layout.bytes(self.slots)).map_err(|e| FileFault::Pool(Box::new(e)))?;
            input.fill(&mut page.as_mut()[..layout.bytes(rows)])?;
            self.pages.push(Arc::new(page));
            self.len += rows;
        }
        Ok(())
    }
}

/// The page, copied first if others read it too.
fn unshared<'a>(page: &'a mut Arc<Page>, pool: &PagePool) -> Result<&'a mut Page, CacheError> {
    if Arc::get_mut(page).is_none() {
        *page = Arc::new(pool.copy(page)?);
    }
    Ok(Arc::get_mut(page).expect("just made"))
}
