//! `explain`: an errno of connect, in words.

#![expect(clippy::expect_used, reason = "a test stops at what it did not expect")]

use std::process::{Command, Output, Stdio};

use crate::{
    agent::{self, Running},
    workload::connecting,
};

fn explain(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connect-observer"));
    command.arg("explain").args(arguments);
    command.output().expect("the binary runs")
}

/// Standard output of a run that succeeds and has nothing to complain about.
fn page(arguments: &[&str]) -> String {
    let output = explain(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("the page is text")
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
    ] {
        let output = explain(&[typed]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let line = String::from_utf8(output.stderr).expect("the error is text");
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_connect-observer"));
    let mut child = command
        .arg("explain")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // Whether the page is written before or after, it ends well.
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// `--explain`: once per errno and process, not once per failure.
#[test]
fn under_a_failure_is_said_once() {
    let mut command = agent::agent(["run", "--explain", "--"]);
    command.args(connecting("tcp(1, 2); in_child(lambda: tcp(3))"));
    let ended = Running::start(&mut command).end();
    ended.assert_code(0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    let [_, first, hint, second, third, again] = lines.as_slice() else {
        panic!("{}", ended.stdout);
    };
    for (line, port) in [(first, 1), (second, 2), (third, 3)] {
        assert!(line.ends_with(&format!(" 127.0.0.1:{port}")), "{line}");
    }
    // The child is a process of its own.
    for line in [hint, again] {
        let said = line.strip_prefix("  ECONNREFUSED: ").unwrap();
        assert!(!said.is_empty());
    }
}
