//! Files as pools.
