//! Constraints as users write them and outputs record them.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::base::{Dna, Motif, as_text};
use super::{
    Automaton, Enzyme, Error, MAX_WINDOW, MaximalRun, Motifs, ParseError, Prefix, ReadingFrame, Suffix,
    Template, TotalGc, WindowGc,
};

/// What a sequence has to satisfy; by default nothing.
///
/// Runs, windows, motifs and reading frames are judged with the prompt in front of what is generated, as far as generated bases
/// are involved; total GC, flanks and template are about what is generated alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Constraints {
    /// Longest homopolymer run.
    pub max_run: Option<NonZeroUsize>,
    /// GC content of every window; several lengths at once are possible.
    pub gc_windows: Vec<GcWindow>,
    /// GC content of all that is generated.
    pub gc: Option<GcRange>,
    /// Motifs that may not occur on either strand.
    pub forbid: Vec<Motif>,
    /// Enzymes whose sites may not occur on either strand.
    pub forbid_sites: Vec<Enzyme>,
    /// Reading frames without stop codon.
    pub no_stop: Vec<Frame>,
    /// The first bases.
    pub prefix: Option<Dna>,
    /// The last bases.
    pub suffix: Option<Dna>,
    /// Letter by letter what is possible.
    pub template: Option<Motif>,
}

impl Constraints {
    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The automata of all that is demanded.
    pub fn automata(&self) -> Result<Vec<Arc<dyn Automaton>>, Error> {
        let mut automata: Vec<Arc<dyn Automaton>> = Vec::new();
        // First what has the most to say about where to look.
        if let Some(GcRange { low, high }) = self.gc {
            automata.push(Arc::new(TotalGc { low, high }));
        }
        for &GcWindow { window, range: GcRange { low, high } } in &self.gc_windows {
            automata.push(Arc::new(WindowGc::new(window, low, high)?));
        }
        if let Some(longest) = self.max_run {
            automata.push(Arc::new(MaximalRun { longest: longest.get() }));
        }
        if !(self.forbid.is_empty() && self.forbid_sites.is_empty()) {
            let sites: Vec<Motif> = self.forbid_sites.iter().map(Enzyme::site).collect();
            let named = |(enzyme, site): (&Enzyme, _)| (format!("{enzyme} site"), site);
            let motifs = self.forbid.iter().map(|motif| (motif.to_string(), motif));
            let sites = self.forbid_sites.iter().zip(&sites).map(named);
            automata.push(Arc::new(Motifs::new(motifs.chain(sites))?));
        }
        for frame in &self.no_stop {
            automata.push(Arc::new(frame.0));
        }
        if let Some(bases) = &self.prefix {
            automata.push(Arc::new(Prefix(bases.clone())));
        }
        if let Some(bases) = &self.suffix {
            automata.push(Arc::new(Suffix::new(bases.clone())));
        }
        if let Some(motif) = &self.template {
            automata.push(Arc::new(Template(motif.clone())));
        }
        Ok(automata)
    }
}

/// Bounds of GC content, included: as text `LOW:HIGH`, such as `0.4:0.6`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GcRange {
    low: f64,
    high: f64,
}

impl FromStr for GcRange {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bounds = || {
            let (low, high) = text.split_once(':')?;
            let (low, high): (f64, f64) = (low.parse().ok()?, high.parse().ok()?);
            (0.0 <= low && low <= high && high <= 1.0).then_some(Self { low, high })
        };
        bounds()
            .ok_or_else(|| ParseError::new("GC content", text, "LOW:HIGH between 0 and 1, such as 0.4:0.6"))
    }
}

impl fmt::Display for GcRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.low, self.high)
    }
}

/// GC content of every window: as text `BASES:LOW:HIGH`, such as `20:0.4:0.6`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GcWindow {
    window: usize,
    range: GcRange,
}

impl FromStr for GcWindow {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let window = || {
            let (window, range) = text.split_once(':')?;
            let window = window.parse().ok().filter(|window| (1..=MAX_WINDOW).contains(window))?;
            Some(Self { window, range: range.parse().ok()? })
        };
        let expected = "BASES:LOW:HIGH with 1 to 64 bases, such as 20:0.4:0.6";
        window().ok_or_else(|| ParseError::new("GC window", text, expected))
    }
}

impl fmt::Display for GcWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.window, self.range)
    }
}

/// A reading frame without stop codon: as text `0`, `1` or `2`, with `:start` behind it if its first codon is to be `ATG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Frame(ReadingFrame);

impl FromStr for Frame {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (frame, start) = text.strip_suffix(":start").map_or((text, false), |frame| (frame, true));
        let frame = frame.parse().ok().and_then(|frame| ReadingFrame::new(frame, start));
        frame
            .map(Self)
            .ok_or_else(|| ParseError::new("reading frame", text, "0, 1 or 2, or one of them with :start"))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.frame(), if self.0.demands_start() { ":start" } else { "" })
    }
}

as_text!(GcRange, GcWindow, Frame);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_outputs_record_reads_back() {
        let constraints = Constraints {
            max_run: NonZeroUsize::new(4),
            gc_windows: vec!["20:0.4:0.6".parse().expect("a window")],
            gc: Some("0.45:0.55".parse().expect("a range")),
            forbid: vec!["tatawr".parse().expect("a motif")],
            forbid_sites: vec!["bsai".parse().expect("an enzyme")],
            no_stop: vec!["0:start".parse().expect("a frame"), "2".parse().expect("a frame")],
            prefix: Some("ATG".parse().expect("a sequence")),
            ..Constraints::default()
        };
        let json = serde_json::to_string(&constraints).expect("text");
        assert_eq!(
            json,
            r#"{"max_run":4,"gc_windows":["20:0.4:0.6"],"gc":"0.45:0.55","forbid":["TATAWR"],"forbid_sites":["BsaI"],"no_stop":["0:start","2"],"prefix":"ATG","suffix":null,"template":null}"#
        );
        assert_eq!(serde_json::from_str::<Constraints>(&json).expect("the same text"), constraints);
        assert_eq!(constraints.automata().expect("automata").len(), 7);
        assert!(
            !constraints.is_empty() && serde_json::from_str::<Constraints>("{}").expect("none").is_empty()
        );
    }

    #[test]
    fn bounds_out_of_order_and_other_text_are_refused() {
        for text in ["", "0.4", "0.6:0.4", "-0.1:0.5", "0.5:1.1", "nan:0.5", "0.1:nan", "a:b", "0.1:0.2:0.3"]
        {
            assert!(text.parse::<GcRange>().is_err(), "{text}");
        }
        for text in ["0.4:0.6", "0:0.4:0.6", "65:0.4:0.6", "20:0.6:0.4", "-1:0:1", "x:0:1"] {
            assert!(text.parse::<GcWindow>().is_err(), "{text}");
        }
        for text in ["3", "", "start", "0:stop", ":start"] {
            assert!(text.parse::<Frame>().is_err(), "{text}");
        }
        let error = "3".parse::<Frame>().expect_err("no such frame").to_string();
        assert_eq!(error, "reading frame `3`: expected 0, 1 or 2, or one of them with :start");
        assert!(serde_json::from_str::<Constraints>(r#"{"gc":"1:0"}"#).is_err());
        assert!(serde_json::from_str::<Constraints>(r#"{"max_run":0}"#).is_err());
    }

    /// Text is refused, or reads the same when it is written again.
    fn check<T: FromStr + fmt::Display + PartialEq + fmt::Debug>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string().parse::<T>().ok(), Some(value), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_refused_or_reads_back(
            text in prop_oneof![
                ".{0,12}", "[0-9.:e+-]{0,12}", "[0-9]{1,2}:0\\.[0-9]{1,3}:[01]", "[0-3](:start)?", "[A-Za-z]{0,9}",
            ],
        ) {
            check::<GcRange>(&text);
            check::<GcWindow>(&text);
            check::<Frame>(&text);
            check::<Motif>(&text);
            check::<Dna>(&text);
            check::<Enzyme>(&text);
        }
    }
}
