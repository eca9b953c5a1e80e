//! `explain`: an errno or an outcome of connect, in words.

use std::io::pipe;

use crate::support::agent::{self, Agent, Ended};

fn explain(arguments: &[&str]) -> Ended {
    agent::run([&["explain"], arguments].concat()).unwrap()
}

/// Standard output of a run that succeeds and has nothing to complain about.
fn page(arguments: &[&str]) -> String {
    let ended = explain(arguments);
    assert!(ended.status.success(), "{arguments:?}: {:?}", ended.status);
    assert_eq!(ended.stderr, "", "{arguments:?}");
    ended.stdout
}

#[test]
fn by_name_and_by_number() {
    let by_name = page(&["ECONNREFUSED"]);
    assert!(by_name.starts_with("ECONNREFUSED (111): "), "{by_name}");
    for part in [
        "Where it comes from:",
        "Likely causes",
        "ss -ltnp 'sport = :PORT'",
    ] {
        assert!(by_name.contains(part), "{part} in {by_name}");
    }
    for typed in ["econnrefused", "EConnRefused", "111", "-111"] {
        assert_eq!(page(&[typed]), by_name, "{typed}");
    }
}

#[test]
fn name_of_the_c_library() {
    assert_eq!(page(&["EWOULDBLOCK"]), page(&["EAGAIN"]));
}

#[test]
fn success() {
    assert!(page(&["0"]).starts_with("OK (0): the call succeeded\n"));
}

#[test]
fn outcome_by_name() {
    for (outcome, meaning) in [
        ("established", "succeeded"),
        ("failed", "decided against"),
        ("abandoned", "gave up"),
        ("superseded", "was faster"),
        ("killed", "never returned"),
        ("associated", "nothing has been sent"),
        ("dissolved", "no peer any more"),
    ] {
        let by_name = page(&[outcome]);
        let (title, _) = by_name.split_once('\n').unwrap();
        assert!(title.starts_with(&format!("{outcome}: ")), "{title}");
        assert!(title.contains(meaning), "{title}");
        for part in ["Where it comes from:", "Likely causes", "What to look at"] {
            assert!(by_name.contains(part), "{part} in {by_name}");
        }
        assert_eq!(page(&[&outcome.to_uppercase()]), by_name);
    }
}

#[test]
fn errno_that_connect_does_not_return() {
    let page = page(&["emfile"]);
    assert!(
        page.starts_with("EMFILE (24): connect is not known to return it.\n"),
        "{page}"
    );
    assert!(page.contains("seccomp"), "{page}");
}

#[test]
fn unknown_is_wrong_usage_and_names_the_nearest() {
    for (typed, nearest) in [
        ("ECONREFUSED", "ECONNREFUSED"),
        ("etimeout", "ETIMEDOUT"),
        ("41", "ELOOP (40)"),
        ("-9999", "ENOGRACE (531)"),
        ("abandonned", "abandoned"),
        ("Establish", "established"),
        ("kill", "killed"),
    ] {
        let ended = explain(&[typed]);
        assert_eq!(ended.code(), 2, "{typed}");
        assert_eq!(ended.stdout, "", "{typed}");
        let line = ended.stderr;
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.starts_with("error: no errno "), "{line}");
        assert!(line.contains(&format!("the nearest: {nearest}")), "{line}");
    }
}

#[test]
fn whole_table() {
    let table = page(&[]);
    for line in table.lines() {
        assert!(line.len() <= 80, "{line}");
    }
    for row in [
        "EACCES              13  ",
        "ETIMEDOUT          110  ",
        "EINPROGRESS        115  ",
        "OUTCOME                 MEANING",
        "abandoned               ",
        "established             ",
        "killed                  ",
        "associated              ",
        "dissolved               ",
    ] {
        assert!(
            table.lines().any(|line| line.starts_with(row)),
            "{row} in {table}"
        );
    }
    assert!(!table.contains("OK"), "success is no failure");
}

#[test]
fn closed_pipe_is_success() {
    let (reader, writer) = pipe().unwrap();
    // Whether the page is written before or after, it ends well.
    let running = Agent::start_to(&mut agent::command(["explain"]), writer).unwrap();
    drop(reader);
    let ended = running.end().unwrap();
    assert!(ended.status.success(), "{:?}", ended.status);
    assert_eq!(ended.stderr, "");
}
