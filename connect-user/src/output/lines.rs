//! Lines that go to the reader together, and what each of them counts for.

use crate::totals::Tally;

/// What a line stands for, and so what is missing where it is not delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worth {
    /// The connects and outcomes that it shows.
    pub(super) tally: Tally,
    /// The loss that it reports: its reason, and how many.
    pub(super) reported: Option<(&'static str, u64)>,
}

/// A line within a [`Piece`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Where it ends.
    end: usize,
    pub(super) worth: Worth,
}

/// Whole lines.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    lines: Vec<Line>,
    /// What is counted here and shown by no line of its own, as in a summary.
    unshown: Tally,
}

/// What has become of a piece of which only the first bytes were written.
pub(super) struct Split {
    /// Lines that were written whole.
    pub(super) written: Vec<Worth>,
    /// The line that was cut: all of it, and how much of it was written.
    pub(super) cut: Option<(Vec<u8>, usize, Worth)>,
    /// Lines of which nothing was written.
    pub(super) left: Vec<Worth>,
}

impl Piece {
    /// Adds a line, which may be empty.
    pub(super) fn append(&mut self, line: &[u8], worth: Worth) {
        if line.is_empty() {
            self.unshown += worth.tally;
        } else {
            self.bytes.extend_from_slice(line);
            let end = self.bytes.len();
            self.lines.push(Line { end, worth });
        }
    }

    /// What each line is worth, and what no line shows.
    pub(super) fn worths(&self) -> impl Iterator<Item = Worth> {
        let lines = self.lines.iter().map(|line| line.worth);
        lines.chain([self.unshown()])
    }

    const fn unshown(&self) -> Worth {
        Worth {
            tally: self.unshown,
            reported: None,
        }
    }

    /// Divides the lines, of which so many bytes were written.
    pub(super) fn split(&self, written: usize) -> Split {
        let mut split = Split {
            written: Vec::new(),
            cut: None,
            left: Vec::new(),
        };
        let mut start = 0;
        for &Line { end, worth } in &self.lines {
            if end <= written {
                split.written.push(worth);
            } else if start < written {
                let line = self.bytes.get(start..end).unwrap_or_default();
                split.cut = Some((line.to_vec(), written - start, worth));
            } else {
                split.left.push(worth);
            }
            start = end;
        }
        // With the last line, which may be the one that shows it after all.
        let whole = written == self.bytes.len();
        let rest = if whole {
            &mut split.written
        } else {
            &mut split.left
        };
        rest.push(self.unshown());
        split
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(events: u64) -> Worth {
        Worth {
            tally: Tally {
                events,
                ..Tally::default()
            },
            reported: None,
        }
    }

    #[test]
    fn what_is_written_is_known_by_line() {
        let mut piece = Piece::default();
        piece.append(b"one\n", worth(1));
        piece.append(b"", worth(100));
        piece.append(b"two\n", worth(2));
        piece.append(b"three\n", worth(3));
        let events = |worths: &[Worth]| -> Vec<u64> {
            worths.iter().map(|worth| worth.tally.events).collect()
        };
        for (bytes, written, cut, left) in [
            (0, vec![], None, vec![1, 2, 3, 100]),
            (3, vec![], Some(("one\n", 3)), vec![2, 3, 100]),
            (4, vec![1], None, vec![2, 3, 100]),
            (5, vec![1], Some(("two\n", 1)), vec![3, 100]),
            (14, vec![1, 2, 3, 100], None, vec![]),
        ] {
            let split = piece.split(bytes);
            assert_eq!(events(&split.written), written, "{bytes}");
            assert_eq!(events(&split.left), left, "{bytes}");
            let is = split.cut.map(|(line, done, _)| (line, done));
            let expected = cut.map(|(line, done)| (line.as_bytes().to_vec(), done));
            assert_eq!(is, expected, "{bytes}");
        }
    }
}
