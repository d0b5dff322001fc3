//! What people and programs see: the command in a pipe and at a terminal, with all that changes
//! from run to run taken out.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use rexpect::session::{PtySession, spawn_command};

use crate::support::{Fixture, Outcome};

/// How long a test waits for what a terminal shows.
const PATIENCE_MS: u64 = 60_000;

/// How wide the terminal is.
const COLUMNS: &str = "72";

/// What a transcript shows for the time that [`Scene`] has under `started`.
const STARTED: &str = "1700000000";

/// What a terminal shows. The library that reads it takes each byte for a character.
pub(crate) fn text(shown: &str) -> String {
    let bytes = shown.chars().map(|it| u8::try_from(it).expect("a byte")).collect();
    String::from_utf8(bytes).expect("UTF-8")
}

/// A store such as a bot has.
pub(crate) struct Scene {
    pub(crate) fixture: Fixture,
    started: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        // Three hours and a half ago, so that it is three hours as long as a test may take.
        let started = (now - 3 * 3600 - 1800).to_string();
        let bio = "wrote the first program, ".repeat(4);
        let fixture = Fixture::with_file(&format!(
            r#"{{
  "last_command": "ping",
  "started": {started},
  "seen:1001": true,
  "seen:1002": null,
  "user:17": {{"name": "Ada", "xp": [1, 2, 3], "bio": "{bio}"}},
  "日本 \u001b[31m": 1.50E+2
}}
"#
        ));
        Self { fixture, started }
    }

    pub(crate) fn with_file(content: &str) -> Self {
        let scene = Self::new();
        fs::write(scene.fixture.path(), content).expect("it is there");
        scene
    }

    /// What the commands of the lines show in a pipe, and each again at a terminal. A line is
    /// separated by spaces.
    pub(crate) fn transcript(&self, lines: &[&str]) -> String {
        let shown = |line: &&str| self.in_a_pipe(line) + &self.at_a_terminal(line);
        lines.iter().map(shown).collect()
    }

    /// What a command shows in a pipe.
    pub(crate) fn in_a_pipe(&self, line: &str) -> String {
        let outcome: Outcome = self.command(line).output().expect("the binary starts").into();
        let Outcome { status, stdout, stderr } = outcome;
        let status = status.expect("no signal ends it");
        self.told(&format!("{line} | cat"), &(stderr + &stdout), status)
    }

    /// What a command shows at a terminal.
    pub(crate) fn at_a_terminal(&self, line: &str) -> String {
        let terminal = self.terminal(line, &[("NO_COLOR", "1")]);
        self.ending(line, terminal)
    }

    /// What a command shows at a terminal whose user gives this answer.
    pub(crate) fn answering(&self, line: &str, answer: &str) -> String {
        let mut terminal = self.terminal(line, &[("NO_COLOR", "1")]);
        let question = terminal.exp_string("[y/N] ").expect("a question");
        terminal.send_line(answer).expect("it can be answered");
        let rest = self.ending("", terminal);
        let (_, rest) = rest.split_once('\n').expect("a line");
        format!("$ aiokv {line}\n{question}[y/N] {answer}\n{rest}")
    }

    fn ending(&self, line: &str, mut terminal: PtySession) -> String {
        let shown = text(&terminal.exp_eof().expect("the command ends"));
        let (shown, status) = shown.trim_end().rsplit_once("status ").expect("the shell tells it");
        self.told(line, shown, status.parse().expect("a number"))
    }

    /// Starts a command at a terminal of 72 columns. The last line is its exit status.
    pub(crate) fn terminal(&self, line: &str, environment: &[(&str, &str)]) -> PtySession {
        let command = self.command(line);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("stty rows 24 cols {COLUMNS}; \"$0\" \"$@\"; echo status $?")]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.current_dir(command.get_current_dir().expect("it has one"));
        // With CI set, anstream takes every terminal for one that knows colours.
        for variable in ["AIOKV_PATH", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            shell.env_remove(variable);
        }
        shell.env("TERM", "xterm");
        shell.envs(environment.iter().copied());
        spawn_command(shell, Some(PATIENCE_MS)).expect("a terminal")
    }

    fn command(&self, line: &str) -> Command {
        let mut command = self.fixture.words(&Vec::from_iter(line.split(' ')));
        command.stdin(Stdio::null());
        command
    }

    fn told(&self, line: &str, text: &str, status: i32) -> String {
        let directory = self.fixture.path().with_file_name("");
        let directory = directory.to_str().expect("UTF-8");
        let text = text.replace("\r\n", "\n").replace(directory, "");
        let text = text.replace(&self.started, STARTED);
        let ending = if status == 0 { String::new() } else { format!("[exit status {status}]\n") };
        format!("$ aiokv {line}\n{text}{ending}")
    }
}
