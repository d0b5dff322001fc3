//! The floor under a durable change: a file is replaced again and again, with nothing around it.
//!
//! `raw_replace PATH ROUNDS < CONTENT` does the following `ROUNDS` times: creates a temporary file
//! beside `PATH`, writes the content to it, flushes it, renames it over `PATH` and flushes the
//! directory. It prints how many nanoseconds each round took, one round a line, and leaves `PATH`
//! behind with the content. The benchmarks compare `set` with it; it uses nothing of this crate.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{self, Path};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, rounds] = arguments.as_slice() else {
        return Err("usage: raw_replace PATH ROUNDS < CONTENT".into());
    };
    let rounds = rounds.parse()?;
    let mut content = Vec::new();
    io::stdin().read_to_end(&mut content)?;
    for duration in replace_rounds(&path::absolute(path)?, &content, rounds)? {
        println!("{}", duration.as_nanos());
    }
    Ok(())
}

/// Replaces the file `rounds` times and says how long each round took.
fn replace_rounds(path: &Path, content: &[u8], rounds: usize) -> io::Result<Vec<Duration>> {
    let temporary = path.with_extension("temporary");
    // Opened once: a directory that stays open is the cheapest to flush, and this is the floor.
    let directory = File::open(path.parent().unwrap_or(path))?;
    let mut durations = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        let mut file = File::create_new(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        directory.sync_all()?;
        durations.push(start.elapsed());
    }
    Ok(durations)
}
