//! Values of options, as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

use crate::address;

/// What is said of a duration that cannot be meant.
const DURATION: &str = "give a time above 0, such as 500ms, 10s, 1m, 1h30m, or 2.5 for seconds";

/// What is said of a place where nobody can listen.
const LISTEN: &str = "give ADDR:PORT, such as 127.0.0.1:9788, localhost:9788 or [::1]:9788; or :9788 for \
                      every address of this host";

/// A duration with its units, or a plain number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let plain = || Duration::try_from_secs_f64(text.parse().ok()?).ok();
    let with_units = || {
        // A day is 24 hours here, as nobody stops an observation by the calendar. Months and years have
        // no length of their own, and are refused.
        let span: Span = text.parse().ok()?;
        let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        Duration::try_from(signed).ok()
    };
    plain()
        .or_else(with_units)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| DURATION.to_owned())
}

/// Where to listen: `HOST:PORT`, or `:PORT` for every address. Whether there is such a host shows later.
pub(crate) fn listen(text: &str) -> Result<String, String> {
    // Brackets keep the colons of an IPv6 address apart from the one before the port.
    let is_host =
        |host: &str| !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    text.rsplit_once(':')
        .filter(|&(host, port)| is_host(host) && is_port(port))
        .map(|_| text.to_owned())
        .ok_or_else(|| LISTEN.to_owned())
}

/// Directives as `RUST_LOG` has them, of which each must name a level.
pub(crate) fn log_level(text: &str) -> Result<String, String> {
    let names_level = |directive: &str| {
        let level = directive.rsplit('=').next().unwrap_or_default();
        level.parse::<log::LevelFilter>().is_ok()
    };
    if text.split(',').all(names_level) {
        Ok(text.to_owned())
    } else {
        Err("give error, warn, info, debug, trace or off, or TARGET=LEVEL,...".to_owned())
    }
}

/// A user's number. The largest is none: the kernel means "nobody" by it.
pub(crate) fn uid(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|&uid| uid < u32::MAX);
    number.ok_or_else(|| {
        let is_name = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if is_name {
            format!("give a number; `id -u {text}` prints it")
        } else {
            format!("give a number from 0 to {}", u32::MAX - 1)
        }
    })
}

/// An address family by name or number.
pub(crate) fn family(text: &str) -> Result<u16, String> {
    address::family_number(text)
        .ok_or_else(|| "give an address family by name or number, such as inet6 or 10".to_owned())
}

/// A size of the ring buffer.
pub(crate) fn ring_kib(text: &str) -> Result<u32, String> {
    // The kernel wants whole pages, up to 64 KiB each, and sizes below 2 GiB.
    text.parse()
        .ok()
        .filter(|kib: &u32| kib.is_power_of_two() && (64..=1 << 20).contains(kib))
        .ok_or_else(|| "give a power of two from 64 to 1048576".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen() {
        for text in [
            ":9788",
            ":0",
            "127.0.0.1:9788",
            "localhost:9788",
            "[::1]:9788",
            "0.0.0.0:65535",
        ] {
            assert_eq!(listen(text), Ok(text.to_owned()));
        }
        for text in [
            "",
            ":",
            "9788",
            "nonsense",
            "127.0.0.1",
            "127.0.0.1:",
            ":99999",
            ":+1",
            ":http",
            "::1:9788",
            "[::1]",
            "::",
        ] {
            assert_eq!(listen(text), Err(LISTEN.to_owned()), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("90 minutes", 5_400_000),
            ("1d", 86_400_000),
            ("2w", 1_209_600_000),
            ("+1s", 1_000),
            ("10", 10_000),
            ("0.5", 500),
            ("1e3", 1_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        // More than any span: it never ends, which is what was asked for.
        assert!(duration("1e19").is_ok());
    }

    #[test]
    fn no_durations() {
        for text in [
            "",
            " ",
            "abc",
            "0",
            "0s",
            "-0.0",
            "-1",
            "-1s",
            "1s ago",
            "nan",
            "inf",
            "1e400",
            "1e-10",
            "1mo",
            "1y",
            "1x",
            "s",
            "1m30",
            "99999999999999999999h",
        ] {
            assert_eq!(duration(text), Err(DURATION.to_owned()), "{text}");
        }
    }
}
