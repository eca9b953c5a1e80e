//! tracefs: which tracepoints the kernel has, and where a field lies in the context of one.
//!
//! Layouts that differ between kernels are read (`events/CATEGORY/NAME/format`), never assumed.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::{
    fs::statfs,
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

/// `TRACEFS_MAGIC` in the kernel's `include/uapi/linux/magic.h`.
const TRACEFS_MAGIC: u64 = 0x7472_6163;

/// Where it is mounted if it has to be.
pub const MOUNT_POINT: &str = "/sys/kernel/tracing";

/// Where it may be mounted, in order of preference; the second came before kernel 4.1.
const PATHS: [&str; 2] = [MOUNT_POINT, "/sys/kernel/debug/tracing"];

/// A tracepoint of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracepoint {
    /// The folder it stands in: `syscalls`, `sock`, ...
    pub category: &'static str,
    /// Its name.
    pub name: &'static str,
}

impl fmt::Display for Tracepoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { category, name } = self;
        write!(f, "{category}:{name}")
    }
}

/// A mounted tracefs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracefs(PathBuf);

impl Tracefs {
    /// The one that is mounted.
    #[must_use]
    pub fn mounted() -> Option<Self> {
        PATHS
            .into_iter()
            .find(|path| {
                statfs(*path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(TRACEFS_MAGIC))
            })
            .map(|path| Self(path.into()))
    }

    /// From here on, nobody else sees what this thread mounts: to look what comes of it, and to change nothing
    /// on the machine.
    ///
    /// # Errors
    ///
    /// As unshare(2) and mount(2) have them.
    pub fn enter_apart() -> io::Result<()> {
        #[expect(unsafe_code, reason = "rustix allows no unshare without it")]
        // SAFETY: this separates mounts and the working folder from those of other threads, and no
        // descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
        mount_change(
            "/",
            MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
        )?;
        Ok(())
    }

    /// Mounts it on [`MOUNT_POINT`].
    ///
    /// # Errors
    ///
    /// As mount(2) has them.
    pub fn mount() -> io::Result<Self> {
        let flags =
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
        mount("tracefs", MOUNT_POINT, "tracefs", flags, None)?;
        Ok(Self(MOUNT_POINT.into()))
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes sure that the kernel has a tracepoint and lets us attach to it.
    ///
    /// # Errors
    ///
    /// Its file cannot be read: which one, and why.
    pub fn require(&self, tracepoint: Tracepoint) -> Result<(), (PathBuf, io::Error)> {
        let path = self.id(tracepoint);
        match fs::read(&path) {
            Ok(_) => Ok(()),
            Err(error) => Err((path, error)),
        }
    }

    /// Whether the kernel has a tracepoint.
    ///
    /// # Errors
    ///
    /// tracefs cannot be read.
    pub fn has(&self, tracepoint: Tracepoint) -> io::Result<bool> {
        self.id(tracepoint).try_exists()
    }

    /// Offset of a field in the context of a tracepoint, in bytes.
    ///
    /// # Errors
    ///
    /// The format cannot be read, or has no such field.
    pub fn offset(&self, tracepoint: Tracepoint, field: &str) -> Result<u32> {
        let path = self.folder(tracepoint).join("format");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        parse(&text, field).with_context(|| format!("tracepoint {tracepoint} has no field {field}"))
    }

    fn id(&self, tracepoint: Tracepoint) -> PathBuf {
        self.folder(tracepoint).join("id")
    }

    fn folder(&self, Tracepoint { category, name }: Tracepoint) -> PathBuf {
        self.0.join("events").join(category).join(name)
    }
}

/// `\tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;`
fn parse(format: &str, field: &str) -> Option<u32> {
    format.lines().find_map(|line| {
        let mut parts = line.trim().split(';').map(str::trim);
        let declaration = parts.next()?.strip_prefix("field:")?;
        (declaration.split_whitespace().next_back()? == field)
            .then(|| parts.next()?.strip_prefix("offset:")?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    const FORK_5_10: &str = "name: sched_process_fork\nID: 300\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:char parent_comm[16];\toffset:8;\tsize:16;\tsigned:1;\n\
        \tfield:pid_t parent_pid;\toffset:24;\tsize:4;\tsigned:1;\n\
        \tfield:char child_comm[16];\toffset:28;\tsize:16;\tsigned:1;\n\
        \tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;\n";
    const FORK_6_18: &str = "\tfield:__data_loc char[] child_comm;\toffset:16;\tsize:4;\tsigned:0;\n\
        \tfield:pid_t child_pid;\toffset:20;\tsize:4;\tsigned:1;\n";

    #[test]
    fn offset_is_read_not_assumed() {
        assert_eq!(parse(FORK_5_10, "child_pid"), Some(44));
        assert_eq!(parse(FORK_6_18, "child_pid"), Some(20));
    }

    #[test]
    fn strange_formats_have_no_offset() {
        for text in [
            "",
            "field:",
            "field:x;",
            "field:pid_t child_pid;offset:-1;",
            "field:pid_t child_pid;size:4",
        ] {
            assert_eq!(parse(text, "child_pid"), None, "{text:?}");
        }
    }
}
