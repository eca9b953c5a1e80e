//! The call that the current task works on: its own, or one of io_uring.

use super::{call::Call, request, thread};
use crate::fact::{setting::setting, task::TaskId};

/// The call that this thread is in; or else that of the request that connects the socket, which is looked for
/// only then.
#[inline(always)]
pub(crate) fn call(id: TaskId, sk: impl FnOnce() -> Option<u64>) -> Option<&'static mut Call> {
    if let Some(call) = thread::current_call(id.tid) {
        return Some(call);
    }
    if setting!(io_uring) == 0 {
        return None;
    }
    request::call_on(id, sk()?)
}
