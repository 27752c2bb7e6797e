//! The tensors of a checkpoint: names, shapes, and which may be absent.
