//! `check`: what is needed, how it stands, and each blind spot.

use crate::ended::run;

const REQUIREMENTS: [&str; 12] = [
    "kernel",
    "capabilities",
    "lockdown",
    "BPF ring buffer",
    "BPF tracepoint programs",
    "tracefs",
    "processors",
    "time namespace",
    "pid namespace",
    "cgroup",
    "BTF",
    "BPF tracing programs",
];
const WAYS: [&str; 3] = ["syscall", "compat", "io_uring"];

/// The line that begins with a name, behind that name.
#[track_caller]
fn line<'a>(page: &'a str, name: &str) -> &'a str {
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}:\n{page}"))
        .trim_start()
}

#[test]
fn every_requirement_has_a_verdict() {
    let ended = run(["check"]);
    ended.assert_code(0);
    assert_eq!(ended.stderr, "");
    let page = &ended.stdout;
    for name in REQUIREMENTS {
        let line = line(page, name);
        let (verdict, found) = line.split_once(' ').unwrap();
        assert!(
            ["ok", "limited", "unknown"].contains(&verdict),
            "{name} {line}"
        );
        assert!(!found.trim().is_empty(), "{name}: what was found");
        if verdict != "ok" {
            let after = page
                .lines()
                .skip_while(|line| !line.starts_with(name))
                .nth(1);
            assert!(after.unwrap().trim().starts_with("-> "), "{name}: the mend");
        }
    }
}

#[test]
fn every_way_into_connect_is_seen_or_said_not_to_be() {
    let ended = run(["check"]);
    for name in WAYS {
        let line = line(&ended.stdout, &format!("{name} "));
        let is_said = line.starts_with("seen: ") || line.starts_with("not seen: ");
        assert!(is_said, "{name}: {line}");
    }
}

/// What `trace` and `run` name in one line is what `check` says at length.
#[test]
fn says_what_trace_says() {
    let check = run(["check"]).stdout;
    let run = run(["run", "--", "true"]);
    let mut notes = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("note: not seen: "));
    let note = notes.next().unwrap_or_default();
    assert_eq!(notes.next(), None, "one line: {}", run.stderr);
    for name in WAYS {
        let line = line(&check, &format!("{name} "));
        let is_named = note.contains(&format!("{name} ("));
        assert_eq!(line.starts_with("not seen: "), is_named, "{name}: {note}");
    }
    assert!(
        note.is_empty() || note.contains("connect-observer check"),
        "{note}"
    );
}

/// It is read by people, in a terminal and in bug reports.
#[test]
fn is_plain_text() {
    let ended = run(["check"]);
    assert!(ended.stdout.ends_with('\n'));
    assert!(
        !ended
            .stdout
            .contains(|character: char| character.is_control() && character != '\n')
    );
    assert!(ended.stdout.lines().all(|line| line == line.trim_end()));
}
