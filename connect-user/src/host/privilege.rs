//! What this process may do, and where its numbers hold.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

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

/// Whether a process has one id, here and in the kernel.
///
/// # Errors
///
/// `/proc` does not say.
pub fn in_initial_pid_namespace() -> io::Result<bool> {
    namespace_inode("pid").map(|inode| inode == INITIAL_PID_NAMESPACE)
}

/// Whether capabilities reach as far as the kernel.
///
/// # Errors
///
/// `/proc` does not say.
pub fn in_initial_user_namespace() -> io::Result<bool> {
    namespace_inode("user").map(|inode| inode == INITIAL_USER_NAMESPACE)
}

/// The kernel's lockdown modes, the one in force in brackets: `none [integrity] confidentiality`.
///
/// # Errors
///
/// The kernel has none, or securityfs is not mounted or not to be read.
pub fn lockdown() -> io::Result<String> {
    fs::read_to_string("/sys/kernel/security/lockdown")
}

/// The inode of a namespace of this process. Two namespaces of a kind are the same if their inodes are.
pub(super) fn namespace_inode(kind: &str) -> io::Result<u64> {
    fs::metadata(Path::new("/proc/self/ns").join(kind)).map(|metadata| metadata.ino())
}
