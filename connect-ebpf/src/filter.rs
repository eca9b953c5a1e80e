//! Whom and what to report. Every question is about a frozen setting first, so that a filter that
//! is not used costs nothing.

use core::cell::Cell;

use connect_ebpf::{record::ADDRESS_MAX, settings::ANY};

use crate::{
    maps::{LINEAGE, setting},
    task::{self, TaskId},
};

/// `connect(2)` on a non-blocking socket that will be settled later: neither success nor failure.
const EINPROGRESS: i64 = 115;

/// Whether calls of this task are reported.
#[inline(always)]
pub(crate) fn task(id: TaskId) -> bool {
    if setting!(pid) != ANY && setting!(pid) != id.pid {
        return false;
    }
    if setting!(uid) != ANY && setting!(uid) != task::uid() {
        return false;
    }
    setting!(lineage) == 0 || LINEAGE.get_ptr(&id.tid).is_some()
}

/// Whether a call that ended with `ret`, for an address of which `address_len` bytes are known, is
/// reported.
#[inline(always)]
pub(crate) fn call(ret: i64, address: &Cell<[u8; ADDRESS_MAX]>, address_len: u64) -> bool {
    if setting!(failed) != 0 && (ret == 0 || ret == -EINPROGRESS) {
        return false;
    }
    if setting!(family) == ANY {
        return true;
    }
    // SAFETY: an address begins with its family, and the cell is wider.
    let family = unsafe { address.as_ptr().cast::<u16>().read_unaligned() };
    address_len >= 2 && setting!(family) == u32::from(family)
}
