//! `--explain`: under a failure, what it usually means.

use crate::{
    ended::{agent, end},
    workload::connecting,
};

/// Once per errno and process, not once per failure.
#[test]
fn under_a_failure_is_said_once() {
    let mut command = agent(["run", "-o", "-", "--explain", "--"]);
    command.args(connecting("tcp(1, 2); in_child(lambda: tcp(3))"));
    let ended = end(&mut command);
    ended.assert_code(0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    let [_, first, hint, second, third, again] = lines.as_slice() else {
        panic!("{}", ended.stdout);
    };
    for (line, port) in [(first, 1), (second, 2), (third, 3)] {
        assert!(line.ends_with(&format!(" 127.0.0.1:{port}")), "{line}");
    }
    // The child is a process of its own.
    for line in [hint, again] {
        let said = line.strip_prefix("  ECONNREFUSED: ").unwrap();
        assert!(!said.is_empty());
    }
}
