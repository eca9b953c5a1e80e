//! The agent, started, read and waited for; and nothing of it left behind.
//!
//! Whatever is waited for has a deadline, which decides only that a test fails.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, geteuid, kill_process, pidfd_open},
};

use crate::circumstances::detached;

/// How long anything may take, on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The built binary.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_connect-observer");

/// The agent with these arguments. Neither the environment nor the terminal of whoever runs the
/// tests has a part in what it does.
pub(crate) fn agent<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    agent_at(Path::new(AGENT), arguments)
}

/// The same, of a copy of the binary.
pub(crate) fn agent_at<A: AsRef<OsStr>>(
    path: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    assert!(geteuid().is_root(), "these tests run as root");
    let mut command = Command::new(path);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .env_remove("RUST_LOG");
    detached(&mut command);
    command
}

/// Runs the agent to its end.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    Running::start(&mut agent(arguments)).end()
}

/// Runs agents to their end, all at the same time: to put hooks in place and to take them away is
/// mostly waiting for the kernel.
pub(crate) fn run_all(commands: impl IntoIterator<Item = Command>) -> Vec<Ended> {
    let start = |mut command: Command| Running::start(&mut command);
    let running: Vec<_> = commands.into_iter().map(start).collect();
    running.into_iter().map(Running::end).collect()
}

/// A running agent.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

impl Running {
    /// Starts a command; both of its streams are read.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Stream::of(child.stdout.take().unwrap());
        Self::of(child, stdout)
    }

    /// Starts a command whose standard output goes where the test wants it.
    pub(crate) fn start_to(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        let child = command
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The command holds the other end of a pipe, and would keep it open.
        command.stdout(Stdio::null());
        Self::of(child, Stream::of(std::io::empty()))
    }

    fn of(mut child: Child, stdout: Stream) -> Self {
        let stderr = Stream::of(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Waits until the hooks of `trace` are live.
    pub(crate) fn ready(&self) {
        let is_ready = |text: &str| text.lines().any(|line| line.starts_with("ready"));
        self.stderr.wait_for("a line beginning \"ready\"", is_ready);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Stops it where it is, while something happens that it must find when it goes on.
    pub(crate) fn while_stopped(&self, happens: impl FnOnce()) {
        self.signal(Signal::STOP);
        wait_until("a stop", || self.status("State:").starts_with('T'));
        happens();
        self.signal(Signal::CONT);
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// A line of `/proc/PID/status`, behind its name.
    #[track_caller]
    pub(crate) fn status(&self, name: &str) -> String {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a line of that name").trim().to_owned()
    }

    /// Its standard input, once.
    pub(crate) fn stdin(&mut self) -> impl std::io::Write + use<> {
        self.child.stdin.take().expect("a pipe")
    }

    /// Whether it runs on.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, and for all it wrote.
    pub(crate) fn end(mut self) -> Ended {
        let ended = !self.runs() || {
            let running = pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
            let deadline = Timespec::try_from(DEADLINE).unwrap();
            poll(&mut [PollFd::new(&running, PollFlags::IN)], Some(&deadline)).unwrap() == 1
        };
        assert!(
            ended,
            "still running; it has written\n{}\nand as errors\n{}",
            self.stdout.text(),
            self.stderr.text()
        );
        let status = self.child.wait().unwrap();
        Ended {
            status,
            stdout: self.stdout.to_end(),
            stderr: self.stderr.to_end(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is all that is wanted.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What an agent that has ended leaves.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its status, as a shell tells it.
    pub(crate) fn code(&self) -> i32 {
        let by_signal = self.status.signal().map(|signal| 128 + signal);
        self.status.code().or(by_signal).expect("an end")
    }

    #[track_caller]
    pub(crate) fn assert_code(&self, expected: i32) {
        assert_eq!(self.code(), expected, "{}\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    /// The only line on standard error.
    #[track_caller]
    pub(crate) fn only_line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n').expect("a line");
        assert!(!line.contains('\n'), "one line:\n{}", self.stderr);
        line
    }

    /// The only line on standard error that tells of an error.
    #[track_caller]
    pub(crate) fn only_error(&self) -> &str {
        let mut errors = self.stderr.lines().filter(|line| is_error(line));
        let error = errors.next().expect("an error");
        assert_eq!(errors.next(), None, "one line:\n{}", self.stderr);
        error
    }

    #[track_caller]
    pub(crate) fn assert_no_error(&self) {
        let error = self.stderr.lines().find(|line| is_error(line));
        assert_eq!(error, None, "{}", self.stderr);
    }

    /// What the last line but logs says of the run.
    #[track_caller]
    pub(crate) fn totals(&self) -> Totals {
        let mut lines = self
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("totals: "));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("no totals:\n{}", self.stderr));
        assert_eq!(lines.next(), None, "once:\n{}", self.stderr);
        Totals::parse(line)
    }
}

fn is_error(line: &str) -> bool {
    line.starts_with("error") || line.contains("panicked") || line.contains("ERROR")
}

/// The totals, read back from their line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) events: u64,
    pub(crate) failed: u64,
    pub(crate) in_progress: u64,
    pub(crate) lost: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
}

impl Totals {
    fn parse(line: &str) -> Self {
        let (sums, reasons) = line.split_once(" (").unwrap_or((line, ""));
        let pairs = |text: &str| -> BTreeMap<String, u64> {
            let pairs = text.split(", ").filter(|pair| !pair.is_empty());
            let pairs = pairs.map(|pair| pair.rsplit_once(' ').expect("a name and a number"));
            pairs
                .map(|(name, number)| (name.to_owned(), number.parse().expect("a number")))
                .collect()
        };
        let [calls, outcomes, lost] = sums
            .split("; ")
            .map(pairs)
            .collect::<Vec<_>>()
            .try_into()
            .expect("calls, outcomes, losses");
        let settled = outcomes["established"] + outcomes["failed"] + outcomes["abandoned"];
        assert_eq!(settled, outcomes["outcomes"], "{line}");
        let totals = Self {
            events: calls["events"],
            failed: calls["failed"],
            in_progress: calls["in progress"],
            lost: lost["lost"],
            reasons: pairs(reasons.trim_end_matches(')')),
        };
        assert_eq!(totals.reasons.values().sum::<u64>(), totals.lost, "{line}");
        totals
    }
}

/// What has been read from a stream so far.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    ended: bool,
}

/// A stream that is read as it comes.
#[derive(Clone, Default)]
pub(crate) struct Stream {
    shared: Arc<(Mutex<Text>, Condvar)>,
}

impl Stream {
    /// Reads until the end, in a thread of its own.
    pub(crate) fn of(mut from: impl Read + Send + 'static) -> Self {
        let stream = Self::default();
        let writer = stream.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                // The other side of a terminal ends it with an error.
                let count = from.read(&mut buffer).unwrap_or(0);
                let mut text = writer.lock();
                text.bytes.extend_from_slice(&buffer[..count]);
                text.ended = count == 0;
                let ended = text.ended;
                drop(text);
                writer.shared.1.notify_all();
                if ended {
                    break;
                }
            }
        });
        stream
    }

    /// Waits until what has come is `found`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, found: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut text = self.lock();
        loop {
            let so_far = String::from_utf8_lossy(&text.bytes).into_owned();
            if found(&so_far) {
                return so_far;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in time:\n{so_far}");
            assert!(!text.ended, "no {what} to the end:\n{so_far}");
            (text, _) = self.shared.1.wait_timeout(text, left).unwrap();
        }
    }

    /// What has come so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    fn to_end(&self) -> String {
        let left = |text: &mut Text| !text.ended;
        let (text, timeout) = self
            .shared
            .1
            .wait_timeout_while(self.lock(), DEADLINE, left)
            .unwrap();
        assert!(!timeout.timed_out(), "somebody holds a stream of the agent");
        String::from_utf8(text.bytes.clone()).expect("UTF-8")
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.shared.0.lock().unwrap()
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// `/dev/full`, where there is room for nothing.
pub(crate) fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}
