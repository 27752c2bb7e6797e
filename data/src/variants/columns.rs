//! Which column of a table is which.

use super::Fault;

/// The columns that a table must have, and the one it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) contig: usize,
    pub(super) position: usize,
    pub(super) reference: usize,
    pub(super) alternate: usize,
    pub(super) id: Option<usize>,
}

const CONTIG: [&str; 9] =
    ["chrom", "chr", "chromosome", "contig", "seqname", "seqid", "sequence", "chromosomename", "chrname"];
const POSITION: [&str; 6] = ["pos", "position", "pos1", "basepair", "bp", "variantposition"];
const REFERENCE: [&str; 6] = ["ref", "reference", "refallele", "referenceallele", "refbase", "referencebase"];
const ALTERNATE: [&str; 9] = [
    "alt",
    "alternate",
    "alternative",
    "altallele",
    "alternateallele",
    "alternativeallele",
    "altbase",
    "alternatebase",
    "alternativebase",
];
const ID: [&str; 6] = ["id", "rsid", "variantid", "snp", "snpid", "dbsnp"];

impl Columns {
    /// Finds the columns by their names, whatever their case, punctuation, and the assembly that they mention.
    pub(super) fn find(names: &[String]) -> Result<Self, Fault> {
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let one = |what: &'static str, known: &[&str]| {
            let mut found = (0..names.len()).filter(|&at| known.contains(&plain[at].as_str()));
            match (found.next(), found.next()) {
                (first, None) => Ok(first),
                (Some(first), Some(second)) => Err(Fault::TwoColumns {
                    what,
                    first: names[first].clone(),
                    second: names[second].clone(),
                }),
                (None, Some(_)) => Ok(None),
            }
        };
        let needed = |what, known: &[&str], wanted| {
            one(what, known)?.ok_or_else(|| Fault::NoColumn { wanted, columns: names.join(", ") })
        };
        Ok(Self {
            contig: needed("contig", &CONTIG, "chrom, chr, chromosome or contig")?,
            position: needed("position", &POSITION, "pos or position")?,
            reference: needed("reference allele", &REFERENCE, "ref, reference or ref_allele")?,
            alternate: needed("alternate allele", &ALTERNATE, "alt, alternate or alt_allele")?,
            id: one("id", &ID)?,
        })
    }
}

/// `#Position (hg19)` is `position`.
fn plain(name: &str) -> String {
    const ASSEMBLIES: [&str; 9] =
        ["hg18", "hg19", "hg38", "grch36", "grch37", "grch38", "b37", "b38", "chm13"];
    let name = name.split('(').next().unwrap_or_default();
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    ASSEMBLIES.iter().find_map(|assembly| name.strip_suffix(assembly)).map_or(name.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(header: &str) -> Result<Columns, Fault> {
        Columns::find(&header.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn common_spellings_are_found() {
        let columns = Columns { contig: 0, position: 1, reference: 2, alternate: 3, id: None };
        for header in [
            "chrom,pos,ref,alt",
            "#CHROM,POS,REF,ALT",
            "chromosome,position (hg19),reference,alt,transcript_variant",
            "Chr,Pos_hg38,Ref.Allele,Alt Allele",
            "contig,position,reference_base,alternate_base",
        ] {
            assert_eq!(find(header).unwrap(), columns, "{header}");
        }
        assert_eq!(find("rsID,alt,ref,pos,chr").unwrap().id, Some(0));
    }

    #[test]
    fn missing_and_doubtful_columns_are_named() {
        let error = find("chrom,start,ref,alt").unwrap_err();
        assert!(
            error.to_string().contains("pos or position") && error.to_string().contains("start"),
            "{error}"
        );
        let error = find("chrom,pos_hg19,pos_hg38,ref,alt").unwrap_err();
        assert!(error.to_string().contains("'pos_hg19' and 'pos_hg38'"), "{error}");
    }
}
