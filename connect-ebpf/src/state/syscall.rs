//! A connect system call of the current thread, from its entry to its return, whichever hooks see them.

use core::mem::replace;

use aya_ebpf::EbpfContext;
use aya_log_ebpf::error;
use connect_ebpf::{
    code::{AddressSource, SocketType, Transport, Via},
    loss::{KernelLoss, RETURNS_BY_FUNCTION, RETURNS_CONFIRMED, RETURNS_MISSED},
    record::{KNOWN_ARGUMENTS, KNOWN_ENTRY},
};

use super::{
    association,
    call::{Arguments, Call},
    end::end,
    handover, interruption, observed,
    thread::{self, CALLING, ENTRY, IDLE, LOST, NOTHING, RETURN, Thread},
};
use crate::{
    fact::{
        architecture::SYS_CONNECT,
        compat,
        registers::{self, registers},
        setting::setting,
        socket::{self, Socket},
        task::{self, TaskId},
    },
    output::loss::{lose, returned},
};

/// -E2BIG: no room in a hash map.
const MAP_FULL: i32 = -7;

/// The current task enters a call. `arguments` is `None` where they cannot be read yet. `is_seen_again` says whether
/// another hook will see this entry too.
#[inline(always)]
pub(crate) fn enter(id: TaskId, arguments: Option<Arguments>, via: Via, is_seen_again: bool) {
    if !observed::is_on() {
        return;
    }
    let (arguments, arguments_known) = Arguments::or_unknown(arguments);
    let reported = if is_seen_again { ENTRY } else { NOTHING };
    let mut known = thread::entry(id.tid);
    // A call that is restarted is known already; it passed the filter when it was new.
    if let Some(thread) = &mut known {
        thread.reported = reported;
        if thread.state == CALLING {
            thread.state = IDLE;
            miss(thread);
        }
        if thread.has_interrupted() && interruption::resumes(id, thread, arguments) {
            return;
        }
    }
    if !observed::task(id) {
        return;
    }
    let thread = match known {
        Some(thread) => thread,
        None => match thread::new_entry(id.tid) {
            Ok(thread) => {
                thread.reported = reported;
                thread
            }
            // Counted at the return, where the call is known to have happened.
            Err(_full) => return,
        },
    };
    thread.state = CALLING;
    begin(
        thread,
        id,
        arguments,
        via,
        KNOWN_ENTRY | arguments_known,
        AddressSource::Entry,
    );
    // Last, so that what we did ourselves is not in the call's duration.
    thread.call.connect.call.entered_ns = task::now();
}

#[inline(always)]
fn begin(
    thread: &mut Thread,
    id: TaskId,
    arguments: Arguments,
    via: Via,
    known: u8,
    source: AddressSource,
) {
    let call = &mut thread.call;
    call.begin(id, arguments, via.number(), known);
    call.read_address(source);
    task::comm(&mut call.connect.call.comm);
    // Before the kernel does: another thread may close the descriptor any time.
    call.is_about(socket::of(arguments.fd));
}

/// The call that the current task is in, though its entry was not seen, as that was before the hooks were live: it
/// begins now, without the time of its entry. The socket is TCP's, and about to connect.
#[inline(always)]
pub(super) fn call_under_way(id: TaskId, sk: u64) -> Option<&'static mut Call> {
    let (arguments, via) = if task::is_compat() {
        (compat_under_way()?, Via::Compat)
    } else {
        let registers = registers()?;
        if registers.system_call != SYS_CONNECT {
            return None;
        }
        (Arguments::new(registers.arguments), Via::Syscall)
    };
    if !observed::task(id) {
        return None;
    }
    let thread = match thread::entry(id.tid) {
        Some(thread) => thread,
        None => thread::new_entry(id.tid).ok()?,
    };
    thread.state = CALLING;
    let call = &mut thread.call;
    call.begin(id, arguments, via.number(), KNOWN_ARGUMENTS);
    task::comm(&mut call.connect.call.comm);
    call.is_about(Some(Socket {
        sk,
        inode: 0,
        transport: Transport::Tcp,
        kind: SocketType::Stream.number(),
        begun: 0,
    }));
    call.connect.call.entered_ns = task::now();
    Some(call)
}

/// The call that the current task is in takes its arguments, if they could not be read when it was entered: the
/// kernel has read them by now.
#[inline(always)]
pub(super) fn learn_arguments(call: &mut Call) {
    if setting!(compat) != 0
        && call.connect.call.via == Via::Compat.number()
        && !call.has_arguments()
    {
        call.learn(compat_under_way());
    }
}

/// The arguments of the 32-bit connect that the current task is in, if a hook will see its return.
#[inline(always)]
fn compat_under_way() -> Option<Arguments> {
    if setting!(compat) == 0 || !observed::sees_compat() {
        return None;
    }
    let registers = registers::place()?;
    let number = compat::number(registers);
    if !compat::may_connect(number) || !compat::connects(number, registers) {
        return None;
    }
    compat::arguments(number, registers).map(Arguments::new)
}

/// Whether fentry has nothing to do for this entry, as the tracepoint has reported it.
#[inline(always)]
pub(crate) fn entry_is_reported(id: TaskId) -> bool {
    let Some(thread) = thread::entry(id.tid) else {
        return false;
    };
    replace(&mut thread.reported, NOTHING) == ENTRY
}

/// The thread is gone, or runs another program: a call that it was in has not been seen to return.
#[inline(always)]
pub(super) fn end_of_thread(thread: &mut Thread) {
    if thread.state == CALLING {
        thread.state = IDLE;
        miss(thread);
    }
}

/// A call has returned, and our hook did not run: because the kernel had preempted it for another task
/// (7.0), or had replaced it, as it does when another program is attached to the same function.
#[inline(always)]
fn miss(thread: &mut Thread) {
    lose(KernelLoss::ReturnMissed);
    if thread.call.connect.call.via == Via::Syscall.number() {
        returned(RETURNS_MISSED);
    }
    handover::forget_that_of(&mut thread.call);
}

/// How a call returns.
pub(crate) struct Return {
    /// 0, or a negated errno; of the kernel's own, also what no application sees.
    pub(crate) ret: i64,
    /// `CLOCK_MONOTONIC`, in ns.
    pub(crate) at_ns: u64,
    /// How it was made.
    pub(crate) via: Via,
    /// Another hook will see this return too, and also those of calls whose entry was not seen.
    pub(crate) is_seen_again: bool,
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
        ret,
        at_ns,
        via,
        is_seen_again,
    } = returns;
    if !observed::is_on() {
        return;
    }
    let mut known = thread::entry(id.tid);
    let mut entry_was_seen = false;
    if let Some(thread) = &mut known {
        if !is_seen_again && replace(&mut thread.reported, NOTHING) == RETURN {
            returned(RETURNS_CONFIRMED);
            return;
        }
        entry_was_seen = is_in_this_call(thread, &arguments);
        if entry_was_seen && is_seen_again {
            thread.reported = RETURN;
            returned(RETURNS_BY_FUNCTION);
        }
    }
    if !entry_was_seen {
        if is_seen_again {
            return;
        }
        known = enter_unseen(ctx, id, known, via, arguments());
    }
    let Some(thread) = known else {
        return;
    };
    if thread.state == LOST {
        interruption::lost_returns(thread, ret);
        return;
    }
    thread.state = IDLE;
    let call = &mut thread.call;
    if via == Via::Compat && !call.has_arguments() {
        call.learn(arguments());
    }
    // The page may be there now: the kernel has read the address meanwhile.
    call.read_address(AddressSource::Exit);
    let ret = interruption::unless_trapped(ret, call);
    call.returns(ret, at_ns);
    if setting!(interruptions) != 0 && interruption::suspends(ret) {
        interruption::suspend(id, thread);
        return;
    }
    call.connect.ret = interruption::kernels_own(ret);
    end(call);
    if association::is_concluded_by(call) {
        associate(id.tid);
    }
}

/// The last call of a thread has connected a datagram socket, or dissolved its association.
///
/// A global function for the kernel, of numbers only, so that the verifier looks at it once per program.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn associate(tid: u32) -> u32 {
    if let Some(thread) = thread::entry(tid) {
        association::associate(&mut thread.call);
    }
    0
}

/// Whether the thread is in a call whose entry was seen, and this is the one that returns. Where the kernel
/// skips programs, it may be another, whose entry was skipped, as was this one's return.
#[inline(always)]
fn is_in_this_call(thread: &mut Thread, arguments: impl Fn() -> Option<Arguments>) -> bool {
    if thread.state != CALLING {
        return thread.state == LOST;
    }
    if setting!(skipped) != 0
        && thread.call.has_arguments()
        && let Some(arguments) = arguments()
        && !thread.call.has(arguments)
    {
        thread.state = IDLE;
        miss(thread);
        return false;
    }
    true
}

/// A return without an entry: seccomp denied the call before the entry could be seen, or answered
/// it (`SECCOMP_RET_USER_NOTIF`), or it was under way when the hooks were attached.
#[inline(always)]
fn enter_unseen(
    ctx: &impl EbpfContext,
    id: TaskId,
    mut known: Option<&'static mut Thread>,
    via: Via,
    arguments: Option<Arguments>,
) -> Option<&'static mut Thread> {
    if let (Some(thread), Some(arguments)) = (&mut known, arguments)
        && thread.has_interrupted()
        && interruption::resumes(id, thread, arguments)
    {
        return known;
    }
    if !observed::task(id) {
        return None;
    }
    let thread = match known {
        Some(thread) => thread,
        None => match thread::new_entry(id.tid) {
            Ok(thread) => thread,
            Err(error) => {
                if lose(KernelLoss::InflightFull) && error != MAP_FULL {
                    error!(ctx, "no entry for thread {}: error {}", id.tid, error);
                }
                return None;
            }
        },
    };
    let (arguments, known) = Arguments::or_unknown(arguments);
    begin(thread, id, arguments, via, known, AddressSource::Exit);
    Some(thread)
}
