//! Commands for `run` that make the connects that the test knows, and no other.
//!
//! A shell is no such command: where its environment does not say who the user is, bash asks the
//! name service, which connects too. So does Python's `site`, which these do not load.

use std::{path::Path, process::Command, sync::OnceLock};

/// No environment variable and no file of the user has a say.
const ISOLATED: [&str; 3] = ["-I", "-S", "-c"];

/// The interpreter itself: what is found by its name may be a script that chooses one, by a shell.
fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let mut command = Command::new("python3");
        command
            .args(ISOLATED)
            .arg("import sys; print(sys.executable, end='')");
        let output = command.output().expect("python3 is installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    })
}

/// The name of the process that [`connecting`] starts.
pub(crate) fn comm() -> String {
    let name = Path::new(python()).file_name().unwrap();
    name.to_str().unwrap().chars().take(15).collect()
}

/// Three connects: two that succeed and, in between, one that fails.
pub(crate) const THREE: &str = "udp(9); tcp(1); udp(10)";

/// Addresses are numbers, so nothing is looked up.
const PRELUDE: &str = "
import os, signal, socket, sys

def connect(family, kind, host, ports):
    for port in ports:
        with socket.socket(family, kind) as peer:
            peer.connect_ex((host, port))

def udp(*ports):
    connect(socket.AF_INET, socket.SOCK_DGRAM, '127.0.0.1', ports)

def udp6(*ports):
    connect(socket.AF_INET6, socket.SOCK_DGRAM, '::1', ports)

def tcp(*ports):
    connect(socket.AF_INET, socket.SOCK_STREAM, '127.0.0.1', ports)

def in_child(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    os.waitpid(child, 0)

# Also for a signal handler, which may interrupt another one of these.
def say(word, to=1):
    os.write(to, word.encode() + b'\\n')

def wait_for_go():
    assert sys.stdin.readline() == 'go\\n'

";

/// The words of a command that runs this script, in which `udp(9, 10)`, `udp6(9)` and `tcp(1)`
/// connect to these ports of the loopback address.
pub(crate) fn connecting(script: &str) -> Vec<String> {
    let script = format!("{PRELUDE}{script}\n");
    [&[python()][..], &ISOLATED, &[&script]]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
}
