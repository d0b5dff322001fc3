//! A bar for work that takes longer than a second, on a terminal only.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often what is shown changes.
const PACE: Duration = Duration::from_millis(100);

/// Dropping removes the bar.
pub(super) struct Progress {
    bar: ProgressBar,
    /// The thread that waits ends with it.
    _ended: Sender<()>,
}

impl Progress {
    /// Work that consists of so many steps, or of an unknown number. `what` says in what.
    pub(super) fn new(what: &'static str, steps: Option<u64>) -> Self {
        let bar = match steps {
            Some(steps) => ProgressBar::new(steps),
            None => ProgressBar::no_length(),
        };
        bar.set_draw_target(ProgressDrawTarget::hidden());
        let template = match steps {
            Some(_) => "{msg} {wide_bar} {pos}/{len}",
            None => "{spinner} {msg}: {pos}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("it is a good template"));
        bar.set_message(what);
        let (ended, wait) = mpsc::channel();
        let shown = bar.clone();
        // If there is no thread, there is no bar.
        let _ = thread::Builder::new().spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // Draws on a terminal only.
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(PACE);
            }
        });
        Self { bar, _ended: ended }
    }

    /// One more step is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
