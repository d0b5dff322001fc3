//! Going through keys and values one at a time.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use aiokv::Error;
use serde::{Deserialize, Deserializer};

use crate::support::state_file::{open, state_file};

#[tokio::test]
async fn what_has_the_prefix_comes_in_the_order_of_insertion() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("u:3", 1), ("x", 2), ("u:1", 3), ("u:2", 4)]).await.unwrap();
    kv.delete("u:1").await.unwrap();
    kv.set("u:1", &5).await.unwrap();
    let pairs = [("u:3", 1), ("u:2", 4), ("u:1", 5)].map(|(key, value)| (key.to_owned(), value));
    let items = kv.items::<i64>("u:").await.unwrap();
    assert_eq!(Vec::from_iter(items.map(Result::unwrap)), pairs);
}

#[tokio::test]
async fn the_keys_of_a_namespace_are_shown_as_its_own() {
    let (_directory, path) = state_file();
    let kv = open(&path).namespace(["guild", "12"]).unwrap();
    kv.set("a", &1).await.unwrap();
    let mut items = kv.items::<i64>("").await.unwrap();
    assert_eq!(items.next().unwrap().unwrap(), ("a".to_owned(), 1));
}

#[tokio::test]
async fn all_is_of_the_moment_of_the_call() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    // More than fit into one piece of a snapshot.
    let keys = Vec::from_iter((0..1000).map(|number| format!("k{number}")));
    kv.set_many(keys.iter().map(|key| (&**key, 0))).await.unwrap();
    let mut items = kv.items::<i64>("k").await.unwrap();
    let first = items.next().unwrap().unwrap();
    kv.set_many(keys.iter().map(|key| (&**key, 1))).await.unwrap();
    kv.delete("k1").await.unwrap();
    kv.set("k1000", &1).await.unwrap();
    let mut all = vec![first];
    all.extend(items.map(Result::unwrap));
    assert_eq!(all, Vec::from_iter(keys.into_iter().map(|key| (key, 0))));
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_in_its_place() {
    let (_directory, path) = state_file();
    fs::write(&path, r#"{"a": 1, "b": "text", "c": 3}"#).unwrap();
    let mut items = open(&path).items::<i64>("").await.unwrap();
    assert_eq!(items.next().unwrap().unwrap().1, 1);
    let error = items.next().unwrap().unwrap_err();
    assert!(matches!(&error, Error::Type { key, .. } if key == "b"), "{error}");
    assert_eq!(items.next().unwrap().unwrap().1, 3);
    assert!(items.next().is_none());
}

#[tokio::test]
async fn how_many_are_left_is_known() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("a", 1), ("b", 2), ("c", 3)]).await.unwrap();
    kv.delete("b").await.unwrap();
    let mut items = kv.items::<i64>("").await.unwrap();
    assert_eq!(items.len(), 2);
    items.next();
    assert_eq!(items.len(), 1);
}

#[tokio::test]
async fn only_values_that_are_asked_for_are_decoded() {
    static DECODED: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            DECODED.fetch_add(1, Ordering::Relaxed);
            u64::deserialize(deserializer).map(|_| Self)
        }
    }
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("a", 1), ("b", 2), ("c", 3)]).await.unwrap();
    let mut items = kv.items::<Counted>("").await.unwrap();
    assert_eq!(DECODED.load(Ordering::Relaxed), 0);
    items.next().unwrap().unwrap();
    assert_eq!(DECODED.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_damaged_file_is_an_error_of_the_call() {
    let (_directory, path) = state_file();
    fs::write(&path, "{").unwrap();
    assert!(matches!(open(&path).items::<i64>("").await, Err(Error::Corrupt(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{");
}
