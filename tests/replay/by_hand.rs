//! Records that no run of today's kernel object on today's kernel yields, but another may.

use connect_ebpf::{
    code::{AddressSource, Kind, Settlement, SocketType, Transport, Via},
    record::{
        ADDRESS_MAX, Call, Connect, Endpoints, Header, KNOWN_ARGUMENTS, KNOWN_ENTRY, Outcome,
    },
};
use zerocopy::IntoBytes as _;

use crate::records::Record;

/// Length of a connect's record.
pub(crate) const LENGTH: u32 = Header::of::<Connect>(Kind::Connect).length;

/// A connect to 127.0.0.1:443 that returned 0.
pub(crate) fn connect() -> Connect {
    let mut address = [0; ADDRESS_MAX];
    for (to, from) in address.iter_mut().zip([2, 0, 1, 187, 127, 0, 0, 1]) {
        *to = from;
    }
    Connect {
        header: Header::of::<Connect>(Kind::Connect),
        call: Call {
            entered_ns: 1_234_567_890_123,
            cgroup_id: 42,
            pid: 1000,
            tid: 1001,
            uid: 0,
            fd: 3,
            addrlen: 16,
            address_len: 16,
            address_source: AddressSource::Entry.number(),
            via: Via::Syscall.number(),
            known: KNOWN_ENTRY | KNOWN_ARGUMENTS,
            comm: *b"app\0\0\0\0\0\0\0\0\0\0\0\0\0",
            address,
        },
        duration_ns: 45_678,
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
    }
}

/// A connect to the same that returned EINPROGRESS and was established later.
pub(crate) fn outcome() -> Outcome {
    let Connect { call, .. } = connect();
    Outcome {
        header: Header::of::<Outcome>(Kind::Outcome),
        settled_ns: call.entered_ns + 23_456_789,
        call,
        ret: -115,
        errno: 0,
        outcome: Settlement::Established.number(),
        transport: Transport::Tcp.number(),
        reserved: [0; 2],
        endpoints: endpoints(),
    }
}

/// From 192.0.2.7:50000 to 127.0.0.1:443.
pub(crate) fn endpoints() -> Endpoints {
    let ipv4 = |bytes: [u8; 4]| {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&bytes);
        address
    };
    Endpoints {
        family: 2,
        local_port: 50_000,
        peer_port: 443,
        reserved: 0,
        local_address: ipv4([192, 0, 2, 7]),
        peer_address: ipv4([127, 0, 0, 1]),
    }
}

/// The records of `by-hand.hex`.
pub(crate) fn records() -> Vec<Record> {
    let bytes = |(title, record): (&'static str, Connect)| (title, record.as_bytes().to_vec());
    let of_calls = calls().into_iter().map(bytes);
    of_calls
        .chain(attempts())
        .chain(errors())
        .chain(sockets())
        // At the end, as after the largest time every other one comes late.
        .chain(extremes().into_iter().map(bytes))
        .map(|(title, bytes)| Record {
            title: title.to_owned(),
            bytes,
        })
        .collect()
}

fn calls() -> Vec<(&'static str, Connect)> {
    let connect = connect();
    vec![
        (
            "neither entry nor arguments known: before kernel 5.15, seccomp or late to attach",
            Connect {
                duration_ns: 0,
                ret: -1,
                call: Call {
                    known: 0,
                    fd: 0,
                    addrlen: 0,
                    address_len: 0,
                    address_source: AddressSource::NotRead.number(),
                    ..connect.call
                },
                ..connect
            },
        ),
        (
            "entry not seen, address read at exit",
            Connect {
                duration_ns: 0,
                ret: -13,
                call: Call {
                    known: KNOWN_ARGUMENTS,
                    address_source: AddressSource::Exit.number(),
                    ..connect.call
                },
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
    ]
}

fn extremes() -> Vec<(&'static str, Connect)> {
    let connect = connect();
    vec![
        (
            "two minutes: a time-out",
            Connect {
                duration_ns: 130_987_654_321,
                ret: -110,
                ..connect
            },
        ),
        (
            "every number at its smallest",
            Connect {
                duration_ns: 0,
                call: Call {
                    entered_ns: 0,
                    cgroup_id: 0,
                    pid: 0,
                    tid: 0,
                    fd: i32::MIN,
                    addrlen: i32::MIN,
                    ..connect.call
                },
                ..connect
            },
        ),
        (
            "every number at its largest",
            Connect {
                duration_ns: u64::MAX,
                ret: -516,
                restarts: u32::MAX,
                killed: 1,
                call: Call {
                    entered_ns: u64::MAX,
                    cgroup_id: u64::MAX,
                    pid: u32::MAX,
                    tid: u32::MAX,
                    uid: u32::MAX,
                    fd: i32::MAX,
                    addrlen: i32::MAX,
                    comm: [b'W'; 16],
                    ..connect.call
                },
                ..connect
            },
        ),
    ]
}

/// What an attempt leads to.
fn attempts() -> Vec<(&'static str, Vec<u8>)> {
    let (connect, outcome) = (connect(), outcome());
    let attempt = Connect {
        attempt_entered_ns: connect.call.entered_ns,
        attempt_tid: connect.call.tid,
        transport: Transport::Tcp.number(),
        endpoints: endpoints(),
        ..connect
    };
    let left = Connect {
        ret: -115,
        unsettled: 1,
        ..attempt
    };
    let with = |outcome: Outcome| outcome.as_bytes().to_vec();
    vec![
        (
            "established in the call",
            Connect {
                handshake_ns: 34_567,
                ..attempt
            }
            .as_bytes()
            .to_vec(),
        ),
        ("left unsettled", left.as_bytes().to_vec()),
        ("established after it", outcome.as_bytes().to_vec()),
        (
            "refused after it",
            with(Outcome {
                outcome: Settlement::Failed.number(),
                errno: 111,
                ..outcome
            }),
        ),
        (
            "failed, without BTF",
            with(Outcome {
                outcome: Settlement::Failed.number(),
                ..outcome
            }),
        ),
        (
            "abandoned, of a call that was interrupted, and went elsewhere",
            Outcome {
                outcome: Settlement::Abandoned.number(),
                ret: -4,
                transport: Transport::Mptcp.number(),
                endpoints: Endpoints {
                    peer_port: 8443,
                    ..endpoints()
                },
                ..outcome
            }
            .as_bytes()
            .to_vec(),
        ),
        ("superseded by what was established after it", superseded()),
        (
            "a later call about the same attempt",
            Connect {
                call: Call {
                    entered_ns: connect.call.entered_ns + 1_000_000,
                    ..connect.call
                },
                ret: -106,
                ..attempt
            }
            .as_bytes()
            .to_vec(),
        ),
        (
            "a unix socket, which has no ends",
            Connect {
                transport: Transport::Unix.number(),
                ..connect
            }
            .as_bytes()
            .to_vec(),
        ),
    ]
}

/// Errors that came back to a socket.
fn errors() -> Vec<(&'static str, Vec<u8>)> {
    let outcome = outcome();
    vec![
        (
            "abandoned, with an error that nobody has read",
            Outcome {
                outcome: Settlement::Abandoned.number(),
                errno: 113,
                ..outcome
            }
            .as_bytes()
            .to_vec(),
        ),
        (
            "an association that has failed",
            Outcome {
                outcome: Settlement::Failed.number(),
                errno: 111,
                ret: 0,
                transport: Transport::Udp.number(),
                ..outcome
            }
            .as_bytes()
            .to_vec(),
        ),
    ]
}

/// An attempt to 192.0.2.1:443, which began soon after that to 127.0.0.1:443, and was given up when that was
/// established.
fn superseded() -> Vec<u8> {
    let outcome = outcome();
    let mut call = outcome.call;
    call.entered_ns += 5_000_000;
    for (to, from) in call.address.iter_mut().skip(4).zip([192, 0, 2, 1]) {
        *to = from;
    }
    let superseded = Outcome {
        call,
        settled_ns: outcome.settled_ns + 100_000,
        outcome: Settlement::Abandoned.number(),
        endpoints: Endpoints::UNKNOWN,
        ..outcome
    };
    superseded.as_bytes().to_vec()
}

/// What the socket is, and what that makes of a success.
fn sockets() -> Vec<(&'static str, Vec<u8>)> {
    let connect = connect();
    let of = |transport: Transport, kind: SocketType, address: &[u8], ret| {
        let mut passed = [0; ADDRESS_MAX];
        for (to, from) in passed.iter_mut().zip(address) {
            *to = *from;
        }
        let connect = Connect {
            ret,
            transport: transport.number(),
            socket_type: kind.number(),
            call: Call {
                addrlen: 28,
                address_len: 28,
                address: passed,
                ..connect.call
            },
            ..connect
        };
        connect.as_bytes().to_vec()
    };
    let ipv4 = [2, 0, 0, 53, 192, 0, 2, 53];
    // Port 53 of ::1, and of an IPv4-mapped address with a scope that means nothing.
    let mut ipv6 = [0; 28];
    ipv6[..4].copy_from_slice(&[10, 0, 0, 53]);
    let mut mapped = ipv6;
    ipv6[23] = 1;
    mapped[18..].copy_from_slice(&[255, 255, 192, 0, 2, 53, 7, 0, 0, 0]);
    let unix = b"\x01\0/dev/log";
    let netlink = [16, 0, 0, 0, 1, 0, 0, 0];
    let (udp, tcp) = (Transport::Udp, Transport::Tcp);
    let (datagram, stream) = (SocketType::Datagram, SocketType::Stream);
    vec![
        ("UDP", of(udp, datagram, &ipv4, 0)),
        ("UDP over IPv6", of(udp, datagram, &ipv6, 0)),
        ("UDP, dissolved", of(udp, datagram, &[], 0)),
        ("TCP, dissolved", of(tcp, stream, &[], 0)),
        (
            "UDP without a route to IPv6",
            of(udp, datagram, &ipv6, -101),
        ),
        ("TCP over IPv6", of(tcp, stream, &ipv6, 0)),
        ("IPv4-mapped", of(tcp, stream, &mapped, 0)),
        (
            "UDP, IPv4-mapped, in the row of the plain one",
            of(udp, datagram, &mapped, 0),
        ),
        (
            "IPv4-mapped, of a socket of IPv4",
            of(tcp, stream, &mapped, -97),
        ),
        (
            "the longest word",
            of(Transport::Udplite, datagram, &ipv6, 0),
        ),
        ("raw", of(Transport::Raw, SocketType::Raw, &ipv4, 0)),
        (
            "SCTP's association is a connection",
            of(Transport::Sctp, SocketType::Seqpacket, &ipv6, 0),
        ),
        ("unix, datagrams", of(Transport::Unix, datagram, unix, 0)),
        (
            "unix, messages",
            of(Transport::Unix, SocketType::Seqpacket, unix, 0),
        ),
        (
            "netlink",
            of(Transport::Other, SocketType::Raw, &netlink, 0),
        ),
        (
            "Bluetooth, which may set up a link",
            of(Transport::Other, datagram, &[31, 0, 1, 2, 3, 4, 5, 6], 0),
        ),
        (
            "nobody looked at the socket",
            of(Transport::Unknown, SocketType::Unknown, &mapped, 0),
        ),
        ("the socket went away while we looked", {
            let mut bytes = of(Transport::Unix, stream, unix, 0);
            if let Some(kind) = bytes.get_mut(core::mem::offset_of!(Connect, socket_type)) {
                *kind = 200;
            }
            bytes
        }),
    ]
}
