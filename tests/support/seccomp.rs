//! seccomp filters on connect(2).

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, ensure};
use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
    sock_filter,
};

/// The action that denies a call with this errno.
pub(crate) const fn errno(errno: i32) -> u32 {
    SECCOMP_RET_ERRNO | errno.cast_unsigned()
}

/// Has seccomp do this to every connect(2) of the current thread from now on.
pub(crate) fn answer(action: u32) -> Result<()> {
    install(&[], action, 0)?;
    Ok(())
}

/// Has seccomp do this to every 32-bit system call of this number of the current thread from now on.
#[cfg(target_arch = "x86_64")]
pub(crate) fn answer_compat(number: u32, action: u32) -> Result<()> {
    const ARCHITECTURE: u32 = 4;
    const AUDIT_ARCH_I386: u32 = 0x4000_0003;
    put(
        vec![
            load(ARCHITECTURE)?,
            unless(AUDIT_ARCH_I386, 3)?,
            load(NUMBER)?,
            unless(number, 1)?,
            finish(action)?,
            finish(SECCOMP_RET_ALLOW)?,
        ],
        0,
    )?;
    Ok(())
}

/// Has seccomp do something to connect(2) of the current thread from now on, by the length of the
/// address, each of which has its action. Every other length is allowed.
pub(crate) fn answer_by_length(actions: &[(u32, u32)]) -> Result<()> {
    install(actions, SECCOMP_RET_ALLOW, 0)?;
    Ok(())
}

/// Puts a filter in place, with a descriptor that shows and answers what `SECCOMP_RET_USER_NOTIF` asks.
pub(crate) fn ask_by_length(actions: &[(u32, u32)]) -> Result<OwnedFd> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let fd = install(actions, SECCOMP_RET_ALLOW, flags)?;
    // SAFETY: a filter that has a listener returns its descriptor, which is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn install(actions: &[(u32, u32)], otherwise: u32, flags: libc::c_ulong) -> Result<i32> {
    // args[2] of struct seccomp_data, lower half.
    const LENGTH: u32 = 32;
    let to_the_end = u8::try_from(2 * actions.len() + 2)?;
    let mut program = vec![
        load(NUMBER)?,
        unless(u32::try_from(libc::SYS_connect)?, to_the_end)?,
        load(LENGTH)?,
    ];
    for &(length, action) in actions {
        program.extend([unless(length, 1)?, finish(action)?]);
    }
    program.extend([finish(otherwise)?, finish(SECCOMP_RET_ALLOW)?]);
    put(program, flags)
}

fn put(mut program: Vec<sock_filter>, flags: libc::c_ulong) -> Result<i32> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len())?,
        filter: program.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true)?;
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program, which lives until then.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    ensure!(result >= 0, "no filter: {}", io::Error::last_os_error());
    i32::try_from(result).context("no descriptor")
}

/// Where struct `seccomp_data` has the number of the system call.
const NUMBER: u32 = 0;

fn load(offset: u32) -> Result<sock_filter> {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

fn unless(value: u32, skip: u8) -> Result<sock_filter> {
    Ok(sock_filter {
        jf: skip,
        ..statement(BPF_JMP | BPF_JEQ | BPF_K, value)?
    })
}

fn finish(action: u32) -> Result<sock_filter> {
    statement(BPF_RET | BPF_K, action)
}

fn statement(code: u32, k: u32) -> Result<sock_filter> {
    Ok(sock_filter {
        code: code.try_into()?,
        jt: 0,
        jf: 0,
        k,
    })
}
