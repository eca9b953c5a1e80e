//! Addresses: the bytes that are passed, and the keys that the event must show for them.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::truth::escape;

#[derive(Clone, Debug)]
pub(crate) struct Sockaddr {
    pub(crate) bytes: Vec<u8>,
    /// Keys of the event about the address, without `address.source`.
    pub(crate) shown: Map<String, Value>,
}

impl Sockaddr {
    /// Bytes, and the keys that they must be shown as: `{"network.peer.address": ...}`.
    #[expect(clippy::needless_pass_by_value, reason = "made by json!() for this")]
    pub(crate) fn new(family: i32, rest: &[u8], shown: Value) -> Self {
        // The kernel's sa_family_t; callers name families of 16 bits.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "16 bits"
        )]
        let family = family as u16;
        Self {
            bytes: [&family.to_ne_bytes(), rest].concat(),
            shown: shown.as_object().cloned().unwrap_or_default(),
        }
    }

    /// Bytes of a family that nobody decodes, or too few of another.
    pub(crate) fn raw(bytes: &[u8], family: Option<&str>) -> Self {
        let mut shown = Map::new();
        if let Some(family) = family {
            shown.insert("address.family".to_owned(), family.into());
        }
        if !bytes.is_empty() {
            shown.insert("address.raw".to_owned(), hex(bytes).into());
        }
        Self {
            bytes: bytes.to_vec(),
            shown,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

pub(crate) fn inet(address: impl Into<Ipv4Addr>, port: u16) -> Sockaddr {
    let address = address.into();
    Sockaddr::new(
        libc::AF_INET,
        &[&port.to_be_bytes()[..], &address.octets(), &[0; 8]].concat(),
        json!({
            "address.family": "AF_INET",
            "network.type": "ipv4",
            "network.peer.address": address.to_string(),
            "network.peer.port": port,
        }),
    )
}

/// 127.0.0.1
pub(crate) fn loopback(port: u16) -> Sockaddr {
    inet([127, 0, 0, 1], port)
}

/// `scope` 0 is none; `shown` is the address as the event has it.
pub(crate) fn inet6(address: Ipv6Addr, port: u16, scope: u32, shown: &str) -> Sockaddr {
    let flow_information = [0; 4];
    let rest = [
        &port.to_be_bytes()[..],
        &flow_information,
        &address.octets(),
        &scope.to_ne_bytes(),
    ];
    Sockaddr::new(
        libc::AF_INET6,
        &rest.concat(),
        json!({
            "address.family": "AF_INET6",
            "network.type": "ipv6",
            "network.peer.address": shown,
            "network.peer.port": port,
        }),
    )
}

/// An IPv4 address as an IPv4-mapped one of IPv6: passed as one of IPv6, and shown as what it is.
pub(crate) fn mapped(address: impl Into<Ipv4Addr>, port: u16) -> Sockaddr {
    let address = address.into();
    let Sockaddr { bytes, mut shown } = inet6(address.to_ipv6_mapped(), port, 0, "");
    shown.insert("network.type".to_owned(), "ipv4".into());
    shown.insert(
        "network.peer.address".to_owned(),
        address.to_string().into(),
    );
    Sockaddr { bytes, shown }
}

/// A path and its NUL.
pub(crate) fn unix(path: &[u8]) -> Sockaddr {
    unix_exactly(&[path, b"\0"].concat(), path)
}

/// All the bytes of `sun_path`, and the path that they say.
pub(crate) fn unix_exactly(sun_path: &[u8], path: &[u8]) -> Sockaddr {
    Sockaddr::new(
        libc::AF_UNIX,
        sun_path,
        json!({
            "address.family": "AF_UNIX",
            "unix.type": "pathname",
            "network.peer.address": escape(path),
        }),
    )
}

/// A name in the abstract namespace, without its leading NUL.
pub(crate) fn unix_abstract(name: &[u8]) -> Sockaddr {
    Sockaddr::new(
        libc::AF_UNIX,
        &[b"\0", name].concat(),
        json!({
            "address.family": "AF_UNIX",
            "unix.type": "abstract",
            "network.peer.address": format!("@{}", escape(name)),
        }),
    )
}

pub(crate) fn unix_unnamed() -> Sockaddr {
    Sockaddr::new(
        libc::AF_UNIX,
        &[],
        json!({"address.family": "AF_UNIX", "unix.type": "unnamed"}),
    )
}

pub(crate) fn netlink(port: u32, groups: u32) -> Sockaddr {
    Sockaddr::new(
        libc::AF_NETLINK,
        &[&[0; 2][..], &port.to_ne_bytes(), &groups.to_ne_bytes()].concat(),
        json!({
            "address.family": "AF_NETLINK",
            "network.peer.address": format!("pid={port},groups={groups}"),
        }),
    )
}

/// `AF_UNSPEC`, of `length` bytes in all.
pub(crate) fn unspec(length: usize) -> Sockaddr {
    Sockaddr::new(
        libc::AF_UNSPEC,
        &vec![0; length.saturating_sub(2)],
        json!({"address.family": "AF_UNSPEC"}),
    )
}
