//! What ends an observation from outside: signals, and time.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::{
    signal::unix::{self, SignalKind, signal},
    time::{Instant, sleep_until},
};

/// The signals that end the observation, or are passed on to the command.
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    quit: unix::Signal,
    /// None where it is ignored, as under nohup(1), and nothing is to be done at it.
    hangup: Option<unix::Signal>,
}

impl Signals {
    /// Listens for them; for SIGHUP also where whoever started us ignores it, if it has a meaning of its own.
    pub(super) fn listen(hangup_has_meaning: bool) -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
            hangup: if is_ignored(Signal::HUP) && !hangup_has_meaning {
                None
            } else {
                Some(listen(SignalKind::hangup())?)
            },
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.quit.recv() => Signal::QUIT,
            () = received(self.hangup.as_mut()) => Signal::HUP,
        }
    }
}

/// A signal; never, if it is not listened for.
async fn received(signal: Option<&mut unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether whoever started us wants a signal to be ignored: `SigIgn` in `proc_pid_status(5)`.
fn is_ignored(signal: Signal) -> bool {
    let ignored = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status
                .lines()
                .find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        });
    ignored.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

/// When so much time has passed from now on; `None` is never.
pub(super) fn deadline(duration: Option<Duration>) -> Option<Instant> {
    duration.and_then(|duration| Instant::now().checked_add(duration))
}

/// A point in time; never, if there is none.
pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
