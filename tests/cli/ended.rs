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
    pub(crate) events: u64,
    pub(crate) failed: u64,
    pub(crate) in_progress: u64,
    pub(crate) lost: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
}

impl Totals {
    fn parse(line: &str) -> Self {
        let (sums, reasons) = line.split_once(" (").unwrap_or((line, ""));
        let pairs = |text: &str| -> BTreeMap<String, u64> {
            let pairs = text.split(", ").filter(|pair| !pair.is_empty());
            let pairs = pairs.map(|pair| pair.rsplit_once(' ').expect("a name and a number"));
            pairs
                .map(|(name, number)| (name.to_owned(), number.parse().expect("a number")))
                .collect()
        };
        let [calls, outcomes, lost] = sums
            .split("; ")
            .map(pairs)
            .collect::<Vec<_>>()
            .try_into()
            .expect("calls, outcomes, losses");
        let settled = outcomes["established"] + outcomes["failed"] + outcomes["abandoned"];
        assert_eq!(settled, outcomes["outcomes"], "{line}");
        let totals = Self {
            events: calls["events"],
            failed: calls["failed"],
            in_progress: calls["in progress"],
            lost: lost["lost"],
            reasons: pairs(reasons.trim_end_matches(')')),
        };
        assert_eq!(totals.reasons.values().sum::<u64>(), totals.lost, "{line}");
        totals
    }
}

/// `/dev/full`, where there is room for nothing.
pub(crate) fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}
