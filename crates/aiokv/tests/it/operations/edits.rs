//! Edits: a value is changed in place, while other things go on.

use std::fs;

use aiokv::{AioKv, Error, Options};
use pollster::block_on;
use tokio::task::yield_now;

use super::{at_once, text};
use crate::support::start::start;
use crate::support::state_file::{open, open_alone, state_file};
use crate::support::worker::{self, Worker};

type List = Vec<i64>;

#[tokio::test]
async fn an_edit_is_written_when_it_is_committed() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set("list", &[1]).await.unwrap();
    let mut list = kv.edit("list", List::new()).await.unwrap();
    list.push(2);
    assert_eq!(text(&path), "{\n  \"list\": [1]\n}\n");
    list.commit().await.unwrap();
    assert_eq!(text(&path), "{\n  \"list\": [1, 2]\n}\n");
}

#[tokio::test]
async fn the_default_is_edited_if_there_is_no_value() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut list = kv.edit("list", vec![1]).await.unwrap();
    list.push(2);
    list.commit().await.unwrap();
    assert_eq!(kv.get::<List>("list").await.unwrap(), Some(vec![1, 2]));
}

#[tokio::test]
async fn an_edit_that_changes_nothing_writes_nothing() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.edit("list", vec![1]).await.unwrap().commit().await.unwrap();
    assert!(!path.exists());
    let spelled = r#"{"list": [1e0,   2]}"#;
    fs::write(&path, spelled).unwrap();
    kv.edit("list", Vec::<f64>::new()).await.unwrap().commit().await.unwrap();
    assert_eq!(text(&path), spelled);
}

#[tokio::test]
async fn an_error_on_the_way_changes_nothing() {
    async fn fails(kv: &AioKv) -> aiokv::Result<()> {
        let mut list = kv.edit("list", List::new()).await?;
        list.push(1);
        kv.set("nan", &f64::NAN).await?;
        list.commit().await
    }
    let (_directory, path) = state_file();
    let kv = open(&path);
    assert!(matches!(fails(&kv).await, Err(Error::Refused { .. })));
    assert!(!path.exists());
    assert!(kv.edit("list", List::new()).await.unwrap().is_empty());
}

#[test]
fn a_panic_on_the_way_changes_nothing_and_the_next_edit_begins() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let edit = std::panic::AssertUnwindSafe(|| {
        let mut list = block_on(kv.edit("list", List::new())).unwrap();
        list.push(1);
        panic!("on purpose");
    });
    assert!(std::panic::catch_unwind(edit).is_err());
    assert!(block_on(kv.edit("list", List::new())).unwrap().is_empty());
}

#[tokio::test]
async fn a_task_that_is_cancelled_during_an_edit_changes_nothing_and_the_next_edit_begins() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let (began, has_begun) = oneshot::channel();
    let task = tokio::spawn({
        let kv = kv.clone();
        async move {
            let mut list = kv.edit("list", List::new()).await.unwrap();
            list.push(1);
            began.send(()).unwrap();
            std::future::pending::<()>().await;
            list.commit().await.unwrap();
        }
    });
    has_begun.await.unwrap();
    task.abort();
    assert!(kv.edit("list", List::new()).await.unwrap().is_empty());
    assert!(!path.exists());
}

/// A turn that was handed to an edit that did not wait any more was lost, and all edits behind it
/// waited for ever.
#[test]
fn an_edit_that_waits_no_longer_is_passed_over() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let first = block_on(kv.edit("a", 1)).unwrap();
    let gave_up_early = start(kv.edit("a", 2));
    let gave_up_late = start(kv.edit("a", 3));
    let last = start(kv.edit("a", 4));
    drop(gave_up_early);
    drop(first);
    // It has its turn, but does not know yet.
    drop(gave_up_late);
    assert_eq!(*block_on(last).unwrap(), 4);
}

#[test]
fn a_commit_that_is_dropped_before_its_first_poll_changes_nothing() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut list = block_on(kv.edit("list", List::new())).unwrap();
    list.push(1);
    drop(list.commit());
    assert!(block_on(kv.edit("list", List::new())).unwrap().is_empty());
    assert!(!path.exists());
}

#[test]
fn a_commit_that_is_dropped_later_happens_before_the_next_edit() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut list = block_on(kv.edit("list", List::new())).unwrap();
    list.push(1);
    let next = start(kv.edit("list", List::new()));
    drop(start(list.commit()));
    assert_eq!(**block_on(next).as_ref().unwrap(), [1]);
}

#[test]
fn edits_at_once_take_turns() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    at_once(100, |index| {
        let kv = kv.clone();
        async move {
            let mut list = kv.edit("list", List::new()).await.unwrap();
            yield_now().await;
            list.push(index.try_into().unwrap());
            list.commit().await.unwrap();
        }
    });
    let mut list = block_on(kv.get::<List>("list")).unwrap().unwrap();
    list.sort_unstable();
    assert_eq!(list, Vec::from_iter(0..100));
}

#[test]
fn turns_come_in_the_order_in_which_edits_began() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut edit = block_on(kv.edit("a", 0)).unwrap();
    let waiting = Vec::from_iter((1..=5).map(|_| start(kv.edit("a", 0))));
    for (number, next) in (1..).zip(waiting) {
        *edit = number;
        block_on(edit.commit()).unwrap();
        edit = block_on(next).unwrap();
        assert_eq!(*edit, number);
    }
}

#[test]
fn edits_of_different_keys_do_not_wait() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let one = block_on(kv.edit("a", 1)).unwrap();
    let other = block_on(kv.edit("b", 2)).unwrap();
    assert_eq!((*one, *other), (1, 2));
}

#[test]
fn stores_on_one_path_and_their_namespaces_share_the_turns() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut first = block_on(kv.edit("n:a", 1)).unwrap();
    *first = 2;
    // A closed store opens its file anew.
    block_on(kv.close()).unwrap();
    let other = open(&path).namespace(["n"]).unwrap();
    let second = start(other.edit("a", 0));
    block_on(first.commit()).unwrap();
    assert_eq!(*block_on(second).unwrap(), 2);
}

#[tokio::test]
async fn a_set_of_its_own_key_is_a_conflict() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut list = kv.edit("list", List::new()).await.unwrap();
    list.push(1);
    kv.set("list", &[2]).await.unwrap();
    let error = list.commit().await.unwrap_err();
    assert!(matches!(&error, Error::Conflict { attempts: 1, .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("\"list\"") && message.contains("state.json"), "{message}");
    assert_eq!(text(&path), "{\n  \"list\": [2]\n}\n");
    assert_eq!(**kv.edit("list", List::new()).await.as_ref().unwrap(), [2]);
}

#[tokio::test]
async fn a_key_that_came_or_went_meanwhile_is_a_conflict() {
    let (_directory, path) = state_file();
    let (kv, other) = (open(&path), open_alone(&path, Options::default()));
    let mut edit = kv.edit("a", 1).await.unwrap();
    *edit = 2;
    // As the default, but now it is there.
    other.set("a", &1).await.unwrap();
    assert!(matches!(edit.commit().await, Err(Error::Conflict { .. })));
    let mut edit = kv.edit("a", 1).await.unwrap();
    *edit = 2;
    other.delete("a").await.unwrap();
    assert!(matches!(edit.commit().await, Err(Error::Conflict { .. })));
    assert_eq!(text(&path), "{}\n");
}

#[tokio::test]
async fn a_change_of_another_key_is_no_conflict() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut edit = kv.edit("a", 1).await.unwrap();
    *edit = 2;
    kv.set("b", &3).await.unwrap();
    edit.commit().await.unwrap();
    assert_eq!(text(&path), "{\n  \"b\": 3,\n  \"a\": 2\n}\n");
}

#[test]
fn a_change_by_another_process_is_a_conflict() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut list = block_on(kv.edit("list", List::new())).unwrap();
    list.push(1);
    let mut worker =
        Worker::start("operations::edits::setting_the_list", &[path.to_str().unwrap()]);
    worker.finish();
    let error = block_on(list.commit()).unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    assert_eq!(block_on(kv.get::<List>("list")).unwrap(), Some(vec![7]));
}

#[test]
#[ignore = "a process that other tests start"]
fn setting_the_list() {
    let Some([path]) = worker::arguments() else { return };
    block_on(AioKv::new(&path).unwrap().set("list", &[7])).unwrap();
}

#[tokio::test]
async fn a_value_of_another_type_cannot_be_edited() {
    let (_directory, path) = state_file();
    fs::write(&path, r#"{"a": "text"}"#).unwrap();
    let kv = open(&path);
    let Err(error) = kv.edit("a", 1).await else { panic!("a text is no number") };
    assert!(matches!(&error, Error::Type { key, .. } if key == "a"), "{error}");
    assert_eq!(*kv.edit("a", String::new()).await.unwrap(), "text");
}

#[tokio::test]
async fn an_edit_that_cannot_be_stored_changes_nothing() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    kv.set("a", &1.5).await.unwrap();
    let mut edit = kv.edit("a", 0.0).await.unwrap();
    *edit = f64::NAN;
    assert!(matches!(edit.commit().await, Err(Error::Refused { .. })));
    assert_eq!(text(&path), "{\n  \"a\": 1.5\n}\n");
    assert_eq!(*kv.edit("a", 0.0).await.unwrap(), 1.5);
}

#[tokio::test]
async fn a_file_that_was_damaged_meanwhile_is_left_as_it_is() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut edit = kv.edit("a", 1).await.unwrap();
    *edit = 2;
    fs::write(&path, "{").unwrap();
    assert!(matches!(edit.commit().await, Err(Error::Corrupt(_))));
    assert_eq!(text(&path), "{");
}
