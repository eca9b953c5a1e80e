//! `run --follow`: what the command leaves behind is observed to its end.

use std::{
    fs,
    io::{Write as _, pipe},
    process::Stdio,
};

use rustix::process::Signal;

use crate::{
    ended::agent,
    support::{agent::Agent, wait},
    workload::connecting,
};

/// A daemon: it has another session, its parent is gone, and it waits for a word.
const DAEMON: &str = "
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        wait_for_go()
        udp(20)
        os._exit(3)
    os._exit(0)
udp(10)
sys.exit(7)
";

fn ports(events: &str) -> Vec<u64> {
    events
        .lines()
        .filter(|line| line.contains("\"event\":\"connect\""))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| event["network.peer.port"].as_u64().unwrap())
        .collect()
}

fn follow(script: &str) -> Agent {
    let mut command = agent(["run", "--follow", "--output", "json", "--"]);
    Agent::start(command.args(connecting(script)).stdin(Stdio::piped())).unwrap()
}

const LEFT: &str = "note: the command has ended; tasks that it left behind are observed until";

#[test]
fn daemons_are_observed_to_their_end() {
    let mut running = follow(DAEMON);
    running.says(LEFT).unwrap();
    assert!(running.runs().unwrap());
    running.stdin().unwrap().write_all(b"go\n").unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(7);
    assert_eq!(ports(&ended.stderr), [10, 20], "{}", ended.stderr);
    assert_eq!(ended.totals().events, 2);
}

#[test]
fn a_signal_ends_it_with_the_status_of_the_command() {
    for signal in [Signal::INT, Signal::TERM] {
        let running = follow(DAEMON);
        running.says(LEFT).unwrap();
        running.signal(signal).unwrap();
        let ended = running.end().unwrap();
        ended.assert_code(7);
        assert_eq!(ports(&ended.stderr), [10]);
        assert!(
            ended.stderr.contains("observed no more") || ended.stderr.contains("totals: "),
            "{}",
            ended.stderr
        );
    }
}

/// Before the command has ended, a signal is the command's affair.
#[test]
fn a_signal_is_passed_on_while_the_command_runs() {
    let (never, keep) = pipe().unwrap();
    let mut command = agent(["run", "--follow", "-o", "/dev/null", "--"]);
    command.args(["sh", "-c", "echo begun; exec cat"]);
    let running = Agent::start(command.stdin(never)).unwrap();
    running
        .stdout
        .wait_for("begun", |text| text.contains("begun"))
        .unwrap();
    running.signal(Signal::TERM).unwrap();
    running.end().unwrap().assert_code(128 + 15);
    drop(keep);
}

/// Nothing is left: it ends as without the option.
#[test]
fn a_command_that_leaves_nothing_ends_it() {
    let running = follow("udp(9); in_child(lambda: udp(10)); sys.exit(5)");
    let ended = running.end().unwrap();
    ended.assert_code(5);
    assert_eq!(ports(&ended.stderr), [9, 10]);
    assert!(!ended.stderr.contains(LEFT), "{}", ended.stderr);
}

/// A thread of another process is a task as well, and so is what a daemon starts later.
#[test]
fn children_of_what_is_left_are_followed() {
    let script = "
import threading
if os.fork() == 0:
    wait_for_go()
    thread = threading.Thread(target=lambda: in_child(lambda: udp(30)))
    thread.start()
    thread.join()
    os._exit(0)
sys.exit(0)
";
    let mut running = follow(script);
    running.says(LEFT).unwrap();
    running.stdin().unwrap().write_all(b"go\n").unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    assert_eq!(ports(&ended.stderr), [30]);
}

/// Its file is rotated while a daemon goes on for days.
#[test]
fn a_hangup_reopens_the_file_while_it_follows() {
    let folder = tempfile::TempDir::new().unwrap();
    let [file, old] = ["events", "events.1"].map(|name| folder.path().join(name));
    let mut command = agent(["run", "--follow", "--output", "json", "-o"]);
    command.arg(&file).arg("--").args(connecting(DAEMON));
    let mut running = Agent::start(command.stdin(Stdio::piped())).unwrap();
    running.says(LEFT).unwrap();
    fs::rename(&file, &old).unwrap();
    running.signal(Signal::HUP).unwrap();
    wait::until_true("a new file", || Ok(file.exists())).unwrap();
    running.stdin().unwrap().write_all(b"go\n").unwrap();
    running.end().unwrap().assert_code(7);
    let [new, old] = [file, old].map(|file| ports(&fs::read_to_string(file).unwrap()));
    assert_eq!((old, new), (vec![10], vec![20]));
}
