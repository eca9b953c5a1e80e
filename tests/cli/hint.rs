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
    let [_, _, first, hint, second, third, again] = lines.as_slice() else {
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

/// What a program gives up is said with how long it had waited; a call that never returned, and what it had begun,
/// are one thing. Nobody hears what is sent to the listener.
#[test]
fn under_what_was_given_up_is_said_how_long_it_took() {
    const PROGRAM: &str = "
import ctypes
deaf = socket.socket()
deaf.bind(('127.0.0.1', 0))
class Program(ctypes.Structure):
    _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
nothing = ctypes.create_string_buffer(bytes([6, 0, 0, 0, 0, 0, 0, 0]), 8)
program = Program(1, ctypes.cast(nothing, ctypes.c_void_p))
deaf.setsockopt(socket.SOL_SOCKET, 26, bytes(program))
deaf.listen()
def given_up():
    peer = socket.socket()
    peer.settimeout(0.05)
    peer.connect_ex(deaf.getsockname())
given_up()
given_up()
child = os.fork()
if child == 0:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    socket.socket().connect(deaf.getsockname())
os.waitpid(child, 0)
";
    let mut command = agent(["run", "--explain", "-o", "-", "--"]);
    let ended = end(command.args(connecting(PROGRAM)));
    ended.assert_code(0);
    let hints: Vec<_> = ended
        .stdout
        .lines()
        .filter(|line| line.starts_with("  "))
        .collect();
    let [given_up, killed] = hints.as_slice() else {
        panic!("{}", ended.stdout);
    };
    let took = given_up
        .strip_prefix("  abandoned: no answer for ")
        .unwrap();
    assert!(took.ends_with("ms, then the program gave up"), "{took}");
    assert!(killed.starts_with("  killed: "), "{killed}");
}
