//! The command beside a program that uses the store all the time.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aiokv::blocking::AioKv;
use aiokv::{Journal, Options};

use crate::support::{Fixture, Outcome, expect};

/// Runs `work` while this process, which is another one than the command's, goes on counting. Says
/// how far it counted.
fn while_counting(fixture: &Fixture, journal: Journal, work: impl FnOnce()) -> u64 {
    let is_done = AtomicBool::new(false);
    let store = AioKv::with_options(fixture.path(), Options::default().journal(journal));
    let store = store.expect("a path");
    let count = || {
        let mut counted = 0;
        while !is_done.load(Ordering::Relaxed) || counted == 0 {
            counted = store.increment("counted", 1).expect("nothing is in the way");
        }
        store.close().expect("nothing is in the way");
        counted
    };
    thread::scope(|scope| {
        let counting = scope.spawn(count);
        work();
        is_done.store(true, Ordering::Relaxed);
        counting.join().expect("it counts")
    })
}

#[test]
fn every_verb_works_beside_a_program_and_no_change_is_lost() {
    for journal in [Journal::Always, Journal::Never] {
        let fixture = Fixture::with_file("{\"text\": \"ping\", \"old:1\": 1, \"old:2\": 2}");
        let done = |verb: &str, arguments: &[&str]| {
            expect(fixture.run(verb, arguments), |it| it.status == Some(0) && it.stderr.is_empty());
        };
        let counted = while_counting(&fixture, journal, || {
            for number in 1..=10 {
                let sum = format!("{number}\n");
                expect(fixture.run("increment", &["n"]), |it| it.is_success_with(&sum));
            }
            expect(fixture.run("get", &["text"]), |it| it.is_success_with("\"ping\"\n"));
            done("set", &["a", "1"]);
            done("add", &["b", "2"]);
            expect(fixture.run("delete", &["-p", "old:", "-y"]), |it| it.is_success_with("2\n"));
            done("delete", &["text"]);
            expect(fixture.run("keys", &["-p", "a"]), |it| it.is_success_with("\"a\"\n"));
            for verb in ["items", "count", "check", "checkpoint", "stats"] {
                done(verb, &[]);
            }
            expect(fixture.show(), |it| it.status == Some(0) && it.stdout.contains("\"n\": 10"));
            done("backup", &[fixture.path().with_file_name("copy.json").to_str().expect("UTF-8")]);
        });
        let expected = format!("{counted}\n");
        expect(fixture.run("get", &["counted"]), |it| it.is_success_with(&expected));
        let mut keys = fixture.run("keys", &["--raw"]).stdout;
        keys = Vec::from_iter(keys.lines().filter(|key| *key != "counted")).join(" ");
        assert_eq!(keys, "n a b", "{journal:?}");
    }
}

#[test]
fn clear_beside_a_program_leaves_a_store_that_goes_on() {
    let fixture = Fixture::with_file("{\"a\": 1}");
    while_counting(&fixture, Journal::Always, || {
        expect(fixture.run("clear", &["--yes"]), Outcome::is_silent_success);
    });
    expect(fixture.run("get", &["a"]), |it| it.status == Some(1));
    expect(fixture.run("check", &[]), |it| it.status == Some(0));
}

#[test]
fn edit_import_and_recover_work_beside_a_program_and_no_change_is_lost() {
    for journal in [Journal::Always, Journal::Never] {
        let fixture = Fixture::with_file("{\"text\": \"ping\"}");
        let beside = |name: &str| fixture.path().with_file_name(name);
        fs::write(beside("more.jsonl"), "{\"key\": \"a\", \"value\": 1}\n").expect("a new file");
        let counted = while_counting(&fixture, journal, || {
            let mut edit = fixture.command("edit", &[]);
            edit.env("VISUAL", "sed -i s/ping/pong/");
            let edited = edit.output().expect("the binary starts").into();
            expect(edited, |it| it.is_success_with("{\"added\":0,\"changed\":1,\"deleted\":0}\n"));
            expect(fixture.run("import", &["more.jsonl"]), |it| it.status == Some(0));
            for name in ["saved.json", "all.json", "all.jsonl"] {
                let verb = if name == "saved.json" { "recover" } else { "export" };
                expect(fixture.run(verb, &[name]), |it| it.status == Some(0));
                let content = fs::read_to_string(beside(name)).expect("it was written");
                assert!(content.contains("pong") && content.contains("counted"), "{content}");
            }
        });
        let expected = format!("{counted}\n");
        expect(fixture.run("get", &["counted"]), |it| it.is_success_with(&expected));
        expect(fixture.run("get", &["text", "--raw"]), |it| it.is_success_with("pong\n"));
        expect(fixture.run("get", &["a"]), |it| it.is_success_with("1\n"));
    }
}
