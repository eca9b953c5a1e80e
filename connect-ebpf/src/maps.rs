//! Everything the kernel object keeps: its maps and its settings.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use connect_ebpf::{
    attempt::{ATTEMPTS_ENTRIES, Attempt, IDENTITIES_ENTRIES, Identity},
    loss,
    settings::{INFLIGHT_ENTRIES, LINEAGE_ENTRIES, RING_BYTES, Settings},
};

use crate::{
    inflight::{Call, Key},
    probe::io_uring,
};

/// Frozen before the verifier runs; see [`Settings`].
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Global<Settings> = Global::new(Settings::DEFAULT);

/// Records on their way to the agent.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Records that could not be written, one count per [`loss::KernelLoss`].
#[map]
pub(crate) static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(loss::COUNTERS, 0);

/// How often either of two hooks has told of the return of a call: `RETURNS_*`.
#[map]
pub(crate) static RETURNS: PerCpuArray<u64> = PerCpuArray::with_max_entries(loss::RETURNS, 0);

/// Calls under way. A thread's first entry stays with it and is used again: inserting and deleting
/// at every call would cost three times as much.
#[map]
pub(crate) static INFLIGHT: HashMap<Key, Call> = HashMap::with_max_entries(INFLIGHT_ENTRIES, 0);

/// Thread ids of the observed command and its descendants.
#[map]
pub(crate) static LINEAGE: HashMap<u32, u32> = HashMap::with_max_entries(LINEAGE_ENTRIES, 0);

/// Attempts that are not settled, by the address of their `struct sock`.
#[map]
pub(crate) static ATTEMPTS: HashMap<u64, Attempt> = HashMap::with_max_entries(ATTEMPTS_ENTRIES, 0);

/// The attempt that a socket has made last, by the address of its `struct sock`.
#[map]
pub(crate) static IDENTITIES: LruHashMap<u64, Identity> =
    LruHashMap::with_max_entries(IDENTITIES_ENTRIES, 0);

/// Connects of io_uring that are under way, by the address of the kernel's request.
#[map]
pub(crate) static REQUESTS: HashMap<io_uring::Key, Call> = HashMap::with_max_entries(1, 0);

/// The request that connects a socket, by the address of its `struct sock`.
#[map]
pub(crate) static REQUESTS_BY_SOCKET: HashMap<u64, io_uring::Key> = HashMap::with_max_entries(1, 0);

/// The last request of a process whose socket is not known when it is submitted.
#[map]
pub(crate) static REQUESTS_WITHOUT_SOCKET: LruHashMap<u32, io_uring::Key> =
    LruHashMap::with_max_entries(1024, 0);

/// The descriptor that io_uring has looked up last.
#[map]
pub(crate) static LOOKED_UP: PerCpuArray<i32> = PerCpuArray::with_max_entries(1, 0);

/// Where an attempt is put together, as the stack has 512 bytes.
#[map]
pub(crate) static NEW_ATTEMPT: PerCpuArray<Attempt> = PerCpuArray::with_max_entries(1, 0);

/// One field of the settings: `setting!(pid)`. Loads only that field, and volatile, as the value
/// at compile time is not the value at run time.
macro_rules! setting {
    ($($field:ident).+) => {{
        let settings =
            (&raw const $crate::maps::SETTINGS).cast::<connect_ebpf::settings::Settings>();
        // SAFETY: `Global` is a transparent wrapper of the settings.
        let field = unsafe { &raw const (*settings).$($field).+ };
        // SAFETY: the static is initialised, aligned and never written.
        unsafe { core::ptr::read_volatile(field) }
    }};
}
pub(crate) use setting;
