//! Datagram sockets that are connected: an association, by which nothing is sent. Whether anybody is there shows when
//! the network answers what the application sends later with an error.

use aya_ebpf::{macros::map, maps::LruHashMap};
use connect_ebpf::{
    attempt::ASSOCIATIONS_ENTRIES,
    code::{Kind, Settlement, Transport},
    loss::KernelLoss,
    record::{Connect, Header, Outcome},
    uapi::{errno::EMSGSIZE, family::AF_UNSPEC},
};

use super::{call::Call, observed};
use crate::{
    fact::{
        setting::{counting, setting},
        socket::{self, Queued},
        task, words,
    },
    output::{count, loss::lose, ring},
};

/// The call that connected a datagram socket, by the address of its `struct sock`. The oldest makes way, as the
/// kernel does not show that such a socket is closed.
#[map]
static ASSOCIATIONS: LruHashMap<u64, Call> = LruHashMap::with_max_entries(ASSOCIATIONS_ENTRIES, 0);

/// A call that is over may have connected a datagram socket, or dissolved its association. It has not waited, so no
/// signal has interrupted it.
#[inline(always)]
pub(super) fn conclude(call: &mut Call) {
    if is_concluded_by(call) {
        associate(call);
    }
}

/// Whether a call that is over has connected a datagram socket, or dissolved its association.
#[inline(always)]
pub(super) fn is_concluded_by(call: &Call) -> bool {
    setting!(associations) != 0 && call.connect.ret == 0 && call.sk != 0 && is_datagram(call)
}

/// Remembers who has connected a datagram socket; or forgets it, if its association is dissolved.
#[inline(always)]
pub(super) fn associate(call: &mut Call) {
    let [low, high, ..] = call.connect.call.address;
    if call.connect.call.address_len >= 2 && u16::from_ne_bytes([low, high]) == AF_UNSPEC {
        let _none = ASSOCIATIONS.remove(&call.sk);
        return;
    }
    if observed::family(&call.connect.call) {
        call.note_cgroup();
        call.note_endpoints();
        // What came back to the association before, and is not read yet, says nothing of this one.
        call.old_error = socket::error(call.sk).unwrap_or(0).into();
        call.old_queued = socket::last_queued(call.sk);
        // Without room, the oldest makes way.
        let _refused = ASSOCIATIONS.insert(&call.sk, call, 0);
    }
}

#[inline(always)]
fn is_datagram(call: &Call) -> bool {
    Transport::of(call.connect.transport).is_some_and(Transport::is_datagram)
}

/// A socket gets an error: if it is a connected datagram socket's first one, its association has failed.
#[inline(always)]
pub(crate) fn gets_error(sk: u64) {
    if !observed::is_on() {
        return;
    }
    let Some(call) = ASSOCIATIONS.get_ptr(&sk) else {
        return;
    };
    // SAFETY: the pointer is the map's own. Should its place be given to another association meanwhile, the removal
    // below fails.
    let call = unsafe { &*call };
    let connect = &call.connect;
    if !is_that_of(call, sk) {
        return;
    }
    let error = socket::error(sk).unwrap_or(0);
    let errno = match socket::queued(sk) {
        // Its queue has it first.
        Queued::Error(errno, at) if at != call.old_queued => errno,
        // Of an error that is read, the kernel reports those behind it once more.
        Queued::Error(..) => return,
        // A timestamp perhaps, while an error of before is not read yet.
        Queued::NoError if call.old_error != 0 => return,
        Queued::NoError | Queued::Nothing => error,
    };
    if errno == 0 {
        // The application has read the error before this hook could; or the kernel reports something that is no error.
        if !socket::asks_for_notifications(sk) && ASSOCIATIONS.remove(&sk).is_ok() {
            lose(KernelLoss::OutcomeMissed);
        }
        return;
    }
    // Too large a datagram says nothing of who is there.
    if errno == EMSGSIZE {
        return;
    }
    let class = count::class(&connect.call);
    let transport = connect.transport;
    // Whoever removes it reports it: an association fails once.
    let is_first = || ASSOCIATIONS.remove(&sk).is_ok();
    let was_first = if counting!(records) != 0 {
        ring::submit_if::<Outcome>(|record| write(record, connect, errno), is_first)
    } else {
        is_first()
    };
    if was_first {
        count::association_failed(class, transport, errno);
    }
}

/// Whether this association is still that of the socket: another one may have its place in memory.
#[inline(always)]
fn is_that_of(call: &Call, sk: u64) -> bool {
    let now = words::Aligned(socket::endpoints(sk));
    // SAFETY: this one is aligned, and so is the map's value, which has the other at a multiple of eight.
    let same_ends =
        unsafe { words::are_equal(&raw const now.0, &raw const call.connect.endpoints) };
    same_ends && socket::inode(sk) == call.inode
}

/// Writes that an association has failed with this errno.
#[inline(always)]
fn write(record: *mut Outcome, connect: &Connect, errno: u32) {
    // SAFETY: the record is reserved; it has its call at a multiple of eight, as the map's value has.
    let call = unsafe { &raw mut (*record).call };
    // SAFETY: as above.
    unsafe { words::copy(call, &raw const connect.call) }
    // SAFETY: as of the call.
    let endpoints = unsafe { &raw mut (*record).endpoints };
    // SAFETY: as above.
    unsafe { words::copy(endpoints, &raw const connect.endpoints) }
    // SAFETY: it is aligned, of integers only, and written now.
    let record = unsafe { &mut *record };
    record.header = Header::of::<Outcome>(Kind::Outcome);
    record.settled_ns = task::now();
    record.ret = 0;
    record.errno = errno;
    record.outcome = Settlement::Failed.number();
    record.transport = connect.transport;
    record.reserved = [0; 2];
}
