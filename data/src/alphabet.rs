//! alphabet
