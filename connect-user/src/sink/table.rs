//! Aligned columns for a person.
//!
//! The destination comes last: it alone may be long, so nothing is cut off and nothing shifts.

use std::{fmt::Write as _, io::Write as _};

use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::event::{Connect, Event, Lost, Verdict};

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
    /// In which times are told.
    pub time_zone: TimeZone,
}

/// The table.
#[derive(Debug)]
pub struct Table {
    style: Style,
    /// There is room for milliseconds and whole process names.
    wide: bool,
}

impl Table {
    /// A table in this style.
    #[must_use]
    pub fn new(style: Style) -> Self {
        let wide = style.width.is_none_or(|columns| columns >= 100);
        Self { style, wide }
    }

    const fn time_format(&self) -> &'static str {
        if self.wide {
            "%H:%M:%S%.3f"
        } else {
            "%H:%M:%S"
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
            "{:time$} {:process$} {:7} {:>3} {:13} {:>7} DESTINATION",
            "TIME",
            "PROCESS",
            "FAMILY",
            "FD",
            "RESULT",
            "TOOK",
            time = self.time_width(),
            process = self.process_width(),
        );
        self.push(line, DIM, &titles);
        line.push(b'\n');
    }

    pub(super) fn row(&self, event: &Event, line: &mut Vec<u8>) {
        match event {
            Event::Connect(connect) => self.connect(connect, line),
            Event::Lost(lost) => self.lost(lost, line),
            // What the agent has to say of itself stands on standard error.
            Event::Notice(_) => {}
        }
    }

    fn connect(&self, connect: &Connect, line: &mut Vec<u8>) {
        let mut cells = self.time(connect.timestamp);
        cells.push(' ');
        push_padded(
            &mut cells,
            &process(&connect.comm, connect.pid, self.process_width()),
            self.process_width(),
        );
        cells.push(' ');
        push_padded(&mut cells, &family(connect), 7);
        let fd = connect.fd.map_or("-".to_owned(), |fd| fd.to_string());
        // Writing to a String does not fail.
        let _ok = write!(cells, " {fd:>3} ");
        line.extend_from_slice(cells.as_bytes());

        let (color, result) = match connect.verdict() {
            Verdict::Succeeded => ("", "ok"),
            Verdict::InProgress => (YELLOW, "EINPROGRESS"),
            Verdict::Failed => (BOLD_RED, connect.error_type.as_deref().unwrap_or("?")),
        };
        self.push(line, color, result);
        let mut rest = " ".repeat(13_usize.saturating_sub(result.len()));
        let took = connect.duration_ns.map_or("-".to_owned(), duration);
        let _ok = writeln!(rest, " {took:>7} {}", connect.address.destination());
        line.extend_from_slice(rest.as_bytes());
    }

    fn lost(&self, lost: &Lost, line: &mut Vec<u8>) {
        let text = format!(
            "{} LOST {}: {}",
            self.time(lost.timestamp),
            lost.count,
            lost.reason
        );
        self.push(line, BOLD_RED, &text);
        line.push(b'\n');
    }

    fn time(&self, timestamp: jiff::Timestamp) -> String {
        timestamp
            .to_zoned(self.style.time_zone.clone())
            .strftime(self.time_format())
            .to_string()
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

/// `AF_INET6` as `inet6`; a number as it is.
fn family(connect: &Connect) -> String {
    let name = connect.address.family.as_deref().unwrap_or("-");
    name.strip_prefix("AF_").unwrap_or(name).to_lowercase()
}

/// `name/pid`, the name cut to fit.
fn process(comm: &str, pid: u32, width: usize) -> String {
    let pid = format!("/{pid}");
    let room = width.saturating_sub(pid.len());
    if comm.width() <= room {
        return format!("{comm}{pid}");
    }
    let mut name = String::new();
    let mut used = 1;
    for character in comm.chars() {
        used += character.width().unwrap_or(0);
        if used > room {
            break;
        }
        name.push(character);
    }
    format!("{name}~{pid}")
}

fn push_padded(cells: &mut String, text: &str, width: usize) {
    cells.push_str(text);
    cells.extend(std::iter::repeat_n(' ', width.saturating_sub(text.width())));
}

/// A duration in three digits and a unit: `870ns`, `41.2us`, `1.03ms`, `130s`.
fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")];
    for (unit, name) in UNITS {
        if ns >= unit {
            let whole = ns / unit;
            let thousandths = ns % unit / (unit / 1000);
            return match whole {
                0..10 => format!("{whole}.{:02}{name}", thousandths / 10),
                10..100 => format!("{whole}.{}{name}", thousandths / 100),
                _ => format!("{whole}{name}"),
            };
        }
    }
    format!("{ns}ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        for (ns, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1000, "1.00us"),
            (41_250, "41.2us"),
            (999_999, "999us"),
            (1_030_000, "1.03ms"),
            (130_000_000_000, "130s"),
            (u64::MAX, "18446744073s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

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
