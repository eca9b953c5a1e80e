//! `run`: the command is started as if the agent were not there, and decides the exit status.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Permissions},
    io::{Write as _, pipe},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::PermissionsExt as _,
    },
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::{
    circumstances::without_hangups,
    ended::{agent, end, run, run_all},
    support::{agent::Agent, process::detached, wait},
    workload::{THREE, connecting},
};

/// Runs a command and keeps the events out of its standard output.
fn silently<A: AsRef<OsStr>>(command: impl IntoIterator<Item = A>) -> Command {
    let mut agent = agent(["run", "--output-file", "/dev/null", "--"]);
    agent.args(command);
    agent
}

fn connects(json: &str) -> Vec<Value> {
    json.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "connect")
        .collect()
}

#[test]
fn ends_with_the_status_of_the_command() {
    let cases = [
        ("sys.exit(0)", 0),
        ("sys.exit(1)", 1),
        ("sys.exit(2)", 2),
        ("sys.exit(7)", 7),
        ("sys.exit(255)", 255),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
        ("os.kill(os.getpid(), signal.SIGTERM)", 128 + 15),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 128 + 11),
    ];
    let commands = cases.map(|(script, _)| silently(connecting(script)));
    for ((script, code), ended) in cases.into_iter().zip(run_all(commands)) {
        ended.assert_code(code);
        ended.assert_no_error();
        assert_eq!(ended.totals().events, 0, "{script}");
    }
}

#[test]
fn says_in_one_line_what_cannot_be_started() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, content: &str, mode| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.into_os_string()
    };
    let script = file("script", "#!/bin/sh\n", 0o644);
    let orphan = file("orphan", "#!/no/such/interpreter\n", 0o755);
    let nonsense = file("nonsense", "\x7fELF and no more", 0o755);
    let cases = [
        (OsStr::new("no-such-command"), 127, "no such command"),
        (OsStr::new(""), 127, "no such command"),
        (OsStr::new("/no/such/command"), 127, "no such file"),
        (OsStr::new("/"), 126, "Permission denied"),
        (&script, 126, "Permission denied"),
        (&orphan, 126, "the interpreter"),
        (&nonsense, 126, "Exec format error"),
    ];
    let commands = cases.map(|(command, ..)| silently([command]));
    for ((command, code, reason), ended) in cases.into_iter().zip(run_all(commands)) {
        ended.assert_code(code);
        let line = ended.only_error();
        let name = command.to_str().unwrap();
        assert!(line.contains(name) && line.contains(reason), "{line}");
        assert!(!line.contains("os error"), "{line}");
    }
}

/// The first word that is no option is the command, and all that follows belongs to it.
#[test]
fn needs_no_dashes_in_front_of_the_command() {
    let output = NamedTempFile::new().unwrap();
    let mut command = agent(["run", "--output-file", "/dev/null", "--hooks", "tracepoint"]);
    command.args(["sh", "-c", "printf '%s,' \"$0\" \"$@\"; exit 7"]);
    command.args(["--count", "3", "--", "-o", "--help", "--log-level", "run"]);
    let ended = Agent::start_to(&mut command, output.reopen().unwrap())
        .unwrap()
        .end()
        .unwrap();
    ended.assert_code(7);
    let written = fs::read_to_string(output.path()).unwrap();
    assert_eq!(written, "--count,3,--,-o,--help,--log-level,run,");
}

/// A name that cannot be started is text that somebody else may have chosen.
#[test]
fn says_safely_what_cannot_be_started() {
    let name = OsStr::from_bytes(b"/no/\x1b[31m\nerror: forged\xff");
    let ended = end(&mut silently([name]));
    ended.assert_code(127);
    let line = ended.only_error();
    assert!(!line.contains('\x1b'), "{line:?}");
}

/// Without one, the stream would begin and never end.
#[test]
fn ends_the_stream_of_a_command_that_cannot_be_started() {
    let ended = run([
        "run",
        "-o",
        "-",
        "--output",
        "json",
        "--",
        "no-such-command",
    ]);
    ended.assert_code(127);
    let notices = |name| ended.stdout.matches(name).count();
    assert_eq!(notices("start"), notices("stop"), "{}", ended.stdout);
}

#[test]
fn hands_over_the_streams() {
    let input = b"bytes \0\xff\n\nand no newline at the end";
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let output = NamedTempFile::new().unwrap();

    let mut command = silently(["sh", "-c", "cat; echo to standard error >&2"]);
    let to = File::create(output.path()).unwrap();
    let ended = Agent::start_to(command.stdin(file), to)
        .unwrap()
        .end()
        .unwrap();

    ended.assert_code(0);
    assert_eq!(fs::read(output.path()).unwrap(), input);
    assert!(ended.stderr.contains("to standard error\n"));
}

#[test]
fn hands_over_the_arguments() {
    let all: String = (1..=127_u8).map(char::from).collect();
    let arguments = [
        "-x", "--count", "3", "--", "", " ", "a b", "--help", "$HOME", "*", "é", &all,
    ]
    .map(OsString::from);
    let invalid = OsString::from_vec(b"not \xff\xfe UTF-8".to_vec());
    let arguments: Vec<_> = arguments.into_iter().chain([invalid]).collect();
    let output = NamedTempFile::new().unwrap();

    let mut command = silently(["sh", "-c", "printf '%s\\0' \"$0\" \"$@\""]);
    command.args(&arguments);
    let ended = Agent::start_to(&mut command, output.reopen().unwrap())
        .unwrap()
        .end()
        .unwrap();

    ended.assert_code(0);
    let expected: Vec<_> = arguments
        .iter()
        .flat_map(|argument| [argument.as_bytes(), b"\0"].concat())
        .collect();
    assert_eq!(fs::read(output.path()).unwrap(), expected);
}

/// What a process has besides: environment, folder, descriptors, signals that it ignores or
/// blocks, limits, priority, name of its session and so on.
#[test]
fn changes_nothing_else() {
    const SCRIPT: &str = "env -0 | sort -z | tr '\\0' '\\n'; pwd; umask; ulimit -a; nice; \
        ls /proc/self/fd; grep -E '^(Sig|Cap|Uid|Gid|Groups|NoNewPrivs|Seccomp)' /proc/self/status";
    let prepare = |command: &mut Command| {
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("EMPTY", "")
            .env("LINES", "one\ntwo")
            .env("NO_COLOR", "1")
            .current_dir("/proc");
    };
    let mut direct = Command::new("bash");
    direct.args(["-c", SCRIPT]).stdin(Stdio::null());
    detached(&mut direct);
    prepare(&mut direct);
    let mut observed = silently(["bash", "-c", SCRIPT]);
    prepare(&mut observed);

    let [direct, observed] = run_all([direct, observed]).try_into().ok().unwrap();
    observed.assert_code(0);
    // How many signals are queued is the user's affair. And where glibc can spawn without fork, it
    // ignores the two signals of its own threads, 32 and 33.
    let lines = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with("SigQ"))
            .map(|line| match line.split_once("SigIgn:\t") {
                Some((_, mask)) => {
                    let mask = u64::from_str_radix(mask, 16).unwrap() & !0x1_8000_0000;
                    format!("ignored {mask:x}")
                }
                None => line.to_owned(),
            })
            .collect()
    };
    assert_eq!(lines(&observed.stdout), lines(&direct.stdout));
}

#[test]
fn shows_the_connects_of_the_command_and_its_children() {
    let script =
        format!("{THREE}; in_child(lambda: udp(11)); os.execvp(sys.argv[1], sys.argv[1:])");
    let mut command = agent(["run", "-o", "-", "--output", "json", "--"]);
    command.args(connecting(&script)).args(connecting(THREE));
    let ended = end(&mut command);
    ended.assert_code(0);
    let ports: Vec<_> = connects(&ended.stdout)
        .iter()
        .map(|event| event["network.peer.port"].as_u64().unwrap())
        .collect();
    assert_eq!(ports, [9, 1, 10, 11, 9, 1, 10]);
    let totals = ended.totals();
    assert_eq!((totals.events, totals.failed), (7, 2));
    assert_eq!((totals.open, totals.lost), (0, 0));
}

#[test]
fn shows_only_what_the_filters_let_through() {
    let script = format!("{THREE}; udp6(12)");
    let cases = [
        (&["--failed"][..], &[1][..]),
        (&["--family", "inet6"], &[12]),
        (&["--family", "AF_INET"], &[9, 1, 10]),
        (&["--family", "2", "--failed"], &[1]),
        (&["--family", "unix"], &[]),
        (&["--uid", "0"], &[9, 1, 10, 12]),
        (&["--uid", "1"], &[]),
    ];
    let commands = cases.map(|(filter, _)| {
        let mut command = agent(["run", "-o", "-", "--output", "json"]);
        command.args(filter).arg("--").args(connecting(&script));
        command
    });
    for ((filter, expected), ended) in cases.into_iter().zip(run_all(commands)) {
        ended.assert_code(0);
        let ports: Vec<_> = connects(&ended.stdout)
            .iter()
            .map(|event| event["network.peer.port"].as_u64().unwrap())
            .collect();
        assert_eq!(ports, expected, "{filter:?}");
        assert_eq!(
            ended.totals().events,
            u64::try_from(expected.len()).unwrap()
        );
    }
}

/// The observation ends, the command goes on, and still decides the status.
#[test]
fn waits_for_the_command_after_enough_connects() {
    let script = format!("{THREE}; wait_for_go(); {THREE}; sys.exit(3)");
    let mut command = agent(["run", "-o", "-", "--count", "1", "--output", "json", "--"]);
    command.args(connecting(&script));
    let mut running = Agent::start(command.stdin(Stdio::piped())).unwrap();

    running
        .stderr
        .wait_for("totals", |text| text.contains("totals:"))
        .unwrap();
    assert!(running.runs().unwrap(), "the command has not ended");
    running.stdin().unwrap().write_all(b"go\n").unwrap();

    let ended = running.end().unwrap();
    ended.assert_code(3);
    assert_eq!(connects(&ended.stdout).len(), 1);
    assert_eq!(ended.totals().events, 1);
}

#[test]
fn waits_for_the_command_after_its_time() {
    let arguments = ["run", "--duration", "0.1", "--", "sh", "-c"];
    let mut command = agent(arguments);
    let mut running = Agent::start(command.arg("read go; exit 4").stdin(Stdio::piped())).unwrap();

    running
        .stderr
        .wait_for("totals", |text| text.contains("totals:"))
        .unwrap();
    assert!(running.runs().unwrap(), "the command has not ended");
    running.stdin().unwrap().write_all(b"go\n").unwrap();

    running.end().unwrap().assert_code(4);
}

#[test]
fn waits_for_the_command_when_nobody_reads_any_more() {
    let (reader, writer) = pipe().unwrap();
    let script = format!("wait_for_go(); {THREE}; say('made', 2); wait_for_go(); sys.exit(5)");
    let mut command = agent(["run", "-o", "-", "--"]);
    command.args(connecting(&script));
    let mut running = Agent::start_to(command.stdin(Stdio::piped()), writer).unwrap();
    let mut stdin = running.stdin().unwrap();

    drop(reader);
    stdin.write_all(b"go\n").unwrap();
    running
        .stderr
        .wait_for("totals", |text| text.contains("totals:"))
        .unwrap();
    assert!(running.runs().unwrap(), "the command has not ended");
    stdin.write_all(b"go\n").unwrap();

    let ended = running.end().unwrap();
    ended.assert_code(5);
    ended.assert_no_error();
}

/// nohup(1) starts the agent, and means the command.
#[test]
fn leaves_a_hangup_ignored() {
    let mut command = silently(["grep", "SigIgn", "/proc/self/status"]);
    without_hangups(&mut command);
    let ended = end(&mut command);
    ended.assert_code(0);
    let mask = ended.stdout.trim().rsplit('\t').next().unwrap();
    let mask = u64::from_str_radix(mask, 16).unwrap();
    assert_eq!(mask & 1, 1, "SIGHUP is signal 1: {}", ended.stdout);
}

/// A service manager, `timeout` or `kill` ends the agent and means the command.
#[test]
fn passes_signals_on() {
    let observed = [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
    ]
    .map(|(signal, name)| {
        let script = format!("trap 'echo got it; exit 9' {name}; echo begun; read never");
        let (never, keep) = pipe().unwrap();
        let mut command = silently(["bash", "-c", &script]);
        let running = Agent::start(command.stdin(never)).unwrap();
        (signal, running, keep)
    });
    for (signal, running, keep) in observed {
        running
            .stdout
            .wait_for("begun", |text| text.contains("begun"))
            .unwrap();
        running.signal(signal).unwrap();
        let ended = running.end().unwrap();
        ended.assert_code(9);
        assert_eq!(ended.stdout, "begun\ngot it\n");
        ended.totals();
        drop(keep);
    }
}

#[test]
fn tells_the_signal_that_it_passed_on() {
    let (never, keep) = pipe().unwrap();
    let mut command = silently(["sh", "-c", "echo begun; exec cat"]);
    let running = Agent::start(command.stdin(never)).unwrap();
    running
        .stdout
        .wait_for("begun", |text| text.contains("begun"))
        .unwrap();
    running.signal(Signal::TERM).unwrap();
    running.end().unwrap().assert_code(128 + 15);
    drop(keep);
}

/// A command that does not care goes on, observed.
#[test]
fn goes_on_when_the_command_does() {
    let script = format!(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); say('begun'); \
         signal.sigwait([signal.SIGTERM]); say('ignored'); wait_for_go(); {THREE}; sys.exit(6)"
    );
    let mut command = silently(connecting(&script));
    let mut running = Agent::start(command.stdin(Stdio::piped())).unwrap();
    running
        .stdout
        .wait_for("begun", |text| text.contains("begun"))
        .unwrap();

    running.signal(Signal::TERM).unwrap();
    running
        .stdout
        .wait_for("ignored", |text| text.contains("ignored"))
        .unwrap();
    assert!(running.runs().unwrap());
    running.stdin().unwrap().write_all(b"go\n").unwrap();

    let ended = running.end().unwrap();
    ended.assert_code(6);
    assert_eq!(ended.totals().events, 3);
}

/// A daemon that the command leaves behind is no reason to wait.
#[test]
fn does_not_wait_for_what_the_command_leaves_behind() {
    let (never, keep) = pipe().unwrap();
    let left = NamedTempFile::new().unwrap();
    let script = format!(
        "cat <&3 >/dev/null 2>&1 & echo $! >{}; exit 8",
        left.path().display()
    );
    let mut command = silently(["bash", "-c", &format!("exec 3<&0; ({script}) ")]);
    let ended = end(command.stdin(never));
    ended.assert_code(8);
    let note = "note: the command has ended; 1 task that it started still runs, and is observed no more (see --follow)\n";
    assert!(ended.stderr.contains(note), "{}", ended.stderr);
    drop(keep);
    // Its input has ended, so it does.
    let pid = fs::read_to_string(left.path()).unwrap();
    let process = format!("/proc/{}", pid.trim());
    wait::until_true("the end of what was left", || {
        Ok(fs::metadata(&process).is_err())
    })
    .unwrap();
}
