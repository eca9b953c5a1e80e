//! Namespaces of a test's own: nothing it does reaches the machine's network.

use std::{
    ffi::c_ulong,
    io,
    net::Ipv6Addr,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::syscall;

/// Index of the loopback interface, in every network namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// A network namespace in which only the loopback interface is up.
pub(crate) fn enter_network() -> Result<()> {
    unshare(UnshareFlags::NEWNET).context("no network namespace of its own")?;
    let socket = syscall::udp()?;
    // SAFETY: all zero is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        // Signed or not, as the processor has it.
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING)?;
    ioctl(&socket, libc::SIOCSIFFLAGS, &mut request).context("the loopback does not come up")
}

/// Gives the loopback interface one more IPv6 address.
pub(crate) fn add_to_loopback(address: Ipv6Addr, prefix_length: u32) -> Result<()> {
    let socket = syscall::socket(libc::AF_INET6, libc::SOCK_DGRAM, 0)?;
    let mut request = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr {
            s6_addr: address.octets(),
        },
        ifr6_prefixlen: prefix_length,
        ifr6_ifindex: LOOPBACK.cast_signed(),
    };
    ioctl(&socket, libc::SIOCSIFADDR, &mut request).context("the loopback takes no address")
}

/// Leaves the namespaces that are shared with others.
pub(crate) fn unshare(flags: UnshareFlags) -> Result<()> {
    // SAFETY: callers share no file descriptors with other threads by UnshareFlags::FILES.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// `request` is what this operation takes.
fn ioctl<T>(socket: impl std::os::fd::AsFd, operation: c_ulong, request: &mut T) -> Result<()> {
    let socket: BorrowedFd<'_> = socket.as_fd();
    // SAFETY: the pointer is that of a live request.
    let result = unsafe {
        libc::syscall(
            libc::SYS_ioctl,
            socket.as_raw_fd(),
            operation,
            &raw mut *request,
        )
    };
    ensure!(result != -1, "{}", io::Error::last_os_error());
    Ok(())
}
