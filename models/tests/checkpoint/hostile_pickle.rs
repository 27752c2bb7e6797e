use kilobase_models::checkpoint::{Checkpoint, Error, PickleFault, PytorchFault};
use zip::CompressionMethod;

use crate::fixture::{self, archive};

const FILE: &str = "pytorch_model.bin";

/// Pieces of pickle.
mod op {
    pub(super) const PROTO2: &[u8] = b"\x80\x02";
    pub(super) const ORDERED_DICT: &[u8] = b"ccollections\nOrderedDict\n)R";
    pub(super) const REBUILD: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n";

    pub(super) fn text(text: &str) -> Vec<u8> {
        [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
    }

    pub(super) fn int(value: i64) -> Vec<u8> {
        [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
    }

    pub(super) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
        [b"(", &items.concat()[..], b"t"].concat()
    }

    pub(super) fn ints(values: &[i64]) -> Vec<u8> {
        tuple(&values.iter().map(|&value| int(value)).collect::<Vec<_>>())
    }

    pub(super) fn storage(class: &str, key: &str, elements: i64) -> Vec<u8> {
        let class = format!("ctorch\n{class}\n").into_bytes();
        let id = tuple(&[text("storage"), class, text(key), text("cpu"), int(elements)]);
        [&id[..], b"Q"].concat()
    }

    pub(super) fn tensor(storage: Vec<u8>, offset: i64, sizes: &[i64], strides: &[i64]) -> Vec<u8> {
        let arguments = tuple(&[
            storage,
            int(offset),
            ints(sizes),
            ints(strides),
            b"\x89".to_vec(),
            ORDERED_DICT.to_vec(),
        ]);
        [REBUILD, &arguments, b"R"].concat()
    }

    pub(super) fn state_dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let items: Vec<u8> =
            items.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
        [PROTO2, ORDERED_DICT, b"(", &items, b"u."].concat()
    }
}

fn open(pickle: &[u8], storages: &[&[u8]]) -> Result<Checkpoint, Error> {
    fixture::open(FILE, &archive(pickle, storages))
}

/// The message with which a file is refused.
fn refusal(file: &[u8]) -> String {
    fixture::open(FILE, file).expect_err("the file should be refused").to_string()
}

fn fault(pickle: &[u8], storages: &[&[u8]]) -> PytorchFault {
    match open(pickle, storages).expect_err("the pickle should be refused") {
        Error::Pytorch { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

fn pickle_fault(pickle: &[u8]) -> PickleFault {
    match fault(pickle, &[]) {
        PytorchFault::Pickle(fault) => fault,
        other => panic!("{other}"),
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A state dict of one tensor over storage 0.
fn one(class: &str, elements: i64, offset: i64, sizes: &[i64], strides: &[i64]) -> Vec<u8> {
    op::state_dict(&[("w", op::tensor(op::storage(class, "0", elements), offset, sizes, strides))])
}

fn read(pickle: &[u8], storage: &[u8]) -> Vec<f32> {
    let model = fixture::model(&[(FILE, &archive(pickle, &[storage]))]);
    Checkpoint::open(model.path()).unwrap().weights().read_f32("w").unwrap()
}

#[test]
fn views_are_read_in_row_major_order() {
    let data = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(&one("FloatStorage", 6, 0, &[2, 3], &[3, 1]), &data), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(&one("FloatStorage", 6, 0, &[3, 2], &[1, 3]), &data), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(read(&one("FloatStorage", 6, 1, &[2, 2], &[3, 1]), &data), [1.0, 2.0, 4.0, 5.0]);
    assert_eq!(read(&one("FloatStorage", 6, 4, &[1, 2], &[99, 1]), &data), [4.0, 5.0]);
    assert_eq!(read(&one("FloatStorage", 6, 5, &[], &[]), &data), [5.0]);
    assert_eq!(read(&one("FloatStorage", 6, 0, &[0, 3], &[3, 1]), &data), [0.0f32; 0]);
}

#[test]
fn every_float_storage_is_read() {
    let half = half::f16::from_f32(1.5).to_le_bytes();
    assert_eq!(read(&one("HalfStorage", 1, 0, &[1], &[1]), &half), [1.5]);
    let brain = half::bf16::from_f32(-2.0).to_le_bytes();
    assert_eq!(read(&one("BFloat16Storage", 1, 0, &[1], &[1]), &brain), [-2.0]);
    assert_eq!(read(&one("DoubleStorage", 1, 0, &[1], &[1]), &0.25f64.to_le_bytes()), [0.25]);
}

#[test]
fn parameters_and_nested_state_dicts_are_unwrapped() {
    let tensor = op::tensor(op::storage("FloatStorage", "0", 1), 0, &[1], &[1]);
    let arguments = op::tuple(&[tensor, b"\x88".to_vec(), op::ORDERED_DICT.to_vec()]);
    let parameter = [b"ctorch._utils\n_rebuild_parameter\n", &arguments[..], b"R"].concat();
    let inner = op::state_dict(&[("w", parameter)]);
    let inner = inner[2..inner.len() - 1].to_vec();
    assert_eq!(
        read(&op::state_dict(&[("epoch", op::int(3)), ("state_dict", inner.clone())]), &floats(&[8.0])),
        [8.0]
    );
    let beside = op::state_dict(&[("state_dict", inner), ("optimizer", b"}".to_vec())]);
    assert!(matches!(fault(&beside, &[&[0; 4]]), PytorchFault::NotTensor { key, .. } if key == "optimizer"));
}

#[test]
fn functions_are_named_and_not_run() {
    let command = op::tuple(&[op::text("touch /tmp/pwned")]);
    let stack_global =
        |module: &str, name: &str| [op::text(module), op::text(name), b"\x93".to_vec()].concat();
    let global = [b"cos\nsystem\n", &command[..], b"R."].concat();
    let on_stack = [&stack_global("os", "system")[..], &command, b"R."].concat();
    let inst = [b"(", &op::text("touch /tmp/pwned")[..], b"ios\nsystem\n."].concat();
    let obj = [b"(cos\nsystem\n", &op::text("touch /tmp/pwned")[..], b"o."].concat();
    let new_obj = [b"cos\nsystem\n", &command[..], b"\x81."].concat();
    for body in [global, on_stack, inst, obj, new_obj] {
        let message = refusal(&archive(&[op::PROTO2, &body].concat(), &[]));
        assert!(message.contains("os.system") && message.contains(FILE), "{message}");
    }
    for (module, name) in [
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch.storage", "_load_from_bytes"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch", "FloatStorage.__reduce__"),
        ("", ""),
    ] {
        let pickle = [op::PROTO2, &stack_global(module, name), b")R."].concat();
        assert!(
            matches!(pickle_fault(&pickle), PickleFault::Global { name: n, .. } if n == name),
            "{module}.{name}"
        );
    }
}

#[test]
fn a_hostile_value_beside_good_tensors_is_refused_too() {
    let tensor = op::tensor(op::storage("FloatStorage", "0", 1), 0, &[1], &[1]);
    let evil = [b"cposix\nsystem\n", &op::tuple(&[op::text("id")])[..], b"R"].concat();
    let pickle = op::state_dict(&[("w", tensor), ("x", evil)]);
    assert!(refusal(&archive(&pickle, &[&[0; 4]])).contains("posix.system"));
}

#[test]
fn calls_of_what_is_allowed_are_checked_as_well() {
    let rebuild_nothing = [op::REBUILD, b")R."].concat();
    let ordered_dict_of_list = b"ccollections\nOrderedDict\n(]tR.".to_vec();
    let call_storage = b"ctorch\nFloatStorage\n(K\x01tR.".to_vec();
    let call_text = [&op::text("os.system")[..], b")R."].concat();
    let call_result = [op::ORDERED_DICT, b")R."].concat();
    for body in [rebuild_nothing, ordered_dict_of_list, call_storage, call_text, call_result] {
        assert!(matches!(pickle_fault(&[op::PROTO2, &body].concat()), PickleFault::Call { .. }));
    }
    assert!(matches!(
        pickle_fault(b"\x80\x02ccollections\nOrderedDict\nK\x01R."),
        PickleFault::Operand { .. }
    ));
}

#[test]
fn instructions_that_make_or_change_objects_are_refused() {
    // OBJ, NEWOBJ, NEWOBJ_EX, EXT1, EXT2, EXT4, PERSID, BYTEARRAY8, NEXT_BUFFER, READONLY_BUFFER, and no instruction at all.
    for opcode in [b'o', 0x81, 0x92, 0x82, 0x83, 0x84, b'P', 0x96, 0x97, 0x98, 0xff] {
        let pickle = [b"\x80\x02}(", &[opcode][..], b"\x01\0\0\0."].concat();
        assert!(
            matches!(pickle_fault(&pickle), PickleFault::Opcode { opcode: o, .. } if o == opcode),
            "{opcode:#x}"
        );
    }
}

#[test]
fn attributes_are_set_only_as_transformers_does() {
    let with = |object: &[u8], state: &[u8]| [op::PROTO2, object, state, b"b."].concat();
    let metadata = [b"}".to_vec(), op::text("_metadata"), b"}s".to_vec()].concat();
    assert!(open(&with(op::ORDERED_DICT, &metadata), &[]).is_ok());
    let other = [b"}".to_vec(), op::text("__class__"), b"Ns".to_vec()].concat();
    for pickle in [
        with(op::ORDERED_DICT, &other),
        with(b"}", &metadata),
        with(b"]", &metadata),
        with(op::ORDERED_DICT, b"N"),
    ] {
        assert!(matches!(pickle_fault(&pickle), PickleFault::Build { .. }));
    }
}

#[test]
fn deep_nesting_costs_no_stack() {
    let tuples = [b"\x80\x02N", &vec![0x85; 500_000][..], b"."].concat();
    assert!(matches!(fault(&tuples, &[]), PytorchFault::NotStateDict { found: "a tuple" }));
    let lists = [b"\x80\x02", &vec![b']'; 60_000][..], &vec![b'a'; 59_999], b"."].concat();
    assert!(matches!(fault(&lists, &[]), PytorchFault::NotStateDict { found: "a list" }));
    // A dictionary that holds itself.
    let cycle = [b"\x80\x02}q\0", &op::text("w")[..], b"h\0s."].concat();
    assert!(matches!(fault(&cycle, &[]), PytorchFault::NotTensor { .. }));
}

#[test]
fn bombs_meet_a_limit() {
    let stack = [b"\x80\x02", &vec![b'N'; 70_000][..], b"."].concat();
    assert!(matches!(pickle_fault(&stack), PickleFault::Limit { .. }));
    let marks = [b"\x80\x02", &vec![b'('; 70_000][..], b"."].concat();
    assert!(matches!(pickle_fault(&marks), PickleFault::Limit { .. }));
    let puts: Vec<u8> = (0..1_100_000u32).flat_map(|slot| [b"r", &slot.to_le_bytes()[..]].concat()).collect();
    assert!(matches!(pickle_fault(&[b"\x80\x02N", &puts[..], b"."].concat()), PickleFault::Limit { .. }));
    // Each tuple holds the one before it twice; unfolded, they would have 2^200 items.
    let doubling = [b"\x80\x02N", &b"2\x86".repeat(200)[..], b"."].concat();
    assert!(matches!(fault(&doubling, &[]), PytorchFault::NotStateDict { .. }));
    let empties = [b"\x80\x02", &b"]0".repeat(2_200_000)[..], b"."].concat();
    assert!(matches!(pickle_fault(&empties), PickleFault::Limit { .. }));
    let huge = vec![b'N'; (16 << 20) + 1];
    assert!(matches!(fault(&huge, &[]), PytorchFault::EntrySize { .. }));
}

#[test]
fn lengths_beyond_the_end_are_refused() {
    for body in [
        &b"X\xff\xff\xff\xff"[..],
        b"T\xff\xff\xff\xff",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8a\x09",
    ] {
        assert!(matches!(pickle_fault(&[op::PROTO2, body].concat()), PickleFault::Truncated { .. }));
    }
    assert!(matches!(
        pickle_fault(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff}."),
        PickleFault::Truncated { .. }
    ));
    assert!(matches!(pickle_fault(b"\x80\x02cos"), PickleFault::Truncated { .. }));
    assert!(matches!(pickle_fault(b"\x80\x02}"), PickleFault::Truncated { .. }));
    assert!(matches!(pickle_fault(b""), PickleFault::Truncated { .. }));
    assert!(matches!(pickle_fault(b"\x80\x02}.}"), PickleFault::Trailing { excess: 1, .. }));
    assert!(matches!(pickle_fault(b"\x80\x09}."), PickleFault::Operand { .. }));
    for body in [&b"."[..], b"0", b"t", b"u", b"a", b"s", b"R", b"b", b"Q", b"q\0", b"\x93", b"(0", b"}((a"] {
        assert!(matches!(pickle_fault(&[op::PROTO2, body].concat()), PickleFault::Stack { .. }), "{body:?}");
    }
    assert!(matches!(pickle_fault(b"\x80\x02h\x07."), PickleFault::Operand { .. }));
}

#[test]
fn storages_are_as_long_as_they_say() {
    for elements in [0, 1, 3, -2, i64::MAX, i64::MIN] {
        let error = fault(&one("FloatStorage", elements, 0, &[1], &[1]), &[&[0; 8]]);
        assert!(
            matches!(error, PytorchFault::StorageSize { .. } | PytorchFault::Negative { .. }),
            "{elements}: {error}"
        );
    }
    let double = fault(&one("DoubleStorage", 2, 0, &[1], &[1]), &[&[0; 8]]);
    assert!(matches!(double, PytorchFault::StorageSize { held: 8, .. }));
    assert!(matches!(fault(&one("FloatStorage", 2, 0, &[1], &[1]), &[]), PytorchFault::MissingEntry { .. }));
}

#[test]
fn storage_ids_are_checked() {
    for key in ["", "../0", "0/..", "/0", "0\0"] {
        let pickle = op::state_dict(&[("w", op::storage("FloatStorage", key, 1))]);
        assert!(matches!(pickle_fault(&pickle), PickleFault::Operand { .. }), "{key:?}");
    }
    assert!(matches!(pickle_fault(b"\x80\x02X\x07\0\0\0storageQ."), PickleFault::Operand { .. }));
    let module = op::tuple(&[op::text("module"), op::text("x")]);
    assert!(matches!(pickle_fault(&[op::PROTO2, &module, b"Q."].concat()), PickleFault::Operand { .. }));
}

#[test]
fn views_stay_within_their_storage() {
    let data: &[&[u8]] = &[&[0; 24]];
    for (offset, sizes, strides) in [
        (1, &[2, 3][..], &[3, 1][..]),
        (0, &[7], &[1]),
        (0, &[2, 2], &[i64::MAX, 1]),
        (0, &[i64::MAX, i64::MAX], &[0, 0]),
        (0, &[1 << 40], &[0]),
        (0, &[2, 3, 2], &[0, 1, 0]),
        (i64::MAX, &[1], &[1]),
        (6, &[], &[]),
        (7, &[0], &[1]),
    ] {
        let error = fault(&one("FloatStorage", 6, offset, sizes, strides), data);
        assert!(matches!(error, PytorchFault::TensorRange { .. }), "{offset} {sizes:?} {strides:?}: {error}");
    }
    for (offset, sizes, strides) in [(-1, &[1][..], &[1][..]), (0, &[-1], &[1]), (0, &[2], &[-1])] {
        let error = fault(&one("FloatStorage", 6, offset, sizes, strides), data);
        assert!(matches!(error, PytorchFault::Negative { .. }), "{error}");
    }
    assert!(matches!(fault(&one("FloatStorage", 6, 0, &[2, 3], &[1]), data), PytorchFault::Rank { .. }));
    let deep = fault(&one("FloatStorage", 6, 0, &[1; 17], &[1; 17]), data);
    assert!(matches!(deep, PytorchFault::Pickle(PickleFault::Limit { .. })), "{deep}");
}

#[test]
fn a_state_dict_holds_tensors_under_names() {
    assert!(matches!(fault(b"\x80\x02].", &[]), PytorchFault::NotStateDict { found: "a list" }));
    assert!(matches!(fault(&op::state_dict(&[("w", op::int(1))]), &[]), PytorchFault::NotTensor { .. }));
    assert!(matches!(fault(b"\x80\x02}K\x01K\x02s.", &[]), PytorchFault::NotTensor { .. }));
    let tensor = op::tensor(op::storage("FloatStorage", "0", 1), 0, &[1], &[1]);
    let twice = op::state_dict(&[("w", tensor.clone()), ("w", tensor)]);
    assert!(matches!(fault(&twice, &[&[0; 4]]), PytorchFault::DuplicateTensor { .. }));
}

#[test]
fn a_truncated_archive_is_an_error() {
    let whole = fixture::bytes(FILE);
    for len in [0, 3, 4, 100, whole.len() / 2, whole.len() - 22, whole.len() - 1] {
        assert!(fixture::open(FILE, &whole[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn old_and_foreign_formats_are_told_apart() {
    let legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    assert!(refusal(legacy).contains("save it again"));
    assert!(refusal(b"version https://git-lfs.github.com/spec/v1").contains("not a zip archive"));
    let script: &[(&str, &[u8])] = &[("m/data.pkl", b"\x80\x02}."), ("m/constants.pkl", b"")];
    assert!(refusal(&fixture::zip(script, CompressionMethod::Stored)).contains("TorchScript"));
    let big: &[(&str, &[u8])] = &[("m/data.pkl", b"\x80\x02}."), ("m/byteorder", b"big")];
    assert!(refusal(&fixture::zip(big, CompressionMethod::Stored)).contains("little-endian"));
    let none: &[(&str, &[u8])] = &[("m/version", b"3\n")];
    assert!(refusal(&fixture::zip(none, CompressionMethod::Stored)).contains("data.pkl"));
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in ["../m/x", "m/../x", "/m/x", "n/x", "x", "m//x", "m/./x", r"m/a\b", r"..\x", "c:/x", "m/"] {
        // The writer normalises some of these, so the name is put in afterwards.
        let placeholder = "Q".repeat(name.len());
        let entries: &[(&str, &[u8])] = &[("m/data.pkl", b"\x80\x02}."), (&placeholder, b"1")];
        let mut bytes = fixture::zip(entries, CompressionMethod::Stored);
        for at in 0..bytes.len() - name.len() {
            if bytes[at..].starts_with(placeholder.as_bytes()) {
                bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
            }
        }
        match fixture::open(FILE, &bytes).unwrap_err() {
            Error::Pytorch { fault: PytorchFault::EntryName { name: found }, .. } => assert_eq!(found, name),
            other => panic!("{name:?}: {other}"),
        }
    }
}

#[test]
fn deflated_entries_are_read_and_bombs_are_not() {
    let noise: Vec<f32> = (0..1000u32).map(|n| f32::from_bits(n.wrapping_mul(2_654_435_761) >> 2)).collect();
    let pickle = one("FloatStorage", 1000, 10, &[2, 3], &[1, 2]);
    let data = floats(&noise);
    let entries: &[(&str, &[u8])] = &[("m/data.pkl", &pickle), ("m/data/0", &data)];
    let model = fixture::model(&[(FILE, &fixture::zip(entries, CompressionMethod::Deflated))]);
    let weights = Checkpoint::open(model.path()).unwrap().into_weights();
    let picked = [10, 12, 14, 11, 13, 15].map(|n: usize| noise[n]);
    assert_eq!(weights.read_f32("w").unwrap(), picked);

    let zeros = vec![0; 4 << 20];
    let pickle = one("FloatStorage", 1 << 20, 0, &[1 << 20], &[1]);
    let entries: &[(&str, &[u8])] = &[("m/data.pkl", &pickle), ("m/data/0", &zeros)];
    let message = refusal(&fixture::zip(entries, CompressionMethod::Deflated));
    assert!(message.contains("m/data/0") && message.contains("4194304"), "{message}");
}

#[test]
fn an_entry_that_inflates_to_another_size_is_an_error() {
    let data = floats(&[1.0; 64]);
    let pickle = one("FloatStorage", 64, 0, &[64], &[1]);
    let entries: &[(&str, &[u8])] = &[("m/data.pkl", &pickle), ("m/data/0", &data)];
    let honest = fixture::zip(entries, CompressionMethod::Deflated);
    for claimed in [252u32, 260] {
        let pickle = one("FloatStorage", (claimed / 4).into(), 0, &[(claimed / 4).into()], &[1]);
        let entries: &[(&str, &[u8])] = &[("m/data.pkl", &pickle), ("m/data/0", &data)];
        let mut bytes = fixture::zip(entries, CompressionMethod::Deflated);
        assert!(bytes.len() > honest.len() / 2);
        // The size stands in the local and in the central header.
        let size = 256u32.to_le_bytes();
        for at in 0..bytes.len() - 4 {
            if bytes[at..at + 4] == size {
                bytes[at..at + 4].copy_from_slice(&claimed.to_le_bytes());
            }
        }
        let model = fixture::model(&[(FILE, &bytes)]);
        let opened = Checkpoint::open(model.path());
        assert!(opened.and_then(|checkpoint| checkpoint.weights().read_f32("w")).is_err(), "{claimed}");
    }
}
