//! Model directories as users have them, and as attackers would make them.

#[path = "checkpoint/directory.rs"]
mod directory;
#[path = "checkpoint/fixture.rs"]
mod fixture;
#[path = "checkpoint/hostile_pickle.rs"]
mod hostile_pickle;
#[path = "checkpoint/hostile_safetensors.rs"]
mod hostile_safetensors;
#[cfg(feature = "hub")]
#[path = "checkpoint/hub.rs"]
mod hub;
