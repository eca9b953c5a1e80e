//! What ends `trace`, and that it ends in order: buffered records delivered, totals told, status 0.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    agent::{Ended, Running, agent},
    circumstances::without_hangups,
    traffic::Traffic,
};

/// `trace`, looking at this process only.
fn trace(traffic: &Traffic, options: &[&str]) -> Running {
    let mut command = agent(["trace"]);
    command.args(traffic.filter()).args(options);
    let running = Running::start(&mut command);
    running.ready();
    running
}

#[track_caller]
fn assert_delivered(ended: &Ended, connects: u64) {
    ended.assert_code(0);
    ended.assert_no_error();
    let totals = ended.totals();
    assert_eq!((totals.events, totals.lost), (connects, 0));
    let rows = ended.stdout.matches("127.0.0.1:9").count();
    assert_eq!(u64::try_from(rows), Ok(connects));
}

#[test]
fn signals_end_it_in_order() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut traffic = Traffic::start();
        let running = trace(&traffic, &[]);
        traffic.connect(1000);
        // At once: what was made before is still in the ring buffer.
        running.signal(signal);
        assert_delivered(&running.end(), 1000);
    }
}

#[test]
fn a_signal_ends_it_when_nothing_happened() {
    let traffic = Traffic::start();
    let running = trace(&traffic, &[]);
    running.signal(Signal::INT);
    let ended = running.end();
    assert_delivered(&ended, 0);
    assert_eq!(ended.stdout.lines().count(), 1, "the titles");
}

#[test]
fn a_signal_ends_it_before_it_is_ready() {
    let traffic = Traffic::start();
    let mut command = agent(["trace"]);
    let running = Running::start(command.args(traffic.filter()));
    running.signal(Signal::INT);
    let ended = running.end();
    // So early that nothing was listened for yet, or like any other.
    let code = ended.code();
    assert!(code == 128 + 2 || code == 0, "{code}: {}", ended.stderr);
}

/// nohup(1) ignores the hangup, and what it starts has to leave it so.
#[test]
fn an_ignored_hangup_stays_ignored() {
    let traffic = Traffic::start();
    let mut command = agent(["trace"]);
    command.args(traffic.filter());
    without_hangups(&mut command);
    let running = Running::start(&mut command);
    running.ready();
    let status = running.status("SigIgn:");
    let mask = u64::from_str_radix(&status, 16).unwrap();
    assert_eq!(mask & 1, 1, "SIGHUP is signal 1: {status}");
}

#[test]
fn a_count_ends_it_at_exactly_that() {
    for count in [1, 10] {
        let mut traffic = Traffic::start();
        let running = trace(&traffic, &["--count", &count.to_string()]);
        traffic.connect(100);
        assert_delivered(&running.end(), count);
    }
}

/// Not one more, also when they come one by one; and not before.
#[test]
fn a_count_waits_for_the_last() {
    let mut traffic = Traffic::start();
    let mut running = trace(&traffic, &["--count", "3", "--output", "json"]);
    for made in 1..=2 {
        traffic.connect(1);
        running.stdout.wait_for("event", |text| {
            text.matches("\"event\":\"connect\"").count() == made
        });
    }
    assert!(running.runs());
    traffic.connect(1);
    let ended = running.end();
    ended.assert_code(0);
    assert_eq!(ended.totals().events, 3);
}

#[test]
fn a_duration_ends_it_after_that() {
    let begun = Instant::now();
    let mut traffic = Traffic::start();
    let running = trace(&traffic, &["--duration", "0.5"]);
    traffic.connect(10);
    let ended = running.end();
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert_delivered(&ended, 10);
}

#[test]
fn a_duration_longer_than_time_does_not() {
    let traffic = Traffic::start();
    let mut running = trace(&traffic, &["--duration", "1e19"]);
    assert!(running.runs());
    running.signal(Signal::INT);
    assert_delivered(&running.end(), 0);
}

/// What comes first ends it.
#[test]
fn of_count_and_duration_the_first() {
    let mut traffic = Traffic::start();
    let running = trace(&traffic, &["--duration", "1000", "--count", "2"]);
    traffic.connect(2);
    assert_delivered(&running.end(), 2);
}

/// The stream tells its beginning, its end and its totals.
#[test]
fn json_begins_and_ends_with_a_notice() {
    let mut traffic = Traffic::start();
    let running = trace(&traffic, &["--output", "json"]);
    traffic.connect(5);
    running.signal(Signal::TERM);
    let ended = running.end();
    ended.assert_code(0);

    let events: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [start, connects @ .., stop] = events.as_slice() else {
        panic!("{}", ended.stdout);
    };
    assert_eq!(start["event"], "notice");
    assert_eq!(start["notice"], "start");
    for connect in connects {
        assert_eq!(connect["event"], "connect");
        assert_eq!(connect["process.pid"], traffic.pid());
    }
    assert_eq!(connects.len(), 5);
    assert_eq!(stop["notice"], "stop");
    assert_eq!(stop["events"], 5);
    assert_eq!(stop["lost"], 0);
}
