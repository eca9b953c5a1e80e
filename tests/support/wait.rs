//! Waiting for what will happen, never for time to pass.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::feature;

/// How long anything may take before its test has failed, on a real machine. Nothing takes nearly as
/// long.
const DEADLINE: Duration = Duration::from_secs(120);
/// How often a condition is looked at, on a real machine; where it is emulated, looking takes much of its
/// time.
const PAUSE: Duration = Duration::from_millis(5);

/// How long anything may take here before its test has failed.
pub(crate) fn deadline() -> Duration {
    DEADLINE * feature::slowness()
}

/// Waits until `condition` gives a value.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let (start, deadline) = (Instant::now(), deadline());
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > deadline {
            bail!("after {} s, still waiting for {what}", deadline.as_secs());
        }
        thread::sleep(PAUSE * feature::slowness());
    }
}

/// Waits until `condition` holds.
pub(crate) fn until_true(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, || Ok(condition()?.then_some(())))
}
