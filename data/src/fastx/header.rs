use super::Fault;

/// A header line without its mark, taken apart.
pub(crate) struct Header {
    pub(crate) id: String,
    pub(crate) description: String,
    /// Bytes of the description were replaced because they are not UTF-8.
    pub(crate) replaced: bool,
}

impl Header {
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Fault> {
        if line.contains(&b'\r') {
            return Err(Fault::CarriageReturn);
        }
        if line.contains(&0) {
            return Err(Fault::HeaderByte { found: 0 });
        }
        let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
        let (id, description) = line.split_at(end);
        // Control characters in descriptions are left alone: NCBI joins the headers of identical sequences by 0x01.
        if let Some(&found) = id.iter().find(|byte| byte.is_ascii_control()) {
            return Err(Fault::HeaderByte { found });
        }
        let id = std::str::from_utf8(id).map_err(|_| Fault::IdEncoding)?.to_owned();
        let description = description.trim_ascii();
        let (description, replaced) = match std::str::from_utf8(description) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (String::from_utf8_lossy(description).into_owned(), true),
        };
        Ok(Self { id, description, replaced })
    }
}
