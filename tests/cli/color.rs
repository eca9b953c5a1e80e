//! Colour, and the width of the table: what a terminal gets, and everyone else does not.

use std::{fs, process::Command};

use tempfile::NamedTempFile;

use crate::{
    agent::{Running, Stream, agent},
    terminal::terminal,
};

/// Begins every colour.
const ESCAPE: &str = "\x1b[";

/// `run` of nothing: the titles are shown, dimmed where there is colour.
fn titles(options: &[&str]) -> Command {
    let mut command = agent(["run"]);
    command.args(options).args(["--", "true"]);
    command
}

/// What a terminal of so many columns shows.
fn on_terminal(columns: u16, mut command: Command) -> String {
    let (near, far) = terminal(columns);
    let screen = Stream::of(near);
    let ended = Running::start_to(&mut command, far).end();
    ended.assert_code(0);
    screen.wait_for("titles", |text| text.contains("DESTINATION"))
}

fn in_pipe(mut command: Command) -> String {
    let ended = Running::start(&mut command).end();
    ended.assert_code(0);
    assert!(!ended.stderr.contains(ESCAPE), "{:?}", ended.stderr);
    ended.stdout
}

#[test]
fn is_for_terminals() {
    assert!(on_terminal(80, titles(&[])).contains(ESCAPE));
    assert!(!in_pipe(titles(&[])).contains(ESCAPE));
    assert!(!in_pipe(titles(&["--color", "auto"])).contains(ESCAPE));
}

#[test]
fn is_as_asked_for() {
    assert!(in_pipe(titles(&["--color", "always"])).contains(ESCAPE));
    assert!(!on_terminal(80, titles(&["--color", "never"])).contains(ESCAPE));
}

#[test]
fn heeds_the_environment() {
    let with = |name: &str, value: &str, options: &[&str]| {
        let mut command = titles(options);
        command.env(name, value);
        command
    };
    let shown = |command| on_terminal(80, command).contains(ESCAPE);
    assert!(!shown(with("NO_COLOR", "1", &[])));
    assert!(!shown(with("TERM", "dumb", &[])));
    // no-color.org: "when present and not an empty string".
    assert!(shown(with("NO_COLOR", "", &[])));
    // What was typed beats what was set.
    assert!(shown(with("NO_COLOR", "1", &["--color", "always"])));
    assert!(in_pipe(with("NO_COLOR", "1", &["--color", "always"])).contains(ESCAPE));
}

#[test]
fn is_not_in_json() {
    let options = ["--output", "json", "--color", "always"];
    assert!(!in_pipe(titles(&options)).contains(ESCAPE));
}

#[test]
fn is_not_in_a_file() {
    let file = NamedTempFile::new().unwrap();
    let mut command = titles(&["-o", file.path().to_str().unwrap()]);
    let (near, far) = terminal(80);
    let screen = Stream::of(near);
    Running::start_to(&mut command, far).end().assert_code(0);
    let written = fs::read_to_string(file.path()).unwrap();
    assert!(written.starts_with("TIME "), "{written}");
    assert_eq!(screen.text(), "");
}

/// A row must not wrap where there is not much room, and shows more where there is.
#[test]
fn the_table_fits_the_terminal() {
    let width = |columns| {
        let shown = on_terminal(columns, titles(&["--color", "never"]));
        let line = shown.lines().next().unwrap().to_owned();
        line.find("DESTINATION").unwrap()
    };
    // An IPv4 address and a port: 21 columns.
    assert!(width(80) + 21 <= 80, "{}", width(80));
    assert!(width(120) > width(80), "milliseconds and whole names");
    let narrow = in_pipe(titles(&[]));
    assert_eq!(
        narrow.find("DESTINATION"),
        Some(width(200)),
        "no limit in a pipe"
    );
}
