//! `TZ`: in which time zone the table writes times.

use std::process::Command;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    circumstances::without_zone_files,
    ended::{agent, end},
    support::agent::Ended,
    workload::connecting,
};

const DAY: i64 = 86_400;

/// One connect in the table, by an agent whose `TZ` is this.
fn observed(zone: &str, prepare: impl Fn(&mut Command)) -> Ended {
    let mut command = agent(["run", "-o", "-", "--"]);
    command.args(connecting("udp(9)")).env("TZ", zone);
    prepare(&mut command);
    let ended = end(&mut command);
    ended.assert_code(0);
    ended
}

/// How far the first time in the table is ahead of UTC, in seconds; it may be a minute old.
#[track_caller]
fn assert_ahead(ended: &Ended, expected: i64) {
    let row = ended.stdout.lines().nth(2).expect("a connect");
    let time = row.split(['.', ' ']).next().unwrap();
    let parts: Vec<i64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds] = parts.as_slice() else {
        panic!("a time in {row}");
    };
    let written = (hours * 60 + minutes) * 60 + seconds;
    let age = (Timestamp::now().as_second() + expected - written).rem_euclid(DAY);
    assert!(
        age < 60,
        "{age} s away from {expected} s ahead of UTC: {row}"
    );
}

/// How far New York is ahead of UTC: it is behind, in winter by five hours.
fn new_york() -> i64 {
    let zone = TimeZone::get("America/New_York").unwrap();
    let offset = zone.to_offset(Timestamp::now()).seconds();
    assert!([-4 * 3600, -5 * 3600].contains(&offset), "{offset}");
    offset.into()
}

#[test]
fn by_name() {
    for (zone, expected) in [
        ("America/New_York", new_york()),
        (":Asia/Kolkata", 19_800),
        ("XYZ-3", 10_800),
        ("UTC", 0),
        ("", 0),
    ] {
        let ended = observed(zone, |_| {});
        assert_ahead(&ended, expected);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    }
}

/// As in a container that has nothing but the agent.
#[test]
fn by_name_where_the_host_has_no_zones() {
    let ended = observed("America/New_York", without_zone_files);
    assert_ahead(&ended, new_york());
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn that_nobody_knows_is_one_warning_and_utc() {
    for zone in ["Mars/Olympus", "nowhere\u{1b}[31m"] {
        let ended = observed(zone, |_| {});
        assert_ahead(&ended, 0);
        let is_warning = |line: &&str| line.starts_with("warning: ");
        let warnings: Vec<_> = ended.stderr.lines().filter(is_warning).collect();
        let [warning] = warnings.as_slice() else {
            panic!("one warning:\n{}", ended.stderr);
        };
        assert!(
            warning.contains("TZ") && warning.contains("UTC"),
            "{warning}"
        );
        assert!(!warning.contains('\u{1b}'), "{warning:?}");
    }
}

/// JSON has UTC only, so it is no matter there.
#[test]
fn does_not_matter_in_json() {
    let mut command = agent(["run", "--output", "json", "--", "true"]);
    let ended = end(command.env("TZ", "Mars/Olympus"));
    ended.assert_code(0);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}
