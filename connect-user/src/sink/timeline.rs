//! The column `TIME`: it runs backwards from no line to the next, but where a heading says why.
//!
//! Lines come in the order in which the kernel reported them, which is nearly that in which calls ended. A
//! call that an interruption had pushed aside may be reported long after it ended, as only then it is known
//! that it did: its line has the time of the line before, and says behind its destination when it was.

use jiff::{
    Timestamp, Zoned,
    civil::Date,
    tz::{Offset, TimeZone},
};

use super::cells::duration;
use crate::clock::{CHANGE_NS, Moment};

/// From when on, in ns, a line says that it comes late.
const LATE_NS: i128 = 100_000_000;

/// Times as they are shown, line after line.
#[derive(Debug)]
pub(super) struct Timeline {
    zone: TimeZone,
    format: &'static str,
    shown: Shown,
    /// As it was before the last line.
    before: Shown,
}

/// What the reader has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// The last time.
    time: Option<Timestamp>,
    /// Of all events, the one that ended last.
    newest: Option<Moment>,
    /// What the last heading says.
    heading: Option<(Date, Offset)>,
}

/// When a line is, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct When {
    /// A line that has to come before it: which day it is, in which zone, and whether the clock was set back.
    pub(super) heading: Option<String>,
    /// The column.
    pub(super) time: String,
    /// When it really was, if much earlier.
    pub(super) really: Option<String>,
}

impl Timeline {
    /// In this time zone, in this format.
    pub(super) fn new(zone: TimeZone, format: &'static str) -> Self {
        Self {
            zone,
            format,
            shown: Shown::default(),
            before: Shown::default(),
        }
    }

    /// Of a call or an attempt that ended then.
    pub(super) fn event(&mut self, ended: Moment) -> When {
        self.before = self.shown;
        let newest = self.shown.newest;
        let set_back_ns = newest
            .filter(|newest| newest.monotonic_ns < ended.monotonic_ns)
            .map(|newest| distance_ns(newest) - distance_ns(ended))
            .filter(|&change| change > CHANGE_NS);
        if newest.is_none_or(|newest| newest.monotonic_ns <= ended.monotonic_ns) {
            self.shown.newest = Some(ended);
        }
        let Some(last) = self.shown.time.filter(|last| *last > ended.wall) else {
            return self.show(ended.wall, None);
        };
        if let Some(change) = set_back_ns {
            let change = u64::try_from(change).unwrap_or(u64::MAX);
            return self.show(ended.wall, Some(change));
        }
        let late_ns = last.as_nanosecond() - ended.wall.as_nanosecond();
        let mut when = self.show(last, None);
        when.really = (late_ns >= LATE_NS).then(|| self.earlier(ended.wall, last));
        when
    }

    /// Of losses that were found then, which may be before events come that ended earlier.
    pub(super) fn loss(&mut self, found: Timestamp) -> When {
        self.before = self.shown;
        let last = self.shown.time.filter(|last| *last > found);
        self.show(last.unwrap_or(found), None)
    }

    /// The last line does not reach the reader.
    pub(super) const fn take_back(&mut self) {
        self.shown = self.before;
    }

    fn show(&mut self, time: Timestamp, set_back_ns: Option<u64>) -> When {
        self.shown.time = Some(time);
        let local = self.local(time);
        let day = (local.date(), local.offset());
        let heading = (set_back_ns.is_some() || self.shown.heading != Some(day)).then(|| {
            let change = set_back_ns.map_or(String::new(), |ns| {
                format!(", the clock was set back by {}", duration(ns))
            });
            format!("-- {} ({}){change} --", day.0, offset(&local))
        });
        self.shown.heading = Some(day);
        When {
            heading,
            time: local.strftime(self.format).to_string(),
            really: None,
        }
    }

    /// A time before `last`, with its day if that is another.
    fn earlier(&self, time: Timestamp, last: Timestamp) -> String {
        let (local, last) = (self.local(time), self.local(last));
        let format = if (local.date(), local.offset()) == (last.date(), last.offset()) {
            self.format.to_owned()
        } else {
            format!("%Y-%m-%d {} {}", self.format, offset(&local))
        };
        local.strftime(&format).to_string()
    }

    fn local(&self, time: Timestamp) -> Zoned {
        time.to_zoned(self.zone.clone())
    }
}

/// How far the wall's clock is ahead of the kernel's.
fn distance_ns(moment: Moment) -> i128 {
    moment.wall.as_nanosecond() - i128::from(moment.monotonic_ns)
}

/// `UTC`, `UTC+01:00`
fn offset(local: &Zoned) -> String {
    match local.offset().seconds() {
        0 => "UTC".to_owned(),
        seconds if seconds % 60 == 0 => local.strftime("UTC%:z").to_string(),
        _ => local.strftime("UTC%::z").to_string(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn timeline(zone: &str) -> Timeline {
        Timeline::new(TimeZone::get(zone).unwrap(), "%H:%M:%S")
    }

    /// So many seconds after the boot, at this time of the wall.
    fn at(seconds: u64, wall: &str) -> Moment {
        Moment {
            monotonic_ns: seconds * SECOND,
            wall: wall.parse().unwrap(),
        }
    }

    #[track_caller]
    fn assert_when(when: &When, heading: Option<&str>, time: &str, really: Option<&str>) {
        let of = |text: Option<&str>| text.map(str::to_owned);
        let expected = When {
            heading: of(heading),
            time: time.to_owned(),
            really: of(really),
        };
        assert_eq!(*when, expected);
    }

    #[test]
    fn a_day_has_a_heading_at_the_start_and_at_midnight() {
        let mut timeline = timeline("Europe/Berlin");
        for (seconds, wall, heading, time) in [
            (
                10,
                "2026-11-28T22:59:59Z",
                Some("-- 2026-11-28 (UTC+01:00) --"),
                "23:59:59",
            ),
            (10, "2026-11-28T22:59:59Z", None, "23:59:59"),
            (
                11,
                "2026-11-28T23:00:00Z",
                Some("-- 2026-11-29 (UTC+01:00) --"),
                "00:00:00",
            ),
            (12, "2026-11-28T23:00:01Z", None, "00:00:01"),
        ] {
            assert_when(&timeline.event(at(seconds, wall)), heading, time, None);
        }
    }

    /// The hour before the end of summer time comes twice.
    #[test]
    fn an_hour_that_comes_twice_has_two_headings() {
        let mut timeline = timeline("America/New_York");
        for (seconds, wall, heading, time) in [
            (
                10,
                "2026-11-01T05:59:59Z",
                Some("-- 2026-11-01 (UTC-04:00) --"),
                "01:59:59",
            ),
            (
                11,
                "2026-11-01T06:00:00Z",
                Some("-- 2026-11-01 (UTC-05:00) --"),
                "01:00:00",
            ),
            (4_000, "2026-11-01T07:06:29Z", None, "02:06:29"),
        ] {
            assert_when(&timeline.event(at(seconds, wall)), heading, time, None);
        }
    }

    #[test]
    fn what_comes_late_has_the_time_of_the_line_before_and_says_when_it_was() {
        let mut timeline = timeline("UTC");
        let first = timeline.event(at(100, "2026-11-28T00:00:10Z"));
        assert_when(&first, Some("-- 2026-11-28 (UTC) --"), "00:00:10", None);
        // The order of reports on two processors.
        let moment = at(100, "2026-11-28T00:00:09.999Z");
        let moment = Moment {
            monotonic_ns: moment.monotonic_ns - 1_000_000,
            ..moment
        };
        assert_when(&timeline.event(moment), None, "00:00:10", None);
        let late = timeline.event(at(95, "2026-11-28T00:00:05Z"));
        assert_when(&late, None, "00:00:10", Some("00:00:05"));
        let late = timeline.event(at(80, "2026-11-27T23:59:50Z"));
        assert_when(&late, None, "00:00:10", Some("2026-11-27 23:59:50 UTC"));
        let next = timeline.event(at(101, "2026-11-28T00:00:11Z"));
        assert_when(&next, None, "00:00:11", None);
    }

    #[test]
    fn a_clock_that_is_set_back_has_a_heading() {
        let mut timeline = timeline("UTC");
        let _first = timeline.event(at(100, "2026-11-28T12:00:00Z"));
        let heading = "-- 2026-11-28 (UTC), the clock was set back by 60.0s --";
        let back = timeline.event(at(101, "2026-11-28T11:59:01Z"));
        assert_when(&back, Some(heading), "11:59:01", None);
        let next = timeline.event(at(102, "2026-11-28T11:59:02Z"));
        assert_when(&next, None, "11:59:02", None);
        // Of before.
        let late = timeline.event(at(99, "2026-11-28T11:59:59Z"));
        assert_when(&late, None, "11:59:59", None);
    }

    /// It is set back by so little that the next call has a later time all the same.
    #[test]
    fn a_clock_that_is_set_back_by_little_is_no_matter() {
        let mut timeline = timeline("UTC");
        let _first = timeline.event(at(100, "2026-11-28T12:00:00Z"));
        let next = timeline.event(at(101, "2026-11-28T12:00:00.5Z"));
        assert_when(&next, None, "12:00:00", None);
    }

    /// Losses are found while events wait that ended earlier.
    #[test]
    fn events_that_come_after_losses_are_no_clock_that_is_set_back() {
        let mut timeline = timeline("UTC");
        let _first = timeline.event(at(100, "2026-11-28T12:00:00Z"));
        let found = timeline.loss("2026-11-28T12:00:03Z".parse().unwrap());
        assert_when(&found, None, "12:00:03", None);
        let waited = timeline.event(at(101, "2026-11-28T12:00:01Z"));
        assert_when(&waited, None, "12:00:03", Some("12:00:01"));
        let next = timeline.event(at(104, "2026-11-28T12:00:04Z"));
        assert_when(&next, None, "12:00:04", None);
    }

    #[test]
    fn a_heading_that_did_not_reach_the_reader_comes_again() {
        let mut timeline = timeline("UTC");
        let moment = at(100, "2026-11-28T12:00:00Z");
        let first = timeline.event(moment);
        timeline.take_back();
        assert_eq!(timeline.event(moment), first);
        assert!(first.heading.is_some());
    }
}
