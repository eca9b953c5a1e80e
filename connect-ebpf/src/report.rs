//! A call that is over is counted, and becomes a record.

use core::mem::{MaybeUninit, offset_of};

use connect_ebpf::record::{
    self, Connect, Header, KIND_CONNECT, KNOWN_ENTRY, TRANSPORT_TCP, TRANSPORT_UNKNOWN, VERSION,
};

use crate::{
    count::{self, counting},
    emit, filter,
    inflight::Call,
    maps::setting,
    settlement, words,
};

const EISCONN: i64 = 106;
const EALREADY: i64 = 114;

/// Counts a call and emits its record, unless a filter says no, and lets go of its attempt.
///
/// A function of its own, as a call can be over in many places, some of them in loops: the verifier
/// would follow every way through this together with every way through each of them. And everything
/// stands in the call's cells: what the verifier does not know it does not tell apart.
#[inline(never)]
pub(crate) fn report(call: &Call) {
    settlement::conclude(call);
    if filter::call(call) {
        count::connect(call, transport(call));
        let later = setting!(settled_only) != 0 && call.unsettled.get() != 0;
        if !later && counting!(records) != 0 {
            emit_record(call);
        }
    }
    // After the record, so that the outcome's comes behind it.
    settlement::leave(call);
}

/// A function of its own, as the stacks of all that call each other have 512 bytes together.
#[inline(never)]
fn emit_record(call: &Call) {
    emit::emit(|record| fill(record, call));
}

#[inline(always)]
fn fill(record: &mut MaybeUninit<Connect>, call: &Call) {
    let record = record.as_mut_ptr();
    // SAFETY: the ring buffer's memory is aligned and large enough, and the record only integers,
    // all of which are written here.
    let record = unsafe { &mut *record };
    record.header = Header {
        kind: KIND_CONNECT,
        version: VERSION,
        length: size_of::<Connect>() as u32,
    };
    describe(&mut record.call, call);
    let entry_known = call.known.get() & KNOWN_ENTRY != 0;
    record.duration_ns = if entry_known {
        call.returned_ns.get().wrapping_sub(call.entered_ns.get())
    } else {
        record.call.entered_ns = call.returned_ns.get();
        0
    };
    record.ret = call.ret.get();
    record.handshake_ns = call.handshake_ns.get();
    name_attempt(record, call);
    record.restarts = call.restarts.get();
    record.killed = call.killed.get();
    record.transport = transport(call);
    record.unsettled = call.unsettled.get();
    for byte in &mut record.reserved {
        words::set(byte, 0);
    }
    settlement::endpoints(call, &mut record.endpoints);
}

/// What the socket is; one that has begun an attempt is TCP, if nobody has looked.
#[inline(always)]
const fn transport(call: &Call) -> u8 {
    match call.transport.get() {
        TRANSPORT_UNKNOWN if call.attempt_sk.get() != 0 => TRANSPORT_TCP,
        transport => transport,
    }
}

/// Writes down which attempt a call is about: the one that it has begun, or one that its socket had begun
/// before; or none.
#[inline(always)]
fn name_attempt(record: &mut Connect, call: &Call) {
    words::set(&mut record.attempt_entered_ns, 0);
    words::set(&mut record.attempt_tid, 0);
    if call.attempt_sk.get() != 0 {
        record.attempt_entered_ns = call.entered_ns.get();
        record.attempt_tid = call.tid.get();
    } else if call.sk.get() != 0
        && (call.begun.get() != 0 || matches!(-call.ret.get(), EALREADY | EISCONN))
        && let Some(identity) = settlement::begun_by_another(call)
    {
        record.attempt_entered_ns = identity.entered_ns;
        record.attempt_tid = identity.tid;
    }
}

/// Writes down what a call is.
#[inline(always)]
pub(crate) fn describe(to: &mut record::Call, call: &Call) {
    to.entered_ns = call.entered_ns.get();
    to.cgroup_id = call.cgroup_id();
    to.pid = call.pid.get();
    to.tid = call.tid.get();
    to.uid = call.uid.get();
    to.fd = call.fd.get();
    to.addrlen = call.addrlen.get();
    to.address_len = call.address_len.get() as u8;
    to.address_source = call.address_source.get();
    to.via = call.via.get();
    to.known = call.known.get();
    // SAFETY: both lie at multiples of eight, as is asserted below, in a record and in an entry of a map.
    unsafe { words::copy(&raw mut to.comm, call.comm.as_ptr()) }
    // SAFETY: the same.
    unsafe { words::copy(&raw mut to.address, call.address.as_ptr()) }
}

const _: () = assert!(
    offset_of!(record::Call, comm).is_multiple_of(8)
        && offset_of!(record::Call, address).is_multiple_of(8)
        && offset_of!(Call, comm).is_multiple_of(8)
        && offset_of!(Call, address).is_multiple_of(8)
        && offset_of!(Connect, call).is_multiple_of(8)
        && offset_of!(Connect, endpoints).is_multiple_of(8)
        && offset_of!(record::Outcome, call).is_multiple_of(8)
        && offset_of!(record::Outcome, endpoints).is_multiple_of(8)
);
