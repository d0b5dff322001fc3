//! What teloxide asks of a storage, and a bot that is killed in the middle of a dialogue.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use aiokv::AioKv;
use aiokv_teloxide::registration::{self, State};
use aiokv_teloxide::{AioKvStorage, StorageError};
use serde_json::{Value, json};
use teloxide::dispatching::dialogue::Storage;
use teloxide::prelude::*;
use tempfile::TempDir;

/// The path of the state file, for the process that is killed.
const PATH: &str = "AIOKV_TELOXIDE_PATH";

const CHAT: ChatId = ChatId(-7);

/// Where the store's file is going to be, in a directory that goes when the test ends.
fn new_path() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bot.json");
    (directory, path)
}

fn storage(path: &Path) -> Arc<AioKvStorage> {
    AioKvStorage::new(&AioKv::new(path).expect("a path")).expect("a namespace")
}

fn name(text: &str) -> State {
    State::Age { name: text.to_owned() }
}

async fn state(path: &Path, chat: ChatId) -> Option<State> {
    storage(path).get_dialogue(chat).await.expect("the file is whole")
}

/// Starts a server that answers as Telegram does, and returns its address and what it was sent.
fn telegram() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("it is bound"));
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = BufReader::new(connection.expect("a connection"));
            let mut length = 0;
            loop {
                let mut line = String::new();
                connection.read_line(&mut line).expect("a header");
                let line = line.trim().to_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().expect("a number");
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            connection.read_exact(&mut body).expect("a body");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let text = body["text"].as_str().expect("a text").to_owned();
            let answer = json!({"ok": true, "result": message(&text)}).to_string();
            log.lock().expect("no panic").push(text);
            let length = answer.len();
            write!(
                connection.get_mut(),
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}"
            )
            .expect("a client that listens");
        }
    });
    (address, sent)
}

fn message(text: &str) -> Value {
    json!({
        "message_id": 1,
        "date": 1_790_000_000,
        "chat": {"id": CHAT.0, "type": "group", "title": "Friends"},
        "text": text,
    })
}

/// Lets a bot that has just started handle messages, and returns what it answered.
async fn answers_to(path: &Path, texts: &[&str]) -> Vec<String> {
    let (address, sent) = telegram();
    let bot = Bot::new("42:token").set_api_url(address.parse().expect("a URL"));
    let kv = AioKv::new(path).expect("a path");
    let storage = AioKvStorage::new(&kv).expect("a namespace");
    for text in texts {
        // In the order in which Telegram sends the two, without which teloxide finds no message.
        let update = format!(r#"{{"update_id": 1, "message": {}}}"#, message(text));
        let update: Update = serde_json::from_str(&update).expect("an update");
        let dependencies = dptree::deps![bot.clone(), update, Arc::clone(&storage), kv.clone()];
        match registration::schema().dispatch(dependencies).await {
            std::ops::ControlFlow::Break(handled) => handled.expect("the handler succeeds"),
            std::ops::ControlFlow::Continue(_) => panic!("no handler takes {text}"),
        }
    }
    let mut sent = sent.lock().expect("no panic");
    std::mem::take(&mut sent)
}

/// Runs [`handle_and_wait`] in a process of its own until it has stored the dialogue, and kills it.
fn kill_in_the_middle(path: &Path) {
    let mut process = Command::new(std::env::current_exe().expect("a path"))
        .args(["--ignored", "--exact", "handle_and_wait", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let output = BufReader::new(process.stdout.take().expect("it is piped"));
    let mut lines = output.lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.ends_with("stored")), "the process ended");
    process.kill().expect("it runs");
    process.wait().expect("it was started");
}

#[tokio::test]
#[ignore = "it waits to be killed by another test"]
async fn handle_and_wait() {
    let path = std::env::var(PATH).expect("another test sets it");
    answers_to(path.as_ref(), &["Hi", "Ada"]).await;
    println!("stored");
    std::future::pending().await
}

#[tokio::test]
async fn a_bot_that_is_killed_in_a_dialogue_goes_on_with_it() {
    let (_directory, path) = new_path();
    kill_in_the_middle(&path);
    assert_eq!(state(&path, CHAT).await, Some(name("Ada")));
    let answers = answers_to(&path, &["old", "36"]).await;
    assert_eq!(answers, ["Please send a number.", "Welcome, Ada."]);
    assert_eq!(state(&path, CHAT).await, None);
}

#[tokio::test]
async fn the_file_is_readable() {
    let (_directory, path) = new_path();
    answers_to(&path, &["Hi", "Bob", "5", "Hi", "Ada"]).await;
    assert_eq!(
        std::fs::read_to_string(&path).expect("it is there"),
        "{\n  \"user:-7\": [\"Bob\", 5],\n  \"dialogue:-7\": {\"Age\": {\"name\": \"Ada\"}}\n}\n"
    );
}

#[tokio::test]
async fn each_chat_has_a_dialogue_of_its_own() {
    let (_directory, path) = new_path();
    let chats = [ChatId(1), ChatId(11), ChatId(-1001)];
    for chat in chats {
        assert_eq!(state(&path, chat).await, None);
        storage(&path).update_dialogue(chat, name(&chat.to_string())).await.expect("it is stored");
    }
    for chat in chats {
        assert_eq!(state(&path, chat).await, Some(name(&chat.to_string())));
    }
    Storage::<State>::remove_dialogue(storage(&path), chats[0]).await.expect("it is there");
    assert_eq!(state(&path, chats[0]).await, None);
    assert_eq!(state(&path, chats[1]).await, Some(name("11")));
}

#[tokio::test]
async fn a_dialogue_that_is_not_there_cannot_be_removed() {
    let (_directory, path) = new_path();
    let removed = Storage::<State>::remove_dialogue(storage(&path), CHAT).await;
    let error = removed.expect_err("it is not there");
    assert!(matches!(error, StorageError::NotFound(CHAT)));
    assert_eq!(error.to_string(), "there is no dialogue in chat -7");
}

#[tokio::test]
async fn what_is_no_state_is_an_error_that_names_the_key() {
    let (_directory, path) = new_path();
    let kv = AioKv::new(&path).expect("a path");
    kv.set("dialogue:-7", "nonsense").await.expect("it is stored");
    let found = Storage::<State>::get_dialogue(storage(&path), CHAT).await;
    let error = found.expect_err("it is no state").to_string();
    assert!(error.contains("dialogue:-7"), "{error}");
}

#[tokio::test]
async fn ten_dialogues_at_once_lose_nothing_of_each_other() {
    let (_directory, path) = new_path();
    let storage = storage(&path);
    let tasks: Vec<_> = (0..10)
        .map(|chat| {
            let storage = Arc::clone(&storage);
            tokio::spawn(storage.update_dialogue(ChatId(chat), name(&chat.to_string())))
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("it is stored");
    }
    for chat in 0..10 {
        assert_eq!(state(&path, ChatId(chat)).await, Some(name(&chat.to_string())));
    }
}
