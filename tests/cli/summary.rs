//! `--summary`: instead of events, what they come to, at the end.

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    ended::{agent, end, run},
    support::agent::Agent,
    traffic::Traffic,
    workload::{comm, connecting},
};

#[test]
fn of_a_command_counts_every_connect() {
    let mut command = agent(["run", "-o", "-", "--summary", "--"]);
    command.args(connecting("udp(9, 9, 9); tcp(1, 1); sys.exit(7)"));
    let ended = end(&mut command);
    ended.assert_code(7);
    let rows: Vec<Vec<_>> = ended
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let [titles, failed, succeeded] = rows.as_slice() else {
        panic!("{}", ended.stdout);
    };
    assert_eq!(titles[0], "COUNT");
    // Failures come first. Between result and process: three times.
    assert_eq!(failed[..2], ["2", "ECONNREFUSED"]);
    assert_eq!(failed[5..], [&comm(), "tcp", "127.0.0.1:1"]);
    assert_eq!(succeeded[..2], ["3", "associated"]);
    assert_eq!(succeeded[5..], [&comm(), "udp", "127.0.0.1:9"]);
    let totals = ended.totals();
    assert_eq!((totals.events, totals.failed, totals.lost), (5, 2, 0));
}

/// Rows make no queue: what a reader who does not read would lose as events is all in them.
#[test]
fn of_many_connects_is_one_row() {
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--summary", "--output", "json"]);
    let running = Agent::start(command.args(traffic.filter())).unwrap();
    running.ready().unwrap();
    traffic.connect(1000);
    assert_eq!(running.stdout.text(), "", "nothing before the end");
    running.signal(Signal::INT).unwrap();

    let ended = running.end().unwrap();
    ended.assert_code(0);
    let page: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(page["event"], "summary");
    assert_eq!((&page["events"], &page["lost"]), (&1000.into(), &0.into()));
    let rows = page["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{page}");
    let row = &rows[0];
    assert_eq!(row["count"], 1000);
    assert_eq!(row["errno"], 0);
    assert_eq!(row["destination"], "127.0.0.1:9");
    let [median, p99, max] =
        ["median", "p99", "max"].map(|key| row[format!("duration_ns.{key}")].as_u64().unwrap());
    assert!(0 < median && median <= p99 && p99 <= max, "{page}");
    assert_eq!(ended.totals().events, 1000);
}

/// The same destination by several transports is several rows; by IPv4 and by an IPv4-mapped address it is one.
#[test]
fn of_each_transport_is_a_row() {
    let script = "s = lambda family, kind, ip: socket.socket(family, kind).connect_ex((ip, 9)); \
                  four, six, stream, datagram = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM; \
                  s(four, stream, '127.0.0.1'); s(six, stream, '::ffff:127.0.0.1'); \
                  s(four, datagram, '127.0.0.1'); s(six, datagram, '::ffff:127.0.0.1'); \
                  s(six, stream, '::1'); s(six, datagram, '::1')";
    let rows = |format: &str| {
        let mut command = agent(["run", "--summary", "--output", format, "-o", "-", "--"]);
        command.args(connecting(script));
        let ended = end(&mut command);
        ended.assert_code(0);
        ended.stdout
    };
    let table = rows("table");
    let words = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        [0, 1, 6, 7].map(|at| words[at].to_owned())
    };
    let mut found: Vec<_> = table.lines().skip(1).map(words).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ["1", "ECONNREFUSED", "tcp6", "[::1]:9"],
            ["1", "associated", "udp6", "[::1]:9"],
            ["2", "ECONNREFUSED", "tcp", "127.0.0.1:9"],
            ["2", "associated", "udp", "127.0.0.1:9"],
        ],
        "{table}"
    );
    let page: Value = serde_json::from_str(&rows("json")).unwrap();
    let mut found: Vec<_> = page["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            ["network.transport", "socket.type", "address.family"]
                .map(|key| row[key].as_str().unwrap())
        })
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ["tcp", "stream", "AF_INET"],
            ["tcp", "stream", "AF_INET6"],
            ["udp", "dgram", "AF_INET"],
            ["udp", "dgram", "AF_INET6"],
        ],
        "{page}"
    );
}

#[test]
fn of_nothing_is_there_too() {
    let ended = run(["run", "-o", "-", "--summary", "--", "true"]);
    ended.assert_code(0);
    assert_eq!(ended.stdout.lines().count(), 1, "the titles");
    let ended = run([
        "run",
        "-o",
        "-",
        "--summary",
        "--output",
        "json",
        "--",
        "true",
    ]);
    ended.assert_code(0);
    let page: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(page["rows"], Value::Array(Vec::new()));
}

/// And as many connects as were asked for end it.
#[test]
fn of_a_count_of_connects() {
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--summary", "--count", "10"]);
    let running = Agent::start(command.args(traffic.filter())).unwrap();
    running.ready().unwrap();
    traffic.connect(100);
    let ended = running.end().unwrap();
    ended.assert_code(0);
    assert_eq!(ended.totals().events, 10);
    let row = ended.stdout.lines().nth(1).unwrap();
    assert!(row.trim_start().starts_with("10 associated "), "{row}");
}

/// And what each of the results means, once.
#[test]
fn explained_below() {
    let mut command = agent(["run", "--summary", "--explain", "-o", "-", "--"]);
    command.args(connecting("udp(9); tcp(1, 2); in_child(lambda: tcp(3))"));
    let ended = end(&mut command);
    ended.assert_code(0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    let hints: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("  ECONN"))
        .collect();
    assert_eq!(hints.len(), 1, "{}", ended.stdout);
    assert!(hints[0].starts_with("  ECONNREFUSED: "), "{}", hints[0]);
    // At the end, as many as there are results.
    let last: Vec<_> = lines.iter().rev().take(2).collect();
    assert_eq!(last[1], hints[0], "{}", ended.stdout);
    assert!(last[0].starts_with("  associated: "), "{}", ended.stdout);
}
