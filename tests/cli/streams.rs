//! Which stream gets what: the events of `run` leave standard output to its command, and the agent says about
//! itself as much as was asked for.

use std::{
    fs,
    io::pipe,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    ended::{agent, end, run},
    support::{agent::Agent, stream::Stream},
    terminal::terminal,
    traffic::Traffic,
    workload::{THREE, connecting},
};

/// As strace does.
#[test]
fn run_writes_its_events_to_standard_error() {
    let mut command = agent(["run", "--"]);
    let script = format!("say('the command'); {THREE}; say('says this')");
    command.args(connecting(&script));
    let ended = end(&mut command);
    ended.assert_code(0);
    assert_eq!(ended.stdout, "the command\nsays this\n");
    let kinds: Vec<_> = ended
        .stderr
        .lines()
        .filter(|line| !line.starts_with("note: "))
        .map(|line| {
            let end = line.rsplit(' ').next().unwrap();
            end.strip_prefix("127.0.0.1:")
                .map_or_else(|| line.split([':', ' ']).next().unwrap(), |port| port)
        })
        .collect();
    assert_eq!(
        kinds,
        ["ready", "TIME", "--", "9", "1", "10", "totals"],
        "{}",
        ended.stderr
    );
}

#[test]
fn run_writes_json_and_summaries_to_standard_error_too() {
    for (options, expected) in [
        (
            &["--output", "json"][..],
            &["notice", "connect", "notice"][..],
        ),
        (&["--output", "json", "--summary"], &["summary"]),
    ] {
        let mut command = agent(["run"]);
        command.args(options).arg("--").args(connecting("udp(9)"));
        let ended = end(&mut command);
        ended.assert_code(0);
        assert_eq!(ended.stdout, "");
        assert_eq!(kinds(&ended.stderr), expected, "{}", ended.stderr);
    }
}

/// The kinds of the events among these lines.
fn kinds(lines: &str) -> Vec<String> {
    let events = lines.lines().filter(|line| line.starts_with('{'));
    events
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect()
}

/// For all that write events.
#[test]
fn a_dash_is_standard_output() {
    for command in ["trace", "export"] {
        let mut traffic = Traffic::start();
        let mut words = agent([command, "-o", "-", "--output", "json"]);
        let running = Agent::start(words.args(traffic.filter())).unwrap();
        running.ready().unwrap();
        traffic.connect(1);
        running.signal(Signal::INT).unwrap();
        let ended = running.end().unwrap();
        ended.assert_code(0);
        assert_eq!(kinds(&ended.stdout), ["notice", "connect", "notice"]);
        assert_eq!(kinds(&ended.stderr), [""; 0]);
        assert!(fs::metadata("-").is_err(), "a file of that name");
    }
    let ended = run(["run", "-o", "-", "--output", "json", "--", "true"]);
    ended.assert_code(0);
    assert_eq!(kinds(&ended.stdout), ["notice"; 2]);
    assert_eq!(kinds(&ended.stderr), [""; 0]);
}

/// Colour and width follow the stream that is written to, whatever the other one is.
#[test]
fn the_table_looks_at_its_own_stream() {
    let titles = |options: &[&str]| -> Command {
        let mut command = agent(["run"]);
        command.args(options).args(["--", "true"]);
        command
    };
    let colour = "\x1b[2mTIME ";
    // Standard error is a terminal, standard output is not.
    let (near, far) = terminal(80);
    let screen = Stream::of(near);
    let mut command = titles(&[]);
    let mut child = command.stdout(Stdio::null()).stderr(far).spawn().unwrap();
    drop(command);
    assert!(child.wait().unwrap().success());
    let shown = screen
        .wait_for("totals", |text| text.contains("totals: "))
        .unwrap();
    assert!(shown.contains(colour), "{shown:?}");
    let narrow = shown.lines().find(|line| line.contains("TIME ")).unwrap();
    assert!(narrow.find("DESTINATION").unwrap() < 70, "{narrow:?}");
    // The other way round.
    let (_near, far) = terminal(80);
    let running = Agent::start_to(&mut titles(&[]), far).unwrap();
    let ended = running.end().unwrap();
    let wide = ended.stderr.lines().find(|line| line.starts_with("TIME "));
    assert!(wide.unwrap().find("DESTINATION").unwrap() >= 70, "{wide:?}");
    // A terminal by its path.
    let (near, far) = terminal(80);
    let screen = Stream::of(near);
    let path = rustix::termios::ttyname(&far, Vec::new()).unwrap();
    end(&mut titles(&["-o", path.to_str().unwrap()])).assert_code(0);
    screen
        .wait_for("colours", |text| text.contains(colour))
        .unwrap();
}

/// The reader of the events of `run` may leave, which is the end of the observation and not of the command.
#[test]
fn run_survives_that_nobody_reads_standard_error() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = agent(["run", "--"]);
    command.args(connecting("udp(9); sys.exit(4)"));
    let mut child = command.stderr(writer).spawn().unwrap();
    drop(command);
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn the_start_line_says_what_is_observed() {
    let traffic = Traffic::start();
    let pid = traffic.pid();
    let process = format!("ready: observing process {pid}");
    let pid = pid.to_string();
    for (words, expected) in [
        (
            &["trace"][..],
            "ready: observing every connect of this host; end with ^C".to_owned(),
        ),
        (
            &["trace", "--pid", &pid, "--failed", "--family", "inet"],
            format!("{process}, only failures, only AF_INET; end with ^C"),
        ),
        (
            &["trace", "--pid", &pid, "--uid", "0"],
            format!("{process}, only user 0; end with ^C"),
        ),
        (
            &["export", "--uid", "1000", "--listen", "127.0.0.1:9799"],
            "ready: metrics of every connect of user 1000 on http://127.0.0.1:9799/metrics; end with ^C"
                .to_owned(),
        ),
        (
            &["export", "--output", "json", "--pid", &pid],
            format!("{process}; end with ^C"),
        ),
    ] {
        let ended = end(agent(words).args(["--duration", "0.1"]));
        ended.assert_code(0);
        let line = ended.stderr.lines().find(|line| line.starts_with("ready"));
        assert_eq!(line, Some(&*expected), "{}", ended.stderr);
    }
    let ended = run(["run", "--failed", "--", "true", "--argument"]);
    let line =
        "ready: observing true and all that it starts, only failures; ends with the command\n";
    assert!(ended.stderr.contains(line), "{}", ended.stderr);
}

/// What is not seen is one line, whatever it is.
#[test]
fn one_line_says_what_is_not_seen() {
    let ended = run([
        "trace",
        "--hooks",
        "tracepoint",
        "--skip-io-uring",
        "--duration",
        "0.1",
    ]);
    ended.assert_code(0);
    let notes: Vec<_> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("note: "))
        .collect();
    let [note] = notes.as_slice() else {
        panic!("{}", ended.stderr);
    };
    for name in [
        "compat (",
        "io_uring (",
        "address (",
        "connect-observer check",
    ] {
        assert!(note.contains(name), "{name}: {note}");
    }
}

#[test]
fn quiet_leaves_events_and_errors() {
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--quiet", "--count", "1", "--output", "json"]);
    let running = Agent::start(command.args(traffic.filter())).unwrap();
    running
        .stdout
        .wait_for("start", |text| text.contains("\"notice\":\"start\""))
        .unwrap();
    traffic.connect(1);
    let ended = running.end().unwrap();
    ended.assert_code(0);
    assert_eq!(ended.stderr, "");
    assert_eq!(kinds(&ended.stdout), ["notice", "connect", "notice"]);

    let mut command = agent(["run", "-q", "--"]);
    let ended = end(command.args(connecting("udp(9)")));
    ended.assert_code(0);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(
        matches!(lines[..], [titles, _date, row] if titles.starts_with("TIME ") && row.ends_with(":9")),
        "{}",
        ended.stderr
    );

    let ended = run(["export", "--quiet", "--duration", "0.1"]);
    ended.assert_code(0);
    assert_eq!(ended.stderr, "");

    let ended = run(["run", "--quiet", "-o", "/dev/full", "--", "true"]);
    ended.assert_code(1);
    assert!(ended.only_line().starts_with("error: "), "{}", ended.stderr);
}

#[test]
fn a_process_that_is_not_there_is_wrong_usage() {
    let mut gone = Command::new("true").spawn().unwrap();
    let pid = gone.id().to_string();
    gone.wait().unwrap();
    for command in ["trace", "export"] {
        let ended = run([command, "--pid", &pid]);
        ended.assert_code(2);
        let line = ended.only_line();
        let begin = format!("error: --pid {pid}: there is no such process; ");
        assert!(line.starts_with(&begin), "{line}");
    }
}

#[test]
fn a_thread_is_no_process() {
    let (here, keep) = pipe().unwrap();
    let (mut ids, id) = pipe().unwrap();
    let thread = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        (&id).write_all(&tid.to_ne_bytes()).unwrap();
        let _end = (&here).read(&mut [0]).unwrap();
    });
    let mut tid = [0; 4];
    std::io::Read::read_exact(&mut ids, &mut tid).unwrap();
    let tid = i32::from_ne_bytes(tid);
    let ended = run(["trace", "--pid", &tid.to_string()]);
    drop(keep);
    thread.join().unwrap();
    ended.assert_code(2);
    let line = ended.only_line();
    let process = format!("a thread of process {}", std::process::id());
    assert!(line.contains(&process), "{line}");
}

/// It may end while it is observed.
#[test]
fn a_process_that_ends_is_no_error() {
    let traffic = Traffic::start();
    let mut command = agent(["trace"]);
    let running = Agent::start(command.args(traffic.filter())).unwrap();
    running.ready().unwrap();
    drop(traffic);
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    ended.assert_no_error();
}
