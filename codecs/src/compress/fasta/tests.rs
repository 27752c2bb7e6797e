use proptest::prelude::*;

use super::*;

fn packed(bytes: &[u8], block: usize) -> (Vec<u8>, Vec<BlockReport>) {
    let mut out = Vec::new();
    let report = compress(&mut &bytes[..], &mut out, block, |_, _| ()).unwrap();
    (out, report.blocks)
}

fn restored(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decompress(&mut &bytes[..], &mut out, |_| ())?;
    Ok(out)
}

const FASTA: &[u8] = b">chr1 a test\nACGTACGTAACCGGTT\nacgtNNNNNNNNacgt\nAC\n\n>empty\n>chr2\r\nACGTRYKM-ACGT\r\nUUUU*ACGTACGTTTGACA";

#[test]
fn every_feature_of_a_file_comes_back() {
    for block in [1, 7, 40, BLOCK] {
        check(FASTA, block);
        check(&[FASTA, b"\n"].concat(), block);
        check(&FASTA.repeat(5), block);
    }
    for text in [
        &b""[..],
        b"\n",
        b">",
        b">\n",
        b"A",
        b"\nACGT",
        b"ACGT\n>x",
        b"a\nC\ng\nT\n\n\n",
        b"\xff\x00>\n>\xfe",
    ] {
        check(text, BLOCK);
    }
}

#[test]
fn a_block_of_bases_takes_less_than_two_bits_a_base() {
    let text = [b">r\n", &b"ACGTTGCATGACCAGTTAGGCATCAGATTACAGCCATCGT".repeat(50)[..]].concat();
    let (file, reports) = packed(&text, BLOCK);
    assert_eq!(reports[0].kind, Kind::Sequences);
    assert_eq!(reports[0].bases, 2000);
    assert!(file.len() < 2000 / 8, "{} bytes", file.len());
    let (_, reports) = packed(b"This is a letter, and no sequence at all.\n", BLOCK);
    assert_eq!(reports[0].kind, Kind::Bytes);
}

#[test]
fn damage_is_an_error_wherever_it_is() {
    let (file, _) = packed(&FASTA.repeat(4), 150);
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(restored(&damaged).is_err(), "byte {at}");
        assert!(restored(&file[..at]).is_err(), "cut at {at}");
    }
    assert!(matches!(restored(&[&file[..], b"x"].concat()), Err(Error::Trailing)));
    assert!(matches!(restored(b">chr1\nACGT"), Err(Error::Magic)));
    assert!(matches!(restored(b"KBDNA\r\n\x02"), Err(Error::Version { version: 2, .. })));
}

#[test]
fn blocks_can_not_change_places() {
    let (one, _) = packed(b"ACGTACGTACGTACGTACG\n", BLOCK);
    let (both, reports) = packed(b"ACGTACGTACGTACGTACG\nTTTTTTTTTTTTTTTTTTT\n", 20);
    assert_eq!(reports.len(), 2);
    let first = reports[0].stored as usize;
    let second = reports[1].stored as usize;
    let swapped =
        [&both[..8], &both[8 + first..8 + first + second], &both[8..8 + first], &both[8 + first + second..]]
            .concat();
    assert!(matches!(restored(&swapped), Err(Error::End)));
    assert!(restored(&one).is_ok());
}

#[test]
fn threads_do_not_change_the_file() {
    let text = FASTA.repeat(30);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| packed(&text, 300).0)
    };
    assert_eq!(with(1), with(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..400), block in 1_usize..500) {
        check(&bytes, block);
    }

    #[test]
    fn any_lines_come_back(lines in prop::collection::vec("[ACGTacgtNn>; \r-]{0,30}", 0..30), block in 1_usize..500) {
        check(lines.join("\n").as_bytes(), block);
    }
}
