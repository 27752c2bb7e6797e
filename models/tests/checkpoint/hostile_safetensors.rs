use kilobase_models::checkpoint::{Error, HeaderFault};
use serde_json::{Value, json};

use crate::fixture::{self, info};

fn fault(bytes: &[u8]) -> HeaderFault {
    match fixture::open("model.safetensors", bytes).unwrap_err() {
        Error::Header { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

fn header_fault(header: &Value, data: usize) -> HeaderFault {
    fault(&fixture::safetensors(header.to_string().as_bytes(), &vec![0; data]))
}

#[test]
fn a_truncated_file_is_an_error_whatever_is_missing() {
    let whole = fixture::bytes("model.safetensors");
    for len in [0, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        assert!(fixture::open("model.safetensors", &whole[..len]).is_err(), "{len} bytes");
    }
    assert!(matches!(fault(&whole[..whole.len() - 1]), HeaderFault::OutOfRange { .. }));
}

#[test]
fn a_header_longer_than_the_file_is_refused_before_it_is_read() {
    for declared in [u64::MAX, u64::MAX - 7, 1 << 40, 3] {
        let bytes = [&declared.to_le_bytes()[..], b"{}"].concat();
        assert!(matches!(fault(&bytes), HeaderFault::Length { available: 2, .. }), "{declared}");
    }
}

#[test]
fn a_header_beyond_the_limit_is_refused() {
    let mut header = vec![b' '; (16 << 20) + 1];
    header[..2].copy_from_slice(b"{}");
    assert!(matches!(fault(&fixture::safetensors(&header, &[])), HeaderFault::LengthLimit { .. }));
}

#[test]
fn tensors_tile_the_data() {
    let overlap = json!({"a": info(&[2], 0, 8), "b": info(&[2], 4, 12)});
    assert!(matches!(header_fault(&overlap, 12), HeaderFault::Overlap { start: 4, previous_end: 8, .. }));
    let same = json!({"a": info(&[2], 0, 8), "b": info(&[2], 0, 8)});
    assert!(matches!(header_fault(&same, 8), HeaderFault::Overlap { .. }));
    let gap = json!({"a": info(&[1], 0, 4), "b": info(&[1], 8, 12)});
    assert!(matches!(header_fault(&gap, 12), HeaderFault::Gap { start: 8, previous_end: 4, .. }));
    let late = json!({"a": info(&[1], 4, 8)});
    assert!(matches!(header_fault(&late, 8), HeaderFault::Gap { .. }));
    let outside = json!({"a": info(&[3], 0, 12)});
    assert!(matches!(header_fault(&outside, 8), HeaderFault::OutOfRange { end: 12, available: 8, .. }));
    let reversed = json!({"a": info(&[1], 8, 4)});
    assert!(matches!(header_fault(&reversed, 8), HeaderFault::Reversed { .. }));
    let trailing = json!({"a": info(&[1], 0, 4)});
    assert!(matches!(header_fault(&trailing, 9), HeaderFault::Trailing { excess: 5 }));
}

#[test]
fn shapes_are_multiplied_with_care() {
    let overflow = json!({"a": info(&[1 << 33, 1 << 33], 0, 8)});
    assert!(matches!(header_fault(&overflow, 8), HeaderFault::Unsized { .. }));
    // 2^62 numbers of four bytes are 2^64 bytes, which wraps to none.
    let wraps = json!({"a": info(&[1 << 62], 0, 0)});
    assert!(matches!(header_fault(&wraps, 0), HeaderFault::Unsized { .. }));
    let other = json!({"a": info(&[3], 0, 8)});
    assert!(matches!(header_fault(&other, 8), HeaderFault::Size { needed: 12, held: 8, .. }));
    let rank = json!({"a": info(&[1; 17], 0, 4)});
    assert!(matches!(header_fault(&rank, 4), HeaderFault::Rank { rank: 17, .. }));
}

#[test]
fn the_header_is_json_of_the_right_kind() {
    let of = |text: &str, data: &[u8]| fault(&fixture::safetensors(text.as_bytes(), data));
    assert!(matches!(of("[]", &[]), HeaderFault::Start { found: b'[' }));
    assert!(matches!(of(" {}", &[]), HeaderFault::Start { found: b' ' }));
    assert!(matches!(of("", &[]), HeaderFault::Start { .. }));
    assert!(matches!(of("{", &[]), HeaderFault::Json(_)));
    assert!(matches!(of("{\"a\":\u{7f}}", &[]), HeaderFault::Json(_)));
    let twice = format!("{{\"a\":{0},\"a\":{0}}}", info(&[1], 0, 4));
    assert!(of(&twice, &[0; 4]).to_string().contains("twice"));
    assert!(matches!(of(r#"{"__metadata__":{"a":{}}}"#, &[]), HeaderFault::Json(_)));
    assert!(matches!(
        of(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, &[0; 4]),
        HeaderFault::Json(_)
    ));
    assert!(matches!(
        of(r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4]),
        HeaderFault::Json(_)
    ));
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(matches!(of(&deep, &[]), HeaderFault::Json(_)));
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_the_weights_is_refused_without_waiting() {
    let model = fixture::model(&[]);
    let path = model.path().join("model.safetensors");
    if std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()) {
        let error = kilobase_models::checkpoint::Checkpoint::open(model.path()).unwrap_err();
        assert!(matches!(error, Error::NotAFile { .. }), "{error}");
    }
}
