//! Standard input in the place of an argument.

use std::io;

use crate::outcome::{Failure, Outcome, Status};

/// Stands for standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

/// All of standard input, which has to be UTF-8.
pub(crate) fn read_standard_input() -> Outcome<String> {
    io::read_to_string(io::stdin()).map_err(|error| {
        Failure::new(Status::System, format!("cannot read standard input: {error}"))
    })
}
