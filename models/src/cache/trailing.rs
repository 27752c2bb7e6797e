//! The last queries of a layer.

use kilobase_kernels::attention::Heads;

use super::error::FileFault;
use super::file::{Decoder, Encoder};

/// The last `rows` queries, as projected. Policies let them vote also when a chunk brings fewer.
#[derive(Clone, Debug)]
pub(super) struct Trailing {
    rows: usize,
    heads: usize,
    dim: usize,
    q: Vec<f32>,
    positions: Vec<u32>,
}

impl Trailing {
    pub(super) fn new(rows: usize, heads: usize, dim: usize) -> Self {
        Self { rows, heads, dim, q: Vec::new(), positions: Vec::new() }
    }

    pub(super) fn push(&mut self, q: Heads<'_>, positions: &[u32]) {
        let new = q.rows.min(self.rows);
        let old = self.positions.len().min(self.rows - new);
        self.positions.drain(..self.positions.len() - old);
        self.q.drain(..self.q.len() - old * self.heads * self.dim);
        for (row, &position) in positions.iter().enumerate().skip(q.rows - new) {
            (0..q.heads).for_each(|head| self.q.extend_from_slice(q.row(row, head)));
            self.positions.push(position);
        }
    }

    pub(super) fn queries(&self) -> Heads<'_> {
        Heads::contiguous(&self.q, self.positions.len(), self.heads, self.dim)
    }

    pub(super) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Forgets queries at other positions.
    pub(super) fn keep(&mut self, stays: impl Fn(u32) -> bool) {
        let size = self.heads * self.dim;
        let rows: Vec<usize> = (0..self.positions.len()).filter(|&row| stays(self.positions[row])).collect();
        self.q = rows.iter().flat_map(|&row| &self.q[row * size..][..size]).copied().collect();
        self.positions = rows.iter().map(|&row| self.positions[row]).collect();
    }

    pub(super) fn save(&self, out: &mut Encoder<'_>) {
        out.u32s(&self.positions);
        out.f32s(&self.q);
    }

    pub(super) fn load(&mut self, input: &mut Decoder<'_>) -> Result<(), FileFault> {
        self.positions = input.u32s()?;
        self.q = input.f32s()?;
        let rows = self.positions.len();
        if rows > self.rows || self.q.len() != rows * self.heads * self.dim {
            return Err(FileFault::Corrupt("a number of queries"));
        }
        Ok(())
    }
}
