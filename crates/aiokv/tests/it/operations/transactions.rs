//! Transactions.

use aiokv::{Error, Result, Transaction, blocking};
use pollster::block_on;

use super::{at_once, text};
use crate::support::state_file::{open, state_file};

/// Moves an amount between two accounts.
fn pay(t: &mut Transaction<'_>, from: &str, to: &str, amount: i64) -> Result<bool> {
    let balance: i64 = t.get(from)?.unwrap_or(0);
    if balance < amount {
        return Ok(false);
    }
    t.set(from, &(balance - amount))?;
    t.increment(to, amount)?;
    Ok(true)
}

#[tokio::test]
async fn all_of_it_happens_and_it_returns_the_result() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set("alice", &10).await.unwrap();
    assert!(kv.transact(|t| pay(t, "alice", "bob", 7)).await.unwrap());
    assert!(!kv.transact(|t| pay(t, "alice", "bob", 7)).await.unwrap());
    assert_eq!(text(&path), "{\n  \"alice\": 3,\n  \"bob\": 7\n}\n");
}

#[test]
fn two_hundred_at_once_on_one_key_all_succeed() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let sums = at_once(200, |_| {
        let kv = kv.clone();
        async move {
            kv.transact(|t| {
                let count = t.get::<u64>("count")?.unwrap_or(0) + 1;
                t.set("count", &count)?;
                Ok(count)
            })
            .await
        }
    });
    let mut sums = sums.into_iter().collect::<Result<Vec<_>>>().unwrap();
    sums.sort_unstable();
    assert_eq!(sums, Vec::from_iter(1..=200));
}

#[test]
fn money_is_neither_made_nor_lost() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let accounts = ["a", "b", "c", "d"];
    block_on(kv.set_many(accounts.map(|name| (name, 100_i64)))).unwrap();
    at_once(100, |index| {
        let kv = kv.clone();
        let (from, to) = (accounts[index % 4], accounts[(index * 7 + 1) % 4]);
        async move { kv.transact(|t| pay(t, from, to, 30)).await.unwrap() }
    });
    let balances = block_on(kv.get_many::<i64>(&accounts)).unwrap();
    assert_eq!(balances.iter().map(|it| it.1).sum::<i64>(), 400);
    assert!(balances.iter().all(|it| it.1 >= 0));
}

#[test]
fn it_runs_again_if_what_it_read_has_changed() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let other = blocking::AioKv::new(&path).unwrap();
    let mut seen = Vec::new();
    let transacted = block_on(kv.transact(|t| {
        let found: Option<i64> = t.get("a")?;
        seen.push(found);
        if seen.len() == 1 {
            other.set("a", &5)?;
        }
        t.set("b", &found.unwrap_or(0))
    }));
    transacted.unwrap();
    assert_eq!(seen, [None, Some(5)]);
    assert_eq!(block_on(kv.get("b")).unwrap(), Some(5));
}

#[test]
fn an_absent_key_that_it_read_must_stay_absent() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let other = blocking::AioKv::new(&path).unwrap();
    let mut runs = 0;
    let is_free = block_on(kv.transact(|t| {
        let is_free = t.get::<i64>("taken")?.is_none();
        runs += 1;
        if runs == 1 {
            other.set("taken", &1)?;
        }
        t.set("answer", &is_free)?;
        Ok(is_free)
    }));
    assert!(!is_free.unwrap());
    assert_eq!(block_on(kv.get("answer")).unwrap(), Some(false));
}

#[test]
fn what_it_listed_must_stay_the_same() {
    type Change = fn(&blocking::AioKv) -> Result<()>;
    let changes: [Change; 3] = [
        |other| other.set("quote:3", "new"),
        |other| other.delete("quote:1"),
        |other| other.set("quote:1", "changed"),
    ];
    for change in changes {
        let (_directory, path) = state_file();
        let kv = open(&path);
        block_on(kv.set_many([("quote:1", "a"), ("quote:2", "b"), ("other", "c")])).unwrap();
        let other = blocking::AioKv::new(&path).unwrap();
        let mut runs = 0;
        let listed = block_on(kv.transact(|t| {
            let keys = t.keys("quote:")?;
            runs += 1;
            if runs == 1 {
                change(&other)?;
                other.set("other", "does not matter")?;
            }
            t.set("count", &keys.len())?;
            Ok(keys)
        }));
        assert_eq!(runs, 2);
        assert_eq!(listed.unwrap(), other.keys("quote:").unwrap());
    }
}

#[test]
fn changes_of_other_keys_do_not_matter() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let other = blocking::AioKv::new(&path).unwrap();
    let mut runs = 0;
    let transacted = block_on(kv.transact(|t| {
        let found: Option<i64> = t.get("a")?;
        runs += 1;
        other.set("b", &runs)?;
        t.set("a", &(found.unwrap_or(0) + 1))
    }));
    transacted.unwrap();
    assert_eq!(runs, 1);
}

#[tokio::test]
async fn an_error_changes_nothing() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set("a", &"text").await.unwrap();
    let before = text(&path);
    let failed = kv.transact(|t| {
        t.set("b", &1)?;
        t.delete("a");
        t.increment("c", 1)?;
        t.set("d", &f64::NAN)
    });
    assert!(matches!(failed.await, Err(Error::Refused { .. })));
    let failed = kv.transact(|t| {
        t.set("b", &1)?;
        t.increment("a", 1)
    });
    assert!(matches!(failed.await, Err(Error::NotANumber { key, .. }) if key == "a"));
    assert_eq!(text(&path), before);
}

/// A sum that is too large was said to be due to a value that is no number.
#[tokio::test]
async fn increment_in_a_transaction_refuses_as_outside_of_one() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set("a", &1e308).await.unwrap();
    let inside = kv.transact(|t| t.increment("a", 1e308)).await.unwrap_err();
    let outside = kv.increment("a", 1e308).await.unwrap_err();
    assert_eq!(inside.to_string(), outside.to_string());
}

#[tokio::test]
async fn it_sees_its_own_changes() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("k:1", 1), ("k:2", 2)]).await.unwrap();
    let seen = kv.transact(|t| {
        t.set("k:4", &4)?;
        t.set("k:3", &3)?;
        t.delete("k:1");
        t.increment("k:2", 5)?;
        Ok((t.keys("k:")?, t.get::<i64>("k:1")?, t.get::<i64>("k:2")?, t.get::<i64>("k:3")?))
    });
    let keys = ["k:2", "k:4", "k:3"].map(str::to_owned).to_vec();
    assert_eq!(seen.await.unwrap(), (keys, None, Some(7), Some(3)));
}

/// New keys stood in the file in the order of the alphabet.
#[tokio::test]
async fn new_keys_stand_in_the_order_in_which_they_were_set() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let transacted = kv.transact(|t| {
        t.set("z", &1)?;
        t.set("a", &2)?;
        t.set("m", &3)?;
        t.set("z", &4)
    });
    transacted.await.unwrap();
    assert_eq!(text(&path), "{\n  \"z\": 4,\n  \"a\": 2,\n  \"m\": 3\n}\n");
}

#[tokio::test]
async fn one_that_only_reads_writes_nothing() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let read = |t: &mut Transaction<'_>| Ok((t.get::<i64>("a")?, t.keys("")?));
    assert_eq!(kv.transact(read).await.unwrap(), (None, Vec::new()));
    assert!(!path.exists());
}

/// The function ignores that a value is not at hand yet, which was a panic.
#[tokio::test]
async fn an_error_that_the_function_keeps_to_itself_does_no_harm() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set("a", &5).await.unwrap();
    let transacted = kv.transact(|t| {
        let found = t.get::<i64>("a").ok().flatten().unwrap_or(-1);
        let count = t.keys("").map_or(0, |keys| keys.len());
        t.set("b", &[found, count as i64])
    });
    transacted.await.unwrap();
    assert_eq!(kv.get("b").await.unwrap(), Some([5, 1]));
}

#[tokio::test]
async fn a_value_that_changes_and_changes_back_is_the_same() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let other = blocking::AioKv::new(&path).unwrap();
    other.set("a", &1).unwrap();
    let mut runs = 0;
    let transacted = kv.transact(|t| {
        runs += 1;
        let found = t.get::<i64>("a")?;
        other.set("a", &2)?;
        other.set("a", &1)?;
        t.set("b", &found)
    });
    transacted.await.unwrap();
    assert_eq!((runs, kv.get("b").await.unwrap()), (2, Some(1)));
}
