//! Outputs that cannot be written: `trace` and `run` end with an error, `export` goes on and counts.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _, pipe},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::Signal,
};
use tempfile::TempDir;

use crate::{
    ended::agent,
    support::{agent::Agent, wait},
    traffic::Traffic,
};

/// A disk of a few pages.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let options = c"size=32k";
        mount("none", folder.path(), "tmpfs", MountFlags::empty(), options).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Takes so many bytes away.
    fn fill(&self, bytes: usize) {
        fs::write(self.file("ballast"), vec![0; bytes]).unwrap();
    }

    /// Gives them back.
    fn empty(&self) {
        fs::remove_file(self.file("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

/// `export` of these events, and of metrics.
fn export(port: u16, traffic: &Traffic, options: &[&str]) -> Command {
    let mut command = agent(["export", "--output", "json"]);
    command
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(traffic.filter())
        .args(options);
    command
}

/// A metric, by its name and labels, as it is served.
fn metric(port: u16, name: &str) -> u64 {
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    client.read_to_string(&mut page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}:\n{page}"))
        .trim()
        .parse()
        .unwrap()
}

fn lost(port: u16, reason: &str) -> u64 {
    let name = format!("connect_observer_events_lost_total{{reason=\"{reason}\"}}");
    metric(port, &name)
}

/// Connects and losses that a file reports; every line must be an object.
fn reported(file: &Path) -> (u64, u64) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let (mut connects, mut lost) = (0, 0);
    for line in text.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        match event["event"].as_str() {
            Some("connect") => connects += 1,
            Some("lost") => lost += event["count"].as_u64().unwrap(),
            _ => {}
        }
    }
    (connects, lost)
}

const WARNING: &str = "warning: cannot write to ";

/// Full, and again full: what is lost meanwhile is counted, and no line is cut for good.
#[test]
fn export_goes_on_when_its_disk_is_full() {
    const PORT: u16 = 9801;
    let disk = Disk::new();
    let file = disk.file("events");
    let mut traffic = Traffic::start();
    let mut command = export(PORT, &traffic, &["-o", file.to_str().unwrap()]);
    let mut running = Agent::start(&mut command).unwrap();
    running.ready().unwrap();
    let mut made = 0;
    for round in 1..=2 {
        disk.fill(16 << 10);
        let before = lost(PORT, "output_failed");
        wait::until_true("a full disk", || {
            traffic.connect(20);
            made += 20;
            Ok(lost(PORT, "output_failed") > before)
        })
        .unwrap();
        assert!(running.runs().unwrap());
        let warnings = |text: &str| text.matches(WARNING).count();
        running
            .stderr
            .wait_for("a warning", |text| warnings(text) == round)
            .unwrap();
        disk.empty();
        let again = |text: &str| text.matches(" can be written again").count();
        running
            .stderr
            .wait_for("the end of it", |text| again(text) == round)
            .unwrap();
        // As large as before: the next round needs room to lose something in the middle of a line.
        if round == 1 {
            File::options()
                .write(true)
                .truncate(true)
                .open(&file)
                .unwrap();
        }
    }
    traffic.connect(3);
    made += 3;
    let metrics = lost(PORT, "output_failed");
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    ended.assert_no_error();
    assert_eq!(ended.stderr.matches(WARNING).count(), 2, "{}", ended.stderr);
    let totals = ended.totals();
    assert_eq!(totals.events + totals.lost, made, "{}", ended.stderr);
    assert_eq!(totals.reasons.get("output_failed"), Some(&totals.lost));
    assert_eq!(metrics, totals.lost);
    let (_, told) = reported(&file);
    assert!(told > 0, "the stream reports losses when it can");
}

/// What the stream says at the end adds up as well.
#[test]
fn export_says_what_it_could_not_write() {
    const PORT: u16 = 9802;
    let disk = Disk::new();
    let file = disk.file("events");
    let mut traffic = Traffic::start();
    let mut command = export(PORT, &traffic, &["-o", file.to_str().unwrap()]);
    let running = Agent::start(&mut command).unwrap();
    running.ready().unwrap();
    disk.fill(20 << 10);
    traffic.connect(200);
    wait::until_true("losses", || Ok(lost(PORT, "output_failed") > 100)).unwrap();
    disk.empty();
    running.says("note: ").unwrap();
    running
        .stderr
        .wait_for("the end of it", |text| {
            text.contains(" can be written again")
        })
        .unwrap();
    traffic.connect(10);
    running.signal(Signal::TERM).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    let totals = ended.totals();
    assert_eq!(totals.events + totals.lost, 210, "{}", ended.stderr);
    assert_eq!(reported(&file), (totals.events, totals.lost));
    let text = fs::read_to_string(&file).unwrap();
    let stop: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(stop["notice"], "stop");
    assert_eq!(stop["events"], totals.events);
    assert_eq!(stop["lost.output_failed"], totals.lost);
}

/// A disk that is full to the end, and one that always is: no line is cut, and it is a success.
#[test]
fn export_ends_in_order_on_a_full_disk() {
    const PORT: u16 = 9803;
    let disk = Disk::new();
    let file = disk.file("events");
    for path in [&*file, Path::new("/dev/full")] {
        let mut traffic = Traffic::start();
        let mut command = export(PORT, &traffic, &["-o", path.to_str().unwrap()]);
        let running = Agent::start(&mut command).unwrap();
        running.ready().unwrap();
        traffic.connect(200);
        wait::until_true("losses", || Ok(lost(PORT, "output_failed") > 0)).unwrap();
        running.signal(Signal::TERM).unwrap();
        let ended = running.end().unwrap();
        ended.assert_code(0);
        let totals = ended.totals();
        assert_eq!(totals.events + totals.lost, 200, "{}", ended.stderr);
        assert_eq!(ended.stderr.matches(WARNING).count(), 1);
        if path == file {
            assert_eq!(reported(&file).0, totals.events);
        }
    }
}

/// A rotation gives the disk room: the line that was cut stands whole in the new file, and nowhere else.
#[test]
fn export_moves_from_a_full_disk_to_another_file() {
    const PORT: u16 = 9804;
    let disk = Disk::new();
    let [file, old] = ["events", "events.1"].map(|name| disk.file(name));
    let mut traffic = Traffic::start();
    let mut command = export(PORT, &traffic, &["-o", file.to_str().unwrap()]);
    let running = Agent::start(&mut command).unwrap();
    running.ready().unwrap();
    disk.fill(16 << 10);
    traffic.connect(200);
    wait::until_true("losses", || Ok(lost(PORT, "output_failed") > 0)).unwrap();
    fs::rename(&file, &old).unwrap();
    disk.empty();
    running.signal(Signal::HUP).unwrap();
    wait::until_true("a new file", || Ok(file.exists())).unwrap();
    traffic.connect(1);
    running.signal(Signal::TERM).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    let totals = ended.totals();
    assert_eq!(totals.events + totals.lost, 201, "{}", ended.stderr);
    let (before, after) = (reported(&old), reported(&file));
    assert_eq!(before.0 + after.0, totals.events);
}

/// `export --output json | head -1`
#[test]
fn export_goes_on_when_its_reader_leaves() {
    const PORT: u16 = 9805;
    let mut traffic = Traffic::start();
    let (reader, writer) = pipe().unwrap();
    let mut command = export(PORT, &traffic, &[]);
    let mut running = Agent::start_to(&mut command, writer).unwrap();
    running.ready().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(reader);
    assert!(reader.read_line(&mut line).unwrap() > 0);
    drop(reader);
    traffic.connect(5);
    wait::until_true("losses", || Ok(lost(PORT, "output_closed") == 5)).unwrap();
    running.says(WARNING).unwrap();
    traffic.connect(5);
    wait::until_true("losses", || Ok(lost(PORT, "output_closed") == 10)).unwrap();
    assert!(running.runs().unwrap());
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    ended.assert_no_error();
    assert_eq!(ended.stderr.matches(WARNING).count(), 1, "once");
    let totals = ended.totals();
    assert_eq!((totals.events, totals.lost), (0, 10));
    assert_eq!(totals.reasons.get("output_closed"), Some(&10));
}

/// `trace` and `run` are there for what they write.
#[test]
fn trace_and_run_end_on_a_full_disk() {
    let disk = Disk::new();
    let file = disk.file("events");
    let path = file.to_str().unwrap();
    let mut traffic = Traffic::start();
    let mut command = agent(["trace", "--output", "json", "-o", path]);
    let running = Agent::start(command.args(traffic.filter())).unwrap();
    running.ready().unwrap();
    traffic.connect(200);
    let ended = running.end().unwrap();
    ended.assert_code(1);
    let line = ended.only_error();
    assert!(
        line.contains(path) && line.contains("No space left"),
        "{line}"
    );
    let totals = ended.totals();
    assert!(totals.events + totals.lost <= 200, "{}", ended.stderr);
    assert_eq!(totals.reasons.get("output_failed"), Some(&totals.lost));
    assert_eq!(reported(&file).0, totals.events, "whole lines");

    let mut command = agent(["run", "-o", "/dev/full", "--"]);
    let ended = crate::ended::end(command.args(["sh", "-c", "echo begun; exit 5"]));
    ended.assert_code(1);
    assert_eq!(ended.stdout, "begun\n");
    assert!(ended.only_error().contains("/dev/full"));
}
