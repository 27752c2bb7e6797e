//! NumPy's format 1.0: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

/// The header of a C-ordered f32 array; the values follow, little endian.
pub(super) fn header(rows: u64, width: usize) -> Vec<u8> {
    header_of("<f4", &[rows, width as u64])
}

/// The header of a C-ordered array of numbers of one kind, as NumPy writes kinds.
pub(super) fn header_of(descr: &str, shape: &[u64]) -> Vec<u8> {
    const PREFIX: usize = 10;
    // A tuple of one has a comma too.
    let lengths: Vec<String> = shape.iter().map(u64::to_string).collect();
    let shape = if let [only] = &lengths[..] { format!("{only},") } else { lengths.join(", ") };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The values begin at a multiple of 64, and the header's last letter is a line feed.
    let length = (PREFIX + text.len() + 1).next_multiple_of(64) - PREFIX;
    text.push_str(&" ".repeat(length - 1 - text.len()));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_at_a_multiple_of_64() {
        for (rows, width) in [(0, 1), (3, 768), (u64::MAX, usize::MAX)] {
            let header = header(rows, width);
            assert_eq!(header.len() % 64, 0);
            assert_eq!(usize::from(header[8]) + 256 * usize::from(header[9]) + 10, header.len());
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }
}
