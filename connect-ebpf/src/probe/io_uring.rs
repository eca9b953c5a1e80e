//! Connects that io_uring makes, which pass no system call tracepoint.
//!
//! Tracepoints `io_uring:io_uring_submit_req` (`io_uring_submit_sqe` before 6.4) and
//! `io_uring:io_uring_complete`, and for a request that is refused before it is submitted
//! `io_uring:io_uring_req_failed` (`include/trace/events/io_uring.h`). Raw, where the kernel's BTF says
//! what their arguments are; plain, as tracefs describes them, before 6.0. What they do not show is read
//! from the request, `struct io_kiocb`: it begins with the file, and then comes what `io_connect_prep`
//! has written (`struct io_connect`, `io_uring/net.c`).
//!
//! A request is submitted on the caller's own thread, or by a thread that io_uring has made in the
//! caller's process; it may be worked on by another, and completed by a third.

use core::hint::black_box;

use aya_ebpf::{
    EbpfContext as _,
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};
use connect_ebpf::{
    loss::KernelLoss,
    record::{ADDRESS_AT_ENTRY, KNOWN_ADDRLEN, KNOWN_ENTRY, KNOWN_FD, VIA_IO_URING},
};

use crate::{
    emit, filter,
    inflight::{Arguments, Call, IDLE},
    maps::{LOOKED_UP, REQUESTS, REQUESTS_BY_SOCKET, REQUESTS_WITHOUT_SOCKET, setting},
    memory::{field, read},
    report::report,
    socket,
    task::{self, TaskId},
};

/// `IORING_OP_CONNECT` (`include/uapi/linux/io_uring.h`).
const CONNECT: u8 = 16;
/// `IOSQE_FIXED_FILE`: what is passed is no descriptor.
const FIXED_FILE: u64 = 1 << 0;

/// In a request of a connect: the caller's pointer, and the length.
const REQUEST_ADDRESS: u32 = 8;
const REQUEST_ADDRLEN: u32 = 16;

/// `struct io_uring_sqe`: opcode, flags, descriptor, `addr2` and `addr`.
const SQE_OPCODE: u32 = 0;
const SQE_FLAGS: u32 = 1;
const SQE_FD: u32 = 4;
const SQE_ADDR2: u32 = 8;
const SQE_ADDR: u32 = 16;

/// `res` of a `struct io_uring_cqe`.
const CQE_RESULT: u32 = 8;

#[raw_tracepoint(tracepoint = "io_uring_submit_req")]
fn io_uring_submit(ctx: RawTracePointContext) {
    let request: u64 = ctx.arg(0);
    if read::<u8>(request, setting!(offsets.io_kiocb_opcode)) == Some(CONNECT) {
        submit(Key::of(request), request);
    }
}

#[raw_tracepoint(tracepoint = "io_uring_complete")]
fn io_uring_complete(ctx: RawTracePointContext) {
    let request: u64 = ctx.arg(1);
    complete(Key::of(request), || {
        if setting!(io_uring_complete_cqe) != 0 {
            read(ctx.arg(2), CQE_RESULT)
        } else {
            Some(ctx.arg(3))
        }
    });
}

/// The kernel has not even accepted a request. Its completion follows.
#[raw_tracepoint(tracepoint = "io_uring_req_failed")]
fn io_uring_req_failed(ctx: RawTracePointContext) {
    let sqe: u64 = ctx.arg(0);
    if read::<u8>(sqe, SQE_OPCODE) != Some(CONNECT) {
        return;
    }
    let request: u64 = ctx.arg(1);
    let fd: Option<i32> = read(sqe, SQE_FD);
    let is_fixed =
        read::<u8>(sqe, SQE_FLAGS).is_some_and(|flags| u64::from(flags) & FIXED_FILE != 0);
    begin(
        Key::of(request),
        request,
        Passed::new(fd, is_fixed, read(sqe, SQE_ADDR), read(sqe, SQE_ADDR2)),
    );
}

#[tracepoint(category = "io_uring", name = "io_uring_submit_sqe")]
fn io_uring_submit_plain(ctx: TracePointContext) {
    if plain::<u8>(&ctx, setting!(io_uring_layout.submit_opcode)) == Some(CONNECT)
        && let Some(request) = plain(&ctx, setting!(io_uring_layout.submit_req))
    {
        let key = if setting!(io_uring_layout.complete_req) != 0 {
            Some(Key::of(request))
        } else {
            Key::by_user_data(&ctx, setting!(io_uring_layout.submit_user_data))
        };
        if let Some(key) = key {
            submit(key, request);
        }
    }
}

/// Comes before the submission, on the same thread, where the kernel keeps no descriptor.
#[tracepoint(category = "io_uring", name = "io_uring_file_get")]
fn io_uring_file_get(ctx: TracePointContext) {
    if let Some(fd) = plain(&ctx, setting!(io_uring_layout.file_get_fd))
        && let Some(last) = LOOKED_UP.get_ptr_mut(0)
    {
        // SAFETY: the pointer is the map's own and this CPU's.
        unsafe { *last = fd }
    }
}

/// The descriptor that was looked up last on this CPU, if it is that of the request's file.
#[inline(always)]
fn descriptor_looked_up(request: u64) -> Option<i32> {
    let last = LOOKED_UP.get_ptr(0)?;
    // SAFETY: the pointer is the map's own and this CPU's.
    let fd = unsafe { *last };
    let file = read(request, 0)?;
    (socket::file(fd) == Some(file)).then_some(fd)
}

#[tracepoint(category = "io_uring", name = "io_uring_req_failed")]
fn io_uring_req_failed_plain(ctx: TracePointContext) {
    if plain::<u8>(&ctx, setting!(io_uring_layout.failed_opcode)) == Some(CONNECT)
        && let Some(key) = Key::by_user_data(&ctx, setting!(io_uring_layout.failed_user_data))
    {
        let passed = Passed::new(
            None,
            false,
            plain(&ctx, setting!(io_uring_layout.failed_addr)),
            plain(&ctx, setting!(io_uring_layout.failed_off)),
        );
        begin(key, 0, passed);
    }
}

#[tracepoint(category = "io_uring", name = "io_uring_complete")]
fn io_uring_complete_plain(ctx: TracePointContext) {
    let key = if setting!(io_uring_layout.complete_req) != 0 {
        plain(&ctx, setting!(io_uring_layout.complete_req)).map(Key::of)
    } else {
        Key::by_user_data(&ctx, setting!(io_uring_layout.complete_user_data))
    };
    if let Some(key) = key {
        complete(key, || plain(&ctx, setting!(io_uring_layout.complete_res)));
    }
}

/// Which request: what its completion shows of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Key {
    /// Its address; or its ring's, where completions do not show that.
    request: u64,
    /// 0; or what the caller calls it.
    user_data: u64,
}

impl Key {
    #[inline(always)]
    const fn of(request: u64) -> Self {
        Self {
            request,
            user_data: 0,
        }
    }

    /// Of the context of a plain tracepoint, all of which begin with the ring.
    #[inline(always)]
    fn by_user_data(ctx: &TracePointContext, offset: u32) -> Option<Self> {
        Some(Self {
            request: plain(ctx, CONTEXT_RING)?,
            user_data: plain(ctx, offset)?,
        })
    }
}

/// `ctx` of every plain tracepoint.
const CONTEXT_RING: u32 = 8;

/// What was passed.
struct Passed {
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
    fn new(
        fd: Option<i32>,
        is_fixed: bool,
        address_pointer: Option<u64>,
        addrlen: Option<i32>,
    ) -> Self {
        let (fd, known_fd) = match fd {
            Some(fd) if !is_fixed => (fd, KNOWN_FD),
            _ => (-1, 0),
        };
        Self {
            fd: black_box(fd),
            known_fd: black_box(known_fd),
            address_pointer: address_pointer.unwrap_or(0),
            addrlen: addrlen.unwrap_or(0),
        }
    }
}

#[inline(always)]
fn submit(key: Key, request: u64) {
    let flags: u64 = field(request, setting!(offsets.io_kiocb_flags)).unwrap_or(0);
    let fd: Option<i32> = if setting!(io_uring_layout.file_get_fd) != 0 {
        descriptor_looked_up(request)
    } else {
        field(request, setting!(offsets.io_kiocb_fd))
    };
    begin(
        key,
        request,
        Passed::new(
            fd,
            flags & FIXED_FILE != 0,
            read(request, REQUEST_ADDRESS),
            read(request, REQUEST_ADDRLEN),
        ),
    );
}

#[inline(always)]
fn begin(key: Key, request: u64, passed: Passed) {
    let id = task::current();
    if !filter::owner(id) {
        return;
    }
    let Some(call) = existing_or_new(key) else {
        emit::count(KernelLoss::InflightFull);
        return;
    };
    if call.active.get() != 0 {
        // The one before has come to an end that was not shown.
        emit::count(KernelLoss::CompletionMissed);
        forget_socket(id, call);
    }
    call.via.set(VIA_IO_URING);
    let known = KNOWN_ENTRY | KNOWN_ADDRLEN | passed.known_fd;
    let arguments = Arguments {
        fd: passed.fd,
        address_pointer: passed.address_pointer,
        addrlen: passed.addrlen,
    };
    call.prepare(id, arguments, known);
    call.killed.set(0);
    call.read_address(ADDRESS_AT_ENTRY);
    task::owners_comm(&call.comm);
    let _cgroup = call.cgroup_id();
    call.request.set(request);
    // A descriptor of the caller's, as all of its threads have the same; or the file, where the kernel
    // has looked it up already.
    call.is_about(if passed.known_fd != 0 {
        socket::of(passed.fd)
    } else {
        read(request, 0).and_then(socket::of_file)
    });
    let sk = call.sk.get();
    if sk == 0 {
        let _full = REQUESTS_WITHOUT_SOCKET.insert(&id.pid, &key, 0);
    } else {
        let _full = REQUESTS_BY_SOCKET.insert(&sk, &key, 0);
    }
    call.active.set(1);
    call.entered_ns.set(task::now());
}

#[inline(always)]
fn complete(key: Key, result: impl FnOnce() -> Option<i32>) {
    let Some(call) = existing(key) else {
        return;
    };
    let at_ns = task::now();
    if call.active.replace(0) == 0 {
        return;
    }
    call.returned_ns.set(at_ns);
    call.ret.set(result().unwrap_or(0).into());
    report(call);
    forget_socket(
        TaskId {
            pid: call.pid.get(),
            tid: call.tid.get(),
        },
        call,
    );
    let _gone = REQUESTS.remove(&key);
}

#[inline(always)]
fn forget_socket(id: TaskId, call: &Call) {
    if call.sk.get() != 0 {
        let _gone = REQUESTS_BY_SOCKET.remove(&call.sk.get());
    } else {
        let _gone = REQUESTS_WITHOUT_SOCKET.remove(&id.pid);
    }
}

/// The request that connects this socket, on whichever thread.
#[inline(always)]
pub(crate) fn request_on(id: TaskId, sk: u64) -> Option<&'static Call> {
    if setting!(io_uring) == 0 {
        return None;
    }
    if let Some(key) = REQUESTS_BY_SOCKET.get_ptr(&sk) {
        // SAFETY: the pointer is the map's own.
        return under_way(unsafe { *key });
    }
    let key = REQUESTS_WITHOUT_SOCKET.get_ptr(&id.pid)?;
    // SAFETY: the pointer is the map's own.
    let call = under_way(unsafe { *key })?;
    // By now, the kernel has looked it up.
    let file = read(call.request.get(), 0)?;
    let socket = socket::of_file(file)?;
    (socket.sk == sk).then_some(call)
}

#[inline(always)]
fn under_way(key: Key) -> Option<&'static Call> {
    existing(key).filter(|call| call.active.get() != 0)
}

#[inline(always)]
fn existing(key: Key) -> Option<&'static Call> {
    let call = REQUESTS.get_ptr(&key)?;
    // SAFETY: the pointer is the map's own. The kernel works on a request in one place at a time.
    unsafe { call.as_ref() }
}

#[inline(always)]
fn existing_or_new(key: Key) -> Option<&'static Call> {
    if let Some(call) = existing(key) {
        return Some(call);
    }
    REQUESTS.insert(&key, &IDLE, 0).ok()?;
    existing(key)
}

/// A field of the context of a plain tracepoint.
#[inline(always)]
fn plain<T>(ctx: &TracePointContext, offset: u32) -> Option<T> {
    read(ctx.as_ptr().addr() as u64, offset)
}
