use std::fs;

use bigtools::BigWigRead;
use proptest::prelude::*;

use super::*;

fn contigs() -> Vec<Contig> {
    // Neither in the order of the alphabet nor in that of their lengths.
    [("chr2", 300), ("chr10", 5000), ("chr1", 40)]
        .map(|(name, length)| Contig { name: name.into(), length })
        .to_vec()
}

fn at(contig: usize, start: u64, end: u64, value: f32) -> Interval {
    Interval { contig, start, end, value }
}

fn text(name: &str, values: &[Interval]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write::<Error>(&path, &contigs(), values.iter().copied().map(Ok), false).unwrap();
    fs::read_to_string(&path).unwrap()
}

/// What bigtools' reader finds, contig by contig.
fn read_bigwig(path: &Path) -> Vec<Interval> {
    let mut reader = BigWigRead::open_file(path).unwrap();
    let mut found = Vec::new();
    for (number, contig) in contigs().iter().enumerate() {
        if reader.chroms().iter().all(|chrom| chrom.name != contig.name) {
            continue;
        }
        for value in reader.get_interval(&contig.name, 0, contig.length as u32).unwrap() {
            let value = value.unwrap();
            found.push(at(number, value.start.into(), value.end.into(), value.value));
        }
    }
    found
}

#[test]
fn neighbours_of_one_value_are_joined_but_in_tables() {
    let values = [
        at(0, 0, 1, 0.1),
        at(0, 1, 2, 0.1),
        at(0, 3, 4, 0.1),
        at(0, 4, 5, 0.0),
        at(0, 5, 6, -0.0),
        at(2, 6, 40, -1e-30),
    ];
    assert_eq!(
        text("a.bg", &values),
        "chr2\t0\t2\t0.1\nchr2\t3\t4\t0.1\nchr2\t4\t5\t0.0\nchr2\t5\t6\t-0.0\nchr1\t6\t40\t-1e-30\n"
    );
    assert_eq!(
        text("a.tsv", &values[..3]),
        "contig\tstart\tend\tvalue\nchr2\t0\t1\t0.1\nchr2\t1\t2\t0.1\nchr2\t3\t4\t0.1\n"
    );
    assert_eq!(text("a.bedgraph", &[]), "");
}

#[test]
fn intervals_out_of_place_are_errors_and_leave_no_file() {
    let first = at(1, 10, 20, 1.0);
    let folder = tempfile::tempdir().unwrap();
    for suffix in ["bg", "bw", "tsv"] {
        let path = folder.path().join(format!("a.{suffix}"));
        for (second, expected) in [
            (at(1, 19, 21, 1.0), "bases 19-21 of contig chr10: is not after the interval before it"),
            (at(0, 30, 31, 1.0), "of contig chr2: is not after the interval before it"),
            (at(1, 25, 25, 1.0), "the end is not after the start"),
            (at(2, 39, 41, 1.0), "bases 39-41 of contig chr1: the contig has 40 bases"),
            (at(3, 0, 1, 1.0), "there are 3 contigs"),
            (at(1, 25, 26, f32::NAN), "the value NaN is not finite"),
        ] {
            let values = [Ok(first), Ok(second), Ok(at(2, 0, 1, 1.0))];
            let error = write::<Error>(&path, &contigs(), values, false).unwrap_err();
            assert!(error.to_string().contains(expected), "{suffix}: {error}");
        }
        let own = [Ok(first), Err(Error::UnknownFormat { path: "its own".into() })];
        let error = write(&path, &contigs(), own, false).unwrap_err();
        assert!(matches!(error, Error::UnknownFormat { .. }), "the caller's error comes back: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn bigwig_refuses_what_it_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bw");
    let none: [Result<Interval, Error>; 0] = [];
    assert!(matches!(write(&path, &contigs(), none, false), Err(Error::Empty { .. })));
    let long = [Contig { name: "long".into(), length: 1 << 32 }];
    assert!(matches!(
        write::<Error>(&path, &long, [Ok(at(0, 0, 1, 1.0))], false),
        Err(Error::TooLong { .. })
    ));
    let twice = [contigs()[0].clone(), contigs()[0].clone()];
    assert!(matches!(
        write::<Error>(&path, &twice, [Ok(at(0, 0, 1, 1.0))], false),
        Err(Error::DuplicateContig { .. })
    ));
    assert!(matches!(
        write::<Error>(Path::new("a.wig"), &long, [Ok(at(0, 0, 1, 1.0))], false),
        Err(Error::UnknownFormat { .. })
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn existing_track_is_kept_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bigwig");
    fs::write(&path, "old").unwrap();
    let values = || [Ok(at(1, 3, 4000, 2.5))];
    assert!(matches!(
        write::<Error>(&path, &contigs(), values(), false),
        Err(Error::Export(crate::export::Error::Exists { .. }))
    ));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    write::<Error>(&path, &contigs(), values(), true).unwrap();
    assert_eq!(read_bigwig(&path), [at(1, 3, 4000, 2.5)]);
}

#[test]
fn bigwig_of_many_values_has_summaries_and_zoom_levels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bw");
    let contig = [Contig { name: "c".into(), length: 200_000 }];
    let value = |base: u64| (base % 97) as f32;
    let values = (0..200_000).map(|base| Ok(at(0, base, base + 1, value(base))));
    write::<Error>(&path, &contig, values, false).unwrap();
    let mut reader = BigWigRead::open_file(&path).unwrap();
    let summary = reader.get_summary().unwrap();
    let sum: f64 = (0..200_000).map(|base| f64::from(value(base))).sum();
    assert_eq!((summary.bases_covered, summary.min_val, summary.max_val), (200_000, 0.0, 96.0));
    assert!((summary.sum - sum).abs() < 1e-6 * sum);
    let found = reader.values("c", 150_000, 150_100).unwrap();
    assert_eq!(found, (150_000..150_100).map(value).collect::<Vec<_>>());
    assert!(!reader.info().zoom_headers.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn bigwig_and_bedgraph_hold_the_same_values(
        steps in prop::collection::vec((any::<bool>(), 0u64..4, 1u64..30, 0u8..4), 1..60),
    ) {
        let contigs = contigs();
        let (mut values, mut contig, mut start) = (Vec::new(), 0, 0);
        for (moves, gap, length, value) in steps {
            if moves && contig < 2 {
                (contig, start) = (contig + 1, 0);
            }
            let end = start + gap + length;
            if end <= contigs[contig].length {
                values.push(at(contig, start + gap, end, f32::from(value) / 3.0));
                start = end;
            }
        }
        prop_assume!(!values.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let (wig, bed) = (folder.path().join("a.bw"), folder.path().join("a.bg"));
        write::<Error>(&wig, &contigs, values.iter().copied().map(Ok), false).unwrap();
        write::<Error>(&bed, &contigs, values.iter().copied().map(Ok), false).unwrap();
        let found = read_bigwig(&wig);
        let lines: Vec<Interval> = fs::read_to_string(&bed)
            .unwrap()
            .lines()
            .map(|line| {
                let cells: Vec<&str> = line.split('\t').collect();
                let contig = contigs.iter().position(|contig| contig.name == cells[0]).unwrap();
                at(contig, cells[1].parse().unwrap(), cells[2].parse().unwrap(), cells[3].parse().unwrap())
            })
            .collect();
        prop_assert_eq!(&found, &lines);
        let bases = |intervals: &[Interval]| {
            let all = intervals.iter().flat_map(|i| (i.start..i.end).map(|base| (i.contig, base, i.value.to_bits())));
            all.collect::<Vec<_>>()
        };
        prop_assert_eq!(bases(&found), bases(&values));
        let touch = |pair: &[Interval]| {
            (pair[0].contig, pair[0].end, pair[0].value) == (pair[1].contig, pair[1].start, pair[1].value)
        };
        prop_assert!(!found.windows(2).any(touch), "neighbours of one value are one item");
    }
}
