//! Colour, and the width of the table: what a terminal gets, and everyone else does not.

use std::{fs, process::Command};

use tempfile::NamedTempFile;

use crate::{
    ended::{agent, run_all},
    support::{agent::Agent, stream::Stream},
    terminal::terminal,
};

/// Begins every colour.
const ESCAPE: &str = "\x1b[";

/// `run` of nothing: the titles are shown, dimmed where there is colour.
fn titles(options: &[&str]) -> Command {
    titles_in("-", options)
}

/// An agent that writes its titles into this file.
fn titles_in(file: &str, options: &[&str]) -> Command {
    let mut command = agent(["run", "-o", file]);
    command.args(options).args(["--", "true"]);
    command
}

/// Colours in what each of them shows, in a terminal of 80 columns.
fn on_terminals<const N: usize>(commands: [Command; N]) -> [bool; N] {
    shown_on(commands.map(|command| (80, command))).map(|shown| shown.contains(ESCAPE))
}

/// What each of them shows, in a terminal of so many columns.
fn shown_on<const N: usize>(commands: [(u16, Command); N]) -> [String; N] {
    let running = commands.map(|(columns, mut command)| {
        let (near, far) = terminal(columns);
        (
            Stream::of(near),
            Agent::start_to(&mut command, far).unwrap(),
        )
    });
    running.map(|(screen, running)| {
        running.end().unwrap().assert_code(0);
        screen
            .wait_for("titles", |text| text.contains("DESTINATION"))
            .unwrap()
    })
}

/// Colours in what each of them writes into a pipe.
fn in_pipes<const N: usize>(commands: [Command; N]) -> Vec<bool> {
    let ended = run_all(commands).into_iter();
    ended
        .map(|ended| {
            ended.assert_code(0);
            assert!(!ended.stderr.contains(ESCAPE), "{:?}", ended.stderr);
            ended.stdout.contains(ESCAPE)
        })
        .collect()
}

#[test]
fn is_for_terminals() {
    assert_eq!(on_terminals([titles(&[])]), [true]);
    let piped = [titles(&[]), titles(&["--color", "auto"])];
    assert_eq!(in_pipes(piped), [false, false]);
}

#[test]
fn is_as_asked_for() {
    let always = titles(&["--color", "always"]);
    let json = titles(&["--color", "always", "--output", "json"]);
    assert_eq!(in_pipes([always, json]), [true, false]);
    assert_eq!(on_terminals([titles(&["--color", "never"])]), [false]);
}

#[test]
fn heeds_the_environment() {
    let with = |name: &str, value: &str, options: &[&str]| {
        let mut command = titles(options);
        command.env(name, value);
        command
    };
    let always = ["--color", "always"];
    let shown = on_terminals([
        with("NO_COLOR", "1", &[]),
        with("TERM", "dumb", &[]),
        // no-color.org: "when present and not an empty string".
        with("NO_COLOR", "", &[]),
        // What was typed beats what was set.
        with("NO_COLOR", "1", &always),
    ]);
    assert_eq!(shown, [false, false, true, true]);
    assert_eq!(in_pipes([with("NO_COLOR", "1", &always)]), [true]);
}

#[test]
fn is_not_in_a_file() {
    let file = NamedTempFile::new().unwrap();
    let mut command = titles_in(file.path().to_str().unwrap(), &[]);
    let (near, far) = terminal(80);
    let screen = Stream::of(near);
    Agent::start_to(&mut command, far)
        .unwrap()
        .end()
        .unwrap()
        .assert_code(0);
    let written = fs::read_to_string(file.path()).unwrap();
    assert!(written.starts_with("TIME "), "{written}");
    assert_eq!(screen.text(), "");
}

/// A row must not wrap where there is not much room, and shows more where there is.
#[test]
fn the_table_fits_the_terminal() {
    let never = || titles(&["--color", "never"]);
    let destination = |shown: &str| shown.find("DESTINATION").unwrap();
    let shown = shown_on([(80, never()), (120, never()), (1000, never())]);
    let [narrow, wide, wider] = shown.map(|shown| destination(&shown));
    // An IPv4 address and a port: 21 columns.
    assert!(narrow + 21 <= 80, "{narrow}");
    assert!(wide > narrow, "milliseconds and whole names");
    assert_eq!(wider, wide);
    let piped = run_all([never()]);
    assert_eq!(destination(&piped[0].stdout), wide, "no limit in a pipe");
}
