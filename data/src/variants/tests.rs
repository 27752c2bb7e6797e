use std::fs;
use std::io::{Cursor, Read, Write as _};
use std::path::Path;

use noodles_bgzf as bgzf;
use noodles_vcf as vcf;
use noodles_vcf::variant::record_buf::info::field as vcf_info;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::regions::Reference;

const VCF: &str = "##fileformat=VCFv4.3\n\
    ##contig=<ID=chr2,length=20>\n\
    ##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Depth, total\">\n\
    ##INFO=<ID=KB_LLR,Number=1,Type=String,Description=\"an old one\">\n\
    ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n\
    #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\ts2\n\
    chr1\t3\trs1;rs2\tG\tA,C,<DEL>\t50.00\tPASS\tDP=3;KB_LLR=x;AF=0.50,0.1\tGT\t0/1\t1|1\n\
    chr1\t2\t.\tcG\tc\t.\t.\t.\tGT\t./.\t0/0\n\
    chr2\t5\t.\tA\t.\t1e3\tq10;s50\tKB_SKIP=old\tGT\t0/1\t.\n";

fn read(text: &str) -> Result<Vec<Record>> {
    Reader::new(Cursor::new(text.as_bytes().to_vec()), "a.vcf")?.collect()
}

fn fault(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn fields() -> Vec<Field> {
    vec![
        Field::per_alternate("KB_LLR", "log P(alternate) - log P(reference), \"natural\""),
        Field {
            id: "KB_BASES".into(),
            number: Number::PerRecord,
            kind: Kind::Integer,
            description: "Bases of the window".into(),
        },
    ]
}

fn scored(value: f32) -> Scores {
    Scores { values: vec![Some(value)], reason: None }
}

fn outcomes() -> Vec<Outcome> {
    let symbolic = Reason::Symbolic { allele: "<DEL>".into() };
    vec![
        Outcome {
            record: vec![Some(96.0)],
            alternates: vec![scored(-0.1), scored(1e-30), Scores::none(&fields(), symbolic)],
        },
        Outcome { record: vec![Some(12.0)], alternates: vec![scored(f32::NAN)] },
        Outcome {
            record: vec![None],
            alternates: vec![Scores::none(&fields(), Reason::Missing { column: "ALT" })],
        },
    ]
}

fn metadata() -> Map<String, Value> {
    json!({ "model": "a \"model\"", "version": "0.1.0", "layers": 3 }).as_object().unwrap().clone()
}

fn write(source: &str, format: Format, order: Order) -> Result<String> {
    let mut writer = Writer::scratch(fields()).unwrap();
    writer.append(&outcomes()).unwrap();
    let mut out = Vec::new();
    let source = Reader::new(Cursor::new(source.as_bytes().to_vec()), "source")?;
    let metadata = metadata();
    writer.write(source, format, &Finish { order, metadata: &metadata, force: false }, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn records_are_read_as_they_are_written() {
    let records = read(VCF).unwrap();
    let first = &records[0];
    assert_eq!((first.number, first.line, first.contig.as_str(), first.position), (1, 7, "chr1", 3));
    assert_eq!(first.id.as_deref(), Some("rs1;rs2"));
    assert_eq!(first.alternates[1..], [Allele::Sequence(b"C".to_vec()), Allele::Symbolic("<DEL>".into())]);
    assert_eq!(first.source(), VCF.lines().nth(6).unwrap().as_bytes());
    assert_eq!((records[1].reference.as_slice(), records[1].id.as_deref()), (&b"CG"[..], None));
    assert_eq!(records[2].alternates, [Allele::Missing]);
    let reader = Reader::new(VCF.as_bytes(), "a").unwrap();
    assert_eq!((reader.header().format(), reader.header().contigs()), (Format::Vcf, vec!["chr2".to_owned()]));
}

#[test]
fn tables_and_vcf_are_read_alike_from_text_gzip_and_bgzf() {
    let table =
        "Chromosome,Position (hg19),Reference,Alt,note\nchr1,3,g,\"A,T\",\"x, \"\"y\"\"\"\nchr1,4,T,-,\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(table.as_bytes()).unwrap();
    let mut bgzf = bgzf::io::Writer::new(Vec::new());
    bgzf.write_all(table.as_bytes()).unwrap();
    for bytes in [table.as_bytes().to_vec(), gzip.finish().unwrap(), bgzf.finish().unwrap()] {
        let reader = Reader::new(Cursor::new(bytes), "t").unwrap();
        assert_eq!(reader.header().format(), Format::Table(Delimiter::Comma));
        let records: Vec<Record> = reader.map(Result::unwrap).collect();
        assert_eq!((records[0].position, records[0].reference.as_slice()), (3, &b"G"[..]));
        assert_eq!(records[0].alternates, [Allele::Sequence(b"A".to_vec()), Allele::Sequence(b"T".to_vec())]);
        assert_eq!(records[1].alternates, [Allele::Missing]);
    }
}

#[test]
fn malformed_lines_name_file_line_and_value() {
    let vcf =
        |line: &str| format!("##fileformat=VCFv4.4\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{line}\n");
    for (text, expected) in [
        (vcf("1\t5\t.\tA\tG\t.\t."), "a.vcf: line 3: has 7 columns, the header has 8"),
        (vcf("1\tx5\t.\tA\tG\t.\t.\t."), "a.vcf: line 3: 'x5' is not a position"),
        (vcf("1\t-5\t.\tA\tG\t.\t.\t."), "'-5' is not a position"),
        (vcf("1\t+5\t.\tA\tG\t.\t.\t."), "'+5' is not a position"),
        (vcf("1\t2147483648\t.\tA\tG\t.\t.\t."), "'2147483648' is not a position"),
        (vcf("1\t\t.\tA\tG\t.\t.\t."), "'' is not a position"),
        (vcf("1\t5\t.\tA\tG,\t.\t.\t."), "ALT '' is not an allele"),
        (vcf("1\t5\t.\t<DEL>\tG\t.\t.\t."), "REF '<DEL>' is not an allele"),
        (vcf("1\t5\t.\tA\tQ\u{1b}[2J\t.\t.\t."), "ALT 'Q\\u{1b}[2J' is not an allele"),
        (vcf("\t5\t.\tA\tG\t.\t.\t."), "'' is not the name of a contig"),
        (
            "##fileformat=VCFv4.4\n#CHROM POS ID REF ALT\n".into(),
            "a.vcf: line 2: found '#CHROM POS ID REF ALT'",
        ),
        ("##fileformat=VCFv4.4\n".into(), "the file ends before its header"),
        (String::new(), "a.vcf: line 1: the file ends before its header"),
        ("1\t5\tA\tG\n".into(), "no column is called chrom"),
        ("chrom,pos,ref,alt\n1,5,A,\"G\n".into(), "a.vcf: line 2: a quote is not closed"),
    ] {
        let error = fault(&text);
        assert!(error.contains(expected), "{error}");
    }
    let long = fault(&vcf(&format!("1\t5\t.\tA\t{}\t.\t.\t.", "E".repeat(5000))));
    assert!(long.len() < 200 && long.contains("(5000 bytes)"), "{long}");
    let error = Reader::new(&b"BCF\x02\x02"[..], "a.bcf").unwrap_err().to_string();
    assert_eq!(error, "a.bcf: is BCF, which is not read here: decompress or convert it first");
    let mut bytes = Vec::new();
    let mut gzip = flate2::read::GzEncoder::new(VCF.as_bytes(), flate2::Compression::fast());
    gzip.read_to_end(&mut bytes).unwrap();
    bytes.truncate(bytes.len() - 9);
    // A text this short may be cut before the header is whole, or after.
    let outcome: Result<Vec<Record>> = match Reader::new(Cursor::new(bytes), "cut.vcf.gz") {
        Ok(reader) => reader.collect(),
        Err(error) => Err(error),
    };
    assert!(matches!(outcome, Err(Error::Damaged { .. })), "{outcome:?}");
}

#[test]
fn valid_alleles_that_cannot_be_scored_have_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ref.fa");
    fs::write(&path, ">chr1\nacgtnACGT\n").unwrap();
    let genome = Reference::open(&path).unwrap();
    let reasons = |line: &str| {
        let text = format!("chrom\tpos\tref\talt\n{line}\n");
        let record = &read(&text).unwrap()[0];
        classify(record, &genome)
            .unwrap()
            .into_iter()
            .map(|outcome| match outcome {
                Ok(edit) => format!("{}-{}", edit.start, edit.end()),
                Err(reason) => format!("{} ({reason})", reason.code()),
            })
            .collect::<Vec<_>>()
            .join("; ")
    };
    for (line, expected) in [
        ("chr1\t2\tC\tG", "1-2"),
        ("chr1\t2\tcg\tC", "1-3"),
        ("chr1\t9\tT\tTA,*", "8-9; star (ALT '*' is a deletion that another record describes)"),
        ("chr1\t2\tG\tA", "ref_mismatch (REF is 'G', the reference has 'C')"),
        ("1\t2\tC\tG", "unknown_contig (the reference has no contig '1'; it has 'chr1')"),
        ("chr7\t2\tC\tG", "unknown_contig (the reference has no contig 'chr7')"),
        ("chr1\t9\tTA\tT", "outside_contig (bases 9-10 are not all inside the contig, which has 9)"),
        ("chr1\t0\tA\tT", "outside_contig (position 0 is before the contig)"),
        ("chr1\t4\tTN\tT", "allele_letters (REF 'TN' is not only A, C, G and T)"),
        (
            "chr1\t4\tTA\tT",
            "reference_letters (the reference has 'TN' there, which is not only A, C, G and T)",
        ),
        ("chr1\t1\tA\tR", "allele_letters (ALT 'R' is not only A, C, G and T)"),
        ("chr1\t1\tA\t<INV>", "symbolic (ALT '<INV>' is symbolic)"),
        ("chr1\t1\tA\tA[chr2:5[", "breakend (ALT 'A[chr2:5[' is a breakend)"),
        ("chr1\t1\tA\t.", "missing (ALT is missing)"),
        ("chr1\t1\t-\tA", "missing (REF is missing)"),
        ("chr1\t1\tA\ta", "no_change (REF and ALT are both 'A')"),
    ] {
        assert_eq!(reasons(line), expected, "{line}");
    }
}

#[test]
fn vcf_keeps_every_byte_but_our_entries() {
    let out = write(VCF, Format::Vcf, Order::Source).unwrap();
    let expected = "##fileformat=VCFv4.3\n\
        ##contig=<ID=chr2,length=20>\n\
        ##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Depth, total\">\n\
        ##INFO=<ID=KB_LLR,Number=A,Type=Float,Description=\"log P(alternate) - log P(reference), \\\"natural\\\"\">\n\
        ##INFO=<ID=KB_BASES,Number=1,Type=Integer,Description=\"Bases of the window\">\n\
        ##INFO=<ID=KB_SKIP,Number=A,Type=String,Description=\"Why an alternate allele has no score, or not all scores: \
        one code an allele, a dot where it has all\">\n\
        ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n\
        ##kilobase=<ID=variants,layers=\"3\",model=\"a \\\"model\\\"\",version=\"0.1.0\">\n\
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\ts2\n\
        chr1\t3\trs1;rs2\tG\tA,C,<DEL>\t50.00\tPASS\tDP=3;AF=0.50,0.1;KB_LLR=-0.1,1e-30,.;KB_BASES=96;KB_SKIP=.,.,symbolic\tGT\t0/1\t1|1\n\
        chr1\t2\t.\tcG\tc\t.\t.\tKB_BASES=12;KB_SKIP=not_finite\tGT\t./.\t0/0\n\
        chr2\t5\t.\tA\t.\t1e3\tq10;s50\tKB_SKIP=missing\tGT\t0/1\t.\n";
    assert_eq!(out, expected);
    let bare = VCF.lines().skip_while(|line| line.starts_with("##")).collect::<Vec<_>>().join("\n");
    let bare = write(&bare, Format::Vcf, Order::Source).unwrap();
    assert!(bare.starts_with("##fileformat=VCFv4.3\n##INFO=<ID=KB_LLR"), "{bare}");
    // Scoring the output again replaces what was added.
    assert_eq!(write(&out, Format::Vcf, Order::Source).unwrap(), expected);
}

#[test]
fn sorted_by_header_then_appearance_then_position() {
    let out = write(VCF, Format::Vcf, Order::Position).unwrap();
    let places: Vec<_> = out.lines().filter(|line| !line.starts_with('#')).map(|line| &line[..6]).collect();
    assert_eq!(places, ["chr2\t5", "chr1\t2", "chr1\t3"]);
}

#[test]
fn tables_keep_their_columns_and_get_new_ones() {
    let table = "##a comment\nchr\tpos\tref\talt\tKB_llr\tnote\n1\t3\tG\tA,C,T\told\t\"x\"\n1\t2\tCG\tC\told\t\n1\t5\tA\t.\told\ty\n";
    assert_eq!(
        write(table, Format::Table(Delimiter::Tab), Order::Source).unwrap(),
        "##a comment\nchr\tpos\tref\talt\tKB_llr\tnote\tkb_llr\tkb_bases\tkb_skip\n\
         1\t3\tG\tA,C,T\told\t\"x\"\t-0.1,1e-30,NA\t96\tNA,NA,symbolic\n\
         1\t2\tCG\tC\told\t\tNA\t12\tnot_finite\n\
         1\t5\tA\t.\told\ty\tNA\tNA\tmissing\n"
    );
    let out =
        write(&table.replace("KB_llr", "kb_llr"), Format::Table(Delimiter::Comma), Order::Position).unwrap();
    assert_eq!(
        out,
        "##a comment\nchr,pos,ref,alt,note,kb_llr,kb_bases,kb_skip\n\
         1,2,CG,C,,NA,12,not_finite\n\
         1,3,G,\"A,C,T\",\"\"\"x\"\"\",\"-0.1,1e-30,NA\",96,\"NA,NA,symbolic\"\n\
         1,5,A,.,y,NA,NA,missing\n"
    );
    assert_eq!(
        write(VCF, Format::Table(Delimiter::Tab), Order::Source).unwrap(),
        "chrom\tpos\tid\tref\talt\tkb_llr\tkb_bases\tkb_skip\n\
         chr1\t3\trs1;rs2\tG\tA\t-0.1\t96\tNA\n\
         chr1\t3\trs1;rs2\tG\tC\t1e-30\t96\tNA\n\
         chr1\t3\trs1;rs2\tG\t<DEL>\tNA\t96\tsymbolic\n\
         chr1\t2\t.\tCG\tC\tNA\t12\tnot_finite\n\
         chr2\t5\t.\tA\t.\tNA\tNA\tmissing\n"
    );
    assert!(matches!(write(table, Format::Vcf, Order::Source), Err(Error::NotVcf { .. })));
    let reader = Reader::new(Cursor::new(table.as_bytes().to_vec()), "a.tsv").unwrap();
    assert!(matches!(reader.check_output(Path::new("a.vcf.gz")), Err(Error::NotVcf { .. })));
    assert_eq!(reader.check_output(Path::new("a.csv.gz")).unwrap(), Format::Table(Delimiter::Comma));
}

#[test]
fn killed_run_goes_on_and_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.vcf.gz");
    let parts = folder.path().join("parts.vcf.gz");
    let plan = json!({ "source": "sha" });
    let metadata = metadata();
    let finish = Finish { order: Order::Source, metadata: &metadata, force: false };
    let source = || Reader::new(Cursor::new(VCF.as_bytes().to_vec()), "source").unwrap();

    let mut writer = Writer::open(&whole, &plan, fields()).unwrap();
    writer.append(&outcomes()).unwrap();
    let summary = writer.finish(source(), &finish).unwrap();
    assert_eq!((summary.records, summary.alternates), (3, 5));
    assert_eq!(
        summary.skipped.iter().map(|(code, count)| (code.as_str(), *count)).collect::<Vec<_>>(),
        [("missing", 1), ("not_finite", 1), ("symbolic", 1)]
    );

    for at in 0..3 {
        // Opened anew for each record: each is a resume.
        let mut writer = Writer::open(&parts, &plan, fields()).unwrap();
        assert_eq!(writer.completed(), at as u64);
        writer.append(&outcomes()[at..=at]).unwrap();
        assert!(!parts.exists());
    }
    let other = Writer::open(&parts, &json!({ "source": "other" }), fields()).unwrap_err();
    assert!(other.to_string().contains("source = \"sha\", this one has \"other\""), "{other}");
    let other = Writer::open(
        &parts,
        &plan,
        vec![fields()[0].clone(), Field { kind: Kind::Float, ..fields()[1].clone() }],
    );
    assert!(other.unwrap_err().to_string().contains("fields"));
    Writer::open(&parts, &plan, fields()).unwrap().finish(source(), &finish).unwrap();
    assert_eq!(fs::read(&whole).unwrap(), fs::read(&parts).unwrap());
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["parts.vcf.gz", "parts.vcf.gz.meta.json", "whole.vcf.gz", "whole.vcf.gz.meta.json"]);
    // bgzf with its end block, as another reader has it.
    let mut text = String::new();
    bgzf::io::Reader::new(&fs::read(&whole).unwrap()[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, write(VCF, Format::Vcf, Order::Source).unwrap());
    assert!(Reader::open(&whole).unwrap().by_ref().all(|record| record.is_ok()));
}

#[test]
fn scores_of_another_source_are_refused() {
    let changed =
        |from: &str, to: &str| write(&VCF.replacen(from, to, 1), Format::Vcf, Order::Source).unwrap_err();
    let last = VCF.lines().last().unwrap();
    assert!(changed(last, "").to_string().contains("it has 2 records, 3 were scored"));
    assert!(changed(last, &format!("{last}\n{last}")).to_string().contains("more than the 3 records"));
    assert!(changed("A,C,<DEL>", "A,C").to_string().contains("line 7 has another number of alternates"));
}

#[test]
fn fields_and_values_that_do_not_fit_are_refused() {
    let field = |id: &str| Writer::scratch(vec![Field::per_alternate(id, "")]);
    for id in ["", "1A", "A B", "A;B", "A=", "KB_SKIP", "kb_skip"] {
        assert!(matches!(field(id), Err(Error::Field { .. })), "{id}");
    }
    assert!(matches!(Writer::scratch(vec![]), Err(Error::Field { .. })));
    let twice = vec![Field::per_alternate("A", ""), Field::per_alternate("a", "")];
    assert!(matches!(Writer::scratch(twice), Err(Error::Field { .. })));
    let mut writer = Writer::scratch(fields()).unwrap();
    let mut append = |outcome: Outcome| writer.append(&[outcome]);
    let unexplained = Scores { values: vec![None], reason: None };
    assert!(matches!(
        append(Outcome { record: vec![None], alternates: vec![unexplained] }),
        Err(Error::NoReason { .. })
    ));
    assert!(matches!(
        append(Outcome { record: vec![], alternates: vec![scored(1.0)] }),
        Err(Error::Values { values: 0, fields: 1, .. })
    ));
    for value in [0.5, 16_777_218.0] {
        let outcome = Outcome { record: vec![Some(value)], alternates: vec![scored(1.0)] };
        assert!(matches!(append(outcome), Err(Error::NotInteger { .. })));
    }
    assert_eq!(writer.completed(), 0);
}

#[test]
fn existing_output_is_kept_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.vcf");
    fs::write(&out, "old").unwrap();
    let metadata = metadata();
    let finish = |force| {
        let mut writer = Writer::restart(&out, &json!({}), fields()).unwrap();
        writer.append(&outcomes()).unwrap();
        let source = Reader::new(VCF.as_bytes(), "source").unwrap();
        writer.finish(source, &Finish { order: Order::Source, metadata: &metadata, force })
    };
    assert!(matches!(finish(false), Err(Error::Export(crate::export::Error::Exists { .. }))));
    assert_eq!(fs::read(&out).unwrap(), b"old");
    finish(true).unwrap();
    assert!(fs::read_to_string(&out).unwrap().starts_with("##fileformat"));
    let unknown = Writer::open(&folder.path().join("a.bcf"), &json!({}), fields());
    assert!(matches!(unknown, Err(Error::UnknownFormat { .. })), "known before the work, not after it");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn output_is_what_noodles_reads() {
    let out = write(VCF, Format::Vcf, Order::Source).unwrap();
    let mut reader = vcf::io::Reader::new(out.as_bytes());
    let header = reader.read_header().unwrap();
    assert_eq!(header.infos()["KB_LLR"].description(), fields()[0].description);
    assert_eq!(header.infos().len(), 4);
    let records: Vec<_> = reader.record_bufs(&header).map(|record| record.unwrap()).collect();
    assert_eq!(
        records[0].info().get("KB_LLR").unwrap(),
        Some(&vcf_info::Value::Array(vcf_info::value::Array::Float(vec![Some(-0.1), Some(1e-30), None])))
    );
    assert_eq!(records[0].info().get("KB_BASES").unwrap(), Some(&vcf_info::Value::Integer(96)));
}

/// A line of VCF that is mostly right.
fn line() -> impl Strategy<Value = String> {
    (
        "[a-c]{1,2}",
        0u32..30,
        "[ACGTN]{1,3}|[a-z]|",
        "(A|CG|\\.|\\*|<D>|N|T\\[a:1\\[)(,(A|G|<D>))?|[ -~]{0,3}",
        "(A=1|KB_TEST=2|KB_TEST|B|\\.|KB_SKIP=3|)(;(C=.|KB_TEST=1|))?",
        "[ -~]{0,4}",
    )
        .prop_map(|(contig, position, reference, alternate, info, rest)| {
            format!("{contig}\t{position}\t.\t{reference}\t{alternate}\t{rest}\t.\t{info}\n")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_text_is_variants_or_an_error(
        lines in prop::collection::vec(line(), 0..6),
        meta in "(##[ -~]{0,12}\n){0,2}|##fileformat=VCFv4.4\n##contig=<ID=b>\n",
    ) {
        let header = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";
        check(format!("{meta}{header}{}", lines.concat()).as_bytes());
        check(format!("{meta}chrom\tpos\trsid\tref\talt\tx\ty\tz\n{}", lines.concat()).as_bytes());
        let commas = lines.concat().replace(',', "/").replace('\t', ",");
        check(format!("{meta}chrom,pos,rsid,ref,alt,x,y,z\n{commas}").as_bytes());
    }

    #[test]
    fn any_bytes_are_variants_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
        check(&[b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n", &bytes[..]].concat());
    }

    #[test]
    fn info_keeps_foreign_entries(
        foreign in prop::collection::vec("[A-D](=[a-z0-9,.]{0,4})?", 0..5),
        ours in prop::collection::vec((0usize..6, "KB(=[a-z]{0,3})?"), 0..3),
    ) {
        let mut all = foreign.clone();
        for (at, entry) in ours {
            all.insert(at.min(all.len()), entry);
        }
        let old = if all.is_empty() { ".".to_owned() } else { all.join(";") };
        let mut out = Vec::new();
        writer::write_info(old.as_bytes(), |key| key == b"KB", b"KB=new", &mut out);
        let expected = foreign.into_iter().chain(["KB=new".to_owned()]).collect::<Vec<_>>().join(";");
        prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
