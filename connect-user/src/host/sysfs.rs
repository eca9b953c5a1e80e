//! Whether what should be in `/sys` can be seen there.

use std::path::{Path, PathBuf};

use rustix::fs::statfs;

/// `SYSFS_MAGIC` in the kernel's `include/uapi/linux/magic.h`.
const SYSFS_MAGIC: u64 = 0x6265_6572;
/// `SECURITYFS_MAGIC`, in the same file.
const SECURITYFS_MAGIC: u64 = 0x7363_6673;

/// Where it belongs.
const SYS: &str = "/sys";

/// Why something in `/sys` is not seen, though the kernel may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// sysfs is not mounted.
    NotMounted,
    /// Another file system is mounted here.
    Covered(PathBuf),
}

/// What hides this path; nothing, if the kernel shows all that it has there.
#[must_use]
pub fn hidden(path: &Path) -> Option<Hidden> {
    if !is_of(Path::new(SYS), SYSFS_MAGIC) {
        return Some(Hidden::NotMounted);
    }
    let ancestors: Vec<_> = path.ancestors().collect();
    ancestors
        .into_iter()
        .rev()
        .filter(|ancestor| ancestor.starts_with(SYS) && ancestor.exists())
        .find(|ancestor| !is_of(ancestor, SYSFS_MAGIC))
        .map(|ancestor| Hidden::Covered(ancestor.to_owned()))
}

/// Whether securityfs is mounted here.
#[must_use]
pub fn is_securityfs(path: &Path) -> bool {
    is_of(path, SECURITYFS_MAGIC)
}

fn is_of(path: &Path, magic: u64) -> bool {
    statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(magic))
}
