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
//! Until then the call is suspended; a connect that the handler makes is a call of its own.
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

use core::hint::black_box;

use connect_ebpf::{
    loss::KernelLoss,
    record::{KNOWN_ARGUMENTS, KNOWN_ENTRY},
    settings::REGISTERS_OFF,
    uapi::errno,
};

use super::{
    call::{Arguments, Call},
    end::end,
    handover, observed,
    suspended::{self, LEVELS, Suspended, for_each_level},
    thread::{self, CALLING, IDLE, LOST, Thread},
};
use crate::{
    fact::{
        architecture::{self, SHOWS_DECISION},
        registers::{self, Place, SavedRegisters, registers},
        setting::setting,
        task::{self, TaskId},
    },
    output::loss::lose,
};

const EINTR: i64 = errno::EINTR as i64;
/// What a trapped call is taken to have returned where its handler's answer cannot be read.
const ENOSYS: i64 = errno::ENOSYS as i64;
const ERESTARTSYS: i64 = errno::ERESTARTSYS as i64;
const ERESTARTNOINTR: i64 = errno::ERESTARTNOINTR as i64;
const ERESTARTNOHAND: i64 = errno::ERESTARTNOHAND as i64;
const ERESTART_RESTARTBLOCK: i64 = errno::ERESTART_RESTARTBLOCK as i64;

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
pub(super) fn unless_trapped(ret: i64, call: &Call) -> i64 {
    let call = &call.connect.call;
    let entry_seen = call.known & KNOWN_ENTRY != 0;
    let has_arguments = call.known & KNOWN_ARGUMENTS != 0;
    let fd = has_arguments.then_some(call.fd);
    if !entry_seen && architecture::is_taken_back(ret, fd, task::is_interrupted) {
        TRAPPED
    } else {
        ret
    }
}

/// Whether a call that returned this is not over yet.
#[inline(always)]
pub(super) fn suspends(ret: i64) -> bool {
    ret == TRAPPED || (is_interruption(ret) && task::is_interrupted())
}

#[inline(always)]
fn is_interruption(ret: i64) -> bool {
    match -ret {
        ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => true,
        // Only its registers show whether the thread has left the system call.
        EINTR => setting!(task_registers) != REGISTERS_OFF,
        _ => false,
    }
}

/// A call without a result has `-ERESTARTSYS` for one, also where the kernel shows something else.
#[inline(always)]
pub(super) const fn kernels_own(ret: i64) -> i64 {
    if ret == TRAPPED { -ERESTARTSYS } else { ret }
}

/// Suspends the thread's call, which has returned, until what becomes of it is known.
#[inline(always)]
pub(super) fn suspend(id: TaskId, thread: &mut Thread) {
    // One value for the optimiser, as for the stack pointer alone.
    let place = black_box(registers().map_or(Place::UNKNOWN, |registers| registers.place));
    if thread.suspended() >= LEVELS {
        let Some(last) = last_suspended(id.tid, thread) else {
            return;
        };
        if last.other_stack == 0 && place.stack_pointer != 0 {
            lose_current(thread, KernelLoss::NestingFull, place);
            return;
        }
        // The last suspended one may have been left, by a way that does not show here, and would be in the
        // way for ever.
        give_up_last(id.tid, thread);
    }
    if suspended::push(id.tid, thread.suspended(), &thread.call, place) {
        thread.add_suspended();
    } else {
        lose_current(thread, KernelLoss::InflightFull, place);
    }
}

/// Loses the thread's call, which was made there and is interrupted: there is no room to wait for what becomes of
/// it.
#[inline(always)]
fn lose_current(thread: &mut Thread, reason: KernelLoss, place: Place) {
    lose(reason);
    handover::forget_that_of(&mut thread.call);
    // Of a call that the application got EINTR from, there is no restart.
    if thread.call.connect.ret != -EINTR {
        thread.expect_lost(place);
    }
}

/// Loses the last suspended call, to make room.
#[inline(always)]
fn give_up_last(tid: u32, thread: &mut Thread) {
    let Some(last) = last_suspended(tid, thread) else {
        return;
    };
    lose(KernelLoss::NestingFull);
    handover::forget_that_of(&mut last.call);
    let handlers = last.handlers;
    suspended::remove(tid, thread.remove_suspended());
    // Its handlers return all the same.
    if let Some(below) = last_suspended(tid, thread) {
        below.handlers = below.handlers.wrapping_add(handlers);
    }
}

/// A thread with suspended calls makes a call with these arguments: is it the last of them, being
/// restarted, or one that is lost? If not, suspended calls that this one shows to be over end.
#[inline(always)]
pub(super) fn resumes(id: TaskId, thread: &mut Thread, arguments: Arguments) -> bool {
    // One value for the optimiser, as for the stack pointer alone.
    let registers = black_box(registers().unwrap_or(SavedRegisters::UNKNOWN));
    if thread.expects(registers.place) {
        thread.expect_none();
        thread.state = LOST;
        return true;
    }
    for_each_level!('over: {
        let Some(last) = last_suspended(id.tid, thread) else {
            return false;
        };
        let returned = last.has_returned();
        if !returned
            && (last.handlers == 0 || last.can_be_restarted_by(registers))
            && last.call.has(arguments)
        {
            break 'over;
        }
        let killed = if returned {
            false
        } else if last.handlers == 0 {
            // No restart follows: without a handler, the application got the kernel's own errno
            // (a seccomp filter can give it); after one, the handler has changed the context.
            last.undecided == 0
        } else if last.is_left(registers.place.stack_pointer) {
            true
        } else {
            return false;
        };
        end_last(id.tid, thread, killed);
    });
    restart(id.tid, thread)
}

/// The last suspended call is made again; false where there is none.
#[inline(always)]
fn restart(tid: u32, thread: &mut Thread) -> bool {
    let Some(last) = last_suspended(tid, thread) else {
        return false;
    };
    thread.call.become_copy_of(&last.call);
    let restarts = &mut thread.call.connect.restarts;
    *restarts = restarts.wrapping_add(1);
    thread.state = CALLING;
    thread.expect_none();
    suspended::remove(tid, thread.remove_suspended());
    true
}

/// A call that is lost has returned this: its restart is lost too.
#[inline(always)]
pub(super) fn lost_returns(thread: &mut Thread, ret: i64) {
    thread.state = IDLE;
    if is_interruption(ret) && ret != -EINTR && task::is_interrupted() {
        let place = black_box(registers().map_or(Place::UNKNOWN, |registers| registers.place));
        thread.expect_lost(place);
    }
}

/// The thread is gone, or runs another program: none of its suspended calls will return.
#[inline(always)]
pub(super) fn end_of_thread(tid: u32, thread: &mut Thread) {
    for_each_level!('all: {
        let Some(last) = last_suspended(tid, thread) else {
            break 'all;
        };
        let returned = last.has_returned() && !registers().is_some_and(|now| last.is_in(now));
        end_last(tid, thread, !returned);
    });
}

/// The current task gets a signal with this `sa_handler` and `sa_flags`.
#[inline(always)]
pub(crate) fn handler_begins(action: impl FnOnce() -> Option<(u64, u64)>) {
    if !observed::is_on() {
        return;
    }
    let id = task::current();
    let Some(thread) = thread::entry(id.tid) else {
        return;
    };
    if !thread.has_interrupted() {
        return;
    }
    let Some((handler, flags)) = action() else {
        return;
    };
    if handler <= SIG_IGN {
        return;
    }
    thread.expect_none();
    let Some(last) = last_suspended(id.tid, thread) else {
        return;
    };
    let on_other_stack = flags & SA_ONSTACK != 0;
    if last.undecided != 0 {
        last.undecided = 0;
        let ret = last.call.connect.ret;
        // An earlier signal without a handler may have decided for a restart already.
        let open = !SHOWS_DECISION || registers().is_none_or(|registers| registers.result == ret);
        let interrupted = open
            && match -ret {
                ERESTARTSYS => flags & SA_RESTART == 0,
                EINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => true,
                _ => false,
            };
        if interrupted {
            last.call.connect.ret = -EINTR;
            end_last(id.tid, thread, false);
            // The handler is one more on top of what this call stood on.
            if let Some(below) = last_suspended(id.tid, thread) {
                below.begin_handler(on_other_stack);
            }
            return;
        }
    }
    last.begin_handler(on_other_stack);
}

/// The current task's signal handler returns. Of two hooks on this, the tracepoint comes first:
/// `is_reported_again` says whether fentry will see it too.
#[inline(always)]
pub(crate) fn handler_returns(is_reported_again: bool) {
    if !observed::is_on() {
        return;
    }
    let id = task::current();
    let Some(thread) = thread::entry(id.tid) else {
        return;
    };
    let was_reported = thread.handler_reported != 0;
    thread.handler_reported = u8::from(is_reported_again);
    if (was_reported && !is_reported_again) || !thread.has_interrupted() {
        return;
    }
    let stack_pointer = stack_pointer();
    // What the handler that returns interrupted is below every call that is over: that has returned,
    // or was left by a jump.
    let is_over = |last: &Suspended| last.has_returned() || last.is_left(stack_pointer);
    for_each_level!('over: {
        let Some(last) = last_suspended(id.tid, thread) else {
            break 'over;
        };
        if !is_over(last) {
            break 'over;
        }
        let killed = !last.has_returned();
        end_last(id.tid, thread, killed);
    });
    let Some(last) = last_suspended(id.tid, thread) else {
        expect_restart_of_lost(thread, stack_pointer);
        return;
    };
    if is_over(last) {
        return;
    }
    // Every handler that began since has returned with this one, or was left.
    let handlers = if last.is_returned_to(stack_pointer) {
        1
    } else {
        last.handlers
    };
    last.handlers = handlers.saturating_sub(1);
    if last.handlers != 0 {
        expect_restart_of_lost(thread, stack_pointer);
        return;
    }
    let mut killed = false;
    if last.call.connect.ret == TRAPPED {
        // The handler of SIGSYS returns, with what it has answered to the trapped call.
        let answer = registers::result_after_handler(stack_pointer);
        last.call.connect.ret = answer.unwrap_or(-ENOSYS);
    } else if last.goes_on(stack_pointer) {
        return;
    } else if last.undecided != 0 && registers::result_after_handler(stack_pointer) == Some(-EINTR)
    {
        // That its handler began was not seen, but what the application gets shows here.
        last.call.connect.ret = -EINTR;
    } else {
        killed = true;
    }
    end_last(id.tid, thread, killed);
}

/// The handler that returns may return to a call that is lost, and is restarted then.
#[inline(always)]
fn expect_restart_of_lost(thread: &mut Thread, stack_pointer: u64) {
    if thread.has_lost() {
        let restart = registers::restart_after_handler(stack_pointer);
        thread.expect_lost(black_box(restart.unwrap_or(Place::UNKNOWN)));
    }
}

#[inline(always)]
fn last_suspended(tid: u32, thread: &Thread) -> Option<&'static mut Suspended> {
    if thread.suspended() == 0 {
        return None;
    }
    suspended::at(tid, thread.suspended() - 1)
}

/// Nothing more becomes of the last suspended call.
#[inline(always)]
fn end_last(tid: u32, thread: &mut Thread, killed: bool) {
    thread.expect_none();
    end_suspended(tid, thread.remove_suspended(), killed.into());
}

/// A suspended call is over, and never returned to the application if it is `killed`.
///
/// A global function for the kernel, of which the verifier looks at each program's copy once, and not for
/// every way that leads here, some of them in loops: it takes and returns only numbers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn end_suspended(tid: u32, level: u32, killed: u32) -> u32 {
    let Some(last) = suspended::at(tid, level) else {
        return 0;
    };
    let connect = &mut last.call.connect;
    connect.killed = u8::from(killed != 0);
    // Of one that is killed, the application did not get it.
    connect.ret = if connect.ret == -EINTR && killed != 0 {
        -ERESTARTSYS
    } else {
        kernels_own(connect.ret)
    };
    end(&mut last.call);
    suspended::remove(tid, level);
    0
}

/// The caller's stack pointer; 0 where it is not known. One value for the optimiser, which would else
/// keep what it has only for the way on which it is known, and read it on both: kernels before 6.4 refuse
/// to read what was not written.
#[inline(always)]
fn stack_pointer() -> u64 {
    black_box(registers().map_or(0, |registers| registers.place.stack_pointer))
}
