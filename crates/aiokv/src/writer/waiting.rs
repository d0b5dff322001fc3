//! How a writer waits for a lock that another process holds: it tries again after pauses, lets a
//! thread wait in the kernel, and ends the operations that have waited for too long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Next;
use super::lock_wait::LockWait;
use super::owned::Writer;
use crate::error::{Error, Result};
use crate::files::Locking;
use crate::files::storage::{Lock, Metadata};
use crate::queue::Submission;

/// The pause between two attempts to take a lock that another process holds is a part of the time
/// that was waited so far, within bounds. A process that commits in a tight loop leaves the lock
/// free for some 50 us of every commit, so the first attempts have to come close to each other.
const LOCK_PAUSE_PART: u32 = 16;
const LOCK_PAUSE_MIN: Duration = Duration::from_micros(50);
const LOCK_PAUSE_MAX: Duration = Duration::from_millis(2);

/// The pause while a thread waits for the lock in the kernel, which says when it has it.
const LOCK_PAUSE_WAITING: Duration = Duration::from_millis(20);

/// After this time, a thread waits for the lock in the kernel.
const LOCK_WAIT_AFTER: Duration = Duration::from_micros(500);

impl Writer {
    /// Tries to take the lock of the state file, which a thread may have got meanwhile.
    pub(super) fn lock(&mut self, lock: Lock) -> Result<Locking> {
        let Self { files, disk, lock_wait, busy_lock, .. } = self;
        let files = files.as_mut().expect("every step finds the files first");
        *busy_lock = None;
        if let Some(locked) = lock_wait.as_ref().and_then(|wait| wait.take(lock))
            && let Some(locked) = files.state.accept(locked)?
        {
            return Ok(Locking::Taken(locked));
        }
        let locking = files.state.lock(disk.file(), lock)?;
        *busy_lock = matches!(locking, Locking::Busy(_)).then_some(lock);
        Ok(locking)
    }

    /// What a thread should wait for on behalf of this writer, if anything new.
    pub(crate) fn wait_for_lock(&mut self, now: Instant) -> Option<Arc<LockWait>> {
        let waited = now.saturating_duration_since(self.busy_since?);
        let lock = self.busy_lock?;
        if waited < LOCK_WAIT_AFTER || self.lock_wait.as_ref().is_some_and(|it| it.resume(lock)) {
            return None;
        }
        // An error is for the next attempt to tell.
        let handle = self.files().state.open_to_wait(lock).ok()??;
        let wait = Arc::new(LockWait::new(handle, lock));
        self.lock_wait = Some(Arc::clone(&wait));
        Some(wait)
    }

    pub(super) fn stop_waiting(&mut self) {
        self.busy_since = None;
        // The thread may stay in the kernel for long, and may be of use again.
        if self.lock_wait.as_ref().is_some_and(|wait| wait.cancel()) {
            self.lock_wait = None;
        }
    }

    /// Ends the operations that have waited for the lock for too long. The others go on waiting.
    pub(super) fn retry(&mut self, holder: Option<&Metadata>, now: Instant) -> Next {
        let is_late =
            |it: &Submission| now.saturating_duration_since(it.started) >= it.options.lock_timeout;
        let is_late_write = |it: &Submission| it.operation.is_write() && is_late(it);
        if self.waiting.iter().any(is_late_write) {
            // The reads that waited for these may be answered without the lock.
            self.give_up(holder, is_late_write);
            return Next::Again;
        }
        self.give_up(holder, is_late);
        let since = *self.busy_since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        if self.lock_wait.as_ref().is_some_and(|wait| wait.is_waiting()) {
            return Next::Retry(LOCK_PAUSE_WAITING);
        }
        Next::Retry((waited / LOCK_PAUSE_PART).clamp(LOCK_PAUSE_MIN, LOCK_PAUSE_MAX))
    }

    /// Ends some operations with the error that another process holds the lock.
    fn give_up(&mut self, holder: Option<&Metadata>, ends: impl Fn(&Submission) -> bool) {
        let waiting = std::mem::take(&mut self.waiting);
        let (mut ended, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(&ends);
        self.waiting = rest;
        let draining = std::mem::take(&mut self.draining);
        let (drains, rest): (Vec<_>, Vec<_>) =
            draining.into_iter().partition(|it| ends(&it.submission));
        self.draining = rest;
        ended.extend(drains.into_iter().map(|it| it.submission));
        if ended.is_empty() {
            return;
        }
        let process = holder.and_then(|holder| self.storage.lock_holder(holder));
        let path = &self.files().place.file;
        let locked = |it: &Submission| {
            Err(Error::Locked {
                path: path.clone(),
                waited: it.options.lock_timeout,
                holder: process,
            })
        };
        let answers = ended.iter().map(locked).collect();
        self.queue.answer(ended, answers);
    }
}
