//! State files for the command, and what it leaves behind.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use aiokv::{AioKv, Journal, Options};
use tempfile::TempDir;

/// A state file in a directory of its own.
pub(crate) struct Fixture {
    directory: TempDir,
}

impl Fixture {
    pub(crate) fn without_file() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn with_file(content: &str) -> Self {
        let fixture = Self::without_file();
        fs::write(fixture.path(), content).expect("a new file");
        fixture
    }

    /// A file with one entry, and a journal as a process leaves it that was killed after it had set
    /// two more.
    pub(crate) fn with_journal() -> Self {
        let fixture = Self::without_file();
        let other = Self::with_file(ONE_ENTRY);
        // Nothing but closing brings the file up to date.
        let options = Options::default().journal(Journal::Always).checkpoint_pace(0);
        let store = AioKv::with_options(other.path(), options).expect("a path");
        for (key, value) in [("b", 2), ("c", 3)] {
            pollster::block_on(store.set(key, &value)).expect("it can be set");
        }
        fs::copy(other.path(), fixture.path()).expect("a new file");
        fs::copy(other.journal(), fixture.journal()).expect("a new file");
        fixture
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("state.json")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.directory.path().join("state.json.journal")
    }

    pub(crate) fn content(&self) -> String {
        fs::read_to_string(self.path()).expect("the file is there")
    }

    /// The names of everything in the directory of the file.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("the directory is there");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
        entries.map(|entry| name(entry.expect("an entry"))).collect()
    }

    /// `aiokv VERB state.json ARGUMENTS...`, in the directory of the file.
    pub(crate) fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        self.words(&[&[verb, "state.json"], arguments].concat())
    }

    /// `aiokv WORDS...`, in the directory of the file.
    pub(crate) fn words(&self, words: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_aiokv"));
        process.args(words).current_dir(self.directory.path()).stdin(Stdio::null());
        process.env_remove("AIOKV_PATH");
        process
    }

    /// `aiokv state.json`
    pub(crate) fn show(&self) -> Outcome {
        self.words(&["state.json"]).output().expect("the binary starts").into()
    }

    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Outcome {
        self.command(command, arguments).output().expect("the binary starts").into()
    }

    pub(crate) fn run_with_input(
        &self,
        command: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Outcome {
        let mut process = self.command(command, arguments);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input).expect("the command reads its standard input");
        drop(stdin);
        child.wait_with_output().expect("the command ends").into()
    }
}

/// What a command left behind.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn is_silent_success(&self) -> bool {
        self.is_success_with("")
    }

    pub(crate) fn is_success_with(&self, stdout: &str) -> bool {
        self.status == Some(0) && self.stdout == stdout && self.stderr.is_empty()
    }

    /// Whether it failed with this status and words on standard error in which all of `words`
    /// occur.
    pub(crate) fn is_failure_with(&self, status: i32, words: &[&str]) -> bool {
        self.status == Some(status)
            && self.stdout.is_empty()
            && self.stderr.starts_with("aiokv: ")
            && words.iter().all(|word| self.stderr.contains(word))
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// `assert!` that shows the outcome.
#[track_caller]
pub(crate) fn expect(outcome: Outcome, promise: impl FnOnce(&Outcome) -> bool) {
    assert!(promise(&outcome), "{outcome:#?}");
}

/// A file in which every entry would look different if its value were decoded and encoded again.
pub(crate) const PECULIAR: &str = r#"{
  "caf\u00e9": "\u00e9\/\ud83d\ude00",
  "big": 123456789012345678901234567890,
  "float": 1.50E+2,
  "spaced": [1,  2 ],
  "nan": [NaN, -Infinity],
  "surrogate": "a\ud800b"
}
"#;

/// The file beside the journal of [`Fixture::with_journal`], and with the changes in that journal.
pub(crate) const ONE_ENTRY: &str = "{\n  \"a\": 1\n}\n";
pub(crate) const THREE_ENTRIES: &str = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n";

/// The exit statuses of failures, as `--help` explains them.
pub(crate) const USAGE: i32 = 2;
pub(crate) const DAMAGED: i32 = 3;
pub(crate) const LOCKED: i32 = 4;
pub(crate) const SYSTEM: i32 = 5;
pub(crate) const IMPOSSIBLE: i32 = 6;
