//! What ends `trace`, and that it ends in order: buffered records delivered, totals printed, status 0.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    circumstances::without_hangups,
    ended::agent,
    support::agent::{Agent, Ended},
    traffic::Traffic,
};

/// `trace`, looking at this process only.
fn trace(traffic: &Traffic, options: &[&str]) -> Agent {
    let mut command = agent(["trace"]);
    command.args(traffic.filter()).args(options);
    Agent::start(&mut command).unwrap()
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
    let observed = [Signal::INT, Signal::TERM, Signal::HUP].map(|signal| {
        let traffic = Traffic::start();
        let running = trace(&traffic, &[]);
        (signal, traffic, running)
    });
    for (signal, mut traffic, running) in observed {
        running.ready().unwrap();
        // What was made before is still in the ring buffer when the signal is looked at.
        running
            .while_stopped(|| {
                traffic.connect(1000);
                running.signal(signal).unwrap();
            })
            .unwrap();
        assert_delivered(&running.end().unwrap(), 1000);
    }
}

/// The last losses are reported too, in the stream and in the totals.
#[test]
fn a_signal_ends_it_with_the_last_losses() {
    const MADE: u32 = 10_000;
    let mut traffic = Traffic::start();
    let running = trace(&traffic, &["--output", "json", "--ring-kib", "64"]);
    running.ready().unwrap();
    running
        .while_stopped(|| {
            traffic.connect(MADE);
            running.signal(Signal::INT).unwrap();
        })
        .unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    let totals = ended.totals();
    assert_eq!(totals.events + totals.lost, u64::from(MADE));
    assert_eq!(totals.reasons.get("ring_full"), Some(&totals.lost));
    let told: u64 = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "lost" && event["reason"] == "ring_full")
        .map(|event| event["count"].as_u64().unwrap())
        .sum();
    assert_eq!(told, totals.lost, "the stream tells of every loss");
    assert!(told > 0);
}

#[test]
fn a_signal_ends_it_when_nothing_happened() {
    let traffic = Traffic::start();
    let running = trace(&traffic, &[]);
    running.ready().unwrap();
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    assert_delivered(&ended, 0);
    assert_eq!(ended.stdout.lines().count(), 1, "the titles");
}

#[test]
fn a_signal_ends_it_before_it_is_ready() {
    let traffic = Traffic::start();
    let mut command = agent(["trace"]);
    let running = Agent::start(command.args(traffic.filter())).unwrap();
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
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
    let running = Agent::start(&mut command).unwrap();
    running.ready().unwrap();
    let status = running.status("SigIgn:").unwrap();
    let mask = u64::from_str_radix(&status, 16).unwrap();
    assert_eq!(mask & 1, 1, "SIGHUP is signal 1: {status}");
}

#[test]
fn a_count_ends_it_at_exactly_that() {
    let observed = [1, 10].map(|count| {
        let traffic = Traffic::start();
        let running = trace(&traffic, &["--count", &count.to_string()]);
        (count, traffic, running)
    });
    for (count, mut traffic, running) in observed {
        running.ready().unwrap();
        traffic.connect(100);
        assert_delivered(&running.end().unwrap(), count);
    }
}

/// Not one more, also when they come one by one; and not before.
#[test]
fn a_count_waits_for_the_last() {
    let mut traffic = Traffic::start();
    let mut running = trace(&traffic, &["--count", "3", "--output", "json"]);
    running.ready().unwrap();
    for made in 1..=2 {
        traffic.connect(1);
        running
            .stdout
            .wait_for("event", |text| {
                text.matches("\"event\":\"connect\"").count() == made
            })
            .unwrap();
    }
    assert!(running.runs().unwrap());
    traffic.connect(1);
    let ended = running.end().unwrap();
    ended.assert_code(0);
    assert_eq!(ended.totals().events, 3);
}

#[test]
fn a_duration_ends_it_after_that() {
    let traffic = Traffic::start();
    let begun = Instant::now();
    let ended = trace(&traffic, &["--duration", "500ms"]).end().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert_delivered(&ended, 0);
}

#[test]
fn a_duration_longer_than_time_does_not() {
    let traffic = Traffic::start();
    let mut running = trace(&traffic, &["--duration", "1e19"]);
    running.ready().unwrap();
    assert!(running.runs().unwrap());
    running.signal(Signal::INT).unwrap();
    assert_delivered(&running.end().unwrap(), 0);
}

/// What comes first ends it.
#[test]
fn of_count_and_duration_the_first() {
    let mut traffic = Traffic::start();
    let running = trace(&traffic, &["--duration", "1000", "--count", "2"]);
    running.ready().unwrap();
    traffic.connect(2);
    assert_delivered(&running.end().unwrap(), 2);
}

/// The stream reports its beginning, its end and its totals.
#[test]
fn json_begins_and_ends_with_a_notice() {
    let mut traffic = Traffic::start();
    let running = trace(&traffic, &["--output", "json"]);
    running.ready().unwrap();
    traffic.connect(5);
    running.signal(Signal::TERM).unwrap();
    let ended = running.end().unwrap();
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
