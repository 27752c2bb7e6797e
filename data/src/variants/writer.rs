use std::path::Path;

use serde_json::{Value, json};

use self::entry::Entry;
use super::{Error, Field, Format, Number, Reason, Result, field};
use crate::export::Spool;

mod entry;
mod finish;
mod output;
mod rows;
mod sort;
mod vcf;

pub use finish::{Finish, Order, Summary};
#[cfg(test)]
pub(super) use vcf::write_info;

/// What scoring a record gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// A value for each field of [`Number::PerRecord`], in the order of the fields; none where there is none.
    pub record: Vec<Option<f32>>,
    /// One for each alternate of the record.
    pub alternates: Vec<Scores>,
}

/// What scoring an alternate gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    /// A value for each field of [`Number::PerAlternate`], in the order of the fields. Where there is none, or one that
    /// is not finite, the output has a dot.
    pub values: Vec<Option<f32>>,
    /// Why a value is missing. There must be one where there is no value; a value that is not finite gives one itself.
    pub reason: Option<Reason>,
}

impl Scores {
    /// No value for any of `fields`, for one reason.
    pub fn none(fields: &[Field], reason: Reason) -> Self {
        let count = fields.iter().filter(|field| field.number == Number::PerAlternate).count();
        Self { values: vec![None; count], reason: Some(reason) }
    }
}

/// Scores on their way to a file, kept in a [`Spool`] beside the output (`<OUT>.partial`) so that a killed run can go on.
///
/// Only scores are kept, not the source: [`finish`](Self::finish) reads the source again and writes each of its records
/// with its scores.
///
/// ```no_run
/// use kilobase_data::export::metadata_path;
/// use kilobase_data::variants::{Field, Finish, Order, Outcome, Reader, Writer};
/// # fn score(record: &kilobase_data::variants::Record) -> Outcome { Outcome::default() }
///
/// let fields = vec![Field::per_alternate("KB_LLR", "log P(alternate) - log P(reference)")];
/// let plan = serde_json::json!({ "source": "sha256 of in.vcf", "model": "sha256 of the weights" });
/// let mut writer = Writer::open("out.vcf.gz".as_ref(), &plan, fields)?;
/// let mut records = Reader::open("in.vcf")?;
/// for record in records.by_ref().skip(writer.completed() as usize) {
///     writer.append(&[score(&record?)])?; // batches are quicker: each call waits for the disk
/// }
/// let metadata = plan.as_object().unwrap();
/// writer.finish(Reader::open("in.vcf")?, &Finish { order: Order::Source, metadata, force: false })?;
/// # Ok::<(), kilobase_data::variants::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    spool: Spool<Entry>,
    fields: Vec<Field>,
}

impl Writer {
    /// Begins the scores that will become `out`, or goes on with those of an earlier run.
    ///
    /// `plan` is all that decides the scores: source, reference, model, options. An earlier run with another plan, or
    /// other fields, is an error that names what differs; so is a name whose suffix is of no format.
    pub fn open(out: &Path, plan: &Value, fields: Vec<Field>) -> Result<Self> {
        Format::from_path(out)?;
        Self::with(fields, |fields| Spool::open(out, &with_fields(plan, fields), fields.len()))
    }

    /// Throws away what an earlier run left for `out`, whatever its plan, and begins anew.
    pub fn restart(out: &Path, plan: &Value, fields: Vec<Field>) -> Result<Self> {
        Format::from_path(out)?;
        Self::with(fields, |fields| Spool::restart(out, &with_fields(plan, fields), fields.len()))
    }

    /// Scores that become no file of their own, for [`write`](Self::write).
    pub fn scratch(fields: Vec<Field>) -> Result<Self> {
        Self::with(fields, |fields| Spool::scratch(fields.len()))
    }

    fn with(
        fields: Vec<Field>,
        spool: impl FnOnce(&[Field]) -> crate::export::Result<Spool<Entry>>,
    ) -> Result<Self> {
        field::check(&fields)?;
        Ok(Self { spool: spool(&fields)?, fields })
    }

    /// Records whose scores are complete. A run that goes on skips as many of its source.
    pub fn completed(&self) -> u64 {
        self.spool.items()
    }

    /// The fields of every record.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Adds the outcomes of the next records of the source. When this returns, they are on the disk; when it fails, they
    /// are not part of the results.
    pub fn append(&mut self, outcomes: &[Outcome]) -> Result<()> {
        let (mut entries, mut rows) = (Vec::with_capacity(outcomes.len()), Vec::new());
        for outcome in outcomes {
            entries.push(self.flatten(outcome, &mut rows)?);
        }
        Ok(self.spool.append(&entries, &rows)?)
    }

    /// Appends a row for each alternate: all fields in their order, those of the record in every row, NaN for none.
    fn flatten(&self, outcome: &Outcome, rows: &mut Vec<f32>) -> Result<Entry> {
        self.check_count(&outcome.record, Number::PerRecord)?;
        let mut skipped = Vec::with_capacity(outcome.alternates.len());
        for scores in &outcome.alternates {
            self.check_count(&scores.values, Number::PerAlternate)?;
            let (mut of_record, mut of_alternate) = (outcome.record.iter(), scores.values.iter());
            let mut reason = scores.reason.clone();
            for field in &self.fields {
                let values = match field.number {
                    Number::PerRecord => &mut of_record,
                    Number::PerAlternate => &mut of_alternate,
                };
                let value = values.next().copied().flatten();
                let finite = value.filter(|value| value.is_finite());
                if let Some(value) = finite {
                    field.check_value(value)?;
                } else if value.is_some() {
                    reason.get_or_insert_with(|| Reason::NotFinite { field: field.id.clone() });
                } else if field.number == Number::PerAlternate && reason.is_none() {
                    return Err(Error::NoReason { id: field.id.clone() });
                }
                rows.push(finite.unwrap_or(f32::NAN));
            }
            skipped.push(reason.map(|reason| reason.code().to_owned()));
        }
        Ok(Entry::new(skipped))
    }

    fn check_count(&self, values: &[Option<f32>], number: Number) -> Result<()> {
        let fields = self.fields.iter().filter(|field| field.number == number).count();
        if values.len() == fields {
            return Ok(());
        }
        let number = match number {
            Number::PerRecord => "per record",
            Number::PerAlternate => "per alternate",
        };
        Err(Error::Values { values: values.len(), fields, number })
    }
}

/// The plan, and what the columns of its rows are.
fn with_fields(plan: &Value, fields: &[Field]) -> Value {
    let fields: Vec<String> =
        fields.iter().map(|field| format!("{} {:?} {:?}", field.id, field.number, field.kind)).collect();
    match plan {
        Value::Object(plan) => {
            let mut plan = plan.clone();
            plan.insert("fields".to_owned(), fields.into());
            Value::Object(plan)
        }
        plan => json!({ "given": plan, "fields": fields }),
    }
}
