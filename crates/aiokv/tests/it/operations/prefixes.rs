//! Operations by prefix.

use std::time::Duration;

use aiokv::{Journal, Options};
use pollster::block_on;

use super::{MINUTE, at_once, now, text};
use crate::support::state_file::{open, open_alone, state_file};

#[tokio::test]
async fn what_has_a_prefix_comes_in_the_order_of_insertion() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("u:3", 1), ("x", 2), ("u:1", 3), ("u", 4), ("u:2", 5)]).await.unwrap();
    kv.delete("u:1").await.unwrap();
    kv.set("u:3", &6).await.unwrap();
    kv.set("u:1", &7).await.unwrap();
    assert_eq!(kv.keys("u:").await.unwrap(), ["u:3", "u:2", "u:1"]);
    assert_eq!(kv.count("u:").await.unwrap(), 3);
    let pairs = [("u:3", 6), ("u:2", 5), ("u:1", 7)].map(|(key, value)| (key.to_owned(), value));
    assert_eq!(kv.get_prefix::<i64>("u:").await.unwrap(), pairs);
    assert_eq!(kv.keys("").await.unwrap(), ["u:3", "x", "u", "u:2", "u:1"]);
    assert_eq!(kv.keys("u:9").await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn the_order_of_keys_is_kept_up_to_date() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    // The first call puts the keys in order.
    assert_eq!(kv.count("k").await.unwrap(), 0);
    for round in 0..50 {
        kv.set(&format!("k:{}", round * 37 % 50), &round).await.unwrap();
        kv.set(&format!("l:{round}"), &round).await.unwrap();
        assert_eq!(kv.count("k:").await.unwrap(), round + 1);
    }
    for round in 0..50 {
        kv.delete(&format!("k:{round}")).await.unwrap();
        assert_eq!(kv.count("k:").await.unwrap(), 49 - round);
    }
    assert_eq!(kv.count("l:").await.unwrap(), 50);
}

#[tokio::test]
async fn a_prefix_may_end_anywhere_in_the_text() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let keys = ["ä:1", "äh", "a", "\u{10ffff}", "\u{10ffff}x", "\"q\"", "\n"];
    kv.set_many(keys.map(|key| (key, 0))).await.unwrap();
    for prefix in ["ä", "a", "\u{10ffff}", "\"", "\n", "z"] {
        let expected = Vec::from_iter(keys.iter().copied().filter(|key| key.starts_with(prefix)));
        assert_eq!(kv.keys(prefix).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn delete_prefix_deletes_what_has_it() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("u:1", 1), ("x", 2), ("u:2", 3), ("u", 4)]).await.unwrap();
    assert_eq!(kv.delete_prefix("u:").await.unwrap(), 2);
    assert_eq!(kv.delete_prefix("u:").await.unwrap(), 0);
    assert_eq!(text(&path), "{\n  \"x\": 2,\n  \"u\": 4\n}\n");
    assert_eq!(kv.delete_prefix("").await.unwrap(), 2);
    assert_eq!(text(&path), "{}\n");
}

#[tokio::test]
async fn delete_prefix_in_a_journal_is_there_after_opening() {
    let (_directory, path) = state_file();
    let options = || Options::default().journal(Journal::Always).checkpoint_pace(0);
    let kv = open_alone(&path, options());
    kv.set_many([("u:1", 1), ("x", 2), ("u:2", 3)]).await.unwrap();
    assert_eq!(kv.delete_prefix("u:").await.unwrap(), 2);
    assert!(path.with_extension("json.journal").exists());
    assert_eq!(open_alone(&path, options()).keys("").await.unwrap(), ["x"]);
}

#[tokio::test]
async fn prune_deletes_old_times_only() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let (old, new) = (now() - 3600.0, now() - 1.0);
    kv.set_many([("s:old", old), ("s:new", new), ("t:old", old)]).await.unwrap();
    kv.set("s:list", &[old - 60.0, new]).await.unwrap();
    kv.set("s:old list", &[old - 60.0, old]).await.unwrap();
    kv.set("s:text", "yesterday").await.unwrap();
    assert_eq!(kv.prune("s:", MINUTE).await.unwrap(), 2);
    assert_eq!(kv.keys("").await.unwrap(), ["s:new", "t:old", "s:list", "s:text"]);
    assert_eq!(kv.prune("", Duration::from_secs(86_400)).await.unwrap(), 0);
}

#[test]
fn what_is_deleted_by_several_at_once_is_counted_once() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let keys = Vec::from_iter((0..1000).map(|number| format!("k:{number}")));
    block_on(kv.set_many(keys.iter().map(|key| (key.as_str(), 0)))).unwrap();
    let deleted = at_once(20, |index| {
        let kv = kv.clone();
        async move { kv.delete_prefix(&format!("k:{}", index % 10)).await.unwrap() }
    });
    assert_eq!(deleted.iter().sum::<usize>(), 1000);
    assert_eq!(block_on(kv.count("")).unwrap(), 0);
}
