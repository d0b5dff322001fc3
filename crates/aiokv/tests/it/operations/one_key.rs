//! Operations that read one key and change it.

use std::fs;

use aiokv::{AioKv, Error};
use pollster::block_on;
use serde_json::{Value, json};

use super::{at_once, now, text};
use crate::support::state_file::{open, state_file};

/// A store that holds this text.
fn holding(content: &str) -> (tempfile::TempDir, std::path::PathBuf, AioKv) {
    let (directory, path) = state_file();
    fs::write(&path, content).unwrap();
    let kv = open(&path);
    (directory, path, kv)
}

#[tokio::test]
async fn add_stores_only_what_is_absent() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    assert!(kv.add("seen", &1).await.unwrap());
    assert!(!kv.add("seen", &2).await.unwrap());
    assert_eq!(text(&path), "{\n  \"seen\": 1\n}\n");
}

#[test]
fn of_several_adds_at_once_one_stores() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let added = at_once(50, |index| {
        let kv = kv.clone();
        async move { kv.add("seen", &index).await.unwrap() }
    });
    assert_eq!(added.iter().filter(|added| **added).count(), 1);
    let first = added.iter().position(|added| *added).unwrap();
    assert_eq!(block_on(kv.get::<usize>("seen")).unwrap(), Some(first));
}

#[tokio::test]
async fn add_takes_null_for_a_value() {
    let (_directory, _path, kv) = holding(r#"{"a": null}"#);
    assert!(!kv.add("a", &1).await.unwrap());
    assert_eq!(kv.get::<Option<i64>>("a").await.unwrap(), Some(None));
}

#[tokio::test]
async fn setdefault_returns_what_is_there_then() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    assert_eq!(kv.setdefault("list", &vec![1]).await.unwrap(), [1]);
    assert_eq!(kv.setdefault("list", &vec![2]).await.unwrap(), [1]);
    assert_eq!(kv.get::<Vec<i64>>("list").await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn setdefault_says_that_the_value_is_of_another_type() {
    let (_directory, path, kv) = holding(r#"{"a": "text"}"#);
    let error = kv.setdefault("a", &1).await.unwrap_err();
    assert!(matches!(&error, Error::Type { key, .. } if key == "a"), "{error}");
    assert_eq!(text(&path), r#"{"a": "text"}"#);
}

#[tokio::test]
async fn pop_deletes_and_returns() {
    let (_directory, path, kv) = holding(r#"{"a": 1, "b": 2}"#);
    assert_eq!(kv.pop::<i64>("a").await.unwrap(), Some(1));
    assert_eq!(kv.pop::<i64>("a").await.unwrap(), None);
    assert_eq!(text(&path), "{\n  \"b\": 2\n}\n");
}

#[test]
fn what_is_popped_by_several_at_once_goes_to_one() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    block_on(kv.set("token", "x")).unwrap();
    let popped = at_once(50, |_| {
        let kv = kv.clone();
        async move { kv.pop::<String>("token").await.unwrap() }
    });
    assert_eq!(popped.iter().flatten().count(), 1);
}

#[test]
fn no_increment_is_lost() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut sums = at_once(200, |_| {
        let kv = kv.clone();
        async move { kv.increment("count", 1_u64).await.unwrap() }
    });
    sums.sort_unstable();
    assert_eq!(sums, Vec::from_iter(1..=200));
}

#[tokio::test]
async fn increment_is_exact_for_large_ints() {
    let (_directory, path, kv) = holding(r#"{"large": 99999999999999999999999999999999999999}"#);
    assert_eq!(
        kv.increment("large", 1_i128).await.unwrap(),
        100_000_000_000_000_000_000_000_000_000_000_000_000
    );
    assert_eq!(text(&path), "{\n  \"large\": 100000000000000000000000000000000000000\n}\n");
    assert_eq!(
        kv.increment("small", -9_007_199_254_740_993_i64).await.unwrap(),
        -9_007_199_254_740_993
    );
}

#[tokio::test]
async fn an_int_that_no_rust_type_holds_is_incremented_too() {
    let nines = "9".repeat(100);
    let (_directory, path, kv) = holding(&format!(r#"{{"huge": {nines}}}"#));
    // There is no number for the answer, but the sum is stored.
    assert!(matches!(kv.increment("huge", 1_u8).await, Err(Error::Type { .. })));
    assert_eq!(text(&path), format!("{{\n  \"huge\": 1{}\n}}\n", "0".repeat(100)));
}

#[tokio::test]
async fn an_int_plus_a_fraction_is_a_float() {
    let (_directory, path, kv) = holding(r#"{"a": 1}"#);
    assert_eq!(kv.increment("a", 0.5).await.unwrap(), 1.5);
    assert_eq!(kv.increment("a", 0.5).await.unwrap(), 2.0);
    assert_eq!(text(&path), "{\n  \"a\": 2.0\n}\n");
}

#[tokio::test]
async fn what_is_no_number_is_not_incremented() {
    for value in [r#""1""#, "true", "null", "[1]", "{}"] {
        let content = format!(r#"{{"the key": {value}}}"#);
        let (_directory, path, kv) = holding(&content);
        let error = kv.increment("the key", 1).await.unwrap_err();
        assert!(
            matches!(&error, Error::NotANumber { key, found } if key == "the key" && found == value)
        );
        let message = error.to_string();
        assert!(message.contains("the key") && message.contains(value), "{message}");
        assert_eq!(text(&path), content);
    }
}

#[tokio::test]
async fn only_a_finite_number_is_added() {
    let (_directory, path, kv) = holding(r#"{"a": 1e308}"#);
    assert!(matches!(kv.increment("a", json!("1")).await, Err(Error::Refused { .. })));
    assert!(matches!(kv.increment("a", json!(true)).await, Err(Error::Refused { .. })));
    assert!(matches!(kv.increment("a", f64::NAN).await, Err(Error::Refused { .. })));
    let error = kv.increment("a", 1e308).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(text(&path), r#"{"a": 1e308}"#);
}

#[test]
fn update_is_called_again_if_another_change_was_faster() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut seen = Vec::new();
    let new = block_on(kv.update("list", |old: Option<Vec<i64>>| {
        seen.push(old.clone());
        if seen.len() == 1 {
            let other = aiokv::blocking::AioKv::new(&path).unwrap();
            other.set("list", &[1]).unwrap();
        }
        [old.unwrap_or_default(), vec![2]].concat()
    }));
    assert_eq!(new.unwrap(), [1, 2]);
    assert_eq!(seen, [None, Some(vec![1])]);
    assert_eq!(block_on(kv.get::<Vec<i64>>("list")).unwrap(), Some(vec![1, 2]));
}

#[test]
fn two_hundred_updates_at_once_all_happen() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    at_once(200, |index| {
        let kv = kv.clone();
        async move {
            let add = |old: Option<Vec<usize>>| [old.unwrap_or_default(), vec![index]].concat();
            kv.update("list", add).await.unwrap();
        }
    });
    let mut list = block_on(kv.get::<Vec<usize>>("list")).unwrap().unwrap();
    list.sort_unstable();
    assert_eq!(list, Vec::from_iter(0..200));
}

#[tokio::test]
async fn an_update_that_fails_changes_nothing() {
    let (_directory, path, kv) = holding(r#"{"a": "text"}"#);
    let error = kv.update("a", |old: Option<i64>| old.unwrap_or(0)).await.unwrap_err();
    assert!(matches!(error, Error::Type { .. }), "{error}");
    let error = kv.update("a", |_: Option<Value>| f64::INFINITY.into()).await;
    // serde_json makes null of it before the store can see it.
    assert_eq!(error.unwrap(), Value::Null);
    let refused = kv.update("b", |_: Option<f64>| f64::INFINITY).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert_eq!(text(&path), "{\n  \"a\": null\n}\n");
}

#[test]
fn an_update_that_panics_changes_nothing_and_the_store_goes_on() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    block_on(kv.set("a", &1)).unwrap();
    let update = std::panic::AssertUnwindSafe(|| {
        block_on(kv.update("a", |_: Option<i64>| -> i64 { panic!("on purpose") }))
    });
    assert!(std::panic::catch_unwind(update).is_err());
    assert_eq!(block_on(kv.increment("a", 1)).unwrap(), 2);
}

#[tokio::test]
async fn contains_tells_null_from_nothing() {
    let (_directory, _path, kv) = holding(r#"{"a": null}"#);
    assert!(kv.contains("a").await.unwrap());
    assert!(!kv.contains("b").await.unwrap());
}

#[tokio::test]
async fn age_is_the_time_since_the_stored_time() {
    let (_directory, _path) = state_file();
    let kv = open(&_path);
    kv.set_now("now").await.unwrap();
    kv.set("old", &(now() - 3600.0)).await.unwrap();
    kv.set("future", &(now() + 3600.0)).await.unwrap();
    kv.set("list", &[now() - 3600.0, now() - 60.0]).await.unwrap();
    let seconds = async |key| kv.age(key).await.unwrap().map(|age| age.as_secs_f64());
    assert!(seconds("now").await.unwrap() < 60.0);
    assert!((3600.0..3660.0).contains(&seconds("old").await.unwrap()));
    assert_eq!(seconds("future").await, Some(0.0));
    assert!((60.0..120.0).contains(&seconds("list").await.unwrap()));
    assert_eq!(seconds("absent").await, None);
}

#[tokio::test]
async fn what_is_no_time_has_no_age() {
    let (_directory, _path, kv) = holding(r#"{"a": "yesterday", "b": []}"#);
    for key in ["a", "b"] {
        let error = kv.age(key).await.unwrap_err();
        assert!(matches!(&error, Error::NotANumber { key: named, .. } if named == key), "{error}");
    }
}
