//! A disk that knows what was flushed and what was not, can stop at any call and fail any call.
//!
//! # What a program sees
//!
//! Files and directories behave as on Linux: inodes live on without a name while they are open,
//! renaming over a file is atomic, advisory locks belong to handles and end with them. The change
//! time of an inode moves at every write, rename, removal and change of mode or owner; the clock
//! counts such events. A new name follows the umask 022.
//!
//! # What a loss of power leaves
//!
//! Only a flush makes anything durable, and only of the one thing that is flushed: of a file its
//! content, size, mode and owner, but not its name; of a directory its names, but not what those
//! stand for. Of what was not flushed,
//!
//! - any of the writes to a file are there and the others are not, of the last of them only the
//!   beginning or only the end may be there, the file may have been cut off or not where a program
//!   did that, and it may have its new size with NUL bytes where data is missing;
//! - mode and owner are those from before or those from after all changes;
//! - any of the changes to the names of a directory happened and the others did not, but each
//!   of them whole: after a rename there is the old state of both names or the new state of both;
//! - all of these independently of each other.
//!
//! Large numbers of states are sampled: writes are torn at up to 20 places, and of more than six
//! unflushed changes to one thing, or more states than the caller asks for, random ones are drawn.
//!
//! A flush that failed loses the unflushed writes for ever, as Linux may: programs still see
//! them, and a second flush of the same file succeeds without writing them. A directory whose
//! flush failed keeps its changes for the next flush. Nothing that was flushed is ever damaged.
//!
//! # What there is not
//!
//! No symbolic links, no hard links made by programs, no renames from one directory to another,
//! no permissions (every call is allowed; refusals are injected), no number of an inode used twice.

#![allow(dead_code, reason = "each test uses a part of it")]

mod call;
mod inode;
mod tree;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};
use std::time::Duration;

use aiokv::storage::{Access, File, Metadata, Storage};
use rustix::io::Errno;

use crate::random::Random;

pub(crate) use call::{Action, Call, Subject};
use tree::Tree;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimulatedDisk(Arc<Shared>);

struct Shared {
    machine: Mutex<Machine>,
    changed: Condvar,
}

struct Machine {
    tree: Tree,
    plan: Plan,
    /// The calls since the plan was made, the first one being number 1.
    log: Vec<Call>,
    crashed: bool,
    /// How many files were ever opened.
    handles: u64,
    /// The only thread whose calls are not held back.
    holder: Option<ThreadId>,
    /// How many calls are held back.
    held: usize,
    /// The thread that makes this call is to pause.
    pause_at: Option<usize>,
    /// The thread that made that call.
    paused: Option<ThreadId>,
}

/// What takes this long never happens.
const DEADLINE: Duration = Duration::from_secs(120);

/// What is to go wrong. Calls are counted from 1 since the plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Everything goes well.
    Nothing,
    /// The machine stops before this call: it and all later ones fail and change nothing.
    Crash { at: usize },
    /// This call fails and changes nothing.
    Fail { at: usize, errno: Errno },
    /// If this call reads or writes, it does half of what it was asked for.
    Short { at: usize },
}

impl SimulatedDisk {
    /// A disk with an empty root directory.
    pub(crate) fn new() -> Self {
        Self::with_tree(Tree::new())
    }

    fn with_tree(tree: Tree) -> Self {
        let machine = Machine {
            tree,
            plan: Plan::Nothing,
            log: Vec::new(),
            crashed: false,
            handles: 0,
            holder: None,
            held: 0,
            pause_at: None,
            paused: None,
        };
        Self(Arc::new(Shared { machine: Mutex::new(machine), changed: Condvar::new() }))
    }

    /// Makes a plan and counts calls from here.
    pub(crate) fn plan(&self, plan: Plan) {
        let mut machine = self.machine();
        machine.plan = plan;
        machine.log.clear();
    }

    /// The calls since the plan was made.
    pub(crate) fn log(&self) -> Vec<Call> {
        self.machine().log.clone()
    }

    /// Whether the machine stopped.
    pub(crate) fn is_crashed(&self) -> bool {
        self.machine().crashed
    }

    /// The disks that a loss of power at this moment may leave, each once: all of them if there
    /// are at most `limit`, otherwise up to `limit` random ones.
    pub(crate) fn surviving_states(&self, limit: usize, seed: u64) -> Vec<Self> {
        let survivors = self.machine().tree.survivors(limit, &mut Random(seed));
        survivors.into_iter().map(Self::with_tree).collect()
    }

    /// The disk that a program leaves that is killed at this moment: everything it did happened,
    /// flushed or not, and its locks are gone.
    pub(crate) fn after_kill(&self) -> Self {
        let mut tree = self.machine().tree.clone();
        tree.release_all_locks();
        Self::with_tree(tree)
    }

    /// Every name with its mode and content, a line each.
    pub(crate) fn listing(&self) -> String {
        self.machine().tree.listing()
    }

    /// The names in a directory; none if there is no such directory.
    pub(crate) fn names(&self, directory: &Path) -> Vec<OsString> {
        self.machine().tree.names(directory)
    }

    /// Holds back the calls of every other thread until [`SimulatedDisk::release`], but for those
    /// that resolve a path: an engine makes them before it serves anybody.
    pub(crate) fn hold(&self) {
        self.machine().holder = Some(thread::current().id());
    }

    /// Waits until a call is held back, or will not be because the machine stopped.
    pub(crate) fn wait_for_held_call(&self) {
        self.wait_until(|machine| machine.held > 0 || machine.crashed);
    }

    /// Lets the calls of other threads go on.
    pub(crate) fn release(&self) {
        self.machine().holder = None;
        self.0.changed.notify_all();
        self.wait_until(|machine| machine.held == 0);
    }

    /// Lets the thread that makes this call, counted from 1 since the plan was made, pause before
    /// it until [`SimulatedDisk::go_on`].
    pub(crate) fn pause_at(&self, call: usize) {
        self.machine().pause_at = Some(call);
    }

    /// Whether a thread pauses.
    pub(crate) fn is_paused(&self) -> bool {
        self.machine().paused.is_some()
    }

    /// Lets the thread that pauses go on.
    pub(crate) fn go_on(&self) {
        self.machine().paused = None;
        self.0.changed.notify_all();
    }

    /// Waits until nobody holds a lock and there is no such file, as after a fold of this journal.
    /// Ends early if a call fails after the first `calls` of them, the machine stops or a thread
    /// pauses.
    pub(crate) fn wait_until_folded(&self, journal: &Path, calls: usize) {
        self.wait_until(|machine| {
            let failed = machine.log.iter().skip(calls).any(|call| call.faulty);
            let folded = machine.tree.find(journal).is_err() && !machine.tree.has_locks();
            folded || failed || machine.crashed || machine.paused.is_some()
        });
    }

    /// Whether somebody holds the lock of a file.
    pub(crate) fn is_locked(&self, path: &Path) -> bool {
        let machine = self.machine();
        machine.tree.find(path).is_ok_and(|inode| machine.tree.is_locked(inode))
    }

    fn wait_until(&self, condition: impl Fn(&Machine) -> bool) {
        let not_yet = |machine: &mut Machine| !condition(machine);
        let waited = self.0.changed.wait_timeout_while(self.machine(), DEADLINE, not_yet);
        let (machine, waited) = waited.expect(NOT_POISONED);
        let listing = machine.tree.listing();
        drop(machine);
        assert!(!waited.timed_out(), "what the test waits for does not happen:\n{listing}");
    }

    /// Makes a call: waits while it is held back, counts it, and fails it if that is planned.
    fn call(&self, action: Action, subject: Subject) -> io::Result<MutexGuard<'_, Machine>> {
        let mut machine = self.machine();
        let this = thread::current().id();
        let resolves = matches!(action, Action::Canonicalize | Action::ReadLink);
        let is_held = |machine: &mut Machine| {
            let by_another = machine.holder.is_some_and(|holder| holder != this);
            by_another && !resolves && !machine.crashed
        };
        if is_held(&mut machine) {
            machine.held += 1;
            self.0.changed.notify_all();
            machine = self.0.changed.wait_while(machine, is_held).expect(NOT_POISONED);
            machine.held -= 1;
            self.0.changed.notify_all();
        }
        if machine.pause_at == Some(machine.log.len() + 1) {
            (machine.pause_at, machine.paused) = (None, Some(this));
            self.0.changed.notify_all();
            let pauses = |machine: &mut Machine| machine.paused == Some(this) && !machine.crashed;
            machine = self.0.changed.wait_while(machine, pauses).expect(NOT_POISONED);
        }
        if machine.plan == (Plan::Crash { at: machine.log.len() + 1 }) {
            machine.crashed = true;
            self.0.changed.notify_all();
        }
        if machine.crashed {
            return Err(Errno::IO.into());
        }
        let fault = match machine.plan {
            Plan::Fail { at, errno } if at == machine.log.len() + 1 => Some(errno),
            _ => None,
        };
        machine.log.push(Call { action, subject: subject.clone(), faulty: fault.is_some() });
        // Whoever waits looks after the call: until then the machine is locked.
        self.0.changed.notify_all();
        match (fault, subject) {
            (None, _) => Ok(machine),
            (Some(errno), Subject::Inode(inode)) if action.flushes_a_file() => {
                machine.tree.lose_unflushed(inode);
                Err(errno.into())
            }
            (Some(errno), _) => Err(errno.into()),
        }
    }

    fn call_on(&self, action: Action, path: &Path) -> io::Result<MutexGuard<'_, Machine>> {
        self.call(action, Subject::Path(path.to_owned()))
    }

    fn handle(&self, machine: &mut Machine, inode: u64) -> Box<dyn File> {
        machine.handles += 1;
        Box::new(SimulatedFile { disk: self.clone(), inode, handle: machine.handles })
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().expect(NOT_POISONED)
    }
}

const NOT_POISONED: &str = "no call panics";

impl Machine {
    /// How many of `length` bytes the current call reads or writes.
    fn granted(&self, length: usize) -> usize {
        match self.plan {
            Plan::Short { at } if at == self.log.len() => length.div_ceil(2),
            _ => length,
        }
    }
}

impl Storage for SimulatedDisk {
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.call_on(Action::ReadLink, path)?.tree.find(path)?;
        Err(Errno::INVAL.into())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.call_on(Action::Canonicalize, path)?.tree.find(path)?;
        Ok(path.to_owned())
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn File>> {
        let mut machine = self.call_on(Action::Open, path)?;
        let inode = machine.tree.find(path)?;
        Ok(self.handle(&mut machine, inode))
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn File>> {
        let mut machine = self.call_on(Action::Create, path)?;
        let inode = machine.tree.create(path, mode)?;
        Ok(self.handle(&mut machine, inode))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let machine = self.call_on(Action::Look, path)?;
        Ok(machine.tree.metadata(machine.tree.find(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_on(Action::Rename, to)?.tree.rename(from, to, true)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_on(Action::RenameNew, to)?.tree.rename(from, to, false)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call_on(Action::Remove, path)?.tree.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call_on(Action::CreateDirectory, path)?.tree.create_directory(path)
    }

    fn flush_directory(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.call_on(Action::FlushDirectory, path)?;
        let inode = machine.tree.find(path)?;
        machine.tree.flush(inode);
        Ok(())
    }

    /// The simulated system does not tell.
    fn lock_holder(&self, _file: &Metadata) -> Option<u32> {
        None
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
    handle: u64,
}

impl SimulatedFile {
    fn call(&self, action: Action) -> io::Result<MutexGuard<'_, Machine>> {
        self.disk.call(action, Subject::Inode(self.inode))
    }
}

impl File for SimulatedFile {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(self.call(Action::LookAtHandle)?.tree.metadata(self.inode))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let machine = self.call(Action::Read)?;
        let available = machine.tree.read(self.inode, offset)?;
        let count = machine.granted(buffer.len().min(available.len()));
        buffer[..count].copy_from_slice(&available[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut machine = self.call(Action::Write)?;
        let count = machine.granted(bytes.len());
        machine.tree.write(self.inode, &bytes[..count], offset)?;
        Ok(count)
    }

    fn set_owner(&self, owner: u32, group: u32) -> io::Result<()> {
        self.call(Action::SetOwner)?.tree.set_owner(self.inode, owner, group);
        Ok(())
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.call(Action::SetMode)?.tree.set_mode(self.inode, mode);
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.call(Action::SetLength)?.tree.set_length(self.inode, length)
    }

    fn touch(&self) -> io::Result<()> {
        self.call(Action::Touch)?.tree.touch(self.inode);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.call(Action::Flush)?.tree.flush(self.inode);
        Ok(())
    }

    fn flush_content(&self) -> io::Result<()> {
        self.call(Action::FlushContent)?.tree.flush_content(self.inode);
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(self.call(Action::Lock)?.tree.try_lock(self.inode, self.handle))
    }

    fn unlock(&self) -> io::Result<()> {
        self.call(Action::Unlock)?.tree.unlock(self.inode, self.handle);
        Ok(())
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.disk.machine().tree.unlock(self.inode, self.handle);
        self.disk.0.changed.notify_all();
    }
}
