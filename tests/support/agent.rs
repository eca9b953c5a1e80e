//! The agent under test, as a process: the one place that starts it, waits for it and ends it.

use std::{
    env,
    ffi::OsStr,
    fs, io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal};

use super::{
    child::state,
    process::{Guard, detached},
    stream::Stream,
    wait,
};

/// Path of the agent: `CONNECT_OBSERVER`, else the one that cargo has built.
pub(crate) fn path() -> PathBuf {
    env::var_os("CONNECT_OBSERVER").map_or_else(
        || env!("CARGO_BIN_EXE_connect-observer").into(),
        PathBuf::from,
    )
}

/// The agent with these words. Neither the environment nor the terminal of whoever runs the tests
/// has a part in what it does.
pub(crate) fn command<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Command {
    command_at(&path(), words)
}

/// As [`command`], of another program: a copy of the agent, or one that starts it.
pub(crate) fn command_at<W: AsRef<OsStr>>(
    program: &Path,
    words: impl IntoIterator<Item = W>,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(words)
        .stdin(Stdio::null())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .env_remove("RUST_LOG")
        .env_remove("TZ");
    detached(&mut command);
    command
}

/// Runs the agent with these words to its end.
pub(crate) fn run<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Result<Ended> {
    Agent::start(&mut command(words))?.end()
}

/// The running agent.
pub(crate) struct Agent {
    process: Guard,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

impl Agent {
    /// Starts a command; both of its streams are read.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut process = Guard::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let stdout = process.child().stdout.take().context("no output")?;
        Self::of(process, Stream::of(stdout))
    }

    /// Starts a command whose standard output goes where the test wants it.
    pub(crate) fn start_to(command: &mut Command, stdout: impl Into<Stdio>) -> Result<Self> {
        let process = Guard::spawn(command.stdout(stdout).stderr(Stdio::piped()))?;
        // The command holds the other end of a pipe, and would keep it open.
        command.stdout(Stdio::null());
        Self::of(process, Stream::of(io::empty()))
    }

    fn of(mut process: Guard, stdout: Stream) -> Result<Self> {
        let stderr = process.child().stderr.take().context("no standard error")?;
        Ok(Self {
            process,
            stdout,
            stderr: Stream::of(stderr),
        })
    }

    /// Waits until it says that its hooks are live.
    pub(crate) fn ready(&self) -> Result<()> {
        self.says("ready")
    }

    /// Waits until a line of its standard error begins like this.
    pub(crate) fn says(&self, beginning: &str) -> Result<()> {
        let what = format!("line of the agent that begins \"{beginning}\"");
        let is_there = |text: &str| text.lines().any(|line| line.starts_with(beginning));
        self.stderr.wait_for(&what, is_there)?;
        Ok(())
    }

    pub(crate) fn pid(&self) -> Result<Pid> {
        self.process.pid()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Keeps it from running at all.
    pub(crate) fn stop(&self) -> Result<()> {
        let pid = self.pid()?;
        self.signal(Signal::STOP)?;
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
        self.signal(Signal::CONT)
    }

    /// Keeps it from running while something happens that it must find when it goes on.
    pub(crate) fn while_stopped(&self, happens: impl FnOnce()) -> Result<()> {
        self.stop()?;
        happens();
        self.go_on()
    }

    /// A line of its `/proc/PID/status`, behind this name.
    pub(crate) fn status(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/status", self.pid()?.as_raw_nonzero());
        let status = fs::read_to_string(path)?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("{name} is not in its status"))?;
        Ok(line.trim().to_owned())
    }

    /// A size from its `/proc/PID/status`, in KiB: `VmRSS:` is its memory now, `VmHWM:` the most
    /// that it has used.
    pub(crate) fn status_kib(&self, name: &str) -> Result<u64> {
        let line = self.status(name)?;
        let kib = line.strip_suffix(" kB").context("no size in KiB")?;
        Ok(kib.trim().parse()?)
    }

    /// Its standard input, once, where the command has a pipe for it.
    pub(crate) fn stdin(&mut self) -> Result<impl io::Write + use<>> {
        self.process.child().stdin.take().context("no pipe")
    }

    /// Whether it runs on.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        Ok(self.process.has_ended()?.is_none())
    }

    /// Waits for its end, and for all that it wrote.
    pub(crate) fn end(mut self) -> Result<Ended> {
        let status = self.process.await_end("the agent").with_context(|| {
            let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
            format!("it has written\n{stdout}\nand as errors\n{stderr}")
        })?;
        Ok(Ended {
            status,
            stdout: self.stdout.to_end()?,
            stderr: self.stderr.to_end()?,
        })
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn succeed(self) -> Result<Ended> {
        let ended = self.end()?;
        let Ended { status, stderr, .. } = &ended;
        ensure!(status.success(), "the agent ended with {status}:\n{stderr}");
        Ok(ended)
    }

    /// Ends it as systemd does, which must lead to a success.
    pub(crate) fn terminate(self) -> Result<Ended> {
        self.signal(Signal::TERM)?;
        self.succeed()
    }
}

/// What an agent that has ended leaves.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its exit status as a shell has it: 128 more than a signal that has ended it.
    pub(crate) fn code(&self) -> i32 {
        let by_signal = self.status.signal().map(|signal| 128 + signal);
        // One of the two is there of every process that has ended.
        self.status.code().or(by_signal).unwrap_or(-1)
    }
}
