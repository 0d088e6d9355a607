//! A node as a process of its own: how it comes to be (`init`) and how it runs.

mod api_key;
mod joining;
mod running;
mod witnessing;

pub(super) use api_key::{ApiKeyArguments, api_key};
pub(super) use joining::{InitArguments, init};
pub(super) use running::{follow, run};
