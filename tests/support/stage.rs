//! The observed program's side: it makes calls, and writes down what it saw of each.

use std::{
    borrow::Cow,
    env,
    fs::File,
    io::{ErrorKind, Write as _},
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    path::{Path, PathBuf},
    process,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    feature, namespace, option, scratch,
    sockaddr::Sockaddr,
    syscall,
    truth::{self, Call, Caller, errno_name},
};

/// Where a program plays: usable from all its threads and children.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: PathBuf,
    /// Tells programs of one case apart.
    pub(crate) role: String,
    truth: File,
    outcomes: File,
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
        let open = |name| {
            let path = directory.join(name);
            File::options().create(true).append(true).open(path)
        };
        Ok(Self {
            directory: directory.to_owned(),
            role: role.to_owned(),
            truth: open(truth::FILE)?,
            outcomes: open(truth::OUTCOMES)?,
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
        let transport = attempt.transport();
        let outcome = attempt.make();
        let mut call = attempt.call(&caller, &outcome);
        if let Some(transport) = transport {
            call.keys
                .insert("network.transport".to_owned(), transport.into());
        }
        if matches!(outcome.errno, 0 | libc::EINPROGRESS)
            && let Some(local) = attempt.local()
        {
            let (address, port) = (local.ip().to_string(), local.port());
            call.keys
                .insert("network.local.address".to_owned(), address.into());
            call.keys
                .insert("network.local.port".to_owned(), port.into());
        }
        self.write(truth::FILE, &call)?;
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

    /// Writes down a call that was made elsewhere.
    pub(crate) fn record(
        &self,
        attempt: &Attempt<'_>,
        caller: &Caller,
        outcome: &Outcome,
    ) -> Result<()> {
        self.write(truth::FILE, &attempt.call(caller, outcome))
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
            attempt.shown_fd.into(),
            address,
            settlement,
            attempt.via,
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

    /// The same, of an attempt that this caller has begun by a call with this descriptor.
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
        self.write(truth::OUTCOMES, &keys)
    }

    fn write(&self, file: &str, what: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        let file = if file == truth::FILE {
            &self.truth
        } else {
            &self.outcomes
        };
        // One write: lines of many processes must not mix.
        loop {
            match (&*file).write(&line) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => {
                    ensure!(written? == line.len(), "half a line of truth");
                    return Ok(());
                }
            }
        }
    }
}

impl Settlement {
    /// What `SO_ERROR` says.
    pub(crate) const fn of(errno: i32) -> Self {
        match errno {
            0 => Self::Established,
            errno => Self::Failed(errno),
        }
    }
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settlement {
    Established,
    Failed(i32),
    Abandoned,
}

/// A call to make, and what its event must show.
#[derive(Clone, Debug)]
pub(crate) struct Attempt<'a> {
    fd: u64,
    pointer: u64,
    addrlen: u64,
    shown: Cow<'a, Map<String, Value>>,
    /// `address.source`; without one, no key of the address.
    source: Option<&'static str>,
    entered: bool,
    /// Whether the arguments can be known.
    arguments: bool,
    /// `cgroup.id`, where the program knows it.
    cgroup: Option<u64>,
    /// How often a signal makes the kernel restart it.
    restarts: u32,
    /// Whether it never returns.
    killed: bool,
    /// How it is made.
    via: &'static str,
    /// The descriptor that its event must show.
    shown_fd: Option<i32>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(socket: &impl AsRawFd, address: &'a Sockaddr) -> Self {
        let readable = address.len() > 0;
        Self {
            fd: syscall::register(socket.as_raw_fd()),
            pointer: address.bytes.as_ptr().expose_provenance() as u64,
            addrlen: address.len() as u64,
            shown: Cow::Borrowed(&address.shown),
            source: readable.then_some("entry"),
            entered: true,
            arguments: true,
            cgroup: None,
            restarts: 0,
            killed: false,
            via: "syscall",
            shown_fd: Some(socket.as_raw_fd()),
        }
    }

    /// Whole registers, and an address that nobody can read.
    pub(crate) fn unreadable(fd: u64, pointer: u64, addrlen: u64) -> Self {
        Self {
            fd,
            pointer,
            addrlen,
            shown: Cow::default(),
            source: None,
            entered: true,
            arguments: true,
            cgroup: None,
            restarts: 0,
            killed: false,
            via: "syscall",
            shown_fd: Some(low_half(fd)),
        }
    }

    /// With other upper halves in the registers of both integers.
    pub(crate) fn with_upper_halves(self, fd: u32, addrlen: u32) -> Self {
        Self {
            fd: self.fd | u64::from(fd) << 32,
            addrlen: self.addrlen | u64::from(addrlen) << 32,
            ..self
        }
    }

    pub(crate) fn in_cgroup(self, id: u64) -> Self {
        Self {
            cgroup: Some(id),
            ..self
        }
    }

    /// The kernel restarts it so often before it returns.
    pub(crate) fn restarted(self, times: u32) -> Self {
        Self {
            restarts: times,
            ..self
        }
    }

    /// The thread ends before the call returns.
    pub(crate) fn killed(self) -> Self {
        Self {
            killed: true,
            ..self
        }
    }

    /// Made in another way.
    pub(crate) fn via(self, via: &'static str) -> Self {
        Self { via, ..self }
    }

    /// With a descriptor that nobody can know.
    pub(crate) fn without_fd(self) -> Self {
        Self {
            shown_fd: None,
            ..self
        }
    }

    /// The kernel's own copy is what is shown.
    pub(crate) fn of_the_kernel(self) -> Self {
        Self {
            source: self.source.map(|_| "kernel"),
            ..self
        }
    }

    /// The same bytes, elsewhere in memory.
    pub(crate) fn at(self, pointer: u64) -> Self {
        Self { pointer, ..self }
    }

    /// Not in memory at entry, so read when the call returns.
    pub(crate) fn read_at_exit(self) -> Self {
        Self {
            source: Some("exit"),
            ..self
        }
    }

    /// Never in memory while the kernel looks.
    pub(crate) fn unread(self) -> Self {
        Self {
            source: None,
            shown: Cow::default(),
            ..self
        }
    }

    /// Its entry cannot be observed, only its return. What is known then are the registers that the
    /// task has saved, where the kernel lets us read them.
    pub(crate) fn unentered(self) -> Self {
        let arguments = feature::REGISTERS.missing().is_none();
        let call = Self {
            entered: false,
            arguments,
            ..self
        };
        if arguments {
            call.read_at_exit()
        } else {
            call.unread()
        }
    }

    /// Makes the call, and nothing else: fit for a child that shares our memory.
    pub(crate) fn make(&self) -> Outcome {
        let (before, start) = (wall(), Instant::now());
        let errno = syscall::connect(self.fd, self.pointer, self.addrlen);
        Outcome {
            errno,
            before,
            took: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            after: wall(),
        }
    }

    /// What its event must show.
    fn call(&self, caller: &Caller, outcome: &Outcome) -> Call {
        Call {
            keys: self.keys(caller, outcome.errno),
            before: outcome.before,
            after: outcome.after,
            took: outcome.took,
            entered: self.entered,
        }
    }

    /// What the socket is, as it says itself; `None` where it is none, or of no such kind.
    fn transport(&self) -> Option<&'static str> {
        if !self.arguments {
            return None;
        }
        let option = |option| option::get::<i32>(low_half(self.fd), libc::SOL_SOCKET, option).ok();
        let family = option(libc::SO_DOMAIN)?;
        let kind = option(libc::SO_TYPE)?;
        let protocol = option(libc::SO_PROTOCOL)?;
        match (family, kind, protocol) {
            (libc::AF_UNIX, ..) => Some("unix"),
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_RAW, _) => Some("raw"),
            (libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_TCP) => Some("tcp"),
            (libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_UDP) => Some("udp"),
            (libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_SCTP) => Some("sctp"),
            (libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_MPTCP) => Some("mptcp"),
            (libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_UDPLITE) => Some("udplite"),
            (libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6) => {
                Some("icmp")
            }
            _ => None,
        }
    }

    /// The internet socket's own address, if it has one.
    fn local(&self) -> Option<SocketAddr> {
        if !self.arguments {
            return None;
        }
        syscall::local(low_half(self.fd)).filter(|local| local.port() != 0)
    }

    fn keys(&self, caller: &Caller, errno: i32) -> Map<String, Value> {
        let mut keys = if self.source.is_some() {
            self.shown.as_ref().clone()
        } else {
            Map::new()
        };
        let mut set = |key: &str, value: Value| {
            keys.insert(key.to_owned(), value);
        };
        set("event", "connect".into());
        set("process.pid", caller.pid.into());
        set("thread.id", caller.tid.into());
        set("process.comm", caller.comm.as_str().into());
        set("process.real_user.id", caller.uid.into());
        if self.arguments {
            if let Some(fd) = self.shown_fd {
                set("fd", fd.into());
            }
            set("addrlen", low_half(self.addrlen).into());
        }
        if let Some(source) = self.source {
            set("address.source", source.into());
        }
        set("errno", errno.into());
        if errno != 0 {
            set("error.type", errno_name(errno).into());
        }
        if self.restarts != 0 {
            set("restarts", self.restarts.into());
        }
        if self.killed {
            set("killed", true.into());
        }
        if let Some(id) = self.cgroup {
            set("cgroup.id", id.into());
        }
        set("via", self.via.into());
        keys
    }
}

impl Outcome {
    /// Of a call that was made between these moments and never returned: `ERESTARTSYS` is the last
    /// that the kernel knew of it.
    pub(crate) fn never_returned(before: SystemTime, start: Instant) -> Self {
        Self::made_since(before, start, truth::ERESTARTSYS)
    }

    /// Of a call that was made between these moments.
    pub(crate) fn made_since(before: SystemTime, start: Instant, errno: i32) -> Self {
        Self {
            errno,
            before: nanoseconds(before),
            after: wall(),
            took: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) errno: i32,
    before: i64,
    after: i64,
    took: u64,
}

/// The argument as the kernel takes it: an `int`.
#[expect(clippy::cast_possible_truncation, reason = "that is the point")]
const fn low_half(register: u64) -> i32 {
    (register as u32).cast_signed()
}

/// The wall's time in ns.
fn wall() -> i64 {
    nanoseconds(SystemTime::now())
}

fn nanoseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}
