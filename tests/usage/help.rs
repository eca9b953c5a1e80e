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
    "--quiet",
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

/// What only a command needs.
const COMMAND_ONLY: &[&str] = &["--follow", "--user"];

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
    let run = [OBSERVATION, COMMAND_ONLY].concat();
    for (command, expected) in [
        (&["export"][..], &export[..]),
        (&["trace"], OBSERVATION),
        (&["run"], &run[..]),
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

/// Whoever reads one page has read it all: no option is explained by another command's page.
#[test]
fn of_each_subcommand_stands_alone() {
    for command in ["trace", "run", "export"] {
        for option in ["--help", "-h"] {
            let help = said(&[command, option]);
            // As wide as the terminal is, so the words are looked at without their line breaks.
            let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
            for other in ["trace", "run", "export"] {
                if other == command {
                    continue;
                }
                let mention = format!("`{other}`");
                assert!(!words.contains(&mention), "{command}: {mention}: {words}");
            }
            for phrase in ["As for", "as for", "see above", "as above", "likewise"] {
                assert!(!words.contains(phrase), "{command}: {phrase}: {words}");
            }
        }
    }
}

/// What differs between them is said where it differs.
#[test]
fn says_where_events_go() {
    let words = |command| {
        let help = said(&[command, "--help"]);
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (command, stream) in [
        ("trace", "standard output"),
        ("run", "standard error"),
        ("export", "standard output"),
    ] {
        let said = format!("Append events to FILE instead of {stream}; - is standard output");
        assert!(words(command).contains(&said), "{command}");
        assert!(
            words(command).contains("SIGHUP opens FILE again"),
            "{command}"
        );
        assert!(words(command).contains("`ready`"), "{command}: --quiet");
    }
    assert!(words("export").contains("[default: 127.0.0.1:9788]"));
}

#[test]
fn version() {
    let expected = concat!("connect-observer ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(said(&["--version"]), expected);
    assert_eq!(said(&["-V"]), expected);
}
