//! An io_uring as a program uses it.

use std::{
    fs,
    os::fd::{AsRawFd, RawFd},
    time::{Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use io_uring::{
    IoUring, opcode,
    squeue::{self, Flags},
    types::{Fd, Fixed},
};

use super::{
    attempt::{Attempt, Outcome},
    sockaddr::Sockaddr,
    stage::Stage,
    truth::Caller,
    wait,
};

/// A ring, and since when it is asked for something.
pub(crate) struct Ring {
    queues: IoUring,
    /// Who submits.
    pub(crate) caller: Caller,
    since: (SystemTime, Instant),
}

impl Ring {
    /// One whose caller submits.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            queues: IoUring::new(64).context("no io_uring")?,
            caller: Caller::me(),
            since: (SystemTime::now(), Instant::now()),
        })
    }

    /// One from which a thread of the kernel's submits (`IORING_SETUP_SQPOLL`).
    pub(crate) fn polled() -> Result<Self> {
        let ring = IoUring::builder()
            .setup_sqpoll(2000)
            .build(64)
            .context("no io_uring with a thread")?;
        let me = Caller::me();
        // It gives itself its name.
        let thread = wait::until("the thread of the ring", || {
            let mut threads = fs::read_dir("/proc/self/task")?.filter_map(Result::ok);
            Ok(threads.find(|task| {
                fs::read_to_string(task.path().join("comm"))
                    .is_ok_and(|name| name.starts_with("iou-sqp"))
            }))
        })?;
        let tid = thread.file_name().to_string_lossy().parse()?;
        Ok(Self {
            queues: ring,
            caller: Caller { tid, ..me },
            since: (SystemTime::now(), Instant::now()),
        })
    }

    /// `IORING_REGISTER_FILES`
    pub(crate) fn register(&self, files: &[RawFd]) -> Result<()> {
        self.queues.submitter().register_files(files)?;
        Ok(())
    }

    /// Queues a request; it is submitted by [`Self::submit`].
    pub(crate) fn push(&mut self, entry: squeue::Entry, flags: Flags, number: u64) -> Result<()> {
        let entry = entry.flags(flags).user_data(number);
        let mut queue = self.queues.submission();
        // SAFETY: what the entry points to lives until its completion has been taken, as every caller
        // waits for it.
        unsafe { queue.push(&entry) }.context("no room in the queue")?;
        Ok(())
    }

    /// Submits what is queued, from now on.
    pub(crate) fn submit(&mut self) -> Result<()> {
        self.since = (SystemTime::now(), Instant::now());
        self.queues.submit()?;
        Ok(())
    }

    /// Submits what is queued, beside what is under way.
    pub(crate) fn submit_more(&self) -> Result<()> {
        self.queues.submit()?;
        Ok(())
    }

    /// Waits for so many completions: number and result of each.
    pub(crate) fn take(&mut self, count: usize) -> Result<Vec<(u64, i32)>> {
        let mut taken = Vec::new();
        while taken.len() < count {
            self.queues.submit_and_wait(1)?;
            taken.extend(
                self.queues
                    .completion()
                    .map(|completion| (completion.user_data(), completion.result())),
            );
        }
        ensure!(taken.len() == count, "more completions than requests");
        Ok(taken)
    }

    /// What was queued and submitted last has come to this.
    pub(crate) fn outcome(&self, errno: i32) -> Outcome {
        let (before, start) = self.since;
        Outcome::made_since(before, start, errno)
    }

    /// Connects, and writes it down; returns the errno.
    pub(crate) fn connect(
        &mut self,
        stage: &Stage,
        socket: &impl AsRawFd,
        address: &Sockaddr,
        flags: Flags,
    ) -> Result<i32> {
        self.push(connect(socket.as_raw_fd(), address), flags, 1)?;
        self.submit()?;
        let errno = self.errno_of(1)?;
        let attempt = attempt(socket, address);
        stage.record(&attempt, &self.caller, &self.outcome(errno))?;
        Ok(errno)
    }

    /// Waits for the one request that is under way.
    pub(crate) fn errno_of(&mut self, number: u64) -> Result<i32> {
        let (found, result) = self.take(1)?[0];
        ensure!(
            found == number,
            "request {found} and not {number} is completed"
        );
        Ok(result.min(0).saturating_neg())
    }
}

/// A request to connect.
pub(crate) fn connect(fd: RawFd, address: &Sockaddr) -> squeue::Entry {
    let length = u32::try_from(address.len()).unwrap_or(u32::MAX);
    opcode::Connect::new(Fd(fd), address.bytes.as_ptr().cast(), length).build()
}

/// A connect of a registered file.
pub(crate) fn connect_registered(index: u32, address: &Sockaddr) -> squeue::Entry {
    let length = u32::try_from(address.len()).unwrap_or(u32::MAX);
    opcode::Connect::new(Fixed(index), address.bytes.as_ptr().cast(), length).build()
}

/// What the event of such a request must show.
pub(crate) fn attempt<'a>(socket: &impl AsRawFd, address: &'a Sockaddr) -> Attempt<'a> {
    Attempt::new(socket, address).via("io_uring")
}
