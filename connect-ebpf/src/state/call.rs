//! A connect call that is under way, whoever makes it: the record that will report it, and what else the
//! hooks need of it.

use core::{mem::offset_of, ptr::with_exposed_provenance};

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use connect_ebpf::{
    code::{AddressSource, Kind, SocketType, Transport},
    record::{
        ADDRESS_MAX, COMM_LEN, Call as Record, Connect, Endpoints, Header, KNOWN_ARGUMENTS,
        KNOWN_ENTRY,
    },
};

use crate::fact::{
    socket::{self, Socket},
    task::{self, TaskId},
    words,
};

/// A call.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Call {
    /// What is going to be reported; complete when the call is over.
    pub(super) connect: Connect,
    /// The caller's pointer to the address.
    address_pointer: u64,
    /// Address of the `struct sock` that the descriptor named; 0 where it is not known.
    pub(super) sk: u64,
    /// Number of the inode of that socket, if it may make attempts or associations; else 0.
    pub(super) inode: u64,
    /// Address of the `struct sock` that has begun to connect in this call; 0 while none has.
    pub(super) attempt_sk: u64,
    /// Not 0: the socket had begun to connect before.
    pub(super) begun: u64,
    /// When the attempt was settled that this call has begun, `CLOCK_MONOTONIC` in ns; 0 where it was not while
    /// the call went on.
    pub(super) settled_ns: u64,
    /// Of a call that has made an association: an error that the socket had before, and nobody has read; or 0.
    pub(super) old_error: u64,
    /// Likewise: address of the buffer that its queue of errors had got last before; or 0.
    pub(super) old_queued: u64,
}

impl Call {
    /// No call. Its header stays for all calls that follow in its place.
    pub(super) const NONE: Self = Self {
        connect: Connect {
            header: Header::of::<Connect>(Kind::Connect),
            call: Record {
                entered_ns: 0,
                cgroup_id: 0,
                pid: 0,
                tid: 0,
                uid: 0,
                fd: 0,
                addrlen: 0,
                address_len: 0,
                address_source: AddressSource::NotRead.number(),
                via: 0,
                known: 0,
                comm: [0; COMM_LEN],
                address: [0; ADDRESS_MAX],
            },
            duration_ns: 0,
            ret: 0,
            handshake_ns: 0,
            attempt_entered_ns: 0,
            attempt_tid: 0,
            restarts: 0,
            killed: 0,
            transport: Transport::Unknown.number(),
            unsettled: 0,
            socket_type: SocketType::Unknown.number(),
            reserved: [0; 4],
            endpoints: Endpoints::UNKNOWN,
        },
        address_pointer: 0,
        sk: 0,
        inode: 0,
        attempt_sk: 0,
        begun: 0,
        settled_ns: 0,
        old_error: 0,
        old_queued: 0,
    };

    /// Begins anew. `known` are the `KNOWN_*` of the record.
    #[inline(always)]
    pub(super) fn begin(&mut self, id: TaskId, arguments: Arguments, via: u8, known: u8) {
        let call = &mut self.connect.call;
        call.pid = id.pid;
        call.tid = id.tid;
        call.uid = task::uid();
        call.fd = arguments.fd;
        call.addrlen = arguments.addrlen;
        call.via = via;
        call.known = known;
        // Apart from each other, or the compiler would call memset.
        words::set(&mut call.address_len, 0);
        words::set(&mut call.cgroup_id, 0);
        words::set(&mut self.connect.restarts, 0);
        words::set(&mut self.attempt_sk, 0);
        self.address_pointer = arguments.address_pointer;
    }

    /// Reads the address from the caller's memory, if it has not been read yet. `source` says when this is.
    #[inline(always)]
    pub(super) fn read_address(&mut self, source: AddressSource) {
        let call = &mut self.connect.call;
        if call.address_len == 0 {
            let pointer = with_exposed_provenance(self.address_pointer as usize);
            let to = call.address.as_mut_ptr();
            // SAFETY: `length` is at most that of the address; the helper checks the user's pointer.
            let read = read_address(call.addrlen, |length| unsafe {
                bpf_probe_read_user(to.cast(), length, pointer)
            });
            call.address_len = read;
            call.address_source = if read == 0 {
                AddressSource::NotRead.number()
            } else {
                source.number()
            };
        }
    }

    /// Takes the kernel's own copy of the address, which the caller cannot change any more.
    #[inline(always)]
    pub(crate) fn read_kernels_address(&mut self, pointer: u64, addrlen: i32) {
        let call = &mut self.connect.call;
        let pointer = with_exposed_provenance(pointer as usize);
        let to = call.address.as_mut_ptr();
        // SAFETY: `length` is at most that of the address; the helper checks the kernel's pointer.
        let read = read_address(addrlen, |length| unsafe {
            bpf_probe_read_kernel(to.cast(), length, pointer)
        });
        if read != 0 {
            call.address_len = read;
            call.address_source = AddressSource::Kernel.number();
        }
    }

    /// Notes the socket that the call is about.
    #[inline(always)]
    pub(super) fn is_about(&mut self, socket: Option<Socket>) {
        let (sk, inode, transport, socket_type, begun) = match socket {
            Some(socket) => (
                socket.sk,
                socket.inode,
                socket.transport.number(),
                socket.kind,
                socket.begun.into(),
            ),
            None => (
                0,
                0,
                Transport::Unknown.number(),
                SocketType::Unknown.number(),
                0,
            ),
        };
        words::set(&mut self.sk, sk);
        words::set(&mut self.inode, inode);
        words::set(&mut self.begun, begun);
        self.connect.transport = transport;
        words::set(&mut self.connect.socket_type, socket_type);
    }

    /// Notes what the call has returned, at `at_ns` of `CLOCK_MONOTONIC`.
    #[inline(always)]
    pub(super) const fn returns(&mut self, ret: i64, at_ns: u64) {
        let Connect {
            call, duration_ns, ..
        } = &mut self.connect;
        if call.known & KNOWN_ENTRY != 0 {
            *duration_ns = at_ns.wrapping_sub(call.entered_ns);
        } else {
            *duration_ns = 0;
            // One that has begun an attempt has the time of that already, by which its outcome is known.
            if self.attempt_sk == 0 {
                call.entered_ns = at_ns;
            }
        }
        self.connect.ret = ret;
        self.connect.killed = 0;
    }

    /// Notes the cgroup of the caller, which must be the current task the first time.
    #[inline(always)]
    pub(super) fn note_cgroup(&mut self) {
        let call = &mut self.connect.call;
        if call.cgroup_id == 0 {
            call.cgroup_id = task::cgroup_id();
        }
    }

    /// Notes both ends of the socket, unless they have been noted when its attempt was settled.
    #[inline(always)]
    pub(super) fn note_endpoints(&mut self) {
        let sk = if self.attempt_sk != 0 {
            self.attempt_sk
        } else if Transport::of(self.connect.transport).is_some_and(Transport::is_internet) {
            self.sk
        } else {
            0
        };
        let endpoints = &mut self.connect.endpoints;
        if endpoints.family == 0 && sk != 0 && socket::has_endpoints() {
            let _unknown = socket::write_endpoints(sk, endpoints);
        }
    }

    /// Whether these are the arguments that the call began with.
    #[inline(always)]
    pub(super) const fn has(&self, arguments: Arguments) -> bool {
        self.connect.call.fd == arguments.fd
            && self.address_pointer == arguments.address_pointer
            && self.connect.call.addrlen == arguments.addrlen
    }

    /// Whether its arguments are known.
    #[inline(always)]
    pub(super) const fn has_arguments(&self) -> bool {
        self.connect.call.known & KNOWN_ARGUMENTS != 0
    }

    /// Takes the arguments that could not be read when it began, if they can be now.
    #[inline(always)]
    pub(super) fn learn(&mut self, arguments: Option<Arguments>) {
        let Some(arguments) = arguments else {
            return;
        };
        let call = &mut self.connect.call;
        call.fd = arguments.fd;
        call.addrlen = arguments.addrlen;
        call.known |= KNOWN_ARGUMENTS;
        self.address_pointer = arguments.address_pointer;
        if self.sk == 0 {
            self.is_about(socket::of(arguments.fd));
        }
    }

    /// Becomes a copy of another call.
    #[inline(always)]
    pub(super) fn become_copy_of(&mut self, other: &Self) {
        // SAFETY: both are in maps' values, which begin at a multiple of eight, and so does a call in these.
        unsafe { words::copy(&raw mut *self, other) }
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

    /// These; or some that stand for none, with no descriptor. And the `KNOWN_*` of the record that says which.
    #[inline(always)]
    pub(super) const fn or_unknown(arguments: Option<Self>) -> (Self, u8) {
        match arguments {
            Some(arguments) => (arguments, KNOWN_ARGUMENTS),
            None => (Self::new([u64::MAX, 0, 0]), 0),
        }
    }
}

/// Reads exactly `addrlen` bytes: more could reach into an unmapped page, and a read is all or
/// nothing. Returns how many bytes were read, 0 where there is nothing to read or the page is not there
/// (never touched, or unmapped). `read` gets at most [`ADDRESS_MAX`], and returns 0 if it succeeds.
#[inline(always)]
fn read_address(addrlen: i32, read: impl FnOnce(u32) -> i64) -> u8 {
    if addrlen <= 0 {
        return 0;
    }
    // Hidden from the optimiser, which would join both comparisons into one on another register
    // than the one that the verifier has to see bounded.
    let length = core::hint::black_box(addrlen.cast_unsigned());
    if length > ADDRESS_MAX as u32 {
        return 0;
    }
    if read(length) == 0 { length as u8 } else { 0 }
}

// What is copied word by word (`words.rs`) begins at a multiple of eight.
const _: () = assert!(
    offset_of!(Call, connect).is_multiple_of(8)
        && offset_of!(Connect, call).is_multiple_of(8)
        && offset_of!(Connect, endpoints).is_multiple_of(8)
        && offset_of!(connect_ebpf::record::Outcome, call).is_multiple_of(8)
        && offset_of!(connect_ebpf::record::Outcome, endpoints).is_multiple_of(8)
        && offset_of!(connect_ebpf::attempt::Handover, endpoints).is_multiple_of(8)
);
