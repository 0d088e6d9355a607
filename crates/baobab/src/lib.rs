//! The roof of the house: the only place that reads the command line and the environment, starts the runtime, chooses the
//! real clock and the real randomness, and puts the floors below together.
//!
//! `baobab authority run` and `baobab node run` are the roles that run on machines of their own, from configuration files whose keys
//! stand in [`settings`]. `baobab demo` starts a whole nation in one process: several organisations, each with its own data folder, keys, node and
//! ports, which talk over sockets only. `baobab verify` judges evidence offline.
//!
//! Deliberately absent: business rules (they live in the rooms), SQL, cryptography.

pub mod cli;
mod command;
pub mod demo;
mod files;
pub mod settings;
mod system;
mod telemetry;
pub mod verify;

pub use system::{SystemClock, SystemRandom};
