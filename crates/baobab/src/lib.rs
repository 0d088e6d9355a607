//! The roof of the house: the only place that reads the command line and the environment, starts the runtime, chooses the
//! real clock and the real randomness, and puts the floors below together.

pub mod demo;
mod system;

pub use system::{SystemClock, SystemRandom};
