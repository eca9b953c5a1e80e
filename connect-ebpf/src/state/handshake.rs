//! What a change of a TCP socket's state means for the attempt that the socket makes.

use connect_ebpf::{code::Settlement, record::Endpoints};

use super::{attempt, current, observed, syscall};
use crate::fact::task;

/// Socket states (`include/net/tcp_states.h`).
const TCP_ESTABLISHED: u32 = 1;
const TCP_SYN_SENT: u32 = 2;
/// Both ends have sent a SYN to each other.
const TCP_SYN_RECV: u32 = 3;
const TCP_CLOSE: u32 = 7;

/// From one state to another.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub(crate) old: u32,
    pub(crate) new: u32,
}

impl Change {
    /// Whether an attempt begins with it.
    #[inline(always)]
    pub(crate) const fn begins(self) -> bool {
        self.old == TCP_CLOSE && self.new == TCP_SYN_SENT
    }

    #[inline(always)]
    const fn may_settle(self) -> bool {
        (self.old == TCP_SYN_SENT || self.old == TCP_SYN_RECV) && self.new != TCP_SYN_RECV
    }
}

/// An attempt begins: of the call that this thread is in, or of the request that io_uring works on; or of
/// nobody that is seen.
#[inline(always)]
pub(crate) fn begin(sk: u64, endpoints: impl FnOnce() -> Endpoints) {
    if !observed::is_on() {
        return;
    }
    let id = task::current();
    if let Some(call) = current::call(id, || Some(sk)).or_else(|| syscall::call_under_way(id, sk)) {
        syscall::learn_arguments(call);
        attempt::begin(call, sk, task::now());
    } else if observed::owner(id) {
        let endpoints = endpoints();
        if observed::peer(&endpoints) {
            attempt::begin_unexplained(id, sk, &endpoints, task::now());
        }
    }
}

/// A socket changes its state, which may settle an attempt. `error` is why it is closed: an errno, 0 where
/// the application gave up, `None` where that is not known. `unread` is an error that the application has not read.
/// `endpoints` writes both ends.
#[inline(always)]
pub(crate) fn settle(
    sk: u64,
    change: Change,
    error: impl FnOnce() -> Option<u32>,
    unread: impl FnOnce() -> u32,
    endpoints: impl FnOnce(&mut Endpoints),
) {
    if !observed::is_on() {
        return;
    }
    if change.old == TCP_ESTABLISHED {
        attempt::settled_unseen(sk);
    } else if change.may_settle() {
        attempt::settle(sk, |to| {
            endpoints(to);
            if change.new == TCP_CLOSE {
                match error() {
                    Some(0) => (Settlement::Abandoned, unread()),
                    Some(errno) => (Settlement::Failed, errno),
                    None => (Settlement::Failed, 0),
                }
            } else {
                // Established; or already further, where the other end has been quick.
                (Settlement::Established, 0)
            }
        });
    }
}
