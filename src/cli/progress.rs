//! How far a run is: a bar for a person, a line now and then for a log file.

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use super::output::{self, Console, Level};

/// A log file grows by one line in this time.
const LOG_EVERY: Duration = Duration::from_mins(1);

const KNOWN: &str = "{prefix} [{elapsed_precise}] {wide_bar} {human_pos}/{human_len} ({speed}, {left} left)";
const UNKNOWN: &str = "{prefix} [{elapsed_precise}] {spinner} {human_pos} ({speed})";

/// Units a second since the beginning: units come in large portions, and a mean over the last seconds would jump. What
/// an earlier run did is not counted.
fn speed(done: u64, skipped: u64, elapsed: Duration) -> f64 {
    done.saturating_sub(skipped) as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// The time for what is left at this speed; none before anything was done.
fn left(done: u64, total: u64, speed: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(total.saturating_sub(done) as f64 / speed).ok()
}

/// Counts units of work that are done. May be shared between threads.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Standard error is a terminal.
    Bar(ProgressBar, Arc<AtomicU64>),
    /// It is not: a log file.
    Log(Log),
    /// With `-q`.
    Silent,
}

impl Progress {
    /// Begins. `label` is the name of a unit, in the plural: `bases`. `total` may not be known, as for standard input.
    pub(crate) fn new(console: &Console, total: Option<u64>, label: &'static str) -> Self {
        if console.level() == Level::Quiet {
            return Self::Silent;
        }
        if !output::stderr_is_terminal() {
            return Self::Log(Log::new(console, total, label));
        }
        let template = if total.is_some() { KNOWN } else { UNKNOWN };
        let skipped = Arc::new(AtomicU64::new(0));
        let (for_speed, for_left) = (Arc::clone(&skipped), Arc::clone(&skipped));
        let rate = |state: &ProgressState, skipped: &AtomicU64| {
            speed(state.pos(), skipped.load(Ordering::Relaxed), state.elapsed())
        };
        // A cell that cannot be written is left out: it is a picture for a person.
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant that parses")
            .with_key("speed", move |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{} a second", HumanCount(rate(state, &for_speed) as u64));
            })
            .with_key("left", move |state: &ProgressState, out: &mut dyn Write| {
                let total = state.len().unwrap_or_default();
                let _ = match left(state.pos(), total, rate(state, &for_left)) {
                    Some(left) => write!(out, "{}", HumanDuration(left)),
                    None => write!(out, "?"),
                };
            });
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let bar = console.bars().add(bar.with_style(style).with_prefix(label));
        // Time goes on where units are large.
        bar.enable_steady_tick(Duration::from_millis(500));
        Self::Bar(bar, skipped)
    }

    /// So many more are done.
    pub(crate) fn inc(&self, units: u64) {
        match self {
            Self::Bar(bar, _) => bar.inc(units),
            Self::Log(log) => log.inc(units, Instant::now()),
            Self::Silent => {}
        }
    }

    /// So many were done by an earlier run.
    pub(crate) fn skip(&self, units: u64) {
        let (Self::Bar(_, skipped) | Self::Log(Log { skipped, .. })) = self else { return };
        skipped.fetch_add(units, Ordering::Relaxed);
        self.inc(units);
    }

    /// Ends, and leaves the screen to the summary.
    pub(crate) fn finish(self) {
        if let Self::Bar(bar, _) = self {
            bar.finish_and_clear();
        }
    }
}

/// Progress in a log file.
#[derive(Debug)]
pub(crate) struct Log {
    console: Console,
    label: &'static str,
    total: Option<u64>,
    done: AtomicU64,
    skipped: Arc<AtomicU64>,
    begun: Instant,
    last: Mutex<Instant>,
}

impl Log {
    fn new(console: &Console, total: Option<u64>, label: &'static str) -> Self {
        let now = Instant::now();
        let console = console.clone();
        Self {
            console,
            label,
            total,
            done: AtomicU64::new(0),
            skipped: Arc::default(),
            begun: now,
            last: Mutex::new(now),
        }
    }

    fn inc(&self, units: u64, now: Instant) {
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        // Another thread that is here at the same time writes the line.
        if let Ok(mut last) = self.last.try_lock()
            && now.saturating_duration_since(*last) >= LOG_EVERY
        {
            *last = now;
            self.console.info(self.line(done, now));
        }
    }

    fn line(&self, done: u64, now: Instant) -> String {
        let elapsed = now.saturating_duration_since(self.begun);
        let speed = speed(done, self.skipped.load(Ordering::Relaxed), elapsed);
        let label = self.label;
        match self.total {
            Some(total) => {
                let share = 100.0 * done as f64 / total.max(1) as f64;
                let left =
                    left(done, total, speed).map_or("?".into(), |left| HumanDuration(left).to_string());
                format!("{done} of {total} {label} ({share:.0} %), {speed:.0} a second, {left} left")
            }
            None => format!("{done} {label}, {speed:.0} a second"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_has_one_line_a_minute() {
        let log = Log::new(&Console::new(Level::Quiet, false), Some(1000), "bases");
        let begun = log.begun;
        let last = |log: &Log| *log.last.lock().unwrap();
        log.inc(100, begun + Duration::from_secs(59));
        assert_eq!(last(&log), begun, "no line yet");
        let minute = begun + Duration::from_mins(1);
        log.inc(100, minute);
        log.inc(100, minute + Duration::from_secs(59));
        assert_eq!(last(&log), minute);
        assert_eq!(log.line(300, minute), "300 of 1000 bases (30 %), 5 a second, 2 minutes left");
        log.skipped.store(240, Ordering::Relaxed);
        assert_eq!(log.line(300, minute), "300 of 1000 bases (30 %), 1 a second, 12 minutes left");
    }

    #[test]
    fn quiet_is_silent() {
        let console = Console::new(Level::Quiet, false);
        assert!(matches!(Progress::new(&console, Some(1), "bases"), Progress::Silent));
    }
}
