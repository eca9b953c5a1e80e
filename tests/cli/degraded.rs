//! What is left where the kernel does not show everything.

use serde_json::Value;

use crate::{
    circumstances::without_btf,
    ended::{agent, end},
    workload::connecting,
};

/// An attempt that is refused, and one that is established.
const ATTEMPTS: &str = "
import select

def attempt(address):
    peer = socket.socket()
    peer.setblocking(False)
    peer.connect_ex(address)
    select.select([], [peer], [])
    peer.close()

attempt(('127.0.0.1', 1))
server = socket.create_server(('127.0.0.1', 0))
attempt(server.getsockname())
";

#[test]
fn outcomes_have_no_errno_without_btf() {
    let mut command = agent(["run", "-o", "-", "--output", "json", "--"]);
    command.args(connecting(ATTEMPTS));
    without_btf(&mut command);
    let ended = end(&mut command);
    ended.assert_code(0);
    let note = "outcome (why an attempt fails";
    assert!(ended.stderr.contains(note), "{}", ended.stderr);

    let events: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| -> Vec<&Value> {
        let events = events.iter();
        events.filter(|event| event["event"] == kind).collect()
    };
    let (calls, outcomes) = (of("connect"), of("outcome"));
    assert_eq!((calls.len(), outcomes.len()), (2, 2), "{}", ended.stdout);
    for (call, outcome) in calls.iter().zip(&outcomes) {
        assert_eq!(call["unsettled"], true, "{call}");
        assert_eq!(call["id"], outcome["id"]);
        assert!(outcome["network.local.port"].is_u64(), "{outcome}");
    }
    assert_eq!(outcomes[0]["outcome"], "failed");
    assert_eq!(outcomes[0]["errno"], Value::Null, "nobody knows");
    assert_eq!(outcomes[1]["outcome"], "established");
    assert_eq!(outcomes[1]["errno"], 0);
}

#[test]
fn check_says_what_is_lost_without_btf() {
    let mut command = agent(["check"]);
    without_btf(&mut command);
    let ended = end(&mut command);
    ended.assert_code(0);
    let mut lines = ended.stdout.lines();
    let line = lines.find(|line| line.starts_with("outcome "));
    let line = line.expect("a line about outcomes");
    assert!(line.contains("not seen: why an attempt fails"), "{line}");
    assert!(line.contains("/sys/kernel/btf/vmlinux"), "{line}");
}
