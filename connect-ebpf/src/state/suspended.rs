//! Calls that a signal suspends, pushed aside while their thread does something else: a handler runs, which
//! may make a connect of its own, before the call is restarted or over.

use core::mem::offset_of;

use aya_ebpf::{macros::map, maps::HashMap};

use super::call::Call;
use crate::fact::{
    architecture::{SYS_CONNECT, SYSCALL_LENGTH},
    registers::{self, Place, SavedRegisters},
};

/// By thread and level.
#[map]
static SUSPENDED: HashMap<Key, Suspended> = HashMap::with_max_entries(1, 0);

/// How many calls of one thread can be suspended at the same time, each made by a handler that interrupts the
/// one before. A deeper one is lost, and counted; or the last of these, where its handler has a stack of its own, and
/// it may have been left by a way that does not show.
pub(super) const LEVELS: u32 = 5;

/// Does something for each level, from the last one down, until it leaves the block by its label.
///
/// Written out, and no loop: of a loop's counter the verifier knows the value, and so it takes the rounds for
/// different, and follows each to the end.
macro_rules! for_each_level {
    ($label:lifetime: $step:block) => {{
        const { assert!($crate::state::suspended::LEVELS == 5) }
        $label: {
            $step
            $step
            $step
            $step
            $step
        }
    }};
}
pub(super) use for_each_level;

/// Which suspended call.
#[derive(Clone, Copy)]
#[repr(C)]
struct Key {
    tid: u32,
    /// On how many suspended calls of its thread it stands.
    level: u32,
}

/// A suspended call.
#[repr(C)]
pub(super) struct Suspended {
    /// The call.
    pub(super) call: Call,
    /// Where it was made; unknown where the registers cannot be read.
    place: Place,
    /// How many signal handlers have begun since, and not returned.
    pub(super) handlers: u32,
    /// Not 0: the next handler decides whether the call is restarted or fails.
    pub(super) undecided: u32,
    /// Not 0: a handler that has begun since has a stack of its own.
    pub(super) other_stack: u32,
    /// Always 0.
    reserved: u32,
}

const _: () = assert!(offset_of!(Suspended, call).is_multiple_of(8));

/// Inserted for a call that is pushed; in read-only data, to keep it off the 512-byte stack.
static NEW: Suspended = Suspended {
    call: Call::NONE,
    place: Place::UNKNOWN,
    handlers: 0,
    undecided: 1,
    other_stack: 0,
    reserved: 0,
};

/// Pushes a copy of a call that was made there; false where there is no room.
#[inline(always)]
pub(super) fn push(tid: u32, level: u32, call: &Call, place: Place) -> bool {
    if SUSPENDED.insert(&Key { tid, level }, &NEW, 0).is_err() {
        return false;
    }
    let Some(suspended) = at(tid, level) else {
        return false;
    };
    suspended.call.become_copy_of(call);
    suspended.place = place;
    true
}

/// The suspended call of this level; the current thread's.
#[inline(always)]
pub(super) fn at(tid: u32, level: u32) -> Option<&'static mut Suspended> {
    let suspended = SUSPENDED.get_ptr_mut(&Key { tid, level })?;
    // SAFETY: the pointer is the map's own. Only the thread itself uses its entries, one at a time.
    Some(unsafe { &mut *suspended })
}

/// Removes the call of this level.
#[inline(always)]
pub(super) fn remove(tid: u32, level: u32) {
    let _absent = SUSPENDED.remove(&Key { tid, level });
}

impl Suspended {
    /// Whether the call, if its thread is still alive and has left it, has returned.
    #[inline(always)]
    pub(super) const fn has_returned(&self) -> bool {
        self.call.connect.ret == -EINTR
    }

    /// Whether the thread, with these registers, is still in the system call that was suspended.
    #[inline(always)]
    pub(super) fn is_in(&self, now: SavedRegisters) -> bool {
        (now.system_call == SYS_CONNECT || self.is_compat())
            && now.result == self.call.connect.ret
            && now.place == self.place
    }

    /// Whether a call with these registers can be its restart, though a handler has not returned: that of a
    /// 32-bit program does so by a system call that passes no hook.
    #[inline(always)]
    pub(super) fn can_be_restarted_by(&self, now: SavedRegisters) -> bool {
        self.is_compat() && now.place == self.place
    }

    #[inline(always)]
    const fn is_compat(&self) -> bool {
        self.call.connect.call.via == connect_ebpf::code::Via::Compat.number()
    }

    /// Whether it stands where a handler with this stack pointer will return to.
    #[inline(always)]
    pub(super) fn is_returned_to(&self, stack_pointer: u64) -> bool {
        registers::stack_pointer_after_handler(stack_pointer) == Some(self.place.stack_pointer)
    }

    /// Whether it was left by a jump, though its handler has not returned: the thread's stack has shrunk to
    /// where it was, so the handler's frame is gone. If the handler has a stack of its own, which of the two
    /// lies higher means nothing; but nothing that it calls stands exactly where the interrupted call stood.
    #[inline(always)]
    pub(super) const fn is_left(&self, stack_pointer: u64) -> bool {
        let frame = self.place.stack_pointer;
        frame != 0
            && if self.other_stack == 0 {
                stack_pointer >= frame
            } else {
                stack_pointer == frame
            }
    }

    /// Whether the last handler returns to where the call is made again, and not elsewhere, as it
    /// can by changing the context that it returns to.
    #[inline(always)]
    pub(super) fn goes_on(&self, stack_pointer: u64) -> bool {
        let made = self.place.instruction_pointer;
        made == 0
            || registers::instruction_after_handler(stack_pointer)
                .is_none_or(|next| next == made.wrapping_sub(SYSCALL_LENGTH))
    }

    /// A signal handler begins, on a stack of its own or not.
    #[inline(always)]
    pub(super) const fn begin_handler(&mut self, on_other_stack: bool) {
        self.handlers = self.handlers.wrapping_add(1);
        if on_other_stack {
            self.other_stack = 1;
        }
    }
}

/// What a call returns that a signal has interrupted for good.
const EINTR: i64 = connect_ebpf::uapi::errno::EINTR as i64;
