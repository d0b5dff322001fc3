//! A bar for work that takes longer than a second, on a terminal only.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often what is shown changes.
const PACE: Duration = Duration::from_millis(100);

/// Dropping removes the bar.
pub(super) struct Progress {
    bar: ProgressBar,
    /// The thread that waits until the bar is shown, and what ends it. Nothing if there is none: then
    /// there is no bar either.
    waiting: Option<(Sender<()>, JoinHandle<()>)>,
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
        let waiting = thread::Builder::new().spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // Draws on a terminal only.
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(PACE);
            }
        });
        Self { bar, waiting: waiting.ok().map(|thread| (ended, thread)) }
    }

    /// One more step is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((ended, thread)) = self.waiting.take() {
            drop(ended);
            // Or it would show the bar after it was removed.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}
