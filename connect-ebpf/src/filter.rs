//! Whom and what to report. Every question is about a frozen setting first, so that a filter that
//! is not used costs nothing.

use connect_ebpf::{record::OUTCOME_ESTABLISHED, settings::ANY};

use crate::{
    inflight::Call,
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

/// Whether calls of the process on whose behalf this task works are reported: io_uring makes threads
/// of which no fork tells, and whoever waits for a completion need not be who submitted.
#[inline(always)]
pub(crate) fn owner(id: TaskId) -> bool {
    task(id) || (setting!(lineage) != 0 && LINEAGE.get_ptr(&id.pid).is_some())
}

/// Whether a call that is over is reported.
#[inline(always)]
pub(crate) fn call(call: &Call) -> bool {
    let ret = call.ret.get();
    if setting!(failed) != 0 && (ret == 0 || ret == -EINPROGRESS) {
        return false;
    }
    family(call)
}

/// Whether calls for an address of this family are reported.
#[inline(always)]
pub(crate) fn family(call: &Call) -> bool {
    // SAFETY: an address begins with its family, and the cell is wider.
    let family = unsafe { call.address.as_ptr().cast::<u16>().read_unaligned() };
    setting!(family) == ANY || (call.address_len.get() >= 2 && is_wanted(family))
}

/// Whether this family is reported.
#[inline(always)]
pub(crate) fn is_wanted(family: u16) -> bool {
    setting!(family) == ANY || setting!(family) == u32::from(family)
}

/// Whether this outcome of an attempt is reported. Whoever asks for failures wants to know of what
/// was given up, too: it is how a caller's own timeout looks.
#[inline(always)]
pub(crate) fn outcome(outcome: u8) -> bool {
    setting!(failed) == 0 || outcome != OUTCOME_ESTABLISHED
}
