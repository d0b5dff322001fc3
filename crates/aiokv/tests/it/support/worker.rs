//! Other processes: this test program again, running one of its ignored tests.
//!
//! The standard output of a worker belongs to the test harness, so it reports line by line on
//! standard error. Standard input tells it to go on.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

const ARGUMENTS: &str = "AIOKV_WORKER_ARGUMENTS";

/// A user, and his group, whom only root can run a worker as.
pub(crate) const UNPRIVILEGED: u32 = 65_534;
/// A group of which that user is a member too.
pub(crate) const OTHER_GROUP: u32 = 54_321;

/// A worker, as its parent sees it. Dropping kills it.
pub(crate) struct Worker {
    process: Child,
    reports: BufReader<ChildStderr>,
}

impl Worker {
    /// Starts the ignored test with this name as a process of its own.
    pub(crate) fn start(test: &str, arguments: &[&str]) -> Self {
        Self::run(Command::new(env::current_exe().unwrap()), test, arguments)
    }

    /// The same, as [`UNPRIVILEGED`] if this process is root's. `None` if that is not possible
    /// here: without the program `setpriv`, or where that user cannot run this program.
    pub(crate) fn start_unprivileged(test: &str, arguments: &[&str]) -> Option<Self> {
        if !is_root() {
            return Some(Self::start(test, arguments));
        }
        let as_user = || {
            let mut command = Command::new("setpriv");
            command.args([
                format!("--reuid={UNPRIVILEGED}"),
                format!("--regid={UNPRIVILEGED}"),
                format!("--groups={OTHER_GROUP}"),
            ]);
            command.arg(env::current_exe().unwrap());
            command
        };
        // No test has that name.
        let mut trial = as_user();
        trial.args(["--exact", "-"]).stdout(Stdio::null()).stderr(Stdio::null());
        let is_possible = trial.status().is_ok_and(|status| status.success());
        is_possible.then(|| Self::run(as_user(), test, arguments))
    }

    fn run(mut program: Command, test: &str, arguments: &[&str]) -> Self {
        let mut process = program
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(ARGUMENTS, serde_json::to_string(arguments).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let reports = BufReader::new(process.stderr.take().unwrap());
        Self { process, reports }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the next report; `None` once the worker has ended.
    pub(crate) fn report(&mut self) -> Option<String> {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        // A line that was cut off is none: the worker was killed while it wrote.
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// Waits for the next report, which has to be this one.
    pub(crate) fn expect(&mut self, report: &str) {
        assert_eq!(self.report().as_deref(), Some(report));
    }

    /// Lets a worker go on that waits in [`wait_for_parent`].
    pub(crate) fn go_on(&mut self) {
        self.process.stdin.as_mut().unwrap().write_all(b"go on\n").unwrap();
    }

    /// Kills the worker with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until the worker has ended by itself.
    pub(crate) fn finish(&mut self) {
        // A worker that fails says why.
        let reports = Vec::from_iter(std::iter::from_fn(|| self.report()));
        assert_eq!(reports, Vec::<String>::new());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The arguments of this worker. `None` if the ignored tests were asked for by hand, and there is
/// nothing to do.
pub(crate) fn arguments<const COUNT: usize>() -> Option<[String; COUNT]> {
    let arguments: Vec<String> = serde_json::from_str(&env::var(ARGUMENTS).ok()?).unwrap();
    Some(arguments.try_into().unwrap())
}

/// Tells the parent. Ends the worker if there is no parent any more.
pub(crate) fn report(line: impl std::fmt::Display) {
    // One call, so that lines are whole. Not `eprintln`, which the test harness captures.
    io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Waits until the parent says so, or has ended.
pub(crate) fn wait_for_parent() {
    io::stdin().read_line(&mut String::new()).unwrap();
}
