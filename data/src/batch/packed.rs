use std::ops::Range;

use crate::tokenize::Encoding;

/// Why tokens do not make a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The borders do not start at 0, go back, or do not end at the number of tokens.
    #[error("the sequence borders are not a rise from 0 to {tokens}")]
    Borders {
        /// Tokens in the batch.
        tokens: usize,
    },
    /// Two lists that go together differ in length.
    #[error("there are {found} {what} for {expected} tokens")]
    Lengths {
        /// The list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// A padded batch is no rectangle.
    #[error("{tokens} padded tokens do not make rows of {columns}")]
    Rows {
        /// Tokens, padding included.
        tokens: usize,
        /// Columns of the rectangle.
        columns: usize,
    },
    /// The mask of a row has a hole: padding lies left or right of a sequence, never inside it.
    #[error("row {row} of the attention mask has padding inside the sequence")]
    Hole {
        /// The row, from 0.
        row: usize,
    },
}

/// Tokens of several sequences one after the other, and where each begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedBatch {
    ids: Vec<u32>,
    type_ids: Option<Vec<u32>>,
    cu_seqlens: Vec<usize>,
}

impl Default for PackedBatch {
    fn default() -> Self {
        Self { ids: Vec::new(), type_ids: None, cu_seqlens: vec![0] }
    }
}

impl PackedBatch {
    /// Checks and takes lists made elsewhere; sequence `i` is `cu_seqlens[i]..cu_seqlens[i + 1]`.
    pub fn new(ids: Vec<u32>, type_ids: Option<Vec<u32>>, cu_seqlens: Vec<usize>) -> Result<Self, Error> {
        let tokens = ids.len();
        if cu_seqlens.first() != Some(&0) || cu_seqlens.last() != Some(&tokens) || !cu_seqlens.is_sorted() {
            return Err(Error::Borders { tokens });
        }
        if let Some(types) = &type_ids {
            check_length("type ids", types.len(), tokens)?;
        }
        Ok(Self { ids, type_ids, cu_seqlens })
    }

    /// Packs encodings in their order.
    pub fn from_encodings<'a>(encodings: impl IntoIterator<Item = &'a Encoding>) -> Self {
        let mut batch = Self::default();
        for encoding in encodings {
            let typed = encoding.type_ids.iter().any(|&kind| kind != 0);
            batch.append(&encoding.ids, typed.then_some(&encoding.type_ids));
        }
        batch
    }

    /// Takes padding off rows of `columns` tokens each; `mask` is 0 where there is padding, left or right.
    ///
    /// The [`Padding`] puts results back.
    pub fn from_padded(ids: &[u32], mask: &[u8], columns: usize) -> Result<(Self, Padding), Error> {
        check_length("mask values", mask.len(), ids.len())?;
        if columns == 0 && !ids.is_empty() || columns > 0 && !ids.len().is_multiple_of(columns) {
            return Err(Error::Rows { tokens: ids.len(), columns });
        }
        let mut batch = Self::default();
        let mut kept = Vec::new();
        for (row, mask) in mask.chunks(columns.max(1)).enumerate() {
            let start = mask.iter().position(|&value| value != 0).unwrap_or(0);
            let length = mask[start..].iter().take_while(|&&value| value != 0).count();
            if mask[start + length..].iter().any(|&value| value != 0) {
                return Err(Error::Hole { row });
            }
            let first = row * columns + start;
            batch.append(&ids[first..first + length], None);
            kept.push(start..start + length);
        }
        Ok((batch, Padding { columns, kept }))
    }

    /// Adds a sequence. Type ids default to 0.
    pub fn push(&mut self, ids: &[u32], type_ids: Option<&[u32]>) -> Result<(), Error> {
        if let Some(types) = type_ids {
            check_length("type ids", types.len(), ids.len())?;
        }
        self.append(ids, type_ids);
        Ok(())
    }

    pub(super) fn append(&mut self, ids: &[u32], type_ids: Option<&[u32]>) {
        if let Some(types) = type_ids {
            let all = self.type_ids.get_or_insert_with(|| vec![0; self.ids.len()]);
            all.extend_from_slice(types);
        } else if let Some(all) = &mut self.type_ids {
            all.resize(all.len() + ids.len(), 0);
        }
        self.ids.extend_from_slice(ids);
        self.cu_seqlens.push(self.ids.len());
    }

    /// All tokens.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The type ids; none when all are 0.
    pub fn type_ids(&self) -> Option<&[u32]> {
        self.type_ids.as_deref()
    }

    /// The borders of the sequences: one more than there are sequences, from 0 to the number of tokens.
    pub fn cu_seqlens(&self) -> &[usize] {
        &self.cu_seqlens
    }

    /// Sequences in the batch.
    pub fn len(&self) -> usize {
        self.cu_seqlens.len() - 1
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens in the batch.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Tokens of the longest sequence.
    pub fn longest(&self) -> usize {
        self.spans().map(|span| span.len()).max().unwrap_or(0)
    }

    /// Where the sequences are among the tokens.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.cu_seqlens.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The tokens of each sequence.
    pub fn sequences(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.spans().map(|span| &self.ids[span])
    }
}

fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Lengths { what, found, expected }) }
}

/// Where the tokens of a packed batch were in the padded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Padding {
    columns: usize,
    kept: Vec<Range<usize>>,
}

impl Padding {
    /// Rows of the padded batch.
    pub fn rows(&self) -> usize {
        self.kept.len()
    }

    /// Columns of the padded batch.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row and column of every packed token, in order.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.kept.iter().enumerate().flat_map(|(row, kept)| kept.clone().map(move |column| (row, column)))
    }

    /// Puts `width` values a token back into rows and columns, with `fill` where there was padding.
    pub fn restore<T: Copy>(&self, values: &[T], width: usize, fill: T) -> Result<Vec<T>, Error> {
        let tokens: usize = self.kept.iter().map(Range::len).sum();
        check_length("values", values.len(), tokens * width)?;
        let mut padded = vec![fill; self.rows() * self.columns * width];
        for (token, (row, column)) in self.places().enumerate() {
            let at = (row * self.columns + column) * width;
            padded[at..at + width].copy_from_slice(&values[token * width..(token + 1) * width]);
        }
        Ok(padded)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        assert!(PackedBatch::new(vec![1, 2, 3], None, vec![0, 2, 3]).is_ok());
        for borders in [vec![], vec![0], vec![1, 3], vec![0, 2], vec![0, 4], vec![0, 3, 2, 3]] {
            let refused = PackedBatch::new(vec![1, 2, 3], None, borders);
            assert_eq!(refused, Err(Error::Borders { tokens: 3 }));
        }
        assert!(PackedBatch::new(vec![1], Some(vec![]), vec![0, 1]).is_err());
        assert!(PackedBatch::new(vec![], None, vec![0]).unwrap().is_empty());
    }

    #[test]
    fn type_ids_appear_when_a_sequence_has_some() {
        let mut batch = PackedBatch::default();
        batch.push(&[7], None).unwrap();
        assert_eq!(batch.type_ids(), None);
        batch.push(&[8, 9], Some(&[0, 1])).unwrap();
        batch.push(&[], None).unwrap();
        batch.push(&[5], None).unwrap();
        assert_eq!(batch.type_ids(), Some(&[0, 0, 1, 0][..]));
        assert_eq!(batch.cu_seqlens(), [0, 1, 3, 3, 4]);
        assert_eq!(batch.sequences().collect::<Vec<_>>(), [&[7][..], &[8, 9], &[], &[5]]);
        assert_eq!((batch.len(), batch.tokens(), batch.longest()), (4, 4, 2));
        assert!(batch.push(&[1], Some(&[])).is_err());
    }

    #[test]
    fn left_and_right_padding_come_off_and_go_back() {
        let ids = [1, 2, 0, 0, 3, 4, 0, 0, 0];
        let mask = [1, 1, 0, 0, 1, 1, 0, 0, 0];
        let (batch, padding) = PackedBatch::from_padded(&ids, &mask, 3).unwrap();
        assert_eq!((batch.ids(), batch.cu_seqlens()), (&[1, 2, 3, 4][..], &[0, 2, 4, 4][..]));
        assert_eq!(padding.places().collect::<Vec<_>>(), [(0, 0), (0, 1), (1, 1), (1, 2)]);
        assert_eq!(padding.restore(batch.ids(), 1, 0).unwrap(), ids);
        assert!(padding.restore(&[0.5], 1, 0.0).is_err());
        assert_eq!(PackedBatch::from_padded(&[1, 2, 3], &[1, 0, 1], 3), Err(Error::Hole { row: 0 }));
        assert!(PackedBatch::from_padded(&[1, 2, 3], &[1, 1, 1], 2).is_err());
        assert!(PackedBatch::from_padded(&[1], &[1], 0).is_err());
        assert!(PackedBatch::from_padded(&[], &[], 0).unwrap().0.is_empty());
    }

    proptest! {
        #[test]
        fn padding_either_way_gives_the_same_batch(rows in proptest::collection::vec(proptest::collection::vec(1_u32..99, 0..9), 1..6)) {
            let columns = rows.iter().map(Vec::len).max().unwrap().max(1);
            let mut packed = Vec::new();
            for left in [false, true] {
                let (mut ids, mut mask) = (Vec::new(), Vec::new());
                for row in &rows {
                    let pad = vec![0; columns - row.len()];
                    let parts = if left { [&pad[..], row] } else { [&row[..], &pad] };
                    let row: Vec<u32> = parts.concat();
                    mask.extend(row.iter().map(|&id| u8::from(id != 0)));
                    ids.extend(row);
                }
                let (batch, padding) = PackedBatch::from_padded(&ids, &mask, columns).unwrap();
                prop_assert_eq!(padding.restore(batch.ids(), 1, 0).unwrap(), ids);
                packed.push(batch);
            }
            prop_assert_eq!(&packed[0], &packed[1]);
            prop_assert!(packed[0].sequences().eq(rows.iter().map(Vec::as_slice)));
        }
    }
}
