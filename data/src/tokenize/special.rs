use serde::Deserialize;

/// Ids of the tokens with a meaning of their own; none where a tokenizer has no such token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Stands for text that has no token.
    pub unk: Option<u32>,
    /// Comes first: `[CLS]` of encoders, `<s>` of decoders.
    pub start: Option<u32>,
    /// Comes last: `[SEP]` of encoders, `</s>` of decoders.
    pub end: Option<u32>,
    /// Fills up short sequences. The model's own `pad_token_id` may differ and is not meant for this.
    pub pad: Option<u32>,
    /// Hides a token that the model is to guess.
    pub mask: Option<u32>,
}

impl SpecialTokens {
    /// All ids that are set.
    pub fn ids(&self) -> impl Iterator<Item = u32> + use<> {
        [self.unk, self.start, self.end, self.pad, self.mask].into_iter().flatten()
    }

    /// Whether `decode` leaves the token out: marks around the sequence are no sequence.
    pub(super) fn is_frame(&self, id: u32) -> bool {
        [self.start, self.end, self.pad].contains(&Some(id))
    }

    /// Looks up the names that a configuration gives, else the usual ones.
    pub(super) fn find(names: &Names, id_of: impl Fn(&str) -> Option<u32>) -> Self {
        let find = |given: [&Option<Name>; 2], usual: &[&str]| {
            let given = given.into_iter().flatten().map(Name::as_str);
            given.chain(usual.iter().copied()).find_map(&id_of)
        };
        Self {
            unk: find([&names.unk_token, &None], &["[UNK]", "<unk>", "<oov>"]),
            start: find([&names.cls_token, &names.bos_token], &["[CLS]", "<cls>", "<s>"]),
            end: find([&names.sep_token, &names.eos_token], &["[SEP]", "<eos>", "</s>"]),
            pad: find([&names.pad_token, &None], &["[PAD]", "<pad>"]),
            mask: find([&names.mask_token, &None], &["[MASK]", "<mask>"]),
        }
    }
}

/// The special tokens that a `tokenizer_config.json` names.
#[derive(Debug, Clone, Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are those of the file")]
pub(super) struct Names {
    pub(super) unk_token: Option<Name>,
    pub(super) cls_token: Option<Name>,
    pub(super) bos_token: Option<Name>,
    pub(super) sep_token: Option<Name>,
    pub(super) eos_token: Option<Name>,
    pub(super) pad_token: Option<Name>,
    pub(super) mask_token: Option<Name>,
}

/// A token's text; some configurations wrap it in an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Name {
    Text(String),
    Object { content: String },
}

impl Name {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}
