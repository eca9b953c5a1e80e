//! The native connect system call.
//!
//! Tracepoints `syscalls:sys_enter_connect` and `syscalls:sys_exit_connect` (kernel 2.6.33 to
//! current, `kernel/trace/trace_syscalls.c`). Their arguments are read straight from the context;
//! a helper call for each would cost 40 ns.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_current_cgroup_id, bpf_ktime_get_ns},
    macros::tracepoint,
    programs::TracePointContext,
};
use aya_log_ebpf::error;
use connect_ebpf::{
    loss::KernelLoss,
    record::{
        ADDRESS_AT_ENTRY, ADDRESS_AT_EXIT, ADDRESS_NOT_READ, Connect, Header, KIND_CONNECT,
        KNOWN_ARGUMENTS, KNOWN_ENTRY, VERSION, VIA_SYSCALL,
    },
};

use crate::{
    emit, filter,
    inflight::{self, Call},
    maps::setting,
    task::{self, TaskId},
};

/// `fd` in the context of `sys_enter_connect`: 8 bytes, of which the upper 4 are garbage.
const ENTER_FD: usize = 16;
/// `uservaddr` in the context of `sys_enter_connect`.
const ENTER_USERVADDR: usize = 24;
/// `addrlen` in the context of `sys_enter_connect`: 8 bytes, of which the upper 4 are garbage.
const ENTER_ADDRLEN: usize = 32;
/// `ret` in the context of `sys_exit_connect`.
const EXIT_RET: usize = 16;

/// -E2BIG: no room in a hash map.
const MAP_FULL: i32 = -7;

#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
fn sys_enter_connect(ctx: TracePointContext) {
    let id = task::current();
    if !filter::task(id) {
        return;
    }
    // A full table is counted at the return, where the call is known to have happened.
    if let Ok(call) = inflight::of_thread(id.tid) {
        call.fd = field(&ctx, ENTER_FD) as i32;
        call.addrlen = field(&ctx, ENTER_ADDRLEN) as i32;
        call.address_pointer = field(&ctx, ENTER_USERVADDR);
        call.address_len =
            inflight::read_address(&mut call.address, call.address_pointer, call.addrlen);
        call.comm = task::comm();
        // Last, so that what we did ourselves is not in the call's duration.
        // SAFETY: the helper takes no arguments.
        call.entered_ns = unsafe { bpf_ktime_get_ns() };
    }
}

#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
fn sys_exit_connect(ctx: TracePointContext) {
    // First, for the same reason.
    // SAFETY: the helper takes no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let id = task::current();
    if !filter::task(id) {
        return;
    }
    let call = match inflight::of_thread(id.tid) {
        Ok(call) => call,
        Err(error) => {
            if emit::count(KernelLoss::InflightFull) && error != MAP_FULL {
                error!(&ctx, "no entry for thread {}: error {}", id.tid, error);
            }
            return;
        }
    };
    let ret = field(&ctx, EXIT_RET).cast_signed();
    let known = if call.entered_ns == 0 {
        unseen_entry(call)
    } else {
        KNOWN_ENTRY | KNOWN_ARGUMENTS
    };
    let source = if call.address_len != 0 {
        ADDRESS_AT_ENTRY
    } else {
        // The page may be there now: the kernel has read the address meanwhile.
        call.address_len =
            inflight::read_address(&mut call.address, call.address_pointer, call.addrlen);
        if call.address_len != 0 {
            ADDRESS_AT_EXIT
        } else {
            ADDRESS_NOT_READ
        }
    };
    if filter::call(ret, &call.address, call.address_len as u8) {
        emit::emit(|record| fill(record, id, call, known, source, ret, now));
    }
    call.entered_ns = 0;
}

/// A return without an entry: seccomp denied the call before the entry could be seen, or it was
/// under way when the hooks were attached. Learns the arguments from the saved registers where the
/// kernel lets us, and returns what is known.
#[inline(always)]
fn unseen_entry(call: &mut Call) -> u8 {
    call.comm = task::comm();
    call.address_len = 0;
    if setting!(task_registers) != 0
        && let Some([fd, address_pointer, addrlen]) = task::syscall_arguments()
    {
        call.fd = fd as i32;
        call.addrlen = addrlen as i32;
        call.address_pointer = address_pointer;
        KNOWN_ARGUMENTS
    } else {
        call.fd = 0;
        call.addrlen = 0;
        call.address_pointer = 0;
        0
    }
}

#[inline(always)]
fn fill(
    record: &mut MaybeUninit<Connect>,
    id: TaskId,
    call: &Call,
    known: u8,
    address_source: u8,
    ret: i64,
    now: u64,
) {
    let entry_known = known & KNOWN_ENTRY != 0;
    record.write(Connect {
        header: Header {
            kind: KIND_CONNECT,
            version: VERSION,
            length: size_of::<Connect>() as u32,
        },
        entered_ns: if entry_known { call.entered_ns } else { now },
        duration_ns: if entry_known {
            now.wrapping_sub(call.entered_ns)
        } else {
            0
        },
        ret,
        // SAFETY: the helper takes no arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        pid: id.pid,
        tid: id.tid,
        uid: task::uid(),
        fd: call.fd,
        addrlen: call.addrlen,
        address_len: call.address_len as u8,
        address_source,
        via: VIA_SYSCALL,
        known,
        comm: call.comm,
        address: call.address,
    });
}

/// Eight bytes of the tracepoint's context.
#[inline(always)]
fn field(ctx: &TracePointContext, offset: usize) -> u64 {
    let field = ctx.as_ptr().wrapping_byte_add(offset).cast::<u64>();
    // SAFETY: the verifier checks the offset against the tracepoint's size.
    unsafe { field.read() }
}
