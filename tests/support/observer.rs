//! The agent as an observer of a test's program: its events go as JSON into a file of the scratch
//! directory, where the program writes its truth.

use std::{
    ffi::OsString,
    ops::{Deref, DerefMut},
    process::{self, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::{
    agent::{self, Agent, Ended},
    observation::Observation,
    scratch::Scratch,
};

/// Its events, in the scratch directory.
const EVENTS: &str = "events";

/// Where events go.
pub(crate) enum Sink {
    /// Into a file of this name in the scratch directory (`--output-file`), so that standard
    /// output is free.
    File(String),
    /// To standard output, which is this.
    Stdout(Stdio),
}

/// What to start.
pub(crate) struct Command {
    words: Vec<OsString>,
    /// Keeps the files of two observers apart.
    name: &'static str,
}

impl Command {
    /// `connect-observer run OPTIONS -- COMMAND`
    pub(crate) fn run(options: &[&str], command: Vec<OsString>) -> Self {
        let mut words = vec!["run".into()];
        words.extend(options.iter().map(OsString::from));
        words.push("--".into());
        words.extend(command);
        Self { words, name: "" }
    }

    /// `connect-observer trace OPTIONS`
    pub(crate) fn trace(options: &[&str]) -> Self {
        let mut words = vec!["trace".into()];
        words.extend(options.iter().map(OsString::from));
        Self { words, name: "" }
    }

    pub(crate) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

/// The running observer.
pub(crate) struct Observer<'a> {
    agent: Agent,
    scratch: &'a Scratch,
    name: &'static str,
}

impl<'a> Observer<'a> {
    /// Starts it with its events as JSON in a file.
    pub(crate) fn start(scratch: &'a Scratch, command: &Command) -> Result<Self> {
        let events = format!("{EVENTS}{}", command.name);
        Self::start_with(scratch, command, "json", Sink::File(events))
    }

    pub(crate) fn start_with(
        scratch: &'a Scratch,
        command: &Command,
        format: &str,
        sink: Sink,
    ) -> Result<Self> {
        let Command { words, name } = command;
        let (verb, rest) = words.split_first().context("no words")?;
        let mut process: process::Command = agent::command([verb]);
        process.args(["--output", format]);
        let stdout = match sink {
            Sink::File(file) => {
                process.arg("--output-file").arg(scratch.file(&file));
                Stdio::null()
            }
            Sink::Stdout(stdout) => {
                process.args(["--output-file", "-"]);
                stdout
            }
        };
        Ok(Self {
            agent: Agent::start_to(process.args(rest), stdout)?,
            scratch,
            name,
        })
    }

    /// Waits for its end, which must be a success, and reads what it has written.
    pub(crate) fn end(self) -> Result<Observation> {
        let (scratch, name) = (self.scratch, self.name);
        let Ended { stderr, .. } = self.succeed()?;
        let events = scratch.text(&format!("{EVENTS}{name}"))?;
        Observation::read(&events, &stderr, scratch)
    }

    /// Asks it to end, and reads what it has written.
    pub(crate) fn interrupt(self) -> Result<Observation> {
        self.signal(Signal::INT)?;
        self.end()
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn succeed(self) -> Result<Ended> {
        self.agent.succeed()
    }
}

impl Deref for Observer<'_> {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl DerefMut for Observer<'_> {
    fn deref_mut(&mut self) -> &mut Agent {
        &mut self.agent
    }
}
