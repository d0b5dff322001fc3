//! Standard input in the place of an argument.

use std::io::{self, Read};

use crate::outcome::{Failure, Outcome, Status};

/// Stands for standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

/// All of standard input, which has to be UTF-8.
pub(crate) fn read_standard_input() -> Outcome<String> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(|error| {
        Failure::new(Status::System, format!("cannot read standard input: {error}"))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let message =
            format!("standard input is not UTF-8, from byte {place} on: convert it first");
        Failure::new(Status::Usage, message)
    })
}
