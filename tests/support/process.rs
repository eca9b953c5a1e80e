//! Processes that a test starts, none of which outlives it.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, kill_process, pidfd_open, set_parent_process_death_signal, setsid,
    },
};

use super::wait;

/// A child that does not outlive its test.
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts a process without standard input. It dies with the thread that has started it.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null());
        before_exec(command, die_with_parent);
        Self::spawn(command)
    }

    /// Starts a process as it has been prepared.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn pid(&self) -> Result<Pid> {
        Pid::from_raw(self.0.id().cast_signed()).context("a child without id")
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).context("cannot signal a child")
    }

    /// Its status, once it has ended.
    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        self.0.try_wait().context("cannot wait for a child")
    }

    /// Waits for its end.
    pub(crate) fn end(mut self, what: &str) -> Result<ExitStatus> {
        self.await_end(what)
    }

    /// As [`Self::end`], but a process that still runs goes on.
    pub(crate) fn await_end(&mut self, what: &str) -> Result<ExitStatus> {
        // A child that has been waited for has no id any more.
        if let Some(status) = self.has_ended()? {
            return Ok(status);
        }
        let running = pidfd_open(self.pid()?, PidfdFlags::empty())?;
        let deadline = wait::deadline();
        let ended = poll(
            &mut [PollFd::new(&running, PollFlags::IN)],
            Some(&Timespec::try_from(deadline)?),
        )?;
        ensure!(
            ended == 1,
            "after {} s, {what} has not ended",
            deadline.as_secs()
        );
        self.0.wait().context("cannot wait for a child")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A child that has ended already needs neither.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Puts a process into a session of its own, so that it has no terminal. The signals that end it are
/// not ignored, although a shell has what it starts in the background ignore them. The process never
/// outlives the test.
pub(crate) fn detached(command: &mut Command) {
    before_exec(command, || {
        setsid()?;
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: SIG_DFL is no function that could be called.
            let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
            if before == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
        }
        die_with_parent()
    });
}

fn die_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Has a process prepare itself between fork and exec. `prepare` makes a few system calls; it uses
/// neither the heap nor a lock, which another thread may have held at the fork.
pub(crate) fn before_exec(
    command: &mut Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: every caller keeps to what is said above.
    unsafe {
        command.pre_exec(prepare);
    }
}
