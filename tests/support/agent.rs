//! The agent under test, as a process.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{self, Child, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::{child::state, observation::Observation, scratch::Scratch, wait};

/// Its standard error, in the scratch directory.
const STDERR: &str = "stderr";
/// Its events, in the scratch directory.
const EVENTS: &str = "events";

/// Path of the agent: `CONNECT_OBSERVER`, else the one that cargo has built.
pub(crate) fn path() -> PathBuf {
    env::var_os("CONNECT_OBSERVER").map_or_else(
        || env!("CARGO_BIN_EXE_connect-observer").into(),
        PathBuf::from,
    )
}

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
    /// Tells the files of two agents apart.
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

/// A child that does not outlive its test.
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts a process without standard input. It dies with the thread that has started it.
    pub(crate) fn start(command: &mut process::Command) -> Result<Self> {
        command.stdin(Stdio::null());
        // SAFETY: between fork and exec, the closure makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    pub(crate) fn pid(&self) -> Result<Pid> {
        Pid::from_raw(self.0.id().cast_signed()).context("a child without id")
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).context("cannot signal a child")
    }

    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        self.0.try_wait().context("cannot wait for a child")
    }

    pub(crate) fn end(mut self, what: &str) -> Result<ExitStatus> {
        wait::until(&format!("the end of {what}"), || self.has_ended())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A child that has ended already needs neither.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// The running agent.
pub(crate) struct Agent<'a> {
    scratch: &'a Scratch,
    process: Guard,
    name: &'static str,
}

impl<'a> Agent<'a> {
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
        let mut process = process::Command::new(path());
        process.arg(verb).args(["--output", format]);
        match sink {
            Sink::File(file) => process
                .arg("--output-file")
                .arg(scratch.file(&file))
                .stdout(Stdio::null()),
            Sink::Stdout(stdout) => process.stdout(stdout),
        };
        let stderr = File::create(scratch.file(&format!("{STDERR}{name}")))?;
        process.args(rest).stderr(stderr);
        Ok(Self {
            scratch,
            process: Guard::start(&mut process)?,
            name,
        })
    }

    /// Waits until it says that its hooks are live.
    pub(crate) fn ready(&mut self) -> Result<()> {
        wait::until_true("the agent to be ready", || {
            let ended = self.process.has_ended()?;
            ensure!(
                ended.is_none(),
                "the agent has ended early: {}",
                self.stderr()?
            );
            Ok(self.stderr()?.lines().any(|line| line.starts_with("ready")))
        })
    }

    pub(crate) fn pid(&self) -> Result<Pid> {
        self.process.pid()
    }

    /// Asks it to end.
    pub(crate) fn interrupt(&self) -> Result<()> {
        self.process.signal(Signal::INT)
    }

    /// Keeps it from running at all.
    pub(crate) fn stop(&self) -> Result<()> {
        let pid = self.pid()?;
        self.process.signal(Signal::STOP)?;
        // The signal has been sent, but each thread stops when it sees it.
        wait::until_true("the agent to stop", || {
            for task in fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()))? {
                let tid = task?.file_name().to_str().and_then(|tid| tid.parse().ok());
                let tid = tid.and_then(Pid::from_raw).context("no thread id")?;
                if state(pid, tid)? != 'T' {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Lets it run again.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    pub(crate) fn stderr(&self) -> Result<String> {
        self.scratch.text(&format!("{STDERR}{}", self.name))
    }

    /// Waits for its end, which must be a success, and reads what it has written.
    pub(crate) fn end(self) -> Result<Observation> {
        let (scratch, name) = (self.scratch, self.name);
        let stderr = self.succeed()?;
        let events = scratch.text(&format!("{EVENTS}{name}"))?;
        Observation::read(&events, &stderr, scratch)
    }

    /// Waits for its end, which must be a success, and returns its standard error.
    pub(crate) fn succeed(self) -> Result<String> {
        let (scratch, name) = (self.scratch, self.name);
        let status = self.process.end("the agent")?;
        let stderr = scratch.text(&format!("{STDERR}{name}"))?;
        ensure!(status.success(), "the agent ended with {status}:\n{stderr}");
        Ok(stderr)
    }
}
