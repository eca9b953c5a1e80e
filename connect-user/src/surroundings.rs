//! Where the agent runs: its namespaces, and what of the kernel it can see from there.

use std::{io, path::Path};

use aya::util::nr_cpus;

use crate::{
    host::{
        cgroup::{Cgroups, cgroups},
        layout::{self, Layout},
        privilege,
        sysfs::{self, Hidden},
        time_namespace,
    },
    requirement::Requirement,
};

/// What to do where `/proc` does not say.
const MOUNT_PROC: &str = "mount /proc, and check again: mount -t proc proc /proc";
/// What to do where something in `/sys` is not seen.
const MOUNT_SYSFS: &str = "mount it: mount -t sysfs sysfs /sys";

/// What to do so that this path in `/sys` is seen, and why it is not; nothing, if the kernel has no more
/// than what is seen there.
#[must_use]
pub fn hidden(path: &Path) -> Option<(String, String)> {
    sysfs::hidden(path).map(|hidden| match hidden {
        Hidden::NotMounted => ("/sys is not mounted".to_owned(), MOUNT_SYSFS.to_owned()),
        Hidden::Covered(place) => {
            let place = place.display();
            (
                format!("hidden by what is mounted on {place}"),
                format!("unmount {place}, or start outside of the container"),
            )
        }
    })
}

/// Whether capabilities reach as far as BPF.
///
/// # Errors
///
/// They do not; or nobody can tell.
pub fn user_namespace(name: &'static str) -> Result<(), Requirement> {
    match privilege::in_initial_user_namespace() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Requirement::missing(
            name,
            "in a user namespace, whose capabilities do not reach BPF",
            "run as root outside of it",
        )),
        Err(error) => Err(Requirement::unknown(
            name,
            format!(
                "those of a user namespace do not reach BPF, and which this is, /proc does not say: {error}"
            ),
            MOUNT_PROC,
        )),
    }
}

/// Where process ids hold.
#[must_use]
pub fn pid_namespace() -> Requirement {
    const NAME: &str = "pid namespace";
    match privilege::in_initial_pid_namespace() {
        Ok(true) => Requirement::ok(NAME, "the initial one"),
        Ok(false) => Requirement::limited(
            NAME,
            "not the initial one, whose process ids the kernel reports",
            "for run and --pid, start in the host's (nsenter --target 1 --pid, or docker run --pid=host)",
        ),
        Err(error) => Requirement::unknown(NAME, error.to_string(), MOUNT_PROC),
    }
}

/// Whether the kernel's clock can be told from our own, as timestamps need it.
#[must_use]
pub fn time_namespace() -> Requirement {
    const NAME: &str = "time namespace";
    match time_namespace::monotonic_ahead_ns() {
        Ok(0) => Requirement::ok(NAME, "its clock is the kernel's"),
        Ok(ahead) => {
            let (seconds, direction) = (
                ahead.abs() / 1_000_000_000,
                if ahead > 0 { "ahead" } else { "behind" },
            );
            Requirement::ok(
                NAME,
                format!(
                    "its clock is {seconds} s {direction} of the kernel's; timestamps are right all the same"
                ),
            )
        }
        Err(unknown) => Requirement::missing(NAME, unknown.why, unknown.mend),
    }
}

/// How many processors there are, each of which has counters of its own.
#[must_use]
pub fn processors() -> Requirement {
    const NAME: &str = "processors";
    match nr_cpus() {
        Ok(count) => Requirement::ok(NAME, format!("{count} possible")),
        Err((path, error)) => {
            let (why, mend) = hidden(Path::new(path))
                .unwrap_or_else(|| (error.to_string(), "run as root".to_owned()));
            Requirement::missing(NAME, format!("{path}: {why}"), mend)
        }
    }
}

/// What is seen of the kernel's structures.
#[must_use]
pub fn btf() -> Requirement {
    const NAME: &str = "BTF";
    let path = Path::new(layout::VMLINUX);
    let error = match Layout::read(&[]) {
        Ok(_layout) => return Requirement::ok(NAME, layout::VMLINUX),
        Err(error) => error,
    };
    let denied = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let (why, mend) = match hidden(path) {
        Some(hidden) => hidden,
        None if denied => (format!("{error:#}"), "run as root".to_owned()),
        None if path.exists() => (
            format!("{error:#}"),
            "please report it; until then, the rest works".to_owned(),
        ),
        None => (
            "not in this kernel".to_owned(),
            "boot a kernel with CONFIG_DEBUG_INFO_BTF".to_owned(),
        ),
    };
    Requirement::limited(
        NAME,
        format!("{}: {why}", layout::VMLINUX),
        format!(
            "{mend}. With BTF you see why attempts fail after their call, sockets' transport and local address, \
             connects by io_uring, and the arguments of calls denied by seccomp"
        ),
    )
}

/// What `cgroup.id` and the label `cgroup` tell apart.
#[must_use]
pub fn cgroup() -> Requirement {
    const NAME: &str = "cgroup";
    const MEND: &str =
        "boot with systemd.unified_cgroup_hierarchy=1, and each container has its own cgroup.id";
    match cgroups() {
        Ok(Cgroups::V2) => {
            Requirement::ok(NAME, "v2, which cgroup.id and --label cgroup tell apart")
        }
        Ok(Cgroups::Hybrid(controllers)) => Requirement::limited(
            NAME,
            format!(
                "hybrid: cgroup.id and --label cgroup are of v2, and do not tell containers apart that have \
                 cgroups of v1 only ({})",
                controllers.join(", ")
            ),
            MEND,
        ),
        Ok(Cgroups::V1) => Requirement::limited(
            NAME,
            "v1: cgroup.id and --label cgroup are of v2, so they are the same for every process",
            MEND,
        ),
        Ok(Cgroups::None) => Requirement::limited(
            NAME,
            "none: cgroup.id and --label cgroup are the same for every process",
            "boot a kernel with CONFIG_CGROUPS",
        ),
        Err(error) => Requirement::unknown(
            NAME,
            format!("which, /proc does not say: {error}"),
            MOUNT_PROC,
        ),
    }
}

/// Whether BPF may read the kernel's memory.
#[must_use]
pub fn lockdown() -> Requirement {
    const NAME: &str = "lockdown";
    let place = Path::new("/sys/kernel/security");
    match privilege::lockdown() {
        Ok(modes) if modes.contains("[confidentiality]") => Requirement::missing(
            NAME,
            "confidentiality, in which BPF may not read kernel memory",
            "boot with lockdown=integrity or without",
        ),
        Ok(modes) => Requirement::ok(
            NAME,
            modes.split(['[', ']']).nth(1).unwrap_or("none").to_owned(),
        ),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Requirement::unknown(NAME, error.to_string(), "run as root")
        }
        Err(_) if sysfs::is_securityfs(place) => Requirement::ok(NAME, "not in this kernel"),
        Err(_) if sysfs::hidden(place).is_none() && !place.exists() => {
            Requirement::ok(NAME, "not in this kernel")
        }
        Err(_) => Requirement::unknown(
            NAME,
            "securityfs is not mounted",
            "mount it, and check again: mount -t securityfs securityfs /sys/kernel/security",
        ),
    }
}
