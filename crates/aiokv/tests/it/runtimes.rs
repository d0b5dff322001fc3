//! The futures need no particular async runtime, and a future is an operation from its first poll
//! on, whatever becomes of it.

use aiokv::AioKv;

use crate::support::start::{Started, start};
use crate::support::state_file::state_file;

const TASKS: usize = 16;

/// Several tasks on one store, then one that looks at the outcome. `spawn` starts a task and
/// returns what waits for it.
async fn scenario(spawn: impl Fn(Started<'static, ()>) -> Started<'static, ()>) {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    let tasks = (0..TASKS).map(|number| spawn(Box::pin(task(kv.clone(), number))));
    for task in Vec::from_iter(tasks) {
        task.await;
    }
    let mut entries = kv.get_all::<usize>().await.unwrap();
    entries.sort_by_key(|entry| entry.1);
    assert_eq!(
        entries,
        Vec::from_iter((0..TASKS).map(|number| (format!("task {number}"), number)))
    );
    kv.close().await.unwrap();
    assert_eq!(kv.get("task 3").await.unwrap(), Some(3));
    kv.clear().await.unwrap();
    assert!(!path.exists());
}

async fn task(kv: AioKv, number: usize) {
    let (key, temporary) = (format!("task {number}"), format!("temporary {number}"));
    kv.set(&temporary, "value").await.unwrap();
    kv.set(&key, &number).await.unwrap();
    assert_eq!(kv.get(&key).await.unwrap(), Some(number));
    kv.delete(&temporary).await.unwrap();
    assert_eq!(kv.get::<String>(&temporary).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn works_under_tokio() {
    scenario(|task| {
        let handle = tokio::spawn(task);
        Box::pin(async { handle.await.unwrap() })
    })
    .await;
}

#[test]
fn works_under_smol() {
    smol::block_on(scenario(|task| Box::pin(smol::spawn(task))));
}

#[test]
fn works_with_nothing_but_polling() {
    pollster::block_on(scenario(|task| start(task)));
}

#[test]
fn a_future_that_is_dropped_before_its_first_poll_never_happens() {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    drop(kv.set("a", &1));
    drop(kv.clear());
    pollster::block_on(kv.set("b", &2)).unwrap();
    drop(kv.delete("b"));
    assert_eq!(pollster::block_on(kv.get_all()).unwrap(), [("b".to_owned(), 2)]);
}

#[test]
fn a_future_that_is_dropped_after_its_first_poll_happens_in_its_turn() {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    drop(start(kv.set("a", &1)));
    assert_eq!(pollster::block_on(kv.get("a")).unwrap(), Some(1));
    drop(start(kv.set("a", &2)));
    drop(start(kv.set("b", &3)));
    pollster::block_on(kv.set("a", &4)).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\n  \"a\": 4,\n  \"b\": 3\n}\n");
    drop(start(kv.clear()));
    pollster::block_on(kv.close()).unwrap();
    assert!(!path.exists());
}
