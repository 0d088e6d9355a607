//! The demo nation.
