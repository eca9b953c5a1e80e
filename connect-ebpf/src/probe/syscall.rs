//! The native connect system call.
//!
//! Tracepoints `syscalls:sys_enter_connect` and `syscalls:sys_exit_connect` (kernel 2.6.33 to
//! current, `kernel/trace/trace_syscalls.c`). Their arguments are read straight from the context;
//! a helper call for each would cost 40 ns.

use aya_ebpf::{
    EbpfContext as _, helpers::bpf_ktime_get_ns, macros::tracepoint, programs::TracePointContext,
};
use aya_log_ebpf::error;
use connect_ebpf::{
    loss::KernelLoss,
    record::{ADDRESS_AT_ENTRY, ADDRESS_AT_EXIT, KNOWN_ARGUMENTS, KNOWN_ENTRY},
};

use crate::{
    emit, filter,
    inflight::{self, Arguments, Call},
    maps::setting,
    probe::interruption,
    report::{End, report},
    task::{self, TaskId},
};

/// `fd` in the context of `sys_enter_connect`.
const ENTER_FD: usize = 16;
/// `uservaddr` in the context of `sys_enter_connect`.
const ENTER_USERVADDR: usize = 24;
/// `addrlen` in the context of `sys_enter_connect`.
const ENTER_ADDRLEN: usize = 32;
/// `ret` in the context of `sys_exit_connect`.
const EXIT_RET: usize = 16;

/// -E2BIG: no room in a hash map.
const MAP_FULL: i32 = -7;

#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
fn sys_enter_connect(ctx: TracePointContext) {
    let id = task::current();
    let arguments = Arguments::new([
        field(&ctx, ENTER_FD),
        field(&ctx, ENTER_USERVADDR),
        field(&ctx, ENTER_ADDRLEN),
    ]);
    // A call that is restarted is known already; it passed the filter when it was new.
    let thread = inflight::thread(id.tid);
    if let Some(thread) = thread
        && thread.suspended.get() != 0
        && interruption::resume(id, thread, arguments, true)
    {
        return;
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
    call.begin(arguments, KNOWN_ENTRY | KNOWN_ARGUMENTS, ADDRESS_AT_ENTRY);
    call.active.set(1);
    // Last, so that what we did ourselves is not in the call's duration.
    // SAFETY: the helper takes no arguments.
    call.entered_ns.set(unsafe { bpf_ktime_get_ns() });
}

#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
fn sys_exit_connect(ctx: TracePointContext) {
    // First, for the same reason.
    // SAFETY: the helper takes no arguments.
    let at_ns = unsafe { bpf_ktime_get_ns() };
    let id = task::current();
    let Some(call) = inflight::under_way(id.tid).or_else(|| unseen_entry(&ctx, id)) else {
        return;
    };
    call.active.set(0);
    // The page may be there now: the kernel has read the address meanwhile.
    call.read_address(ADDRESS_AT_EXIT);
    let ret = field(&ctx, EXIT_RET).cast_signed();
    let entry_seen = call.known.get() & KNOWN_ENTRY != 0;
    if setting!(interruptions) != 0 && interruption::suspends(ret, entry_seen) {
        interruption::suspend(id, call, ret, at_ns);
        return;
    }
    let ret = if interruption::is_trapped(ret, entry_seen) {
        interruption::kernels_own(ret)
    } else {
        ret
    };
    let killed = 0;
    report(id, call, End { ret, at_ns, killed });
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
/// it (`SECCOMP_RET_USER_NOTIF`), or it was under way when the hooks were attached. Learns the
/// arguments from the saved registers where the kernel lets us.
#[inline(always)]
fn unseen_entry(ctx: &TracePointContext, id: TaskId) -> Option<&'static Call> {
    let (arguments, known) = match interruption::registers() {
        Some(registers) => (registers.arguments, KNOWN_ARGUMENTS),
        None => ([0; 3], 0),
    };
    let arguments = Arguments::new(arguments);
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
            call.begin(arguments, known, ADDRESS_AT_EXIT);
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

/// Eight bytes of the tracepoint's context.
#[inline(always)]
fn field(ctx: &TracePointContext, offset: usize) -> u64 {
    let field = ctx.as_ptr().wrapping_byte_add(offset).cast::<u64>();
    // SAFETY: the verifier checks the offset against the tracepoint's size.
    unsafe { field.read() }
}
