//! A policy that refuses connect(2): what a test attaches to a cgroup of its own. And programs that do
//! nothing, to which the cost of others is compared.

#![no_std]
#![no_main]

use aya_ebpf::{
    helpers::bpf_set_retval,
    macros::{cgroup_sock_addr, tracepoint},
    programs::{SockAddrContext, TracePointContext},
};

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
    unsafe {
        bpf_set_retval(-EADDRINUSE);
    }
    REFUSE
}

/// Does nothing.
#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
#[expect(clippy::missing_const_for_fn, reason = "the kernel calls it")]
fn empty_enter(_ctx: TracePointContext) {}

/// Does nothing.
#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
#[expect(clippy::missing_const_for_fn, reason = "the kernel calls it")]
fn empty_exit(_ctx: TracePointContext) {}

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
