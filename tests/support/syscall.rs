//! System calls as a program makes them, without anything in between that could change them.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use anyhow::{Context as _, Result, ensure};

use super::wait;

/// connect(2), with all 64 bits of each register. Returns the errno, or 0.
pub(crate) fn connect(fd: u64, pointer: u64, addrlen: u64) -> i32 {
    // SAFETY: connect only reads at `pointer`, and the kernel checks it.
    let result = unsafe { libc::syscall(libc::SYS_connect, fd, pointer, addrlen) };
    if result == 0 {
        0
    } else {
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }
}

/// A descriptor as the register holds it.
pub(crate) const fn register(fd: RawFd) -> u64 {
    fd.cast_unsigned() as u64
}

/// socket(2), closed on exec.
pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes and returns integers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    owned(fd)
}

pub(crate) fn tcp() -> Result<OwnedFd> {
    socket(libc::AF_INET, libc::SOCK_STREAM, 0).context("no TCP socket")
}

pub(crate) fn udp() -> Result<OwnedFd> {
    socket(libc::AF_INET, libc::SOCK_DGRAM, 0).context("no UDP socket")
}

pub(crate) fn unix_stream() -> Result<OwnedFd> {
    socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).context("no unix socket")
}

/// bind(2)
pub(crate) fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    let length = libc::socklen_t::try_from(address.len())?;
    // SAFETY: pointer and length are of one slice.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    ensure!(result == 0, "cannot bind: {}", io::Error::last_os_error());
    Ok(())
}

/// listen(2)
pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: i32) -> Result<()> {
    // SAFETY: takes integers.
    let result = unsafe { libc::listen(socket.as_raw_fd(), backlog) };
    ensure!(result == 0, "cannot listen: {}", io::Error::last_os_error());
    Ok(())
}

/// accept(2)
pub(crate) fn accept(socket: BorrowedFd<'_>) -> Result<OwnedFd> {
    let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both pointers may be null.
    let fd = unsafe { libc::accept(socket.as_raw_fd(), address, length) };
    owned(fd).context("cannot accept")
}

/// What a call that returns a new descriptor has returned.
fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// sendto(2); returns the errno.
pub(crate) fn send_to(fd: RawFd, bytes: &[u8], flags: i32, address: &[u8]) -> i32 {
    let length = libc::socklen_t::try_from(address.len()).unwrap_or(0);
    // SAFETY: pointers and lengths are of slices.
    let sent = unsafe {
        libc::sendto(
            fd,
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
            address.as_ptr().cast(),
            length,
        )
    };
    if sent >= 0 {
        0
    } else {
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }
}

/// getpeername(2) of an internet socket; `None` for any other.
pub(crate) fn peer(fd: RawFd) -> Option<SocketAddr> {
    // SAFETY: it is only asked for its peer, and stays the caller's.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::net::getpeername(socket).ok()??.try_into().ok()
}

/// Waits until a connection that was begun is there. On the loopback it is already, unless the machine is very
/// busy; closed before, it never will be.
pub(crate) fn await_peer(socket: &impl AsRawFd) -> Result<()> {
    wait::until_true("a connection", || Ok(peer(socket.as_raw_fd()).is_some()))
}

/// getsockname(2) of an internet socket; `None` for any other.
pub(crate) fn local(fd: RawFd) -> Option<SocketAddr> {
    if fd < 0 {
        return None;
    }
    // SAFETY: it is only asked for its name, and stays the caller's.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::net::getsockname(socket).ok()?.try_into().ok()
}
