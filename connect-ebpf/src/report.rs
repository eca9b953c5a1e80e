//! A call that is over is counted, and becomes a record.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use connect_ebpf::record::{
    Connect, Header, KIND_CONNECT, KNOWN_ENTRY, TRANSPORT_UNKNOWN, VERSION, VIA_SYSCALL,
};

use crate::{
    count::{self, counting},
    emit, filter,
    inflight::Call,
    task::TaskId,
};

/// How a call ended.
#[derive(Clone, Copy)]
pub(crate) struct End {
    /// What the application got: 0 or a negated errno.
    pub(crate) ret: i64,
    /// When, `CLOCK_MONOTONIC` in ns.
    pub(crate) at_ns: u64,
    /// 1: the application got nothing, as the call never returned to it.
    pub(crate) killed: u8,
}

/// Counts a call and emits its record, unless a filter says no.
#[inline(always)]
pub(crate) fn report(id: TaskId, call: &Call, end: End) {
    if filter::call(end.ret, &call.address, call.address_len.get()) {
        count::connect(id, call, end, VIA_SYSCALL, TRANSPORT_UNKNOWN);
        if counting!(records) != 0 {
            emit::emit(|record| fill(record, id, call, end));
        }
    }
}

#[inline(always)]
fn fill(record: &mut MaybeUninit<Connect>, id: TaskId, call: &Call, end: End) {
    let entry_known = call.known.get() & KNOWN_ENTRY != 0;
    record.write(Connect {
        header: Header {
            kind: KIND_CONNECT,
            version: VERSION,
            length: size_of::<Connect>() as u32,
        },
        entered_ns: if entry_known {
            call.entered_ns.get()
        } else {
            end.at_ns
        },
        duration_ns: if entry_known {
            end.at_ns.wrapping_sub(call.entered_ns.get())
        } else {
            0
        },
        ret: end.ret,
        // SAFETY: the helper takes no arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        pid: id.pid,
        tid: id.tid,
        uid: call.uid.get(),
        fd: call.fd.get(),
        addrlen: call.addrlen.get(),
        restarts: call.restarts.get(),
        address_len: call.address_len.get() as u8,
        address_source: call.address_source.get(),
        via: VIA_SYSCALL,
        known: call.known.get(),
        killed: end.killed,
        reserved: [0; 3],
        comm: call.comm.get(),
        address: call.address.get(),
    });
}
