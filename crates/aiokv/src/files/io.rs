//! Whole reads and writes on top of partial ones.

use std::io::{self, ErrorKind};

use super::storage::File;

/// How much is read before it is looked at.
const CHUNK_BYTES: usize = 1 << 20;

/// So many NUL bytes one after the other are the end of a damaged file: one that was filled up with
/// them may be larger than memory.
const NULS_MAX: usize = 1 << 26;

/// Reads a file from `offset` to its end. `size` is how long it is, as far as is known. `go_on`
/// looks at what came last and says whether to read on.
pub(crate) fn read_while(
    file: &dyn File,
    offset: u64,
    size: u64,
    mut go_on: impl FnMut(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    // One byte more than the size, to see the end without another round.
    let expected = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut content = Vec::new();
    let mut length = 0;
    loop {
        if length == content.len() {
            let ahead = expected.saturating_sub(length).saturating_add(1);
            let more = ahead.clamp(64, CHUNK_BYTES.max(length));
            content.try_reserve(more).map_err(|_| ErrorKind::OutOfMemory)?;
            content.resize(length + more, 0);
        }
        match file.read_at(&mut content[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(count) => {
                length += count;
                if !go_on(&content[length - count..length]) {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(length);
    Ok(content)
}

/// Reads a file from `offset` to its end. `size` is how long it is, as far as is known.
pub(crate) fn read_from(file: &dyn File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    read_while(file, offset, size, |_| true)
}

/// For [`read_while`]: whether there may be something behind what was read of a damaged file.
pub(crate) fn goes_on_after_nuls() -> impl FnMut(&[u8]) -> bool {
    let mut nuls = 0;
    move |chunk| {
        let trailing = chunk.iter().rev().take_while(|&&byte| byte == 0).count();
        nuls = if trailing == chunk.len() { nuls + trailing } else { trailing };
        nuls < NULS_MAX
    }
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
