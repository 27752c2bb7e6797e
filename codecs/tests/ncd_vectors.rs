//! Sizes and distances of pairs of gene-family sequences, against those of Python's gzip, zlib, bz2, lzma and brotli.

#![allow(clippy::float_cmp, reason = "figures are to be met exactly")]

mod gene_family;
mod shared;

use gene_family::{fixtures, rows};
use kilobase_codecs::compress::bytes::{Compressor, Kind};
use kilobase_codecs::compress::{CodeLength, Distance};

#[test]
fn public_vectors_are_met_exactly() {
    let Some(vectors) = fixtures("ncd_vectors_public.tsv") else { return };
    let (Some(chimp), Some(dog)) = (rows("chimp"), rows("dog")) else { return };
    let mut seen = 0;
    for line in vectors.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| fields[at].parse::<usize>().unwrap();
        let set = if fields[0] == "chimp" { &chimp } else { &dog };
        let (x, y) = (&set[number(1)].0, &set[number(2)].0);
        assert_eq!((x.len(), y.len()), (number(3), number(4)), "{line}");
        // Raw DEFLATE is gzip without its frame of 18 bytes.
        let (kind, frame) = match fields[5] {
            "gzip" => (Kind::Gzip, 0),
            "deflate9" => (Kind::Gzip, 18),
            "brotli" => (Kind::Brotli, 0),
            "lzma" => (Kind::Xz, 0),
            "bz2" => (Kind::Bz2, 0),
            other => panic!("an unknown compressor: {other}"),
        };
        let compressor = Compressor::new(kind, kind.default_level()).unwrap();
        let others = [y.clone()];
        let corpus = compressor.corpus(&others).unwrap();
        let row = corpus.row(x).unwrap();
        let backward = compressor.joint_bits(y, x).unwrap();
        let bytes =
            [row.alone, corpus.alone()[0], row.joint[0], backward].map(|bits| bits as usize / 8 - frame);
        assert_eq!(bytes, [number(6), number(7), number(8), number(9)], "{line}");
        assert_eq!(compressor.bits(x).unwrap(), row.alone, "{line}");
        let [cx, cy, cxy, _] = bytes.map(|bytes| bytes as f64);
        let ncd = Distance::Ncd.of(x.len(), cx, cy, cxy);
        assert!((ncd - fields[10].parse::<f64>().unwrap()).abs() < 5.1e-10, "{line}: {ncd}");
        seen += 1;
    }
    assert_eq!(seen, 134);
}
