//! System calls of 32-bit programs, where the kernel's functions cannot be hooked.
//!
//! Raw tracepoints `sys_enter` and `sys_exit` (`include/trace/events/syscalls.h`): they run at every system call
//! of the host, 32-bit or not. So each first asks what costs least and rules out most: the number.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use connect_ebpf::code::Via;

use crate::{
    fact::{compat, task},
    state::{
        call::Arguments,
        interruption,
        syscall::{self, Return},
    },
};

#[raw_tracepoint(tracepoint = "sys_enter")]
fn sys_enter_compat(ctx: RawTracePointContext) {
    let number: u64 = ctx.arg(1);
    let number = number as u32;
    let ends_handler = compat::is_sigreturn(number);
    // A native call of the same number is another one.
    if !(ends_handler || compat::may_connect(number)) || !task::is_compat() {
        return;
    }
    if ends_handler {
        interruption::handler_returns(false);
        return;
    }
    let pt_regs: u64 = ctx.arg(0);
    if compat::connects(number, pt_regs) {
        let arguments = compat::arguments(number, pt_regs).map(Arguments::new);
        syscall::enter(task::current(), arguments, Via::Compat, false);
    }
}

#[raw_tracepoint(tracepoint = "sys_exit")]
fn sys_exit_compat(ctx: RawTracePointContext) {
    let pt_regs: u64 = ctx.arg(0);
    let number = compat::number(pt_regs);
    if !compat::may_connect(number) || !task::is_compat() {
        return;
    }
    let at_ns = task::now();
    if !compat::connects(number, pt_regs) {
        return;
    }
    let ret: u64 = ctx.arg(1);
    let returns = Return {
        // Of a 32-bit call, the upper half says nothing.
        ret: i64::from(ret as i32),
        at_ns,
        via: Via::Compat,
        is_seen_again: false,
    };
    let arguments = || compat::arguments(number, pt_regs).map(Arguments::new);
    syscall::exit(&ctx, task::current(), returns, arguments);
}
