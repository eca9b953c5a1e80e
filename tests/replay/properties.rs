//! What must hold of any bytes, tried on many: see [`crate::check`].

use std::collections::HashSet;

use connect_ebpf::record::{ADDRESS_MAX, COMM_LEN, Call, Connect};
use connect_observer::{clock::Clock, decode::decode, event::Event};
use proptest::{array, collection::vec, prelude::*};
use zerocopy::IntoBytes as _;

use crate::{by_hand::connect, check::check};

/// Any record that the kernel object could write, and many that it could not.
fn any_record() -> impl Strategy<Value = Connect> {
    let numbers = (
        any::<(u64, u64, u64)>(),
        any::<(u32, u32, u32, i32)>(),
        prop_oneof![9 => -20..=140_i32, 1 => any::<i32>()],
        prop_oneof![9 => -600..=1_i64, 1 => any::<i64>()],
    );
    let small = (0..=128_u8, 0..=2_u8, any::<u8>(), 0..=1_u8, 0..=9_u32);
    let kind = (0..=11_u8, 0..=11_u8);
    let comm = array::uniform::<_, COMM_LEN>(any_byte());
    (numbers, small, kind, comm, any_address()).prop_map(|(numbers, small, kind, comm, address)| {
        let ((entered_ns, duration_ns, cgroup_id), (pid, tid, uid, fd), addrlen, ret) = numbers;
        let (address_len, address_source, known, killed, restarts) = small;
        let (transport, socket_type) = kind;
        Connect {
            duration_ns,
            ret,
            killed,
            restarts,
            transport,
            socket_type,
            call: Call {
                entered_ns,
                cgroup_id,
                pid,
                tid,
                uid,
                fd,
                addrlen,
                address_len,
                address_source,
                known,
                comm,
                address,
                ..connect().call
            },
            ..connect()
        }
    })
}

/// Mostly of a family that exists.
fn any_address() -> impl Strategy<Value = [u8; ADDRESS_MAX]> {
    let family = prop_oneof![9 => 0..=50_u16, 1 => any::<u16>()];
    (family, array::uniform::<_, ADDRESS_MAX>(any_byte())).prop_map(|(family, bytes)| {
        let mut address = bytes;
        for (to, from) in address.iter_mut().zip(family.to_ne_bytes()) {
            *to = from;
        }
        address
    })
}

/// More often one that means something.
fn any_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => any::<u8>(),
        2 => proptest::char::range(' ', '~').prop_map(|char| u8::try_from(char).unwrap()),
        1 => proptest::sample::select(&b"\0\n\r\x1b\x07\\\"'/@\x7f\x9b\xff\xe2\x80\xae"[..]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..=320)) {
        check(&bytes);
    }

    #[test]
    fn any_fields(record in any_record()) {
        check(record.as_bytes());
    }

    /// A thread enters one call at a time, so time and thread name a call.
    #[test]
    fn ids_are_unique(calls in vec((0..16_u64, 0..16_u32), 1..64)) {
        let mut ids = HashSet::new();
        let mut distinct = HashSet::new();
        for (entered_ns, tid) in calls {
            let record = Connect { call: Call { entered_ns, tid, ..connect().call }, ..connect() };
            let event = decode(record.as_bytes(), &Clock::fixed(0)).unwrap();
            let Event::Connect(connect) = event else {
                panic!("no connect: {event:?}");
            };
            prop_assert_eq!(ids.insert(connect.id), distinct.insert((entered_ns, tid)));
        }
    }
}
