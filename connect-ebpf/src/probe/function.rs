//! The kernel's own functions that every connect passes, where the kernel lets us attach to them.
//!
//! * `__sys_connect` (`net/socket.c`): the native system call and the one of 32-bit programs, which
//!   passes no tracepoint. Also `socketcall(2)` ends there.
//! * `__sys_connect_file` (`net/socket.c`): the same, and io_uring. Its second argument is the kernel's
//!   own copy of the address, which the caller cannot change any more. Not reached where the descriptor
//!   or the address is bad.
//! * `__do_sys_rt_sigreturn` (`arch/x86/kernel/signal_64.c`): stands for the tracepoint, which would tax
//!   every system call of the host.
//!
//! Prototypes are the same from 5.10 to 7.3.

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use connect_ebpf::record::{VIA_COMPAT, VIA_SYSCALL};

use crate::{
    call::{self, Return},
    filter,
    inflight::{self, Arguments},
    maps::setting,
    probe::{interruption, io_uring},
    socket, task,
};

#[fentry(function = "__sys_connect")]
fn sys_connect_entry(ctx: FEntryContext) {
    if let Some(via) = ours() {
        call::enter(
            task::current(),
            Arguments::new([ctx.arg(0), ctx.arg(1), ctx.arg(2)]),
            via,
        );
    }
}

#[fexit(function = "__sys_connect")]
fn sys_connect_exit(ctx: FExitContext) {
    let at_ns = task::now();
    let Some(via) = ours() else {
        return;
    };
    // The result stands behind the three arguments.
    let ret: i32 = ctx.arg(3);
    let returns = Return {
        ret: ret.into(),
        at_ns,
        via,
    };
    let arguments = || Some(Arguments::new([ctx.arg(0), ctx.arg(1), ctx.arg(2)]));
    call::exit(&ctx, task::current(), returns, arguments);
}

#[fentry(function = "__sys_connect_file")]
fn sys_connect_file(ctx: FEntryContext) {
    let id = task::current();
    let call = inflight::under_way(id.tid).or_else(|| {
        if setting!(io_uring) == 0 || !filter::owner(id) {
            return None;
        }
        let socket = socket::of_file(ctx.arg(0))?;
        io_uring::request_on(id, socket.sk)
    });
    if let Some(call) = call {
        call.read_kernels_address(ctx.arg(1), ctx.arg(2));
    }
}

#[fentry(function = "__do_sys_rt_sigreturn")]
fn sys_rt_sigreturn(_ctx: FEntryContext) {
    interruption::handler_returns();
}

/// How this call was made, if no tracepoint tells of it.
#[inline(always)]
fn ours() -> Option<u8> {
    if task::is_compat() {
        Some(VIA_COMPAT)
    } else if setting!(native_by_function) != 0 {
        Some(VIA_SYSCALL)
    } else {
        None
    }
}
