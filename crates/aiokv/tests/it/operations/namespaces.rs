//! Namespaces: the same operations on the keys below some parts.

use std::fs;

use aiokv::Error;

use super::{MINUTE, text};
use crate::support::state_file::{open, state_file};

#[tokio::test]
async fn its_keys_do_not_show_the_parts() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let guild = kv.namespace(["guild", "12"]).unwrap();
    guild.set("xp", &5).await.unwrap();
    assert_eq!(text(&path), "{\n  \"guild:12:xp\": 5\n}\n");
    assert_eq!(guild.get("xp").await.unwrap(), Some(5));
    assert_eq!(guild.keys("").await.unwrap(), ["xp"]);
    assert_eq!(guild.get_all::<i64>().await.unwrap(), [("xp".to_owned(), 5)]);
    assert_eq!(kv.keys("").await.unwrap(), ["guild:12:xp"]);
}

#[tokio::test]
async fn it_never_reaches_a_longer_name() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let (short, long) =
        (kv.namespace(["guild", "12"]).unwrap(), kv.namespace(["guild", "123"]).unwrap());
    long.set_many([("xp", 1), ("name", 2)]).await.unwrap();
    assert_eq!(short.count("").await.unwrap(), 0);
    assert_eq!(short.delete_prefix("").await.unwrap(), 0);
    short.clear().await.unwrap();
    assert_eq!(short.prune("", std::time::Duration::ZERO).await.unwrap(), 0);
    assert_eq!(long.count("").await.unwrap(), 2);
}

#[tokio::test]
async fn one_inside_another_is_one_of_all_parts() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let nested =
        kv.namespace(["guild"]).unwrap().namespace([12]).unwrap().namespace(["user"]).unwrap();
    nested.set("xp", &1).await.unwrap();
    assert_eq!(kv.get("guild:12:user:xp").await.unwrap(), Some(1));
    let at_once = kv.namespace(["guild", "12", "user"]).unwrap();
    assert_eq!(at_once.get("xp").await.unwrap(), Some(1));
}

#[tokio::test]
async fn clear_deletes_only_its_own() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let guild = kv.namespace(["guild"]).unwrap();
    guild.namespace(["12"]).unwrap().set("xp", &1).await.unwrap();
    guild.set("name", "x").await.unwrap();
    kv.set_many([("guild", 1), ("guilds", 2)]).await.unwrap();
    guild.clear().await.unwrap();
    assert_eq!(text(&path), "{\n  \"guild\": 1,\n  \"guilds\": 2\n}\n");
}

#[tokio::test]
async fn clear_does_not_remove_what_it_cannot_read() {
    let (_directory, path) = state_file();
    fs::write(&path, "{").unwrap();
    let kv = open(&path);
    let cleared = kv.namespace(["guild"]).unwrap().clear().await;
    assert!(matches!(cleared, Err(Error::Corrupt(_))));
    assert_eq!(text(&path), "{");
}

#[test]
fn parts_that_could_reach_elsewhere_are_refused() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    for parts in [vec![""], vec!["a", ""], vec!["a:b"], vec![":"]] {
        let refused = kv.namespace(parts);
        assert!(matches!(refused.map(drop), Err(Error::Refused { .. })));
    }
    let negative = kv.namespace([-5]).unwrap();
    assert!(pollster::block_on(negative.add("a", &1)).unwrap());
}

#[tokio::test]
async fn every_operation_works_below_the_parts() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set_many([("a", 100), ("b", 100)]).await.unwrap();
    let ns = kv.namespace(["n"]).unwrap();
    assert!(ns.add("a", &1).await.unwrap());
    assert_eq!(ns.setdefault("a", &7).await.unwrap(), 1);
    assert_eq!(ns.increment("a", 1).await.unwrap(), 2);
    assert_eq!(ns.update("a", |old: Option<i64>| old.unwrap() * 10).await.unwrap(), 20);
    assert!(ns.contains("a").await.unwrap() && !ns.contains("b").await.unwrap());
    assert!(ns.cooldown("c", MINUTE, 2).await.unwrap().is_zero());
    assert!(ns.age("c").await.unwrap().unwrap() < MINUTE);
    ns.set_many([("d", 1), ("e", 2)]).await.unwrap();
    assert_eq!(ns.get_many::<i64>(&["d", "b"]).await.unwrap(), [("d".to_owned(), 1)]);
    let moved = ns.transact(|t| {
        let keys = t.keys("")?;
        let value: i64 = t.get("a")?.unwrap();
        t.set("f", &value)?;
        t.delete("a");
        Ok(keys)
    });
    assert_eq!(moved.await.unwrap(), ["a", "c", "d", "e"]);
    assert_eq!(ns.get_prefix::<i64>("f").await.unwrap(), [("f".to_owned(), 20)]);
    assert_eq!(ns.pop::<i64>("f").await.unwrap(), Some(20));
    assert_eq!(ns.delete_many(&["d", "a"]).await.unwrap(), 1);
    ns.set_now("g").await.unwrap();
    ns.delete("g").await.unwrap();
    assert_eq!(kv.keys("").await.unwrap(), ["a", "b", "n:c", "n:e"]);
    assert_eq!(
        kv.get_many::<i64>(&["a", "b"]).await.unwrap().iter().map(|it| it.1).sum::<i64>(),
        200
    );
    let error = ns.increment("c", 1).await.unwrap_err();
    assert!(error.to_string().contains("n:c"), "{error}");
}
