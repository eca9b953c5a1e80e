//! `TIME` in the table: from line to line, never backwards; where a day or an offset begins, a heading says so.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::{Offset, TimeZone},
};
use rustix::process::Signal;
use tempfile::{NamedTempFile, TempDir};

use crate::{
    ended::{agent, end},
    support::{
        agent::{Agent, Ended},
        wait,
    },
    traffic::Traffic,
    workload::connecting,
};

/// `-- 2026-11-28 (UTC+01:00) --`
fn is_heading(line: &str) -> bool {
    line.starts_with("-- ")
}

fn date(heading: &str) -> Date {
    heading.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The times of the rows below each heading.
#[track_caller]
fn days(table: &str) -> Vec<(&str, Vec<Time>)> {
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("TIME "), "{table}");
    let mut days = Vec::new();
    for line in lines {
        if is_heading(line) {
            days.push((line, Vec::new()));
        } else {
            let (_, times) = days.last_mut().expect("a heading comes first");
            times.push(line.split(' ').next().unwrap().parse().unwrap());
        }
    }
    days
}

/// How far ahead of UTC a zone must be in which it is now this time, as `TZ` has it.
fn zone_where_it_is(seconds_of_day: i64) -> i64 {
    const DAY: i64 = 86_400;
    let ahead = (seconds_of_day - Timestamp::now().as_second()).rem_euclid(DAY);
    if ahead > DAY / 2 { ahead - DAY } else { ahead }
}

/// `TZ` counts what is west of Greenwich.
fn west(ahead: i64) -> String {
    let sign = if ahead > 0 { "-" } else { "" };
    format!("{sign}{}", clock(ahead.abs()))
}

fn clock(seconds: i64) -> String {
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Connects until there is a second heading, in a time zone where something begins in so many seconds.
fn observed(zone: impl Fn(i64) -> String) -> Ended {
    // A busy machine may need more time than that to begin.
    for seconds in [2, 6, 20, 60] {
        let begins = Instant::now() + Duration::from_secs(seconds);
        let mut traffic = Traffic::start();
        let mut command = agent(["trace"]);
        let zone = zone(i64::try_from(seconds).unwrap());
        command.args(traffic.filter()).env("TZ", zone);
        let running = Agent::start(&mut command).unwrap();
        running.ready().unwrap();
        traffic.connect(1);
        // The zone counts whole seconds.
        if begins.saturating_duration_since(Instant::now()) < Duration::from_secs(1) {
            continue;
        }
        wait::until_true("a second heading", || {
            traffic.connect(1);
            let text = running.stdout.text();
            Ok(text.lines().filter(|line| is_heading(line)).count() == 2)
        })
        .unwrap();
        running.signal(Signal::INT).unwrap();
        let ended = running.end().unwrap();
        ended.assert_code(0);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
        return ended;
    }
    panic!("the agent takes longer than a minute to begin");
}

#[test]
fn a_day_that_begins_has_a_heading() {
    let ended = observed(|seconds| format!("XYZ{}", west(zone_where_it_is(86_400 - seconds))));
    let days = days(&ended.stdout);
    let [(one, before), (other, after)] = days.as_slice() else {
        panic!("two days:\n{}", ended.stdout);
    };
    assert!(before.is_sorted() && after.is_sorted(), "{}", ended.stdout);
    assert_eq!(before[0].hour(), 23, "{one}");
    assert_eq!(after[0].hour(), 0, "{other}");
    assert_eq!(date(one).tomorrow().unwrap(), date(other));
}

/// The clock on the wall shows one hour twice.
#[test]
fn the_end_of_summer_time_has_a_heading() {
    let ended = observed(|seconds| {
        let ahead = zone_where_it_is(12 * 3600);
        let standard = west(ahead);
        let summer = west(ahead + 3600);
        let offset = Offset::from_seconds(i32::try_from(ahead).unwrap()).unwrap();
        let today = offset.to_datetime(Timestamp::now()).date();
        // From the beginning of the year.
        let end = clock(13 * 3600 + seconds);
        format!(
            "STD{standard}DST{summer},0/0,{}/{end}",
            today.day_of_year() - 1
        )
    });
    let days = days(&ended.stdout);
    let [(one, before), (other, after)] = days.as_slice() else {
        panic!("two headings:\n{}", ended.stdout);
    };
    assert!(before.is_sorted() && after.is_sorted(), "{}", ended.stdout);
    assert_eq!(before[0].hour(), 13, "{one}");
    assert_eq!(after[0].hour(), 12, "{other}");
    assert_eq!(date(one), date(other), "the same day");
    assert_ne!(one, other, "the offset tells the hours apart");
}

/// A call that waits returns after others that were made later.
const SLOW_AND_QUICK: &str = "
import struct, threading, time

path = sys.argv[1]
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(0)
peers = [socket.socket(socket.AF_UNIX) for _ in range(2)]
peers[0].connect(path)
peers[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', 0, 300000))
slow = threading.Thread(target=lambda: peers[1].connect_ex(path))
slow.start()
for _ in range(10):
    udp(9)
    slow.join(0.02)
slow.join()
udp(9)
";

#[test]
fn calls_have_the_time_of_their_return() {
    let folder = TempDir::new().unwrap();
    let file = NamedTempFile::new().unwrap();
    let mut words = connecting(SLOW_AND_QUICK);
    words.push(folder.path().join("socket").to_str().unwrap().to_owned());
    let mut command: Command = agent(["run", "-o"]);
    command
        .arg(file.path())
        .arg("--")
        .args(words)
        .env("TZ", "UTC");
    let ended = end(&mut command);
    ended.assert_code(0);
    let table = fs::read_to_string(file.path()).unwrap();
    let days = days(&table);
    let times: Vec<_> = days.iter().flat_map(|(_, times)| times).collect();
    assert_eq!(times.len(), 13, "{table}");
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
    assert!(days.last().unwrap().0.contains(&today), "{table}");
    let slow = table.lines().rev().nth(1).unwrap();
    assert!(
        slow.contains(" EAGAIN "),
        "it returns last but one: {table}"
    );
    assert!(
        days.iter().all(|(_, times)| times.is_sorted()),
        "backwards:\n{table}"
    );
}
