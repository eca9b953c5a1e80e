//! From the kernel's clock to the wall's.

use jiff::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The distance between `CLOCK_MONOTONIC`, in which records are stamped, and `CLOCK_REALTIME`.
///
/// It changes when the wall clock is set and when the machine sleeps, so it is taken anew for
/// every batch of records.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_ns: i128,
}

impl Clock {
    /// The distance as it is now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            offset_ns: nanoseconds(clock_gettime(ClockId::Realtime))
                - nanoseconds(clock_gettime(ClockId::Monotonic)),
        }
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

fn nanoseconds(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
