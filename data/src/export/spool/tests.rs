use std::io::{BufRead, BufReader, Read};

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn stretch(record: &str, rows: u64) -> Stretch {
    Stretch { record: record.to_owned(), start: 0, end: 9, tokens: 4, rows, spans: Vec::new() }
}

fn plan() -> Value {
    json!({ "model": { "name": "m", "sha256": "00" }, "pool": "mean", "seed": 42, "share": 0.1 })
}

fn metadata() -> Map<String, Value> {
    json!({ "model": "m", "layer": 12 }).as_object().unwrap().clone()
}

fn finish(format: Format, metadata: &Map<String, Value>) -> Finish<'_> {
    Finish { format, columns: &Stretch::COLUMNS, metadata, force: false }
}

/// Reads what numpy would: the header's words, then the numbers.
fn read_npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let (magic, rest) = bytes.split_at(8);
    assert_eq!(magic, b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
    let (header, values) = rest[2..].split_at(length);
    let values = values.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (String::from_utf8(header.to_vec()).unwrap(), values)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder as a kill would leave it: both files cut at any byte.
fn copy_cut(from: &Path, to: &Path, index: usize, values: usize) {
    fs::create_dir(to).unwrap();
    fs::copy(from.join(PLAN), to.join(PLAN)).unwrap();
    fs::write(to.join(INDEX), &fs::read(from.join(INDEX)).unwrap()[..index]).unwrap();
    fs::write(to.join(VALUES), &fs::read(from.join(VALUES)).unwrap()[..values]).unwrap();
}

#[test]
fn kill_at_any_byte_of_the_last_commit_keeps_whole_items_only() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.npy");
    let mut spool = Spool::open(&out, &plan(), 2).unwrap();
    spool.append(&[stretch("one", 1)], &[1.0, 2.0]).unwrap();
    let (index_before, values_before) = (spool.index_bytes as usize, 8);
    spool.append(&[stretch("two", 2), stretch("three", 1)], &[3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
    let index_after = spool.index_bytes as usize;
    let line_end = index_before
        + BufReader::new(&fs::read(spool.folder.join(INDEX)).unwrap()[index_before..])
            .read_until(b'\n', &mut Vec::new())
            .unwrap();
    // Values are complete before the index begins to grow.
    let cuts = (values_before..=32)
        .map(|values| (index_before, values))
        .chain((index_before..=index_after).map(|index| (index, 32)));
    for (number, (index, values)) in cuts.enumerate() {
        let out = folder.path().join(format!("{number}.npy"));
        copy_cut(&spool.folder, &folder_of(&out), index, values);
        let mut cut = Spool::<Stretch>::open(&out, &plan(), 2).unwrap();
        let items = if index == index_after {
            3
        } else if index >= line_end {
            2
        } else {
            1
        };
        let rows = [0, 1, 3, 4][items as usize];
        assert_eq!((cut.items(), cut.rows()), (items, rows), "cut at {index}, {values}");
        // What follows is the same as without the kill.
        let (rest, numbers) = (["one", "two", "three"], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let left: Vec<_> = (items as usize..3).map(|at| stretch(rest[at], [1, 2, 1][at])).collect();
        cut.append(&left, &numbers[rows as usize * 2..]).unwrap();
        cut.finish(&finish(Format::Npy, &metadata())).unwrap();
        assert_eq!(read_npy(&out).1, numbers);
        let index = fs::read_to_string(index_path(&out)).unwrap();
        assert_eq!(index.lines().nth(3), Some("2\ttwo\t0\t9\t4"));
        assert_eq!(index.lines().count(), 5);
    }
}

#[test]
fn block_that_never_reached_the_disk_ends_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.npy");
    let mut spool = Spool::open(&out, &plan(), 1).unwrap();
    spool.append(&[stretch("one", 1)], &[1.0]).unwrap();
    let end = spool.index_bytes;
    spool.append(&[stretch("two", 1), stretch("three", 1)], &[2.0, 3.0]).unwrap();
    spool.index.seek(SeekFrom::Start(end)).unwrap();
    spool.index.write_all(&[0; 10]).unwrap();
    drop(spool);
    assert_eq!(Spool::<Stretch>::open(&out, &plan(), 1).unwrap().items(), 1);
}

#[test]
fn other_plan_is_refused_by_name_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.npy");
    drop(Spool::<Stretch>::open(&out, &plan(), 2).unwrap());
    let mut other = plan();
    other["model"]["sha256"] = "01".into();
    let error = Spool::<Stretch>::open(&out, &other, 2).unwrap_err();
    assert!(matches!(&error, Error::PlanDiffers { key, .. } if key == "model.sha256"), "{error}");
    assert!(error.to_string().contains(r#"model.sha256 = "00", this one has "01""#), "{error}");
    let error = Spool::<Stretch>::open(&out, &plan(), 3).unwrap_err();
    assert!(matches!(&error, Error::PlanDiffers { key, .. } if key == "width"), "{error}");
    let mut more = plan();
    more["layer"] = 3.into();
    let error = Spool::<Stretch>::open(&out, &more, 2).unwrap_err();
    assert!(matches!(&error, Error::PlanDiffers { key, saved, .. } if key == "layer" && saved == "nothing"));
    assert_eq!(Spool::<Stretch>::open(&out, &plan(), 2).unwrap().items(), 0, "a refusal changes nothing");
    assert_eq!(Spool::<Stretch>::restart(&out, &other, 2).unwrap().items(), 0);
}

#[test]
fn damage_is_an_error_and_restart_is_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.npy");
    let open = || Spool::<Stretch>::open(&out, &plan(), 2);
    let mut spool = open().unwrap();
    spool.append(&[stretch("one", 1), stretch("two", 1)], &[1.0, 2.0, 3.0, 4.0]).unwrap();
    let kept = spool.folder.clone();
    drop(spool);

    let index = fs::read(kept.join(INDEX)).unwrap();
    fs::write(kept.join(INDEX), [b"nonsense\n", &index[..]].concat()).unwrap();
    assert!(matches!(open(), Err(Error::Corrupt { reason, .. }) if reason.contains("line 1")));
    fs::write(kept.join(INDEX), index).unwrap();
    fs::write(kept.join(VALUES), [0; 12]).unwrap();
    assert!(matches!(open(), Err(Error::Corrupt { reason, .. }) if reason.contains("12 bytes")));
    fs::remove_file(kept.join(PLAN)).unwrap();
    assert!(matches!(open(), Err(Error::Corrupt { reason, .. }) if reason.contains("plan.json")));
    assert_eq!(Spool::<Stretch>::restart(&out, &plan(), 2).unwrap().items(), 0);
}

#[test]
fn run_killed_before_its_plan_was_kept_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.npy");
    fs::create_dir(folder_of(&out)).unwrap();
    fs::write(folder_of(&out).join(VALUES), b"").unwrap();
    fs::write(folder_of(&out).join(format!("{}x.tmp", atomic::TEMPORARY)), b"{").unwrap();
    let mut spool = Spool::open(&out, &plan(), 1).unwrap();
    spool.append(&[stretch("one", 1)], &[1.0]).unwrap();
    spool.finish(&finish(Format::Npy, &metadata())).unwrap();
    assert_eq!(names(folder.path()), ["a.npy", "a.npy.index.tsv", "a.npy.meta.json"]);
}

#[test]
fn second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.npy");
    let first = Spool::<Stretch>::open(&out, &plan(), 2).unwrap();
    assert!(matches!(Spool::<Stretch>::open(&out, &plan(), 2), Err(Error::Locked { .. })));
    assert!(matches!(Spool::<Stretch>::restart(&out, &plan(), 2), Err(Error::Locked { .. })));
    drop(first);
    Spool::<Stretch>::open(&out, &plan(), 2).unwrap();
}

#[test]
fn rows_that_do_not_fit_their_items_are_refused() {
    let mut spool = Spool::scratch(2).unwrap();
    assert!(matches!(spool.append(&[stretch("one", 2)], &[1.0; 3]), Err(Error::Shape { rows: 2, .. })));
    spool.append(&[stretch("one", 2)], &[1.0; 4]).unwrap();
    assert_eq!((spool.items(), spool.rows()), (1, 2));
}

#[test]
fn missing_parent_folder_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let error = Spool::<Stretch>::open(&folder.path().join("no/a.npy"), &plan(), 2).unwrap_err();
    assert!(matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn tables_carry_position_columns_and_no_index_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.tsv");
    let mut spool = Spool::open(&out, &plan(), 1).unwrap();
    let tokens = Stretch { spans: vec![[0, 4], [4, 9]], ..stretch("r\t1", 2) };
    spool.append(&[tokens], &[0.1, f32::NAN]).unwrap();
    let columns = &Stretch::TOKEN_COLUMNS;
    spool.finish(&Finish { columns, ..finish(Format::Tsv, &metadata()) }).unwrap();
    assert_eq!(
        fs::read_to_string(&out).unwrap(),
        "record\tstart\tend\ttokens\ttoken_start\ttoken_end\te0\n\
         r\\t1\t0\t9\t4\t0\t4\t0.1\n\
         r\\t1\t0\t9\t4\t4\t9\tNaN\n"
    );
    assert_eq!(names(folder.path()), ["a.tsv", "a.tsv.meta.json"]);
    let saved: Value = serde_json::from_slice(&fs::read(metadata_path(&out)).unwrap()).unwrap();
    assert_eq!(saved["layer"], 12);
}

#[test]
fn safetensors_is_read_by_the_format_s_own_reader() {
    let mut spool = Spool::scratch(3).unwrap();
    spool.append(&[stretch("one", 2)], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let mut bytes = Vec::new();
    spool.write(&finish(Format::Safetensors, &metadata()), &mut bytes).unwrap();
    let file = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("embeddings").unwrap();
    assert_eq!(tensor.shape(), [2, 3]);
    assert_eq!(tensor.data()[20..], 6.0f32.to_le_bytes());
    let (length, header) = ::safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(length % 8, 0);
    assert_eq!(header.metadata().as_ref().unwrap()["layer"], "12");
}

#[test]
fn existing_output_is_kept_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.npy");
    fs::write(&out, b"old").unwrap();
    let full = || {
        let mut spool = Spool::open(&out, &plan(), 1).unwrap();
        if spool.items() == 0 {
            spool.append(&[stretch("one", 1)], &[1.0]).unwrap();
        }
        spool
    };
    assert!(matches!(full().finish(&finish(Format::Npy, &metadata())), Err(Error::Exists { .. })));
    assert_eq!(fs::read(&out).unwrap(), b"old");
    full().finish(&Finish { force: true, ..finish(Format::Npy, &metadata()) }).unwrap();
    assert_eq!(read_npy(&out).1, [1.0]);
}

#[test]
fn empty_results_are_files_too() {
    let mut bytes = Vec::new();
    Spool::<Stretch>::scratch(4).unwrap().write(&finish(Format::Npy, &metadata()), &mut bytes).unwrap();
    let mut header = String::new();
    (&bytes[10..]).read_to_string(&mut header).unwrap();
    assert!(header.contains("'shape': (0, 4)"), "{header}");
}

proptest! {
    // Each case waits for the disk at every commit.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_come_back_as_they_went(
        width in 1usize..5,
        commits in prop::collection::vec(prop::collection::vec((".{0,12}", 0u64..4), 0..4), 0..4),
        seed in any::<u32>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a.tsv");
        let (mut bits, mut all) = (seed, Vec::new());
        for commit in &commits {
            // Opened anew each time: every commit is also a resume.
            let mut spool = Spool::open(&out, &plan(), width).unwrap();
            let items: Vec<_> = commit.iter().map(|(record, rows)| stretch(record, *rows)).collect();
            let count = items.iter().map(|item| item.rows as usize).sum::<usize>() * width;
            let rows: Vec<f32> = (0..count)
                .map(|_| {
                    bits = bits.wrapping_mul(0x9E37_79B1).wrapping_add(12_345);
                    f32::from_bits(bits)
                })
                .collect();
            spool.append(&items, &rows).unwrap();
            all.extend(rows);
        }
        let spool = Spool::<Stretch>::open(&out, &plan(), width).unwrap();
        let mut reader = spool.read().unwrap();
        let (mut values, mut row, mut records) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(item) = reader.next_item().unwrap() {
            for _ in 0..item.rows {
                reader.read_row(&mut row).unwrap();
                values.extend(row.iter().map(|value| value.to_bits()));
            }
            records.push(item.record);
        }
        prop_assert_eq!(values, all.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        prop_assert_eq!(records, commits.concat().into_iter().map(|(record, _)| record).collect::<Vec<_>>());

        // The text of a number reads back to the number.
        spool.finish(&finish(Format::Tsv, &metadata())).unwrap();
        let text = fs::read_to_string(&out).unwrap();
        let read: Vec<f32> =
            text.lines().skip(1).flat_map(|line| line.split('\t').skip(4)).map(|n| n.parse().unwrap()).collect();
        prop_assert_eq!(read.len(), all.len());
        prop_assert!(read.iter().zip(&all).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())));
    }
}
