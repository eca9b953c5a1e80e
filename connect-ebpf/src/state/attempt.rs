//! An attempt from its SYN to its settlement.
//!
//! It begins inside a connect call, and is settled there, or after it in whatever context the kernel
//! happens to be. An attempt that its call leaves unsettled becomes a record of its own.
//!
//! Two parties work on it at the same time and without a lock: the call that returns and leaves it, and
//! whoever settles it. What is in the table of attempts never changes, so both may read it. Each puts what it
//! knows into the table of handovers under the address of the socket, on condition that nothing stands there
//! (`BPF_NOEXIST`). Exactly one succeeds, and is done; the other finds what the first has left, and reports. Each
//! handover has the time of its attempt's SYN, so one that was left behind is known for what it is.
//!
//! What this rests on, on every processor: the kernel inserts and looks for what stands there while it holds
//! the lock of the key's bucket (`htab_map_update_elem` in `kernel/bpf/hashtab.c`), a spin lock, which is taken
//! with acquire and given back with release semantics. So the second of two insertions sees the first. And the
//! kernel publishes an element by a store-release (`rcu_assign_pointer`: `stlr` on 64-bit Arm; on x86-64 every
//! store is one), and a look-up follows the pointer, whose reads no processor of these moves before it: so
//! whoever finds an element finds all of its value.

use core::mem::{MaybeUninit, replace};

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use connect_ebpf::{
    attempt::{ATTEMPTS_ENTRIES, Attempt, Handover},
    code::{AddressSource, Kind, Settlement, Transport, Via},
    loss::KernelLoss,
    record::{ADDRESS_MAX, Call as Record, Connect, Endpoints, Header, KNOWN_ENTRY, Outcome},
    settings::OUTCOMES_OFF,
    uapi::{
        errno::{ECANCELED, EINPROGRESS, EINTR, ERESTARTSYS},
        family::{AF_INET, AF_INET6},
    },
};

use super::{call::Call, identity, observed};
use crate::{
    fact::{
        setting::{counting, setting},
        task::{self, TaskId},
        words,
    },
    output::{count, loss::lose, ring},
};

/// Attempts that are not settled, by the address of their `struct sock`.
#[map]
static ATTEMPTS: HashMap<u64, Attempt> = HashMap::with_max_entries(ATTEMPTS_ENTRIES, 0);

/// What the first of two parties has left for the second, by the address of the `struct sock`.
#[map]
static HANDOVERS: HashMap<u64, Handover> = HashMap::with_max_entries(ATTEMPTS_ENTRIES, 0);

/// Where an attempt is put together, as the stack has 512 bytes.
#[map]
static NEW_ATTEMPT: PerCpuArray<Attempt> = PerCpuArray::with_max_entries(1, 0);

/// -EEXIST: the key is in the map already.
const ALREADY_THERE: i32 = -17;

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
        let _settled = hand_over_to_settlement(sk, attempt, 0);
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

/// Follows an attempt from now on; false where there is no room.
#[inline(always)]
fn insert(sk: u64, attempt: &Attempt) -> bool {
    let mut inserted = ATTEMPTS.insert(&sk, attempt, u64::from(BPF_NOEXIST));
    if inserted == Err(ALREADY_THERE) {
        // The end of the one before went unseen.
        lose(KernelLoss::OutcomeMissed);
        if let Some(before) = under_way(sk) {
            forget(sk, before);
        }
        inserted = ATTEMPTS.insert(&sk, attempt, 0);
    }
    if inserted.is_err() {
        lose(KernelLoss::AttemptsFull);
        return false;
    }
    count::begun(&attempt.outcome.call, attempt.outcome.transport);
    true
}

/// The attempt that a socket is making, if it is followed.
#[inline(always)]
fn under_way(sk: u64) -> Option<&'static Attempt> {
    let attempt = ATTEMPTS.get_ptr(&sk)?;
    // SAFETY: the pointer is the map's own, and what is in the map never changes. An element that has been
    // removed meanwhile may come to hold another attempt, whose time of the SYN is another, and no handover
    // fits both.
    Some(unsafe { &*attempt })
}

/// The attempt that a call has begun, if it is still followed: another call on the same socket may have begun the
/// next one.
#[inline(always)]
fn begun_by(call: &Call, sk: u64) -> Option<&'static Attempt> {
    let call = &call.connect.call;
    begun_at(sk, call.entered_ns, call.tid)
}

/// The attempt of a socket, if a call of this thread has begun it that was entered then.
#[inline(always)]
fn begun_at(sk: u64, entered_ns: u64, tid: u32) -> Option<&'static Attempt> {
    under_way(sk).filter(|attempt| {
        attempt.outcome.call.entered_ns == entered_ns && attempt.outcome.call.tid == tid
    })
}

/// What stands under the address of a socket, which may be about an attempt that is over.
#[inline(always)]
fn handover(sk: u64) -> Option<&'static Handover> {
    let handover = HANDOVERS.get_ptr(&sk)?;
    // SAFETY: the pointer is the map's own, and what is in the map never changes; what holds for an
    // attempt's element holds for this one.
    Some(unsafe { &*handover })
}

/// What has been handed over about an attempt.
#[inline(always)]
fn handed_over(sk: u64, attempt: &Attempt) -> Option<&'static Handover> {
    handover(sk).filter(|handover| handover.syn_ns == attempt.syn_ns)
}

/// The settlement of an attempt, if it has been handed over.
#[inline(always)]
fn settled(sk: u64, attempt: &Attempt) -> Option<&'static Handover> {
    handed_over(sk, attempt).filter(|handover| handover.settlement != Settlement::Pending.number())
}

/// Puts a handover together where `place` is. Returned by value, it would be copied byte by byte.
#[inline(always)]
fn new_handover<'a>(place: &'a mut MaybeUninit<Handover>, attempt: &Attempt) -> &'a mut Handover {
    // SAFETY: the place is the size of a handover, aligned, and may be all 0.
    unsafe { words::zero(place.as_mut_ptr()) }
    // SAFETY: all of it has been written.
    let handover = unsafe { place.assume_init_mut() };
    handover.syn_ns = attempt.syn_ns;
    handover
}

/// The call that has begun an attempt leaves it unsettled, and has returned this. Returns the settlement, if
/// that was handed over before: then the call reports.
#[inline(always)]
fn hand_over_to_settlement(sk: u64, attempt: &Attempt, ret: i64) -> Option<&'static Handover> {
    let mut place = MaybeUninit::uninit();
    let left = new_handover(&mut place, attempt);
    // Its settlement is 0, which is pending.
    left.ret = ret;
    // Another call on the socket may have left the attempt as well, and only one of them is reported.
    hand_over(sk, attempt, left).filter(|first| first.settlement != Settlement::Pending.number())
}

/// Hands over what one party knows. Returns what the other party has handed over, if that was first: then
/// this one reports.
#[inline(always)]
fn hand_over(sk: u64, attempt: &Attempt, handover: &Handover) -> Option<&'static Handover> {
    let inserted = HANDOVERS.insert(&sk, handover, u64::from(BPF_NOEXIST));
    if inserted.is_ok() {
        return None;
    }
    let first = handed_over(sk, attempt);
    if first.is_none() {
        lose_attempt(
            sk,
            attempt.outcome.call.entered_ns,
            attempt.outcome.call.tid,
        );
    }
    first
}

/// Loses the attempt of a socket that a call of this thread has begun which was entered then: it cannot be handed
/// over, as there is no room, the kernel is in the middle of another insertion on this CPU, or something was left
/// behind by an attempt that is over.
///
/// A global function for the kernel, of numbers only, so that the verifier looks at it once per program.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn lose_attempt(sk: u64, entered_ns: u64, tid: u32) -> u32 {
    lose(KernelLoss::OutcomeMissed);
    let _none = HANDOVERS.remove(&sk);
    forget_attempt(sk, entered_ns, tid)
}

/// The kernel settles the attempt that a socket makes, if it makes one that is followed. `how` says what
/// became of it, and why it failed, or 0; and writes both ends of the socket.
#[inline(always)]
pub(super) fn settle(sk: u64, how: impl FnOnce(&mut Endpoints) -> (Settlement, u32)) {
    let Some(attempt) = under_way(sk) else {
        return;
    };
    let mut place = MaybeUninit::uninit();
    let handover = new_handover(&mut place, attempt);
    let (settlement, errno) = how(&mut handover.endpoints);
    handover.settled_ns = task::now();
    handover.errno = errno;
    handover.settlement = settlement.number();
    if let Some(first) = hand_over(sk, attempt, handover)
        && first.settlement == Settlement::Pending.number()
    {
        report(sk, attempt, first.ret, handover);
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
        if let Some(settled) = hand_over_to_settlement(sk, attempt, ret) {
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

/// A call is not reported, so neither is its attempt.
#[inline(always)]
pub(super) fn forget_that_of(call: &mut Call) {
    let sk = replace(&mut call.attempt_sk, 0);
    if sk != 0 {
        forget_attempt(sk, call.connect.call.entered_ns, call.connect.call.tid);
    }
}

/// Forgets the attempt of a socket, if a call of this thread has begun it that was entered then.
///
/// A global function for the kernel, of numbers only, so that the verifier looks at it once per program.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn forget_attempt(sk: u64, entered_ns: u64, tid: u32) -> u32 {
    let attempt = begun_at(sk, entered_ns, tid);
    attempt.is_some_and(|attempt| forget(sk, attempt)).into()
}

/// Follows an attempt no more, of which nothing will be reported; false if it was not followed any more.
#[inline(always)]
fn forget(sk: u64, attempt: &Attempt) -> bool {
    // Before it is removed, and may be another's.
    let Outcome {
        call, transport, ..
    } = &attempt.outcome;
    let (class, transport) = (count::class(call), *transport);
    let was_followed = remove(sk, attempt);
    if was_followed {
        count::not_begun(class, transport);
    }
    was_followed
}

/// Removes an attempt and what was handed over about it; false if there was no attempt.
#[inline(always)]
fn remove(sk: u64, attempt: &Attempt) -> bool {
    remove_attempt(sk, attempt.syn_ns) != 0
}

/// Removes the attempt of a socket, and what was handed over about the one of this SYN; 0 if there was no attempt.
///
/// A global function for the kernel, of numbers only, so that the verifier looks at it once per program.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn remove_attempt(sk: u64, syn_ns: u64) -> u32 {
    // In this order: an attempt without its handover would look as if nobody had settled it.
    let removed = ATTEMPTS.remove(&sk).is_ok();
    // Unless it is already that of the next attempt of this socket.
    if let Some(handover) = handover(sk)
        && handover.syn_ns == syn_ns
    {
        let _removed = HANDOVERS.remove(&sk);
    }
    removed.into()
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
    if observed::outcome(settlement) && counting!(records) != 0 {
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
