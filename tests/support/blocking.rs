//! Calls that block, until the test lets them go on.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::{Mutex, PoisonError, mpsc::channel},
    thread,
};

use anyhow::{Context as _, Result};
use rustix::{
    process::{Pid, getpid},
    thread::gettid,
};

use super::{
    child::{await_blocked, join},
    sockaddr::{Sockaddr, unix_abstract},
    stage::Stage,
    syscall::{accept, bind, listen, unix_stream},
};

/// A unix listener whose backlog is full: the next call to it blocks.
#[derive(Debug)]
pub(crate) struct FullListener {
    pub(crate) address: Sockaddr,
    /// Until it is closed.
    listener: Mutex<Option<OwnedFd>>,
    /// Who fills the backlog.
    _waiting: OwnedFd,
}

impl FullListener {
    /// `name` is its own in this network namespace. It costs one call.
    pub(crate) fn new(stage: &Stage, name: &str) -> Result<Self> {
        let address = unix_abstract(name.as_bytes());
        let listener = unix_stream()?;
        bind(listener.as_fd(), &address.bytes)?;
        listen(listener.as_fd(), 0)?;
        let waiting = unix_stream()?;
        stage.expect(0, &waiting, &address)?;
        Ok(Self {
            address,
            listener: Mutex::new(Some(listener)),
            _waiting: waiting,
        })
    }

    /// Lets one blocked call succeed.
    pub(crate) fn make_room(&self) -> Result<()> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        accept(listener.as_ref().context("it is closed")?.as_fd())?;
        Ok(())
    }

    /// Lets every blocked call fail with ECONNREFUSED, if no other process has the listener.
    pub(crate) fn close(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        *listener = None;
    }

    /// Makes a call in a new thread, on a new socket, does something while it blocks, and then lets
    /// it succeed, if it is still there.
    pub(crate) fn block(
        &self,
        call: impl FnOnce(&OwnedFd) -> Result<()> + Send,
        meanwhile: impl FnOnce(Pid) -> Result<()>,
    ) -> Result<()> {
        let (tell, told) = channel();
        let socket = unix_stream()?;
        thread::scope(|scope| {
            let blocked = scope.spawn(move || {
                tell.send(gettid())?;
                call(&socket)
            });
            let tid = told.recv()?;
            await_blocked(getpid(), tid)?;
            let done = meanwhile(tid);
            // Also where that has failed: nobody may wait for ever.
            self.make_room()?;
            join(blocked).and(done)
        })
    }
}
