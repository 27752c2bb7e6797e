//! Byte-pair encoding in time linear in the text, with the ids of the reference.
//!
//! The reference joins the adjacent pair of lowest rank until none is left. Its result can be told from the outside: it is
//! the only way to part the text into tokens such that no merge would ever cross the border of two neighbours, looked at
//! as a text of their own ([`pairs`]). For suppose that in such a parting some merge crosses a border, and take the
//! first. Until then both neighbours came about as they do alone, so that the merge would cross in the pair alone too.
//! So any parting whose neighbours are all valid is the result, and one is found by taking the longest token at each
//! place, the next shorter one where that is not valid after its neighbour, and going back where none is ([`segment`]).
//! For the same reason parts of a text can be read apart and joined where they have a token in common ([`stitch`]).
//!
//! (A token that its own letters do not give is never in a result, and is not looked for.) The argument stands on merges whose halves are made by earlier merges, each making a token of its own. What does not
//! meet this, and whatever else a tokenizer file may ask for, is left to the reference (`load::Refusal`).

mod load;
mod longest;
mod merges;
mod pairs;
mod segment;
mod stitch;

use super::{Encoding, Span};
use longest::Longest;
use pairs::Pairs;
use segment::Piece;

/// A byte-pair encoder.
pub(super) struct Bpe {
    /// Tokens by the numbers used in here: letters that merge, products by rank, then letters that never merge.
    ids: Vec<u32>,
    lengths: Vec<u32>,
    /// What each byte of a text is.
    classes: [Class; 256],
    longest: Longest,
    pairs: Pairs,
}

/// What a byte is to the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A letter that may merge, by its code.
    Letter(u8),
    /// A token of its own in any surrounding; the unknown token too.
    Alone(u32),
    /// White space that parts words and is no token.
    Space,
    /// Something that only the reference knows what to do with.
    Foreign,
}

/// Texts from here on are parted among threads.
const SHARED: usize = 1 << 18;

impl Bpe {
    /// Tokens of a text, without marks; none when it holds something that the reference has to see.
    pub(super) fn encode(&self, text: &[u8]) -> Option<Encoding> {
        if Self::is_read_in_one(text) {
            let mut pieces = Vec::with_capacity(text.len() / 4 + 1);
            self.append(text, &mut pieces)?;
            let mut encoding = Encoding {
                ids: Vec::with_capacity(pieces.len() + 2),
                spans: Vec::with_capacity(pieces.len() + 2),
                ..Encoding::default()
            };
            encoding.ids.extend(pieces.iter().map(|piece| self.ids[piece.token as usize]));
            encoding.spans.extend(pieces.iter().map(|&piece| self.span(piece, 0)));
            encoding.special = vec![false; pieces.len()];
            encoding.type_ids = vec![0; pieces.len()];
            return Some(encoding);
        }
        Some(self.fill(&self.units(text)?))
    }

    /// The ids alone.
    pub(super) fn encode_ids(&self, text: &[u8], out: &mut Vec<u32>) -> Option<()> {
        if Self::is_read_in_one(text) {
            let mut pieces = Vec::with_capacity(text.len() / 4 + 1);
            self.append(text, &mut pieces)?;
            out.extend(pieces.iter().map(|piece| self.ids[piece.token as usize]));
        } else {
            for unit in self.units(text)? {
                out.extend(unit.pieces().iter().map(|piece| self.ids[piece.token as usize]));
            }
        }
        Some(())
    }

    /// Places are of 32 bits.
    fn is_read_in_one(text: &[u8]) -> bool {
        text.len() < SHARED || rayon::current_num_threads() < 2 && u32::try_from(text.len()).is_ok()
    }

    fn span(&self, piece: Piece, start: usize) -> Span {
        let start = start + piece.start as usize;
        Span { start, end: start + self.lengths[piece.token as usize] as usize }
    }
}

#[cfg(test)]
mod tests;
