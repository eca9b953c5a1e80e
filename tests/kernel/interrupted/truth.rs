//! What the observed program knows of an interrupted call: every key of its event, and between
//! which moments the kernel must have seen it begin and end.

use std::{fs, os::fd::AsRawFd, sync::OnceLock};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::support::{
    attempt::Attempt,
    sockaddr::Sockaddr,
    stage::Stage,
    syscall::connect,
    truth::{Call, Caller, ERESTARTSYS, Window, errno_name, wall},
};

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
        Self {
            wall: wall(),
            monotonic: now(),
        }
    }
}

/// Whom a call is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a>(Attempt<'a>);

impl<'a> Target<'a> {
    pub(super) fn new(socket: &impl AsRawFd, address: &'a Sockaddr) -> Self {
        Self(Attempt::new(socket, address))
    }

    /// The address stands elsewhere in memory.
    pub(super) const fn at(self, pointer: u64) -> Self {
        Self(self.0.at(pointer))
    }

    pub(super) fn make(&self) -> Made {
        self.make_by(connect)
    }

    /// Makes the call by other means: `call` takes its registers, and returns the errno.
    pub(super) fn make_by(&self, call: impl FnOnce(u64, u64, u64) -> i32) -> Made {
        let before = Moment::now();
        let (fd, pointer, addrlen) = self.0.registers();
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

    fn made(&self, caller: &Caller, before: Moment, after: Moment, errno: i32) -> Made {
        Made {
            keys: self.0.keys(caller, errno),
            before,
            after,
            entered: true,
            entered_by: after.monotonic,
            ended: (before.monotonic, after.monotonic),
        }
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

    /// Leaves it to another process to write this call down.
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

/// The observed program: one per process, usable from its signal handlers and its children.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) stage: Stage,
}

impl Scene {
    /// Before anything else.
    pub(super) fn begin(stage: &Stage) -> Result<&'static Self> {
        static SCENE: OnceLock<Scene> = OnceLock::new();
        let scene = Self {
            stage: Stage::stay(stage.directory(), &stage.role)?,
        };
        super::signals::prepare()?;
        Ok(SCENE.get_or_init(|| scene))
    }

    /// Writes a call down, as [`Stage::tell`] does.
    pub(super) fn tell(&self, made: Made) -> Result<()> {
        let Made {
            keys,
            before,
            after,
            entered,
            entered_by,
            ended,
        } = made;
        self.stage.tell(&Call {
            keys,
            before: before.wall,
            after: after.wall,
            took: after.monotonic - before.monotonic,
            entered,
            window: entered.then_some(Window {
                entered: (before.monotonic, entered_by),
                ended,
            }),
        })
    }
}

/// A value that lives as long as the process: handlers may use it.
pub(super) fn keep<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
