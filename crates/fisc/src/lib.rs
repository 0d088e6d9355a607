//! fisc
mod accounts;
mod statement;

pub use accounts::{Account, Taxpayer, accounts};
pub use statement::{FIELDS, Statement, YEARS};
