//! Lines to a reader who may be slow, paused or gone.
//!
//! A thread of its own writes, so that a reader who does not read stalls nothing else. What waits
//! for it is bounded: beyond [`CAPACITY`], lines are refused, and the caller counts them.

mod delivery;
mod lines;
mod place;
mod walk;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{isatty, tcgetwinsize},
};
use tokio::sync::Notify;

use self::{
    delivery::{Delivery, Report},
    lines::{Piece, Worth},
    place::Opened,
};
use crate::{
    event::Lost,
    loss::Loss,
    observation::{Destination, OnFailure},
    totals::Tally,
};

pub use place::STANDARD_OUTPUT;

/// How many bytes may wait for the reader.
pub const CAPACITY: usize = 4 << 20;

/// Lines are written in pieces of at most this size. Up to `PIPE_BUF` bytes, a pipe takes either
/// all or nothing (pipe(7)), so what was delivered is known exactly, even of a reader that stopped.
const PIECE: usize = 4096;

/// How often the rest of a line that a full disk has cut is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// How the writer's work ended.
#[derive(Debug)]
pub enum End {
    /// Everything was written, as far as it could be.
    Written,
    /// The reader went away.
    Closed,
    /// The output failed, a full disk for example.
    Failed(io::Error),
}

/// What the writer does next.
#[derive(Debug)]
enum Step {
    Write(Piece),
    /// Goes on in this file.
    MoveTo(Arc<OwnedFd>),
}

#[derive(Debug, Default)]
struct Queue {
    steps: VecDeque<Step>,
    /// Bytes in [`Self::steps`] and in the writer's hands.
    bytes: usize,
    /// No more pieces will come.
    complete: bool,
    delivered: Tally,
    /// Connects and outcomes that could not be written, by reason.
    lost: BTreeMap<&'static str, (Loss, Tally)>,
    /// Losses whose report could not be written.
    unreported: Vec<(&'static str, u64)>,
    /// Why nothing can be written now.
    trouble: Option<String>,
    end: Option<End>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// To the writer: there is a step, or there will be none.
    more: Condvar,
    /// From the writer: a piece was written, or it has ended.
    progress: Notify,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock; and if it did, the queue would still be whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an output does not take.
#[derive(Debug, Default)]
pub struct Undelivered {
    /// Connects and outcomes, by reason.
    pub lost: Vec<(Loss, Tally)>,
    /// Losses whose report is to be written again.
    pub unreported: Vec<(&'static str, u64)>,
}

/// The near end of the way to the reader.
#[derive(Debug)]
pub struct Output {
    destination: Destination,
    file: Arc<OwnedFd>,
    shared: Arc<Shared>,
    piece: Piece,
}

impl Output {
    /// Opens where the lines go.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is no safe place; or a thread cannot be started.
    pub fn open(destination: &Destination, on_failure: OnFailure) -> Result<Self> {
        let Opened {
            file,
            ends_inside_a_line,
        } = place::open(destination)
            .with_context(|| format!("cannot write to {}", place::name(destination)))?;
        let file = Arc::new(file);
        let shared = Arc::new(Shared::default());
        let writer = (Delivery::to(Arc::clone(&file)), Arc::clone(&shared));
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || deliver(writer.0, &writer.1, on_failure))
            .context("cannot start the output thread")?;
        let mut output = Self {
            destination: destination.clone(),
            file,
            shared,
            piece: Piece::default(),
        };
        if ends_inside_a_line {
            output.insist(b"\n");
        }
        Ok(output)
    }

    /// What it is, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        place::name(&self.destination)
    }

    /// The file that it is, if it is one.
    #[must_use]
    pub const fn path(&self) -> Option<&PathBuf> {
        match &self.destination {
            Destination::File(path) => Some(path),
            Destination::Stdout | Destination::Stderr => None,
        }
    }

    /// Opens its file again, which may be another one by now: what comes from here on goes there. Does nothing
    /// where the output is no file.
    ///
    /// # Errors
    ///
    /// The file cannot be opened; then nothing changes.
    pub fn reopen(&mut self) -> Result<()> {
        let Some(path) = self.path() else {
            return Ok(());
        };
        let Opened {
            file,
            ends_inside_a_line,
        } = place::open_again(path)?;
        self.hand_over();
        self.file = Arc::new(file);
        self.step(Step::MoveTo(Arc::clone(&self.file)));
        if ends_inside_a_line {
            self.insist(b"\n");
        }
        Ok(())
    }

    /// Whether a person looks at it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        isatty(&self.file)
    }

    /// Columns of the terminal that it is, if it is one and says so.
    #[must_use]
    pub fn columns(&self) -> Option<u16> {
        let size = self.is_terminal().then(|| tcgetwinsize(&self.file).ok());
        size.flatten()
            .map(|size| size.ws_col)
            .filter(|&columns| columns > 0)
    }

    /// Takes a line, and what it adds to the sums; false if there is no room for it.
    pub fn offer(&mut self, line: &[u8], tally: Tally) -> bool {
        let worth = Worth {
            tally,
            reported: None,
        };
        self.take(line, worth)
    }

    /// Takes the line that reports a loss; false if there is no room for it.
    pub fn offer_loss(&mut self, line: &[u8], lost: &Lost) -> bool {
        let worth = Worth {
            tally: Tally::default(),
            reported: Some((lost.reason, lost.count)),
        };
        self.take(line, worth)
    }

    /// Takes a line even where there is no room: for the few that must not be missing.
    pub fn insist(&mut self, line: &[u8]) {
        if self.piece.bytes.len() + line.len() > PIECE {
            self.hand_over();
        }
        self.piece.append(line, Worth::default());
    }

    /// Sends what has been taken on its way; false if there is no room for it yet.
    pub fn flush(&mut self) -> bool {
        let room = self.shared.queue().bytes + self.piece.bytes.len() <= CAPACITY;
        if room {
            self.hand_over();
        }
        room
    }

    /// No more lines will come.
    pub fn complete(&mut self) {
        self.hand_over();
        self.shared.queue().complete = true;
        self.shared.more.notify_one();
    }

    /// Waits until something has been written, or nothing more will be.
    pub async fn progress(&self) {
        self.shared.progress.notified().await;
    }

    /// Whether whoever read a pipe has gone, which otherwise only a write would show.
    #[must_use]
    pub fn reader_is_gone(&self) -> bool {
        let mut file = [PollFd::new(&self.file, PollFlags::empty())];
        let answered = poll(&mut file, Some(&Timespec::default()));
        let [file] = file;
        answered.is_ok() && file.revents().contains(PollFlags::ERR)
    }

    /// Why nothing can be written now, to an output that goes on all the same.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.queue().trouble.clone()
    }

    /// What could not be written since this was last asked.
    #[must_use]
    pub fn undelivered(&self) -> Undelivered {
        let mut queue = self.shared.queue();
        let lost = std::mem::take(&mut queue.lost);
        Undelivered {
            lost: lost.into_values().collect(),
            unreported: std::mem::take(&mut queue.unreported),
        }
    }

    /// Whether the writer has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.queue().end.is_some()
    }

    /// How the writer ended, if it has, and what it has delivered.
    #[must_use]
    pub fn result(&self) -> (Option<End>, Tally) {
        let mut queue = self.shared.queue();
        (queue.end.take(), queue.delivered)
    }

    fn take(&mut self, line: &[u8], worth: Worth) -> bool {
        if self.piece.bytes.len() + line.len() > PIECE && !self.flush() {
            return false;
        }
        self.piece.append(line, worth);
        true
    }

    fn hand_over(&mut self) {
        if !self.piece.bytes.is_empty() {
            let piece = std::mem::take(&mut self.piece);
            self.shared.queue().bytes += piece.bytes.len();
            self.step(Step::Write(piece));
        }
    }

    fn step(&self, step: Step) {
        self.shared.queue().steps.push_back(step);
        self.shared.more.notify_one();
    }
}

/// What the output's thread does.
fn deliver(mut delivery: Delivery, shared: &Shared, on_failure: OnFailure) {
    let end = loop {
        let report = match next(shared, delivery.is_inside_a_line()) {
            Next::Step(Step::Write(piece)) => {
                let report = delivery.write(&piece);
                shared.queue().bytes -= piece.bytes.len();
                report
            }
            Next::Step(Step::MoveTo(file)) => {
                delivery.move_to(file);
                delivery.complete()
            }
            Next::TryAgain => delivery.complete(),
            Next::End => {
                let mut report = delivery.complete();
                report.lost.extend(delivery.give_up());
                note(shared, report, on_failure);
                break End::Written;
            }
        };
        if let Some(end) = note(shared, report, on_failure) {
            // Nobody is left to be told, as the sums of an output that has ended are what it delivered.
            let _lost = delivery.give_up();
            break end;
        }
        shared.progress.notify_one();
    };
    shared.queue().end = Some(end);
    shared.progress.notify_one();
}

/// What the thread does next.
enum Next {
    Step(Step),
    /// A line that was cut.
    TryAgain,
    End,
}

/// Waits for it.
fn next(shared: &Shared, is_inside_a_line: bool) -> Next {
    let is_idle = |queue: &mut Queue| queue.steps.is_empty() && !queue.complete;
    let mut queue = if is_inside_a_line {
        let waited = shared
            .more
            .wait_timeout_while(shared.queue(), TRY_AGAIN, is_idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    } else {
        let waited = shared.more.wait_while(shared.queue(), is_idle);
        waited.unwrap_or_else(PoisonError::into_inner)
    };
    match queue.steps.pop_front() {
        Some(step) => Next::Step(step),
        None if queue.complete => Next::End,
        None => Next::TryAgain,
    }
}

/// Notes what became of lines; the end, if their output ends with its first error.
fn note(shared: &Shared, report: Report, on_failure: OnFailure) -> Option<End> {
    let mut queue = shared.queue();
    for worth in &report.delivered {
        queue.delivered += worth.tally;
    }
    let Some(error) = report.error else {
        queue.trouble = None;
        return None;
    };
    let is_closed = error.kind() == io::ErrorKind::BrokenPipe;
    if on_failure == OnFailure::End {
        return Some(if is_closed {
            End::Closed
        } else {
            End::Failed(error)
        });
    }
    queue.trouble = Some(if is_closed {
        "whoever read it went away".to_owned()
    } else {
        error.to_string()
    });
    let loss = if is_closed {
        Loss::OutputClosed
    } else {
        Loss::OutputFailed
    };
    for worth in report.lost {
        queue.unreported.extend(worth.reported);
        let sums = queue.lost.entry(loss.name());
        let (_, sum) = sums.or_insert((loss, Tally::default()));
        *sum += worth.tally;
    }
    None
}
