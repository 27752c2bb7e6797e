/// The bytes of the text that a token stands for: `start..end`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// Bytes in the span.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the token stands for no text, as the marks do that a tokenizer adds.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// How the tokens of a text lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One after the other.
    #[default]
    SideBySide,
    /// Each begins one letter after the one before, and shares the others with it.
    Overlapping,
}

/// Tokens of a text: four lists of the same length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// The numbers of the tokens.
    pub ids: Vec<u32>,
    /// Where each token is in its text; empty for tokens that the tokenizer added.
    pub spans: Vec<Span>,
    /// Whether the tokenizer added the token. A special token written in the text counts as text.
    pub special: Vec<bool>,
    /// The segment of each token: 0, and 1 for the second text of a pair where the model tells them apart.
    pub type_ids: Vec<u32>,
    /// The first token of a pair's second text.
    pub second: Option<usize>,
}

impl Encoding {
    /// Tokens, the added ones included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn with_capacity(tokens: usize) -> Self {
        Self {
            ids: Vec::with_capacity(tokens),
            spans: Vec::with_capacity(tokens),
            special: Vec::with_capacity(tokens),
            type_ids: Vec::with_capacity(tokens),
            second: None,
        }
    }

    pub(super) fn push(&mut self, id: u32, start: usize, end: usize) {
        self.ids.push(id);
        self.spans.push(Span { start, end });
        self.special.push(false);
        self.type_ids.push(0);
    }

    pub(super) fn push_special(&mut self, id: u32, at: usize) {
        self.push(id, at, at);
        self.special[self.ids.len() - 1] = true;
    }

    /// Asserts what holds for the encoding of any single text of `length` bytes.
    pub(super) fn check(&self, length: usize, layout: Layout) {
        let tokens = self.ids.len();
        assert!(self.spans.len() == tokens && self.special.len() == tokens && self.type_ids.len() == tokens);
        let mut before: Option<Span> = None;
        for (&span, special) in self.spans.iter().zip(&self.special) {
            assert!(span.start <= span.end && span.end <= length, "spans lie in the text");
            if *special {
                assert!(span.is_empty(), "added tokens stand for no text");
                continue;
            }
            if let Some(before) = before.replace(span) {
                match layout {
                    Layout::SideBySide => assert!(span.start >= before.end, "tokens follow each other"),
                    Layout::Overlapping => assert!(
                        span.start > before.start && span.start <= before.end && span.end > before.end,
                        "each token goes on after the one before, and leaves nothing out"
                    ),
                }
            }
        }
    }
}
