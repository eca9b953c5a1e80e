//! A call that the observed program makes, what its event must show, and what becomes of it.

use std::{
    net::SocketAddr,
    os::fd::AsRawFd,
    time::{Instant, SystemTime},
};

use serde_json::{Map, Value};

use super::{
    feature, option,
    sockaddr::Sockaddr,
    syscall,
    truth::{Call, Caller, ERESTARTSYS, errno_name, nanoseconds, wall},
};

/// A call to make, and what its event must show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    fd: u64,
    pointer: u64,
    addrlen: u64,
    /// Keys of its address; without one, nobody can read it.
    shown: Option<&'a Map<String, Value>>,
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
            shown: Some(&address.shown),
            source: readable.then_some("entry"),
            ..Self::unreadable(
                syscall::register(socket.as_raw_fd()),
                address.bytes.as_ptr().expose_provenance() as u64,
                address.len() as u64,
            )
        }
    }

    /// Whole registers, and an address that nobody can read.
    pub(crate) const fn unreadable(fd: u64, pointer: u64, addrlen: u64) -> Self {
        Self {
            fd,
            pointer,
            addrlen,
            shown: None,
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

    pub(crate) const fn in_cgroup(self, id: u64) -> Self {
        Self {
            cgroup: Some(id),
            ..self
        }
    }

    /// The kernel restarts it so often before it returns.
    pub(crate) const fn restarted(self, times: u32) -> Self {
        Self {
            restarts: times,
            ..self
        }
    }

    /// The thread ends before the call returns.
    pub(crate) const fn killed(self) -> Self {
        Self {
            killed: true,
            ..self
        }
    }

    /// Made in another way.
    pub(crate) const fn via(self, via: &'static str) -> Self {
        Self { via, ..self }
    }

    /// With a descriptor that nobody can know.
    pub(crate) const fn without_fd(self) -> Self {
        Self {
            shown_fd: None,
            ..self
        }
    }

    /// Its arguments are in memory that nobody can read.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn without_arguments(self) -> Self {
        Self {
            arguments: false,
            ..self.unread()
        }
    }

    /// The kernel's own copy is what is shown.
    pub(crate) fn of_the_kernel(self) -> Self {
        Self {
            source: self.source.map(|_| "kernel"),
            ..self
        }
    }

    /// Its address stands elsewhere in memory.
    pub(crate) const fn at(self, pointer: u64) -> Self {
        Self { pointer, ..self }
    }

    /// Not in memory at entry, so read when the call returns.
    pub(crate) const fn read_at_exit(self) -> Self {
        Self {
            source: Some("exit"),
            ..self
        }
    }

    /// Never in memory while the kernel looks.
    pub(crate) const fn unread(self) -> Self {
        Self {
            source: None,
            shown: None,
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

    /// The three registers that connect(2) takes.
    pub(crate) const fn registers(&self) -> (u64, u64, u64) {
        (self.fd, self.pointer, self.addrlen)
    }

    /// The descriptor that its event must show.
    pub(crate) const fn shown_fd(&self) -> Option<i32> {
        self.shown_fd
    }

    /// The way into connect that its event must show.
    pub(crate) const fn way(&self) -> &'static str {
        self.via
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
    pub(crate) fn call(&self, caller: &Caller, outcome: &Outcome) -> Call {
        Call {
            keys: self.keys(caller, outcome.errno),
            before: outcome.before,
            after: outcome.after,
            took: outcome.took,
            entered: self.entered,
            window: None,
        }
    }

    /// What the socket is, as it says itself; `None` where it is none, or of no such kind.
    pub(crate) fn transport(&self) -> Option<&'static str> {
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

    /// What kind of socket it is, as it says itself; `None` where it is none.
    pub(crate) fn socket_type(&self) -> Option<&'static str> {
        if !self.arguments {
            return None;
        }
        match option::get(low_half(self.fd), libc::SOL_SOCKET, libc::SO_TYPE).ok()? {
            libc::SOCK_STREAM => Some("stream"),
            libc::SOCK_DGRAM => Some("dgram"),
            libc::SOCK_RAW => Some("raw"),
            libc::SOCK_RDM => Some("rdm"),
            libc::SOCK_SEQPACKET => Some("seqpacket"),
            _ => None,
        }
    }

    /// The internet socket's own address, if it has one.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        if !self.arguments {
            return None;
        }
        syscall::local(low_half(self.fd)).filter(|local| local.port() != 0)
    }

    /// Every key of its event that is the same whatever the kernel made of it.
    pub(crate) fn keys(&self, caller: &Caller, errno: i32) -> Map<String, Value> {
        let mut keys = if self.source.is_some() {
            self.shown.cloned().unwrap_or_default()
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

/// What became of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) errno: i32,
    before: i64,
    after: i64,
    took: u64,
}

impl Outcome {
    /// Of a call that was made between these moments and never returned: `ERESTARTSYS` is the last
    /// that the kernel knew of it.
    pub(crate) fn never_returned(before: SystemTime, start: Instant) -> Self {
        Self::made_since(before, start, ERESTARTSYS)
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

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settlement {
    Established,
    Failed(i32),
    Abandoned,
    /// While an error had come back that nobody has read.
    AbandonedWith(i32),
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

/// The argument as the kernel takes it: an `int`.
#[expect(clippy::cast_possible_truncation, reason = "that is the point")]
const fn low_half(register: u64) -> i32 {
    (register as u32).cast_signed()
}
