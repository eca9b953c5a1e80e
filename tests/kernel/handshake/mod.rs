//! What becomes of attempts that their connect call leaves unsettled.
//!
//! The truth is what the application finds in `SO_ERROR`, or what it has done to its own socket.

pub(crate) mod abandoned;
pub(crate) mod again;
pub(crate) mod ambiguous;
pub(crate) mod identity;
pub(crate) mod kinds;
pub(crate) mod many;
pub(crate) mod options;
pub(crate) mod programs;
pub(crate) mod settled;
pub(crate) mod soft;
pub(crate) mod superseded;

use std::{
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd},
};

use anyhow::{Result, ensure};
use libc::{EINPROGRESS, SO_ERROR, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET};
use rustix::event::{PollFd, PollFlags, poll};

use crate::support::{
    attempt::Settlement,
    network::{SILENT, route_to_silence},
    option,
    sockaddr::{Sockaddr, inet, loopback},
    stage::Stage,
    syscall::{listen, socket},
};

/// A TCP socket that does not block.
fn not_blocking() -> Result<TcpStream> {
    let socket = socket(libc::AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
    Ok(socket.into())
}

/// Begins an attempt that its call leaves unsettled.
fn begin(stage: &Stage, address: &Sockaddr) -> Result<TcpStream> {
    let socket = not_blocking()?;
    stage.expect(EINPROGRESS, &socket, address)?;
    Ok(socket)
}

/// Waits until an attempt is settled, and returns what `SO_ERROR` says of it.
fn wait(socket: &(impl AsFd + AsRawFd)) -> Result<i32> {
    poll(&mut [PollFd::new(socket, PollFlags::OUT)], None)?;
    option::get(socket.as_raw_fd(), SOL_SOCKET, SO_ERROR)
}

/// Waits until an attempt of this thread is settled, which must be so, and writes it down.
pub(super) fn conclude(
    stage: &Stage,
    socket: &(impl AsFd + AsRawFd),
    address: &Sockaddr,
    errno: i32,
) -> Result<()> {
    let found = wait(socket)?;
    ensure!(found == errno, "SO_ERROR is {found}, not {errno}");
    stage.settled(socket, address, Settlement::of(errno))
}

/// Begins an attempt that nobody answers, once per network namespace.
fn unanswered(stage: &Stage) -> Result<(TcpStream, Sockaddr)> {
    route_to_silence()?;
    let address = inet(SILENT, 80);
    let socket = begin(stage, &address)?;
    Ok((socket, address))
}

/// Somebody who listens on the loopback, with room for many.
fn listener() -> Result<(TcpListener, Sockaddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listen(listener.as_fd(), 4096)?;
    let address = loopback(listener.local_addr()?.port());
    Ok((listener, address))
}
