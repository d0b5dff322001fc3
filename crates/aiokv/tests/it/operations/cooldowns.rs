//! Cooldowns: so many uses in any time of some length.

use std::fs;
use std::time::Duration;

use aiokv::Error;
use pollster::block_on;

use super::{MINUTE, at_once, now, text};
use crate::support::state_file::{open, state_file};

#[tokio::test]
async fn one_use_in_a_window() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    assert_eq!(kv.cooldown("daily", MINUTE, 1).await.unwrap(), Duration::ZERO);
    let wait = kv.cooldown("daily", MINUTE, 1).await.unwrap();
    assert!(wait > MINUTE / 2 && wait <= MINUTE, "{wait:?}");
    assert!(kv.age("daily").await.unwrap().unwrap() < MINUTE / 2);
}

#[test]
fn of_many_at_once_as_many_are_taken_as_there_are_uses() {
    for uses in [1, 3, 10] {
        let (_directory, path) = state_file();
        let kv = open(&path);
        let waits = at_once(50, |_| {
            let kv = kv.clone();
            async move { kv.cooldown("daily", MINUTE, uses).await.unwrap() }
        });
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), uses);
        let stored = serde_json::from_str::<serde_json::Value>(&text(&path)).unwrap();
        let count = stored["daily"].as_array().map_or(1, Vec::len);
        assert_eq!(count, uses, "{stored}");
    }
}

#[tokio::test]
async fn a_use_that_lies_back_far_enough_is_free_again() {
    let (_directory, path) = state_file();
    let times = [100.0, 30.0, 20.0].map(|ago| format!("{:.3}", now() - ago)).join(", ");
    fs::write(&path, format!(r#"{{"daily": [{times}]}}"#)).unwrap();
    let kv = open(&path);
    assert_eq!(kv.cooldown("daily", MINUTE, 3).await.unwrap(), Duration::ZERO);
    let wait = kv.cooldown("daily", MINUTE, 3).await.unwrap();
    assert!(wait > MINUTE / 4 && wait <= MINUTE / 2, "{wait:?}");
}

#[test]
fn it_survives_a_restart() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    assert_eq!(block_on(kv.cooldown("daily", MINUTE, 1)).unwrap(), Duration::ZERO);
    block_on(kv.close()).unwrap();
    drop(kv);
    assert!(!block_on(open(&path).cooldown("daily", MINUTE, 1)).unwrap().is_zero());
}

/// A clock that was wrong for a moment, a year ahead, must not lock a user out for a year.
#[tokio::test]
async fn after_the_clock_went_back_the_wait_is_one_window_at_most() {
    let (_directory, path) = state_file();
    let next_year = now() + 365.0 * 86_400.0;
    fs::write(&path, format!(r#"{{"daily": {next_year}}}"#)).unwrap();
    let kv = open(&path);
    let wait = kv.cooldown("daily", MINUTE, 1).await.unwrap();
    assert!(wait > MINUTE / 2 && wait <= MINUTE, "{wait:?}");
    // The time that is stored is one of this clock now.
    assert!(kv.get::<f64>("daily").await.unwrap().unwrap() <= now() + 1.0);
}

#[tokio::test]
async fn what_is_no_time_is_left_alone() {
    let (_directory, path) = state_file();
    let content = r#"{"daily": "yesterday"}"#;
    fs::write(&path, content).unwrap();
    let error = open(&path).cooldown("daily", MINUTE, 1).await.unwrap_err();
    assert!(matches!(&error, Error::NotANumber { key, .. } if key == "daily"), "{error}");
    assert_eq!(text(&path), content);
}
