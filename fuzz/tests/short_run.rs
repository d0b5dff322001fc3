//! The fuzz targets without a fuzzer: every seed of the corpus, and mutations of them.
//!
//! The mutations are the same in every run. `FUZZ_SEED` chooses others, and `FUZZ_SECONDS` how
//! long each target is tried.

use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Longer inputs are cut: they would only be slower.
const LENGTH_MAX: usize = 4096;

#[test]
fn decoder() {
    let words = r#"{ } [ ] : , " \ "a" "" "a": {} [] null true false NaN Infinity -Infinity - 0 1.5
        e5 E+400 \u0061 \ud800 \udc00 \ud83d\ude00 \" \\ \/ 😀 [[[[[[[[[[[[[[[[ ]]]]]]]]]]]]]]]]"#;
    let words = words.split_whitespace().map(str::as_bytes);
    let others: [&[u8]; 7] =
        [b" ", b"\n", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80"];
    run("decoder", aiokv_fuzz::decoder, &words.chain(others).collect::<Vec<_>>());
}

#[test]
fn journal() {
    let lines = r#"aiokv-journal 1 after 0, continues 13 bytes c2bf3c0e
        |aiokv-journal 1 after 7, continues 13 bytes c2bf3c0e|1 0 + "a": 2|2 1 + "b": [1, 2]
        |3 2 - "a"|2 0 + "new": 1|3 2 = 2 13 c2bf3c0e|2 1 &+ "c": 1|3 1 &- "a"|4 3 x|8 7 - "b"|!"#;
    let lines: Vec<_> = lines.split('|').map(|line| format!("{}\n", line.trim())).collect();
    let others = ["\n", " ", "0", "1", "\"", "\\u0061", ": ", "+", "-", "=", "&", "\0", "😀"];
    let tokens = lines.iter().map(String::as_str).chain(others);
    run("journal", aiokv_fuzz::journal, &tokens.map(str::as_bytes).collect::<Vec<_>>());
}

#[test]
fn operations() {
    let lines = r#"set a=1|set b=[1,  2]|set c={"x":"y"}|delete a|delete b|get a|get b|all
        |join a=1;b+1;c!3|join a~2|join a-;b-|join a^;ab=1|join ^;a&|inspect a;b/;a|purge a
        |purge <5|clear|many 20|none 20|wait|tick|reopen|other|bring
        |finish|later 20|options 1|options 4|options 7|options 0|unlink
        |edit {"a":1, "b":2}|edit {|vary {"a": 1}"#;
    let lines: Vec<_> = lines.split('|').map(|line| format!("\n{}\n", line.trim())).collect();
    let others = ["\n", "=", " ", "\r", "\"", "\\u0061", "😀", "^", "&", "/", ";", "<"];
    let tokens = lines.iter().map(String::as_str).chain(others);
    run("operations", aiokv_fuzz::operations, &tokens.map(str::as_bytes).collect::<Vec<_>>());
}

/// Tries a target with every seed, and then with mutations of seeds until the time is over.
fn run(name: &str, target: fn(&[u8]), tokens: &[&[u8]]) {
    let seed = env::var("FUZZ_SEED").map_or(1, |text| text.parse().expect("FUZZ_SEED: a number"));
    let seconds =
        env::var("FUZZ_SECONDS").map_or(10, |text| text.parse().expect("FUZZ_SECONDS: a number"));
    let corpus = corpus(name);
    for (file, content) in &corpus {
        attempt(target, content, &format!("{name}: the seed {file}"));
    }
    let start = Instant::now();
    let mut random = Rng::with_seed(seed);
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(seconds) {
        count += 1;
        let input = mutated(&corpus, tokens, &mut random);
        attempt(target, &input, &format!("{name}: mutation {count} with FUZZ_SEED={seed}"));
    }
    println!("{name}: {} seeds and {count} mutations with FUZZ_SEED={seed}", corpus.len());
}

/// The seeds and what the fuzzer has added to them, in the order of their names.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(&directory).expect("the corpus is there");
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("the corpus can be listed");
            let content = fs::read(entry.path()).expect("a seed can be read");
            (entry.file_name().to_string_lossy().into_owned(), content)
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no seeds in {}", directory.display());
    seeds
}

/// Calls the target. If it panics, says which input it was, as a byte string of Rust.
fn attempt(target: fn(&[u8]), input: &[u8], what: &str) {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| target(input)));
    if let Err(panic) = outcome {
        eprintln!("{what} failed with this input:\nb\"{}\"", input.escape_ascii());
        panic::resume_unwind(panic);
    }
}

/// A seed after one to four changes.
fn mutated(corpus: &[(String, Vec<u8>)], tokens: &[&[u8]], random: &mut Rng) -> Vec<u8> {
    let seed = |random: &mut Rng| corpus[random.usize(..corpus.len())].1.clone();
    let mut input = seed(random);
    for _ in 0..random.usize(1..=4) {
        let other = seed(random);
        mutate(&mut input, &other, tokens, random);
    }
    input.truncate(LENGTH_MAX);
    input
}

fn mutate(input: &mut Vec<u8>, other: &[u8], tokens: &[&[u8]], random: &mut Rng) {
    let place = random.usize(..=input.len());
    match random.u8(..6) {
        // Flips a bit.
        0 => {
            if let Some(byte) = input.get_mut(place) {
                *byte ^= 1 << random.u32(..8);
            }
        }
        // Inserts a byte.
        1 => input.insert(place, random.u8(..)),
        // Deletes a part.
        2 => drop(input.drain(part(place, input, random))),
        // Repeats a part somewhere.
        3 => {
            let repeated = input[part(place, input, random)].to_vec();
            insert(input, random.usize(..=input.len()), &repeated);
        }
        // Goes on with another seed.
        4 => {
            input.truncate(place);
            input.extend_from_slice(&other[random.usize(..=other.len())..]);
        }
        // Inserts a token.
        _ => insert(input, place, tokens[random.usize(..tokens.len())]),
    }
}

/// A part of the input from a place on, more often short than long.
fn part(start: usize, input: &[u8], random: &mut Rng) -> std::ops::Range<usize> {
    let longest = (input.len() - start).min(1 << random.u32(..12));
    start..start + random.usize(..=longest)
}

fn insert(input: &mut Vec<u8>, place: usize, part: &[u8]) {
    input.splice(place..place, part.iter().copied());
}
