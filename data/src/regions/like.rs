//! Names that mean one contig in different files.

/// Whether `name` and `other` differ only as names of one contig do between databases.
pub(super) fn is_like(name: &str, other: &str) -> bool {
    parts(name).any(|name| parts(other).any(|other| core(name) == core(other)))
}

/// The name, and what is between the bars of an NCBI id such as `gi|88193823|ref|NC_007795.1|`.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let between =
        name.split('|').filter(|part| part.len() > 3 && part.contains(|c: char| c.is_ascii_digit()));
    std::iter::once(name).chain(between)
}

/// Without `chr`, without a version, with one name for the mitochondrion.
fn core(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("chr").unwrap_or(&name);
    let name = match name.rsplit_once('.') {
        Some((name, version)) if !name.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            name
        }
        _ => name,
    };
    if name == "mt" { "m".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_contig_are_alike_and_others_are_not() {
        for (one, other) in [
            ("chr1", "1"),
            ("X", "chrX"),
            ("chrM", "MT"),
            ("NC_007795", "NC_007795.1"),
            ("NC_007795", "gi|88193823|ref|NC_007795.1|"),
            ("CHR2", "chr2"),
        ] {
            assert!(is_like(one, other) && is_like(other, one), "{one} {other}");
        }
        for (one, other) in [("chr1", "chr11"), ("1", "2"), ("chr", "chr1"), ("ref", "gi|1|ref|NC_1.1|")] {
            assert!(!is_like(one, other), "{one} {other}");
        }
    }
}
