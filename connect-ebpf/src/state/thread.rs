//! Threads that connect: each has an entry, which is its current call, or its last one.
//!
//! The entry stays until the thread ends, as inserting and deleting at every call would cost three times as
//! much.

use core::mem::offset_of;

use aya_ebpf::{macros::map, maps::HashMap};
use connect_ebpf::settings::INFLIGHT_ENTRIES;

use super::call::Call;
use crate::fact::{registers::Place, words};

/// By thread id.
#[map]
static INFLIGHT: HashMap<u32, Thread> = HashMap::with_max_entries(INFLIGHT_ENTRIES, 0);

/// [`Thread::state`]: it is in no call that is seen.
pub(super) const IDLE: u8 = 0;
/// [`Thread::state`]: it is in [`Thread::call`].
pub(super) const CALLING: u8 = 1;
/// [`Thread::state`]: it is in a call that is lost, and counted.
pub(super) const LOST: u8 = 2;

/// [`Thread::reported`]: nothing that matters.
pub(super) const NOTHING: u8 = 0;
/// [`Thread::reported`]: the tracepoint has reported the entry; fentry will see it too.
pub(super) const ENTRY: u8 = 1;
/// [`Thread::reported`]: fexit has reported the return; the tracepoint will see it too.
pub(super) const RETURN: u8 = 2;

/// A thread that has connected.
#[repr(C)]
pub(super) struct Thread {
    /// Its current call, if it is in one.
    pub(super) call: Call,
    /// Where a call was made that is lost while it is interrupted, so that its restart is known for what
    /// it is; unknown where none is.
    lost: Place,
    /// How many of its calls are suspended; see [`Self::suspended`].
    suspended: u32,
    /// Whether it is in a call: `IDLE`, `CALLING` or `LOST`.
    pub(super) state: u8,
    /// What one of two hooks on its current call has reported already: `NOTHING`, `ENTRY` or `RETURN`.
    pub(super) reported: u8,
    /// Not 0: the tracepoint has reported that a signal handler returns; fentry will see it too.
    pub(super) handler_reported: u8,
    /// Not 0: a call was lost while it was interrupted, and its handler may return to it.
    has_lost: u8,
}

const _: () = assert!(offset_of!(Thread, call).is_multiple_of(8));

impl Thread {
    /// How many of its calls are suspended. Read from the entry each time: of a number that the optimiser
    /// keeps, the verifier would follow each value it can have apart from the others.
    #[inline(always)]
    pub(super) fn suspended(&self) -> u32 {
        // SAFETY: a reference can be read.
        unsafe { (&raw const self.suspended).read_volatile() }
    }

    /// Expects the restart of a call that is lost, which was made there.
    #[inline(always)]
    pub(super) const fn expect_lost(&mut self, place: Place) {
        self.lost = place;
        self.has_lost = 1;
    }

    /// Whether a call was lost while it was interrupted.
    #[inline(always)]
    pub(super) const fn has_lost(&self) -> bool {
        self.has_lost != 0
    }

    /// Whether what it does may be about a call that was interrupted.
    #[inline(always)]
    pub(super) fn has_interrupted(&self) -> bool {
        self.suspended() != 0 || self.has_lost()
    }

    /// Expects no restart of a call that is lost.
    #[inline(always)]
    pub(super) fn expect_none(&mut self) {
        words::set(&mut self.lost.stack_pointer, 0);
    }

    /// Whether a call that is made here is the restart of one that is lost.
    #[inline(always)]
    pub(super) fn expects(&self, place: Place) -> bool {
        self.lost.stack_pointer != 0 && self.lost == place
    }

    /// One more of its calls is suspended.
    #[inline(always)]
    pub(super) fn add_suspended(&mut self) {
        let suspended = self.suspended().wrapping_add(1);
        words::set(&mut self.suspended, suspended);
    }

    /// One fewer is; returns the level at which the last one was.
    #[inline(always)]
    pub(super) fn remove_suspended(&mut self) -> u32 {
        let suspended = self.suspended().wrapping_sub(1);
        words::set(&mut self.suspended, suspended);
        self.suspended()
    }
}

/// Inserted for a new thread; in read-only data, to keep it off the 512-byte stack.
static NEW: Thread = Thread {
    call: Call::NONE,
    lost: Place::UNKNOWN,
    suspended: 0,
    state: IDLE,
    reported: NOTHING,
    handler_reported: 0,
    has_lost: 0,
};

/// The entry of a thread; `None` for one that never connected.
///
/// Of the current thread, or of the one whose id it takes by an exec. The reference ends before the next one to
/// this entry is taken.
#[inline(always)]
pub(super) fn entry(tid: u32) -> Option<&'static mut Thread> {
    let thread = INFLIGHT.get_ptr_mut(&tid)?;
    // SAFETY: the pointer is the map's own. Only the thread itself uses its entry, one hook after the
    // other and one reference after the other, and only its own end removes it.
    Some(unsafe { &mut *thread })
}

/// The entry of a thread that has none yet. The error is the kernel's, negated: -E2BIG where the table is
/// full.
#[inline(always)]
pub(super) fn new_entry(tid: u32) -> Result<&'static mut Thread, i32> {
    const VANISHED: i32 = 0;
    INFLIGHT.insert(&tid, &NEW, 0)?;
    entry(tid).ok_or(VANISHED)
}

/// The call that a thread is in, if its entry was seen, and so passed the filters.
#[inline(always)]
pub(super) fn current_call(tid: u32) -> Option<&'static mut Call> {
    let thread = entry(tid)?;
    (thread.state == CALLING).then_some(&mut thread.call)
}

/// Removes the entry of a thread that ends.
#[inline(always)]
pub(super) fn remove(tid: u32) {
    let _absent = INFLIGHT.remove(&tid);
}
