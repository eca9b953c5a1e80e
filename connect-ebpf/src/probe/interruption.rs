//! A connect call that a signal interrupts.
//!
//! The exit tracepoint then shows `-ERESTARTSYS`, which the application never sees. What it gets
//! is decided afterwards, on the same thread (`handle_signal` and `arch_do_signal_or_restart` in
//! the kernel's `arch/*/kernel/signal.c`):
//!
//! * A handler without `SA_RESTART` is about to run: the call has failed with `EINTR`.
//! * A handler with `SA_RESTART`: when it has returned, the call is entered again.
//! * No handler (the process was stopped and continued, frozen, traced): it is entered again at
//!   once.
//! * The thread ends, or the handler leaves by `siglongjmp(3)`: the call never returned to the
//!   application.
//!
//! Until then the call stays suspended; a connect that the handler makes is a call of its own.
//!
//! Tracepoints `signal:signal_deliver` (`include/trace/events/signal.h`) and
//! `syscalls:sys_enter_rt_sigreturn`, with which every handler ends that returns.

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use crate::{
    inflight::{self, Arguments, Call, DEPTH_MAX},
    maps::setting,
    report::{End, report},
    task::{self, TaskId},
};

const EINTR: i64 = 4;
/// Restarted, unless a handler without `SA_RESTART` runs.
const ERESTARTSYS: i64 = 512;
/// Restarted always.
const ERESTARTNOINTR: i64 = 513;
/// Restarted, unless a handler runs.
const ERESTARTNOHAND: i64 = 514;
/// The same, by way of `restart_syscall(2)`.
const ERESTART_RESTARTBLOCK: i64 = 516;

/// Highest value of `sa_handler` that is no handler: `SIG_DFL` is 0, `SIG_IGN` is 1.
const SIG_IGN: u64 = 1;
/// `sa_flags`: the handler runs on a stack of its own.
const SA_ONSTACK: u64 = 0x0800_0000;
/// `sa_flags`: interrupted calls are restarted.
const SA_RESTART: u64 = 0x1000_0000;

/// Whether a call that returned this is not over yet.
#[inline(always)]
pub(crate) const fn suspends(ret: i64) -> bool {
    matches!(
        -ret,
        ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK
    )
}

/// Keeps a call that has returned, until what becomes of it is known.
#[inline(always)]
pub(crate) fn suspend(id: TaskId, call: &Call, ret: i64, at_ns: u64) {
    call.suspended_ret.set(ret);
    call.suspended_ns.set(at_ns);
    call.undecided.set(1);
    call.handlers.set(0);
    call.stack_pointer.set(stack_pointer());
    if let Some(thread) = inflight::thread(id.tid) {
        thread.add_suspended(1);
    }
}

/// A thread with suspended calls enters connect: either the last of them is restarted, and there
/// is nothing to begin, or this is a call of its own, for which this returns the entry to use.
#[inline(always)]
pub(crate) fn enter(id: TaskId, thread: &Call, arguments: Arguments) -> Option<&'static Call> {
    let stack_pointer = stack_pointer();
    for _ in 0..DEPTH_MAX {
        if thread.suspended.get() == 0 {
            break;
        }
        let last = inflight::nested(id.tid, thread.suspended.get() - 1)?;
        if last.handlers.get() == 0 && last.has(arguments) {
            thread.add_suspended(-1);
            last.restarts.set(last.restarts.get().wrapping_add(1));
            last.active.set(1);
            return None;
        }
        let frame = last.stack_pointer.get();
        let killed = if last.handlers.get() == 0 {
            // No restart follows: without a handler, the application got the kernel's own errno
            // (a seccomp filter can give it); after one, the handler has changed the context.
            last.undecided.get() == 0
        } else if frame != 0 && stack_pointer >= frame {
            // The frame of the handler is gone, though it has not returned: it left by a jump.
            true
        } else if thread.suspended.get() >= DEPTH_MAX {
            // No room to wait for what becomes of it.
            false
        } else {
            break;
        };
        never_returned(id, thread, last, u8::from(killed));
    }
    inflight::nested_or_new(id.tid, thread.suspended.get()).ok()
}

/// The thread is gone, or runs another program: none of its calls will return.
#[inline(always)]
pub(crate) fn end_of_thread(id: TaskId) {
    let Some(thread) = inflight::thread(id.tid) else {
        return;
    };
    for _ in 0..DEPTH_MAX {
        if thread.suspended.get() == 0 {
            return;
        }
        let Some(last) = inflight::nested(id.tid, thread.suspended.get() - 1) else {
            return;
        };
        never_returned(id, thread, last, 1);
    }
}

#[tracepoint(category = "signal", name = "signal_deliver")]
fn signal_deliver(ctx: TracePointContext) {
    let id = task::current();
    let Some((thread, last)) = last_suspended(id.tid) else {
        return;
    };
    let Some(handler) = read(&ctx, setting!(deliver_sa_handler)) else {
        return;
    };
    if handler <= SIG_IGN {
        return;
    }
    let flags = read(&ctx, setting!(deliver_sa_flags)).unwrap_or(0);
    if last.undecided.get() != 0 {
        last.undecided.set(0);
        let interrupted = match -last.suspended_ret.get() {
            ERESTARTSYS => flags & SA_RESTART == 0,
            ERESTARTNOINTR => false,
            _ => true,
        };
        if interrupted {
            thread.add_suspended(-1);
            let end = End {
                ret: -EINTR,
                at_ns: last.suspended_ns.get(),
                killed: 0,
            };
            return report(id, last, end);
        }
    }
    last.handlers.set(last.handlers.get().wrapping_add(1));
    if flags & SA_ONSTACK != 0 {
        // Which of two stacks lies higher tells nothing.
        last.stack_pointer.set(0);
    }
}

#[tracepoint(category = "syscalls", name = "sys_enter_rt_sigreturn")]
fn sys_enter_rt_sigreturn(_ctx: TracePointContext) {
    if let Some((_, last)) = last_suspended(task::current().tid) {
        last.handlers.set(last.handlers.get().saturating_sub(1));
    }
}

#[inline(always)]
fn last_suspended(tid: u32) -> Option<(&'static Call, &'static Call)> {
    let thread = inflight::thread(tid)?;
    if thread.suspended.get() == 0 {
        return None;
    }
    let last = inflight::nested(tid, thread.suspended.get() - 1)?;
    Some((thread, last))
}

#[inline(always)]
fn never_returned(id: TaskId, thread: &Call, last: &Call, killed: u8) {
    thread.add_suspended(-1);
    let end = End {
        ret: last.suspended_ret.get(),
        at_ns: last.suspended_ns.get(),
        killed,
    };
    report(id, last, end);
}

#[inline(always)]
fn stack_pointer() -> u64 {
    if setting!(task_registers) != 0
        && let Some(registers) = task::registers()
    {
        registers.stack_pointer
    } else {
        0
    }
}

#[inline(always)]
fn read(ctx: &TracePointContext, offset: u32) -> Option<u64> {
    // SAFETY: read_at copies through bpf_probe_read_kernel, which checks the address.
    unsafe { ctx.read_at::<u64>(offset as usize) }.ok()
}
