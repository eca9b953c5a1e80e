//! From the kernel's clock to the wall's, and its time zone.

use std::{collections::VecDeque, env};

use jiff::{Timestamp, tz::TimeZone};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::{
    escape::Escaped,
    host::time_namespace::{self, Unknown},
    status,
};

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The kernel's `CLOCK_MONOTONIC`, in ns: it never runs backwards.
    pub monotonic_ns: u64,
    /// The wall's time then.
    pub wall: Timestamp,
}

/// From the kernel's `CLOCK_MONOTONIC`, in which records are stamped, to `CLOCK_REALTIME`.
///
/// The distance between them changes when the wall clock is set and when the machine sleeps. So it is taken
/// anew for every batch of records; and what it was before is kept, for calls that began then.
#[derive(Clone, Debug)]
pub struct Clock {
    /// By how much this process's `CLOCK_MONOTONIC` is ahead of the kernel's.
    ahead_ns: i128,
    now: Look,
    /// The distance when it was last noted as changed.
    noted_ns: i128,
    /// Distances of the past, oldest first.
    past: VecDeque<Past>,
}

/// One look at both clocks.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// `CLOCK_MONOTONIC`.
    monotonic_ns: i128,
    /// How far `CLOCK_REALTIME` is ahead of it.
    distance_ns: i128,
}

/// A distance that holds no more.
#[derive(Clone, Copy, Debug)]
struct Past {
    until_ns: u64,
    distance_ns: i128,
}

/// How often both clocks are looked at, at most.
const TRIES: u32 = 8;
/// Looks that are so close to each other, in ns, that no others are needed: a look takes some 30.
const CLOSE_NS: i128 = 1_000;
/// Changes of the distance that are worth a note, in ns. NTP steers a clock by less than this in 20 s.
pub const CHANGE_NS: i128 = 10_000_000;
/// How many are kept. Of what is older, the oldest is the best guess.
const PAST_MAX: usize = 256;

impl Clock {
    /// The clocks as they are now.
    ///
    /// # Errors
    ///
    /// In a time namespace whose clock has an unknown distance to the kernel's.
    pub fn start() -> Result<Self, Unknown> {
        let ahead_ns = time_namespace::monotonic_ahead_ns()?;
        Ok(Self::at(ahead_ns, Look::now().in_kernel(ahead_ns)))
    }

    /// A given distance in ns, for recorded records.
    #[must_use]
    pub const fn fixed(distance_ns: i128) -> Self {
        Self::at(
            0,
            Look {
                monotonic_ns: 0,
                distance_ns,
            },
        )
    }

    const fn at(ahead_ns: i128, now: Look) -> Self {
        Self {
            ahead_ns,
            now,
            noted_ns: now.distance_ns,
            past: VecDeque::new(),
        }
    }

    /// Looks at the clocks anew.
    pub fn look(&mut self) {
        self.note(Look::now().in_kernel(self.ahead_ns));
    }

    fn note(&mut self, now: Look) {
        if (now.distance_ns - self.noted_ns).abs() > CHANGE_NS {
            // Somewhere between the looks. Before the machine sleeps, everything stops, and then goes on
            // again, at about the same time.
            let until = self.now.monotonic_ns.midpoint(now.monotonic_ns);
            if self.past.len() == PAST_MAX {
                self.past.pop_front();
            }
            self.past.push_back(Past {
                until_ns: u64::try_from(until).unwrap_or(0),
                distance_ns: self.now.distance_ns,
            });
            self.noted_ns = now.distance_ns;
        }
        self.now = now;
    }

    /// The wall's time at `monotonic_ns`; the end of time where there is no such time, as only a
    /// forged record has.
    #[must_use]
    pub fn wall(&self, monotonic_ns: u64) -> Timestamp {
        let before = self
            .past
            .partition_point(|past| past.until_ns < monotonic_ns);
        let past = self.past.get(before);
        let distance_ns = past.map_or(self.now.distance_ns, |past| past.distance_ns);
        Timestamp::from_nanosecond(distance_ns.saturating_add(i128::from(monotonic_ns)))
            .unwrap_or(Timestamp::MAX)
    }

    /// The moment at `monotonic_ns`.
    #[must_use]
    pub fn moment(&self, monotonic_ns: u64) -> Moment {
        Moment {
            monotonic_ns,
            wall: self.wall(monotonic_ns),
        }
    }
}

impl Look {
    fn now() -> Self {
        let mut narrowest = i128::MAX;
        let mut look = Self {
            monotonic_ns: 0,
            distance_ns: 0,
        };
        // Whoever is not let run between two looks compares the clocks of two moments.
        for _ in 0..TRIES {
            let before = nanoseconds(clock_gettime(ClockId::Monotonic));
            let wall = nanoseconds(clock_gettime(ClockId::Realtime));
            let after = nanoseconds(clock_gettime(ClockId::Monotonic));
            if after - before < narrowest {
                narrowest = after - before;
                let monotonic_ns = before.midpoint(after);
                look = Self {
                    monotonic_ns,
                    distance_ns: wall - monotonic_ns,
                };
            }
            if narrowest < CLOSE_NS {
                break;
            }
        }
        look
    }

    /// The same moment on the kernel's `CLOCK_MONOTONIC`; the clock of this process is ahead of it by so much.
    const fn in_kernel(self, ahead_ns: i128) -> Self {
        Self {
            monotonic_ns: self.monotonic_ns - ahead_ns,
            distance_ns: self.distance_ns + ahead_ns,
        }
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

    const SECOND: i128 = 1_000_000_000;

    /// What a look sees at `monotonic` seconds when the wall clock is so many seconds ahead.
    const fn look(monotonic: i128, ahead: i128) -> Look {
        Look {
            monotonic_ns: monotonic * SECOND,
            distance_ns: ahead * SECOND,
        }
    }

    #[track_caller]
    fn assert_wall(clock: &Clock, monotonic: u64, expected: i64) {
        let wall = clock.wall(monotonic * 1_000_000_000);
        assert_eq!(wall, Timestamp::from_second(expected).unwrap());
    }

    /// A namespace moves `CLOCK_MONOTONIC` of its processes, and neither the kernel's nor the wall's.
    #[test]
    fn a_time_namespace_moves_no_timestamp() {
        for ahead in [864_000, -50, 0] {
            let seen = look(100 + ahead, 1_000 - ahead);
            let clock = Clock::at(ahead * SECOND, seen.in_kernel(ahead * SECOND));
            assert_wall(&clock, 100, 1_100);
        }
    }

    /// The machine sleeps for an hour: what was before keeps its time.
    #[test]
    fn sleep_moves_no_timestamp_of_before() {
        let mut clock = Clock::at(0, look(90, 1_000));
        clock.note(look(100, 1_000));
        clock.note(look(102, 4_600));
        assert_wall(&clock, 1, 1_001);
        assert_wall(&clock, 100, 1_100);
        assert_wall(&clock, 102, 4_702);
        assert_wall(&clock, 200, 4_800);
    }

    #[test]
    fn neither_does_a_wall_clock_that_is_set_forth_and_back() {
        let mut clock = Clock::at(0, look(0, 1_000));
        for (monotonic, ahead) in [(10, 1_000), (12, 500), (20, 500), (22, 1_003)] {
            clock.note(look(monotonic, ahead));
        }
        for (monotonic, expected) in [(5, 1_005), (10, 1_010), (15, 515), (20, 520), (23, 1_026)] {
            assert_wall(&clock, monotonic, expected);
        }
    }

    /// NTP steers the clock slowly: many small changes come to a large one.
    #[test]
    fn slow_changes_are_noted_and_few_are_kept() {
        let mut clock = Clock::at(0, look(0, 1_000));
        for step in 1..10_000 {
            let distance_ns = 1_000 * SECOND + step * CHANGE_NS / 2;
            clock.note(Look {
                monotonic_ns: step * SECOND,
                distance_ns,
            });
        }
        assert_eq!(clock.past.len(), PAST_MAX);
        let at = |monotonic: u64| clock.wall(monotonic * 1_000_000_000);
        let exact = |monotonic: i128| {
            let ns = (1_000 + monotonic) * SECOND + monotonic * CHANGE_NS / 2;
            Timestamp::from_nanosecond(ns).unwrap()
        };
        assert_eq!(at(9_999), exact(9_999));
        let off = at(9_700).duration_since(exact(9_700));
        assert!(off.abs().as_nanos() <= 2 * CHANGE_NS, "{off:?}");
    }

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
