//! The summary: one row per process, transport, destination and result.
//!
//! Memory is bounded: beyond [`ROWS_MAX`] rows, further combinations are only counted together.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use connect_ebpf::code::{Settlement, SocketType, Transport};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::{
    cells::{cut, duration, pad, transport, wrap},
    line,
};
use crate::{
    errno,
    event::{Verdict, is_unknown, is_unknown_type},
    totals::Totals,
};

/// How many rows are kept: with their histograms, at most about 20 MB.
pub(super) const ROWS_MAX: usize = 1024;

/// How many of them may be about successes, so that these leave room for failures.
const SUCCESSES_MAX: usize = ROWS_MAX / 2;

/// On a terminal of fewer columns, the table leaves more of them to destinations.
const NARROW: u16 = 100;

/// Columns of a task's name.
const COMM_WIDTH: usize = 15;

/// Longest duration that has a bucket of its own, in ns: an hour. TCP gives up after two minutes.
const LONGEST_NS: u64 = 3600 * 1_000_000_000;
/// Durations are kept to this many decimal digits.
const DIGITS: u8 = 2;

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    comm: String,
    /// As the table shows it.
    transport: Cow<'static, str>,
    destination: String,
    result: String,
}

#[derive(Debug)]
struct Row {
    family: Option<String>,
    transport: Transport,
    socket_type: SocketType,
    verdict: Verdict,
    errno: u32,
    outcome: Option<Settlement>,
    count: u64,
    /// Time in the call, or until the attempt was settled, in ns; calls whose entry was not seen are
    /// not in it.
    durations: Histogram<u32>,
    longest_ns: u64,
}

impl Row {
    fn new(line: line::Line<'_>) -> Option<Self> {
        Some(Self {
            family: line.call.family().map(str::to_owned),
            transport: line.call.transport,
            socket_type: line.call.socket_type,
            verdict: line.verdict,
            errno: line.errno,
            outcome: line.outcome,
            count: 0,
            // The constants are ones that it accepts.
            durations: Histogram::new_with_max(LONGEST_NS, DIGITS).ok()?,
            longest_ns: 0,
        })
    }
}

/// Rows as they come together.
#[derive(Debug, Default)]
pub struct Summary {
    rows: HashMap<Key, Row>,
    /// Connects that found no row and no room for one.
    overflow: u64,
}

/// A row as it is shown.
#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(rename = "process.comm")]
    comm: &'a str,
    #[serde(rename = "address.family", skip_serializing_if = "Option::is_none")]
    family: Option<&'a str>,
    #[serde(rename = "network.transport", skip_serializing_if = "is_unknown")]
    transport: Transport,
    #[serde(rename = "socket.type", skip_serializing_if = "is_unknown_type")]
    socket_type: SocketType,
    destination: &'a str,
    errno: u32,
    #[serde(rename = "error.type", skip_serializing_if = "Option::is_none")]
    error_type: Option<Cow<'static, str>>,
    /// Of attempts that were settled after their call.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Settlement>,
    /// Of attempts that were abandoned for another.
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded: Option<bool>,
    count: u64,
    #[serde(flatten)]
    durations: Option<Durations>,
    #[serde(skip)]
    verdict: Verdict,
    #[serde(skip)]
    shown_transport: &'a str,
    #[serde(skip)]
    result: &'a str,
}

impl Line<'_> {
    /// What tells it from other rows.
    const fn name(&self) -> (&str, &str, &str, &str) {
        (
            self.comm,
            self.destination,
            self.result,
            self.shown_transport,
        )
    }
}

/// Time in the call, in ns.
#[derive(Clone, Copy, Debug, Serialize)]
struct Durations {
    #[serde(rename = "duration_ns.median")]
    median: u64,
    #[serde(rename = "duration_ns.p99")]
    p99: u64,
    #[serde(rename = "duration_ns.max")]
    max: u64,
}

/// The whole, as JSON.
#[derive(Debug, Serialize)]
struct Page<'a> {
    event: &'static str,
    #[serde(serialize_with = "crate::event::rfc3339")]
    timestamp: Timestamp,
    #[serde(flatten)]
    totals: &'a Totals,
    overflow: u64,
    rows: Vec<Line<'a>>,
}

impl Summary {
    /// Adds one connect or outcome to its row.
    pub(super) fn add(&mut self, line: line::Line<'_>) {
        let key = Key {
            comm: line.call.comm.clone(),
            transport: transport(line.call),
            destination: line.call.address.destination(),
            result: line.result.to_owned(),
        };
        let room = if line.verdict == Verdict::Succeeded {
            SUCCESSES_MAX
        } else {
            ROWS_MAX
        };
        let full = self.rows.len() >= room;
        let row = match self.rows.entry(key) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(vacant) if !full && let Some(row) = Row::new(line) => vacant.insert(row),
            Entry::Vacant(_) => {
                self.overflow += 1;
                return;
            }
        };
        row.count += 1;
        if let Some(ns) = line.duration_ns {
            row.durations.saturating_record(ns);
            row.longest_ns = row.longest_ns.max(ns);
        }
    }

    /// Failures first, then what is in progress; the most frequent first.
    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines: Vec<_> = self
            .rows
            .iter()
            .map(|(key, row)| Line {
                comm: &key.comm,
                family: row.family.as_deref(),
                transport: row.transport,
                socket_type: row.socket_type,
                shown_transport: &key.transport,
                destination: &key.destination,
                errno: row.errno,
                error_type: (row.errno != 0).then(|| errno::label(row.errno)),
                outcome: row.outcome,
                superseded: (row.verdict == Verdict::Superseded).then_some(true),
                count: row.count,
                durations: (!row.durations.is_empty()).then(|| Durations {
                    // A histogram answers with the upper end of a step.
                    median: row.durations.value_at_quantile(0.5).min(row.longest_ns),
                    p99: row.durations.value_at_quantile(0.99).min(row.longest_ns),
                    max: row.longest_ns,
                }),
                verdict: row.verdict,
                result: &key.result,
            })
            .collect();
        lines.sort_by(|a, b| {
            let order = |line: &Line<'_>| match line.verdict {
                Verdict::Failed => 0,
                Verdict::Abandoned => 1,
                Verdict::InProgress | Verdict::AskedAgain => 2,
                Verdict::Superseded => 3,
                Verdict::Succeeded => 4,
            };
            (order(a), b.count, a.name()).cmp(&(order(b), a.count, b.name()))
        });
        lines
    }

    /// The results that occur, in the order of their rows, each once.
    pub(super) fn results(&self) -> Vec<&str> {
        let mut results = Vec::new();
        for line in self.lines() {
            if !results.contains(&line.result) {
                results.push(line.result);
            }
        }
        results
    }

    /// The summary as lines of a table.
    pub(super) fn table(
        &self,
        width: Option<u16>,
        paint: impl Fn(&mut Vec<u8>, Verdict, &str),
    ) -> Vec<Vec<u8>> {
        let lines = self.lines();
        let narrow = width.is_some_and(|width| width < NARROW);
        let comm_width = if narrow {
            let widest = lines.iter().map(|line| line.comm.width()).max();
            widest.unwrap_or(0).clamp("PROCESS".len(), COMM_WIDTH)
        } else {
            COMM_WIDTH
        };
        let p99 = |cell: &str| {
            if narrow {
                String::new()
            } else {
                format!(" {cell:>6}")
            }
        };
        let mut page = vec![
            format!(
                "{:>7} {:13} {:>6}{} {:>6} {:comm_width$} {:9} DESTINATION\n",
                "COUNT",
                "RESULT",
                "MEDIAN",
                p99("P99"),
                "MAX",
                "PROCESS",
                "TRANSPORT"
            )
            .into_bytes(),
        ];
        for line in lines {
            let mut bytes = format!("{:>7} ", line.count).into_bytes();
            paint(&mut bytes, line.verdict, line.result);
            let mut rest = pad(13_usize.saturating_sub(line.result.width()));
            let shown = |ns: fn(Durations) -> u64| {
                line.durations
                    .map_or_else(|| "-".to_owned(), |durations| duration(ns(durations)))
            };
            let comm = cut(line.comm, comm_width);
            let cells = [
                format!(" {:>6}", shown(|durations| durations.median)),
                p99(&shown(|durations| durations.p99)),
                format!(" {:>6}", shown(|durations| durations.max)),
                format!(" {comm}"),
                pad(comm_width.saturating_sub(comm.width())),
                format!(" {:9} ", line.shown_transport),
            ];
            rest.extend(cells);
            let start = 8 + line.result.width() + rest.width();
            rest.push_str(&wrap(line.destination, start, width));
            rest.push('\n');
            bytes.extend_from_slice(rest.as_bytes());
            page.push(bytes);
        }
        if self.overflow > 0 {
            let text = format!(
                "{:>7} connects more, to further combinations than the {ROWS_MAX} kept\n",
                self.overflow
            );
            page.push(text.into_bytes());
        }
        page
    }

    /// The summary as one JSON object.
    pub(super) fn json(&self, totals: &Totals, timestamp: Timestamp, line: &mut Vec<u8>) {
        let page = Page {
            event: "summary",
            timestamp,
            totals,
            overflow: self.overflow,
            rows: self.lines(),
        };
        super::json::write(&page, line);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

    use connect_ebpf::code::{AddressSource, Via};

    use super::*;
    use crate::{
        clock::Clock,
        errno::label,
        event::{Call, Connect},
    };

    /// A connect to this abstract name.
    fn connect(name: &str, errno: u32) -> Connect {
        let mut sockaddr = vec![1, 0, 0];
        sockaddr.extend_from_slice(name.as_bytes());
        Connect {
            id: String::new(),
            attempt: None,
            timestamp: Clock::fixed(0).wall(0),
            ended: Clock::fixed(0).moment(0),
            call: Call {
                pid: 1,
                tid: 1,
                comm: "comm".to_owned(),
                uid: 0,
                cgroup_id: 1,
                fd: Some(3),
                addrlen: Some(3),
                address: crate::address::decode(&sockaddr),
                address_source: AddressSource::Entry,
                transport: Transport::Unix,
                socket_type: SocketType::Stream,
                local_address: None,
                local_port: None,
                destination_address: None,
                destination_port: None,
                via: Via::Syscall,
            },
            errno,
            error_type: (errno != 0).then(|| label(errno).into_owned()),
            unsettled: None,
            restarts: None,
            killed: None,
            duration_ns: Some(1_000),
            handshake_ns: None,
        }
    }

    #[test]
    fn rows_are_bounded_and_what_overflows_is_counted() {
        let mut summary = Summary::default();
        for number in 0..SUCCESSES_MAX + 500 {
            summary.add((&connect(&number.to_string(), 0)).into());
        }
        // A row that exists goes on counting.
        summary.add((&connect("0", 0)).into());
        assert_eq!(summary.rows.len(), SUCCESSES_MAX);
        assert_eq!(summary.overflow, 500);
        // Successes, which any process can make, take no room from failures.
        for number in 0..ROWS_MAX {
            summary.add((&connect(&number.to_string(), 111)).into());
        }
        assert_eq!(summary.rows.len(), ROWS_MAX);
        let counted: u64 = summary.rows.values().map(|row| row.count).sum();
        let made = u64::try_from(SUCCESSES_MAX + 500 + 1 + ROWS_MAX).unwrap();
        assert_eq!(counted + summary.overflow, made);
    }

    #[test]
    fn failures_come_first_then_the_most_frequent() {
        let mut summary = Summary::default();
        for (name, errno, times) in [("a", 0, 9), ("b", 115, 5), ("c", 2, 1), ("d", 111, 2)] {
            for _ in 0..times {
                summary.add((&connect(name, errno)).into());
            }
        }
        let order: Vec<_> = summary
            .lines()
            .iter()
            .map(|line| line.destination)
            .collect();
        assert_eq!(order, ["@d", "@c", "@b", "@a"]);
    }

    /// An address with its port fits into 80 columns.
    #[test]
    fn a_narrow_terminal_has_room_for_destinations() {
        let name = "a-socket-with-a-long-name";
        let mut summary = Summary::default();
        summary.add((&connect(name, 0)).into());
        let lines = |summary: &Summary, width| {
            let page = summary.table(width, |bytes, _, text| {
                bytes.extend_from_slice(text.as_bytes());
            });
            String::from_utf8(page.concat()).unwrap()
        };
        let page = lines(&summary, Some(80));
        assert!(!page.contains("P99"), "{page}");
        assert!(page.contains(" PROCESS TRANSPORT DESTINATION\n"), "{page}");
        assert!(
            page.ends_with(&format!(" comm    unix      @{name}\n")),
            "{page}"
        );
        for width in [Some(100), None] {
            let page = lines(&summary, width);
            assert!(page.contains(" MEDIAN    P99    MAX "), "{page}");
            assert!(page.contains(" PROCESS         TRANSPORT "), "{page}");
        }

        let mut other = connect("b", 0);
        "a-long-task-name".clone_into(&mut other.call.comm);
        summary.add((&other).into());
        let page = lines(&summary, Some(80));
        assert!(page.contains(" PROCESS         TRANSPORT "), "{page}");
        assert!(page.contains(" a-long-task-na~ unix "), "{page}");
    }
}
