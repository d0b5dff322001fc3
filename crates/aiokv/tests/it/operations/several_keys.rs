//! Operations on several keys: all or nothing.

use std::fs;

use aiokv::Error;
use pollster::block_on;
use serde_json::json;

use super::text;
use crate::support::start::start;
use crate::support::state_file::{open, state_file};

#[tokio::test]
async fn set_many_keeps_the_order() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("b", 1), ("a", 2), ("b", 3)]).await.unwrap();
    assert_eq!(text(&path), "{\n  \"b\": 3,\n  \"a\": 2\n}\n");
}

#[tokio::test]
async fn of_set_many_with_one_bad_value_nothing_is_set() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let error = kv.set_many([("a", 1.0), ("b", f64::NAN)]).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn get_many_leaves_out_what_is_absent() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("a", 1), ("b", 2)]).await.unwrap();
    let found = kv.get_many::<i64>(&["b", "x", "a"]).await.unwrap();
    assert_eq!(found, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    assert_eq!(kv.get_many::<i64>(&[]).await.unwrap(), []);
}

#[test]
fn get_many_is_of_one_moment() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    // Each takes its place in the order of operations, and none is answered yet.
    let mut sets = Vec::new();
    let mut gets = Vec::new();
    for round in 0..100 {
        let values = [("a", round), ("b", round), ("c", round)];
        sets.push(start(kv.set_many(values)));
        gets.push(start(kv.get_many::<i64>(&["a", "b", "c"])));
    }
    for (round, get) in gets.into_iter().enumerate() {
        let found = block_on(get).unwrap();
        assert!(found.iter().all(|(_, value)| *value == round as i64), "{round}: {found:?}");
        assert_eq!(found.len(), 3);
    }
    sets.into_iter().for_each(|set| block_on(set).unwrap());
}

#[tokio::test]
async fn delete_many_says_how_many_were_there() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("a", 1), ("b", 2), ("c", 3)]).await.unwrap();
    assert_eq!(kv.delete_many(&["a", "x", "c", "a"]).await.unwrap(), 2);
    assert_eq!(text(&path), "{\n  \"b\": 2\n}\n");
}

#[tokio::test]
async fn keys_in_any_script_and_values_of_any_kind() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let values = [("ключ", json!({"a": [1, null]})), ("", json!("😀")), ("\"\\\n", json!(1.5))];
    kv.set_many(values.clone()).await.unwrap();
    let read: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value) in values {
        assert_eq!(read[key], value);
        assert_eq!(kv.get_many(&[key]).await.unwrap(), [(key.to_owned(), value)]);
    }
}
