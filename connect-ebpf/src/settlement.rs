//! An attempt from its SYN to its settlement.
//!
//! It begins inside a connect call, and is settled there, or after it in whatever context the kernel
//! happens to be. An attempt that its call leaves unsettled becomes a record of its own. Two parties
//! work on it without a lock: the thread whose call returns, and whoever settles it. Each says that
//! it has been there, and then looks whether the other one has; so at least one of them sees both,
//! and of two, the one that removes the attempt from the table tells of it.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_current_cgroup_id};
use connect_ebpf::{
    attempt::{Attempt, Identity},
    loss::KernelLoss,
    record::{
        ADDRESS_AT_EXIT, Endpoints, Header, KIND_OUTCOME, OUTCOME_ESTABLISHED, OUTCOME_FAILED,
        OUTCOME_NONE, Outcome, TRANSPORT_TCP, TRANSPORT_UNKNOWN, VERSION,
    },
};

use crate::{
    atomic::increment,
    count::{self, Settled, counting},
    emit, filter,
    inflight::Call,
    maps::{ATTEMPTS, IDENTITIES, NEW_ATTEMPT, setting},
    report, socket,
    task::TaskId,
};

const EINTR: i64 = 4;
const EINPROGRESS: i64 = 115;
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
pub(crate) fn begin(id: TaskId, call: &Call, sk: u64, at_ns: u64) {
    // The kernel has read it by now, so it is there.
    call.read_address(ADDRESS_AT_EXIT);
    if !filter::family(call) {
        return;
    }
    let Some(attempt) = NEW_ATTEMPT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the element is this CPU's, and only this function uses it, which runs in one program
    // that the kernel does not nest on a CPU.
    let attempt = unsafe { &mut *attempt };
    // SAFETY: the helper takes no arguments.
    call.cgroup_id.set(unsafe { bpf_get_current_cgroup_id() });
    attempt.outcome.header = Header {
        kind: KIND_OUTCOME,
        version: VERSION,
        length: size_of::<Outcome>() as u32,
    };
    report::describe(&mut attempt.outcome.call, id, call);
    attempt.outcome.settled_ns = 0;
    attempt.outcome.ret = 0;
    attempt.outcome.errno = 0;
    attempt.outcome.outcome = OUTCOME_NONE;
    attempt.outcome.transport = match call.transport.get() {
        TRANSPORT_UNKNOWN => TRANSPORT_TCP,
        known => known,
    };
    attempt.outcome.reserved = [0; 2];
    attempt.outcome.endpoints = Endpoints::default();
    attempt.syn_ns = at_ns;
    attempt.left = 0;
    attempt.settled = 0;
    let mut inserted = ATTEMPTS.insert(&sk, attempt, u64::from(BPF_NOEXIST));
    if inserted == Err(ALREADY_THERE) {
        // The end of the one before went unseen.
        let _first = emit::count(KernelLoss::OutcomeMissed);
        count::not_begun(Settled::of(&attempt.outcome));
        inserted = ATTEMPTS.insert(&sk, attempt, 0);
    }
    if inserted.is_err() {
        let _first = emit::count(KernelLoss::AttemptsFull);
        return;
    }
    call.attempt_sk.set(sk);
    count::begun(call, attempt.outcome.transport);
    if call.sk.get() != 0 {
        let identity = Identity {
            inode: call.inode.get(),
            entered_ns: call.entered_ns.get(),
            tid: id.tid,
            reserved: 0,
        };
        // Without room, the oldest makes way.
        let _full = IDENTITIES.insert(&call.sk.get(), &identity, 0);
    }
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

/// Both ends of a call's socket; as they were when its attempt was settled, if it was.
#[inline(always)]
pub(crate) fn endpoints(call: &Call) -> Endpoints {
    let begun = call.attempt_sk.get();
    if begun != 0
        && let Some(attempt) = under_way(begun)
        && has(&raw const attempt.settled)
    {
        return attempt.outcome.endpoints;
    }
    let sk = if begun != 0 {
        begun
    } else if socket::is_internet(call.transport.get()) {
        call.sk.get()
    } else {
        0
    };
    if sk == 0 || setting!(offsets.inet_sport) == 0 {
        return Endpoints::default();
    }
    socket::endpoints(sk)
}

/// A call that is over takes note of what it has done about its attempt.
///
/// In its cells, and in a function of its own: what the verifier does not know it does not tell apart
/// in all that follows.
#[inline(never)]
pub(crate) fn conclude(call: &Call, ret: i64) {
    call.unsettled.set(0);
    call.handshake_ns.set(0);
    let sk = call.attempt_sk.get();
    if sk == 0 {
        return;
    }
    let Some(attempt) = under_way(sk) else {
        call.attempt_sk.set(0);
        return;
    };
    let established =
        has(&raw const attempt.settled) && attempt.outcome.outcome == OUTCOME_ESTABLISHED;
    let goes_on = match -ret {
        0 => !established,
        EINPROGRESS | EINTR => true,
        other => other >= ERESTARTSYS,
    };
    if goes_on {
        call.unsettled.set(1);
    } else if established {
        call.handshake_ns
            .set(attempt.outcome.settled_ns.wrapping_sub(attempt.syn_ns));
    }
}

/// The call has been told of, and lets go of its attempt.
#[inline(never)]
pub(crate) fn leave(call: &Call, ret: i64) {
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
        count::not_begun(Settled::of(&attempt.outcome));
        let _gone = ATTEMPTS.remove(&sk);
    }
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
