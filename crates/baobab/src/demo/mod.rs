//! The demo nation.

pub mod bank;
