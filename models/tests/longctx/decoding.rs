//! Tokens joined, packed, drawn under constraints and checked against drafts.

use super::vectors::Vectors;
use kilobase_data::batch::first_fit_decreasing;
use kilobase_data::tokenize::merge_pairs;
use kilobase_models::decode::awrs;
use kilobase_models::decode::rsd::Check;

const TOLERANCE: f64 = 1e-7;

pub(crate) fn check(vectors: &Vectors, case: &str) -> bool {
    match case {
        "dbpe" => check_dbpe(vectors, case),
        "pack" => check_pack(vectors, case),
        "awrs" => check_awrs(vectors, case),
        "rsd" => check_rsd(vectors, case),
        _ => return false,
    }
    true
}

fn check_dbpe(vectors: &Vectors, case: &str) {
    let batch: Vec<Vec<u32>> = serde_json::from_value(vectors.par("bpe").clone()).expect("sequences");
    let merged = merge_pairs(&batch, vectors.usize("n_merges"));
    let lengths: Vec<usize> = merged.iter().map(Vec::len).collect();
    vectors.same(case, "segs", &lengths);
    let first: Vec<usize> = merged[0].iter().map(std::ops::Range::len).collect();
    vectors.same(case, "first", &first);
}

fn check_pack(vectors: &Vectors, case: &str) {
    let lengths: Vec<usize> = vectors.list("lens").iter().map(|&length| length as usize).collect();
    vectors.same(case, "bins", &first_fit_decreasing(&lengths, vectors.spec(case, "cap") as usize));
}

/// The mean weight of each token over all orders of the tokens, each with its probability.
fn check_awrs(vectors: &Vectors, case: &str) {
    let law = vectors.data("dp").data;
    let legal = vectors.list("ok");
    let mut per = vec![0.0; law.len()];
    let tokens: Vec<usize> = (0..law.len()).collect();
    each_order(&law, &tokens, 1.0, &mut Vec::new(), &mut |order, probability| {
        let draw = awrs::weigh(&law, order.iter().copied(), |token| legal[token] == 1);
        if let Some(token) = draw.token {
            per[token] += probability * draw.weight;
        }
    });
    vectors.close(case, "per", &per, TOLERANCE);
    vectors.close(case, "total", &[per.iter().sum()], TOLERANCE);
}

/// Calls `visit` with every order of `left` after `order`, and the probability of drawing it without replacement.
fn each_order(
    law: &[f64],
    left: &[usize],
    probability: f64,
    order: &mut Vec<usize>,
    visit: &mut impl FnMut(&[usize], f64),
) {
    if left.is_empty() {
        visit(order, probability);
    }
    let rest: f64 = left.iter().map(|&token| law[token]).sum();
    for &token in left {
        let others: Vec<usize> = left.iter().copied().filter(|&other| other != token).collect();
        order.push(token);
        each_order(law, &others, probability * law[token] / rest, order, visit);
        order.pop();
    }
}

/// The law of the token that comes out, over all pairs of drafts.
fn check_rsd(vectors: &Vectors, case: &str) {
    let (target, draft) = (vectors.data("dt_").data, vectors.data("dp").data);
    let mut law = vec![0.0; target.len()];
    after_drafts(&Check::new(&target, &draft), 2, 1.0, &mut law);
    vectors.close(case, "law", &law, TOLERANCE);
}

/// Adds to `law` what `drafts` more drafts lead to.
fn after_drafts(check: &Check, drafts: usize, probability: f64, law: &mut [f64]) {
    if drafts == 0 {
        for (sum, p) in law.iter_mut().zip(check.target()) {
            *sum += probability * p;
        }
        return;
    }
    for (token, p) in check.draft().iter().enumerate().filter(|(_, p)| **p > 0.0) {
        let accepted = check.acceptance(token);
        law[token] += probability * p * accepted;
        let mut next = check.clone();
        next.reject(token);
        after_drafts(&next, drafts - 1, probability * p * (1.0 - accepted), law);
    }
}
