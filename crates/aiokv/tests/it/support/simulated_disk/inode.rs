//! A file or a directory: what programs see of it, and what a loss of power may leave of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use aiokv::binding::storage::Lock;

use crate::support::random::Random;

/// How many unflushed changes of one thing are kept or lost in every combination. Of more than
/// these, random combinations are drawn.
const COMBINED_MAX: usize = 6;
/// How many combinations are drawn then.
const COMBINATIONS_DRAWN: usize = 64;
/// What the system writes at once.
const PAGE: usize = 4096;
/// At how many places a write is torn, both ends included.
const TEARS: usize = 17;

/// The number of an inode.
pub(crate) type Number = u64;
/// The number of a handle.
pub(super) type Handle = u64;

#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) attributes: Attributes,
    attributes_durable: Attributes,
    pub(super) body: Body,
    /// How many names it has.
    pub(super) links: u64,
    /// When the content changed, in ticks of the simulated clock.
    pub(super) modified: i64,
    /// When content, names or attributes changed.
    pub(super) changed: i64,
    /// The advisory locks: one exclusive one, or any number of shared ones.
    pub(super) locks: Vec<(Handle, Lock)>,
    /// How many handles stand for it.
    pub(super) handles: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) group: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    File(Content),
    Directory(Entries),
}

impl Inode {
    pub(super) fn new(attributes: Attributes, body: Body, now: i64) -> Self {
        Self {
            attributes,
            attributes_durable: attributes,
            body,
            links: 0,
            modified: now,
            changed: now,
            locks: Vec::new(),
            handles: 0,
        }
    }

    pub(super) fn with_links(&self, links: u64) -> Self {
        Self { links, ..self.clone() }
    }

    pub(super) fn flush(&mut self) {
        self.attributes_durable = self.attributes;
        match &mut self.body {
            Body::File(content) => content.flush(),
            Body::Directory(entries) => entries.flush(),
        }
    }

    /// What a loss of power may leave, without anything unflushed in it.
    pub(super) fn survivors(&self, random: &mut Random) -> Vec<Self> {
        let bodies: Vec<_> = match &self.body {
            Body::File(content) => content.survivors(random).into_iter().map(Body::File).collect(),
            Body::Directory(entries) => {
                entries.survivors(random).into_iter().map(Body::Directory).collect()
            }
        };
        let mut attributes = vec![self.attributes, self.attributes_durable];
        attributes.dedup();
        let survivor = |attributes, body: &Body| Self {
            attributes,
            attributes_durable: attributes,
            body: body.clone(),
            locks: Vec::new(),
            handles: 0,
            ..*self
        };
        let survivors = |attributes| bodies.iter().map(move |body| survivor(attributes, body));
        attributes.into_iter().flat_map(survivors).collect()
    }

    /// One of the things that a loss of power may leave, by chance.
    pub(super) fn survivor(&self, random: &mut Random) -> Self {
        let attributes = random.pick(&[self.attributes, self.attributes_durable]);
        let body = match &self.body {
            Body::File(content) => Body::File(content.survivor(random)),
            Body::Directory(entries) => Body::Directory(entries.survivor(random)),
        };
        let attributes_durable = attributes;
        Self { attributes, attributes_durable, body, locks: Vec::new(), handles: 0, ..*self }
    }
}

/// The content of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What was done since the last flush.
    unflushed: Vec<Edit>,
    /// A flush failed, so some of what programs see is on no way to the disk.
    lossy: bool,
}

/// What one call does to the content of a file.
#[derive(Debug, Clone)]
enum Edit {
    /// Writes bytes at an offset.
    Write(usize, Vec<u8>),
    /// Cuts the content off, or fills it up.
    SetLength(usize),
}

impl Edit {
    /// Does it to a content.
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => write(content, bytes, *offset),
            Self::SetLength(length) => content.resize(*length, 0),
        }
    }

    /// What a crash may make of a content to which it is done. Of a write, a beginning or an end
    /// may be there.
    fn survivors(&self, content: &[u8]) -> Vec<Vec<u8>> {
        let after = |edit: Self| {
            let mut content = content.to_vec();
            edit.apply(&mut content);
            content
        };
        let Self::Write(offset, bytes) = self else { return vec![after(self.clone())] };
        let parts = tears(bytes).into_iter().flat_map(|tear| {
            let (beginning, end) = bytes.split_at(tear);
            [(*offset, beginning), (offset + tear, end)]
        });
        parts.map(|(offset, part)| after(Self::Write(offset, part.to_vec()))).collect()
    }
}

impl Content {
    pub(super) fn now(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        if !self.lossy {
            return self.edit(Edit::Write(offset, bytes.to_vec()));
        }
        // Pages are written whole, with what an earlier flush did not bring to the disk.
        write(&mut self.now, bytes, offset);
        let start = offset / PAGE * PAGE;
        let end = (offset + bytes.len()).next_multiple_of(PAGE).min(self.now.len());
        self.unflushed.push(Edit::Write(start, self.now[start..end].to_vec()));
    }

    pub(super) fn set_length(&mut self, length: usize) {
        self.edit(Edit::SetLength(length));
    }

    fn edit(&mut self, edit: Edit) {
        edit.apply(&mut self.now);
        self.unflushed.push(edit);
    }

    pub(super) fn flush(&mut self) {
        for edit in self.unflushed.drain(..) {
            edit.apply(&mut self.durable);
        }
    }

    /// What a failed flush does: programs still see the writes, but no later flush brings them to
    /// the disk.
    pub(super) fn lose_unflushed(&mut self) {
        self.unflushed.clear();
        self.lossy = true;
    }

    fn survivors(&self, random: &mut Random) -> Vec<Self> {
        let mut survivors = BTreeSet::new();
        for kept in combinations(self.unflushed.len(), random) {
            let mut kept: Vec<_> = kept.iter().map(|&index| &self.unflushed[index]).collect();
            let last = kept.pop();
            let mut content = self.durable.clone();
            for edit in kept {
                edit.apply(&mut content);
            }
            let torn = match last {
                Some(last) => last.survivors(&content),
                None => vec![content],
            };
            for torn in torn {
                let mut extended = torn.clone();
                extended.resize(self.now.len(), 0);
                survivors.extend([torn, extended]);
            }
        }
        survivors.into_iter().map(Self::settled).collect()
    }

    fn survivor(&self, random: &mut Random) -> Self {
        let kept = drawn(self.unflushed.len(), random);
        let mut kept: Vec<_> = kept.iter().map(|&index| &self.unflushed[index]).collect();
        let last = if random.once_in(2) { kept.pop() } else { None };
        let mut content = self.durable.clone();
        for edit in kept {
            edit.apply(&mut content);
        }
        if let Some(torn) = last {
            content = random.pick(&torn.survivors(&content));
        }
        if random.once_in(4) {
            content.resize(self.now.len(), 0);
        }
        Self::settled(content)
    }

    fn settled(content: Vec<u8>) -> Self {
        Self { now: content.clone(), durable: content, unflushed: Vec::new(), lossy: false }
    }
}

/// The names in a directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    now: BTreeMap<OsString, Number>,
    durable: BTreeMap<OsString, Number>,
    unflushed: Vec<Change>,
}

/// What one operation does to the names of a directory: what each of them stands for afterwards.
/// It happens whole or not at all.
pub(super) type Change = Vec<(OsString, Option<Number>)>;

impl Entries {
    pub(super) fn now(&self) -> &BTreeMap<OsString, Number> {
        &self.now
    }

    pub(super) fn get(&self, name: &OsStr) -> Option<Number> {
        self.now.get(name).copied()
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.unflushed.push(change);
    }

    fn flush(&mut self) {
        self.durable.clone_from(&self.now);
        self.unflushed.clear();
    }

    /// Every inode that a survivor may have a name for.
    pub(super) fn ever_named(&self) -> impl Iterator<Item = Number> {
        let named = |change: &Change| change.iter().filter_map(|(_, inode)| *inode).collect();
        let unflushed = self.unflushed.iter().flat_map(move |change| -> Vec<_> { named(change) });
        self.durable.values().copied().chain(unflushed)
    }

    fn survivors(&self, random: &mut Random) -> Vec<Self> {
        let survivor = |kept: Vec<usize>| {
            let mut names = self.durable.clone();
            for index in kept {
                apply(&mut names, &self.unflushed[index]);
            }
            names
        };
        let kept = combinations(self.unflushed.len(), random).into_iter();
        let survivors: BTreeSet<_> = kept.map(survivor).collect();
        survivors.into_iter().map(Self::settled).collect()
    }

    fn survivor(&self, random: &mut Random) -> Self {
        let mut names = self.durable.clone();
        for index in drawn(self.unflushed.len(), random) {
            apply(&mut names, &self.unflushed[index]);
        }
        Self::settled(names)
    }

    fn settled(names: BTreeMap<OsString, Number>) -> Self {
        Self { now: names.clone(), durable: names, unflushed: Vec::new() }
    }
}

fn apply(names: &mut BTreeMap<OsString, Number>, change: &Change) {
    for (name, inode) in change {
        match inode {
            Some(inode) => drop(names.insert(name.clone(), *inode)),
            None => drop(names.remove(name)),
        }
    }
}

/// Writes as the kernel does: a gap is filled with NUL bytes.
fn write(content: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// Which of `count` changes survive, as their indices in order. All and none are among them.
fn combinations(count: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let chosen = |mask: u64| (0..count).filter(|index| mask >> (index % 64) & 1 == 1).collect();
    if count <= COMBINED_MAX {
        return (0..1 << count).map(chosen).collect();
    }
    let prefixes = (0..=count).map(|kept| (0..kept).collect());
    let drawn = std::iter::repeat_with(|| chosen(random.below(u64::MAX))).take(COMBINATIONS_DRAWN);
    drawn.chain(prefixes).collect()
}

/// Some of `count` changes, as their indices in order: all, the first ones, or any.
fn drawn(count: usize, random: &mut Random) -> Vec<usize> {
    match random.below(4) {
        0 => (0..count).collect(),
        1 => (0..random.index(count + 1)).collect(),
        _ => (0..count).filter(|_| random.once_in(2)).collect(),
    }
}

/// Where a write is torn: evenly spread, both ends among the places. Filling up, which is a run of
/// one byte at the end, is torn only at its ends.
fn tears(bytes: &[u8]) -> BTreeSet<usize> {
    let whole = bytes.len();
    let filling = bytes.iter().rev().take_while(|byte| Some(*byte) == bytes.last()).count();
    let end = whole - filling.saturating_sub(1);
    let edges = [1, end.saturating_sub(1), whole].map(|place| place.min(whole));
    (0..TEARS).map(|part| end * part / (TEARS - 1)).chain(edges).collect()
}
