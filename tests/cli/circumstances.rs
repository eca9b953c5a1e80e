//! What surrounds the agent when it starts: everything here happens between fork and exec.

use std::{fs, io, path::Path, process::Command};

use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
        mount_remount, unmount,
    },
    process::{Gid, Uid},
    thread::{
        CapabilitySet, CapabilitySets, UnshareFlags, configure_capability_in_ambient_set,
        remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
        set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid, unshare_unsafe,
    },
};

use crate::support::process::before_exec;

/// Where a host has its time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// Nobody's user and group.
pub(crate) const NOBODY: u32 = 65534;

/// As nobody, who may nothing.
pub(crate) fn as_nobody(command: &mut Command) {
    before_exec(command, become_nobody);
}

/// As nobody, who may this and nothing else.
pub(crate) fn as_nobody_with(command: &mut Command, capabilities: CapabilitySet) {
    before_exec(command, move || {
        set_keep_capabilities(true)?;
        become_nobody()?;
        let sets = CapabilitySets {
            effective: capabilities,
            permitted: capabilities,
            inheritable: capabilities,
        };
        set_capabilities(None, sets)?;
        for capability in capabilities {
            configure_capability_in_ambient_set(capability, true)?;
        }
        Ok(())
    });
}

/// As root, who may this and nothing else.
pub(crate) fn as_root_with(command: &mut Command, capabilities: CapabilitySet) {
    before_exec(command, move || {
        for capability in CapabilitySet::all() - capabilities {
            match remove_capability_from_bounding_set(capability) {
                // The kernel is older than that capability.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    });
}

/// In mounts of its own, which these are.
fn with_mounts(command: &mut Command, change: impl Fn() -> io::Result<()> + Send + Sync + 'static) {
    before_exec(command, move || {
        unshare(UnshareFlags::NEWNS)?;
        mount_change(
            "/",
            MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
        )?;
        change()
    });
}

/// Where sysfs is not mounted.
pub(crate) fn without_sys(command: &mut Command) {
    with_mounts(command, || Ok(unmount("/sys", UnmountFlags::DETACH)?));
}

/// Where sysfs is not mounted, but something else, on which tracefs can be mounted.
pub(crate) fn with_empty_sys(command: &mut Command) {
    with_mounts(command, || {
        mount("none", "/sys", "tmpfs", MountFlags::empty(), None)?;
        fs::create_dir_all("/sys/kernel/tracing")
    });
}

/// Where `/proc` is not mounted.
pub(crate) fn without_proc(command: &mut Command) {
    with_mounts(command, || Ok(unmount("/proc", UnmountFlags::DETACH)?));
}

/// In a container that hides the kernel's own BTF.
pub(crate) fn with_masked_btf(command: &mut Command) {
    with_mounts(command, || {
        Ok(mount_bind("/dev/null", "/sys/kernel/btf/vmlinux")?)
    });
}

/// In a container where nothing in `/sys` can be written, and tracefs is not mounted.
pub(crate) fn with_sys_read_only(command: &mut Command) {
    without_tracefs(command);
    before_exec(command, || {
        Ok(mount_remount(
            "/sys",
            MountFlags::BIND | MountFlags::RDONLY,
            "",
        )?)
    });
}

/// On a machine where tracefs is not mounted, as far as the agent can see.
pub(crate) fn without_tracefs(command: &mut Command) {
    with_mounts(command, || {
        for path in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
            // As often as it is mounted, if it is.
            while unmount(path, UnmountFlags::DETACH).is_ok() {}
        }
        Ok(())
    });
}

/// On a host that has no files of time zones.
pub(crate) fn without_zone_files(command: &mut Command) {
    with_mounts(command, || {
        // A host that has none already has nothing to hide.
        if Path::new(ZONES).exists() {
            mount("none", ZONES, "tmpfs", MountFlags::empty(), None)?;
        }
        Ok(())
    });
}

/// On a kernel that has no BTF of its own, as far as the agent can see.
pub(crate) fn without_btf(command: &mut Command) {
    with_mounts(command, || {
        mount(
            "none",
            "/sys/kernel/btf",
            "tmpfs",
            MountFlags::empty(),
            None,
        )?;
        Ok(())
    });
}

/// In a new user namespace, with every capability in it.
pub(crate) fn in_user_namespace(command: &mut Command) {
    before_exec(command, || unshare(UnshareFlags::NEWUSER));
}

/// Under an old kernel, as far as uname(2) can tell.
pub(crate) fn on_old_kernel(command: &mut Command) {
    before_exec(command, || {
        // SAFETY: sets a flag of this process, and touches no memory.
        let done = unsafe { libc::personality(0x0002_0000) };
        succeeded(done)
    });
}

/// With the terminal that is its standard input as its own.
pub(crate) fn with_terminal(command: &mut Command) {
    before_exec(command, || {
        // SAFETY: takes no pointer; the process leads a session (see `support/process.rs`).
        let taken = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
        succeeded(taken)
    });
}

/// With SIGHUP ignored, as nohup(1) has it.
pub(crate) fn without_hangups(command: &mut Command) {
    before_exec(command, || {
        // SAFETY: SIG_IGN is no function that could be called.
        let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        succeeded(if before == libc::SIG_ERR { -1 } else { 0 })
    });
}

/// With standard output closed.
pub(crate) fn without_stdout(command: &mut Command) {
    before_exec(command, || {
        // SAFETY: the process is about to be replaced; nothing in it uses the descriptor again.
        let closed = unsafe { libc::close(1) };
        succeeded(closed)
    });
}

/// With bpf(2) forbidden by a seccomp filter, as containers have it.
pub(crate) fn without_bpf(command: &mut Command) {
    before_exec(command, || {
        const LOAD_WORD: u16 = 0x20;
        const JUMP_IF_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let step = |code, yes, no, value| libc::sock_filter {
            code,
            jt: yes,
            jf: no,
            k: value,
        };
        let number = u32::try_from(libc::SYS_bpf).unwrap_or(0);
        let errno = u32::try_from(libc::EPERM).unwrap_or(0);
        let mut steps = [
            step(LOAD_WORD, 0, 0, 0),
            step(JUMP_IF_EQUAL, 0, 1, number),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: 4,
            filter: steps.as_mut_ptr(),
        };
        set_no_new_privs(true)?;
        // SAFETY: the program points to four steps that outlive the call.
        let done = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
        };
        succeeded(done)
    });
}

fn become_nobody() -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_gid(Gid::from_raw(NOBODY))?;
    set_thread_uid(Uid::from_raw(NOBODY))?;
    Ok(())
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: none of the flags used here separates the descriptors of this process from anyone's.
    unsafe { unshare_unsafe(flags) }?;
    Ok(())
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
