//! A reading frame that stays open.

use std::ops::RangeInclusive;

use super::super::base::Base;
use super::Automaton;

/// No stop codon of the standard genetic code (`TAA`, `TAG`, `TGA`) in a reading frame.
///
/// Frame 0 has a codon beginning with the first generated base, frame 1 with the second, frame 2 with the third; it goes on
/// backwards, so that a codon that the prompt begins is judged too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingFrame {
    frame: u8,
    start: bool,
}

impl ReadingFrame {
    /// For frame 0, 1 or 2; `start` demands that the first codon that is generated whole is `ATG`.
    pub fn new(frame: u8, start: bool) -> Option<Self> {
        (frame < 3).then_some(Self { frame, start })
    }

    /// 0, 1 or 2.
    pub const fn frame(&self) -> u8 {
        self.frame
    }

    /// Whether the first codon has to be `ATG`.
    pub const fn demands_start(&self) -> bool {
        self.start
    }
}

/// What an automaton knows, which its state packs: the last two letters (0 if none, else 1 more than the base), how many
/// bases of a codon there are, and in how many bases the start codon ends (0 if nothing is left to demand).
#[derive(Clone, Copy)]
struct Seen {
    before: u64,
    last: u64,
    phase: u64,
    start: u64,
}

impl Seen {
    const fn of(state: u64) -> Self {
        Self { before: state & 7, last: state >> 3 & 7, phase: state >> 6 & 3, start: state >> 8 }
    }

    const fn state(self) -> u64 {
        self.before | self.last << 3 | self.phase << 6 | self.start << 8
    }

    const fn push(self, letter: u64) -> Self {
        Self { before: self.last, last: letter, ..self }
    }
}

impl Automaton for ReadingFrame {
    fn name(&self) -> String {
        let start = if self.start { "start codon and " } else { "" };
        format!("{start}no stop codon in frame {}", self.frame)
    }

    fn start(&self) -> u64 {
        let frame = u64::from(self.frame);
        let start = if self.start { frame + 3 } else { 0 };
        Seen { before: 0, last: 0, phase: (3 - frame) % 3, start }.state()
    }

    fn observe(&self, state: u64, base: Option<Base>) -> u64 {
        Seen::of(state).push(base.map_or(0, |base| base as u64 + 1)).state()
    }

    fn step(&self, state: u64, base: Base) -> Option<u64> {
        const A: u64 = Base::A as u64 + 1;
        const G: u64 = Base::G as u64 + 1;
        const T: u64 = Base::T as u64 + 1;
        let letter = base as u64 + 1;
        let seen = Seen::of(state);
        let codon = (seen.before, seen.last, letter);
        let stop = seen.phase == 2 && matches!(codon, (T, A, A | G) | (T, G, A));
        let start =
            !matches!((seen.start, letter), (3, A) | (2, T) | (1, G)) && (1..=3).contains(&seen.start);
        if stop || start {
            return None;
        }
        let phase = (seen.phase + 1) % 3;
        Some(Seen { phase, start: seen.start.saturating_sub(1), ..seen.push(letter) }.state())
    }

    fn accepts(&self, state: u64) -> bool {
        self.viable(state, 0, 0..=0)
    }

    fn viable(&self, state: u64, left: usize, _: RangeInclusive<usize>) -> bool {
        Seen::of(state).start as usize <= left
    }
}
