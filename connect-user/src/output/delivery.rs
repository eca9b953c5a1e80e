//! The far end of the way to the reader: lines are written, and what cannot be is known line by line.
//!
//! A full disk may take the first bytes of a line. Its rest is written as soon as there is room, before anything
//! else; whoever has moved, emptied or extended the file meanwhile gets the whole line on a line of its own.

use std::{io, os::fd::OwnedFd, sync::Arc};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FileType, SeekFrom, fstat, ftruncate, seek},
    io::Errno,
};

use super::lines::{Piece, Worth};

/// The file, and the line in it that has no end yet.
pub(super) struct Delivery {
    file: Arc<OwnedFd>,
    cut: Option<Cut>,
}

/// A line of which only the first bytes were written.
struct Cut {
    line: Vec<u8>,
    /// What is to be written: the line, perhaps behind the end of another one.
    bytes: Vec<u8>,
    /// How much of [`Self::bytes`] was written.
    done: usize,
    /// Where in a regular file the written bytes end.
    at: Option<u64>,
    worth: Worth,
}

/// What became of lines.
#[derive(Default)]
pub(super) struct Report {
    pub(super) delivered: Vec<Worth>,
    pub(super) lost: Vec<Worth>,
    /// Why not all of them were delivered.
    pub(super) error: Option<io::Error>,
}

impl Delivery {
    pub(super) const fn to(file: Arc<OwnedFd>) -> Self {
        Self { file, cut: None }
    }

    /// Whether a line has no end yet.
    pub(super) const fn is_inside_a_line(&self) -> bool {
        self.cut.is_some()
    }

    /// Writes lines. A line that is cut is neither delivered nor lost before it is decided.
    pub(super) fn write(&mut self, piece: &Piece) -> Report {
        let mut report = self.complete();
        if report.error.is_some() {
            report.lost.extend(piece.worths());
            return report;
        }
        let mut done = 0;
        report.error = write_on(&self.file, &piece.bytes, &mut done).err();
        let split = piece.split(done);
        report.delivered.extend(split.written);
        report.lost.extend(split.left);
        if let Some((line, done, worth)) = split.cut {
            self.cut = Some(Cut {
                bytes: line.clone(),
                line,
                done,
                at: self.position(),
                worth,
            });
        }
        report
    }

    /// Writes the rest of the line that was cut, if there is one.
    pub(super) fn complete(&mut self) -> Report {
        let mut report = Report::default();
        let Some(mut cut) = self.cut.take() else {
            return report;
        };
        match cut.at.map(|at| (at, self.size())) {
            Some((at, size)) if at != size => {
                // Its beginning is gone, or others have written behind it.
                cut.bytes.clear();
                if size > 0 {
                    cut.bytes.push(b'\n');
                }
                cut.bytes.extend_from_slice(&cut.line);
                cut.done = 0;
            }
            _ => {}
        }
        let written = write_on(&self.file, &cut.bytes, &mut cut.done);
        match written {
            Ok(()) => report.delivered.push(cut.worth),
            Err(error) => {
                cut.at = self.position();
                report.error = Some(error);
                self.cut = Some(cut);
            }
        }
        report
    }

    /// From here on into another file, in which the line that was cut stands whole.
    pub(super) fn move_to(&mut self, file: Arc<OwnedFd>) {
        self.withdraw();
        self.file = file;
        if let Some(cut) = &mut self.cut {
            cut.bytes.clone_from(&cut.line);
            cut.done = 0;
            cut.at = None;
        }
    }

    /// Gives up the line that was cut, and takes its beginning out of the file.
    pub(super) fn give_up(&mut self) -> Option<Worth> {
        self.withdraw();
        self.cut.take().map(|cut| cut.worth)
    }

    /// Takes the beginning of the line that was cut out of the file, where nobody has written behind it.
    fn withdraw(&self) {
        let Some(Cut {
            done, at: Some(at), ..
        }) = self.cut
        else {
            return;
        };
        let start = at.saturating_sub(done as u64);
        if at == self.size()
            && let Err(error) = ftruncate(&self.file, start)
        {
            log::warn!("the last line of the output is cut: {error}");
        }
    }

    /// How large the file is.
    fn size(&self) -> u64 {
        fstat(&self.file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Where the next byte would go; none where that makes no sense.
    fn position(&self) -> Option<u64> {
        let stat = fstat(&self.file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        seek(&self.file, SeekFrom::Current(0)).ok()
    }
}

/// Writes the bytes behind the first `done`, which grows with what is written.
fn write_on(file: &OwnedFd, bytes: &[u8], done: &mut usize) -> io::Result<()> {
    while let Some(rest) = bytes.get(*done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::write(file, rest) {
            Ok(written) => *done += written,
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// As if the disk had been full in the middle of the line `cut`.
    fn cut_in(path: &std::path::Path) -> Delivery {
        fs::write(path, "whole\ncu").unwrap();
        let file = fs::File::options().append(true).open(path).unwrap();
        let mut delivery = Delivery::to(Arc::new(file.into()));
        delivery.cut = Some(Cut {
            line: b"cut\n".to_vec(),
            bytes: b"cut\n".to_vec(),
            done: 2,
            at: Some(8),
            worth: Worth::default(),
        });
        delivery
    }

    fn next() -> Piece {
        let mut piece = Piece::default();
        piece.append(b"next\n", Worth::default());
        piece
    }

    #[test]
    fn a_cut_line_is_completed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events");
        let report = cut_in(&path).write(&next());
        assert!(report.error.is_none() && report.lost.is_empty());
        assert_eq!(fs::read(&path).unwrap(), b"whole\ncut\nnext\n");
    }

    #[test]
    fn a_cut_line_whose_beginning_is_gone_is_written_whole() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events");
        let mut delivery = cut_in(&path);
        fs::write(&path, "").unwrap();
        delivery.write(&next());
        assert_eq!(fs::read(&path).unwrap(), b"cut\nnext\n");
    }

    #[test]
    fn a_cut_line_that_others_have_written_behind_is_written_again() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events");
        let mut delivery = cut_in(&path);
        fs::write(&path, "whole\ncuother").unwrap();
        delivery.write(&next());
        assert_eq!(fs::read(&path).unwrap(), b"whole\ncuother\ncut\nnext\n");
    }

    #[test]
    fn a_cut_line_moves_to_the_next_file_as_a_whole() {
        let folder = TempDir::new().unwrap();
        let [path, other] = ["events", "other"].map(|name| folder.path().join(name));
        let mut delivery = cut_in(&path);
        delivery.move_to(Arc::new(fs::File::create(&other).unwrap().into()));
        delivery.write(&next());
        assert_eq!(fs::read(&path).unwrap(), b"whole\n");
        assert_eq!(fs::read(&other).unwrap(), b"cut\nnext\n");
    }

    #[test]
    fn a_cut_line_that_is_given_up_is_taken_back() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events");
        assert!(cut_in(&path).give_up().is_some());
        assert_eq!(fs::read(&path).unwrap(), b"whole\n");
    }
}
