//! Peers that let a connect wait.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Result;

use super::truth::{Scene, Target};
use crate::support::{
    blocking::FullListener,
    option::set,
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::{bind, listen, tcp, unix_stream},
};

/// A listener whose backlog is full, and a socket to call it with, made beforehand, as a handler or a
/// child uses it.
#[derive(Debug)]
pub(super) struct Full {
    listener: FullListener,
    pub(super) socket: OwnedFd,
}

impl Full {
    /// `name` is its own in this network namespace. It costs a call, which is written down.
    pub(super) fn new(scene: &Scene, name: &str) -> Result<Self> {
        Self::told_to(&scene.stage, name)
    }

    /// Makes one for which another stage writes down what it costs.
    pub(super) fn told_to(stage: &Stage, name: &str) -> Result<Self> {
        Ok(Self {
            listener: FullListener::new(stage, name)?,
            socket: unix_stream()?,
        })
    }

    pub(super) const fn address(&self) -> &Sockaddr {
        &self.listener.address
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target::new(&self.socket, self.address())
    }

    /// Lets one waiting call succeed.
    pub(super) fn let_in(&self) -> Result<()> {
        self.listener.make_room()
    }

    /// Lets every waiting call fail with ECONNREFUSED, if no other process has the listener.
    pub(super) fn close(&self) {
        self.listener.close();
    }
}

/// A TCP listener that a packet filter keeps from hearing anybody: what is sent to it is swallowed.
#[derive(Debug)]
pub(crate) struct Deaf {
    pub(crate) address: Sockaddr,
    listener: OwnedFd,
}

impl Deaf {
    pub(crate) fn new(port: u16) -> Result<Self> {
        let address = loopback(port);
        let listener = tcp()?;
        bind(listener.as_fd(), &address.bytes)?;
        let mut nothing = libc::sock_filter {
            code: u16::try_from(libc::BPF_RET | libc::BPF_K)?,
            jt: 0,
            jf: 0,
            k: 0,
        };
        let program = libc::sock_fprog {
            len: 1,
            filter: &raw mut nothing,
        };
        set(
            &listener,
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            &program,
        )?;
        listen(listener.as_fd(), 1)?;
        Ok(Self { address, listener })
    }

    /// Lets waiting calls succeed when the kernel tries again, which is within a second at first.
    pub(crate) fn hear(&self) -> Result<()> {
        set(&self.listener, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0)
    }
}

/// Lets the kernel give up after two tries, which takes three seconds.
pub(super) fn set_few_tries(socket: &OwnedFd) -> Result<()> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_SYNCNT, &1)
}
