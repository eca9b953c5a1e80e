//! Which attempt a socket has made last, so that a later call on it is known to ask for the same one.

use aya_ebpf::{macros::map, maps::LruHashMap};
use connect_ebpf::{
    attempt::{IDENTITIES_ENTRIES, Identity},
    uapi::{
        errno::{EALREADY, EFAULT, EINVAL, EISCONN},
        family::AF_UNSPEC,
    },
};

use super::call::Call;
use crate::fact::socket;

/// The attempt that a socket has made last, by the address of its `struct sock`.
#[map]
static IDENTITIES: LruHashMap<u64, Identity> = LruHashMap::with_max_entries(IDENTITIES_ENTRIES, 0);

/// Remembers the attempt that this call begins.
#[inline(always)]
pub(super) fn remember(call: &Call) {
    if call.sk != 0 {
        let identity = Identity {
            inode: call.inode,
            entered_ns: call.connect.call.entered_ns,
            tid: call.connect.call.tid,
            reserved: 0,
        };
        // Without room, the oldest makes way.
        let _full = IDENTITIES.insert(&call.sk, &identity, 0);
    }
}

/// The attempt that this call asks for, if another call on the same socket has begun it.
#[inline(always)]
pub(super) fn begun_by_another(call: &Call) -> Option<&'static Identity> {
    if call.sk == 0 || !asks(call) {
        return None;
    }
    let identity = IDENTITIES.get_ptr(&call.sk)?;
    // SAFETY: the pointer is the map's own; an identity that is replaced while it is read has
    // another inode, or is of the same socket.
    let identity = unsafe { &*identity };
    (identity.inode == call.inode).then_some(identity)
}

/// Whether a call can only ask for an attempt, as its socket had begun one before; also one that another thread
/// has begun since the call was entered.
#[inline(always)]
fn asks(call: &Call) -> bool {
    let begun = call.begun != 0;
    match call.connect.ret.unsigned_abs() as u32 {
        // Of a socket that listens, it is the answer to a mistake, whatever the socket has been before.
        EISCONN => begun || !socket::listens(call.sk),
        EALREADY => true,
        // It has not come as far as the socket.
        EFAULT | EINVAL => false,
        // It dissolves, and asks for nothing.
        _ => begun && !passes(call, AF_UNSPEC),
    }
}

/// Whether the address passed is of this family.
#[inline(always)]
const fn passes(call: &Call, family: u16) -> bool {
    let [low, high, ..] = call.connect.call.address;
    call.connect.call.address_len >= 2 && u16::from_ne_bytes([low, high]) == family
}
