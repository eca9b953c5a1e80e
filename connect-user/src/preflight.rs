//! What the tool needs of kernel, privileges and mounts; what is missing; and what to do.

use std::{io, path::Path};

use anyhow::{Result, anyhow, bail};
use aya::{
    maps::MapType,
    programs::{ProgramError, ProgramType},
    sys::{is_map_supported, is_program_supported},
};
use rustix::thread::CapabilitySet;

use crate::{
    attach::{hooks::EXIT_CONNECT, selection::Functions},
    host::{
        kernel, privilege,
        tracefs::{MOUNT_POINT, Tracefs},
    },
    requirement::{Requirement, Verdict},
    status,
    surroundings::{
        btf, cgroup, hidden, lockdown, pid_namespace, processors, time_namespace, user_namespace,
    },
};

const TRACEFS: &str = "tracefs";
/// What to do where it is not mounted, and we may not.
const MOUNT_IT: &str = "mount it as root: mount -t tracefs tracefs /sys/kernel/tracing";

/// Oldest kernel that the tool is tested on. BPF ring buffers came with 5.8, the capabilities
/// `CAP_BPF` and `CAP_PERFMON` too.
const OLDEST_KERNEL: (u32, u32) = (5, 10);

/// Every requirement without which nothing goes, most fundamental first, with the tracefs that was found.
fn requirements(tracefs: &Result<Tracefs, Requirement>) -> Vec<Requirement> {
    let mut found = vec![kernel(&kernel::release()), capabilities()];
    let may_probe = found.iter().all(|met| met.verdict != Verdict::Missing);
    if may_probe {
        // Without privilege, or on a kernel that is too old, these would only say that again.
        found.extend([lockdown(), ring_buffer(), tracepoint_programs()]);
    }
    found.push(match tracefs {
        Ok(tracefs) => connect_tracepoints(tracefs),
        Err(missing) => missing.clone(),
    });
    found.extend([processors(), time_namespace()]);
    found
}

/// Every requirement, and what `trace` and `run` would make of tracefs. Changes nothing on the machine.
#[must_use]
pub fn look() -> (Vec<Requirement>, Option<Tracefs>) {
    let mounted = Tracefs::mounted();
    let is_mounted = mounted.is_some();
    let tracefs = mounted.map_or_else(
        || {
            if let Some(missing) = no_way_to_mount() {
                return Err(missing);
            }
            Tracefs::enter_apart().map_err(|error| {
                Requirement::unknown(
                    TRACEFS,
                    format!("not mounted, and whether trace and run can mount it cannot be tried here: {error}"),
                    MOUNT_IT,
                )
            })?;
            Tracefs::mount().map_err(|error| not_mounted(&error))
        },
        Ok,
    );
    let mut found = requirements(&tracefs);
    for requirement in &mut found {
        if requirement.name == TRACEFS && requirement.verdict == Verdict::Ok && !is_mounted {
            requirement.detail = format!("not mounted; trace and run mount it on {MOUNT_POINT}");
        }
    }
    found.extend([pid_namespace(), cgroup(), btf()]);
    (found, tracefs.ok())
}

/// Mounts tracefs if it has to be, and makes sure that everything needed is there.
///
/// # Errors
///
/// The first missing requirement, with what to do, in one line.
pub fn require() -> Result<Tracefs> {
    let tracefs = Tracefs::mounted().map_or_else(mount_tracefs, Ok);
    if let Some(missing) = requirements(&tracefs)
        .into_iter()
        .find(|requirement| requirement.verdict == Verdict::Missing)
    {
        bail!("{}", missing.one_line());
    }
    tracefs.map_err(|missing| anyhow!(missing.one_line()))
}

/// Makes sure that a process has one id, here and in the kernel.
///
/// # Errors
///
/// They do not, in one line.
pub fn require_initial_pid_namespace() -> Result<()> {
    let requirement = pid_namespace();
    if requirement.verdict != Verdict::Ok {
        bail!("{}", requirement.one_line());
    }
    Ok(())
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
    let Some(effective) = privilege::effective() else {
        return Requirement::missing(NAME, "the kernel does not tell which", MEND);
    };
    let namespace = user_namespace(NAME);
    if let Err(missing) = &namespace
        && missing.verdict == Verdict::Missing
    {
        return missing.clone();
    }
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return namespace
            .err()
            .unwrap_or_else(|| Requirement::ok(NAME, "CAP_SYS_ADMIN"));
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
        namespace
            .err()
            .unwrap_or_else(|| Requirement::ok(NAME, "CAP_BPF, CAP_PERFMON"))
    } else {
        Requirement::missing(NAME, format!("no {}", missing.join(" and no ")), MEND)
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

/// How hooks on the kernel's functions stand, which only `check` tries in advance, if anything can be observed.
/// They need BTF.
#[must_use]
pub fn function_hooks(functions: Option<&Functions>, btf: bool) -> Requirement {
    const NAME: &str = "BPF tracing programs";
    let Some(functions) = functions else {
        return Requirement::unknown(
            NAME,
            "not tried, as nothing can be observed",
            "mend what is MISSING or unknown, and check again",
        );
    };
    match functions {
        Functions::Attached | Functions::Unwanted => {
            Requirement::ok(NAME, "allowed (fentry, fexit)")
        }
        Functions::Refused(why) if !btf => Requirement::limited(
            NAME,
            format!("not tried (fentry, fexit): {why}"),
            "see BTF; until then the tracepoints serve instead",
        ),
        Functions::Refused(why) => Requirement::limited(
            NAME,
            format!("refused (fentry, fexit): {why}"),
            "nothing to do: the tracepoints serve instead; the coverage says what they do not show, and of that \
             --compat shows 32-bit calls",
        ),
    }
}

/// Why tracefs cannot be mounted, as far as that is known without trying.
fn no_way_to_mount() -> Option<Requirement> {
    let point = Path::new(MOUNT_POINT);
    if !point.is_dir() {
        let (why, mend) = hidden(point).unwrap_or_else(|| {
            (
                "not in this kernel".to_owned(),
                "boot a kernel with CONFIG_FTRACE_SYSCALLS".to_owned(),
            )
        });
        return Some(Requirement::missing(
            TRACEFS,
            format!("no folder {MOUNT_POINT}: {why}"),
            mend,
        ));
    }
    let may_mount = privilege::effective()
        .is_some_and(|effective| effective.contains(CapabilitySet::SYS_ADMIN));
    (!may_mount).then(|| {
        Requirement::missing(
            TRACEFS,
            format!("not mounted on {MOUNT_POINT}, and CAP_SYS_ADMIN to mount it is missing"),
            MOUNT_IT,
        )
    })
}

fn not_mounted(error: &io::Error) -> Requirement {
    Requirement::missing(
        TRACEFS,
        format!("not mounted, and mounting it fails: {error}"),
        MOUNT_IT,
    )
}

fn mount_tracefs() -> Result<Tracefs, Requirement> {
    if let Some(missing) = no_way_to_mount() {
        return Err(missing);
    }
    let tracefs = Tracefs::mount().map_err(|error| not_mounted(&error))?;
    status::note(format_args!("note: mounted tracefs on {MOUNT_POINT}"));
    Ok(tracefs)
}

fn connect_tracepoints(tracefs: &Tracefs) -> Requirement {
    const NAME: &str = TRACEFS;
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
