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
//! With `SO_SNDTIMEO` the exit shows `-EINTR`, which is what the application gets, if anything: the
//! signal may as well kill it. So that one waits too, for a handler or another sign of life, or for
//! the thread's end in that very system call.
//!
//! Only where nothing has interrupted the call, all of these numbers are a result like any other: a
//! seccomp filter can give them.
//!
//! A seccomp filter that traps or kills (`SECCOMP_RET_TRAP`, `SECCOMP_RET_KILL_*`) looks much the
//! same: the exit shows the number of the system call, as the registers have been rolled back, and
//! SIGSYS decides. Its handler says what the application gets, in the frame it returns through.
//!
//! Tracepoints `signal:signal_deliver` (`include/trace/events/signal.h`), raw where the kernel's BTF says
//! where an action has its fields, and `syscalls:sys_enter_rt_sigreturn`, with which every handler ends
//! that returns. Where we may hook into functions, a function tells of that too (`function.rs`).

use aya_ebpf::{
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};
use connect_ebpf::{
    loss::KernelLoss,
    record::{KNOWN_ARGUMENTS, KNOWN_ENTRY, VIA_COMPAT},
    settings::REGISTERS_OFF,
};

use crate::{
    architecture::{self, SHOWS_DECISION, SYS_CONNECT, SYSCALL_LENGTH},
    emit,
    inflight::{self, Arguments, Call, DEPTH_LOST, DEPTH_MAX},
    maps::setting,
    memory,
    registers::{self, SavedRegisters, registers},
    report::report,
    settlement,
    task::{self, TaskId},
};

const EINTR: i64 = 4;
/// What a trapped call is taken to have returned where its handler's answer cannot be read.
const ENOSYS: i64 = 38;
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

/// What a call is taken to have returned that seccomp has trapped: nothing that one returns.
const TRAPPED: i64 = i64::MIN;

/// What a call has returned, or [`TRAPPED`] if seccomp has sent SIGSYS instead of making it.
#[inline(always)]
pub(crate) fn unless_trapped(ret: i64, call: &Call) -> i64 {
    let entry_seen = call.known.get() & KNOWN_ENTRY != 0;
    let has_arguments = call.known.get() & KNOWN_ARGUMENTS != 0;
    let fd = has_arguments.then_some(call.fd.get());
    if !entry_seen && architecture::is_taken_back(ret, fd, task::may_be_interrupted) {
        TRAPPED
    } else {
        ret
    }
}

/// Whether a call that returned this is not over yet.
#[inline(always)]
pub(crate) fn suspends(ret: i64) -> bool {
    ret == TRAPPED || (is_interruption(ret) && task::may_be_interrupted())
}

#[inline(always)]
fn is_interruption(ret: i64) -> bool {
    match -ret {
        ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => true,
        // Whether the thread has left the system call, only its registers tell.
        EINTR => setting!(task_registers) != REGISTERS_OFF,
        _ => false,
    }
}

/// Keeps a call that has returned, until what becomes of it is known.
#[inline(always)]
pub(crate) fn suspend(id: TaskId, call: &Call) {
    let Some(thread) = inflight::thread(id.tid) else {
        return;
    };
    if thread.suspended.get() > DEPTH_MAX {
        // No room to wait for what becomes of it.
        emit::count(KernelLoss::NestingFull);
        settlement::forget(call);
        return;
    }
    thread.add_suspended(1);
    if thread.suspended.get() > DEPTH_MAX {
        expect_restart(id, None);
    }
    call.undecided.set(1);
    call.handlers.set(0);
    call.other_stack.set(0);
    let registers = registers();
    call.stack_pointer
        .set(registers.map_or(0, |registers| registers.stack_pointer));
    call.instruction_pointer
        .set(registers.map_or(0, |registers| registers.instruction_pointer));
}

/// A thread with suspended calls makes a call with these arguments: is it the last of them, being
/// restarted, or one that cannot be kept? If not, suspended calls that this one shows to be over are
/// reported. `entering` says whether this is the call's entry, or the return of one without.
#[inline(always)]
pub(crate) fn resume(id: TaskId, thread: &Call, arguments: Arguments, entering: bool) -> bool {
    // One value for the optimiser, as for the stack pointer alone.
    let registers = core::hint::black_box(registers().unwrap_or(SavedRegisters::UNKNOWN));
    let stack_pointer = registers.stack_pointer;
    for _ in 0..=DEPTH_MAX {
        if thread.suspended.get() == 0 {
            break;
        }
        let Some(last) = inflight::nested(id.tid, thread.suspended.get() - 1) else {
            break;
        };
        let returned = last.has_returned();
        if !returned
            && (last.handlers.get() == 0 || last.is_made_again(registers))
            && last.has(arguments)
        {
            thread.add_suspended(-1);
            last.restarts.set(last.restarts.get().wrapping_add(1));
            last.active.set(1);
            return true;
        }
        let killed = if returned {
            false
        } else if last.handlers.get() == 0 {
            // No restart follows: without a handler, the application got the kernel's own errno
            // (a seccomp filter can give it); after one, the handler has changed the context.
            last.undecided.get() == 0
        } else if last.is_left(stack_pointer) {
            true
        } else if thread.suspended.get() <= DEPTH_MAX {
            break;
        } else if last.other_stack.get() == 0 && stack_pointer != 0 {
            lose(id, registers, entering);
            return true;
        } else {
            // It may have been left, by a way that does not show here, and would be in the way
            // for ever.
            give_up(id, thread, last);
            break;
        };
        end(id, last, u8::from(killed));
    }
    false
}

/// A call that cannot be kept is counted, once however often it is restarted: its entry, or its
/// return where it had none.
#[inline(always)]
fn lose(id: TaskId, registers: SavedRegisters, entering: bool) {
    let Ok(lost) = inflight::nested_or_new(id.tid, DEPTH_LOST) else {
        if !entering {
            emit::count(KernelLoss::InflightFull);
        }
        return;
    };
    let counted = !entering && lost.undecided.replace(0) != 0;
    let is_restart = lost.instruction_pointer.get() == registers.instruction_pointer
        && lost.stack_pointer.get() == registers.stack_pointer;
    lost.instruction_pointer.set(0);
    if !counted && !is_restart {
        emit::count(KernelLoss::NestingFull);
    }
    if entering {
        lost.undecided.set(1);
    } else if registers.result != -EINTR && suspends(registers.result) {
        let there = (registers.stack_pointer, registers.instruction_pointer);
        expect_restart(id, Some(there));
    }
}

/// The next call of this thread that cannot be kept is the restart of one, if it is made there: with
/// this stack and instruction pointer.
#[inline(always)]
fn expect_restart(id: TaskId, there: Option<(u64, u64)>) {
    // One value for the optimiser, as for the stack pointer.
    let (stack_pointer, instruction_pointer) = core::hint::black_box(there.unwrap_or((0, 0)));
    if let Some(lost) = inflight::nested(id.tid, DEPTH_LOST) {
        lost.stack_pointer.set(stack_pointer);
        lost.instruction_pointer.set(instruction_pointer);
    }
}

/// Loses a suspended call, to make room.
#[inline(always)]
fn give_up(id: TaskId, thread: &Call, last: &Call) {
    thread.add_suspended(-1);
    emit::count(KernelLoss::NestingFull);
    settlement::forget(last);
    // Its handlers return all the same.
    if let Some((_, below)) = last_suspended(id.tid) {
        below
            .handlers
            .set(below.handlers.get().wrapping_add(last.handlers.get()));
    }
}

/// The thread is gone, or runs another program: none of its calls will return.
#[inline(always)]
pub(crate) fn end_of_thread(id: TaskId) {
    let Some(thread) = inflight::thread(id.tid) else {
        return;
    };
    for _ in 0..=DEPTH_MAX {
        if thread.suspended.get() == 0 {
            return;
        }
        let Some(last) = inflight::nested(id.tid, thread.suspended.get() - 1) else {
            return;
        };
        let returned = last.has_returned() && !registers().is_some_and(|now| last.is_in(now));
        end(id, last, u8::from(!returned));
    }
}

#[raw_tracepoint(tracepoint = "signal_deliver")]
fn signal_deliver(ctx: RawTracePointContext) {
    // Behind the signal and its siginfo: `struct k_sigaction`.
    let action: u64 = ctx.arg(2);
    handler_begins(|| {
        Some((
            memory::read(action, setting!(offsets.sigaction_handler))?,
            memory::read(action, setting!(offsets.sigaction_flags))?,
        ))
    });
}

#[tracepoint(category = "signal", name = "signal_deliver")]
fn signal_deliver_plain(ctx: TracePointContext) {
    handler_begins(|| {
        Some((
            read(&ctx, setting!(deliver_sa_handler))?,
            read(&ctx, setting!(deliver_sa_flags))?,
        ))
    });
}

/// The current task gets a signal: `sa_handler` and `sa_flags`.
#[inline(always)]
fn handler_begins(action: impl FnOnce() -> Option<(u64, u64)>) {
    let id = task::current();
    let Some((thread, last)) = last_suspended(id.tid) else {
        return;
    };
    let Some((handler, flags)) = action() else {
        return;
    };
    if handler <= SIG_IGN {
        return;
    }
    if thread.suspended.get() > DEPTH_MAX {
        expect_restart(id, None);
    }
    if last.undecided.get() != 0 {
        last.undecided.set(0);
        // An earlier signal without a handler may have decided for a restart already.
        let open = !SHOWS_DECISION
            || registers().is_none_or(|registers| registers.result == last.ret.get());
        let interrupted = open
            && match -last.ret.get() {
                ERESTARTSYS => flags & SA_RESTART == 0,
                EINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => true,
                _ => false,
            };
        if interrupted {
            last.ret.set(-EINTR);
            end(id, last, 0);
            // The handler is one more on top of what this call stood on.
            if let Some((_, below)) = last_suspended(id.tid) {
                begin_handler(below, flags);
            }
            return;
        }
    }
    begin_handler(last, flags);
}

#[inline(always)]
fn begin_handler(call: &Call, flags: u64) {
    call.handlers.set(call.handlers.get().wrapping_add(1));
    if flags & SA_ONSTACK != 0 {
        call.other_stack.set(1);
    }
}

#[tracepoint(category = "syscalls", name = "sys_enter_rt_sigreturn")]
fn sys_enter_rt_sigreturn(_ctx: TracePointContext) {
    handler_returns(true);
}

/// The current task's signal handler returns. `is_told_again` by another hook, later.
#[inline(always)]
pub(crate) fn handler_returns(is_told_again: bool) {
    let id = task::current();
    let Some(thread) = inflight::thread(id.tid) else {
        return;
    };
    let was_told = thread.handler_told.replace(u8::from(is_told_again)) != 0;
    if (was_told && !is_told_again) || last_suspended(id.tid).is_none() {
        return;
    }
    let stack_pointer = stack_pointer();
    // What the handler that returns interrupted is below every call that is over: that has returned,
    // or was left by a jump.
    let is_over = |last: &Call| last.has_returned() || last.is_left(stack_pointer);
    for _ in 0..=DEPTH_MAX {
        let Some((_, last)) = last_suspended(id.tid) else {
            return;
        };
        if !is_over(last) {
            break;
        }
        end(id, last, u8::from(!last.has_returned()));
    }
    let Some((thread, last)) = last_suspended(id.tid) else {
        return;
    };
    if is_over(last) {
        return;
    }
    if thread.suspended.get() > DEPTH_MAX {
        expect_restart(id, registers::restart_after_handler(stack_pointer));
    }
    let restored = registers::stack_pointer_after_handler(stack_pointer);
    let is_own = restored == Some(last.stack_pointer.get());
    // Every handler that began since has returned with this one, or was left.
    let handlers = if is_own { 1 } else { last.handlers.get() };
    last.handlers.set(handlers.saturating_sub(1));
    if last.handlers.get() != 0 {
        return;
    }
    if last.ret.get() == TRAPPED {
        // The handler of SIGSYS returns, with what it has answered to the trapped call.
        let answer = registers::result_after_handler(stack_pointer);
        last.ret.set(answer.unwrap_or(-ENOSYS));
        last.killed.set(0);
    } else if last.goes_on(stack_pointer) {
        return;
    } else {
        last.killed.set(1);
    }
    end_last_suspended(id.tid);
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

impl Call {
    /// Whether a suspended call, if its thread is still alive and has left it, has returned.
    #[inline(always)]
    const fn has_returned(&self) -> bool {
        self.ret.get() == -EINTR
    }

    /// Whether the thread, with these registers, is still in the system call that was suspended.
    #[inline(always)]
    const fn is_in(&self, now: SavedRegisters) -> bool {
        (now.system_call == SYS_CONNECT || self.via.get() == VIA_COMPAT)
            && now.result == self.ret.get()
            && now.stack_pointer == self.stack_pointer.get()
            && now.instruction_pointer == self.instruction_pointer.get()
    }

    /// Whether a call with these registers can be the restart of a suspended one, though a handler has
    /// not returned: that of a 32-bit program does so by a system call that passes no hook.
    #[inline(always)]
    const fn is_made_again(&self, now: SavedRegisters) -> bool {
        self.via.get() == VIA_COMPAT
            && now.stack_pointer == self.stack_pointer.get()
            && now.instruction_pointer == self.instruction_pointer.get()
    }

    /// Whether a suspended call was left by a jump, though its handler has not returned: the
    /// thread's stack has shrunk to where it was, so the handler's frame is gone. If the handler has
    /// a stack of its own, which of the two lies higher tells nothing; but nothing that it calls
    /// stands exactly where the interrupted call stood.
    #[inline(always)]
    const fn is_left(&self, stack_pointer: u64) -> bool {
        let frame = self.stack_pointer.get();
        frame != 0
            && if self.other_stack.get() == 0 {
                stack_pointer >= frame
            } else {
                stack_pointer == frame
            }
    }

    /// Whether the last handler returns to where the call is made again, and not elsewhere, as it
    /// can by changing the context that it returns to.
    #[inline(always)]
    fn goes_on(&self, stack_pointer: u64) -> bool {
        let made = self.instruction_pointer.get();
        made == 0
            || registers::instruction_after_handler(stack_pointer)
                .is_none_or(|next| next == made.wrapping_sub(SYSCALL_LENGTH))
    }
}

/// A call without a result has `-ERESTARTSYS` for one, also where the kernel shows something else.
#[inline(always)]
pub(crate) const fn kernels_own(ret: i64) -> i64 {
    if ret == TRAPPED { -ERESTARTSYS } else { ret }
}

/// Nothing more becomes of the last suspended call.
#[inline(always)]
fn end(id: TaskId, last: &Call, killed: u8) {
    last.killed.set(killed);
    end_last_suspended(id.tid);
}

/// The last suspended call is over, with what stands in it.
///
/// A global function for the kernel, of which the verifier looks at each program's copy once, and not for
/// every way that leads here, some of them in loops: it takes and returns only numbers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn end_last_suspended(tid: u32) -> u32 {
    let Some((thread, last)) = last_suspended(tid) else {
        return 0;
    };
    thread.add_suspended(-1);
    let ret = last.ret.get();
    // Of one that is killed, the application did not get it.
    last.ret.set(if ret == -EINTR && last.killed.get() != 0 {
        -ERESTARTSYS
    } else {
        kernels_own(ret)
    });
    report(last);
    0
}

/// The caller's stack pointer; 0 where it is not known. One value for the optimiser, which would else
/// keep what it has only for the way on which it is known, and read it on both: kernels before 6.4 refuse
/// to read what was not written.
#[inline(always)]
fn stack_pointer() -> u64 {
    core::hint::black_box(registers().map_or(0, |registers| registers.stack_pointer))
}

#[inline(always)]
fn read(ctx: &TracePointContext, offset: u32) -> Option<u64> {
    // SAFETY: read_at copies through bpf_probe_read_kernel, which checks the address.
    unsafe { ctx.read_at::<u64>(offset as usize) }.ok()
}
