//! The native connect system call.
//!
//! Tracepoints `syscalls:sys_enter_connect` and `syscalls:sys_exit_connect` (kernel 2.6.33 to
//! current, `kernel/trace/trace_syscalls.c`). Their arguments are read straight from the context;
//! a helper call for each would cost 40 ns.

use aya_ebpf::{EbpfContext as _, macros::tracepoint, programs::TracePointContext};
use connect_ebpf::record::VIA_SYSCALL;

use crate::{
    call::{self, Return},
    inflight::{Arguments, TOLD_ENTRY},
    registers::registers,
    task,
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
        field(&ctx, ENTER_FD),
        field(&ctx, ENTER_USERVADDR),
        field(&ctx, ENTER_ADDRLEN),
    ]);
    call::enter(task::current(), arguments, VIA_SYSCALL, TOLD_ENTRY);
}

#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
fn sys_exit_connect(ctx: TracePointContext) {
    // First, so that what we do ourselves is not in the call's duration.
    let at_ns = task::now();
    let returns = Return {
        ret: field(&ctx, EXIT_RET).cast_signed(),
        at_ns,
        via: VIA_SYSCALL,
        is_told_again: false,
    };
    // From the saved registers, where the kernel lets us.
    let arguments = || registers().map(|registers| Arguments::new(registers.arguments));
    call::exit(&ctx, task::current(), returns, arguments);
}

/// Eight bytes of the tracepoint's context.
#[inline(always)]
fn field(ctx: &TracePointContext, offset: usize) -> u64 {
    let field = ctx.as_ptr().wrapping_byte_add(offset).cast::<u64>();
    // SAFETY: the verifier checks the offset against the tracepoint's size.
    unsafe { field.read() }
}
