//! The rows of the table of damage, as bytes, and round trips.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn read(text: &[u8]) -> Result<Vec<Record>, Error> {
    Reader::new(std::io::Cursor::new(text.to_vec()), "x").collect()
}

fn ok(text: &[u8]) -> Vec<(String, String, Option<String>)> {
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let records = read(text).unwrap_or_else(|error| panic!("{error}"));
    records.iter().map(|r| (r.id.clone(), string(&r.sequence), r.quality.as_deref().map(string))).collect()
}

fn fasta(records: &[(&str, &str)]) -> Vec<(String, String, Option<String>)> {
    records.iter().map(|(id, sequence)| ((*id).to_owned(), (*sequence).to_owned(), None)).collect()
}

fn fastq(records: &[(&str, &str, &str)]) -> Vec<(String, String, Option<String>)> {
    let owned = |text: &str| text.to_owned();
    records.iter().map(|(id, sequence, quality)| (owned(id), owned(sequence), Some(owned(quality)))).collect()
}

fn error(text: &[u8]) -> String {
    read(text).expect_err("the input is damaged").to_string()
}

fn warnings(text: &'static [u8]) -> Vec<String> {
    let mut reader = Reader::new(text, "x");
    assert!(reader.by_ref().all(|record| record.is_ok()));
    reader.warnings().iter().map(ToString::to_string).collect()
}

fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn bgzf(text: &[u8]) -> Vec<u8> {
    let mut writer = noodles_bgzf::io::Writer::new(Vec::new());
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

/// The empty block at the end of BGZF files is 28 bytes (SAM specification, 4.1.2).
const END_BLOCK: usize = 28;

#[test]
fn harmless_forms_of_fasta_are_accepted() {
    assert_eq!(ok(b">a x\r\nAC\r\nGT\r\n"), fasta(&[("a", "ACGT")]));
    assert_eq!(ok(b"\n\r\n>a\n\nAC\n\nGT\n\n\n>b\nT"), fasta(&[("a", "ACGT"), ("b", "T")]));
    assert_eq!(ok(b">a\n>b\nacgtN\n>c"), fasta(&[("a", ""), ("b", "acgtN"), ("c", "")]));
    assert_eq!(ok(b"\xef\xbb\xbf>a\nA\n"), fasta(&[("a", "A")]));
    assert_eq!(ok(b">a\nACGUryswkmbdhvN-*.\n"), fasta(&[("a", "ACGUryswkmbdhvN-*.")]));
    assert_eq!(ok(b">\n"), fasta(&[("", "")]));
    assert_eq!(ok(b">"), fasta(&[("", "")]));
    assert_eq!(ok(b""), fasta(&[]));
    assert_eq!(ok(b"\n\n"), fasta(&[]));
}

#[test]
fn headers_part_at_the_first_space_or_tab() {
    let records = read(b">a\tb  c \n>  d\n").unwrap();
    assert_eq!((records[0].id.as_str(), records[0].description.as_str()), ("a", "b  c"));
    assert_eq!((records[1].id.as_str(), records[1].description.as_str()), ("", "d"));
    assert_eq!((records[0].number, records[1].number), (1, 2));
}

#[test]
fn harmless_forms_of_fastq_are_accepted() {
    let two = fastq(&[("a", "AC", "II"), ("b", "G", "@")]);
    assert_eq!(ok(b"@a\nAC\n+\nII\n@b\nG\n+\n@\n"), two);
    assert_eq!(ok(b"@a\r\nAC\r\n+\r\nII\r\n\r\n@b\r\nG\r\n+b\r\n@"), two);
    assert_eq!(ok(b"@a x\nAC\n+a x\nII\n@b y\nG\n+b\n@"), two);
    assert_eq!(ok(b"@e\n\n+\n\n@a\nA\n+\nI\n"), fastq(&[("e", "", ""), ("a", "A", "I")]));
    assert_eq!(ok(b"@e\n\n+\n"), fastq(&[("e", "", "")]));
    assert_eq!(ok(b"@a\nAC\n+\n+@\n"), fastq(&[("a", "AC", "+@")]));
}

#[test]
fn text_before_the_first_header_is_an_error() {
    let text = "x: line 1: found 'A' before the first header, expected '>' (FASTA) or '@' (FASTQ)";
    assert_eq!(error(b"ACGT\n>a\nACGT\n"), text);
    assert_eq!(error(b"\n\n# note\n>a\nA\n").split(':').nth(1), Some(" line 3"));
    assert!(error(b" >a\nA\n").contains("found a space before"));
}

#[test]
fn junk_in_a_sequence_is_an_error_that_names_letter_line_and_column() {
    let text = "x: record 2 (id b), line 5: a space at column 3 is not a nucleotide code";
    assert_eq!(error(b">a\nACGT\n>b\nACGT\nAC GT\n"), text);
    assert!(error(b">a\nAC\0T\n").contains("a NUL byte at column 3"));
    assert!(error(b">a\nAC\xffT\n").contains("byte 0xff at column 3"));
    assert!(error(b">a\nAC@T\n").contains("'@' at column 3"));
    assert!(error(b">a\nACG>b\nA\n").contains("'>' at column 4"));
    assert!(error(b"@a\nA1\n+\nII\n").contains("line 2: '1' at column 2"));
}

#[test]
fn protein_is_recognised_by_its_own_letters() {
    assert!(
        error(b">p\nMALWMRLLPL\n")
            .ends_with("'L' at column 3 is not a nucleotide code; the sequence looks like protein")
    );
    assert!(!error(b">p\nACGTL1\n").contains("protein"));
    for letter in b"EFILPQJOXZefilpqjoxz" {
        assert!(error(&[b">p\nA", &[*letter][..], b"\n"].concat()).contains("protein"));
    }
}

#[test]
fn any_alphabet_keeps_every_letter() {
    let reader = Reader::builder().alphabet(Alphabet::Any);
    let records: Vec<_> = reader.build(&b">p\nMA L\0\n"[..], "x").collect::<Result<_, _>>().unwrap();
    assert_eq!(records[0].sequence, b"MA L\0");
}

#[test]
fn quality_of_another_length_is_an_error() {
    assert_eq!(
        error(b"@r812 x\nACG\n+\nII\n@b\nA\n+\nI\n"),
        "x: record 1 (id r812), line 4: quality has 2 letters, sequence 3"
    );
    assert!(error(b"@a\nAC\n+\nIII\n").contains("quality has 3 letters, sequence 2"));
    assert!(error(b"@a\nAC\n+\n\n@b\nA\n+\nI\n").contains("quality has 0 letters"));
}

#[test]
fn quality_outside_the_printable_range_is_an_error() {
    assert!(error(b"@a\nAC\n+\nI \n").contains("a space at column 2 is not a quality letter"));
    assert!(error(b"@a\nAC\n+\n\x7fI\n").contains("byte 0x7f at column 1"));
    assert!(error(b"@a\nAC\n+\nI\xff\n").contains("byte 0xff at column 2"));
}

#[test]
fn parts_missing_from_a_fastq_record_are_errors() {
    assert!(error(b"@a\nAC\nII\n").contains("line 3: found 'I' where '+' should separate"));
    assert!(error(b"@a\nAC\n\nII\n").contains("line 3: found an empty line where '+'"));
    assert!(error(b"@a\n+\nII\n").contains("before the record's sequence"));
    assert!(error(b"@a\nA\n+\nI\n@b\nAC\n@c\n").contains("record 2 (id b), line 7: found '@' where '+'"));
    assert!(
        error(b"@a\nA\n+\nI\n>b\nA\n")
            .contains("record 2, line 5: found '>' where a record should start with '@'")
    );
}

#[test]
fn every_cut_of_a_fastq_record_is_an_error_with_its_number() {
    let whole = b"@a\nACG\n+\nIII\n@b\nAC\n+\nII\n";
    let first = b"@a\nACG\n+\nIII\n".len();
    for end in first + 1..whole.len() - 1 {
        assert!(error(&whole[..end]).contains("x: record 2"), "{end}");
    }
    assert!(error(b"@a").contains("before the record's sequence"));
    assert!(error(b"@a\nAC\n").contains("before the record's '+' line"));
    assert!(error(b"@a\nAC\n+").contains("before the record's quality"));
    assert!(error(b"@a\nAC\n+\n").contains("before the record's quality"));
}

#[test]
fn wrapped_fastq_is_refused_in_so_many_words() {
    assert!(error(b"@a\nACGT\nACGT\n+\nIIII\nIIII\n").contains("multi-line FASTQ is not read"));
}

#[test]
fn a_plus_line_that_names_another_read_is_an_error() {
    assert!(error(b"@a x\nA\n+b\nI\n").contains("line 3: the '+' line names b, the header a x"));
}

#[test]
fn lone_carriage_returns_are_an_error_not_an_empty_record() {
    assert!(error(b">a\rACGT\r>b\rACGT\r").contains("carriage return inside a line"));
    assert!(error(b">a\nAC\rGT\n").contains("carriage return inside a line"));
    assert!(error(b"@a\nAC\n+\nI\rI\n").contains("carriage return inside a line"));
}

#[test]
fn headers_cannot_smuggle_control_bytes() {
    assert!(error(b">a\0b\nA\n").contains("the header holds a NUL byte"));
    assert!(error(b">a\x1b[31m\nA\n").contains("byte 0x1b"));
    assert!(error(b">a\xff\nA\n").contains("the id is not UTF-8 text"));
    assert_eq!(
        warnings(b">a caf\xe9\nA\n"),
        ["descriptions that are not UTF-8 text: 1 (first: record 1, id a)"]
    );
}

#[test]
fn repeated_and_empty_ids_are_counted_warnings() {
    let text = b">a\nA\n>b\nA\n>a\nA\n>a\nA\n>\nA\n";
    let expected = [
        "records that repeat an earlier id: 2 (first: record 3, id a)",
        "records without an id: 1 (first: record 5)",
    ];
    assert_eq!(warnings(text), expected);
}

#[test]
fn compression_that_is_not_read_is_named() {
    assert!(error(b"\x28\xb5\x2f\xfd....").contains("is zstd-compressed"));
    assert!(error(b"BZh91AY&SY").contains("is bzip2-compressed"));
    assert!(error(b"\xfd7zXZ\0\0").contains("is xz-compressed"));
    assert!(error(&bgzf(b"BAM\x01....")).contains("is BAM"));
    assert!(error(&gz(&gz(b">a\nA\n"))).contains("is gzip inside gzip"));
}

#[test]
fn a_record_over_the_limit_is_an_error_before_it_is_held() {
    let small = || Reader::builder().max_record(10);
    let text = |text: &'static [u8]| small().build(text, "x").collect::<Result<Vec<_>, _>>();
    assert!(text(b">a\nACGTACGTAC\r\n").is_ok());
    assert!(text(b">a\nACGTAC\nGTACG\n").unwrap_err().to_string().contains("the limit of 10 bytes"));
    assert!(text(b">aaaaaaaaaaa\nA\n").is_err());
    assert!(text(b"@a\nACGTACGTACG\n+\nIIIIIIIIIII\n").is_err());
}

#[test]
fn all_members_of_a_gzip_file_are_read() {
    let members = [gz(b">a\nAC"), gz(b""), gz(b"GT\n>b\n"), gz(b"T\n")].concat();
    assert_eq!(ok(&members), fasta(&[("a", "ACGT"), ("b", "T")]));
    assert_eq!(ok(&gz(b"")), fasta(&[]));
}

#[test]
fn gzip_header_fields_are_skipped() {
    let mut file = flate2::GzBuilder::new()
        .filename("x.fa")
        .comment("c")
        .extra([b'X', b'Y', 1, 0, 9])
        .write(Vec::new(), Compression::fast());
    file.write_all(b">a\nA\n").unwrap();
    assert_eq!(ok(&file.finish().unwrap()), fasta(&[("a", "A")]));
}

#[test]
fn every_cut_of_a_gzip_file_is_an_error_not_a_short_read() {
    let whole = [gz(b">a\nACGTACGT\n"), gz(b">b\nGGCC\n")].concat();
    let first = gz(b">a\nACGTACGT\n").len();
    for end in (1..whole.len()).filter(|end| *end != first) {
        let text = error(&whole[..end]);
        // One byte of a gzip file cannot be told from text.
        assert!(text.contains("truncated in member") || end == 1, "{end}: {text}");
    }
}

#[test]
fn every_cut_of_a_bgzf_file_is_an_error_or_at_a_block_border_a_warning() {
    let whole = bgzf(b">a\nACGTACGT\n");
    assert_eq!(ok(&whole), fasta(&[("a", "ACGTACGT")]));
    let border = whole.len() - END_BLOCK;
    for end in (1..whole.len()).filter(|end| *end != border) {
        assert!(read(&whole[..end]).is_err(), "{end}");
    }
    let warnings = |bytes: &[u8]| {
        let mut reader = Reader::new(std::io::Cursor::new(bytes.to_vec()), "test");
        assert!(reader.by_ref().all(|record| record.is_ok()));
        reader.warnings().iter().map(|warning| warning.kind).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&whole[..border]), [WarningKind::NoEndBlock]);
    assert_eq!(warnings(&whole), []);
    // Files put together by `cat` have an end block in the middle.
    assert_eq!(ok(&[&whole[..], &bgzf(b">b\nG\n")].concat()), fasta(&[("a", "ACGTACGT"), ("b", "G")]));
}

#[test]
fn a_block_of_another_size_than_its_header_says_is_an_error_for_any_number_of_threads() {
    let whole = bgzf(b">a\nACGTACGT\n");
    let size = u16::from_le_bytes([whole[16], whole[17]]);
    for wrong in [0, 24, size - 1, size + 1, size + 28, u16::MAX] {
        let mut bytes = whole.clone();
        bytes[16..18].copy_from_slice(&wrong.to_le_bytes());
        for threads in [1, 3] {
            let reader = Reader::builder().threads(threads);
            let mut reader = reader.build(std::io::Cursor::new(bytes.clone()), "test");
            let error = reader.find_map(Result::err).expect("an error").to_string();
            let told =
                format!("BGZF block 1 is not of the {} bytes that its header says", u32::from(wrong) + 1);
            assert!(error.contains(&told), "{wrong}, {threads} threads: {error}");
        }
    }
}

#[test]
fn damaged_gzip_content_is_an_error_that_says_how() {
    let good = gz(b">a\nACGTACGT\n");
    let mut checksum = good.clone();
    checksum[good.len() - 8] ^= 1;
    assert!(error(&checksum).contains("gzip member 1 has checksum"));
    let mut length = good.clone();
    length[good.len() - 4] ^= 1;
    assert!(error(&length).contains("gzip member 1 has 12 bytes (modulo 2^32), its trailer says 13"));
    let mut method = good.clone();
    method[2] = 7;
    assert!(error(&method).contains("invalid header"));
    let mut data = good;
    data[10] = 0xff;
    assert!(error(&data).contains("invalid compressed data"));
}

#[test]
fn bytes_after_the_gzip_stream_are_ignored_with_a_warning() {
    let text = [gz(b">a\nA\n"), b"junk".to_vec()].concat();
    let mut reader = Reader::new(std::io::Cursor::new(text), "x");
    assert!(reader.next().unwrap().is_ok() && reader.next().is_none());
    assert_eq!(reader.warnings()[0].to_string(), "bytes after the end of the gzip stream were ignored");
}

#[test]
fn nothing_follows_an_error() {
    let mut reader = Reader::new(&b">a\nA1\n>b\nA\n"[..], "x");
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
}

#[test]
fn the_memory_of_a_record_is_used_again() {
    let mut reader = Reader::new(&b"@a x\nAC\n+\nII\n@b\nG\n+\nI\n"[..], "x");
    let mut record = Record::default();
    assert!(reader.read_record(&mut record).unwrap());
    assert!(reader.read_record(&mut record).unwrap());
    let expected = Record {
        id: "b".into(),
        sequence: b"G".to_vec(),
        quality: Some(b"I".to_vec()),
        number: 2,
        ..Record::default()
    };
    assert_eq!(record, expected);
    assert!(!reader.read_record(&mut record).unwrap());
}

/// A stream that hands out one byte at a time, as a slow pipe may.
struct Drip(std::io::Cursor<Vec<u8>>);

impl std::io::Read for Drip {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let end = out.len().min(1);
        self.0.read(&mut out[..end])
    }
}

fn records() -> impl Strategy<Value = Vec<(String, String, Vec<u8>)>> {
    let record = ("[!-~]{1,12}", "([!-~][ -~]{0,20}[!-~])?", "[ACGTNUacgtnRYSWKMBDHV*.-]{0,120}");
    proptest::collection::vec(
        record.prop_map(|(id, about, sequence)| (id, about, sequence.into_bytes())),
        0..8,
    )
}

/// What a writer may choose freely: line width, line ends, blank lines, a last line end, compression in several parts.
#[derive(Debug, Clone)]
struct Layout {
    width: usize,
    crlf: bool,
    blank: bool,
    last: bool,
    members: Vec<usize>,
    packing: u8,
}

fn layout() -> impl Strategy<Value = Layout> {
    (
        1_usize..90,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        proptest::collection::vec(0_usize..400, 0..4),
        0_u8..4,
    )
        .prop_map(|(width, crlf, blank, last, members, packing)| Layout {
            width,
            crlf,
            blank,
            last,
            members,
            packing,
        })
}

impl Layout {
    fn end(&self) -> &'static str {
        if self.crlf { "\r\n" } else { "\n" }
    }

    fn pack(&self, mut text: Vec<u8>) -> Vec<u8> {
        if !self.last && text.ends_with(self.end().as_bytes()) {
            text.truncate(text.len() - self.end().len());
        }
        match self.packing {
            0 => text,
            1 => bgzf(&text),
            _ => {
                let mut rest = &text[..];
                let mut packed = Vec::new();
                for &length in &self.members {
                    let (member, after) = rest.split_at(length.min(rest.len()));
                    packed.extend(gz(member));
                    rest = after;
                }
                packed.extend(gz(rest));
                packed
            }
        }
    }
}

proptest! {
    #[test]
    fn fasta_comes_back_in_any_layout(records in records(), layout in layout()) {
        let end = layout.end();
        let mut text = Vec::new();
        for (id, about, sequence) in &records {
            write!(text, ">{id} {about}{end}").unwrap();
            for line in sequence.chunks(layout.width) {
                text.extend_from_slice(line);
                write!(text, "{end}").unwrap();
                if layout.blank {
                    write!(text, "{end}").unwrap();
                }
            }
        }
        let drip = Drip(std::io::Cursor::new(layout.pack(text)));
        let read: Vec<_> = Reader::new(drip, "x").collect::<Result<_, _>>().unwrap();
        let read: Vec<_> = read.into_iter().map(|r| (r.id, r.description, r.sequence)).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn fastq_comes_back_in_any_layout(records in records(), layout in layout(), seed in any::<u8>()) {
        let end = layout.end();
        let mut text = Vec::new();
        let qualities: Vec<Vec<u8>> = records
            .iter()
            .map(|(_, _, sequence)| {
                (0..sequence.len()).map(|i| b'!' + (i * 7 + usize::from(seed)).rem_euclid(94) as u8).collect()
            })
            .collect();
        for ((id, about, sequence), quality) in records.iter().zip(&qualities) {
            write!(text, "@{id} {about}{end}").unwrap();
            text.extend_from_slice(sequence);
            let name = if layout.blank { id.as_str() } else { "" };
            write!(text, "{end}+{name}{end}").unwrap();
            text.extend_from_slice(quality);
            write!(text, "{end}").unwrap();
        }
        // An empty last read keeps its line ends: cut off, they would be the whole quality line and the '+' line's.
        let layout = Layout { last: true, ..layout };
        let read: Vec<_> = Reader::new(std::io::Cursor::new(layout.pack(text)), "x").collect::<Result<_, _>>().unwrap();
        let qualities_read: Vec<_> = read.iter().map(|r| r.quality.clone().unwrap()).collect();
        prop_assert_eq!(qualities_read, qualities);
        let read: Vec<_> = read.into_iter().map(|r| (r.id, r.description, r.sequence)).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_run_on(bytes in proptest::collection::vec(any::<u8>(), 0..300), mark in 0_u8..4) {
        let start: &[u8] = [&b""[..], b">", b"@", b"\x1f\x8b\x08\0"][usize::from(mark)];
        crate::fastx::check(&[start, &bytes].concat());
    }

    #[test]
    fn text_near_the_formats_keeps_the_rules(text in "[>@+\r\nACGTIn \0]{0,120}") {
        crate::fastx::check(text.as_bytes());
    }

    #[test]
    fn threads_do_not_change_what_blocks_hold(bytes in prop::collection::vec(any::<u8>(), 4..600), repeat in 1_usize..20) {
        let text = bytes[4..].repeat(repeat);
        crate::fastx::check_blocks(&[&bytes[..4], &text].concat());
    }
}

#[test]
fn texts_of_many_blocks_are_inflated_whole() {
    let number = |number: u32| number.wrapping_mul(2_654_435_761).to_string();
    let text: Vec<u8> = (0..200_000).flat_map(|n| number(n).into_bytes()).collect();
    let blocks = bgzf(&text);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &blocks).unwrap();
    assert_eq!(crate::fastx::inflated_bytes(file.path()).unwrap(), text.len() as u64);
    crate::fastx::check_blocks(&[&[0, 0, 0, 255], &text[..100_000]].concat());
    // Found by fuzzing: a text that is refused at its first bytes.
    crate::fastx::check_blocks(b"\0ACG\x1f\x8b\x08T\n>\nAC\x1b@\x01");
}

#[test]
fn a_mapped_file_reads_as_a_stream_does() {
    let text = b">a b\nACGT\nACGTN\n\n>c\r\nGG\r\nTT\r\n>d\nA".repeat(3000);
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in
        [&text[..], &text[1..], b"", b">", b"\xef\xbb\xbf>a\nAC\n", &gz(&text), &bgzf(&text), b">a\nAC\rG\n"]
    {
        std::fs::write(file.path(), text).unwrap();
        let outcome = |reader: Reader| -> (Vec<Record>, Option<String>) {
            let (mut records, mut error) = (Vec::new(), None);
            for outcome in reader {
                match outcome {
                    Ok(record) => records.push(record),
                    Err(failure) => error = Some(failure.to_string().split_once(": ").unwrap().1.to_owned()),
                }
            }
            (records, error)
        };
        let mapped = outcome(Reader::open(file.path()).unwrap());
        let one = outcome(Reader::builder().threads(1).build(std::io::Cursor::new(text.to_vec()), "x"));
        assert_eq!(mapped, outcome(Reader::new(std::io::Cursor::new(text.to_vec()), "x")));
        assert_eq!(mapped, one);
    }
}

#[test]
fn places_are_right_in_long_lines_and_long_records() {
    // Longer than what is looked at together, and than a buffer of a stream.
    let line = b"ACGT".repeat(100_000);
    for (before, number) in [(&b">x\n"[..], 1), (b">w\nAC\nGT\n>x\nAC\n", 2)] {
        let mut text = [before, &line, b"-", &line].concat();
        let at = before.len() + line.len();
        text[at] = b'!';
        let lines = text[..at].split(|&byte| byte == b'\n').count();
        let expected =
            format!("x: record {number} (id x), line {lines}: '!' at column 400001 is not a nucleotide code");
        assert_eq!(error(&text), expected);
        let mut reader = Reader::builder().threads(1).build(Drip(std::io::Cursor::new(text)), "x");
        assert_eq!(reader.find_map(Result::err).unwrap().to_string(), expected);
    }
    let wrapped: Vec<u8> = line.chunks(60).flat_map(|part| [part, b"\n"].concat()).collect();
    let text = [b">x\n", &wrapped[..], b"AC GT\n>y\nA\n"].concat();
    assert!(error(&text).contains(&format!("line {}: a space at column 3", 2 + line.len().div_ceil(60))));
    let mut counts = crate::alphabet::Counts::default();
    let mut reader = Reader::new(std::io::Cursor::new([b">x\n", &wrapped[..]].concat()), "x");
    assert!(reader.count_record(&mut Record::default(), &mut counts).unwrap());
    assert_eq!((counts.a, counts.total(), counts.other), (100_000, 400_000, 0));
}
