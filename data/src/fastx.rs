//! fastx
