//! The end of a thread, or of its identity: nothing kept for it may stay behind, or its successor
//! under the same id would inherit it, and the tables would fill.
//!
//! Tracepoints `sched:sched_process_exit` and `sched:sched_process_exec`
//! (`include/trace/events/sched.h`), raw: then they run even while another tracepoint program runs on
//! their CPU.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    call, inflight,
    maps::{LINEAGE, setting},
    probe::{interruption, lineage},
    task::{self, TaskId},
};

/// Runs in every thread that ends, not only in the last of a process.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn sched_process_exit(_ctx: RawTracePointContext) {
    let id = task::current();
    call::end_of_thread(id.tid);
    interruption::end_of_thread(id);
    forget(id.tid);
}

/// A thread that is not its group's leader takes the leader's id when it execs: its own old id is
/// gone without an exit.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn sched_process_exec(ctx: RawTracePointContext) {
    // Behind the task.
    let old_tid: u32 = ctx.arg(1);
    let TaskId { pid, tid } = task::current();
    call::end_of_thread(old_tid);
    // A handler that execs does not return to the call that it interrupted.
    interruption::end_of_thread(TaskId { pid, tid: old_tid });
    if old_tid != tid {
        if lineage::follows(old_tid) {
            lineage::follow(&ctx, tid);
        }
        forget(old_tid);
    }
}

#[inline(always)]
fn forget(tid: u32) {
    inflight::forget(tid);
    if setting!(lineage) != 0 {
        // A task that is not observed has nothing to remove, which is no error.
        let _absent = LINEAGE.remove(&tid);
    }
}
