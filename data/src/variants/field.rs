use std::collections::HashSet;

use super::{Error, Result};

/// The field that says why an allele has no score: [`Reason::code`](super::Reason::code), one an allele.
pub const SKIP: &str = "KB_SKIP";

/// A score: an entry of the INFO column, or a column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name: letters, digits, `_` and `.`, not a digit first. A table has it in lower case.
    pub id: String,
    /// How many values a record has.
    pub number: Number,
    /// What the values are.
    pub kind: Kind,
    /// A sentence for the header.
    pub description: String,
}

/// How many values of a [`Field`] a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Number {
    /// One for each alternate allele.
    PerAlternate,
    /// One.
    PerRecord,
}

/// What the values of a [`Field`] are. All are kept as 32-bit floats, which is what VCF's `Float` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A number.
    Float,
    /// A whole number up to 2^24 either way.
    Integer,
}

/// The largest whole number below which 32-bit floats hold all.
const LARGEST: f32 = 16_777_216.0;

impl Field {
    /// A number for each alternate allele.
    pub fn per_alternate(id: impl Into<String>, description: impl Into<String>) -> Self {
        let (number, kind) = (Number::PerAlternate, Kind::Float);
        Self { id: id.into(), number, kind, description: description.into() }
    }

    /// The line of a VCF header.
    pub(super) fn header_line(&self) -> Vec<u8> {
        let number = match self.number {
            Number::PerAlternate => "A",
            Number::PerRecord => "1",
        };
        let kind = match self.kind {
            Kind::Float => "Float",
            Kind::Integer => "Integer",
        };
        info_line(&self.id, number, kind, &self.description)
    }

    /// Appends a value as text.
    pub(super) fn write(&self, value: f32, out: &mut Vec<u8>) {
        // Debug is the shortest text that reads back to the same value, with an exponent where digits would be many.
        let text = match self.kind {
            Kind::Float => format!("{value:?}"),
            Kind::Integer => format!("{}", value as i64),
        };
        out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn check_value(&self, value: f32) -> Result<()> {
        if self.kind == Kind::Integer && (value.fract() != 0.0 || value.abs() > LARGEST) {
            return Err(Error::NotInteger { id: self.id.clone(), value });
        }
        Ok(())
    }
}

/// A line of a VCF header that defines an INFO entry.
pub(super) fn info_line(id: &str, number: &str, kind: &str, description: &str) -> Vec<u8> {
    let description = quoted(description);
    format!("##INFO=<ID={id},Number={number},Type={kind},Description={description}>").into_bytes()
}

/// A string of a VCF header (VCF 4.4, section 1.4): backslashes and quotes escaped, control characters made spaces.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether `id` may be a key of INFO (VCF 4.4, section 1.6.1).
pub(super) fn is_key(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

/// Whether these fields can stand beside each other.
pub(super) fn check(fields: &[Field]) -> Result<()> {
    let mut ids = HashSet::from([SKIP.to_ascii_lowercase()]);
    let refuse = |field: &Field, reason| Err(Error::Field { id: field.id.clone(), reason });
    for field in fields {
        if !is_key(&field.id) {
            return refuse(field, "names are letters, digits, _ and ., and do not start with a digit");
        }
        // Tables have names in lower case.
        if !ids.insert(field.id.to_ascii_lowercase()) {
            return refuse(field, "another field has it");
        }
    }
    if fields.is_empty() {
        return Err(Error::Field { id: SKIP.to_owned(), reason: "there must be others" });
    }
    Ok(())
}
