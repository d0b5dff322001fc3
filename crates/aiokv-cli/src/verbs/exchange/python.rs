//! The process that reads and writes the formats of Python: `aiokv._exchange` in the Python package,
//! which speaks JSON Lines on a pipe.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};

use crate::outcome::{Failure, Outcome, Status};

/// The interpreter of a command that Python did not call.
const PYTHON: &str = "python3";

/// Runs `aiokv._exchange`. For `-m` an interpreter imports from the current directory first, so a file
/// there that is called `sqlite3.py` would run.
const PROGRAM: &str = "import runpy, sys; sys.path[:] = filter(None, sys.path); \
                       runpy.run_module('aiokv._exchange', run_name='__main__')";

/// The interpreter that called the command.
static CALLER: OnceLock<PathBuf> = OnceLock::new();

/// From now on, lets this interpreter do what Python has to do. The first one counts.
pub(crate) fn is_called_by(interpreter: PathBuf) {
    // Set already: by the same interpreter.
    let _ = CALLER.set(interpreter);
}

/// A running process.
pub(super) struct Python {
    child: Child,
    interpreter: PathBuf,
    /// Reads what it says about its end, so that it never waits for that.
    said: JoinHandle<String>,
}

impl Python {
    /// Starts to read or to write, as the first of the words says.
    pub(super) fn start(words: Vec<OsString>) -> Outcome<Self> {
        let interpreter = CALLER.get().cloned().unwrap_or_else(|| PYTHON.into());
        let started = Command::new(&interpreter)
            .args(["-c", PROGRAM])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|error| {
            let interpreter = interpreter.display();
            let message =
                format!("this format needs Python: cannot start `{interpreter}`: {error}");
            Failure::new(Status::System, message)
        })?;
        let stderr = child.stderr.take().expect("it was asked for");
        Ok(Self { child, interpreter, said: thread::spawn(|| all(stderr)) })
    }

    /// What it writes.
    pub(super) fn output(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("it was asked for, and is taken once")
    }

    /// What it reads.
    pub(super) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it was asked for, and is taken once")
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// What it said, with the exit status that it ended with.
    pub(super) fn finish(mut self) -> Outcome<()> {
        drop(self.child.stdin.take());
        let ended = self.child.wait();
        let said = self.said.join().unwrap_or_default();
        let status = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => Status::from_number(status.code().unwrap_or_default()),
            Err(error) => return Err(Failure::new(Status::System, error)),
        };
        if said.contains("No module named") && said.contains("aiokv") {
            let interpreter = self.interpreter.display();
            let message = format!(
                "this format needs the Python package aiokv, and `{interpreter}` does not have it, or \
                 an older one: install it there, or run `python -m aiokv` where it is installed"
            );
            return Err(Failure::new(Status::System, message));
        }
        Err(Failure::new(status.unwrap_or(Status::System), said.trim_end()))
    }
}

fn all(mut stderr: ChildStderr) -> String {
    let mut said = Vec::new();
    let read: io::Result<usize> = stderr.read_to_end(&mut said);
    // Whatever came before an error has to do.
    drop(read);
    String::from_utf8_lossy(&said).into_owned()
}
