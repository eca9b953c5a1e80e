//! Peers that let a connect wait.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};

use super::truth::{Scene, Target};
use crate::support::{
    option::set,
    sockaddr::{Sockaddr, loopback, unix_abstract},
    stage::Stage,
    syscall::{accept, bind, listen, tcp, unix_stream},
};

/// A unix listener whose backlog is full.
#[derive(Debug)]
pub(super) struct Full {
    pub(super) address: Sockaddr,
    /// Until it is closed.
    listener: Mutex<Option<OwnedFd>>,
    /// Whom to call with, made beforehand, as a handler or a child uses it.
    pub(super) socket: OwnedFd,
    /// Who fills the backlog.
    _waiting: OwnedFd,
}

impl Full {
    /// `name` is its own in this network namespace. It costs a call, which is written down.
    pub(super) fn new(scene: &Scene, name: &str) -> Result<Self> {
        Self::told_to(&scene.stage, name)
    }

    /// The same, but another stage writes down what it costs.
    pub(super) fn told_to(stage: &Stage, name: &str) -> Result<Self> {
        let address = unix_abstract(name.as_bytes());
        let listener = unix_stream()?;
        bind(listener.as_fd(), &address.bytes)?;
        listen(listener.as_fd(), 0)?;
        let waiting = unix_stream()?;
        stage.expect(0, &waiting, &address)?;
        Ok(Self {
            address,
            listener: Mutex::new(Some(listener)),
            socket: unix_stream()?,
            _waiting: waiting,
        })
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target::new(&self.socket, &self.address)
    }

    /// Lets one waiting call succeed.
    pub(super) fn let_in(&self) -> Result<()> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        accept(listener.as_ref().context("it is closed")?.as_fd())?;
        Ok(())
    }

    /// Lets every waiting call fail with ECONNREFUSED, if no other process has the listener.
    pub(super) fn close(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        *listener = None;
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
