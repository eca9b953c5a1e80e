//! The table of attempts, and how an attempt is handed over.
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

use aya_ebpf::{bindings::BPF_NOEXIST, macros::map, maps::HashMap};
use connect_ebpf::{
    attempt::{ATTEMPTS_ENTRIES, Attempt, Handover},
    code::Settlement,
    loss::KernelLoss,
    record::Outcome,
};

use super::call::Call;
use crate::{
    fact::words,
    output::{count, loss::lose},
};

/// Attempts that are not settled, by the address of their `struct sock`.
#[map]
static ATTEMPTS: HashMap<u64, Attempt> = HashMap::with_max_entries(ATTEMPTS_ENTRIES, 0);

/// What the first of two parties has left for the second, by the address of the `struct sock`.
#[map]
static HANDOVERS: HashMap<u64, Handover> = HashMap::with_max_entries(ATTEMPTS_ENTRIES, 0);

/// -EEXIST: the key is in the map already.
const ALREADY_THERE: i32 = -17;

/// Follows an attempt from now on; false where there is no room.
#[inline(always)]
pub(super) fn insert(sk: u64, attempt: &Attempt) -> bool {
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
pub(super) fn under_way(sk: u64) -> Option<&'static Attempt> {
    let attempt = ATTEMPTS.get_ptr(&sk)?;
    // SAFETY: the pointer is the map's own, and what is in the map never changes. An element that has been
    // removed meanwhile may come to hold another attempt, whose time of the SYN is another, and no handover
    // fits both.
    Some(unsafe { &*attempt })
}

/// The attempt that a call has begun, if it is still followed: another call on the same socket may have begun the
/// next one.
#[inline(always)]
pub(super) fn begun_by(call: &Call, sk: u64) -> Option<&'static Attempt> {
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
pub(super) fn settled(sk: u64, attempt: &Attempt) -> Option<&'static Handover> {
    handed_over(sk, attempt).filter(|handover| handover.settlement != Settlement::Pending.number())
}

/// Puts a handover together where `place` is. Returned by value, it would be copied byte by byte.
#[inline(always)]
pub(super) fn new_handover<'a>(
    place: &'a mut MaybeUninit<Handover>,
    attempt: &Attempt,
) -> &'a mut Handover {
    // SAFETY: the place is the size of a handover, aligned, and may be all 0.
    unsafe { words::zero(place.as_mut_ptr()) }
    // SAFETY: all of it has been written.
    let handover = unsafe { place.assume_init_mut() };
    handover.syn_ns = attempt.syn_ns;
    handover
}

/// The call that has begun an attempt leaves it unsettled, and has returned this, while the network has reported that
/// error, or 0. Returns the settlement, if
/// that was handed over before: then the call reports.
#[inline(always)]
pub(super) fn hand_over_to_settlement(
    sk: u64,
    attempt: &Attempt,
    ret: i64,
    error: u32,
) -> Option<&'static Handover> {
    let mut place = MaybeUninit::uninit();
    let left = new_handover(&mut place, attempt);
    // Its settlement is 0, which is pending.
    left.ret = ret;
    left.errno = error;
    // Another call on the socket may have left the attempt as well, and only one of them is reported.
    hand_over(sk, attempt, left).filter(|first| first.settlement != Settlement::Pending.number())
}

/// Hands over what one party knows. Returns what the other party has handed over, if that was first: then
/// this one reports.
#[inline(always)]
pub(super) fn hand_over(
    sk: u64,
    attempt: &Attempt,
    handover: &Handover,
) -> Option<&'static Handover> {
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
    let was_followed = forget_attempt(sk, entered_ns, tid);
    if was_followed != 0 {
        lose(KernelLoss::OutcomeMissed);
    }
    let _none = HANDOVERS.remove(&sk);
    was_followed
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
pub(super) fn forget(sk: u64, attempt: &Attempt) -> bool {
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
pub(super) fn remove(sk: u64, attempt: &Attempt) -> bool {
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
