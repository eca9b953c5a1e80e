//! The kernel's own functions that every connect passes, where the kernel lets us attach to them.
//!
//! * `__sys_connect` (`net/socket.c`): the native system call and the one of 32-bit programs, which
//!   passes no tracepoint. Also `socketcall(2)` ends there.
//! * `__sys_connect_file` (`net/socket.c`): these, and io_uring. Its second argument is the kernel's
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
use connect_ebpf::{
    code::Via,
    settings::{NATIVE_BY_BOTH, NATIVE_BY_TRACEPOINT},
};

use crate::{
    fact::{setting::setting, socket, task},
    state::{
        call::Arguments,
        current, interruption, observed,
        syscall::{self, Return},
    },
};

#[fentry(function = "__sys_connect")]
fn sys_connect_entry(ctx: FEntryContext) {
    let Some(Way { via, is_seen_twice }) = way() else {
        return;
    };
    let id = task::current();
    if is_seen_twice && syscall::entry_is_reported(id) {
        return;
    }
    let arguments = Arguments::new([ctx.arg(0), ctx.arg(1), ctx.arg(2)]);
    syscall::enter(id, Some(arguments), via, false);
}

#[fexit(function = "__sys_connect")]
fn sys_connect_exit(ctx: FExitContext) {
    let at_ns = task::now();
    let Some(Way { via, is_seen_twice }) = way() else {
        return;
    };
    // The result stands behind the three arguments.
    let ret: i32 = ctx.arg(3);
    let returns = Return {
        ret: ret.into(),
        at_ns,
        via,
        is_seen_again: is_seen_twice,
    };
    let arguments = || Some(Arguments::new([ctx.arg(0), ctx.arg(1), ctx.arg(2)]));
    syscall::exit(&ctx, task::current(), returns, arguments);
}

#[fentry(function = "__sys_connect_file")]
fn sys_connect_file(ctx: FEntryContext) {
    let id = task::current();
    let call = current::call(id, || {
        if observed::owner(id) {
            Some(socket::of_file(ctx.arg(0))?.sk)
        } else {
            None
        }
    });
    if let Some(call) = call {
        call.read_kernels_address(ctx.arg(1), ctx.arg(2));
    }
}

#[fentry(function = "__do_sys_rt_sigreturn")]
fn sys_rt_sigreturn(_ctx: FEntryContext) {
    interruption::handler_returns(false);
}

/// How a call is made.
struct Way {
    via: Via,
    /// The tracepoints see it too: its entry before fentry, and its return after fexit.
    is_seen_twice: bool,
}

/// How this call is made, if it is for these hooks to report.
///
/// Tracepoints alone would do for the native system call; but the kernel does not run a program while
/// another task is in the same one on its CPU, which happens where it preempts programs (from 7.0 on).
/// What one hook misses, the other has.
#[inline(always)]
fn way() -> Option<Way> {
    let native = setting!(native);
    if task::is_compat() {
        Some(Way {
            via: Via::Compat,
            is_seen_twice: false,
        })
    } else if native != NATIVE_BY_TRACEPOINT {
        Some(Way {
            via: Via::Syscall,
            is_seen_twice: native == NATIVE_BY_BOTH,
        })
    } else {
        None
    }
}
