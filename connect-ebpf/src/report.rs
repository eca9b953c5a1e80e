//! A call that is over is counted, and becomes a record.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use connect_ebpf::record::{
    self, Connect, Header, KIND_CONNECT, KNOWN_ENTRY, TRANSPORT_TCP, TRANSPORT_UNKNOWN, VERSION,
    VIA_SYSCALL,
};

use crate::{
    count::{self, counting},
    emit, filter,
    inflight::Call,
    maps::setting,
    settlement,
    task::TaskId,
};

const EISCONN: i64 = 106;
const EALREADY: i64 = 114;

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

/// Counts a call and emits its record, unless a filter says no, and lets go of its attempt.
#[inline(always)]
pub(crate) fn report(id: TaskId, call: &Call, end: End) {
    report_over(id.packed(), call, end.ret, end.at_ns, end.killed.into());
}

/// A function of its own, as a call can be over in many places, some of them in loops: the verifier
/// would follow every way through this together with every way through each of them.
#[inline(never)]
fn report_over(packed_id: u64, call: &Call, ret: i64, at_ns: u64, killed: u64) {
    let id = TaskId::unpacked(packed_id);
    let end = End {
        ret,
        at_ns,
        killed: killed as u8,
    };
    settlement::conclude(call, ret);
    if filter::call(call, ret) {
        count::connect(id, call, end, VIA_SYSCALL, transport(call));
        let later = setting!(settled_only) != 0 && call.unsettled.get() != 0;
        if !later && counting!(records) != 0 {
            emit_record(packed_id, call, ret, at_ns, killed);
        }
    }
    // After the record, so that the outcome's comes behind it.
    settlement::leave(call, ret);
}

/// A function of its own, as the stacks of all that call each other have 512 bytes together.
#[inline(never)]
fn emit_record(id: u64, call: &Call, ret: i64, at_ns: u64, killed: u64) {
    let id = TaskId::unpacked(id);
    let end = End {
        ret,
        at_ns,
        killed: killed as u8,
    };
    emit::emit(|record| fill(record, id, call, end));
}

#[inline(always)]
fn fill(record: &mut MaybeUninit<Connect>, id: TaskId, call: &Call, end: End) {
    let record = record.as_mut_ptr();
    // SAFETY: the helper takes no arguments.
    call.cgroup_id.set(unsafe { bpf_get_current_cgroup_id() });
    // SAFETY: the ring buffer's memory is aligned and large enough, and the record only integers,
    // all of which are written here.
    let record = unsafe { &mut *record };
    record.header = Header {
        kind: KIND_CONNECT,
        version: VERSION,
        length: size_of::<Connect>() as u32,
    };
    describe(&mut record.call, id, call);
    let entry_known = call.known.get() & KNOWN_ENTRY != 0;
    record.duration_ns = if entry_known {
        end.at_ns.wrapping_sub(call.entered_ns.get())
    } else {
        record.call.entered_ns = end.at_ns;
        0
    };
    record.ret = end.ret;
    record.handshake_ns = call.handshake_ns.get();
    (record.attempt_entered_ns, record.attempt_tid) = attempt(id, call, end.ret);
    record.restarts = call.restarts.get();
    record.killed = end.killed;
    record.transport = transport(call);
    record.unsettled = call.unsettled.get();
    record.reserved = [0; 5];
    record.endpoints = settlement::endpoints(call);
}

/// What the socket is; one that has begun an attempt is TCP, if nobody has looked.
#[inline(always)]
const fn transport(call: &Call) -> u8 {
    match call.transport.get() {
        TRANSPORT_UNKNOWN if call.attempt_sk.get() != 0 => TRANSPORT_TCP,
        transport => transport,
    }
}

/// Which attempt a call is about: the one that it has begun, or one that its socket had begun before.
#[inline(always)]
fn attempt(id: TaskId, call: &Call, ret: i64) -> (u64, u32) {
    if call.attempt_sk.get() != 0 {
        return (call.entered_ns.get(), id.tid);
    }
    if call.sk.get() != 0
        && (call.begun.get() != 0 || matches!(-ret, EALREADY | EISCONN))
        && let Some(identity) = settlement::begun_by_another(call)
    {
        return (identity.entered_ns, identity.tid);
    }
    (0, 0)
}

/// Writes down what a call is.
#[inline(always)]
pub(crate) const fn describe(to: &mut record::Call, id: TaskId, call: &Call) {
    to.entered_ns = call.entered_ns.get();
    to.cgroup_id = call.cgroup_id.get();
    to.pid = id.pid;
    to.tid = id.tid;
    to.uid = call.uid.get();
    to.fd = call.fd.get();
    to.addrlen = call.addrlen.get();
    to.address_len = call.address_len.get() as u8;
    to.address_source = call.address_source.get();
    to.via = VIA_SYSCALL;
    to.known = call.known.get();
    to.comm = call.comm.get();
    to.address = call.address.get();
}
