//! What is lost, and where it was.

use std::fmt;
use std::ops::Range;

use crate::json::decode_string;

/// A part of a file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Where it is, in bytes from the start of the file.
    pub bytes: Range<u64>,
    /// The first and the last line of it, counted from 1.
    pub lines: (usize, usize),
    /// The keys that it still names. The entries of others may have stood there too.
    pub keys: Vec<String>,
    /// What is wrong there.
    pub problem: &'static str,
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, lines: (first, last), problem, .. } = self;
        match first == last {
            true => write!(formatter, "line {first}")?,
            false => write!(formatter, "lines {first} to {last}")?,
        }
        write!(formatter, " (bytes {} to {}): {problem}", bytes.start, bytes.end)
    }
}

/// A key as it is shown.
pub(super) fn shown(key_text: &str) -> String {
    String::from_utf8_lossy(&decode_string(key_text)).into_owned()
}

/// Tells in which line a place is, for places in ascending order.
pub(super) struct LineCounter<'content> {
    content: &'content [u8],
    position: usize,
    line: usize,
}

impl<'content> LineCounter<'content> {
    pub(super) fn new(content: &'content [u8]) -> Self {
        Self { content, position: 0, line: 1 }
    }

    pub(super) fn at(&mut self, position: usize) -> usize {
        let passed = &self.content[self.position..position.max(self.position)];
        self.line += memchr::memchr_iter(b'\n', passed).count();
        self.position = position.max(self.position);
        self.line
    }
}
