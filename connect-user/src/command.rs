//! The command that `run` starts and observes.

use std::{
    ffi::OsString,
    fs::File,
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
};

use anyhow::{Context as _, Result};
use rustix::{
    process::{Pid, Signal, getpgrp, kill_process},
    termios::tcgetpgrp,
    thread::gettid,
};
use tokio::process::{Child, Command};

use crate::{attach::maps::Lineage, escape::Escaped};

/// The running command.
#[derive(Debug)]
pub struct Observed {
    child: Child,
}

impl Observed {
    /// Starts the command, observed from before its first instruction.
    ///
    /// This thread is followed while it forks, so that the kernel itself puts the child under
    /// observation, and a process that may already be running has nothing to be asked for.
    ///
    /// # Errors
    ///
    /// The command cannot be started.
    pub fn start(words: &[OsString], lineage: &mut Lineage) -> Result<Self> {
        let (program, arguments) = words.split_first().context("there is no command")?;
        let this_thread = gettid().as_raw_nonzero().get().unsigned_abs();
        lineage.follow(this_thread)?;
        let started = Command::new(program).args(arguments).spawn();
        lineage.unfollow(this_thread)?;
        let child = started
            .with_context(|| format!("cannot run {}", Escaped(program.as_encoded_bytes())))?;
        Ok(Self { child })
    }

    /// Waits for the command to end.
    ///
    /// # Errors
    ///
    /// The kernel does not say how it ended.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.child
            .wait()
            .await
            .context("cannot wait for the command")
    }

    /// Passes a signal on. What the terminal sends to everyone in its foreground (`^C`, `^\`) has
    /// reached the command already.
    pub fn pass_on(&self, signal: Signal) {
        if [Signal::INT, Signal::QUIT].contains(&signal) && in_foreground() {
            return;
        }
        let pid = self
            .child
            .id()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, signal)
        {
            log::warn!("the command cannot be signalled: {error}");
        }
    }
}

fn in_foreground() -> bool {
    File::open("/dev/tty")
        .and_then(|terminal| Ok(tcgetpgrp(&terminal)?))
        .is_ok_and(|foreground| foreground == getpgrp())
}

/// The command's status as a shell reports it: 128 and the signal's number if one killed it.
#[must_use]
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
