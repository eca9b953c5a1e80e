//! The command that `run` starts and observes.

use std::{
    env,
    error::Error,
    ffi::OsStr,
    fmt,
    fs::File,
    io,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{ExitCode, ExitStatus},
};

use anyhow::{Context as _, Result};
use rustix::{
    process::{Pid, Signal, getpgrp, kill_process},
    termios::tcgetpgrp,
    thread::gettid,
};
use tokio::process::{Child, Command};

use crate::{
    attach::maps::Lineage, errno::in_words, escape::Escaped, observation::Order, user::User,
};

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
    /// The command cannot be started: a [`NotStarted`].
    pub fn start(order: &Order, user: Option<&User>, lineage: &mut Lineage) -> Result<Self> {
        let (program, arguments) = order.words.split_first().context("there is no command")?;
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(user) = user {
            user.run(&mut command);
        }
        let this_thread = gettid().as_raw_nonzero().get().unsigned_abs();
        lineage.follow(this_thread)?;
        let started = command.spawn();
        lineage.unfollow(this_thread)?;
        let child = started.map_err(|error| NotStarted::new(program, error))?;
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

    /// Whether it has not ended yet, as far as is known.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.child.id().is_some()
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

/// A command that cannot be started.
#[derive(Debug)]
pub struct NotStarted {
    /// As it was typed, escaped.
    program: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// There is no such command.
    NotFound,
    /// There is, but what should execute it is not.
    NoInterpreter,
    /// The kernel does not execute it.
    Refused(io::Error),
}

impl NotStarted {
    fn new(program: &OsStr, error: io::Error) -> Self {
        let why = if error.kind() != io::ErrorKind::NotFound {
            Why::Refused(error)
        } else if is_there(program) {
            // The kernel has one errno for both.
            Why::NoInterpreter
        } else {
            Why::NotFound
        };
        Self {
            program: Escaped(program.as_encoded_bytes()).to_string(),
            why,
        }
    }

    /// The status with which a shell ends in this case.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.why {
            Why::NotFound => 127,
            Why::NoInterpreter | Why::Refused(_) => 126,
        })
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = &self.program;
        match &self.why {
            Why::NotFound if program.contains('/') => {
                write!(f, "cannot run {program}: there is no such file")
            }
            Why::NotFound => write!(f, "cannot run \"{program}\": there is no such command"),
            Why::NoInterpreter => write!(
                f,
                "cannot run {program}: the interpreter that its first line or its header names is not there"
            ),
            Why::Refused(error) => write!(f, "cannot run {program}: {}", in_words(error)),
        }
    }
}

impl Error for NotStarted {}

/// Whether a command is there, where it is looked for: at its path, or in the folders of `PATH`.
fn is_there(program: &OsStr) -> bool {
    if program.as_encoded_bytes().contains(&b'/') {
        return Path::new(program).exists();
    }
    !program.is_empty()
        && env::var_os("PATH").is_some_and(|folders| {
            env::split_paths(&folders).any(|folder| folder.join(program).is_file())
        })
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
