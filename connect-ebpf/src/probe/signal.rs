//! Signals: when one is delivered to a handler, and when that returns.
//!
//! Tracepoints `signal:signal_deliver` (`include/trace/events/signal.h`), raw where the kernel's BTF says
//! where an action has its fields, and `syscalls:sys_enter_rt_sigreturn`, with which every handler ends
//! that returns. Where we may hook into functions, a function shows that too (`function.rs`).

use aya_ebpf::{
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};

use super::context::at;
use crate::{
    fact::{memory::read, setting::setting},
    state::interruption,
};

#[raw_tracepoint(tracepoint = "signal_deliver")]
fn signal_deliver(ctx: RawTracePointContext) {
    // Behind the signal and its siginfo: `struct k_sigaction`.
    let action: u64 = ctx.arg(2);
    interruption::handler_begins(|| {
        Some((
            read(action, setting!(offsets.sigaction_handler))?,
            read(action, setting!(offsets.sigaction_flags))?,
        ))
    });
}

#[tracepoint(category = "signal", name = "signal_deliver")]
fn signal_deliver_plain(ctx: TracePointContext) {
    interruption::handler_begins(|| {
        Some((
            at(&ctx, setting!(deliver_sa_handler))?,
            at(&ctx, setting!(deliver_sa_flags))?,
        ))
    });
}

#[tracepoint(category = "syscalls", name = "sys_enter_rt_sigreturn")]
fn sys_enter_rt_sigreturn(_ctx: TracePointContext) {
    interruption::handler_returns(true);
}
