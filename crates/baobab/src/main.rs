//! `baobab`: the one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    baobab::cli::main()
}
