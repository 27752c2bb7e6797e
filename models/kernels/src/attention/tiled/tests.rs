//! The tiled kernel against the definition, over all rules.

mod backward;
mod case;
mod forward;
mod stats;
