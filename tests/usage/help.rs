//! What the tool says of itself.

use std::collections::BTreeSet;

use crate::support::agent::run;

const EVERYWHERE: &[&str] = &["--help", "--log-level"];
const OBSERVATION: &[&str] = &[
    "--attempts",
    "--color",
    "--compat",
    "--count",
    "--duration",
    "--explain",
    "--failed",
    "--family",
    "--help",
    "--hooks",
    "--label",
    "--listen",
    "--log-level",
    "--max-series",
    "--output",
    "--output-file",
    "--pid",
    "--ring-kib",
    "--series-ttl",
    "--settled",
    "--skip-io-uring",
    "--skip-socket",
    "--summary",
    "--threads",
    "--uid",
];

/// What only a stream of events for a person needs.
const EVENTS_ONLY: &[&str] = &["--color", "--count", "--explain", "--settled", "--summary"];

/// Runs, and returns what is said on standard output, and only there.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let ended = run(arguments).unwrap();
    assert_eq!(ended.code(), 0, "{arguments:?}: {}", ended.stderr);
    assert_eq!(ended.stderr, "", "{arguments:?}");
    ended.stdout
}

/// Options that stand at the beginning of a line, after the short ones.
fn options(help: &str) -> BTreeSet<&str> {
    help.lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")))
        .collect()
}

#[test]
fn of_every_subcommand_names_every_option() {
    let export: Vec<_> = OBSERVATION
        .iter()
        .copied()
        .filter(|option| !EVENTS_ONLY.contains(option))
        .collect();
    for (command, expected) in [
        (&["export"][..], &export[..]),
        (&["trace"], OBSERVATION),
        (&["run"], OBSERVATION),
        (&["check"], EVERYWHERE),
        (&["explain"], EVERYWHERE),
        (&[], &["--help", "--log-level", "--version"]),
    ] {
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        for help in [
            said(&[command, &["--help"]].concat()),
            said(&[command, &["-h"]].concat()),
            said(&[&["help"], command].concat()),
        ] {
            assert_eq!(options(&help), expected, "{help}");
            assert!(help.contains("Usage: connect-observer"), "{help}");
        }
    }
}

#[test]
fn names_every_subcommand_and_the_exit_status() {
    let help = said(&["--help"]);
    for text in ["trace", "run", "check", "Exit status:"] {
        assert!(help.contains(text), "{text}: {help}");
    }
}

#[test]
fn of_run_shows_where_the_command_stands() {
    let help = said(&["run", "--help"]);
    let usage = "Usage: connect-observer run [OPTIONS] [--] <COMMAND> [ARG]...";
    assert!(help.contains(usage), "{help}");
    for status in ["127", "126", "128"] {
        assert!(help.contains(status), "{status}: {help}");
    }
}

#[test]
fn tells_what_may_be_given() {
    let help = said(&["trace", "--help"]);
    for text in [
        "table",
        "json",
        "auto",
        "always",
        "never",
        "tracepoint",
        "8192",
        "32768",
        "EINPROGRESS",
        "NO_COLOR",
        "1h30m",
    ] {
        assert!(help.contains(text), "{text}: {help}");
    }
}

#[test]
fn version() {
    let expected = concat!("connect-observer ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(said(&["--version"]), expected);
    assert_eq!(said(&["-V"]), expected);
}
