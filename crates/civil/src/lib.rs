//! civil
mod commune;
mod communes;
pub mod person;
pub mod population;

pub use commune::{Commune, Country};
