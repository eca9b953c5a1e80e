//! What the tool needs of kernel, privileges and mounts; what is missing; and what to do.

use std::io;

use anyhow::{Result, bail};
use aya::{
    maps::MapType,
    programs::{ProgramError, ProgramType},
    sys::{is_map_supported, is_program_supported},
};
use rustix::thread::CapabilitySet;

use crate::{
    attach::{hooks::EXIT_CONNECT, selection::Functions},
    host::{
        kernel, layout, privilege,
        tracefs::{MOUNT_POINT, Tracefs},
    },
    status,
};

/// Oldest kernel that the tool is tested on. BPF ring buffers came with 5.8, the capabilities
/// `CAP_BPF` and `CAP_PERFMON` too.
const OLDEST_KERNEL: (u32, u32) = (5, 10);

/// How a requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Met.
    Ok,
    /// Not met, but only something optional needs it.
    Limited,
    /// Not met, so nothing can be observed.
    Missing,
}

impl Verdict {
    /// As `check` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "MISSING",
        }
    }
}

/// One thing that the tool needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub mend: Option<String>,
}

impl Requirement {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            detail: detail.into(),
            mend: None,
        }
    }

    fn limited(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Limited,
            detail: detail.into(),
            mend: Some(mend.into()),
        }
    }

    fn missing(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Missing,
            detail: detail.into(),
            mend: Some(mend.into()),
        }
    }
}

/// Every requirement, most fundamental first. Changes nothing on the machine.
#[must_use]
pub fn requirements() -> Vec<Requirement> {
    let mut found = vec![kernel(&kernel::release()), capabilities()];
    let may_probe = found.iter().all(|met| met.verdict == Verdict::Ok);
    if may_probe {
        // Without privilege, or on a kernel that is too old, these would only say that again.
        found.extend([lockdown(), ring_buffer(), tracepoint_programs()]);
    }
    found.push(match Tracefs::mounted() {
        Some(tracefs) => connect_tracepoints(&tracefs),
        None if !may_mount() => {
            tracefs_missing("not mounted, and CAP_SYS_ADMIN to mount it is missing")
        }
        None => match Tracefs::detached() {
            Ok(tracefs) => Requirement {
                detail: format!("not mounted; trace and run mount it on {MOUNT_POINT}"),
                ..connect_tracepoints(&tracefs)
            },
            Err(error) => tracefs_missing(&format!("not mounted, and cannot be: {error}")),
        },
    });
    found.extend([pid_namespace(), btf()]);
    found
}

/// Mounts tracefs if it has to be, and makes sure that everything needed is there.
///
/// # Errors
///
/// The first missing requirement, with what to do, in one line.
pub fn require() -> Result<Tracefs> {
    let tracefs = match Tracefs::mounted() {
        Some(tracefs) => Ok(tracefs),
        None => mount_tracefs(),
    };
    if let Some(missing) = requirements()
        .into_iter()
        .find(|requirement| requirement.verdict == Verdict::Missing)
    {
        bail!("{}", one_line(&missing));
    }
    tracefs
}

/// Makes sure that a process has one id, here and in the kernel.
///
/// # Errors
///
/// They do not, in one line.
pub fn require_initial_pid_namespace() -> Result<()> {
    let requirement = pid_namespace();
    if requirement.verdict != Verdict::Ok {
        bail!("{}", one_line(&requirement));
    }
    Ok(())
}

fn one_line(requirement: &Requirement) -> String {
    let Requirement {
        name, detail, mend, ..
    } = requirement;
    match mend {
        Some(mend) => format!("{name}: {detail}; {mend}"),
        None => format!("{name}: {detail}"),
    }
}

fn kernel(release: &str) -> Requirement {
    const NAME: &str = "kernel";
    let (major, minor) = OLDEST_KERNEL;
    if kernel::version(release) >= OLDEST_KERNEL {
        Requirement::ok(NAME, format!("{release} (needs {major}.{minor})"))
    } else {
        Requirement::missing(
            NAME,
            format!("{release} is older than {major}.{minor}"),
            format!("boot a kernel from {major}.{minor} on"),
        )
    }
}

fn capabilities() -> Requirement {
    const NAME: &str = "capabilities";
    const MEND: &str = "run as root, for example with sudo";
    if !privilege::in_initial_user_namespace() {
        return Requirement::missing(
            NAME,
            "in a user namespace, whose capabilities do not reach BPF",
            "run as root outside of it",
        );
    }
    let Some(effective) = privilege::effective() else {
        return Requirement::missing(NAME, "the kernel does not tell which", MEND);
    };
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return Requirement::ok(NAME, "CAP_SYS_ADMIN");
    }
    let missing: Vec<_> = [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::PERFMON, "CAP_PERFMON"),
    ]
    .into_iter()
    .filter(|&(capability, _)| !effective.contains(capability))
    .map(|(_, name)| name)
    .collect();
    if missing.is_empty() {
        Requirement::ok(NAME, "CAP_BPF, CAP_PERFMON")
    } else {
        Requirement::missing(NAME, format!("no {}", missing.join(" and no ")), MEND)
    }
}

fn lockdown() -> Requirement {
    const NAME: &str = "lockdown";
    match privilege::lockdown() {
        Some(modes) if modes.contains("[confidentiality]") => Requirement::missing(
            NAME,
            "confidentiality, in which BPF may not read kernel memory",
            "boot with lockdown=integrity or without",
        ),
        Some(modes) => Requirement::ok(
            NAME,
            modes.split(['[', ']']).nth(1).unwrap_or("none").to_owned(),
        ),
        None => Requirement::ok(NAME, "not in this kernel, or securityfs is not mounted"),
    }
}

fn ring_buffer() -> Requirement {
    const NAME: &str = "BPF ring buffer";
    match is_map_supported(MapType::RingBuf) {
        Ok(true) => Requirement::ok(NAME, "allowed"),
        Ok(false) => Requirement::missing(
            NAME,
            "not in this kernel",
            "boot a kernel with CONFIG_BPF_SYSCALL",
        ),
        Err(error) => refused(NAME, &error.io_error),
    }
}

fn tracepoint_programs() -> Requirement {
    const NAME: &str = "BPF tracepoint programs";
    match is_program_supported(ProgramType::TracePoint) {
        Ok(true) => Requirement::ok(NAME, "allowed"),
        Ok(false) => Requirement::missing(
            NAME,
            "not in this kernel",
            "boot a kernel with CONFIG_BPF_EVENTS",
        ),
        Err(ProgramError::SyscallError(error)) => refused(NAME, &error.io_error),
        Err(error) => Requirement::missing(NAME, error.to_string(), "see bpf(2)"),
    }
}

/// Privilege is there, and still the kernel says no.
fn refused(name: &'static str, error: &io::Error) -> Requirement {
    Requirement::missing(
        name,
        format!("bpf(2) says: {error}"),
        "lift the seccomp filter, LSM policy or memory limit that forbids it",
    )
}

/// How hooks on the kernel's functions stand, which only `check` tries in advance.
#[must_use]
pub fn function_hooks(functions: &Functions) -> Requirement {
    const NAME: &str = "BPF tracing programs";
    match functions {
        Functions::Attached | Functions::Unwanted => {
            Requirement::ok(NAME, "allowed (fentry, fexit)")
        }
        Functions::Refused(why) => Requirement::limited(
            NAME,
            format!("refused (fentry, fexit): {why}"),
            "nothing to do: the tracepoints serve instead; the coverage says what they do not show",
        ),
    }
}

fn btf() -> Requirement {
    const NAME: &str = "BTF";
    const PATH: &str = layout::VMLINUX;
    match layout::require() {
        Ok(()) => Requirement::ok(NAME, PATH),
        Err(error) => Requirement::limited(
            NAME,
            format!("{PATH}: {error}"),
            "boot a kernel with CONFIG_DEBUG_INFO_BTF to see why attempts fail after their call, sockets' \
             transport and local address, and the arguments of calls denied by seccomp",
        ),
    }
}

fn pid_namespace() -> Requirement {
    const NAME: &str = "pid namespace";
    if privilege::in_initial_pid_namespace() {
        Requirement::ok(NAME, "the initial one")
    } else {
        Requirement::limited(
            NAME,
            "not the initial one, whose process ids the kernel reports",
            "for run and --pid, start in the host's (nsenter --target 1 --pid, or docker run --pid=host)",
        )
    }
}

fn may_mount() -> bool {
    privilege::effective().is_some_and(|effective| effective.contains(CapabilitySet::SYS_ADMIN))
}

fn mount_tracefs() -> Result<Tracefs> {
    match Tracefs::mount() {
        Ok(tracefs) => {
            status::note(format_args!("note: mounted tracefs on {MOUNT_POINT}"));
            Ok(tracefs)
        }
        Err(error) => bail!(
            "{}",
            one_line(&tracefs_missing(&format!(
                "not mounted, and mounting it fails: {error}"
            )))
        ),
    }
}

fn tracefs_missing(detail: &str) -> Requirement {
    Requirement::missing(
        "tracefs",
        detail,
        format!("mount it as root: mount -t tracefs tracefs {MOUNT_POINT}"),
    )
}

fn connect_tracepoints(tracefs: &Tracefs) -> Requirement {
    const NAME: &str = "tracefs";
    match tracefs.require(EXIT_CONNECT) {
        Ok(()) => Requirement::ok(NAME, tracefs.path().to_string_lossy()),
        Err((path, error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Requirement::missing(
                NAME,
                format!("{}: {error}", path.display()),
                "run as root, or with CAP_DAC_READ_SEARCH",
            )
        }
        Err((path, error)) => Requirement::missing(
            NAME,
            format!("{}: {error}", path.display()),
            "boot a kernel with CONFIG_FTRACE_SYSCALLS",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, kernel};

    #[test]
    fn kernel_versions_are_compared_as_numbers() {
        for (release, verdict) in [
            ("5.9.16", Verdict::Missing),
            ("5.10.0-30-cloud-amd64", Verdict::Ok),
            ("6.1.192", Verdict::Ok),
            ("7.0-rc1", Verdict::Ok),
            ("10.0", Verdict::Ok),
            ("2.6.78", Verdict::Missing),
            ("4.19.0", Verdict::Missing),
            ("", Verdict::Missing),
            ("nonsense", Verdict::Missing),
        ] {
            assert_eq!(kernel(release).verdict, verdict, "{release:?}");
        }
    }
}
