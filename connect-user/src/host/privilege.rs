//! What this process may do, and where its numbers hold.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use rustix::thread::{CapabilitySet, capabilities};

/// Inode of the initial pid namespace: `PROC_PID_INIT_INO` in `include/linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// Inode of the initial user namespace: `PROC_USER_INIT_INO` in `include/linux/proc_ns.h`.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// The capabilities in effect; `None` where the kernel does not say which.
#[must_use]
pub fn effective() -> Option<CapabilitySet> {
    capabilities(None).ok().map(|sets| sets.effective)
}

/// Whether a process has one id, here and in the kernel. Where that cannot be known, it is taken for true.
#[must_use]
pub fn in_initial_pid_namespace() -> bool {
    namespace_inode("pid").is_none_or(|inode| inode == INITIAL_PID_NAMESPACE)
}

/// Whether capabilities reach as far as the kernel. Where that cannot be known, it is
/// taken for true.
#[must_use]
pub fn in_initial_user_namespace() -> bool {
    namespace_inode("user").is_none_or(|inode| inode == INITIAL_USER_NAMESPACE)
}

/// The kernel's lockdown modes, the one in force in brackets: `none [integrity] confidentiality`; `None`
/// where the kernel has none or securityfs is not mounted.
#[must_use]
pub fn lockdown() -> Option<String> {
    fs::read_to_string("/sys/kernel/security/lockdown").ok()
}

fn namespace_inode(kind: &str) -> Option<u64> {
    fs::metadata(Path::new("/proc/self/ns").join(kind))
        .ok()
        .map(|metadata| metadata.ino())
}
