//! The job over records that `embed` and `score` share: what there is, what an earlier run has done, and the rest in
//! portions.

use std::path::Path;

use anyhow::ensure;
use clap::Args;
use kilobase::data::export::{Item, Spool};
use kilobase::data::fastx::Record;
use kilobase::data::window::Windows;
use serde_json::{Map, Value};

use super::Ctx;
use super::args::{InputArgs, Source};
use super::progress::Progress;
use super::scan::{self, Scan};

/// Records go through in portions of about so many bases: the unit of progress, of memory and of resuming.
pub(crate) const PORTION_BASES: usize = 1 << 16;

/// Which records.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Leave records without bases out instead of ending with an error
    #[arg(long)]
    pub(crate) skip_empty: bool,
    /// Write an empty result for an input without records instead of ending with an error
    #[arg(long)]
    pub(crate) allow_empty: bool,
}

/// A record, or a window of one.
pub(crate) struct Window {
    pub(crate) record: String,
    /// Where it starts in the record.
    pub(crate) start: usize,
    pub(crate) bases: Vec<u8>,
}

/// Counts for the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) windows: u64,
    /// Windows that an earlier run had done.
    pub(crate) resumed: u64,
    /// Bases of all windows: overlaps count each time.
    pub(crate) bases: u64,
}

/// The records of an input.
pub(crate) struct Records<'a> {
    args: &'a RecordArgs,
    sources: Vec<Source>,
    windows: Windows,
    /// What the first pass found. Standard input can be read once: no totals, no resuming.
    seen: Option<Scan>,
    ctx: &'a Ctx,
}

impl<'a> Records<'a> {
    /// Reads everything once, if it can be read twice.
    pub(crate) fn survey(args: &'a RecordArgs, windows: Windows, ctx: &'a Ctx) -> anyhow::Result<Self> {
        let sources = args.input.sources()?;
        let seen = if sources.contains(&Source::Stdin) {
            None
        } else {
            Some(scan::scan(&sources, &args.input, windows, args.skip_empty, &ctx.console)?)
        };
        let records = Self { args, sources, windows, seen, ctx };
        if let Some(scan) = &records.seen {
            records.check_some(scan.records)?;
        }
        Ok(records)
    }

    pub(crate) fn seen(&self) -> Option<&Scan> {
        self.seen.as_ref()
    }

    fn check_some(&self, records: u64) -> anyhow::Result<()> {
        ensure!(records > 0 || self.args.allow_empty, "{}: no records", scan::names(&self.sources));
        Ok(())
    }

    /// Where results are kept until they are complete: beside `out`, going on with what lies there.
    pub(crate) fn spool<I: Item>(
        &self,
        out: Option<&Path>,
        restart: bool,
        plan: &Map<String, Value>,
        width: usize,
    ) -> anyhow::Result<Spool<I>> {
        let plan = Value::Object(plan.clone());
        Ok(match out {
            None => Spool::scratch(width)?,
            Some(path) if restart || self.seen.is_none() => Spool::restart(path, &plan, width)?,
            Some(path) => Spool::open(path, &plan, width)?,
        })
    }

    /// Adds to a plan what does not change the numbers: a file that was moved does not stop a run from being continued.
    pub(crate) fn metadata(&self, mut plan: Map<String, Value>, model: &str) -> Map<String, Value> {
        plan.insert("seed".to_owned(), self.ctx.seed.into());
        plan.insert("inputs".to_owned(), self.sources.iter().map(scan::name).collect());
        if let Some(bed) = &self.args.input.bed {
            plan.insert("bed".to_owned(), bed.display().to_string().into());
        }
        plan.insert("model_name".to_owned(), model.into());
        plan
    }

    /// Gives every window that the spool does not hold yet to `work`, in portions. `passes` is how often `work` reads each.
    pub(crate) fn work<I: Item>(
        &self,
        spool: &mut Spool<I>,
        passes: u64,
        mut work: impl FnMut(&[Window], &mut Spool<I>, &Progress) -> anyhow::Result<()>,
    ) -> anyhow::Result<Counts> {
        let mut counts = Counts { resumed: spool.items(), ..Counts::default() };
        if counts.resumed > 0 {
            let what = if self.windows == Windows::whole() { "records" } else { "windows" };
            let folder = spool.folder().display();
            self.ctx.console.info(format_args!("going on after {} {what} found in {folder}", counts.resumed));
        }
        let total = self.seen.as_ref().map(|scan| passes * scan.work);
        let progress = Progress::new(&self.ctx.console, total, "bases");
        let (mut portion, mut held) = (Vec::new(), 0);
        let mut record = Record::default();
        for source in &self.sources {
            let mut reader = scan::open(source, &self.args.input)?;
            while reader.read_record(&mut record)? {
                if record.is_empty() {
                    scan::check_empty(&record, reader.name(), self.args.skip_empty)?;
                    continue;
                }
                counts.records += 1;
                if self.args.input.upper {
                    record.sequence.make_ascii_uppercase();
                }
                for span in self.windows.over(record.len()) {
                    counts.windows += 1;
                    counts.bases += span.len() as u64;
                    if counts.windows <= counts.resumed {
                        progress.skip(passes * span.len() as u64);
                        continue;
                    }
                    held += span.len();
                    let bases = record.sequence[span.clone()].to_vec();
                    portion.push(Window { record: record.id.clone(), start: span.start, bases });
                    if held >= PORTION_BASES {
                        work(&portion, spool, &progress)?;
                        portion.clear();
                        held = 0;
                    }
                }
            }
            if self.seen.is_none() {
                scan::warn(&reader, &self.ctx.console);
            }
        }
        if !portion.is_empty() {
            work(&portion, spool, &progress)?;
        }
        progress.finish();
        self.check_some(counts.records)?;
        if let Some(scan) = &self.seen {
            // The file may have changed between the passes.
            ensure!(
                (scan.records, scan.work) == (counts.records, counts.bases),
                "{}: changed while it was read",
                scan::names(&self.sources)
            );
        }
        Ok(counts)
    }
}
