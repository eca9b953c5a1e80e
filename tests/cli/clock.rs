//! Timestamps are right also where the agent's clock is not the kernel's.

use std::{path::Path, process::Command};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    ended::end,
    support::agent::{command_at, path},
    workload::{THREE, connecting},
};

/// The agent as a child of unshare(1), with these words before it.
fn unshared(words: &[&str], arguments: &[&str]) -> Command {
    let mut command = command_at(Path::new("unshare"), ["--time"]);
    command.args(words).arg(path()).args(arguments);
    command
}

/// Whether the process enters the namespace by itself, or only as a child, is a matter of the kernel.
#[test]
fn in_a_time_namespace() {
    for words in [
        &["--fork", "--monotonic", "864000", "--boottime", "864000"][..],
        &["--fork", "--monotonic", "864000"],
        &["--fork", "--boottime", "864000"],
        &["--fork", "--monotonic", "-5"],
        &["--monotonic", "864000"],
        &[],
    ] {
        let mut command = unshared(words, &["run", "--output", "json", "-o", "-", "--"]);
        command.args(connecting(THREE));
        let before = Timestamp::now();
        let ended = end(&mut command);
        let after = Timestamp::now();
        ended.assert_code(0);
        let events: Vec<Value> = ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let connects = events.iter().filter(|event| event["event"] == "connect");
        assert_eq!(connects.count(), 3, "{}", ended.stdout);
        for event in events {
            let timestamp: Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
            assert!(
                (before..=after).contains(&timestamp),
                "{words:?}: not from {before} to {after}: {event}"
            );
        }
    }
}

/// Right, or not at all.
#[test]
fn in_a_time_namespace_of_unknown_distance() {
    let script = "umount -l /proc && exec \"$0\" \"$@\"";
    let words = [
        "--fork",
        "--mount",
        "--monotonic",
        "864000",
        "sh",
        "-c",
        script,
    ];
    for arguments in [
        &["trace", "--duration", "0.1"][..],
        &["run", "--", "echo", "started"],
    ] {
        let ended = end(&mut unshared(&words, arguments));
        ended.assert_code(1);
        assert_eq!(ended.stdout, "");
        let line = ended.only_line();
        assert!(line.starts_with("error: time namespace: "), "{line}");
        assert!(line.contains("mount -t proc proc /proc"), "{line}");
    }
}

#[test]
fn check_says_how_far_its_clock_is_off() {
    for (words, expected) in [
        (&["--fork", "--monotonic", "864000"][..], "864000 s ahead"),
        (&["--fork", "--monotonic", "-5"], "5 s behind"),
        (&["--fork"], "its clock is the kernel's"),
    ] {
        let ended = end(&mut unshared(words, &["check"]));
        ended.assert_code(0);
        let line = ended
            .stdout
            .lines()
            .find(|line| line.starts_with("time namespace "));
        let line = line.expect("a line about it");
        assert!(line.contains(" ok ") && line.contains(expected), "{line}");
    }
}
