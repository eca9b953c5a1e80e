//! An attempt from its SYN to its settlement.
//!
//! It begins inside a connect call, and is settled there, or after it in whatever context the kernel
//! happens to be. An attempt that its call leaves unsettled becomes a record of its own.
//!
//! Two parties work on it at the same time: the call that returns and leaves it, and whoever settles it.
//! `handover.rs` decides which of them reports it.

use core::mem::{MaybeUninit, replace};

use aya_ebpf::{macros::map, maps::PerCpuArray};
use connect_ebpf::{
    attempt::{Attempt, Handover},
    code::{AddressSource, Kind, Settlement, Transport, Via},
    loss::KernelLoss,
    record::{ADDRESS_MAX, Call as Record, Connect, Endpoints, Header, KNOWN_ENTRY, Outcome},
    settings::OUTCOMES_OFF,
    uapi::{
        errno::{ECANCELED, EINPROGRESS, EINTR, ERESTARTSYS},
        family::{AF_INET, AF_INET6},
    },
};

use super::{
    call::Call,
    handover::{
        begun_by, forget, hand_over, hand_over_to_settlement, insert, new_handover, remove,
        settled, under_way,
    },
    identity, observed,
};
use crate::{
    fact::{
        setting::{counting, setting},
        socket,
        task::{self, TaskId},
        words,
    },
    output::{count, loss::lose, ring},
};

/// Where an attempt is put together, as the stack has 512 bytes.
#[map]
static NEW_ATTEMPT: PerCpuArray<Attempt> = PerCpuArray::with_max_entries(1, 0);

/// The call's socket is about to send its SYN.
#[inline(always)]
pub(super) fn begin(call: &mut Call, sk: u64, at_ns: u64) {
    // The kernel has read it by now, so it is there.
    call.read_address(AddressSource::Exit);
    if !observed::family(&call.connect.call) {
        return;
    }
    let Some(attempt) = new_attempt(at_ns) else {
        return;
    };
    call.note_cgroup();
    if call.connect.transport == Transport::Unknown.number() {
        call.connect.transport = Transport::Tcp.number();
    }
    // SAFETY: both begin at a multiple of eight (`call.rs`).
    unsafe { words::copy(&raw mut attempt.outcome.call, &raw const call.connect.call) }
    attempt.outcome.transport = call.connect.transport;
    // What the socket has kept of an attempt before says nothing of this one.
    words::set(&mut attempt.outcome.errno, socket::soft_error(sk));
    // Also where there is no room, so that it does not look missed.
    call.attempt_sk = sk;
    if insert(sk, attempt) {
        identity::remember(call);
    }
}

/// A socket is about to send its SYN, and no call that is seen explains it: sendto(2) with
/// `MSG_FASTOPEN`, a call that passes none of our hooks, or the kernel itself. There is nobody to wait
/// for, so it is reported when it is settled.
#[inline(always)]
pub(super) fn begin_unexplained(id: TaskId, sk: u64, peer: &Endpoints, at_ns: u64) {
    let Some(attempt) = new_attempt(at_ns) else {
        return;
    };
    let call = &mut attempt.outcome.call;
    call.entered_ns = at_ns;
    call.cgroup_id = task::cgroup_id();
    call.pid = id.pid;
    call.tid = id.tid;
    call.uid = task::uid();
    call.fd = -1;
    call.addrlen = 0;
    call.address_len = 0;
    call.address_source = AddressSource::NotRead.number();
    call.via = Via::Unknown.number();
    call.known = KNOWN_ENTRY;
    task::owners_comm(&mut call.comm);
    // SAFETY: where a record has it, at a multiple of eight.
    unsafe { words::zero(&raw mut call.address) }
    if write_address(&mut call.address, peer) {
        call.address_len = if peer.family == AF_INET {
            SOCKADDR_IN
        } else {
            SOCKADDR_IN6
        };
        call.address_source = AddressSource::Kernel.number();
    }
    attempt.outcome.transport = Transport::Tcp.number();
    if insert(sk, attempt) {
        let _settled = hand_over_to_settlement(sk, attempt, 0, 0);
    }
}

/// `sizeof(struct sockaddr_in)`
const SOCKADDR_IN: u8 = 16;
/// `sizeof(struct sockaddr_in6)`
const SOCKADDR_IN6: u8 = 28;

/// Writes the other end as the `sockaddr` that one would connect to; false where there is none.
#[inline(always)]
fn write_address(to: &mut [u8; ADDRESS_MAX], of: &Endpoints) -> bool {
    let [port_high, port_low] = of.peer_port.to_be_bytes();
    let [family_low, family_high] = of.family.to_ne_bytes();
    to[0] = family_low;
    to[1] = family_high;
    to[2] = port_high;
    to[3] = port_low;
    match of.family {
        AF_INET => to[4..8].copy_from_slice(&of.peer_address[..4]),
        AF_INET6 => to[8..24].copy_from_slice(&of.peer_address),
        _ => return false,
    }
    true
}

/// An attempt of which nothing is known but when it began; on this CPU, until the next one.
#[inline(always)]
fn new_attempt(at_ns: u64) -> Option<&'static mut Attempt> {
    let attempt = NEW_ATTEMPT.get_ptr_mut(0)?;
    // SAFETY: the element is this CPU's, and is used only where an attempt begins, in one program that
    // the kernel does not nest on a CPU.
    let attempt = unsafe { &mut *attempt };
    attempt.outcome.header = Header::of::<Outcome>(Kind::Outcome);
    words::set(&mut attempt.outcome.settled_ns, 0);
    words::set(&mut attempt.outcome.ret, 0);
    words::set(&mut attempt.outcome.errno, 0);
    words::set(&mut attempt.outcome.outcome, Settlement::Pending.number());
    attempt.outcome.reserved = [0; 2];
    // SAFETY: where a record has it, at a multiple of eight.
    unsafe { words::zero(&raw mut attempt.outcome.endpoints) }
    attempt.syn_ns = at_ns;
    Some(attempt)
}

/// The kernel settles the attempt that a socket makes, if it makes one that is followed. `how` says what
/// became of it, and why it failed, or 0; of one that was abandoned, the error that nobody has read. And it writes
/// both ends of the socket.
#[inline(always)]
pub(super) fn settle(sk: u64, how: impl FnOnce(&mut Endpoints) -> (Settlement, u32)) {
    let Some(attempt) = under_way(sk) else {
        return;
    };
    let mut place = MaybeUninit::uninit();
    let handover = new_handover(&mut place, attempt);
    let (settlement, errno) = how(&mut handover.endpoints);
    let errno = if settlement == Settlement::Abandoned {
        unless_old(errno, attempt)
    } else {
        errno
    };
    handover.settled_ns = task::now();
    handover.errno = errno;
    handover.settlement = settlement.number();
    if let Some(first) = hand_over(sk, attempt, handover)
        && first.settlement == Settlement::Pending.number()
    {
        if settlement == Settlement::Abandoned && errno == 0 && first.errno != 0 {
            // The application has read the error meanwhile, and so closed a socket that had failed.
            handover.errno = first.errno;
            handover.settlement = Settlement::Failed.number();
        }
        report(sk, attempt, first.ret, handover);
    }
}

/// An error that the network has reported, unless its socket had it already when the attempt began.
#[inline(always)]
const fn unless_old(error: u32, attempt: &Attempt) -> u32 {
    if error == attempt.outcome.errno {
        0
    } else {
        error
    }
}

/// A connection goes on to its end: if it is still an attempt here, its settlement went unseen.
#[inline(always)]
pub(super) fn settled_unseen(sk: u64) {
    if let Some(attempt) = under_way(sk)
        && settled(sk, attempt).is_none()
        && forget(sk, attempt)
    {
        lose(KernelLoss::OutcomeMissed);
    }
}

/// A call that is over notes what it has done about its attempt.
///
/// In its entry, and in a function of its own: of what it does not know, the verifier follows one way in all
/// that comes after, and not one for each value.
#[inline(never)]
pub(super) fn conclude(call: &mut Call) {
    words::set(&mut call.settled_ns, 0);
    words::set(&mut call.connect.unsettled, 0);
    words::set(&mut call.connect.handshake_ns, 0);
    words::set(&mut call.connect.attempt_entered_ns, 0);
    words::set(&mut call.connect.attempt_tid, 0);
    // SAFETY: where a record has it, at a multiple of eight (`call.rs`).
    unsafe { words::zero(&raw mut call.connect.endpoints) }
    let sk = call.attempt_sk;
    if sk == 0 {
        if has_begun_unseen(call) {
            lose(KernelLoss::OutcomeMissed);
        } else if let Some(identity) = identity::begun_by_another(call) {
            call.connect.attempt_entered_ns = identity.entered_ns;
            call.connect.attempt_tid = identity.tid;
        }
        return;
    }
    let Some(attempt) = begun_by(call, sk) else {
        call.attempt_sk = 0;
        return;
    };
    call.connect.attempt_entered_ns = call.connect.call.entered_ns;
    call.connect.attempt_tid = call.connect.call.tid;
    let settled = settled(sk, attempt);
    if let Some(settled) = settled {
        call.settled_ns = settled.settled_ns;
        // SAFETY: both begin at a multiple of eight (`call.rs`).
        unsafe {
            words::copy(
                &raw mut call.connect.endpoints,
                &raw const settled.endpoints,
            );
        }
    }
    let established =
        settled.filter(|settled| settled.settlement == Settlement::Established.number());
    let goes_on = match call.connect.ret.unsigned_abs() as u32 {
        0 => established.is_none(),
        EINPROGRESS | EINTR | ECANCELED => true,
        other => other >= ERESTARTSYS,
    };
    if goes_on {
        call.connect.unsettled = 1;
    } else if let Some(established) = established {
        call.connect.handshake_ns = established.settled_ns.wrapping_sub(attempt.syn_ns);
    }
}

/// Whether a call returns that its attempt goes on, of which nothing has been seen.
#[inline(always)]
fn has_begun_unseen(call: &Call) -> bool {
    setting!(outcomes) != OUTCOMES_OFF
        && call.connect.ret == -i64::from(EINPROGRESS)
        && call.connect.transport == Transport::Tcp.number()
        && call.begun == 0
        && call.connect.call.known & KNOWN_ENTRY != 0
        && observed::family(&call.connect.call)
}

/// The call has been reported, and leaves its attempt.
#[inline(never)]
pub(super) fn leave(call: &mut Call) {
    let ret = call.connect.ret;
    let sk = replace(&mut call.attempt_sk, 0);
    if sk == 0 {
        return;
    }
    let Some(attempt) = begun_by(call, sk) else {
        return;
    };
    if call.connect.unsettled != 0 {
        let error = unless_old(socket::soft_error(sk), attempt);
        if let Some(settled) = hand_over_to_settlement(sk, attempt, ret, error) {
            report(sk, attempt, ret, settled);
        }
        return;
    }
    // It is over with its call, whose record has all that is counted of it.
    let (settlement, errno) = if ret == 0 {
        (Settlement::Established, 0)
    } else {
        (Settlement::Failed, ret.unsigned_abs() as u32)
    };
    let Connect {
        call: record,
        transport,
        duration_ns,
        ..
    } = &call.connect;
    let duration_ns = match call.settled_ns {
        0 => *duration_ns,
        settled_ns => settled_ns.wrapping_sub(record.entered_ns),
    };
    if remove(sk, attempt) {
        count_settled(record, *transport, settlement.number(), errno, duration_ns);
    }
}

/// Counts an attempt that is settled, if its outcome is observed.
#[inline(always)]
fn count_settled(call: &Record, transport: u8, settlement: u8, errno: u32, duration_ns: u64) {
    if observed::outcome(settlement) {
        count::outcome(call, transport, settlement, errno, duration_ns);
    } else {
        count::not_begun(count::class(call), transport);
    }
}

/// Reports an attempt that its call has left, with what that has returned, and that is settled.
#[inline(always)]
fn report(sk: u64, attempt: &Attempt, ret: i64, settled: &Handover) {
    let Handover {
        settled_ns,
        errno,
        settlement,
        ..
    } = *settled;
    // Also of what was established where only failures are asked for: another attempt may have been given up for
    // it, which the agent finds out.
    if counting!(records) != 0 {
        ring::submit::<Outcome>(|record| {
            // SAFETY: both begin at a multiple of eight, and all of the record is written.
            unsafe { words::copy(record, &raw const attempt.outcome) }
            // SAFETY: it is aligned, of integers only, and written now.
            let record = unsafe { &mut *record };
            record.settled_ns = settled_ns;
            record.ret = ret;
            record.errno = errno;
            record.outcome = settlement;
            // SAFETY: both begin at a multiple of eight.
            unsafe { words::copy(&raw mut record.endpoints, &raw const settled.endpoints) }
        });
    }
    let duration_ns = settled_ns.wrapping_sub(attempt.outcome.call.entered_ns);
    // Before it is removed, and may be another's.
    let Outcome {
        call, transport, ..
    } = &attempt.outcome;
    count_settled(call, *transport, settlement, errno, duration_ns);
    remove(sk, attempt);
}
