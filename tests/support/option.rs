//! Options of sockets and of the network that they are in.

use std::{
    fs, io,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

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

/// getsockopt(2). `T` is what the option gives.
pub(crate) fn get<T: Default>(socket: RawFd, level: i32, option: i32) -> Result<T> {
    let mut value = T::default();
    let mut size = libc::socklen_t::try_from(size_of::<T>())?;
    let pointer = (&raw mut value).cast();
    // SAFETY: pointer and size are those of the value, of which any bytes are valid: callers ask for
    // integers.
    let result = unsafe { libc::getsockopt(socket, level, option, pointer, &raw mut size) };
    ensure!(result == 0, "no option: {}", io::Error::last_os_error());
    Ok(value)
}

/// `SO_SNDTIMEO`: no longer than this waits a call that sends, or connects.
pub(crate) fn limit_waiting(socket: &impl AsRawFd, time: Duration) -> Result<()> {
    let time = libc::timeval {
        tv_sec: time.as_secs().try_into()?,
        tv_usec: time.subsec_micros().into(),
    };
    set(socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &time)
}

/// sysctl(8): `name` is a path below `/proc/sys/net`, of this process's own network.
pub(crate) fn sysctl(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).with_context(|| format!("{path} does not take {value}"))
}
