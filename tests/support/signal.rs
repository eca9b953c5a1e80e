//! Signals to the observed program's own threads.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Result, ensure};
use rustix::process::{Pid, getpid};

use super::wait;

/// How many handlers of [`count`] have begun.
static COUNTED: AtomicU32 = AtomicU32::new(0);

/// A handler that only counts.
pub(crate) extern "C" fn count(_signal: i32) {
    COUNTED.fetch_add(1, Ordering::SeqCst);
}

/// Handles a signal from now on. `handler` may do only what signal-safety(7) allows.
pub(crate) fn handle(signal: i32, flags: i32, handler: extern "C" fn(i32)) -> Result<()> {
    // SAFETY: all zero is a valid action: an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: the action is complete, and nobody asks for the old one.
    let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    ensure!(result == 0, "no handler: {}", io::Error::last_os_error());
    Ok(())
}

/// Sends a signal to one thread of this process.
pub(crate) fn send(tid: Pid, signal: i32) -> Result<()> {
    let (pid, tid) = (getpid().as_raw_nonzero().get(), tid.as_raw_nonzero().get());
    // SAFETY: takes integers.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
    ensure!(result == 0, "no signal: {}", io::Error::last_os_error());
    Ok(())
}

/// Sends a signal that [`count`] handles, and waits until it does.
pub(crate) fn send_counted(tid: Pid, signal: i32) -> Result<()> {
    let before = COUNTED.load(Ordering::SeqCst);
    send(tid, signal)?;
    wait::until_true("a handler to run", || {
        Ok(COUNTED.load(Ordering::SeqCst) != before)
    })
}
