//! From the kernel's clock to the wall's, and its time zone.

use std::env;

use jiff::{Timestamp, tz::TimeZone};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::{escape::Escaped, status};

/// The distance between `CLOCK_MONOTONIC`, in which records are stamped, and `CLOCK_REALTIME`.
///
/// It changes when the wall clock is set and when the machine sleeps, so it is taken anew for
/// every batch of records.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_ns: i128,
}

/// How often both clocks are looked at, at most.
const TRIES: u32 = 8;
/// Looks that are so close to each other, in ns, that no others are needed: a look takes some 30.
const CLOSE_NS: i128 = 1_000;

impl Clock {
    /// The distance as it is now.
    #[must_use]
    pub fn now() -> Self {
        let (mut narrowest, mut offset_ns) = (i128::MAX, 0);
        // Whoever is not let run between two looks compares the clocks of two moments.
        for _ in 0..TRIES {
            let before = nanoseconds(clock_gettime(ClockId::Monotonic));
            let wall = nanoseconds(clock_gettime(ClockId::Realtime));
            let after = nanoseconds(clock_gettime(ClockId::Monotonic));
            if after - before < narrowest {
                narrowest = after - before;
                offset_ns = wall - before.midpoint(after);
            }
            if narrowest < CLOSE_NS {
                break;
            }
        }
        Self { offset_ns }
    }

    /// A given distance in ns, for recorded records.
    #[must_use]
    pub const fn fixed(offset_ns: i128) -> Self {
        Self { offset_ns }
    }

    /// The wall's time at `monotonic_ns`; the end of time where there is no such time, as only a
    /// forged record has.
    #[must_use]
    pub fn wall(self, monotonic_ns: u64) -> Timestamp {
        Timestamp::from_nanosecond(self.offset_ns.saturating_add(i128::from(monotonic_ns)))
            .unwrap_or(Timestamp::MAX)
    }
}

/// The time zone for a person: the one that `TZ` names, else the host's, else UTC.
///
/// Names are looked up in the host's own database, and where it has none, in the one of this program. A
/// name that is not there is worth a warning, as somebody has asked for it.
#[must_use]
pub fn time_zone() -> TimeZone {
    TimeZone::try_system().unwrap_or_else(|error| {
        match env::var_os("TZ") {
            Some(name) => status::say(format_args!(
                "warning: TZ: no time zone \"{}\" is known here, so times are in UTC",
                Escaped(name.as_encoded_bytes())
            )),
            // A host that names none, as many containers, means UTC.
            None => log::debug!("no time zone: {error}"),
        }
        TimeZone::UTC
    })
}

fn nanoseconds(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use jiff::tz::TimeZoneDatabase;

    use super::*;

    /// For hosts that have no zones of their own.
    #[test]
    fn zones_are_built_in() {
        let zone = TimeZoneDatabase::bundled().get("America/New_York").unwrap();
        for (time, hours) in [("2026-01-15T12:00:00Z", -5), ("2026-07-15T12:00:00Z", -4)] {
            let time: Timestamp = time.parse().unwrap();
            assert_eq!(zone.to_offset(time).seconds(), hours * 3600, "{time}");
        }
    }
}
