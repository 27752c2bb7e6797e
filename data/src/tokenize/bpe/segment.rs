use super::longest::Bases;
use super::merges::NONE;
use super::{Bpe, Class};

/// A token and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) token: u32,
}

/// A run of letters that may merge.
trait Run {
    fn len(&self) -> usize;
    /// The longest token at a place; it may reach beyond the end.
    fn longest(&self, at: usize) -> u32;
}

struct BaseRun<'a>(&'a Bases, &'a Bpe);

impl Run for BaseRun<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn longest(&self, at: usize) -> u32 {
        self.1.longest.of_bases(self.0, at)
    }
}

struct LetterRun<'a>(&'a [u8], &'a Bpe);

impl Run for LetterRun<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn longest(&self, at: usize) -> u32 {
        self.1.longest.of_letters(&self.0[at..])
    }
}

/// Memory that runs use one after the other.
#[derive(Default)]
struct Scratch {
    bases: Bases,
    letters: Vec<u8>,
    dead: Vec<u64>,
}

impl Bpe {
    /// Appends the tokens of a text of less than 4 GiB; none when it holds something foreign.
    pub(super) fn append(&self, text: &[u8], out: &mut Vec<Piece>) -> Option<()> {
        let mut scratch = Scratch::default();
        let mut at = 0;
        while at < text.len() {
            match self.classes[usize::from(text[at])] {
                Class::Foreign => return None,
                Class::Space => at += 1,
                Class::Alone(token) => {
                    out.push(Piece { start: at as u32, token });
                    at += 1;
                }
                Class::Letter(_) if self.longest.is_dna() => {
                    let Scratch { bases, dead, .. } = &mut scratch;
                    bases.read(&text[at..]);
                    self.segment(&BaseRun(bases, self), at as u32, dead, out);
                    at += bases.len();
                }
                Class::Letter(_) => {
                    let Scratch { letters, dead, .. } = &mut scratch;
                    letters.clear();
                    letters.extend(text[at..].iter().map_while(|&byte| {
                        match self.classes[usize::from(byte)] {
                            Class::Letter(code) => Some(code),
                            _ => None,
                        }
                    }));
                    self.segment(&LetterRun(letters, self), at as u32, dead, out);
                    at += letters.len();
                }
            }
        }
        Some(())
    }

    /// Appends the tokens of a run that is not empty and starts at `base` of the text.
    ///
    /// The tokens up to any place are the result for the text up to there, so whether a place leads to the end depends on
    /// nothing but the place, and each is given up at most once.
    fn segment(&self, run: &impl Run, base: u32, dead: &mut Vec<u64>, out: &mut Vec<Piece>) {
        let (first, length) = (out.len(), run.len());
        dead.clear();
        dead.resize(length / 64 + 1, 0);
        let (mut at, mut last) = (0, NONE);
        let mut token = run.longest(0);
        loop {
            let end = at + self.lengths[token as usize] as usize;
            if end <= length
                && dead[end / 64] >> (end % 64) & 1 == 0
                && (last == NONE || self.pairs.is_valid(last, token))
            {
                out.push(Piece { start: base + at as u32, token });
                if end == length {
                    return;
                }
                at = end;
                last = token;
                token = run.longest(at);
                continue;
            }
            token = self.longest.shorter(token);
            while token == NONE {
                dead[at / 64] |= 1 << (at % 64);
                let given_up = out.pop().expect("there is a result, so the first place is not given up");
                at = (given_up.start - base) as usize;
                last = if out.len() > first { out[out.len() - 1].token } else { NONE };
                token = self.longest.shorter(given_up.token);
            }
        }
    }
}
