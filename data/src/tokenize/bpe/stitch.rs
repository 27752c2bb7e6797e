use std::ops::Range;

use rayon::prelude::*;

use super::Bpe;
use super::segment::Piece;
use crate::tokenize::{Encoding, Span};

/// Bytes of the parts that threads read.
const PART: usize = 1 << 17;
/// Bytes that a part reads into the next: a common token is nearly always found within a hundred.
const OVERLAP: usize = 1 << 11;

/// The tokens of a part of a text, of which those in `kept` belong to the whole.
pub(super) struct Unit {
    text: Range<usize>,
    pieces: Vec<Piece>,
    kept: Range<usize>,
}

impl Unit {
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces[self.kept.clone()]
    }

    /// Looks for a token that both have, at the same place. From there on the tokens of the later part go on with those of
    /// the earlier one: all neighbours stay valid, so that the whole is what the text gives when read in one.
    fn join(&mut self, next: &mut Self) -> bool {
        let place = |unit: &Self, at: usize| unit.text.start + unit.pieces[at].start as usize;
        let mut a =
            self.pieces.partition_point(|piece| self.text.start + (piece.start as usize) < next.text.start);
        a = a.max(self.kept.start);
        let mut b = 0;
        while a < self.pieces.len() && b < next.pieces.len() {
            let (place_a, place_b) = (place(self, a), place(next, b));
            if place_a == place_b && self.pieces[a].token == next.pieces[b].token {
                self.kept.end = a;
                next.kept.start = b;
                return true;
            }
            a += usize::from(place_a <= place_b);
            b += usize::from(place_b <= place_a);
        }
        false
    }
}

impl Bpe {
    /// Reads parts of a text side by side; none when it holds something foreign.
    pub(super) fn units(&self, text: &[u8]) -> Option<Vec<Unit>> {
        self.units_of(text, PART, OVERLAP)
    }

    pub(super) fn units_of(&self, text: &[u8], part: usize, overlap: usize) -> Option<Vec<Unit>> {
        let parts: Vec<_> = (0..text.len())
            .step_by(part)
            .map(|start| start..(start + part + overlap).min(text.len()))
            .collect();
        let units = parts.into_par_iter().map(|range| self.unit(text, range)).collect::<Option<Vec<_>>>()?;
        let mut joined: Vec<Unit> = Vec::with_capacity(units.len());
        for mut unit in units {
            if joined.last().is_some_and(|last| last.text.end >= unit.text.end) {
                continue;
            }
            while let Some(last) = joined.last_mut()
                && !last.join(&mut unit)
            {
                // Repeats may keep parts apart for long: read both in one, and as much again, so that what is read twice
                // stays in proportion.
                let start = last.text.start;
                joined.pop();
                let end = 2 * unit.text.end - start;
                unit = self.unit(text, start..end.min(text.len()))?;
            }
            joined.push(unit);
        }
        Some(joined)
    }

    fn unit(&self, text: &[u8], range: Range<usize>) -> Option<Unit> {
        // Places in a part are of 32 bits.
        u32::try_from(range.len()).ok()?;
        let mut pieces = Vec::with_capacity(range.len() / 4);
        self.append(&text[range.clone()], &mut pieces)?;
        Some(Unit { text: range, kept: 0..pieces.len(), pieces })
    }

    /// Brings units together.
    pub(super) fn fill(&self, units: &[Unit]) -> Encoding {
        let tokens: usize = units.iter().map(|unit| unit.kept.len()).sum();
        let (mut ids, mut spans) = (vec![0; tokens], vec![Span::default(); tokens]);
        let (mut ids_left, mut spans_left) = (&mut ids[..], &mut spans[..]);
        let mut parts = Vec::with_capacity(units.len());
        for unit in units {
            let (ids, rest) = ids_left.split_at_mut(unit.kept.len());
            ids_left = rest;
            let (spans, rest) = spans_left.split_at_mut(unit.kept.len());
            spans_left = rest;
            parts.push((unit, ids, spans));
        }
        parts.into_par_iter().for_each(|(unit, ids, spans)| {
            for ((piece, id), span) in unit.pieces().iter().zip(ids).zip(spans) {
                *id = self.ids[piece.token as usize];
                *span = self.span(*piece, unit.text.start);
            }
        });
        Encoding { ids, spans, special: vec![false; tokens], type_ids: vec![0; tokens], second: None }
    }
}
