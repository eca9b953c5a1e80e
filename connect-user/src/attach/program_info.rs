//! What the kernel tells of a loaded program: its descriptor's `/proc/self/fdinfo`.

use std::{
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
};

/// The number behind a key such as `run_cnt:`; `None` where the kernel does not tell.
#[must_use]
pub fn number(program: &OwnedFd, key: &str) -> Option<u64> {
    let program = program.as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{program}")).ok()?;
    let value = info.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().parse().ok()
}
