//! What the kernel says of a loaded program, and whether it measures any.

use std::{
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
};

/// Where the kernel says whether it measures BPF programs.
const STATS_ENABLED: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The number behind a key such as `run_cnt:` in its descriptor's `/proc/self/fdinfo`; `None` where the
/// kernel does not say.
#[must_use]
pub fn number(program: &OwnedFd, key: &str) -> Option<u64> {
    let program = program.as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{program}")).ok()?;
    let value = info.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().parse().ok()
}

/// Whether the kernel measures how often programs run, and how long.
#[must_use]
pub fn is_measured() -> bool {
    fs::read_to_string(STATS_ENABLED).is_ok_and(|enabled| enabled.trim() != "0")
}
