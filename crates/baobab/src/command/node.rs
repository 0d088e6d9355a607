//! A node as a process of its own: how it comes to be (`init`) and how it runs.

mod joining;
mod running;

pub(super) use joining::{InitArguments, init};
pub(super) use running::run;
