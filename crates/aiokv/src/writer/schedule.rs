//! When the state file is to be brought up to date with its journal. Pure.
//!
//! A checkpoint writes the whole state file, so its earliest time follows the size of the file:
//! on average, checkpoints write no more than the pace. A journal that has outgrown the file is
//! the exception, because then the checkpoint costs no more than the changes did.

use std::time::{Duration, Instant};

use crate::options::Options;

/// Below this size, the delay is that of a file of this size. It keeps the number of checkpoints
/// low, too.
const FILE_BYTES_MIN: u64 = 64 << 10;

/// The pause before another attempt after a failure, such as a full disk.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// The pause before another attempt while another process is at work on the file.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// How many reasons for a checkpoint there were: changes that only the journal holds, and
    /// requests without a change.
    reasons: u64,
    /// The value of `reasons` after the last change.
    changed: u64,
    /// How many of those the state file holds.
    covered: u64,
    /// When the first change was made that the state file does not hold.
    first: Option<Instant>,
    /// The highest pace that was asked for, in bytes a second.
    pace: u64,
    /// The size of the state file.
    file_bytes: u64,
    /// A checkpoint is due at once, because the journal is long or somebody waits.
    at_once: bool,
    /// Not before, after a failure.
    not_before: Option<Instant>,
}

impl Schedule {
    /// Takes note of a change that only the journal holds, beside a state file of `file_bytes`.
    pub(crate) fn appended(
        &mut self,
        now: Instant,
        file_bytes: u64,
        journal_bytes: u64,
        options: &Options,
    ) {
        self.reasons += 1;
        self.changed = self.reasons;
        self.first.get_or_insert(now);
        self.file_bytes = file_bytes;
        self.pace = self.pace.max(options.checkpoint_pace);
        self.at_once |= journal_bytes > file_bytes.max(options.journal_threshold);
    }

    /// Asks for a checkpoint at once, of everything up to now. Returns what
    /// [`Schedule::is_covered`] takes.
    pub(crate) fn request(&mut self, now: Instant) -> u64 {
        if self.is_pending() {
            self.first.get_or_insert(now);
            self.at_once = true;
            self.not_before = None;
        }
        self.reasons
    }

    /// Asks for a checkpoint even if this process changed nothing.
    pub(crate) fn request_always(&mut self, now: Instant) -> u64 {
        self.reasons += 1;
        self.request(now)
    }

    /// Whether the state file holds everything up to a request.
    pub(crate) fn is_covered(&self, request: u64) -> bool {
        self.covered >= request
    }

    /// Whether this process changed something that the state file does not hold.
    pub(crate) fn is_pending(&self) -> bool {
        self.covered < self.reasons
    }

    /// What a checkpoint that begins now will cover.
    pub(crate) fn begin(&self) -> u64 {
        self.reasons
    }

    /// The state file holds everything up to `covered`.
    pub(crate) fn done(&mut self, covered: u64, now: Instant) {
        self.covered = self.covered.max(covered);
        self.first = self.is_pending().then_some(now);
        self.at_once = false;
        self.not_before = None;
        if !self.is_pending() {
            self.pace = 0;
        }
    }

    /// The state file holds everything.
    pub(crate) fn done_with_everything(&mut self, now: Instant) {
        self.done(self.reasons, now);
    }

    /// A checkpoint failed, and whoever asked for one was told. The next attempt is made after a
    /// pause, in which the pace allows to write the file once more, if there are changes.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.at_once = false;
        self.reasons = self.changed.max(self.covered);
        self.first = self.first.filter(|_| self.is_pending());
        let pause = self.delay().map_or(RETRY_PAUSE, |delay| delay.max(RETRY_PAUSE));
        self.not_before = now.checked_add(pause);
    }

    /// Another process replaced the state file, so the pace counts from now.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.first = self.first.map(|_| now);
    }

    /// A checkpoint could not begin yet.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.not_before = now.checked_add(BUSY_PAUSE);
    }

    /// When the next checkpoint is due. `None` stands for a time that never comes.
    pub(crate) fn due(&self) -> Option<Instant> {
        let first = self.first.filter(|_| self.is_pending())?;
        let at = if self.at_once { first } else { first.checked_add(self.delay()?)? };
        Some(self.not_before.map_or(at, |not_before| at.max(not_before)))
    }

    /// How long after a change the state file may lag.
    fn delay(&self) -> Option<Duration> {
        let bytes = self.file_bytes.max(FILE_BYTES_MIN);
        (self.pace > 0).then(|| Duration::from_secs_f64(bytes as f64 / self.pace as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn delay_of(file_bytes: u64) -> f64 {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.appended(now, file_bytes, 100, &Options::default());
        schedule.due().expect("due").duration_since(now).as_secs_f64()
    }

    #[test]
    fn the_delay_follows_the_size_of_the_file() {
        assert_eq!(delay_of(100), 1.0);
        assert_eq!(delay_of(64 << 10), 1.0);
        assert_eq!(delay_of(MIB), 16.0);
        assert_eq!(delay_of(50 * MIB), 800.0);
    }

    #[test]
    fn later_changes_do_not_put_a_checkpoint_off() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        for second in 0..30 {
            let now = now + Duration::from_secs(second);
            schedule.appended(now, MIB, 100, &Options::default());
        }
        assert_eq!(schedule.due(), Some(now + Duration::from_secs(16)));
    }

    #[test]
    fn a_journal_that_outgrew_the_file_is_due_at_once() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.appended(now, MIB, MIB, &Options::default());
        assert!(schedule.due() > Some(now));
        schedule.appended(now, MIB, MIB + 1, &Options::default());
        assert_eq!(schedule.due(), Some(now));
    }

    #[test]
    fn what_came_during_a_checkpoint_is_due_after_it() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        let options = Options::default();
        schedule.appended(now, MIB, 100, &options);
        let covers = schedule.begin();
        schedule.appended(now, MIB, 100, &options);
        let later = now + Duration::from_secs(20);
        schedule.done(covers, later);
        assert_eq!(schedule.due(), Some(later + Duration::from_secs(16)));
        schedule.done_with_everything(later);
        assert_eq!(schedule.due(), None);
    }

    #[test]
    fn a_pace_of_nothing_waits_for_a_request() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.appended(now, MIB, 100, &Options::default().checkpoint_pace(0));
        assert_eq!(schedule.due(), None);
        let request = schedule.request(now);
        assert_eq!(schedule.due(), Some(now));
        assert!(!schedule.is_covered(request));
        schedule.done(schedule.begin(), now);
        assert!(schedule.is_covered(request));
    }

    #[test]
    fn after_a_failure_there_is_a_pause_that_follows_the_size_of_the_file() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.appended(now, 100, 100, &Options::default());
        schedule.failed(now);
        assert_eq!(schedule.due(), Some(now + RETRY_PAUSE));
        schedule.appended(now, 50 * MIB, 100, &Options::default());
        schedule.failed(now);
        assert_eq!(schedule.due(), Some(now + Duration::from_secs(800)));
    }

    #[test]
    fn a_request_that_failed_is_over() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.request_always(now);
        schedule.failed(now);
        assert_eq!(schedule.due(), None);
    }
}
