//! The native connect system call.
//!
//! Tracepoints `syscalls:sys_enter_connect` and `syscalls:sys_exit_connect` (kernel 2.6.33 to
//! current, `kernel/trace/trace_syscalls.c`).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use connect_ebpf::code::Via;

use super::context::fixed;
use crate::{
    fact::{registers::registers, task},
    state::{
        call::Arguments,
        syscall::{self, Return},
    },
};

/// `fd` in the context of `sys_enter_connect`.
const ENTER_FD: usize = 16;
/// `uservaddr` in the context of `sys_enter_connect`.
const ENTER_USERVADDR: usize = 24;
/// `addrlen` in the context of `sys_enter_connect`.
const ENTER_ADDRLEN: usize = 32;
/// `ret` in the context of `sys_exit_connect`.
const EXIT_RET: usize = 16;

#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
fn sys_enter_connect(ctx: TracePointContext) {
    let arguments = Arguments::new([
        fixed(&ctx, ENTER_FD),
        fixed(&ctx, ENTER_USERVADDR),
        fixed(&ctx, ENTER_ADDRLEN),
    ]);
    syscall::enter(task::current(), Some(arguments), Via::Syscall, true);
}

#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
fn sys_exit_connect(ctx: TracePointContext) {
    // First, so that what we do ourselves is not in the call's duration.
    let at_ns = task::now();
    let returns = Return {
        ret: fixed(&ctx, EXIT_RET),
        at_ns,
        via: Via::Syscall,
        is_seen_again: false,
    };
    // From the saved registers, where the kernel lets us.
    let arguments = || registers().map(|registers| Arguments::new(registers.arguments));
    syscall::exit(&ctx, task::current(), returns, arguments);
}
