//! Questions to the person at the terminal, as before something is deleted that cannot be brought back.

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
        if !self.can_ask() {
            let message = format!("{question} There is nobody to ask: say `--yes` if you mean it");
            return Err(Failure::new(Status::Usage, message));
        }
        let answer = ask(&format!("{question} [y/N]"))?.unwrap_or_default();
        Ok(["y", "yes"].contains(&answer.as_str()))
    }

    /// Whether there is a person to ask.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks the person at the terminal for one of some letters, until it is one.
    ///
    /// # Errors
    ///
    /// If there is no answer, because the input ended.
    pub(crate) fn choose(&self, question: &str, letters: &str) -> Outcome<char> {
        loop {
            let Some(answer) = ask(&format!("{question}:"))? else {
                return Err(Failure::new(Status::No, "there was no answer"));
            };
            let chosen = letters.chars().find(|letter| answer == letter.to_string());
            if let Some(letter) = chosen {
                return Ok(letter);
            }
        }
    }
}

/// The answer to a question, in small letters; nothing at the end of the input.
fn ask(question: &str) -> Outcome<Option<String>> {
    let failed = |error| Failure::new(Status::System, format!("cannot ask: {error}"));
    let mut error = anstream::stderr();
    write!(error, "{question} ").and_then(|()| error.flush()).map_err(failed)?;
    let mut answer = String::new();
    let bytes = io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok((bytes > 0).then(|| answer.trim().to_lowercase()))
}
