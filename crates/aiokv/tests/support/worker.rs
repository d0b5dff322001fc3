//! Other processes: this test program again, running one of its ignored tests.
//!
//! The standard output of a worker belongs to the test harness, so it reports line by line on
//! standard error. Standard input tells it to go on.

#![allow(dead_code, reason = "not every test program needs all of it")]

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

const ARGUMENTS: &str = "AIOKV_WORKER_ARGUMENTS";

/// A worker, as its parent sees it. Dropping kills it.
pub(crate) struct Worker {
    process: Child,
    reports: BufReader<ChildStderr>,
}

impl Worker {
    /// Starts the ignored test with this name as a process of its own.
    pub(crate) fn start(test: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--ignored"])
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
        assert_eq!(self.report(), None);
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
