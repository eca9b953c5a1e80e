//! A connect call from its entry to its return, whichever hook tells of them.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::error;
use connect_ebpf::{
    loss::{KernelLoss, RETURNS_BY_FUNCTION, RETURNS_CONFIRMED, RETURNS_MISSED},
    record::{ADDRESS_AT_ENTRY, ADDRESS_AT_EXIT, KNOWN_ARGUMENTS, KNOWN_ENTRY, VIA_SYSCALL},
};

use crate::{
    atomic::increment_in,
    emit, filter,
    inflight::{self, Arguments, Call, TOLD_NOTHING, TOLD_RETURN},
    maps::{RETURNS, setting},
    probe::interruption,
    report::report,
    settlement,
    task::{self, TaskId},
};

/// -E2BIG: no room in a hash map.
const MAP_FULL: i32 = -7;

/// The current task enters a call. `told` is what the other hook on the same call may have to know.
#[inline(always)]
pub(crate) fn enter(id: TaskId, arguments: Arguments, via: u8, told: u8) {
    // A call that is restarted is known already; it passed the filter when it was new.
    let thread = inflight::thread(id.tid);
    if let Some(thread) = thread {
        thread.told.set(told);
        if thread.suspended.get() != 0 && interruption::resume(id, thread, arguments, true) {
            return;
        }
    }
    if !filter::task(id) {
        return;
    }
    let call = match thread {
        Some(thread) if thread.suspended.get() == 0 => thread,
        _ => match this_call(id.tid) {
            Ok(call) => call,
            // Counted at the return, where the call is known to have happened.
            Err(_full) => return,
        },
    };
    if call.active.replace(1) != 0 {
        miss(call);
    }
    call.told.set(told);
    call.via.set(via);
    call.begin(
        id,
        arguments,
        KNOWN_ENTRY | KNOWN_ARGUMENTS,
        ADDRESS_AT_ENTRY,
    );
    // Last, so that what we did ourselves is not in the call's duration.
    call.entered_ns.set(task::now());
}

/// The thread is gone, or runs another program: a call that it was in has not been seen to return.
#[inline(always)]
pub(crate) fn end_of_thread(tid: u32) {
    if let Some(call) = inflight::under_way(tid) {
        call.active.set(0);
        miss(call);
    }
}

/// A call has returned, and our hook did not run: because the kernel had preempted it for another task
/// (7.0), or had replaced it, as it does when another program is attached to the same function.
#[inline(always)]
fn miss(call: &Call) {
    emit::count(KernelLoss::ReturnMissed);
    if call.via.get() == VIA_SYSCALL {
        increment_in(&RETURNS, RETURNS_MISSED);
    }
    settlement::forget(call);
}

/// How a call returns.
pub(crate) struct Return {
    /// 0, or a negated errno; of the kernel's own, also what no application sees.
    pub(crate) ret: i64,
    /// `CLOCK_MONOTONIC`, in ns.
    pub(crate) at_ns: u64,
    /// How it was made: `VIA_*`.
    pub(crate) via: u8,
    /// Another hook tells of the same return, later, and also of calls whose entry was not seen.
    pub(crate) is_told_again: bool,
}

/// The current task's call returns. `arguments` are for a call whose entry was not seen.
#[inline(always)]
pub(crate) fn exit(
    ctx: &impl EbpfContext,
    id: TaskId,
    returns: Return,
    arguments: impl Fn() -> Option<Arguments>,
) {
    let Return {
        ret, at_ns, via, ..
    } = returns;
    let thread = inflight::thread(id.tid);
    let call_of =
        |thread| inflight::call_of(id.tid, thread).filter(|call| has_returned(call, &arguments));
    let seen = match thread {
        Some(thread) if returns.is_told_again => {
            let call = call_of(thread);
            if call.is_some() {
                thread.told.set(TOLD_RETURN);
                increment_in(&RETURNS, RETURNS_BY_FUNCTION);
            }
            call
        }
        Some(thread) => {
            if thread.told.replace(TOLD_NOTHING) == TOLD_RETURN {
                increment_in(&RETURNS, RETURNS_CONFIRMED);
                return;
            }
            call_of(thread)
        }
        None => None,
    };
    let call = match seen {
        Some(call) => call,
        None if returns.is_told_again => return,
        None => match unseen_entry(ctx, id, via, arguments()) {
            Some(call) => call,
            None => return,
        },
    };
    call.active.set(0);
    // The page may be there now: the kernel has read the address meanwhile.
    call.read_address(ADDRESS_AT_EXIT);
    let ret = interruption::unless_trapped(ret, call);
    call.ret.set(ret);
    call.returned_ns.set(at_ns);
    call.killed.set(0);
    if setting!(interruptions) != 0 && interruption::suspends(ret) {
        interruption::suspend(id, call);
        return;
    }
    call.ret.set(interruption::kernels_own(ret));
    report(call);
}

/// Whether it is this call that returns. Where the kernel skips programs, it may be another, whose entry was
/// skipped, as was this one's return.
#[inline(always)]
fn has_returned(call: &Call, arguments: impl Fn() -> Option<Arguments>) -> bool {
    if setting!(skipped) != 0
        && let Some(arguments) = arguments()
        && !call.has(arguments)
    {
        call.active.set(0);
        miss(call);
        return false;
    }
    true
}

/// The entry of a call that stands on the suspended ones of its thread, made where there is none.
#[inline(always)]
fn this_call(tid: u32) -> Result<&'static Call, i32> {
    let thread = inflight::thread_or_new(tid)?;
    if thread.suspended.get() == 0 {
        Ok(thread)
    } else {
        inflight::nested_or_new(tid, thread.suspended.get())
    }
}

/// A return without an entry: seccomp denied the call before the entry could be seen, or answered
/// it (`SECCOMP_RET_USER_NOTIF`), or it was under way when the hooks were attached.
#[inline(always)]
fn unseen_entry(
    ctx: &impl EbpfContext,
    id: TaskId,
    via: u8,
    arguments: Option<Arguments>,
) -> Option<&'static Call> {
    let (arguments, known) = match arguments {
        Some(arguments) => (arguments, KNOWN_ARGUMENTS),
        None => (Arguments::new([0; 3]), 0),
    };
    if known != 0
        && let Some(thread) = inflight::thread(id.tid)
        && thread.suspended.get() != 0
        && interruption::resume(id, thread, arguments, false)
    {
        return inflight::under_way(id.tid);
    }
    if !filter::task(id) {
        return None;
    }
    match this_call(id.tid) {
        Ok(call) => {
            call.via.set(via);
            call.begin(id, arguments, known, ADDRESS_AT_EXIT);
            Some(call)
        }
        Err(error) => {
            if emit::count(KernelLoss::InflightFull) && error != MAP_FULL {
                error!(ctx, "no entry for thread {}: error {}", id.tid, error);
            }
            None
        }
    }
}
