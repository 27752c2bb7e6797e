//! Sequence mixers beside attention: what a layer can do with a sequence in time linear in its length.
//!
//! Each reads a sequence chunk by chunk and keeps a state of fixed size. All of them compute in f64 on plain slices: they
//! are the exact form of their papers, which faster ones are measured against.

mod convolution;
pub mod lact;
pub mod lmu;
mod matrix;
pub mod s4;
pub mod ssd;
pub mod state_space;

pub use matrix::Matrix;

/// A layer over sequences whose past is a state.
pub trait Mixer {
    /// What the tokens of a chunk bring.
    type Input<'a>;
    /// What later chunks need to know of earlier ones.
    type State;

    /// The state before the first token.
    fn start(&self) -> Self::State;

    /// Outputs of the next tokens, `[tokens, width]`, and the state after them. Cutting a sequence into other chunks
    /// changes nothing but rounding.
    fn forward_chunk(&self, input: Self::Input<'_>, state: Self::State) -> (Vec<f64>, Self::State);
}
