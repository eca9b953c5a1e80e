//! A program that the kernel tests observe: `cargo xtask vm` builds it for 32-bit x86, where its system
//! calls pass no tracepoint.
//!
//! `program32 WAY FD ADDRESS FLAGS` makes one connect on a descriptor that it has inherited, to an address
//! whose bytes are given as numbers with commas between them, by the system call of that name (`direct`) or by socketcall(2) (`socketcall`), and
//! prints the errno. A handler of SIGUSR1 with these `sa_flags` prints `!` every time.

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
