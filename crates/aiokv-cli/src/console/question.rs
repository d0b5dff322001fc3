//! The question before something is deleted that cannot be brought back.

use std::io::{self, IsTerminal, Write};

use super::Console;
use crate::outcome::{Failure, Outcome, Status};

impl Console {
    /// Asks the person at the terminal, unless `yes` says that the answer is known. Says whether to
    /// go on.
    ///
    /// # Errors
    ///
    /// A usage error if there is nobody to ask.
    pub(crate) fn confirm(&self, question: &str, yes: bool) -> Outcome<bool> {
        if yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let message = format!("{question} There is nobody to ask: say `--yes` if you mean it");
            return Err(Failure::new(Status::Usage, message));
        }
        let failed = |error| Failure::new(Status::System, format!("cannot ask: {error}"));
        let mut error = anstream::stderr();
        write!(error, "{question} [y/N] ").and_then(|()| error.flush()).map_err(failed)?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(failed)?;
        Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }
}
