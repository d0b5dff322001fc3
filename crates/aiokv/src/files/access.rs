//! Who may do what with a file: how a file takes over the access of another one.

use std::io;

use rustix::io::Errno;

use super::storage::{File, Metadata};

const GROUP: u32 = 0o070;
const OTHERS: u32 = 0o007;

/// Gives a file the owner, the group and the permission bits of another one, each as far as
/// allowed. Where the group cannot be kept, its bits and those of others are cut down to what both
/// had, so that no user can read more than before.
pub(super) fn take_over(file: &dyn File, is: &Metadata, other: &Metadata) -> io::Result<()> {
    let owner = (is.owner != other.owner).then_some(other.owner);
    let group = (is.group != other.group).then_some(other.group);
    let mut group_is_kept = true;
    if owner.is_some() || group.is_some() {
        let allowed = if_allowed(file.set_owner(owner, group))?
            || (owner.is_some() && group.is_some() && if_allowed(file.set_owner(None, group))?);
        group_is_kept = allowed || group.is_none();
    }
    let mode = if group_is_kept { other.mode } else { without_group(other.mode) };
    // A file system without permission bits refuses to set them.
    if mode == is.mode { Ok(()) } else { file.set_mode(mode) }
}

/// Whether both allow the same to the same users.
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.owner, one.group, one.mode) == (other.owner, other.group, other.mode)
}

/// Whether more users may write a file than another one.
pub(super) fn more_may_write(file: &Metadata, other: &Metadata) -> bool {
    let writable = |metadata: &Metadata| metadata.mode & 0o022;
    let group_gains = file.mode & 0o020 != 0 && file.group != other.group;
    writable(file) & !writable(other) != 0 || group_gains
}

/// The permission bits for a file of another group: members of the new group were others before,
/// and members of the old one are others now.
fn without_group(mode: u32) -> u32 {
    let both = (mode & GROUP) >> 3 & (mode & OTHERS);
    mode & !0o7077 | both << 3 | both
}

/// Whether an owner or a group was set. `false` if this user may not, or if the file system or the
/// user namespace does not know it.
fn if_allowed(outcome: io::Result<()>) -> io::Result<bool> {
    const REFUSALS: [Errno; 5] =
        [Errno::PERM, Errno::ACCESS, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    match &outcome {
        Err(error) if REFUSALS.iter().any(|it| error.raw_os_error() == Some(it.raw_os_error())) => {
            Ok(false)
        }
        _ => outcome.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_group_lets_nobody_read_more_than_before() {
        assert_eq!(without_group(0o640), 0o600);
        assert_eq!(without_group(0o644), 0o644);
        assert_eq!(without_group(0o664), 0o644);
        assert_eq!(without_group(0o604), 0o600);
        assert_eq!(without_group(0o2770), 0o700);
    }
}
