//! Tab-separated text.

use std::io::{self, Write};

/// Writes one line. A cell with a tab or a line end would move the cells after it, so these are written as `\t`, `\n`
/// and `\r`.
///
/// # Errors
/// Those of the output.
pub fn write_line<'a>(
    out: &mut dyn Write,
    cells: impl IntoIterator<Item = &'a str>,
    values: impl IntoIterator<Item = f32>,
) -> io::Result<()> {
    let mut separator = "";
    for cell in cells {
        out.write_all(separator.as_bytes())?;
        write_cell(out, cell)?;
        separator = "\t";
    }
    for value in values {
        // Debug is the shortest text that reads back to the same value, with an exponent where digits would be many.
        write!(out, "{separator}{value:?}")?;
        separator = "\t";
    }
    out.write_all(b"\n")
}

fn write_cell(out: &mut dyn Write, cell: &str) -> io::Result<()> {
    let mut rest = cell;
    while let Some(at) = rest.find(['\t', '\n', '\r']) {
        out.write_all(&rest.as_bytes()[..at])?;
        out.write_all(match rest.as_bytes()[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            _ => b"\\r",
        })?;
        rest = &rest[at + 1..];
    }
    out.write_all(rest.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_short_and_cells_keep_their_place() {
        let mut line = Vec::new();
        write_line(&mut line, ["a\tb", "7"], [0.1, 1.0, -1e-30, 3.4e38]).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), "a\\tb\t7\t0.1\t1.0\t-1e-30\t3.4e38\n");
    }
}
