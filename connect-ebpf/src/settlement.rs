//! An attempt from its SYN to its settlement.
//!
//! It begins inside a connect call, and is settled there, or after it in whatever context the kernel
//! happens to be. An attempt that its call leaves unsettled becomes a record of its own. Two parties
//! work on it without a lock: the thread whose call returns, and whoever settles it. Each says that
//! it has been there, and then looks whether the other one has; so at least one of them sees both,
//! and of two, the one that removes the attempt from the table tells of it.

use core::cell::Cell;

use aya_ebpf::bindings::BPF_NOEXIST;
use connect_ebpf::{
    attempt::{Attempt, Identity},
    loss::KernelLoss,
    record::{
        ADDRESS_AT_EXIT, ADDRESS_KERNEL, ADDRESS_MAX, ADDRESS_NOT_READ, Endpoints, Header,
        KIND_OUTCOME, KNOWN_ENTRY, OUTCOME_ESTABLISHED, OUTCOME_FAILED, OUTCOME_NONE, Outcome,
        TRANSPORT_TCP, TRANSPORT_UNKNOWN, VERSION, VIA_UNKNOWN,
    },
    settings::OUTCOMES_OFF,
};

use crate::{
    atomic::increment,
    count::{self, Settled, counting},
    emit, filter,
    inflight::Call,
    maps::{ATTEMPTS, IDENTITIES, NEW_ATTEMPT, setting},
    report, socket,
    task::{self, TaskId},
    words,
};

const EINTR: i64 = 4;
const EINPROGRESS: i64 = 115;
/// Of io_uring, for a request that was cancelled; its socket goes on.
const ECANCELED: i64 = 125;
/// The first of the kernel's own, which no application sees.
const ERESTARTSYS: i64 = 512;
/// -EEXIST: the key is in the map already.
const ALREADY_THERE: i32 = -17;

/// What the kernel has decided about an attempt.
pub(crate) struct Settlement {
    /// `OUTCOME_*`.
    pub(crate) outcome: u8,
    /// Why it failed, or 0.
    pub(crate) errno: u32,
    /// `CLOCK_MONOTONIC` in ns.
    pub(crate) at_ns: u64,
    /// Both ends of the socket at that moment.
    pub(crate) endpoints: Endpoints,
}

/// The call's socket is about to send its SYN.
#[inline(always)]
pub(crate) fn begin(call: &Call, sk: u64, at_ns: u64) {
    // The kernel has read it by now, so it is there.
    call.read_address(ADDRESS_AT_EXIT);
    if !filter::family(call) {
        return;
    }
    let Some(attempt) = new_attempt(at_ns) else {
        return;
    };
    report::describe(&mut attempt.outcome.call, call);
    attempt.outcome.transport = match call.transport.get() {
        TRANSPORT_UNKNOWN => TRANSPORT_TCP,
        known => known,
    };
    // Also where there is no room, so that it does not look missed.
    call.attempt_sk.set(sk);
    if !insert(sk, attempt) {
        return;
    }
    if call.sk.get() != 0 {
        let identity = Identity {
            inode: call.inode.get(),
            entered_ns: call.entered_ns.get(),
            tid: call.tid.get(),
            reserved: 0,
        };
        // Without room, the oldest makes way.
        let _full = IDENTITIES.insert(&call.sk.get(), &identity, 0);
    }
}

/// A socket is about to send its SYN, and no call that is seen explains it: sendto(2) with
/// `MSG_FASTOPEN`, a call that passes none of our hooks, or the kernel itself. There is nobody to wait
/// for, so it is told of when it is settled.
#[inline(always)]
pub(crate) fn begin_unexplained(id: TaskId, sk: u64, peer: &Endpoints, at_ns: u64) {
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
    call.address_source = ADDRESS_NOT_READ;
    call.via = VIA_UNKNOWN;
    call.known = KNOWN_ENTRY;
    task::owners_comm(Cell::from_mut(&mut call.comm));
    // SAFETY: where a record has it, at a multiple of eight.
    unsafe { words::zero(&raw mut call.address) }
    if write_address(&mut call.address, peer) {
        call.address_len = if peer.family == AF_INET {
            SOCKADDR_IN
        } else {
            SOCKADDR_IN6
        };
        call.address_source = ADDRESS_KERNEL;
    }
    attempt.outcome.transport = TRANSPORT_TCP;
    attempt.left = 1;
    let _full = insert(sk, attempt);
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
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
    attempt.outcome.header = Header {
        kind: KIND_OUTCOME,
        version: VERSION,
        length: size_of::<Outcome>() as u32,
    };
    words::set(&mut attempt.outcome.settled_ns, 0);
    words::set(&mut attempt.outcome.ret, 0);
    words::set(&mut attempt.outcome.errno, 0);
    words::set(&mut attempt.outcome.outcome, OUTCOME_NONE);
    attempt.outcome.reserved = [0; 2];
    // SAFETY: where a record has it, at a multiple of eight.
    unsafe { words::zero(&raw mut attempt.outcome.endpoints) }
    attempt.syn_ns = at_ns;
    words::set(&mut attempt.left, 0);
    words::set(&mut attempt.settled, 0);
    Some(attempt)
}

/// Follows an attempt from now on; false where there is no room.
#[inline(always)]
fn insert(sk: u64, attempt: &Attempt) -> bool {
    let mut inserted = ATTEMPTS.insert(&sk, attempt, u64::from(BPF_NOEXIST));
    if inserted == Err(ALREADY_THERE) {
        // The end of the one before went unseen.
        let _first = emit::count(KernelLoss::OutcomeMissed);
        count::not_begun(&attempt.outcome);
        inserted = ATTEMPTS.insert(&sk, attempt, 0);
    }
    if inserted.is_err() {
        let _first = emit::count(KernelLoss::AttemptsFull);
        return false;
    }
    count::begun(&attempt.outcome);
    true
}

/// The attempt that a socket is making, if we know of it.
#[inline(always)]
pub(crate) fn under_way(sk: u64) -> Option<&'static mut Attempt> {
    let attempt = ATTEMPTS.get_ptr_mut(&sk)?;
    // SAFETY: the pointer is the map's own. What the two parties write is disjoint, but for the
    // flags, which are only ever set; an element that has been removed meanwhile, and serves another
    // attempt, is not told of, as its key cannot be removed twice.
    Some(unsafe { &mut *attempt })
}

/// The kernel has decided.
#[inline(always)]
pub(crate) fn settle(sk: u64, attempt: &mut Attempt, settlement: &Settlement) {
    attempt.outcome.settled_ns = settlement.at_ns;
    attempt.outcome.outcome = settlement.outcome;
    attempt.outcome.errno = settlement.errno;
    attempt.outcome.endpoints = settlement.endpoints;
    increment(&mut attempt.settled);
    if has(&raw const attempt.left) {
        tell(sk, attempt);
    }
}

/// A connection goes on to its end: if it is still an attempt here, its settlement went unseen.
#[inline(always)]
pub(crate) fn settled_unseen(sk: u64) {
    if let Some(attempt) = under_way(sk)
        && !has(&raw const attempt.settled)
        && give_up(sk, attempt)
    {
        emit::count(KernelLoss::OutcomeMissed);
    }
}

/// Writes down both ends of a call's socket; as they were when its attempt was settled, if it was.
#[inline(always)]
pub(crate) fn endpoints(call: &Call, to: &mut Endpoints) {
    // SAFETY: where a record has it, at a multiple of eight (report.rs).
    unsafe { words::zero(to) }
    let begun = call.attempt_sk.get();
    if begun != 0
        && let Some(attempt) = under_way(begun)
        && has(&raw const attempt.settled)
    {
        // SAFETY: both are where a record has it, at a multiple of eight.
        unsafe { words::copy(to, &raw const attempt.outcome.endpoints) }
        return;
    }
    let sk = if begun != 0 {
        begun
    } else if socket::is_internet(call.transport.get()) {
        call.sk.get()
    } else {
        0
    };
    if sk != 0 && setting!(offsets.inet_sport) != 0 {
        let _unknown = socket::fill(sk, to);
    }
}

/// A call that is over takes note of what it has done about its attempt.
///
/// In its cells, and in a function of its own: what the verifier does not know it does not tell apart
/// in all that follows.
#[inline(never)]
pub(crate) fn conclude(call: &Call) {
    call.unsettled.set(0);
    call.handshake_ns.set(0);
    let sk = call.attempt_sk.get();
    if sk == 0 {
        if has_begun_unseen(call) {
            emit::count(KernelLoss::OutcomeMissed);
        }
        return;
    }
    let Some(attempt) = under_way(sk) else {
        call.attempt_sk.set(0);
        return;
    };
    let established =
        has(&raw const attempt.settled) && attempt.outcome.outcome == OUTCOME_ESTABLISHED;
    let goes_on = match -call.ret.get() {
        0 => !established,
        EINPROGRESS | EINTR | ECANCELED => true,
        other => other >= ERESTARTSYS,
    };
    if goes_on {
        call.unsettled.set(1);
    } else if established {
        call.handshake_ns
            .set(attempt.outcome.settled_ns.wrapping_sub(attempt.syn_ns));
    }
}

/// Whether a call says that its attempt goes on, of which nothing has been seen.
#[inline(always)]
fn has_begun_unseen(call: &Call) -> bool {
    setting!(outcomes) != OUTCOMES_OFF
        && call.ret.get() == -EINPROGRESS
        && call.transport.get() == TRANSPORT_TCP
        && call.begun.get() == 0
        && call.known.get() & KNOWN_ENTRY != 0
        && filter::family(call)
}

/// The call has been told of, and lets go of its attempt.
#[inline(never)]
pub(crate) fn leave(call: &Call) {
    let ret = call.ret.get();
    let sk = call.attempt_sk.replace(0);
    if sk == 0 {
        return;
    }
    let Some(attempt) = under_way(sk) else {
        return;
    };
    if call.unsettled.get() == 0 {
        let settled = Settled {
            outcome: if ret == 0 {
                OUTCOME_ESTABLISHED
            } else {
                OUTCOME_FAILED
            },
            errno: ret.unsigned_abs() as u32,
            ..Settled::of(&attempt.outcome)
        };
        if ATTEMPTS.remove(&sk).is_ok() {
            count::outcome(settled, filter::outcome(settled.outcome));
        }
        return;
    }
    attempt.outcome.ret = ret;
    increment(&mut attempt.left);
    if has(&raw const attempt.settled) {
        tell(sk, attempt);
    }
}

/// A call is not told of, so neither is its attempt.
#[inline(always)]
pub(crate) fn forget(call: &Call) {
    let sk = call.attempt_sk.replace(0);
    if sk != 0
        && let Some(attempt) = under_way(sk)
    {
        let _ours = give_up(sk, attempt);
    }
}

/// Follows an attempt no more, of which nothing will be told; false if somebody else has done so.
#[inline(always)]
fn give_up(sk: u64, attempt: &Attempt) -> bool {
    // Before it is removed, and may be another's.
    count::not_begun(&attempt.outcome);
    ATTEMPTS.remove(&sk).is_ok()
}

/// Makes a record of a settled attempt, if it is asked for, and forgets it.
#[inline(always)]
fn tell(sk: u64, attempt: &Attempt) {
    let outcome = &attempt.outcome;
    // Before it is removed, and may be another's.
    let settled = Settled::of(outcome);
    let wanted = filter::outcome(settled.outcome);
    let is_ours = || ATTEMPTS.remove(&sk).is_ok();
    let ours = if wanted && counting!(records) != 0 {
        emit::emit_if(
            |record| {
                record.write(*outcome);
            },
            is_ours,
        )
    } else {
        is_ours()
    };
    if ours {
        count::outcome(settled, wanted);
    }
}

/// Which attempt a call on this socket asks for, if another call has begun it.
#[inline(always)]
pub(crate) fn begun_by_another(call: &Call) -> Option<&'static Identity> {
    let identity = IDENTITIES.get_ptr(&call.sk.get())?;
    // SAFETY: the pointer is the map's own; an identity that is replaced while it is read has
    // another inode, or is of the same socket.
    let identity = unsafe { &*identity };
    (identity.inode == call.inode.get()).then_some(identity)
}

#[inline(always)]
fn has(flag: *const u64) -> bool {
    // SAFETY: the flag is aligned and lives as long as the map.
    unsafe { flag.read_volatile() != 0 }
}
