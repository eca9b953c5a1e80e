//! Aligned columns for a person.
//!
//! The destination comes last: it alone may be long, and on a terminal it is continued below its own
//! beginning, so nothing of it is cut off.

use std::{borrow::Cow, collections::HashSet, fmt::Write as _, io::Write as _, net::SocketAddr};

use connect_ebpf::code::Via;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthStr as _;

use super::{
    cells::{TRANSPORT_WIDTH, cut, duration, pad, transport, wrap},
    line::Line,
    summary::Summary,
    timeline::{Timeline, When},
};
use crate::{
    event::{Event, Lost, Verdict},
    explain,
};

const BOLD_RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[33m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// What decides how the table looks.
#[derive(Clone, Debug)]
pub struct Style {
    /// Colour.
    pub color: bool,
    /// Columns of the terminal; `None` where there is none, and so no limit.
    pub width: Option<u16>,
    /// In which times are written.
    pub time_zone: TimeZone,
    /// One line under the first failure of its kind in each process, or for each kind under a summary.
    pub explain: bool,
}

/// The table.
#[derive(Debug)]
pub struct Table {
    style: Style,
    /// There is room for milliseconds and whole process names.
    wide: bool,
    timeline: Timeline,
    /// Results that have been explained, by name and process; `None` if none is to be.
    explained: Option<HashSet<(String, u32)>>,
}

/// How many explained failures are remembered. Beyond, some are explained again.
const EXPLAINED_MAX: usize = 4096;

impl Table {
    /// A table in this style.
    #[must_use]
    pub fn new(style: Style) -> Self {
        let wide = style.width.is_none_or(|columns| columns >= 100);
        let explained = style.explain.then(HashSet::new);
        let format = if wide { "%H:%M:%S%.3f" } else { "%H:%M:%S" };
        Self {
            timeline: Timeline::new(style.time_zone.clone(), format),
            style,
            wide,
            explained,
        }
    }

    const fn time_width(&self) -> usize {
        if self.wide { 12 } else { 8 }
    }

    const fn process_width(&self) -> usize {
        // 15 bytes of name, a slash, 7 digits (pid_max is at most 4194304).
        if self.wide { 23 } else { 15 }
    }

    pub(super) fn header(&self, line: &mut Vec<u8>) {
        let titles = format!(
            "{:time$} {:process$} {:9} {:>2} {:13} {:>6} DESTINATION",
            "TIME",
            "PROCESS",
            // Wider than its cells, as the title beside it is narrower than its own.
            "TRANSPORT",
            "FD",
            "RESULT",
            "TOOK",
            time = self.time_width(),
            process = self.process_width(),
        );
        self.push(line, DIM, &titles);
        line.push(b'\n');
    }

    /// The rows of a summary.
    pub(super) fn summary(&self, summary: &Summary) -> Vec<Vec<u8>> {
        let mut lines = summary.table(self.style.width, |line, verdict, text| {
            self.push(line, color(verdict), text);
        });
        if self.explained.is_some() {
            for result in summary.results() {
                let Some(hint) = explain::hint(result) else {
                    continue;
                };
                let mut line = Vec::new();
                self.push(&mut line, DIM, &format!("  {result}: {hint}"));
                line.push(b'\n');
                lines.push(line);
            }
        }
        lines
    }

    pub(super) fn row(&mut self, event: &Event, line: &mut Vec<u8>) {
        match event {
            Event::Connect(connect) => self.line(connect.into(), line),
            Event::Outcome(outcome) => self.line(outcome.into(), line),
            Event::Lost(lost) => self.lost(lost, line),
            // What the agent has to say of itself stands on standard error.
            Event::Notice(_) => {}
        }
    }

    /// The last row does not reach the reader.
    pub(super) const fn take_back(&mut self) {
        self.timeline.take_back();
    }

    fn line(&mut self, shown: Line<'_>, line: &mut Vec<u8>) {
        let Line { call, result, .. } = shown;
        let when = self.timeline.event(shown.ended);
        self.heading(&when, line);
        let mut cells = when.time;
        cells.push(' ');
        push_padded(
            &mut cells,
            &process(&call.comm, call.pid, self.process_width()),
            self.process_width(),
        );
        cells.push(' ');
        push_padded(&mut cells, &transport(call), TRANSPORT_WIDTH);
        let fd = call.fd.map_or("-".to_owned(), |fd| fd.to_string());
        // Writing to a String does not fail.
        let _ok = write!(cells, " {fd:>3} ");
        line.extend_from_slice(cells.as_bytes());

        self.push(line, color(shown.verdict), result);
        let mut rest = pad(13_usize.saturating_sub(result.len()));
        let took = shown.duration_ns.map_or("-".to_owned(), duration);
        let _ok = write!(rest, " {took:>6} ");
        let start = cells.width() + result.len() + rest.width();
        let mut destination = destination(shown);
        if let Some(really) = when.really {
            let _ok = write!(destination, " (at {really})");
        }
        rest.push_str(&wrap(&destination, start, self.style.width));
        rest.push('\n');
        line.extend_from_slice(rest.as_bytes());
        if let Some((what, hint)) = self.hint(shown) {
            self.push(line, DIM, &format!("  {what}: {hint}"));
            line.push(b'\n');
        }
    }

    /// What to say under this line, and of what, if it is the first of its kind in its process.
    fn hint<'a>(&mut self, shown: Line<'a>) -> Option<(&'a str, Cow<'static, str>)> {
        let explained = self.explained.as_mut()?;
        let what = shown.to_explain()?;
        if explained.len() >= EXPLAINED_MAX {
            explained.clear();
        }
        if !explained.insert((what.to_owned(), shown.call.pid)) {
            return None;
        }
        let hint = match (shown.verdict, shown.duration_ns) {
            (Verdict::Abandoned, Some(ns)) if what == shown.result => {
                format!("no answer for {}, then the program gave up", duration(ns)).into()
            }
            _ => explain::hint(what)?.into(),
        };
        Some((what, hint))
    }

    fn lost(&mut self, lost: &Lost, line: &mut Vec<u8>) {
        let when = self.timeline.loss(lost.timestamp);
        self.heading(&when, line);
        let text = format!("{} LOST {}: {}", when.time, lost.count, lost.reason);
        self.push(line, BOLD_RED, &text);
        line.push(b'\n');
    }

    fn heading(&self, when: &When, line: &mut Vec<u8>) {
        if let Some(heading) = &when.heading {
            self.push(line, DIM, heading);
            line.push(b'\n');
        }
    }

    fn push(&self, line: &mut Vec<u8>, color: &str, text: &str) {
        let written = if self.style.color && !color.is_empty() {
            write!(line, "{color}{text}{RESET}")
        } else {
            write!(line, "{text}")
        };
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    }
}

/// The address that was passed; where the kernel really went, if elsewhere; how the call was made, if not
/// as usual; that it was IPv4-mapped, where that may be why it was refused; and of an outcome, what its call had returned.
fn destination(shown: Line<'_>) -> String {
    let mut text = shown.call.address.destination();
    if let (Some(ip), Some(port)) = (shown.call.destination_address, shown.call.destination_port) {
        let really = SocketAddr::new(ip, port);
        // Writing to a String does not fail.
        let _ok = write!(text, " -> {really}");
    }
    if let Some(way) = match shown.call.via {
        Via::IoUring => Some(Via::IoUring.name()),
        Via::Compat => Some("32-bit"),
        Via::Syscall | Via::Unknown => None,
    } {
        let _ok = write!(text, " ({way})");
    }
    if shown.is_refused && shown.call.is_mapped() {
        // The socket may be one of IPv4, or of IPv6 alone.
        text.push_str(" (v4-mapped)");
    }
    if let Some(left_with) = shown.left_with {
        let _ok = match shown.unread {
            Some(error) => write!(text, " (after {left_with}; {error} was not read)"),
            None => write!(text, " (after {left_with})"),
        };
    }
    if shown.verdict == Verdict::AskedAgain {
        text.push_str(" (asked again)");
    }
    text
}

/// `name/pid`, the name cut to fit.
fn process(comm: &str, pid: u32, width: usize) -> String {
    let pid = format!("/{pid}");
    let name = cut(comm, width.saturating_sub(pid.len()));
    format!("{name}{pid}")
}

const fn color(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Succeeded => "",
        Verdict::InProgress | Verdict::Abandoned => YELLOW,
        Verdict::Superseded | Verdict::AskedAgain => DIM,
        Verdict::Failed => BOLD_RED,
    }
}

fn push_padded(cells: &mut String, text: &str, width: usize) {
    cells.push_str(text);
    cells.push_str(&pad(width.saturating_sub(text.width())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_give_way_to_the_pid() {
        assert_eq!(process("curl", 4_194_304, 16), "curl/4194304");
        assert_eq!(process("kube-apiserver", 12_345, 16), "kube-apis~/12345");
        assert_eq!(
            process("\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}", 1_234_567, 16),
            "\u{6f22}\u{5b57}\u{6f22}~/1234567"
        );
    }
}
