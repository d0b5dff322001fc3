//! Sequences of operations against an ordered map.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use aiokv::{AioKv, Error, Options};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::memory::Memory;
use crate::model::{Answer, Model};
use crate::reference;

const PATH: &str = "/state.json";

/// How many keys `many` and `none` take at most: enough for the engine to split its entries, and to
/// clean up after deleted ones.
const MANY: usize = 1100;

/// After so many operations the rest of the input is left alone: it would only be slower.
const OPERATIONS_MAX: usize = 2 * MANY + 200;

/// Carries out operations on a store and on a model of it, and compares every answer and, once
/// everything is answered, the file.
///
/// Every line of `data` is an operation. Its first letter says which; what stands after the first
/// space is what it works on.
///
/// | line | operation |
/// |---|---|
/// | `set KEY=VALUE` | sets a JSON text, or a string if it is none |
/// | `typed KEY=VALUE` | the same, as a value in memory that is spelled anew |
/// | `delete KEY` | |
/// | `get KEY` | |
/// | `all` | gets everything |
/// | `clear` | |
/// | `many NUMBER` | sets as many keys |
/// | `none NUMBER` | deletes as many keys |
/// | `wait` | waits for the answers; operations are started without waiting for the one before |
/// | `reopen` | waits, closes the store and opens it as another process |
/// | `other` | waits, and goes on in the other one of two processes |
/// | `edit CONTENT` | waits, and overwrites the file |
pub fn operations(data: &[u8]) {
    let mut run = Run::new();
    for line in data.split(|&byte| byte == b'\n') {
        if run.count > OPERATIONS_MAX {
            break;
        }
        run.line(&String::from_utf8_lossy(line));
    }
    run.wait();
    for store in run.stores {
        assert_eq!(pollster::block_on(answer(store.close(), |()| Answer::Done)), Answer::Done);
    }
}

struct Run {
    memory: Memory,
    /// Two stores that share nothing but the file; the first one is in use.
    stores: [AioKv; 2],
    model: Model,
    started: Vec<Started>,
    count: usize,
}

/// An operation that took its place in the order, and what it must answer.
struct Started {
    line: String,
    expected: Answer,
    answer: Poll<Answer>,
    future: Pin<Box<dyn Future<Output = Answer>>>,
}

impl Run {
    fn new() -> Self {
        let memory = Memory::default();
        let stores = [(); 2].map(|()| open(&memory));
        Self { memory, stores, model: Model::default(), started: Vec::new(), count: 0 }
    }

    fn line(&mut self, line: &str) {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        match name.bytes().next() {
            Some(b's') => self.set(line, rest),
            Some(b't') => self.set_typed(line, rest),
            Some(b'd') => self.delete(line, key(rest)),
            Some(b'g') => self.get(line, key(rest)),
            Some(b'a') => self.get_all(line),
            Some(b'c') => self.clear(line),
            Some(b'm') => numbered(rest).for_each(|key| self.set_text(line, key, "0".to_owned())),
            Some(b'n') => numbered(rest).for_each(|key| self.delete(line, key)),
            Some(b'w') => self.wait(),
            Some(b'r') => self.reopen(),
            Some(b'o') => {
                self.wait();
                self.stores.swap(0, 1);
            }
            Some(b'e') => self.edit(rest),
            _ => {}
        }
    }

    fn set(&mut self, line: &str, rest: &str) {
        let (key_text, value) = rest.split_once('=').unwrap_or((rest, "null"));
        let text = match serde_json::from_str::<&RawValue>(value) {
            Ok(text) => text.get().to_owned(),
            Err(_) => Value::from(value).to_string(),
        };
        self.set_text(line, key(key_text), text);
    }

    fn set_text(&mut self, line: &str, key: String, text: String) {
        let expected = match reference::read_value(&text) {
            Some(value) => self.model.set(key.clone(), value),
            None => Answer::Refused,
        };
        let store = self.stores[0].clone();
        let value = RawValue::from_string(text).expect("JSON");
        self.start(line, expected, async move {
            answer(store.set(&key, &value), |()| Answer::Done).await
        });
    }

    fn set_typed(&mut self, line: &str, rest: &str) {
        let (key_text, value) = rest.split_once('=').unwrap_or((rest, "null"));
        let key = key(key_text);
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        let tokens = reference::read_value(&value.to_string()).expect("serde_json nests less deep");
        let expected = self.model.set(key.clone(), tokens);
        let store = self.stores[0].clone();
        self.start(line, expected, async move {
            answer(store.set(&key, &value), |()| Answer::Done).await
        });
    }

    fn delete(&mut self, line: &str, key: String) {
        let expected = self.model.delete(&key);
        let store = self.stores[0].clone();
        self.start(
            line,
            expected,
            async move { answer(store.delete(&key), |()| Answer::Done).await },
        );
    }

    fn get(&mut self, line: &str, key: String) {
        let expected = self.model.get(&key);
        let store = self.stores[0].clone();
        self.start(line, expected, async move {
            let value =
                |value: Option<Box<RawValue>>| Answer::Value(value.map(|text| tokens(&text)));
            answer(store.get(&key), value).await
        });
    }

    fn get_all(&mut self, line: &str) {
        let expected = self.model.get_all();
        let store = self.stores[0].clone();
        self.start(line, expected, async move {
            let all = |entries: Vec<(String, Box<RawValue>)>| {
                Answer::All(entries.into_iter().map(|(key, text)| (key, tokens(&text))).collect())
            };
            answer(store.get_all(), all).await
        });
    }

    fn clear(&mut self, line: &str) {
        let expected = self.model.clear();
        let store = self.stores[0].clone();
        self.start(line, expected, async move { answer(store.clear(), |()| Answer::Done).await });
    }

    fn reopen(&mut self) {
        self.wait();
        let closed = std::mem::replace(&mut self.stores[0], open(&self.memory));
        assert_eq!(pollster::block_on(answer(closed.close(), |()| Answer::Done)), Answer::Done);
    }

    fn edit(&mut self, content: &str) {
        self.wait();
        if self.model.edit(content.as_bytes()) {
            self.memory.edit(Path::new(PATH), content.as_bytes().to_vec());
        }
    }

    /// Polls an operation once, which is when it takes its place in the order.
    fn start(
        &mut self,
        line: &str,
        expected: Answer,
        future: impl Future<Output = Answer> + 'static,
    ) {
        self.count += 1;
        let mut future: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(future);
        let answer = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.started.push(Started { line: line.to_owned(), expected, answer, future });
    }

    fn wait(&mut self) {
        for Started { line, expected, answer, future } in self.started.drain(..) {
            let answer = match answer {
                Poll::Ready(answer) => answer,
                Poll::Pending => pollster::block_on(future),
            };
            assert_eq!(answer, expected, "the answer to {line:?}");
        }
        match &self.memory.files()[..] {
            [] => self.model.check_file(None),
            [(path, content)] if path == Path::new(PATH) => self.model.check_file(Some(content)),
            files => panic!("something else in the directory: {files:?}"),
        }
    }
}

/// A store with a storage of its own, which makes it share nothing with others in this process.
fn open(memory: &Memory) -> AioKv {
    let storage = Arc::new(memory.clone());
    AioKv::with_storage(PATH, Options::default(), storage).expect("an absolute path")
}

/// A JSON string stands for what it spells, anything else for itself.
fn key(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
}

fn numbered(count: &str) -> impl Iterator<Item = String> + use<> {
    let count = count.parse().unwrap_or(0).min(MANY);
    (0..count).map(|number| number.to_string())
}

fn tokens(text: &RawValue) -> String {
    reference::read_value(text.get()).expect("an answer is JSON within the limit of depth")
}

async fn answer<T>(
    outcome: impl Future<Output = aiokv::Result<T>>,
    answered: impl FnOnce(T) -> Answer,
) -> Answer {
    match outcome.await {
        Ok(value) => answered(value),
        Err(Error::Refused { .. }) => Answer::Refused,
        Err(Error::Corrupt(_)) => Answer::Corrupt,
        Err(error) => panic!("nothing else goes wrong in memory: {error}"),
    }
}
