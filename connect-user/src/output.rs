//! Lines to a reader who may be slow, paused or gone.
//!
//! A thread of its own writes, so that a reader who does not read stalls nothing else. What waits
//! for it is bounded: beyond [`CAPACITY`], lines are refused, and the caller counts them.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::Notify;

use crate::{escape::Escaped, totals::Tally};

/// How many bytes may wait for the reader.
pub const CAPACITY: usize = 4 << 20;

/// Lines are written in pieces of at most this size. Up to `PIPE_BUF` bytes, a pipe takes either
/// all or nothing (pipe(7)), so what was delivered is known exactly, even of a reader that stopped.
const PIECE: usize = 4096;

/// What standard output is called in messages.
pub const STANDARD_OUTPUT: &str = "standard output";

/// Whole lines, and the connects among them.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    tally: Tally,
}

/// How the writer's work ended.
#[derive(Debug)]
pub enum End {
    /// Everything was written.
    Written,
    /// The reader went away.
    Closed,
    /// The output failed, a full disk for example.
    Failed(io::Error),
}

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    /// Bytes in [`Self::pieces`] and in the writer's hands.
    bytes: usize,
    /// No more pieces will come.
    complete: bool,
    delivered: Tally,
    end: Option<End>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// To the writer: there is a piece, or there will be none.
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

/// The near end of the way to the reader.
#[derive(Debug)]
pub struct Output {
    name: String,
    file: Arc<OwnedFd>,
    shared: Arc<Shared>,
    piece: Piece,
}

impl Output {
    /// To a file, which is replaced, or to standard output.
    ///
    /// # Errors
    ///
    /// The file cannot be made, or a thread cannot be started.
    pub fn open(file: Option<&Path>) -> Result<Self> {
        let name = file.map_or_else(|| STANDARD_OUTPUT.to_owned(), escaped_path);
        let file = match file {
            Some(path) => File::create(path).map(OwnedFd::from),
            None => io::stdout().as_fd().try_clone_to_owned(),
        }
        .with_context(|| format!("cannot write to {name}"))?;
        let file = Arc::new(file);
        let shared = Arc::new(Shared::default());
        let writer = (Arc::clone(&file), Arc::clone(&shared));
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || write_pieces(&writer.0, &writer.1))
            .context("cannot start the output thread")?;
        Ok(Self {
            name,
            file,
            shared,
            piece: Piece::default(),
        })
    }

    /// What it is, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes a line, and what it adds to the sums; false if there is no room for it.
    pub fn offer(&mut self, line: &[u8], tally: Tally) -> bool {
        if self.piece.bytes.len() + line.len() > PIECE && !self.flush() {
            return false;
        }
        self.append(line, tally);
        true
    }

    /// Takes a line even where there is no room: for the few that must not be missing.
    pub fn insist(&mut self, line: &[u8]) {
        if self.piece.bytes.len() + line.len() > PIECE {
            self.hand_over();
        }
        self.append(line, Tally::default());
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

    fn append(&mut self, line: &[u8], tally: Tally) {
        self.piece.bytes.extend_from_slice(line);
        self.piece.tally += tally;
    }

    fn hand_over(&mut self) {
        if self.piece.bytes.is_empty() {
            return;
        }
        let piece = std::mem::take(&mut self.piece);
        let mut queue = self.shared.queue();
        queue.bytes += piece.bytes.len();
        queue.pieces.push_back(piece);
        drop(queue);
        self.shared.more.notify_one();
    }
}

fn escaped_path(path: &Path) -> String {
    Escaped(path.as_os_str().as_encoded_bytes()).to_string()
}

fn write_pieces(file: &OwnedFd, shared: &Shared) {
    let end = loop {
        let piece = {
            let waiting = shared.more.wait_while(shared.queue(), |queue| {
                queue.pieces.is_empty() && !queue.complete
            });
            let mut queue = waiting.unwrap_or_else(PoisonError::into_inner);
            match queue.pieces.pop_front() {
                Some(piece) => piece,
                None => break End::Written,
            }
        };
        let written = write_all(file, &piece.bytes);
        let mut queue = shared.queue();
        queue.bytes -= piece.bytes.len();
        match written {
            Ok(()) => queue.delivered += piece.tally,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break End::Closed,
            Err(error) => break End::Failed(error),
        }
        drop(queue);
        shared.progress.notify_one();
    };
    shared.queue().end = Some(end);
    shared.progress.notify_one();
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    use rustix::io::Errno;
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody else made the terminal or the pipe non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(file, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
