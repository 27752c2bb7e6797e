//! Regressions over k-mers: what a fine-tuned model has to beat.

use kilobase::models::train::logistic::{Features, Logistic, kmer_count, kmers};
use kilobase::models::train::metrics::Classification;
use kilobase::models::train::ridge::Ridge;
use rayon::prelude::*;

use super::Args;
use super::measured::{Found, Measured};
use crate::cli::Ctx;
use crate::cli::finetune::rows::{Kind, Rows};

/// The regression of the labels' kind.
pub(super) fn baseline(args: &Args, kind: Kind, rows: [&Rows; 3], ctx: &Ctx) -> anyhow::Result<Measured> {
    match kind {
        Kind::Classification => {
            let (method, metrics) = logistic(args, rows, ctx)?;
            Ok(Measured { method, found: Found::Classes { classes: rows[0].classes()?, metrics } })
        }
        Kind::Regression => ridge(args, rows, ctx),
    }
}

/// The logistic regression whose longest k-mers are best for the development set.
pub(super) fn logistic(
    args: &Args,
    [train, dev, test]: [&Rows; 3],
    ctx: &Ctx,
) -> anyhow::Result<(String, Classification)> {
    let classes = train.classes()?;
    let (train_labels, dev_labels) = (train.numbers(&classes)?, dev.numbers(&classes)?);
    let fit = |k: usize| {
        let (train, dev) = (counted(train, k), counted(dev, k));
        let (train, labelled) = ((&train[..], &train_labels[..]), (&dev[..], &dev_labels[..]));
        let model = Logistic::train(kmer_count(k), classes.len(), train, labelled, ctx.seed);
        let loss = model.measure(&dev, &dev_labels).loss;
        ctx.console.detail(format_args!("{k}-mer logistic regression: development set loss {loss:.4}"));
        (model, loss)
    };
    let (k, model) = best(args, fit);
    let metrics = model.measure(&counted(test, k), &test.numbers(&classes)?);
    Ok((format!("logistic regression, 1- to {k}-mers"), metrics))
}

/// The ridge regression whose longest k-mers, and penalty, are best for the development set.
fn ridge(args: &Args, [train, dev, test]: [&Rows; 3], ctx: &Ctx) -> anyhow::Result<Measured> {
    // Refuses what does not vary, as fine-tuning does.
    train.task()?;
    let (values, dev_values) = (train.values()?, dev.values()?);
    let fit = |k: usize| {
        let (train, dev) = (counted(train, k), counted(dev, k));
        let model = Ridge::train(kmer_count(k), (&train, &values), (&dev, &dev_values));
        let mse = model.measure(&dev, &dev_values).mse;
        ctx.console.detail(format_args!(
            "{k}-mer ridge regression, penalty {}: development set mean square error {mse:.4}",
            model.penalty
        ));
        (model, mse)
    };
    let (k, model) = best(args, fit);
    let method = format!("ridge regression, 1- to {k}-mers, penalty {}", model.penalty);
    Ok(Measured { method, found: Found::values(model.predict(&counted(test, k)), test.values()?) })
}

/// The longest k-mers with the lowest loss, and their model.
fn best<M>(args: &Args, mut fit: impl FnMut(usize) -> (M, f64)) -> (usize, M) {
    let mut best: Option<(usize, f64, M)> = None;
    for k in (2..=args.k.max(2)).step_by(2) {
        let k = usize::from(k.min(args.k));
        let (model, loss) = fit(k);
        if best.as_ref().is_none_or(|(_, lowest, _)| loss < *lowest) {
            best = Some((k, loss, model));
        }
    }
    let (k, _, model) = best.expect("at least one k");
    (k, model)
}

fn counted(rows: &Rows, k: usize) -> Vec<Features> {
    rows.sequences.par_iter().map(|text| kmers(text, k)).collect()
}
