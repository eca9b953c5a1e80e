//! A policy that refuses connect(2): what a test attaches to a cgroup of its own.

#![no_std]
#![no_main]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya-ebpf's macros hand the context over by value"
)]

use aya_ebpf::{helpers::bpf_set_retval, macros::cgroup_sock_addr, programs::SockAddrContext};

/// What a program returns to refuse the call. Unless it says otherwise, the errno is `EPERM`.
const REFUSE: i32 = 0;
/// `EADDRINUSE` of every architecture that Rust's BPF target serves.
const EADDRINUSE: i32 = 98;

/// Refuses with the errno that every policy has.
#[cgroup_sock_addr(connect4)]
#[expect(clippy::missing_const_for_fn, reason = "the kernel calls it")]
fn deny(_ctx: SockAddrContext) -> i32 {
    REFUSE
}

/// Refuses with an errno of its own choice: kernel 6.1 and later.
#[cgroup_sock_addr(connect4)]
fn address_in_use(_ctx: SockAddrContext) -> i32 {
    // SAFETY: the helper takes an integer.
    unsafe { bpf_set_retval(-EADDRINUSE) };
    REFUSE
}

/// The helpers are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
#[expect(clippy::missing_const_for_fn, reason = "a panic handler is not const")]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic, and the verifier would refuse an object in which this is reachable.
    loop {}
}
