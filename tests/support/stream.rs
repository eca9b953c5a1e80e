//! A stream of a process, read as it comes.

use std::{
    io::Read,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use super::wait;

/// What has been read so far.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    ended: bool,
}

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
    pub(crate) fn wait_for(&self, what: &str, found: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + wait::deadline();
        let mut text = self.lock();
        loop {
            let so_far = String::from_utf8_lossy(&text.bytes).into_owned();
            if found(&so_far) {
                return Ok(so_far);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "no {what} in time:\n{so_far}");
            ensure!(!text.ended, "no {what} to the end:\n{so_far}");
            let waited = self.shared.1.wait_timeout(text, left);
            (text, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What has come so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits for the end, and returns all that has come.
    pub(crate) fn to_end(&self) -> Result<String> {
        let left = |text: &mut Text| !text.ended;
        let (text, timeout) = self
            .shared
            .1
            .wait_timeout_while(self.lock(), wait::deadline(), left)
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(!timeout.timed_out(), "somebody still has a stream of it");
        String::from_utf8(text.bytes.clone()).context("no UTF-8")
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
