//! Connect calls between their entry and their end.
//!
//! A thread is in one call at a time, but a signal may suspend it: a handler runs, which may make
//! a connect of its own, before the call is restarted. So a thread has a stack of calls, of which
//! the lowest has its entry for as long as the thread lives.

use core::cell::Cell;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use connect_ebpf::record::{
    ADDRESS_KERNEL, ADDRESS_MAX, ADDRESS_NOT_READ, COMM_LEN, TRANSPORT_UNKNOWN,
};

use crate::{
    maps::INFLIGHT,
    socket::{self, Socket},
    task::{self, TaskId},
};

/// On how many suspended calls a call of the same thread can stand, to be kept. What a handler calls
/// while that one is suspended too is lost, and counted.
pub(crate) const DEPTH_MAX: u32 = 4;

/// The depth of calls that are not kept: their entry tells only whether the next one is a restart.
pub(crate) const DEPTH_LOST: u32 = DEPTH_MAX + 1;

/// [`Call::told`]: nothing that matters.
pub(crate) const TOLD_NOTHING: u8 = 0;
/// [`Call::told`]: the tracepoint has told of the entry, and the function is still to come.
pub(crate) const TOLD_ENTRY: u8 = 1;
/// [`Call::told`]: the function has told of the return, and the tracepoint is still to come.
pub(crate) const TOLD_RETURN: u8 = 2;

/// Which call of which thread.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Key {
    tid: u32,
    /// 0 for the call that no handler made.
    depth: u32,
}

/// What a call has shown so far.
///
/// Cells, as a thread's lowest entry is looked up both as the thread's and as a call's. Words that are made 0
/// together do not stand together (`words.rs`).
#[repr(C)]
pub(crate) struct Call {
    /// `CLOCK_MONOTONIC` at entry, in ns.
    pub(crate) entered_ns: Cell<u64>,
    /// `CLOCK_MONOTONIC` at the last return, in ns.
    pub(crate) returned_ns: Cell<u64>,
    /// What that return said: 0, a negated errno, or `-ERESTARTSYS` or one of its kind, which
    /// suspends the call.
    pub(crate) ret: Cell<i64>,
    /// The caller's stack pointer at that return; 0 where it is not known.
    pub(crate) stack_pointer: Cell<u64>,
    /// The caller's pointer to the address.
    pub(crate) address_pointer: Cell<u64>,
    /// The caller's instruction pointer at that return; 0 where it is not known.
    pub(crate) instruction_pointer: Cell<u64>,
    /// Bytes read into `address`; 0 where it could not be read.
    pub(crate) address_len: Cell<u64>,
    /// Process id of the caller.
    pub(crate) pid: Cell<u32>,
    /// Thread id of the caller.
    pub(crate) tid: Cell<u32>,
    /// First argument.
    pub(crate) fd: Cell<i32>,
    /// Third argument.
    pub(crate) addrlen: Cell<i32>,
    /// How often the kernel restarted the call.
    pub(crate) restarts: Cell<u32>,
    /// How many signal handlers have begun since the call was suspended, and not returned.
    pub(crate) handlers: Cell<u32>,
    /// Of the thread, kept in its lowest entry: how many of its calls are suspended.
    pub(crate) suspended: Cell<u32>,
    /// Not 0: between entry and return.
    pub(crate) active: Cell<u8>,
    /// Which fields could be learned: `KNOWN_*`.
    pub(crate) known: Cell<u8>,
    /// When `address` was read: `ADDRESS_*`.
    pub(crate) address_source: Cell<u8>,
    /// Not 0: the next handler decides whether the suspended call is restarted or fails.
    pub(crate) undecided: Cell<u8>,
    /// Real user id at entry.
    pub(crate) uid: Cell<u32>,
    /// Not 0: a handler that began since the call was suspended has a stack of its own.
    pub(crate) other_stack: Cell<u32>,
    /// Address of the `struct sock` that the descriptor named; 0 where it is not known.
    pub(crate) sk: Cell<u64>,
    /// Address of the `struct sock` that has begun to connect in this call; 0 while none has.
    pub(crate) attempt_sk: Cell<u64>,
    /// Number of the inode of the socket that the descriptor named.
    pub(crate) inode: Cell<u64>,
    /// cgroup v2 id, once it is needed; before that 0.
    pub(crate) cgroup_id: Cell<u64>,
    /// What the socket is: `TRANSPORT_*`.
    pub(crate) transport: Cell<u8>,
    /// Not 0: the socket had begun to connect before.
    pub(crate) begun: Cell<u8>,
    /// 1: the call is over, and its attempt goes on. Otherwise 0.
    pub(crate) unsettled: Cell<u8>,
    /// 1: the call is over, and never returned to the application. Otherwise 0.
    pub(crate) killed: Cell<u8>,
    /// How the call was made: `VIA_*`.
    pub(crate) via: Cell<u8>,
    /// Of the thread, kept in its lowest entry: what one of two hooks on its call has told of it
    /// already: `TOLD_*`.
    pub(crate) told: Cell<u8>,
    /// The same: not 0, the tracepoint has told of a handler that returns, and the function is still to
    /// come.
    pub(crate) handler_told: Cell<u8>,
    /// Always 0.
    padding: u8,
    /// Of io_uring: address of the kernel's `struct io_kiocb`.
    pub(crate) request: Cell<u64>,
    /// Time from the SYN to the connection that the call has established, in ns, or 0.
    pub(crate) handshake_ns: Cell<u64>,
    /// Task name at entry.
    pub(crate) comm: Cell<[u8; COMM_LEN]>,
    /// The address.
    pub(crate) address: Cell<[u8; ADDRESS_MAX]>,
}

// SAFETY: an entry of the map is used only by its own thread, with preemption off; the static below
// is only read, by the kernel.
unsafe impl Sync for Call {}

/// Inserted for a new call; in read-only data, to keep it off the 512-byte stack.
pub(crate) static IDLE: Call = Call {
    entered_ns: Cell::new(0),
    returned_ns: Cell::new(0),
    ret: Cell::new(0),
    stack_pointer: Cell::new(0),
    address_pointer: Cell::new(0),
    instruction_pointer: Cell::new(0),
    address_len: Cell::new(0),
    pid: Cell::new(0),
    tid: Cell::new(0),
    fd: Cell::new(0),
    addrlen: Cell::new(0),
    restarts: Cell::new(0),
    handlers: Cell::new(0),
    suspended: Cell::new(0),
    active: Cell::new(0),
    known: Cell::new(0),
    address_source: Cell::new(ADDRESS_NOT_READ),
    undecided: Cell::new(0),
    uid: Cell::new(0),
    other_stack: Cell::new(0),
    sk: Cell::new(0),
    attempt_sk: Cell::new(0),
    inode: Cell::new(0),
    cgroup_id: Cell::new(0),
    transport: Cell::new(TRANSPORT_UNKNOWN),
    begun: Cell::new(0),
    unsettled: Cell::new(0),
    killed: Cell::new(0),
    via: Cell::new(0),
    told: Cell::new(TOLD_NOTHING),
    handler_told: Cell::new(0),
    padding: 0,
    request: Cell::new(0),
    handshake_ns: Cell::new(0),
    comm: Cell::new([0; COMM_LEN]),
    address: Cell::new([0; ADDRESS_MAX]),
};

/// The thread's lowest entry, which is also the call of a thread that no signal has interrupted;
/// `None` for a thread that never connected.
#[inline(always)]
pub(crate) fn thread(tid: u32) -> Option<&'static Call> {
    existing(Key { tid, depth: 0 })
}

/// The thread's lowest entry, made where there is none. The error is the kernel's, negated:
/// -E2BIG where the table is full.
#[inline(always)]
pub(crate) fn thread_or_new(tid: u32) -> Result<&'static Call, i32> {
    existing_or_new(Key { tid, depth: 0 })
}

/// The call that the thread is in, if its entry was seen, and so passed the filter.
#[inline(always)]
pub(crate) fn under_way(tid: u32) -> Option<&'static Call> {
    call_of(tid, thread(tid)?)
}

/// The same of a thread whose lowest entry is at hand.
#[inline(always)]
pub(crate) fn call_of(tid: u32, thread: &'static Call) -> Option<&'static Call> {
    let call = if thread.suspended.get() == 0 {
        thread
    } else {
        nested(tid, thread.suspended.get())?
    };
    (call.active.get() != 0).then_some(call)
}

/// A call that stands on `depth` suspended ones.
#[inline(always)]
pub(crate) fn nested(tid: u32, depth: u32) -> Option<&'static Call> {
    existing(Key { tid, depth })
}

/// The same, made where there is none.
#[inline(always)]
pub(crate) fn nested_or_new(tid: u32, depth: u32) -> Result<&'static Call, i32> {
    existing_or_new(Key { tid, depth })
}

/// Forgets everything of a thread that ends. Most threads never connected, and have nothing.
#[inline(always)]
pub(crate) fn forget(tid: u32) {
    if thread(tid).is_some() {
        for depth in 0..=DEPTH_LOST {
            let _absent = INFLIGHT.remove(&Key { tid, depth });
        }
    }
}

#[inline(always)]
fn existing(key: Key) -> Option<&'static Call> {
    let call = INFLIGHT.get_ptr(&key)?;
    // SAFETY: the pointer is the map's own. Only the thread itself, with preemption off, uses its
    // entries, and only its own end removes them.
    unsafe { call.as_ref() }
}

#[inline(always)]
fn existing_or_new(key: Key) -> Result<&'static Call, i32> {
    const VANISHED: i32 = 0;
    if let Some(call) = existing(key) {
        return Ok(call);
    }
    INFLIGHT.insert(&key, &IDLE, 0)?;
    existing(key).ok_or(VANISHED)
}

impl Call {
    /// Reads the address, if it has not been read yet. `source` says when this is.
    #[inline(always)]
    pub(crate) fn read_address(&self, source: u8) {
        if self.address_len.get() == 0 {
            let pointer = self.address_pointer.get();
            let read = read_address(self.addrlen.get(), |length| {
                // SAFETY: `length` is at most the size of the cell; the helper checks the user's
                // pointer.
                unsafe {
                    bpf_probe_read_user(
                        self.address.as_ptr().cast(),
                        length,
                        core::ptr::with_exposed_provenance(pointer as usize),
                    )
                }
            });
            self.address_len.set(read);
            self.address_source
                .set(if read == 0 { ADDRESS_NOT_READ } else { source });
        }
    }

    /// Takes the kernel's own copy of the address, which the caller cannot change any more.
    #[inline(always)]
    pub(crate) fn read_kernels_address(&self, pointer: u64, addrlen: i32) {
        let read = read_address(addrlen, |length| {
            // SAFETY: `length` is at most the size of the cell; the helper checks the pointer.
            unsafe {
                bpf_probe_read_kernel(
                    self.address.as_ptr().cast(),
                    length,
                    core::ptr::with_exposed_provenance(pointer as usize),
                )
            }
        });
        if read != 0 {
            self.address_len.set(read);
            self.address_source.set(ADDRESS_KERNEL);
        }
    }

    /// Begins anew with the arguments of a call that is seen at `source`.
    #[inline(always)]
    pub(crate) fn begin(&self, id: TaskId, arguments: Arguments, known: u8, source: u8) {
        self.prepare(id, arguments, known);
        self.read_address(source);
        task::comm(&self.comm);
        // Before the kernel does: another thread may close the descriptor any time.
        self.is_about(socket::of(arguments.fd));
    }

    /// Forgets what was before.
    #[inline(always)]
    pub(crate) fn prepare(&self, id: TaskId, arguments: Arguments, known: u8) {
        self.pid.set(id.pid);
        self.tid.set(id.tid);
        self.fd.set(arguments.fd);
        self.addrlen.set(arguments.addrlen);
        self.address_pointer.set(arguments.address_pointer);
        self.address_len.set(0);
        self.restarts.set(0);
        self.known.set(known);
        self.uid.set(task::uid());
        self.attempt_sk.set(0);
        self.cgroup_id.set(0);
    }

    /// Takes note of the socket that the call is about.
    #[inline(always)]
    pub(crate) fn is_about(&self, socket: Option<Socket>) {
        let (sk, inode, transport, begun) = match socket {
            Some(socket) => (socket.sk, socket.inode, socket.transport, socket.begun),
            None => (0, 0, TRANSPORT_UNKNOWN, 0),
        };
        self.sk.set(sk);
        self.inode.set(inode);
        self.transport.set(transport);
        self.begun.set(begun);
    }

    /// The cgroup of the caller, which must be the current task the first time.
    #[inline(always)]
    pub(crate) fn cgroup_id(&self) -> u64 {
        if self.cgroup_id.get() == 0 {
            self.cgroup_id.set(task::cgroup_id());
        }
        self.cgroup_id.get()
    }

    /// Whether these are the arguments that the call began with.
    #[inline(always)]
    pub(crate) const fn has(&self, arguments: Arguments) -> bool {
        self.fd.get() == arguments.fd
            && self.address_pointer.get() == arguments.address_pointer
            && self.addrlen.get() == arguments.addrlen
    }

    /// Counts one suspended call more of this thread, or one fewer.
    #[inline(always)]
    pub(crate) fn add_suspended(&self, change: i32) {
        self.suspended
            .set(self.suspended.get().wrapping_add_signed(change));
    }
}

/// The arguments of a connect call.
#[derive(Clone, Copy)]
pub(crate) struct Arguments {
    /// First, of which the upper half of the register is garbage.
    pub(crate) fd: i32,
    /// Second.
    pub(crate) address_pointer: u64,
    /// Third, of which the upper half of the register is garbage.
    pub(crate) addrlen: i32,
}

impl Arguments {
    /// From whole registers.
    #[inline(always)]
    pub(crate) const fn new([fd, address_pointer, addrlen]: [u64; 3]) -> Self {
        Self {
            fd: fd as i32,
            address_pointer,
            addrlen: addrlen as i32,
        }
    }
}

/// Reads exactly `addrlen` bytes: more could reach into an unmapped page, and a read is all or
/// nothing. Returns how many bytes were read, 0 where there is nothing to read or the page is not there
/// (never touched, or unmapped). `read` gets at most [`ADDRESS_MAX`], and returns 0 if it succeeds.
#[inline(always)]
fn read_address(addrlen: i32, read: impl FnOnce(u32) -> i64) -> u64 {
    if addrlen <= 0 {
        return 0;
    }
    // Hidden from the optimiser, which would join both comparisons into one on another register
    // than the one that the verifier has to see bounded.
    let length = core::hint::black_box(addrlen.cast_unsigned());
    if length > ADDRESS_MAX as u32 {
        return 0;
    }
    if read(length) == 0 {
        u64::from(length)
    } else {
        0
    }
}
