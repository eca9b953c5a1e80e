//! A program that the kernel tests observe: `cargo xtask` builds it for 32-bit x86, where its system
//! calls pass no tracepoint.
//!
//! `program32 WAY FD ADDRESS FLAGS` makes one connect on a descriptor that it has inherited, to an address
//! whose bytes are given as numbers with commas between them, by the system call of that name (`direct`) or by
//! socketcall(2) (`socketcall`), or has seccomp trap the first, whose handler answers it (`trapped`); and it prints the
//! errno. A handler of SIGUSR1 with these `sa_flags` prints `!` every time.

#![expect(
    unsafe_code,
    reason = "it makes the call that no safe library would make"
)]
#![expect(clippy::print_stdout, reason = "its test reads it")]

use std::{env, io, ptr};

use anyhow::{Context as _, Result, bail, ensure};

fn main() -> Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let [way, fd, address, flags] = &words[..] else {
        bail!("program32 WAY FD ADDRESS FLAGS");
    };
    let fd = fd.parse()?;
    let address = bytes(address)?;
    handle(libc::SIGUSR1, flags.parse()?)?;
    let result = match way.as_str() {
        "direct" => direct(fd, &address)?,
        "socketcall" => socketcall(fd, &address)?,
        "trapped" => {
            trap()?;
            direct(fd, &address)?
        }
        _ => bail!("no such way: {way}"),
    };
    let errno = if result == -1 {
        io::Error::last_os_error().raw_os_error().unwrap_or(-1)
    } else {
        0
    };
    println!("{errno}");
    Ok(())
}

fn direct(fd: i32, address: &[u8]) -> Result<libc::c_long> {
    let length = u32::try_from(address.len())?;
    // SAFETY: the kernel only reads, as many bytes as there are.
    Ok(unsafe { libc::syscall(libc::SYS_connect, fd, address.as_ptr(), length) })
}

#[cfg(target_arch = "x86")]
fn socketcall(fd: i32, address: &[u8]) -> Result<libc::c_long> {
    /// In the kernel's `include/uapi/linux/net.h`.
    const SYS_CONNECT: libc::c_int = 3;
    let arguments = [
        fd.cast_unsigned(),
        u32::try_from(address.as_ptr().addr())?,
        u32::try_from(address.len())?,
    ];
    // SAFETY: the kernel only reads, as many bytes as there are.
    Ok(unsafe { libc::syscall(libc::SYS_socketcall, SYS_CONNECT, arguments.as_ptr()) })
}

#[cfg(not(target_arch = "x86"))]
fn socketcall(_fd: i32, _address: &[u8]) -> Result<libc::c_long> {
    bail!("this processor has no socketcall(2)")
}

/// Has seccomp trap connect(2), and a handler answer it with `EHOSTDOWN`.
#[cfg(target_arch = "x86")]
fn trap() -> Result<()> {
    extern "C" fn answer(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        /// Of `ucontext`, in words: five, and of the registers `eax` is the twelfth.
        const RESULT: usize = 5 + 11;
        // SAFETY: a handler with SA_SIGINFO gets the context that it returns to, and may change it.
        unsafe {
            context.cast::<i32>().add(RESULT).write(-libc::EHOSTDOWN);
        }
    }
    const LOAD: u16 = 0x20;
    const UNLESS_EQUAL: u16 = 0x15;
    const RETURN: u16 = 6;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut filter = [
        step(LOAD, 0, 0),
        step(UNLESS_EQUAL, 1, u32::try_from(libc::SYS_connect)?),
        step(RETURN, 0, libc::SECCOMP_RET_TRAP),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len())?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: all zero is a valid action: an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = answer as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the action is complete, and nobody asks for the old one.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) };
    ensure!(result == 0, "no handler: {}", io::Error::last_os_error());
    // SAFETY: takes integers.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    ensure!(result == 0, "privileges: {}", io::Error::last_os_error());
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program, which lives until then.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) };
    ensure!(result == 0, "no filter: {}", io::Error::last_os_error());
    Ok(())
}

#[cfg(not(target_arch = "x86"))]
fn trap() -> Result<()> {
    bail!("how a handler answers is known of 32-bit x86 only")
}

fn handle(signal: i32, flags: i32) -> Result<()> {
    extern "C" fn tell(_signal: i32) {
        // SAFETY: one byte, which is there; and write(2) may be called in a handler. Whoever reads waits for
        // it in vain if it fails.
        unsafe {
            libc::write(libc::STDOUT_FILENO, b"!".as_ptr().cast(), 1);
        }
    }
    // SAFETY: all zero is a valid action: an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = tell as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: the action is complete, and nobody asks for the old one.
    let result = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    ensure!(result == 0, "no handler: {}", io::Error::last_os_error());
    Ok(())
}

/// From numbers with commas between them.
fn bytes(numbers: &str) -> Result<Vec<u8>> {
    let numbers = numbers.split(',').map(str::parse);
    numbers.collect::<Result<_, _>>().context("no bytes")
}
