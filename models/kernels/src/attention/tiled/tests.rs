//! The tiled kernel against the definition, over all rules.

#![allow(
    clippy::float_cmp,
    clippy::single_range_in_vec_init,
    clippy::struct_excessive_bools,
    reason = "equal bits are what is tested; a shape is a list of choices"
)]

mod backward;
mod case;
mod forward;
mod stats;
