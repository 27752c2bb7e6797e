//! How numbers lie in a page.

use kilobase_kernels::bf16;

/// Type of the stored numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Store {
    /// Exact.
    F32,
    /// Rounded to 8 significant bits: a relative error of at most 2^-8.
    Bf16,
    /// Eight-bit integers with f32 scales (the layout of KIVI, Liu et al. 2024): keys share a scale by channel within
    /// a page, values by token. A number is off by at most half a scale, which is the largest magnitude that shares
    /// it divided by 254. The page that is still being filled stays f32 and is rounded once, when it is full; rows
    /// that an eviction or an edit moves into another page are rounded again.
    Int8,
}

/// Which numbers of an 8-bit page share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Channel,
    Token,
}

/// Layout of one page of `[rows, dim]`, little-endian on every machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) store: Store,
    pub(super) axis: Axis,
    pub(super) dim: usize,
}

impl Layout {
    /// Bytes of `rows` rows: `4 dim` a row as f32, `2 dim` as bf16, `dim` as int8, and the scales.
    pub(super) fn bytes(self, rows: usize) -> usize {
        match self.store {
            Store::F32 => rows * self.dim * 4,
            Store::Bf16 => rows * self.dim * 2,
            Store::Int8 => rows * self.dim + 4 * self.scales(rows),
        }
    }

    fn scales(self, rows: usize) -> usize {
        match self.axis {
            Axis::Channel => self.dim,
            Axis::Token => rows,
        }
    }

    /// Writes one row.
    ///
    /// # Panics
    /// If the page is 8-bit: those are written whole.
    pub(super) fn write_row(self, page: &mut [u8], row: usize, numbers: &[f32]) {
        let bytes = self.bytes(1);
        let target = &mut page[row * bytes..][..bytes];
        match self.store {
            Store::F32 => {
                for (to, from) in target.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
                    *to = from.to_le_bytes();
                }
            }
            Store::Bf16 => {
                bf16::to_bytes(numbers, target.as_chunks_mut::<2>().0);
            }
            Store::Int8 => unreachable!("8-bit pages are written whole"),
        }
    }

    /// Writes a whole page.
    pub(super) fn write(self, page: &mut [u8], rows: usize, numbers: &[f32]) {
        if self.store != Store::Int8 {
            for (row, numbers) in numbers.chunks_exact(self.dim.max(1)).enumerate() {
                self.write_row(page, row, numbers);
            }
            return;
        }
        let mut largest = vec![0.0_f32; self.scales(rows)];
        for (i, number) in numbers.iter().enumerate() {
            let largest = &mut largest[self.scale(i)];
            *largest = largest.max(number.abs());
        }
        let (scales, codes) = page.split_at_mut(4 * largest.len());
        for (to, largest) in scales.as_chunks_mut::<4>().0.iter_mut().zip(&mut largest) {
            *largest /= 127.0;
            *to = largest.to_le_bytes();
        }
        for (i, (to, number)) in codes.iter_mut().zip(numbers).enumerate() {
            let scale = largest[self.scale(i)];
            let code = if scale > 0.0 { (number / scale).round() as i8 } else { 0 };
            *to = code.to_le_bytes()[0];
        }
    }

    /// Reads rows `first..` of a page that holds `rows`, as many as `out` takes.
    pub(super) fn read(self, page: &[u8], rows: usize, first: usize, out: &mut [f32]) {
        let start = first * self.dim;
        match self.store {
            Store::F32 => {
                for (to, from) in out.iter_mut().zip(page[4 * start..].as_chunks::<4>().0) {
                    *to = f32::from_le_bytes(*from);
                }
            }
            Store::Bf16 => {
                bf16::from_bytes(page[2 * start..].as_chunks::<2>().0, out);
            }
            Store::Int8 => {
                let (scales, codes) = page.split_at(4 * self.scales(rows));
                let scales = scales.as_chunks::<4>().0;
                for (i, (to, code)) in out.iter_mut().zip(&codes[start..]).enumerate() {
                    let scale = f32::from_le_bytes(scales[self.scale(start + i)]);
                    *to = f32::from(code.cast_signed()) * scale;
                }
            }
        }
    }

    fn scale(self, number: usize) -> usize {
        match self.axis {
            Axis::Channel => number % self.dim,
            Axis::Token => number / self.dim,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            rows in 1usize..9, dim in 1usize..9,
            numbers in prop::collection::vec(-100.0_f32..100.0, 64),
        ) {
            let numbers = &numbers[..rows * dim];
            for (store, axis) in [Store::F32, Store::Bf16, Store::Int8].into_iter().flat_map(|s| [(s, Axis::Channel), (s, Axis::Token)]) {
                let layout = Layout { store, axis, dim };
                let mut page = vec![0; layout.bytes(rows)];
                layout.write(&mut page, rows, numbers);
                let mut back = vec![f32::NAN; rows * dim];
                layout.read(&page, rows, 0, &mut back);
                let mut tail = vec![f32::NAN; dim];
                layout.read(&page, rows, rows - 1, &mut tail);
                prop_assert_eq!(&tail, &back[(rows - 1) * dim..]);
                for (i, (a, b)) in numbers.iter().zip(&back).enumerate() {
                    let shared = |j: usize| layout.scale(i) == layout.scale(j);
                    let bound = match store {
                        Store::F32 => 0.0,
                        Store::Bf16 => a.abs() / 256.0,
                        Store::Int8 => {
                            let all = numbers.iter().enumerate().filter(|(j, _)| shared(*j));
                            all.map(|(_, x)| x.abs()).fold(0.0, f32::max) / 254.0 * 1.0001
                        }
                    };
                    prop_assert!((a - b).abs() <= bound, "{a} became {b} as {store:?}");
                }
            }
        }
    }
}
