//! When, whom and what to report. Every question about a filter is about a frozen setting first, so that a
//! filter that is not used costs nothing.

use aya_ebpf::{
    EbpfContext,
    macros::map,
    maps::{Array, HashMap},
};
use aya_log_ebpf::error;
use connect_ebpf::{
    code::Settlement,
    loss::KernelLoss,
    record::{Call, Connect, Endpoints},
    settings::{ANY, LINEAGE_ENTRIES, SWITCH_ON_COMPAT},
    uapi::errno::EINPROGRESS,
};

use crate::{
    fact::{
        address,
        setting::setting,
        task::{self, TaskId},
    },
    output::loss::lose,
};

/// See [`is_on`].
#[map]
static SWITCH: Array<u32> = Array::with_max_entries(1, 0);

/// Thread ids of the observed command and its descendants.
#[map]
static LINEAGE: HashMap<u32, u32> = HashMap::with_max_entries(LINEAGE_ENTRIES, 0);

/// Whether all hooks are in place. They go live one after the other, and what some of them have seen and others
/// have not would look lost, or unexplained. So each asks this first: what happens before the last one is
/// attached, or after the first one is about to be detached, is not observed.
#[inline(always)]
pub(super) fn is_on() -> bool {
    // SAFETY: the pointer is the map's own, and its element is never removed. Volatile, as the agent changes it.
    SWITCH
        .get_ptr(0)
        .is_some_and(|switch| unsafe { switch.read_volatile() } != 0)
}

/// Whether 32-bit calls are seen when they return, also those whose entry was not seen.
#[inline(always)]
pub(super) fn sees_compat() -> bool {
    // SAFETY: as in `is_on`.
    SWITCH
        .get_ptr(0)
        .is_some_and(|switch| unsafe { switch.read_volatile() } == SWITCH_ON_COMPAT)
}

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
/// without a fork, and whoever waits for a completion need not be who submitted.
#[inline(always)]
pub(crate) fn owner(id: TaskId) -> bool {
    task(id) || follows(id.pid)
}

/// Whether a call that is over is reported.
#[inline(always)]
pub(super) fn connect(connect: &Connect) -> bool {
    if setting!(failed) != 0 && (connect.ret == 0 || connect.ret == -i64::from(EINPROGRESS)) {
        return false;
    }
    family(&connect.call)
}

/// Whether a call that is not reported has established an attempt, which the agent must know of: another one may
/// have been given up for it.
#[inline(always)]
pub(super) fn is_rival(connect: &Connect) -> bool {
    setting!(failed) != 0 && connect.handshake_ns != 0 && family(&connect.call)
}

/// Whether calls for an address of this family are reported. An IPv4-mapped one is IPv4.
#[inline(always)]
pub(super) fn family(call: &Call) -> bool {
    setting!(family) == ANY || is_wanted(address::family(call))
}

/// Whether connections to a peer of this family are reported.
#[inline(always)]
pub(super) fn peer(endpoints: &Endpoints) -> bool {
    setting!(family) == ANY || is_wanted(address::peers_family(endpoints))
}

/// Whether this family is reported, of all that there are.
#[inline(always)]
fn is_wanted(family: u32) -> bool {
    setting!(family) == family
}

/// Whether this outcome of an attempt is reported. Whoever asks for failures wants to know of what
/// was given up, too: it is how a caller's own timeout looks.
#[inline(always)]
pub(super) fn outcome(settlement: u8) -> bool {
    setting!(failed) == 0 || settlement != Settlement::Established.number()
}

/// Whether this task is observed because of its ancestry.
#[inline(always)]
pub(super) fn follows(tid: u32) -> bool {
    setting!(lineage) != 0 && LINEAGE.get_ptr(&tid).is_some()
}

/// Observes this task from now on.
#[inline(always)]
pub(super) fn follow(ctx: &impl EbpfContext, tid: u32) {
    if let Err(error) = LINEAGE.insert(&tid, &1, 0)
        && lose(KernelLoss::LineageFull)
    {
        error!(
            ctx,
            "task {} and its descendants are not observed: error {}", tid, error
        );
    }
}

/// Observes this task no more.
#[inline(always)]
pub(super) fn unfollow(tid: u32) {
    if setting!(lineage) != 0 {
        // A task that is not observed has nothing to remove, which is no error.
        let _absent = LINEAGE.remove(&tid);
    }
}
