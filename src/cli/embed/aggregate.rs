//! From one row a window to one row a record.

use clap::ValueEnum;
use kilobase::data::export::{Rows, Spool, Stretch};

/// How the windows of a record become one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Aggregate {
    /// One row a window
    None,
    /// Mean of the windows' rows, weighted by their tokens
    Mean,
    /// Largest value of each feature over the windows
    Max,
}

impl Aggregate {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mean => "mean",
            Self::Max => "max",
        }
    }
}

/// One record's windows so far.
struct Group {
    item: Stretch,
    values: Vec<f64>,
}

impl Group {
    fn add(&mut self, item: &Stretch, row: &[f32], how: Aggregate) {
        self.item.end = item.end;
        self.item.tokens += item.tokens;
        for (value, &x) in self.values.iter_mut().zip(row) {
            match how {
                Aggregate::Max => *value = value.max(f64::from(x)),
                Aggregate::Mean | Aggregate::None => *value += item.tokens as f64 * f64::from(x),
            }
        }
    }

    fn finish(mut self, how: Aggregate) -> (Stretch, Vec<f32>) {
        if how == Aggregate::Mean {
            let tokens = self.item.tokens as f64;
            self.values.iter_mut().for_each(|value| *value /= tokens);
        }
        (self.item, self.values.into_iter().map(|value| value as f32).collect())
    }
}

/// Reads rows of windows and appends rows of records. A window that starts at base 0 begins a record, so records of the
/// same name stay apart.
pub(super) fn aggregate(
    mut windows: Rows<Stretch>,
    records: &mut Spool,
    how: Aggregate,
) -> anyhow::Result<()> {
    let mut group: Option<Group> = None;
    let mut row = Vec::new();
    let (mut items, mut rows) = (Vec::new(), Vec::new());
    loop {
        let next = windows.next_item()?;
        if next.as_ref().is_none_or(|item| item.start == 0)
            && let Some(done) = group.take()
        {
            let (item, values) = done.finish(how);
            items.push(item);
            rows.extend(values);
        }
        if next.is_none() || items.len() == 1024 {
            records.append(&items, &rows)?;
            items.clear();
            rows.clear();
        }
        let Some(item) = next else { return Ok(()) };
        windows.read_row(&mut row)?;
        let start = if how == Aggregate::Max { f64::NEG_INFINITY } else { 0.0 };
        let group = group.get_or_insert_with(|| Group {
            item: Stretch { tokens: 0, ..item.clone() },
            values: vec![start; row.len()],
        });
        group.add(&item, &row, how);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(record: &str, start: u64, tokens: u64) -> Stretch {
        Stretch { record: record.into(), start, end: start + 10, tokens, rows: 1, spans: Vec::new() }
    }

    fn run(how: Aggregate) -> Vec<(Stretch, Vec<f32>)> {
        let mut windows = Spool::scratch(2).unwrap();
        let items = [stretch("a", 0, 1), stretch("a", 8, 3), stretch("a", 0, 2)];
        windows.append(&items, &[1.0, -1.0, 5.0, -3.0, 7.0, 7.0]).unwrap();
        let mut records = Spool::scratch(2).unwrap();
        aggregate(windows.read().unwrap(), &mut records, how).unwrap();
        let mut read = records.read().unwrap();
        let mut all = Vec::new();
        while let Some(item) = read.next_item().unwrap() {
            let mut row = Vec::new();
            read.read_row(&mut row).unwrap();
            all.push((item, row));
        }
        all
    }

    #[test]
    fn windows_become_records_and_namesakes_stay_apart() {
        let mean = run(Aggregate::Mean);
        assert_eq!(mean.len(), 2);
        assert_eq!((mean[0].0.start, mean[0].0.end, mean[0].0.tokens), (0, 18, 4));
        assert_eq!(mean[0].1, [4.0, -2.5]);
        assert_eq!(mean[1].1, [7.0, 7.0]);
        assert_eq!(run(Aggregate::Max)[0].1, [5.0, -1.0]);
    }
}
