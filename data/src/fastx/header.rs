use std::borrow::Cow;

use super::Fault;

/// A header line without its mark, taken apart.
pub(crate) struct Header<'a> {
    pub(crate) id: &'a str,
    pub(crate) description: Cow<'a, str>,
    /// Bytes of the description were replaced because they are not UTF-8.
    pub(crate) replaced: bool,
}

impl<'a> Header<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        if memchr::memchr(b'\r', line).is_some() {
            return Err(Fault::CarriageReturn);
        }
        if memchr::memchr(0, line).is_some() {
            return Err(Fault::HeaderByte { found: 0 });
        }
        let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
        let (id, description) = line.split_at(end);
        // Control characters in descriptions are left alone: NCBI joins the headers of identical sequences by 0x01.
        if let Some(&found) = id.iter().find(|byte| byte.is_ascii_control()) {
            return Err(Fault::HeaderByte { found });
        }
        let id = std::str::from_utf8(id).map_err(|_| Fault::IdEncoding)?;
        let description = description.trim_ascii();
        let description = String::from_utf8_lossy(description);
        let replaced = matches!(description, Cow::Owned(_));
        Ok(Self { id, description, replaced })
    }
}
