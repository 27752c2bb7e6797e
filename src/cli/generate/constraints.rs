//! What generated sequences have to satisfy, as flags.

use std::num::NonZeroUsize;

use clap::Args;
use kilobase::models::decode::base::{Dna, Motif};
use kilobase::models::decode::constraint::{Constraints, Enzyme, Frame, GcRange, GcWindow};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Constraints (exact: every sequence satisfies them)")]
pub(super) struct ConstraintArgs {
    /// Longest run of one base
    #[arg(long, value_name = "N")]
    max_run: Option<NonZeroUsize>,
    /// Share of G and C in every window: WINDOW:LOW:HIGH, such as 20:0.4:0.6
    #[arg(long, value_name = "RANGE")]
    gc_window: Vec<GcWindow>,
    /// Share of G and C in all that is generated: LOW:HIGH
    #[arg(long, value_name = "RANGE")]
    gc: Option<GcRange>,
    /// Motif that may not occur on either strand (IUPAC codes)
    #[arg(long, value_name = "MOTIF", value_delimiter = ',')]
    forbid: Vec<Motif>,
    /// Enzyme whose site may not occur on either strand, such as EcoRI
    #[arg(long, value_name = "ENZYME", value_delimiter = ',')]
    forbid_site: Vec<Enzyme>,
    /// Reading frame without stop codon, counted from the first generated base: 0, 1 or 2
    #[arg(long, value_name = "FRAME", value_delimiter = ',')]
    no_stop: Vec<Frame>,
    /// First bases of what is generated
    #[arg(long, value_name = "BASES")]
    prefix: Option<Dna>,
    /// Last bases of what is generated
    #[arg(long, value_name = "BASES")]
    suffix: Option<Dna>,
    /// Letter by letter what is possible (IUPAC codes)
    #[arg(long, value_name = "MOTIF")]
    template: Option<Motif>,
}

impl ConstraintArgs {
    pub(super) fn constraints(&self) -> Constraints {
        Constraints {
            max_run: self.max_run,
            gc_windows: self.gc_window.clone(),
            gc: self.gc,
            forbid: self.forbid.clone(),
            forbid_sites: self.forbid_site.clone(),
            no_stop: self.no_stop.clone(),
            prefix: self.prefix.clone(),
            suffix: self.suffix.clone(),
            template: self.template.clone(),
        }
    }
}
