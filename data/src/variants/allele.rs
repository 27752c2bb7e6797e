use crate::alphabet;

/// An alternate allele as VCF 4.4 (section 1.6.1, ALT) knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allele {
    /// Bases, in upper case: nucleotide codes, not only `A`, `C`, `G` and `T`.
    Sequence(Vec<u8>),
    /// A name in angle brackets, such as `<DEL>`, brackets included.
    Symbolic(String),
    /// A breakend, such as `G]17:198982]` or `.A`.
    Breakend(String),
    /// `.`, or `-` in tables: no allele is given.
    Missing,
    /// `*`: the bases are gone by a deletion that begins before them.
    Star,
}

impl Allele {
    /// Reads one allele; none when it is not one.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"." | b"-" => return Some(Self::Missing),
            b"*" => return Some(Self::Star),
            [] => return None,
            _ => {}
        }
        if let Some(bases) = bases(text) {
            return Some(Self::Sequence(bases));
        }
        let text = std::str::from_utf8(text).ok()?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return None;
        }
        if text.starts_with('<') && text.ends_with('>') && text.len() > 2 {
            return Some(Self::Symbolic(text.to_owned()));
        }
        is_breakend(text).then(|| Self::Breakend(text.to_owned()))
    }
}

/// Upper-cases bases; none when a letter is no code of one.
pub(super) fn bases(text: &[u8]) -> Option<Vec<u8>> {
    let is_base = |&byte: &u8| byte.is_ascii_alphabetic() && alphabet::is_nucleotide(byte);
    (!text.is_empty() && text.iter().all(is_base)).then(|| text.to_ascii_uppercase())
}

/// `t[p[`, `t]p]`, `]p]t`, `[p[t`, and the single ones `.t` and `t.` (section 5.4). Bases `t` may be none.
fn is_breakend(text: &str) -> bool {
    let is_bases = |text: &str| text.is_empty() || bases(text.as_bytes()).is_some();
    if let Some(single) = text.strip_prefix('.').or_else(|| text.strip_suffix('.')) {
        return is_bases(single);
    }
    ['[', ']'].into_iter().any(|bracket| {
        let mut parts = text.split(bracket);
        let (Some(before), Some(mate), Some(after), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        !mate.is_empty() && (before.is_empty() != after.is_empty()) && is_bases(before) && is_bases(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alleles_are_told_apart() {
        let sequence = |text: &str| Some(Allele::Sequence(text.as_bytes().to_vec()));
        let breakend = |text: &str| Some(Allele::Breakend(text.to_owned()));
        for (text, expected) in [
            ("acgT", sequence("ACGT")),
            ("NRY", sequence("NRY")),
            (".", Some(Allele::Missing)),
            ("-", Some(Allele::Missing)),
            ("*", Some(Allele::Star)),
            ("<DUP:TANDEM>", Some(Allele::Symbolic("<DUP:TANDEM>".into()))),
            ("G]17:198982]", breakend("G]17:198982]")),
            ("[<ctg1>:329[C", breakend("[<ctg1>:329[C")),
            (".A", breakend(".A")),
            ("TG.", breakend("TG.")),
            ("", None),
            ("A-", None),
            ("**", None),
            ("<>", None),
            ("XYZ", None),
            ("G]17]C", None),
            ("A T", None),
            ("<D L>", None),
        ] {
            assert_eq!(Allele::parse(text.as_bytes()), expected, "{text}");
        }
    }
}
