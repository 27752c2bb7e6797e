//! Constrained generation, judged by a checker that knows nothing of automata: what masks let through is exactly what is legal,
//! nothing that was generated breaks a constraint, and weighted draws have the law of the model restricted to what is legal.
#![allow(unreachable_pub, reason = "modules of a test")]

mod constraints {
    pub mod brute;
    pub mod checker;
    pub mod laws;
    pub mod long;
    pub mod many;
    pub mod sites;
}
