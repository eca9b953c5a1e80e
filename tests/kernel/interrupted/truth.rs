//! What the observed program knows of an interrupted call: every key of its event, and between
//! which moments the kernel must have seen it begin and end.

use std::{
    fs::{self, File},
    io::Write as _,
    os::fd::{AsRawFd, RawFd},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::support::{
    sockaddr::Sockaddr,
    stage::Stage,
    syscall::{connect, register},
    truth::{Call, Caller, FILE, errno_name},
};

/// What the kernel itself says of a call that a signal interrupts.
pub(super) const ERESTARTSYS: i32 = 512;

/// `CLOCK_MONOTONIC` in ns: the clock of the kernel hooks.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let [seconds, nanoseconds] = [now.tv_sec, now.tv_nsec].map(i64::cast_unsigned);
    seconds * 1_000_000_000 + nanoseconds
}

/// A point in time, by both clocks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Moment {
    /// In ns since 1970.
    wall: i64,
    monotonic: u64,
}

impl Moment {
    pub(super) fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall = wall.map_or(0, |since| since.as_nanos());
        Self {
            wall: i64::try_from(wall).unwrap_or(0),
            monotonic: now(),
        }
    }
}

/// Whom a call is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    fd: RawFd,
    address: &'a Sockaddr,
    /// Where the address is.
    pointer: u64,
}

impl<'a> Target<'a> {
    pub(super) fn new(socket: &impl AsRawFd, address: &'a Sockaddr) -> Self {
        Self {
            fd: socket.as_raw_fd(),
            address,
            pointer: address.bytes.as_ptr().expose_provenance() as u64,
        }
    }

    /// The same bytes, elsewhere in memory.
    pub(super) const fn at(self, pointer: u64) -> Self {
        Self { pointer, ..self }
    }

    pub(super) fn make(&self) -> Made {
        self.make_by(connect)
    }

    /// Makes the call by other means: `call` takes its registers, and returns the errno.
    pub(super) fn make_by(&self, call: impl FnOnce(u64, u64, u64) -> i32) -> Made {
        let before = Moment::now();
        let (fd, pointer, addrlen) = self.registers();
        let errno = call(fd, pointer, addrlen);
        let after = Moment::now();
        self.made(&Caller::me(), before, after, errno)
    }

    /// A call that began after `before`, and that its caller has never returned from.
    pub(super) fn unreturned(&self, caller: &Caller, before: Moment) -> Made {
        self.told(caller, before, ERESTARTSYS).with("killed", true)
    }

    /// A call that began after `before`, and that is over: another than its caller says so.
    pub(super) fn told(&self, caller: &Caller, before: Moment, errno: i32) -> Made {
        self.made(caller, before, Moment::now(), errno)
    }

    const fn registers(&self) -> (u64, u64, u64) {
        (register(self.fd), self.pointer, self.address.len() as u64)
    }

    fn made(&self, caller: &Caller, before: Moment, after: Moment, errno: i32) -> Made {
        let made = Made {
            keys: self.address.shown.clone(),
            before,
            after,
            entered: true,
            entered_by: after.monotonic,
            ended: (before.monotonic, after.monotonic),
        };
        made.with("event", "connect")
            .with("process.pid", caller.pid)
            .with("thread.id", caller.tid)
            .with("process.comm", caller.comm.as_str())
            .with("process.real_user.id", caller.uid)
            .with("fd", self.fd)
            .with("addrlen", self.address.len())
            .with("address.source", "entry")
            .with("via", "syscall")
            .got(errno)
    }
}

/// A call that is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[must_use = "it has to be told"]
pub(super) struct Made {
    keys: Map<String, Value>,
    before: Moment,
    after: Moment,
    /// Whether the kernel's entry to it could be observed.
    entered: bool,
    /// Its thread was seen in it at this time.
    entered_by: u64,
    /// It was seen under way, and over, at these times.
    ended: (u64, u64),
}

impl Made {
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// The kernel restarted it so often.
    pub(super) fn restarted(self, times: u32) -> Self {
        match times {
            0 => self,
            _ => self.with("restarts", times),
        }
    }

    /// What it got, by another name than the one that its caller has for it.
    pub(super) fn got(mut self, errno: i32) -> Self {
        self.keys.remove("error.type");
        let made = self.with("errno", errno);
        match errno {
            0 => made,
            ERESTARTSYS => made.with("error.type", "ERESTARTSYS"),
            513 => made.with("error.type", "ERESTARTNOINTR"),
            514 => made.with("error.type", "ERESTARTNOHAND"),
            516 => made.with("error.type", "ERESTART_RESTARTBLOCK"),
            _ => made.with("error.type", errno_name(errno)),
        }
    }

    /// The application never got its result.
    pub(super) fn never_returned(self) -> Self {
        self.got(ERESTARTSYS).with("killed", true)
    }

    /// Its entry cannot be observed, only its return, whose registers are known.
    pub(super) fn unentered(self) -> Self {
        Self {
            entered: false,
            ..self.with("address.source", "exit")
        }
    }

    /// Its thread was seen in it at this time.
    pub(super) fn entered_by(self, entered_by: u64) -> Self {
        Self { entered_by, ..self }
    }

    /// It cannot have ended before this time.
    pub(super) fn ended_from(self, from: u64) -> Self {
        let (_, by) = self.ended;
        Self {
            ended: (from, by),
            ..self
        }
    }

    /// It had ended at this time.
    pub(super) fn ended_by(self, by: u64) -> Self {
        let (from, _) = self.ended;
        Self {
            ended: (from, by),
            ..self
        }
    }

    pub(super) fn errno(&self) -> i32 {
        let errno = self.keys.get("errno").and_then(Value::as_i64);
        errno.and_then(|errno| errno.try_into().ok()).unwrap_or(-1)
    }

    /// Checks that the call was what its test thinks.
    pub(super) fn that_got(self, errno: i32) -> Result<Self> {
        let got = self.errno();
        ensure!(
            got == errno,
            "this program needs {} and got {} for {:?}",
            errno_name(errno),
            errno_name(got),
            self.keys
        );
        Ok(self)
    }

    /// Leaves it to another process to tell of this call.
    pub(super) fn leave(&self, stage: &Stage, name: &str) -> Result<()> {
        let text = serde_json::to_vec(self)?;
        Ok(fs::write(stage.file(name), text)?)
    }

    /// What another process has left.
    pub(super) fn found(stage: &Stage, name: &str) -> Result<Self> {
        let text = fs::read(stage.file(name)).with_context(|| format!("nobody left {name}"))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// A line of the truth, with what only these tests know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) call: Call,
    /// Absent for calls that other parts of the tests have written down.
    pub(super) window: Option<Window>,
}

/// When the kernel must have seen a call begin and end, `CLOCK_MONOTONIC` in ns.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) entered: (u64, u64),
    pub(super) ended: (u64, u64),
}

/// The observed program: one per process, usable from its signal handlers and its children.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) stage: Stage,
    truth: File,
}

impl Scene {
    /// Before anything else.
    pub(super) fn begin(stage: &Stage) -> Result<&'static Self> {
        static SCENE: OnceLock<Scene> = OnceLock::new();
        let truth = File::options().append(true).open(stage.file(FILE))?;
        let scene = Self {
            stage: Stage::stay(stage.directory(), &stage.role)?,
            truth,
        };
        super::signals::prepare()?;
        Ok(SCENE.get_or_init(|| scene))
    }

    /// Writes a call down, as [`Stage::record`] does.
    ///
    /// A handler may do this: what it has interrupted is a system call, which holds no lock.
    pub(super) fn tell(&self, made: Made) -> Result<()> {
        let Made {
            keys,
            before,
            after,
            entered,
            entered_by,
            ended,
        } = made;
        let line = Line {
            call: Call {
                keys,
                before: before.wall,
                after: after.wall,
                took: after.monotonic - before.monotonic,
                entered,
            },
            window: entered.then_some(Window {
                entered: (before.monotonic, entered_by),
                ended,
            }),
        };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        // One write, as lines of several processes must not mix.
        let written = (&self.truth).write(&line)?;
        ensure!(written == line.len(), "half a line of truth");
        Ok(())
    }
}

/// A value that lives as long as the process: handlers may use it.
pub(super) fn keep<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
