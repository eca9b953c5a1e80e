//! What the cells of both tables look like.

use std::borrow::Cow;

use connect_ebpf::code::{SocketType, Transport};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::event::Call;

/// Columns of [`transport`].
pub(super) const TRANSPORT_WIDTH: usize = 8;

/// What the socket is, and whether it speaks IPv6: `tcp`, `tcp6`, `unixgram`. Where that is not known, the family of
/// the address: `inet`, `netlink`, a number as it is. An IPv4-mapped address is IPv4.
pub(super) fn transport(call: &Call) -> Cow<'static, str> {
    let known = match (call.transport, call.socket_type) {
        (Transport::Unknown | Transport::Other, _) => None,
        (Transport::Unix, SocketType::Datagram) => Some("unixgram".into()),
        (Transport::Unix, SocketType::Seqpacket) => Some("unixseq".into()),
        (Transport::Unix, _) => Some("unix".into()),
        (transport, _) if call.address.network_type == Some("ipv6") => {
            Some(format!("{transport}6").into())
        }
        (transport, _) => Some(transport.name().into()),
    };
    known.unwrap_or_else(|| {
        let name = call.family().unwrap_or("-");
        let name = name.strip_prefix("AF_").unwrap_or(name).to_lowercase();
        cut(&name, TRANSPORT_WIDTH).into_owned().into()
    })
}

/// Escaped text cut to so many columns, `~` where something is missing. An escape is kept whole or
/// not at all: half of one would say something else.
pub(super) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\\' if rest.starts_with("\\x") => 4,
            '\\' => 2,
            _ => first.len_utf8(),
        };
        let Some((unit, behind)) = rest.split_at_checked(length) else {
            break;
        };
        if kept.width() + unit.width() + 1 > columns {
            break;
        }
        kept.push_str(unit);
        rest = behind;
    }
    kept.push('~');
    Cow::Owned(kept)
}

/// Text that begins in column `start` (from 0) of a terminal, broken where it would reach the edge
/// and continued below its own beginning. Broken by the terminal instead, what a process chose
/// could begin a line, and look like a row of its own.
pub(super) fn wrap(text: &str, start: usize, width: Option<u16>) -> Cow<'_, str> {
    const NARROWEST: usize = 8;
    let Some(width) = width else {
        return Cow::Borrowed(text);
    };
    let room = usize::from(width).saturating_sub(start).max(NARROWEST);
    if text.width() <= room {
        return Cow::Borrowed(text);
    }
    let mut lines = String::new();
    let mut used = 0;
    for character in text.chars() {
        let columns = character.width().unwrap_or(0);
        if used + columns > room {
            lines.push('\n');
            lines.push_str(&pad(start));
            used = 0;
        }
        lines.push(character);
        used += columns;
    }
    Cow::Owned(lines)
}

/// So many spaces.
pub(super) fn pad(columns: usize) -> String {
    " ".repeat(columns)
}

/// A duration in three digits and a unit: `870ns`, `41.2us`, `1.03ms`, `130s`.
pub(super) fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")];
    for (unit, name) in UNITS {
        if ns >= unit {
            let whole = ns / unit;
            let thousandths = ns % unit / (unit / 1000);
            return match whole {
                0..10 => format!("{whole}.{:02}{name}", thousandths / 10),
                10..100 => format!("{whole}.{}{name}", thousandths / 100),
                _ => format!("{whole}{name}"),
            };
        }
    }
    format!("{ns}ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wraps_is_continued_below_its_beginning() {
        assert_eq!(wrap("0123456789", 4, None), "0123456789");
        assert_eq!(wrap("0123456789", 4, Some(14)), "0123456789");
        assert_eq!(wrap("0123456789ab", 4, Some(14)), "0123456789\n    ab");
        // On a terminal that is too narrow, it is the best that can be done.
        assert_eq!(wrap("0123456789", 4, Some(2)), "01234567\n    89");
    }

    #[test]
    fn escapes_are_cut_whole() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab~");
        assert_eq!(cut(r"a\x1b[31m", 5), "a~");
        assert_eq!(cut(r"a\x1b[31m", 6), r"a\x1b~");
        assert_eq!(cut(r"a\\bcdef", 4), r"a\\~");
    }

    #[test]
    fn durations_have_three_digits() {
        for (ns, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1000, "1.00us"),
            (41_250, "41.2us"),
            (999_999, "999us"),
            (1_030_000, "1.03ms"),
            (130_000_000_000, "130s"),
            (u64::MAX, "18446744073s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
