//! Names that mean one contig in different files.

/// What a name has in common with the other names of its contig: names that share a key are alike.
pub(super) fn keys(name: &str) -> impl Iterator<Item = String> {
    // Between the bars of an NCBI id such as `gi|88193823|ref|NC_007795.1|`.
    let between =
        name.split('|').filter(|part| part.len() > 3 && part.contains(|c: char| c.is_ascii_digit()));
    std::iter::once(name).chain(between).map(core)
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
        let are_alike = |one: &str, other: &str| keys(one).any(|key| keys(other).any(|other| other == key));
        for (one, other) in [
            ("chr1", "1"),
            ("X", "chrX"),
            ("chrM", "MT"),
            ("NC_007795", "NC_007795.1"),
            ("NC_007795", "gi|88193823|ref|NC_007795.1|"),
            ("CHR2", "chr2"),
        ] {
            assert!(are_alike(one, other), "{one} {other}");
        }
        for (one, other) in [("chr1", "chr11"), ("1", "2"), ("chr", "chr1"), ("ref", "gi|1|ref|NC_1.1|")] {
            assert!(!are_alike(one, other), "{one} {other}");
        }
    }
}
