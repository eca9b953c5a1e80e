//! Logging: quiet unless asked, and asked in more than one way.

use crate::agent::{Ended, Running, agent, run};

/// What aya logs at level debug when it loads the object.
fn debugs(ended: &Ended) -> bool {
    ended.assert_code(0);
    ended.stderr.contains("DEBUG")
}

#[test]
fn is_quiet_unless_asked() {
    assert!(!debugs(&run(["run", "--", "true"])));
    for level in ["off", "error", "warn", "info", "INFO", "Warn"] {
        let ended = run(["run", "--log-level", level, "--", "true"]);
        assert!(!debugs(&ended), "{level}: {}", ended.stderr);
    }
}

#[test]
fn is_asked_for_by_level_or_by_module() {
    for level in ["debug", "trace", "aya_obj=debug", "warn,aya_obj=trace"] {
        let ended = run(["run", "--log-level", level, "--", "true"]);
        assert!(debugs(&ended), "{level}: {}", ended.stderr);
    }
    let ended = run(["run", "--log-level", "connect_observer=debug", "--", "true"]);
    assert!(!ended.stderr.contains("aya_obj"), "{}", ended.stderr);
}

/// Anywhere on the command line.
#[test]
fn may_be_asked_for_before_the_subcommand() {
    assert!(debugs(&run(["--log-level", "debug", "run", "--", "true"])));
}

#[test]
fn is_asked_for_by_the_environment_too() {
    let with = |level: &str, arguments: &[&str]| {
        let mut command = agent(arguments);
        command.env("RUST_LOG", level);
        Running::start(&mut command).end()
    };
    assert!(debugs(&with("debug", &["run", "--", "true"])));
    assert!(!debugs(&with("", &["run", "--", "true"])));
    // What was typed beats what was set.
    assert!(!debugs(&with(
        "debug",
        &["run", "--log-level", "warn", "--", "true"]
    )));
    assert!(debugs(&with(
        "off",
        &["run", "--log-level", "debug", "--", "true"]
    )));
}

/// Logs are lines on standard error, and never among the events.
#[test]
fn goes_to_standard_error() {
    let ended = run([
        "run",
        "--log-level",
        "trace",
        "--output",
        "json",
        "--",
        "true",
    ]);
    assert!(debugs(&ended));
    assert!(
        ended
            .stdout
            .lines()
            .all(|line| line.starts_with("{\"event\"")),
        "{}",
        ended.stdout
    );
    // The level asked for is more than the default, so what is said otherwise is still said.
    ended.totals();
}
