//! The end of a thread, or of its identity: nothing kept for it may stay behind, or its successor
//! under the same id would inherit it, and the tables would fill.
//!
//! Tracepoints `sched:sched_process_exit` and `sched:sched_process_exec`
//! (`include/trace/events/sched.h`).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use crate::{
    call, inflight,
    maps::{LINEAGE, setting},
    preemption::Unpreempted,
    probe::{interruption, lineage},
    task::{self, TaskId},
};

/// Runs in every thread that ends, not only in the last of a process.
#[tracepoint(category = "sched", name = "sched_process_exit")]
fn sched_process_exit(_ctx: TracePointContext) {
    let _unpreempted = Unpreempted::begin();
    let id = task::current();
    call::end_of_thread(id.tid);
    interruption::end_of_thread(id);
    forget(id.tid);
}

/// A thread that is not its group's leader takes the leader's id when it execs: its own old id is
/// gone without an exit.
#[tracepoint(category = "sched", name = "sched_process_exec")]
fn sched_process_exec(ctx: TracePointContext) {
    let _unpreempted = Unpreempted::begin();
    let offset = setting!(exec_old_pid) as usize;
    // SAFETY: read_at copies through bpf_probe_read_kernel, which checks the address.
    let Ok(old_tid) = (unsafe { ctx.read_at::<u32>(offset) }) else {
        return;
    };
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
