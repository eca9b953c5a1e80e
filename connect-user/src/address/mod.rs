//! The address passed to `connect(2)`: from bytes to what a person reads.
//!
//! A sockaddr begins with its family, 2 bytes in host byte order (`sa_family_t`); the rest is the
//! family's own. One table names every family, and the decoder of those that have one.
//!
//! To decode one more family:
//!
//! 1. write its decoder, with tests, in a file of its own under `address/`, and declare the file here;
//! 2. name the decoder in `FAMILIES`; if the contract (`connect_ebpf::uapi::family`) lacks its number,
//!    add it there;
//! 3. give it a class in the table of `connect_ebpf::family`, so that metrics count it by name (there are 16
//!    classes; a test fails while a family has a decoder and no class);
//! 4. add it to the families of `tests/kernel/families.rs`, and to `docs/json.md` if its notation is new.
//!
//! Nothing here trusts the bytes. Where they are too few for their family, or nobody decodes it,
//! the family is shown with all bytes in hex.

mod alg;
mod bluetooth;
mod bytes;
mod can;
mod decoded;
mod inet;
mod inet6;
mod netlink;
mod packet;
mod qipcrtr;
#[cfg(test)]
mod testing;
mod tipc;
mod unix;
mod vsock;
mod xdp;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use connect_ebpf::uapi::family::{
    AF_ALG, AF_BLUETOOTH, AF_CAN, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_QIPCRTR, AF_SMC,
    AF_TIPC, AF_UNIX, AF_UNSPEC, AF_VSOCK, AF_XDP,
};

use self::bytes::{Hex, at};
pub use self::decoded::Address;

/// Decodes one family: from the whole sockaddr, to all of [`Address`] but its family.
/// `None` means that these bytes are no address of that family.
type Decoder = fn(&[u8]) -> Option<Address>;

/// Number, name and decoder of every family (`include/linux/socket.h` in the kernel).
const FAMILIES: &[(u16, &str, Option<Decoder>)] = &[
    (AF_UNSPEC, "AF_UNSPEC", Some(unspec)),
    (AF_UNIX, "AF_UNIX", Some(unix::decode)),
    (AF_INET, "AF_INET", Some(inet::decode)),
    (3, "AF_AX25", None),
    (4, "AF_IPX", None),
    (5, "AF_APPLETALK", None),
    (6, "AF_NETROM", None),
    (7, "AF_BRIDGE", None),
    (8, "AF_ATMPVC", None),
    (9, "AF_X25", None),
    (AF_INET6, "AF_INET6", Some(inet6::decode)),
    (11, "AF_ROSE", None),
    (12, "AF_DECnet", None),
    (13, "AF_NETBEUI", None),
    (14, "AF_SECURITY", None),
    (15, "AF_KEY", None),
    (AF_NETLINK, "AF_NETLINK", Some(netlink::decode)),
    (AF_PACKET, "AF_PACKET", Some(packet::decode)),
    (18, "AF_ASH", None),
    (19, "AF_ECONET", None),
    (20, "AF_ATMSVC", None),
    (21, "AF_RDS", None),
    (22, "AF_SNA", None),
    (23, "AF_IRDA", None),
    (24, "AF_PPPOX", None),
    (25, "AF_WANPIPE", None),
    (26, "AF_LLC", None),
    (27, "AF_IB", None),
    (28, "AF_MPLS", None),
    (AF_CAN, "AF_CAN", Some(can::decode)),
    (AF_TIPC, "AF_TIPC", Some(tipc::decode)),
    (AF_BLUETOOTH, "AF_BLUETOOTH", Some(bluetooth::decode)),
    (32, "AF_IUCV", None),
    (33, "AF_RXRPC", None),
    (34, "AF_ISDN", None),
    (35, "AF_PHONET", None),
    (36, "AF_IEEE802154", None),
    (37, "AF_CAIF", None),
    (AF_ALG, "AF_ALG", Some(alg::decode)),
    (39, "AF_NFC", None),
    (AF_VSOCK, "AF_VSOCK", Some(vsock::decode)),
    (41, "AF_KCM", None),
    (AF_QIPCRTR, "AF_QIPCRTR", Some(qipcrtr::decode)),
    (AF_SMC, "AF_SMC", None),
    (AF_XDP, "AF_XDP", Some(xdp::decode)),
    (45, "AF_MCTP", None),
];

/// Decodes the bytes passed as an address, whatever they are.
///
/// ```
/// let loopback = [&2_u16.to_ne_bytes()[..], &80_u16.to_be_bytes(), &[127, 0, 0, 1], &[0; 8]];
/// let address = connect_observer::address::decode(&loopback.concat());
/// assert_eq!(address.family.as_deref(), Some("AF_INET"));
/// assert_eq!(address.destination(), "127.0.0.1:80");
/// ```
#[must_use]
pub fn decode(bytes: &[u8]) -> Address {
    let family = at(bytes, 0).map(u16::from_ne_bytes);
    let decoded = family
        .and_then(row)
        .and_then(|&(_, _, decoder)| decoder?(bytes));
    Address {
        family: family.map(family_label),
        ..decoded.unwrap_or_else(|| undecoded(bytes))
    }
}

/// IP address and port of an internet address; `None` for any other, or too few bytes.
#[must_use]
pub fn internet(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(at(bytes, 2)?);
    let ip = match u16::from_ne_bytes(at(bytes, 0)?) {
        AF_INET => IpAddr::from(at::<4>(bytes, 4)?),
        AF_INET6 => IpAddr::from(at::<16>(bytes, 8)?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The name of a family (`AF_INET`), or the number as text where it has none.
#[must_use]
pub fn family_label(number: u16) -> Cow<'static, str> {
    row(number).map_or_else(|| number.to_string().into(), |&(_, name, _)| name.into())
}

/// Whether a family has a decoder.
#[must_use]
pub fn is_decoded(number: u16) -> bool {
    row(number).is_some_and(|(_, _, decoder)| decoder.is_some())
}

/// The number of a family, however it was typed: `AF_INET`, `inet`, `af_inet`, `2`.
#[must_use]
pub fn family_number(name: &str) -> Option<u16> {
    let is_meant = |known: &str| {
        let short = known.strip_prefix("AF_").unwrap_or(known);
        known.eq_ignore_ascii_case(name) || short.eq_ignore_ascii_case(name)
    };
    name.parse().ok().or_else(|| {
        let (number, _, _) = FAMILIES.iter().find(|(_, known, _)| is_meant(known))?;
        Some(*number)
    })
}

/// The row of a family in the table.
fn row(number: u16) -> Option<&'static (u16, &'static str, Option<Decoder>)> {
    FAMILIES.iter().find(|(known, _, _)| *known == number)
}

/// `AF_UNSPEC` dissolves an association (connect(2)): it names no peer, and no further byte counts.
#[expect(clippy::unnecessary_wraps, reason = "has the signature of a decoder")]
fn unspec(_: &[u8]) -> Option<Address> {
    Some(Address::default())
}

/// What is left to show when nobody decodes the bytes: the bytes.
fn undecoded(bytes: &[u8]) -> Address {
    Address {
        raw: (!bytes.is_empty()).then(|| Hex(bytes, "").to_string()),
        ..Address::default()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

    use proptest::{collection::vec, prelude::*};

    use super::{testing::sockaddr, *};
    use crate::escape::tests::unescape;

    #[test]
    fn families_are_in_order() {
        for (number, row) in (0..).zip(FAMILIES) {
            assert_eq!(row.0, number, "{}", row.1);
        }
        assert_eq!(FAMILIES.len(), 46, "AF_MAX");
    }

    #[test]
    fn families_are_those_of_libc() {
        macro_rules! libc_families {
            ($($name:ident)*) => { [$((libc::$name, stringify!($name))),*] };
        }
        for (number, name) in libc_families![
            AF_UNSPEC AF_UNIX AF_INET AF_AX25 AF_IPX AF_APPLETALK AF_NETROM AF_BRIDGE AF_ATMPVC
            AF_X25 AF_INET6 AF_ROSE AF_DECnet AF_NETBEUI AF_SECURITY AF_KEY AF_NETLINK AF_PACKET
            AF_ASH AF_ECONET AF_ATMSVC AF_RDS AF_SNA AF_IRDA AF_PPPOX AF_WANPIPE AF_LLC AF_CAN
            AF_TIPC AF_BLUETOOTH AF_IUCV AF_RXRPC AF_ISDN AF_PHONET AF_IEEE802154 AF_CAIF AF_ALG
        ] {
            assert_eq!(family_label(number.try_into().unwrap()), name);
        }
    }

    #[test]
    fn families_as_typed() {
        for (typed, number) in [
            ("AF_INET", Some(2)),
            ("af_inet", Some(2)),
            ("inet", Some(2)),
            ("INET", Some(2)),
            ("2", Some(2)),
            ("inet6", Some(10)),
            ("decnet", Some(12)),
            ("AF_MCTP", Some(45)),
            ("300", Some(300)),
            ("65536", None),
            ("-1", None),
            ("", None),
            ("AF_", None),
            ("ine", None),
            ("AF_AF_INET", None),
        ] {
            assert_eq!(family_number(typed), number, "{typed}");
        }
    }

    /// No bytes are an error: what cannot be decoded is shown whole.
    #[test]
    fn malformed() {
        for (what, bytes, family) in [
            ("half a family", vec![2], None),
            ("unknown family", sockaddr(300, &[b"\x07"]), Some("300")),
            ("largest family", sockaddr(u16::MAX, &[]), Some("65535")),
            ("no decoder", sockaddr(15, &[b"\xab"]), Some("AF_KEY")),
            ("only the family", sockaddr(2, &[]), Some("AF_INET")),
            (
                "cut in the address",
                sockaddr(10, &[&[0; 21]]),
                Some("AF_INET6"),
            ),
            (
                "TIPC of no type",
                sockaddr(30, &[&[9; 14]]),
                Some("AF_TIPC"),
            ),
            (
                "Bluetooth of no length",
                sockaddr(31, &[&[0; 9]]),
                Some("AF_BLUETOOTH"),
            ),
            (
                "longer than any",
                sockaddr(3, &[&[0xff; 4096]]),
                Some("AF_AX25"),
            ),
        ] {
            let hex = Hex(&bytes, "").to_string();
            let expected = Address {
                family: family.map(Cow::Borrowed),
                raw: Some(hex.clone()),
                ..Address::default()
            };
            let address = decode(&bytes);
            assert_eq!(address, expected, "{what}");
            assert_eq!(address.destination(), format!("raw {hex}"), "{what}");
        }
    }

    #[test]
    fn nothing() {
        assert_eq!(decode(&[]), Address::default());
        assert_eq!(decode(&[]).destination(), "-");
    }

    #[test]
    fn unspec_has_neither_address_nor_raw() {
        for length in 2..=130 {
            let address = decode(&vec![0; length]);
            let expected = Address {
                family: Some("AF_UNSPEC".into()),
                ..Address::default()
            };
            assert_eq!(address, expected);
            assert_eq!(address.destination(), "-");
        }
    }

    #[test]
    fn json() {
        for (bytes, expected) in [
            (vec![], "{}"),
            (sockaddr(0, &[]), r#"{"address.family":"AF_UNSPEC"}"#),
            (vec![7], r#"{"address.raw":"07"}"#),
            (
                sockaddr(1, &[b"/a"]),
                r#"{"address.family":"AF_UNIX","network.peer.address":"/a","unix.type":"pathname"}"#,
            ),
            (
                sockaddr(2, &[&[0; 14]]),
                r#"{"address.family":"AF_INET","network.type":"ipv4","network.peer.address":"0.0.0.0","network.peer.port":0}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&decode(&bytes)).unwrap(), expected);
        }
    }

    #[test]
    fn hex() {
        assert_eq!(Hex(&[0x00, 0xab, 0x0f], "").to_string(), "00ab0f");
        assert_eq!(Hex(&[0x00, 0xab, 0x0f], ":").to_string(), "00:ab:0f");
        assert_eq!(Hex(&[], ":").to_string(), "");
    }

    /// Any bytes, most of them of a family that exists.
    fn any_sockaddr() -> impl Strategy<Value = Vec<u8>> {
        let family = prop_oneof![9 => 0..=50_u16, 1 => any::<u16>()];
        let bytes = (family, vec(any::<u8>(), 0..=160))
            .prop_map(|(family, bytes)| sockaddr(family, &[&bytes]));
        prop_oneof![9 => bytes, 1 => vec(any::<u8>(), 0..=160)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn no_control_characters(bytes in any_sockaddr()) {
            let address = decode(&bytes);
            let texts = [&address.peer_address, &address.raw].into_iter().flatten();
            for text in texts.chain([&address.destination()]) {
                prop_assert!(!text.contains(char::is_control), "{:?}", text);
            }
            prop_assert!(address.peer_address.is_none() || address.raw.is_none());
        }

        #[test]
        fn labels_are_numbers_again(number: u16) {
            prop_assert_eq!(family_number(&family_label(number)), Some(number));
        }

        #[test]
        fn inet_as_std_reads_it(expected: SocketAddrV4, zero: [u8; 8]) {
            let port = expected.port().to_be_bytes();
            let address = decode(&sockaddr(2, &[&port, &expected.ip().octets(), &zero]));
            prop_assert_eq!(address.destination().parse(), Ok(SocketAddr::V4(expected)));
        }

        #[test]
        fn inet6_as_std_reads_it(expected: SocketAddrV6) {
            let address = decode(&sockaddr(10, &[
                &expected.port().to_be_bytes(),
                &expected.flowinfo().to_ne_bytes(),
                &expected.ip().octets(),
                &expected.scope_id().to_ne_bytes(),
            ]));
            // The text of a socket address has no flow information.
            let mut without_flow = expected;
            without_flow.set_flowinfo(0);
            let expected = expected.ip().to_ipv4_mapped().map_or(
                SocketAddr::V6(without_flow),
                |mapped| SocketAddr::V4(SocketAddrV4::new(mapped, expected.port())),
            );
            prop_assert_eq!(address.destination().parse(), Ok(expected));
        }

        #[test]
        fn unix_paths_come_back(path in vec(1..=u8::MAX, 1..=108), rest: Option<Vec<u8>>) {
            let rest = rest.map_or(vec![], |rest| [&b"\0"[..], &rest].concat());
            let address = decode(&sockaddr(1, &[&path, &rest]));
            prop_assert_eq!(address.unix_type, Some("pathname"));
            prop_assert_eq!(unescape(&address.peer_address.unwrap()), path);
        }

        #[test]
        fn unix_abstract_names_come_back(name: Vec<u8>) {
            let address = decode(&sockaddr(1, &[b"\0", &name]));
            prop_assert_eq!(address.unix_type, Some("abstract"));
            let shown = address.peer_address.unwrap();
            prop_assert_eq!(unescape(shown.strip_prefix('@').unwrap()), name);
        }
    }
}
