//! The observed program's side: it makes calls, and writes down what it saw of each.

use std::{
    env,
    os::fd::{AsRawFd, RawFd},
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::Value;

use super::{
    attempt::{Attempt, Outcome, Settlement},
    namespace, scratch,
    sockaddr::Sockaddr,
    truth::{Call, Caller, Truth, errno_name},
};

/// Where a program plays: usable from all its threads and children.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: PathBuf,
    /// Tells programs of one case apart.
    pub(crate) role: String,
    truth: Truth,
}

impl Stage {
    /// Moves the process into a network namespace of its own, whose loopback is up.
    pub(crate) fn enter(directory: &Path, role: &str) -> Result<Self> {
        // Whoever has started us must not leave us behind.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        namespace::enter_network()?;
        Self::stay(directory, role)
    }

    /// Stays in the namespaces of whoever has started us.
    pub(crate) fn stay(directory: &Path, role: &str) -> Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            role: role.to_owned(),
            truth: Truth::open(directory)?,
        })
    }

    /// A path in the scratch directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn mark(&self, name: &str) -> Result<()> {
        scratch::mark(&self.directory, name)
    }

    pub(crate) fn await_mark(&self, name: &str) -> Result<()> {
        scratch::await_mark(&self.directory, name)
    }

    /// This program once more, in another role.
    pub(crate) fn again(&self, role: &str) -> Result<process::Command> {
        let words: Vec<_> = env::args_os().collect();
        let (own_role, words) = words.split_last().context("no words")?;
        ensure!(*own_role == *self.role, "the role is not the last word");
        // Not the path of the running program: it is unknown when the first thread has ended.
        let (program, words) = words.split_first().context("no program")?;
        let mut command = process::Command::new(program);
        command.args(words).arg(role);
        Ok(command)
    }

    /// Makes a call and writes it down. Returns the errno.
    pub(crate) fn connect(&self, attempt: &Attempt<'_>) -> Result<i32> {
        let caller = Caller::me();
        let (transport, socket_type) = (attempt.transport(), attempt.socket_type());
        let outcome = attempt.make();
        let mut call = attempt.call(&caller, &outcome);
        for (key, value) in [
            ("network.transport", transport),
            ("socket.type", socket_type),
        ] {
            if let Some(value) = value {
                call.keys.insert(key.to_owned(), value.into());
            }
        }
        if matches!(outcome.errno, 0 | libc::EINPROGRESS)
            && let Some(local) = attempt.local()
        {
            let (address, port) = (local.ip().to_canonical().to_string(), local.port());
            call.keys
                .insert("network.local.address".to_owned(), address.into());
            call.keys
                .insert("network.local.port".to_owned(), port.into());
        }
        self.tell(&call)?;
        Ok(outcome.errno)
    }

    /// Makes a plain call, which must return `errno`: else the program is not what its test thinks.
    pub(crate) fn expect(
        &self,
        errno: i32,
        socket: &impl AsRawFd,
        address: &Sockaddr,
    ) -> Result<()> {
        self.expect_of(errno, &Attempt::new(socket, address))
    }

    /// Makes a call, which must return `errno`.
    pub(crate) fn expect_of(&self, errno: i32, attempt: &Attempt<'_>) -> Result<()> {
        let got = self.connect(attempt)?;
        ensure!(
            got == errno,
            "this program needs {} and got {} for {attempt:?}",
            errno_name(errno),
            errno_name(got)
        );
        Ok(())
    }

    /// Writes a call down.
    ///
    /// A signal handler may do this: what it has interrupted is a system call, which holds no lock.
    pub(crate) fn tell(&self, call: &Call) -> Result<()> {
        self.truth.call(call)
    }

    /// Writes down a call that was made elsewhere.
    pub(crate) fn record(
        &self,
        attempt: &Attempt<'_>,
        caller: &Caller,
        outcome: &Outcome,
    ) -> Result<()> {
        self.tell(&attempt.call(caller, outcome))
    }

    /// Writes down what became of an attempt that was begun in another way.
    pub(crate) fn settled_via(
        &self,
        caller: &Caller,
        attempt: &Attempt<'_>,
        address: &Sockaddr,
        settlement: Settlement,
    ) -> Result<()> {
        self.settle(
            caller,
            attempt.shown_fd().into(),
            address,
            settlement,
            attempt.way(),
        )
    }

    /// Writes down what becomes of an attempt of this thread that no call explains.
    pub(crate) fn unexplained(&self, address: &Sockaddr, settlement: Settlement) -> Result<()> {
        self.settle(&Caller::me(), Value::Null, address, settlement, "unknown")
    }

    /// Writes down what became of an attempt that this thread has begun by a plain call.
    pub(crate) fn settled(
        &self,
        socket: &impl AsRawFd,
        address: &Sockaddr,
        settlement: Settlement,
    ) -> Result<()> {
        self.settled_of(&Caller::me(), socket.as_raw_fd(), address, settlement)
    }

    /// Writes down what became of an attempt that this caller has begun by a plain call with this
    /// descriptor.
    pub(crate) fn settled_of(
        &self,
        caller: &Caller,
        fd: RawFd,
        address: &Sockaddr,
        settlement: Settlement,
    ) -> Result<()> {
        self.settle(caller, fd.into(), address, settlement, "syscall")
    }

    fn settle(
        &self,
        caller: &Caller,
        fd: Value,
        address: &Sockaddr,
        settlement: Settlement,
        via: &str,
    ) -> Result<()> {
        let mut keys = address.shown.clone();
        let (outcome, errno) = match settlement {
            Settlement::Established => ("established", Some(0)),
            Settlement::Failed(errno) => ("failed", Some(errno)),
            Settlement::Abandoned => ("abandoned", None),
            Settlement::AbandonedWith(errno) => ("abandoned", Some(errno)),
        };
        for (key, value) in [
            ("process.pid", caller.pid.into()),
            ("thread.id", caller.tid.into()),
            ("process.comm", caller.comm.as_str().into()),
            ("process.real_user.id", caller.uid.into()),
            ("fd", fd),
            ("via", via.into()),
            ("outcome", outcome.into()),
            ("errno", errno.into()),
            (
                "error.type",
                errno.filter(|&errno| errno != 0).map(errno_name).into(),
            ),
        ] {
            keys.insert(key.to_owned(), value);
        }
        self.truth.outcome(&keys)
    }
}
