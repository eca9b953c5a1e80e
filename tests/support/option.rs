//! Options of sockets and of the network that they are in.

use std::{fs, io, os::fd::AsRawFd};

use anyhow::{Context as _, Result, ensure};

/// setsockopt(2). `T` is what the option takes.
pub(crate) fn set<T>(socket: &impl AsRawFd, level: i32, option: i32, value: &T) -> Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>())?;
    let pointer = (&raw const *value).cast();
    // SAFETY: pointer and size are those of the value.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, pointer, size) };
    ensure!(result == 0, "no option: {}", io::Error::last_os_error());
    Ok(())
}

/// sysctl(8): `name` is a path below `/proc/sys/net`, of this process's own network.
pub(crate) fn sysctl(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).with_context(|| format!("{path} does not take {value}"))
}
