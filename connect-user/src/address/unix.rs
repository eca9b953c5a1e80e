//! `AF_UNIX`: `struct sockaddr_un`, unix(7).

use super::{bytes::until_nul, decoded::Address};
use crate::escape::Escaped;

/// All bytes from offset 2 on are `sun_path`, and how it begins says what it is:
///
/// - nothing: unnamed;
/// - a NUL: a name in the abstract namespace, which is every byte after it, further NULs included;
/// - anything else: a path, up to the first NUL or the end.
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let (unix_type, peer_address) = match bytes.get(2..)? {
        [] => ("unnamed", None),
        [0, name @ ..] => ("abstract", Some(format!("@{}", Escaped(name)))),
        path => ("pathname", Some(Escaped(until_nul(path)).to_string())),
    };
    Some(Address {
        peer_address,
        unix_type: Some(unix_type),
        ..Address::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{decode, testing::*};

    #[test]
    fn kinds() {
        let longest = "x".repeat(108);
        for (path, unix_type, destination) in [
            (&b""[..], "unnamed", "(unnamed)"),
            (b"/run/a.sock", "pathname", "/run/a.sock"),
            (b"/run/a.sock\0", "pathname", "/run/a.sock"),
            (b"/run/a.sock\0rubbish\n", "pathname", "/run/a.sock"),
            (b"@relative", "pathname", "@relative"),
            (b"new\nline\\ \xff", "pathname", r"new\x0aline\\ \xff"),
            (longest.as_bytes(), "pathname", &longest),
            (b"\0", "abstract", "@"),
            (b"\0name", "abstract", "@name"),
            (b"\0name\0\0", "abstract", r"@name\x00\x00"),
            (b"\0\0\x1b[2J", "abstract", r"@\x00\x1b[2J"),
        ] {
            let address = decode(&sockaddr(1, &[path]));
            assert_eq!(address.family.as_deref(), Some("AF_UNIX"));
            assert_eq!(address.unix_type, Some(unix_type), "{destination}");
            assert_eq!(address.destination(), destination);
        }
    }

    #[test]
    fn unnamed_has_no_address() {
        assert_eq!(decode(&sockaddr(1, &[])).peer_address, None);
    }
}
