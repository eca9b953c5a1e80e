//! A thread from its fork to its end, or to the end of its identity: nothing kept for it may stay behind, or its
//! successor under the same id would inherit it, and the tables would fill.

use aya_ebpf::EbpfContext;

use super::{interruption, observed, syscall, thread};
use crate::fact::task::{self, TaskId};

/// The current task starts another one: whether that one is to be followed.
#[inline(always)]
pub(crate) fn is_followed() -> bool {
    observed::is_on() && observed::follows(task::current().tid)
}

/// Follows a task that an observed one has started.
#[inline(always)]
pub(crate) fn follow(ctx: &impl EbpfContext, child: u32) {
    observed::follow(ctx, child);
}

/// Follows a task that an observed one has started, unless that was done already.
#[inline(always)]
pub(crate) fn follow_if_missed(ctx: &impl EbpfContext, child: u32) {
    if !observed::follows(child) {
        observed::follow(ctx, child);
    }
}

/// The current thread ends.
#[inline(always)]
pub(crate) fn exits() {
    if !observed::is_on() {
        return;
    }
    let tid = task::current().tid;
    end(tid);
    observed::unfollow(tid);
}

/// The current process runs another program. A thread that is not its group's leader takes the leader's id
/// then: its own old id is gone without an exit.
#[inline(always)]
pub(crate) fn execs(ctx: &impl EbpfContext, old_tid: u32) {
    if !observed::is_on() {
        return;
    }
    // A handler that execs does not return to the call that it interrupted.
    end(old_tid);
    let tid = task::current().tid;
    if old_tid != tid && observed::follows(old_tid) {
        observed::follow(ctx, tid);
        observed::unfollow(old_tid);
    }
}

/// A thread has ended some time ago: what is kept for it by now, its end was not seen. Or another thread of its process
/// has run another program, and taken over its id for its own, as which the leader is freed then.
#[inline(always)]
pub(crate) fn is_freed(ctx: &impl EbpfContext, id: TaskId) {
    if !observed::is_on() {
        return;
    }
    end(id.tid);
    if observed::follows(id.tid) {
        observed::unfollow(id.tid);
        if id.tid != id.pid {
            // Before the hook on that program runs.
            follow_if_missed(ctx, id.pid);
        }
    }
}

/// Ends the calls of a thread, and removes what is kept for it. Most threads never connected, and have
/// nothing.
#[inline(always)]
fn end(tid: u32) {
    if let Some(thread) = thread::entry(tid) {
        syscall::end_of_thread(thread);
        interruption::end_of_thread(tid, thread);
        thread::remove(tid);
    }
}
