//! The grammar.

use crate::support::*;

#[test]
fn arguments_that_make_no_sense_have_status_2() {
    let fixture = Fixture::without_file();
    for (command, arguments) in [
        ("get", &[][..]),
        ("set", &["key", "--string"]),
        ("set", &["key", "1", "2"]),
        ("keys", &["--values"]),
        ("check", &["--lock-timeout", "soon"]),
        ("check", &["--lock-timeout", "inf"]),
        ("check", &["--lock-timeout=-1"]),
        ("unset", &[]),
    ] {
        let outcome = fixture.run(command, arguments);
        expect(outcome, |it| it.status == Some(2) && it.stdout.is_empty() && !it.stderr.is_empty());
    }
    assert_eq!(fixture.names(), [""; 0]);
}
