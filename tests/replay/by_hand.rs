//! Records that no run of today's kernel object on today's kernel yields, but another may.

use connect_ebpf::record::{
    ADDRESS_AT_ENTRY, ADDRESS_AT_EXIT, ADDRESS_MAX, ADDRESS_NOT_READ, Connect, Header,
    KIND_CONNECT, KNOWN_ARGUMENTS, KNOWN_ENTRY, VERSION, VIA_SYSCALL,
};
use zerocopy::IntoBytes as _;

use crate::records::Record;

/// Length of a record.
pub(crate) const LENGTH: u32 = 216;

/// A connect to 127.0.0.1:443 that returned 0.
pub(crate) fn connect() -> Connect {
    let mut address = [0; ADDRESS_MAX];
    for (to, from) in address.iter_mut().zip([2, 0, 1, 187, 127, 0, 0, 1]) {
        *to = from;
    }
    Connect {
        header: Header {
            kind: KIND_CONNECT,
            version: VERSION,
            length: LENGTH,
        },
        entered_ns: 1_234_567_890_123,
        duration_ns: 45_678,
        ret: 0,
        cgroup_id: 42,
        pid: 1000,
        tid: 1001,
        uid: 0,
        fd: 3,
        addrlen: 16,
        restarts: 0,
        address_len: 16,
        address_source: ADDRESS_AT_ENTRY,
        via: VIA_SYSCALL,
        known: KNOWN_ENTRY | KNOWN_ARGUMENTS,
        killed: 0,
        reserved: [0; 3],
        comm: *b"app\0\0\0\0\0\0\0\0\0\0\0\0\0",
        address,
    }
}

/// The records of `by-hand.hex`.
pub(crate) fn records() -> Vec<Record> {
    let connect = connect();
    [
        (
            "neither entry nor arguments known: before kernel 5.15, seccomp or late to attach",
            Connect {
                known: 0,
                duration_ns: 0,
                fd: 0,
                addrlen: 0,
                address_len: 0,
                address_source: ADDRESS_NOT_READ,
                ret: -1,
                ..connect
            },
        ),
        (
            "entry not seen, address read at exit",
            Connect {
                known: KNOWN_ARGUMENTS,
                duration_ns: 0,
                address_source: ADDRESS_AT_EXIT,
                ret: -13,
                ..connect
            },
        ),
        (
            "a success that is not 0: a seccomp notifier may return it",
            Connect {
                ret: i64::MAX,
                ..connect
            },
        ),
        (
            "the largest errno",
            Connect {
                ret: -4095,
                ..connect
            },
        ),
        (
            "no errno any more",
            Connect {
                ret: -4096,
                ..connect
            },
        ),
        (
            "every number at its largest",
            Connect {
                entered_ns: u64::MAX,
                duration_ns: u64::MAX,
                ret: -516,
                cgroup_id: u64::MAX,
                pid: u32::MAX,
                tid: u32::MAX,
                uid: u32::MAX,
                fd: i32::MAX,
                restarts: u32::MAX,
                killed: 1,
                addrlen: i32::MAX,
                comm: [b'W'; 16],
                ..connect
            },
        ),
        (
            "every number at its smallest",
            Connect {
                entered_ns: 0,
                duration_ns: 0,
                cgroup_id: 0,
                pid: 0,
                tid: 0,
                fd: i32::MIN,
                addrlen: i32::MIN,
                ..connect
            },
        ),
        (
            "two minutes: a time-out",
            Connect {
                duration_ns: 130_987_654_321,
                ret: -110,
                ..connect
            },
        ),
    ]
    .map(|(title, record)| Record {
        title: title.to_owned(),
        bytes: record.as_bytes().to_vec(),
    })
    .into()
}
