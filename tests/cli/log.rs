//! Logging: quiet unless asked, and asked in more than one way.

use crate::{
    ended::{agent, run, run_all},
    support::agent::Ended,
};

/// Runs `run` of nothing with each of these options.
fn with_each<const N: usize>(options: [&[&str]; N]) -> Vec<Ended> {
    run_all(options.map(|options| {
        let mut command = agent(["run"]);
        command.args(options).args(["--", "true"]);
        command
    }))
}

/// What aya logs at level debug when it loads the object.
fn debugs(ended: &Ended) -> bool {
    ended.assert_code(0);
    ended.stderr.contains("DEBUG")
}

#[test]
fn is_quiet_unless_asked() {
    for ended in with_each([
        &[],
        &["--log-level", "off"],
        &["--log-level", "error"],
        &["--log-level", "warn"],
        &["--log-level", "info"],
        &["--log-level", "WARN"],
    ]) {
        assert!(!debugs(&ended), "{}", ended.stderr);
    }
}

#[test]
fn is_asked_for_by_level_or_by_module() {
    for ended in with_each([
        &["--log-level", "debug"],
        &["--log-level=trace"],
        &["--log-level", "aya_obj=debug"],
        &["--log-level", "warn,aya_obj=trace"],
    ]) {
        assert!(debugs(&ended), "{}", ended.stderr);
    }
    for ended in with_each([&["--log-level", "connect_observer=debug"]]) {
        assert!(!ended.stderr.contains("aya_obj"), "{}", ended.stderr);
    }
}

/// Anywhere on the command line.
#[test]
fn may_be_asked_for_before_the_subcommand() {
    assert!(debugs(&run(["--log-level", "debug", "run", "--", "true"])));
}

#[test]
fn is_asked_for_by_the_environment_too() {
    let cases = [
        ("debug", &[][..], true),
        ("", &[], false),
        // What was typed beats what was set.
        ("debug", &["--log-level", "warn"], false),
        ("off", &["--log-level", "debug"], true),
    ];
    let commands = cases.map(|(set, options, _)| {
        let mut command = agent(["run"]);
        command.env("RUST_LOG", set).args(options);
        command.args(["--", "true"]);
        command
    });
    for ((set, options, expected), ended) in cases.into_iter().zip(run_all(commands)) {
        assert_eq!(
            debugs(&ended),
            expected,
            "{set} {options:?}: {}",
            ended.stderr
        );
    }
}

/// Logs are lines on standard error, and never among the events.
#[test]
fn goes_to_standard_error() {
    for ended in with_each([&["--log-level", "trace", "--output", "json", "-o", "-"]]) {
        assert!(debugs(&ended));
        let mut lines = ended.stdout.lines();
        assert!(
            lines.all(|line| line.starts_with("{\"event\"")),
            "{}",
            ended.stdout
        );
        // The level asked for is more than the default, so what is said otherwise is still said.
        ended.totals();
    }
}
