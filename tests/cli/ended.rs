//! Agents that are run to their end, and what they leave.

use std::{collections::BTreeMap, ffi::OsStr, fs::File, process::Command};

use rustix::process::geteuid;

use crate::support::agent::{self, Agent, Ended};

/// The agent with these arguments, as root.
pub(crate) fn agent<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    assert!(geteuid().is_root(), "these tests run as root");
    agent::command(arguments)
}

/// Runs the agent to its end.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    end(&mut agent(arguments))
}

/// Runs a command to its end.
pub(crate) fn end(command: &mut Command) -> Ended {
    Agent::start(command).unwrap().end().unwrap()
}

/// Runs agents to their end, all at the same time: to put hooks in place and to take them away is
/// mostly waiting for the kernel.
pub(crate) fn run_all(commands: impl IntoIterator<Item = Command>) -> Vec<Ended> {
    let start = |mut command: Command| Agent::start(&mut command).unwrap();
    let running: Vec<_> = commands.into_iter().map(start).collect();
    let end = |running: Agent| running.end().unwrap();
    running.into_iter().map(end).collect()
}

impl Ended {
    #[track_caller]
    pub(crate) fn assert_code(&self, expected: i32) {
        assert_eq!(self.code(), expected, "{}\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    /// The only line on standard error.
    #[track_caller]
    pub(crate) fn only_line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n').expect("a line");
        assert!(!line.contains('\n'), "one line:\n{}", self.stderr);
        line
    }

    /// The only line on standard error that reports an error.
    #[track_caller]
    pub(crate) fn only_error(&self) -> &str {
        let mut errors = self.stderr.lines().filter(|line| is_error(line));
        let error = errors.next().expect("an error");
        assert_eq!(errors.next(), None, "one line:\n{}", self.stderr);
        error
    }

    #[track_caller]
    pub(crate) fn assert_no_error(&self) {
        let error = self.stderr.lines().find(|line| is_error(line));
        assert_eq!(error, None, "{}", self.stderr);
    }

    /// What the last line but logs says of the run.
    #[track_caller]
    pub(crate) fn totals(&self) -> Totals {
        let mut lines = self
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("totals: "));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("no totals:\n{}", self.stderr));
        assert_eq!(lines.next(), None, "once:\n{}", self.stderr);
        Totals::parse(line)
    }
}

fn is_error(line: &str) -> bool {
    line.starts_with("error") || line.contains("panicked") || line.contains("ERROR")
}

/// The totals, read back from their line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Events of calls.
    pub(crate) events: u64,
    /// Attempts that failed, in their call or after it.
    pub(crate) failed: u64,
    /// Attempts that were not settled.
    pub(crate) open: u64,
    pub(crate) lost: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
}

impl Totals {
    fn parse(line: &str) -> Self {
        let parts: Vec<_> = line.split("; ").collect();
        let (first, losses) = (parts[0], parts[parts.len() - 1]);
        // With --failed, without a sum: others are not counted.
        let first = first.split(" (").next().expect("one part at least");
        let attempts = first.rsplit_once(": ").map_or(first, |(all, parts)| {
            let sum: u64 = parts.split(", ").map(number).sum();
            assert_eq!(sum, number(all), "{line}");
            parts
        });
        let of = |text: &str, name: &str| {
            let parts = text.split(", ").find(|part| part.ends_with(name));
            parts.map_or(0, number)
        };
        let events = parts.iter().find_map(|part| part.strip_prefix("events: "));
        let (lost, reasons) = match losses {
            "nothing lost" => ("0", ""),
            _ => losses
                .strip_prefix("LOST ")
                .and_then(|losses| losses.split_once(": "))
                .expect("losses, and their reasons"),
        };
        let reasons = reasons.split(", ").filter(|pair| !pair.is_empty());
        let reasons = reasons.map(|pair| pair.rsplit_once(' ').expect("a name and a number"));
        let totals = Self {
            events: of(events.expect("events"), " connect"),
            failed: of(attempts, " failed"),
            open: of(attempts, " still open"),
            lost: lost.parse().expect("a number"),
            reasons: reasons
                .map(|(name, number)| (name.to_owned(), number.parse().expect("a number")))
                .collect(),
        };
        assert_eq!(totals.reasons.values().sum::<u64>(), totals.lost, "{line}");
        totals
    }
}

/// The number that a text begins with.
fn number(text: &str) -> u64 {
    let digits = text.split(' ').next().unwrap_or_default();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("no number: {text}"))
}

/// `/dev/full`, where there is room for nothing.
pub(crate) fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}
