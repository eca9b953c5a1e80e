//! Connects that io_uring makes: each is kept under the address of its request, instead of its thread.
//!
//! A request is submitted on the caller's own thread, or by a thread that io_uring has made in the
//! caller's process; it may be worked on by another, and completed by a third.

use core::{hint::black_box, mem::offset_of};

use aya_ebpf::{
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray},
};
use connect_ebpf::{
    code::{AddressSource, Via},
    loss::KernelLoss,
    record::{KNOWN_ADDRLEN, KNOWN_ENTRY, KNOWN_FD},
};

use super::{
    association,
    call::{Arguments, Call},
    end::end,
    observed,
};
use crate::{
    fact::{
        memory::read_or_zero,
        socket,
        task::{self, TaskId},
    },
    output::loss::lose,
};

/// Requests that are under way.
#[map]
static REQUESTS: HashMap<Key, Request> = HashMap::with_max_entries(1, 0);

/// The request that connects a socket, by the address of its `struct sock`.
#[map]
static REQUESTS_BY_SOCKET: HashMap<u64, Key> = HashMap::with_max_entries(1, 0);

/// The last request of a process whose socket is not known when it is submitted.
#[map]
static REQUESTS_WITHOUT_SOCKET: LruHashMap<u32, Key> = LruHashMap::with_max_entries(1024, 0);

/// The descriptor that io_uring has looked up last.
#[map]
static LOOKED_UP: PerCpuArray<i32> = PerCpuArray::with_max_entries(1, 0);

/// Which request: what its completion shows of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Key {
    /// Its address; or its ring's, where completions do not show that.
    pub(crate) request: u64,
    /// 0; or what the caller calls it.
    pub(crate) user_data: u64,
}

/// A connect of io_uring.
#[repr(C)]
struct Request {
    /// The call.
    call: Call,
    /// Address of the kernel's `struct io_kiocb`; 0 where it was refused before it was submitted.
    address: u64,
    /// Not 0: submitted, and not completed.
    under_way: u64,
}

const _: () = assert!(offset_of!(Request, call).is_multiple_of(8));

/// Inserted for a new request; in read-only data, to keep it off the 512-byte stack.
static NEW: Request = Request {
    call: Call::NONE,
    address: 0,
    under_way: 0,
};

/// What was passed.
pub(crate) struct Passed {
    /// A descriptor, or -1.
    fd: i32,
    /// [`KNOWN_FD`], or 0 where there is none, or the kernel does not keep it.
    known_fd: u8,
    address_pointer: u64,
    addrlen: i32,
}

impl Passed {
    /// Both halves of the option, and one value each for the optimiser, which would else keep what it
    /// has only for the way on which it is known, and read it on both: kernels before 6.4 refuse to read
    /// what was not written.
    #[inline(always)]
    pub(crate) const fn new(
        fd: Option<i32>,
        is_fixed: bool,
        address_pointer: u64,
        addrlen: i32,
    ) -> Self {
        let (fd, known_fd) = match fd {
            Some(fd) if !is_fixed => (fd, KNOWN_FD),
            _ => (-1, 0),
        };
        Self {
            fd: black_box(fd),
            known_fd: black_box(known_fd),
            address_pointer,
            addrlen,
        }
    }
}

/// Notes the descriptor that io_uring looks up on this CPU, before it submits a request.
#[inline(always)]
pub(crate) fn looks_up(fd: i32) {
    if let Some(last) = LOOKED_UP.get_ptr_mut(0) {
        // SAFETY: the pointer is the map's own and this CPU's.
        unsafe { *last = fd }
    }
}

/// The descriptor that was looked up last on this CPU, if it is that of the request's file.
#[inline(always)]
pub(crate) fn descriptor_looked_up(request: u64) -> Option<i32> {
    let last = LOOKED_UP.get_ptr(0)?;
    // SAFETY: the pointer is the map's own and this CPU's.
    let fd = unsafe { *last };
    let file = read_or_zero(request, 0);
    (socket::file(fd) == Some(file)).then_some(fd)
}

/// A request is submitted, or refused before that; its completion follows.
#[inline(always)]
pub(crate) fn submit(key: Key, address: u64, passed: Passed) {
    if !observed::is_on() {
        return;
    }
    let id = task::current();
    if !observed::owner(id) {
        return;
    }
    let Some(request) = entry_or_new(key) else {
        lose(KernelLoss::InflightFull);
        return;
    };
    if request.under_way != 0 {
        // The one before has come to an end that was not shown.
        lose(KernelLoss::CompletionMissed);
        forget_socket(id.pid, &request.call);
    }
    let known = KNOWN_ENTRY | KNOWN_ADDRLEN | passed.known_fd;
    let arguments = Arguments {
        fd: passed.fd,
        address_pointer: passed.address_pointer,
        addrlen: passed.addrlen,
    };
    let call = &mut request.call;
    call.begin(id, arguments, Via::IoUring.number(), known);
    call.read_address(AddressSource::Entry);
    task::owners_comm(&mut call.connect.call.comm);
    call.note_cgroup();
    request.address = address;
    // A descriptor of the caller's, as all of its threads have the same; or the file, where the kernel
    // has looked it up already.
    call.is_about(if passed.known_fd != 0 {
        socket::of(passed.fd)
    } else {
        socket::of_file(read_or_zero(address, 0))
    });
    if call.sk == 0 {
        let _full = REQUESTS_WITHOUT_SOCKET.insert(&id.pid, &key, 0);
    } else {
        let _full = REQUESTS_BY_SOCKET.insert(&call.sk, &key, 0);
    }
    request.under_way = 1;
    call.connect.call.entered_ns = task::now();
}

/// A request is completed, with this result.
#[inline(always)]
pub(crate) fn complete(key: Key, result: impl FnOnce() -> i32) {
    if !observed::is_on() {
        return;
    }
    let Some(request) = entry(key) else {
        return;
    };
    let at_ns = task::now();
    if request.under_way == 0 {
        return;
    }
    request.under_way = 0;
    request.call.returns(result().into(), at_ns);
    end(&mut request.call);
    association::conclude(&mut request.call);
    forget_socket(request.call.connect.call.pid, &request.call);
    let _gone = REQUESTS.remove(&key);
}

#[inline(always)]
fn forget_socket(pid: u32, call: &Call) {
    if call.sk != 0 {
        let _gone = REQUESTS_BY_SOCKET.remove(&call.sk);
    } else {
        let _gone = REQUESTS_WITHOUT_SOCKET.remove(&pid);
    }
}

/// The call of the request that connects this socket, on whichever thread.
#[inline(always)]
pub(super) fn call_on(id: TaskId, sk: u64) -> Option<&'static mut Call> {
    if let Some(key) = REQUESTS_BY_SOCKET.get_ptr(&sk) {
        // SAFETY: the pointer is the map's own.
        return under_way(unsafe { *key }).map(|request| &mut request.call);
    }
    let key = REQUESTS_WITHOUT_SOCKET.get_ptr(&id.pid)?;
    // SAFETY: the pointer is the map's own.
    let request = under_way(unsafe { *key })?;
    // By now, the kernel has looked it up.
    let socket = socket::of_file(read_or_zero(request.address, 0))?;
    (socket.sk == sk).then_some(&mut request.call)
}

#[inline(always)]
fn under_way(key: Key) -> Option<&'static mut Request> {
    entry(key).filter(|request| request.under_way != 0)
}

#[inline(always)]
fn entry(key: Key) -> Option<&'static mut Request> {
    let request = REQUESTS.get_ptr_mut(&key)?;
    // SAFETY: the pointer is the map's own. The kernel works on a request in one place at a time, and a
    // hook takes the entry once.
    Some(unsafe { &mut *request })
}

#[inline(always)]
fn entry_or_new(key: Key) -> Option<&'static mut Request> {
    if let Some(request) = entry(key) {
        return Some(request);
    }
    REQUESTS.insert(&key, &NEW, 0).ok()?;
    entry(key)
}
