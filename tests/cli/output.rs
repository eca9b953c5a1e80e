//! Where the events go: readers that are slow, paused or gone, and disks that are full.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, pipe},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Mode, mknodat},
    io::ioctl_fionbio,
    process::Signal,
};
use tempfile::TempDir;

use crate::{
    circumstances::without_stdout,
    ended::{agent, full, run},
    support::{agent::Agent, stream::Stream, wait},
    traffic::Traffic,
};

/// `| head -1`.
#[test]
fn a_reader_who_leaves_ends_it() {
    for output in ["table", "json"] {
        let mut traffic = Traffic::start();
        let mut command = agent(["trace", "--output", output]);
        let (reader, writer) = pipe().unwrap();
        let mut running = Agent::start_to(command.args(traffic.filter()), writer).unwrap();
        running.ready().unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(reader);
        assert!(reader.read_line(&mut line).unwrap() > 0);
        drop(reader);

        let mut made = 0;
        wait::until_true("the end", || {
            traffic.connect(1);
            made += 1;
            Ok(!running.runs().unwrap())
        })
        .unwrap();
        let ended = running.end().unwrap();
        ended.assert_code(0);
        ended.assert_no_error();
        assert!(!ended.stderr.contains("roken pipe"), "{}", ended.stderr);
        let totals = ended.totals();
        assert!(totals.events + totals.lost <= made, "{}", ended.stderr);
        let closed = totals.reasons.get("output_closed").copied();
        assert_eq!(closed.unwrap_or(0), totals.lost, "{}", ended.stderr);
    }
}

/// A reader who left before the first line.
#[test]
fn nobody_ever_read() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = agent(["trace", "--duration", "1000"]);
    let ended = Agent::start_to(&mut command, writer)
        .unwrap()
        .end()
        .unwrap();
    ended.assert_code(0);
    ended.assert_no_error();
}

/// Standard error is for a person, who may have gone as well.
#[test]
fn standard_error_may_be_closed_too() {
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--count", "1000"]);
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let (mut output, stdout) = pipe().unwrap();
    command
        .args(traffic.filter())
        .stdout(stdout)
        .stderr(writer)
        .stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    // The titles come when the hooks are live.
    output.read_exact(&mut [0; 4]).unwrap();
    traffic.connect(1000);
    let mut rows = String::new();
    output.read_to_string(&mut rows).unwrap();
    assert_eq!(rows.matches("127.0.0.1:9").count(), 1000);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_full_disk_is_told_in_one_line() {
    let running = [
        &["trace", "--duration", "1000"][..],
        &["trace", "--duration", "1000", "--output", "json"],
        &["run", "-o", "-", "--", "true"],
        &["check"],
    ]
    .map(|arguments| {
        (
            arguments,
            Agent::start_to(&mut agent(arguments), full()).unwrap(),
        )
    });
    for (arguments, running) in running {
        let ended = running.end().unwrap();
        ended.assert_code(1);
        let line = ended.only_error();
        assert!(line.contains("No space left on device"), "{line}");
        assert!(line.contains("output"), "of what: {arguments:?}: {line}");
    }
}

#[test]
fn a_file_may_be_full() {
    let ended = run(["trace", "-o", "/dev/full", "--duration", "1000"]);
    ended.assert_code(1);
    let line = ended.only_error();
    assert!(line.contains("No space left on device"), "{line}");
    assert!(line.contains("/dev/full"), "which: {line}");
}

/// What a closed standard output means is settled before `main`: Rust opens `/dev/null` in its
/// place, so that no other descriptor, a BPF map for one, can take it.
#[test]
fn a_closed_standard_output_is_as_good_as_null() {
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--count", "1"]);
    without_stdout(command.args(traffic.filter()));
    let running = Agent::start_to(&mut command, Stdio::null()).unwrap();
    running.ready().unwrap();
    traffic.connect(1);
    let ended = running.end().unwrap();
    ended.assert_code(0);
    ended.assert_no_error();
    assert_eq!(ended.totals().events, 1);
}

/// What is not written to standard output needs none.
#[test]
fn a_closed_standard_output_does_not_matter_to_a_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--count", "1", "-o"]);
    command.arg(&file).args(traffic.filter());
    without_stdout(&mut command);
    let running = Agent::start_to(&mut command, Stdio::null()).unwrap();
    running.ready().unwrap();
    traffic.connect(1);
    running.end().unwrap().assert_code(0);
    let written = fs::read_to_string(file).unwrap();
    assert_eq!(written.matches("127.0.0.1:9").count(), 1, "{written}");
}

#[test]
fn a_file_takes_the_events_and_nothing_else() {
    const BEFORE: &str = "what was there before\n";
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    fs::write(&file, BEFORE).unwrap();
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--count", "3", "--output", "json", "--output-file"]);
    let running = Agent::start(command.arg(&file).args(traffic.filter())).unwrap();
    running.ready().unwrap();
    traffic.connect(3);
    let ended = running.end().unwrap();
    ended.assert_code(0);
    assert_eq!(ended.stdout, "");
    let written = fs::read_to_string(file).unwrap();
    let added = written.strip_prefix(BEFORE).unwrap();
    assert_eq!(added.lines().count(), 5, "{written}");
    assert!(
        added.lines().all(|line| line.starts_with("{\"event\":")),
        "{written}"
    );
}

#[test]
fn a_file_that_cannot_be_made_is_told_in_one_line() {
    for (file, reason) in [
        ("/no/such/folder/events", "No such file"),
        ("/proc", "Is a directory"),
    ] {
        let ended = run(["run", "-o", file, "--", "sh", "-c", "echo started"]);
        ended.assert_code(1);
        assert_eq!(ended.stdout, "", "the command was not started");
        let line = ended.only_line();
        assert!(line.contains(file) && line.contains(reason), "{line}");
    }
}

/// Whoever has enough of waiting can say so.
#[test]
fn a_fifo_that_nobody_opens_can_be_left() {
    let folder = TempDir::new().unwrap();
    let fifo = folder.path().join("fifo");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
    let mut command = agent(["trace", "-o"]);
    let running = Agent::start(command.arg(&fifo)).unwrap();
    let call = format!("/proc/{}/syscall", running.pid().unwrap().as_raw_nonzero());
    let open = format!("{} ", libc::SYS_openat);
    wait::until_true("a wait in open", || {
        Ok(fs::read_to_string(&call).unwrap().starts_with(&open))
    })
    .unwrap();
    running.signal(Signal::TERM).unwrap();
    running.end().unwrap();
}

/// A paused pager: events are dropped and counted, the kernel side never waits, memory does not
/// grow, and ^C ends it all the same.
#[test]
fn a_reader_who_does_not_read_stalls_nothing() {
    const MADE: u32 = 300_000;
    for output in ["table", "json"] {
        let mut traffic = Traffic::start();
        let mut command = agent(["trace", "--output", output]);
        let (mut reader, writer) = pipe().unwrap();
        let mut running = Agent::start_to(command.args(traffic.filter()), writer).unwrap();
        running.ready().unwrap();
        for _ in 0..10 {
            traffic.connect(MADE / 10);
        }
        let peak = running.status("VmHWM:").unwrap();
        let peak: u64 = peak.trim_end_matches(" kB").parse().unwrap();
        assert!(running.runs().unwrap());

        let asked = Instant::now();
        running.signal(Signal::INT).unwrap();
        let ended = running.end().unwrap();
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        ended.assert_code(0);
        ended.assert_no_error();

        let totals = ended.totals();
        assert_eq!(
            totals.events + totals.lost,
            u64::from(MADE),
            "{}",
            ended.stderr
        );
        assert!(
            totals.reasons.contains_key("output_full"),
            "{}",
            ended.stderr
        );
        // Exactly what is in the pipe was delivered, whole lines.
        let mut delivered = String::new();
        reader.read_to_string(&mut delivered).unwrap();
        assert!(delivered.ends_with('\n'));
        let rows = delivered
            .lines()
            .filter(|line| line.contains("127.0.0.1"))
            .count();
        assert_eq!(u64::try_from(rows), Ok(totals.events));
        assert!(peak < 64 << 10, "{peak} KiB");
    }
}

/// Whoever wants to be rid of an agent that waits for its reader, says so once.
#[test]
fn a_reader_who_does_not_read_does_not_keep_what_is_done() {
    const MADE: u32 = 3000;
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--count", &MADE.to_string()]);
    let (mut reader, writer) = pipe().unwrap();
    let pipe = writer.try_clone().unwrap();
    let mut running = Agent::start_to(command.args(traffic.filter()), writer).unwrap();
    running.ready().unwrap();
    traffic.connect(MADE);
    wait::until_true("a full pipe", || {
        let mut has_room = [PollFd::new(&pipe, PollFlags::OUT)];
        Ok(poll(&mut has_room, Some(&Timespec::default())).unwrap() == 0)
    })
    .unwrap();
    assert!(running.runs().unwrap(), "it waits for the reader");
    drop(pipe);

    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    let totals = ended.totals();
    assert_eq!(totals.events + totals.lost, u64::from(MADE));
    assert_eq!(totals.reasons.get("output_full"), Some(&totals.lost));
    let mut delivered = String::new();
    reader.read_to_string(&mut delivered).unwrap();
    let rows = delivered.matches("127.0.0.1:9").count();
    assert_eq!(u64::try_from(rows), Ok(totals.events));
}

/// A pager that pauses, and goes on: the stream reports what was lost meanwhile.
#[test]
fn a_reader_who_comes_back_is_told_what_was_lost() {
    const MADE: u32 = 200_000;
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--output", "json"]);
    let (reader, writer) = pipe().unwrap();
    let running = Agent::start_to(command.args(traffic.filter()), writer).unwrap();
    running.ready().unwrap();
    traffic.connect(MADE);
    let reader = Stream::of(reader);
    reader
        .wait_for("loss in the stream", |text| {
            text.contains("\"event\":\"lost\"")
        })
        .unwrap();
    traffic.connect(10);
    running.signal(Signal::TERM).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    let totals = ended.totals();
    assert_eq!(totals.events + totals.lost, u64::from(MADE + 10));

    let text = reader
        .wait_for("end", |text| text.contains("\"notice\":\"stop\""))
        .unwrap();
    let count = |kind: &str| text.matches(&format!("\"event\":\"{kind}\"")).count();
    assert_eq!(u64::try_from(count("connect")), Ok(totals.events));
    let told: u64 = text
        .lines()
        .filter(|line| line.contains("\"event\":\"lost\""))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| event["count"].as_u64().unwrap())
        .sum();
    assert_eq!(told, totals.lost, "the stream tells of every loss");
}

/// A terminal that somebody made non-blocking, as shells and editors do.
#[test]
fn a_non_blocking_output_is_waited_for() {
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--count", "5000"]);
    let (reader, writer) = pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    let running = Agent::start_to(command.args(traffic.filter()), writer).unwrap();
    running.ready().unwrap();
    traffic.connect(5000);
    // More than the pipe holds, before anyone reads.
    let reader = Stream::of(reader);
    let ended = running.end().unwrap();
    ended.assert_code(0);
    assert_eq!(ended.totals().events, 5000);
    reader
        .wait_for("event each", |text| {
            text.matches("127.0.0.1:9").count() == 5000
        })
        .unwrap();
}

/// A file, as a shell's redirection makes it.
#[test]
fn a_redirection_takes_it_all() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events");
    let mut traffic = Traffic::start();
    let mut command = agent(["trace"]);
    let to = File::create(&path).unwrap();
    let running = Agent::start_to(command.args(traffic.filter()), to).unwrap();
    running.ready().unwrap();
    traffic.connect(2000);
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    assert_eq!(ended.totals().events, 2000);
    let written = fs::read_to_string(path).unwrap();
    assert_eq!(written.matches("127.0.0.1:9").count(), 2000);
    assert!(!written.contains('\x1b'));
}
