//! Processes and threads that run.

use std::fs;

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

/// Whether there is a process or thread with this id.
#[must_use]
pub fn is_there(id: u32) -> bool {
    Pid::from_raw(id.cast_signed()).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// The process that a thread belongs to, where that can be known.
#[must_use]
pub fn of_thread(tid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}
