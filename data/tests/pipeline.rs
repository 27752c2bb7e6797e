//! The way of the data from file to batch: records, windows, tokens with offsets, packed batches.

use std::path::Path;

use kilobase_data::batch::{PackedBatch, pack_by_budget};
use kilobase_data::fastx::Reader;
use kilobase_data::tokenize;
use kilobase_data::window::Windows;

#[test]
fn every_base_of_a_genome_reaches_a_batch_and_can_be_found_again() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let tokenizer = tokenize::from_dir(data.join("demo-model")).unwrap();
    let windows = Windows::new(2000, 0).unwrap();
    for record in Reader::open(data.join("lambda.fa.gz")).unwrap() {
        let record = record.unwrap();
        assert_eq!(record.len(), 48_502);
        let mut covered = vec![0_u8; record.len()];
        let mut encodings = Vec::new();
        for window in windows.over(record.len()) {
            let encoding = tokenizer.encode(&record.sequence[window.clone()], true).unwrap();
            for (id, span) in encoding.ids.iter().zip(&encoding.spans).filter(|(_, span)| !span.is_empty()) {
                let bases = window.start + span.start..window.start + span.end;
                assert_eq!(tokenizer.token(*id).unwrap().as_bytes(), &record.sequence[bases.clone()]);
                covered[bases].iter_mut().for_each(|count| *count += 1);
            }
            encodings.push(encoding);
        }
        assert!(covered.iter().all(|&count| count == 1));

        let lengths: Vec<usize> = encodings.iter().map(tokenize::Encoding::len).collect();
        let mut tokens = 0;
        for indices in pack_by_budget(&lengths, 2048) {
            let batch = PackedBatch::from_encodings(indices.iter().map(|&index| &encodings[index]));
            assert!(batch.tokens() <= 2048 && batch.len() == indices.len());
            assert!(batch.sequences().zip(&indices).all(|(ids, &index)| ids == encodings[index].ids));
            tokens += batch.tokens();
        }
        assert_eq!(tokens, lengths.iter().sum::<usize>());
    }
}
