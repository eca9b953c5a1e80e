//! Events as lines.

mod cells;
mod json;
mod line;
mod summary;
mod table;
mod timeline;

pub use summary::Summary;
pub use table::{Style, Table};

use jiff::Timestamp;

use crate::{event::Event, totals::Totals};

/// How events are written.
#[derive(Debug)]
pub enum Sink {
    /// For a person.
    Table(Table),
    /// For a program.
    Json,
    /// For a person, all at once at the end.
    TableSummary(Table, Summary),
    /// For a program, all at once at the end.
    JsonSummary(Summary),
}

impl Sink {
    /// What comes before the first event.
    pub fn begin(&self, line: &mut Vec<u8>) {
        match self {
            Self::Table(table) => table.header(line),
            Self::Json | Self::TableSummary(..) | Self::JsonSummary(_) => {}
        }
    }

    /// Appends one event as one line, or nothing where this sink does not show it now.
    pub fn write(&mut self, event: &Event, line: &mut Vec<u8>) {
        match self {
            Self::Table(table) => table.row(event, line),
            Self::Json => json::write(event, line),
            Self::TableSummary(_, summary) | Self::JsonSummary(summary) => match event {
                // It has a place in the summary already.
                Event::Connect(connect) if connect.asks_again() => {}
                Event::Connect(connect) => summary.add(connect.into()),
                Event::Outcome(outcome) => summary.add(outcome.into()),
                Event::Lost(_) | Event::Notice(_) => {}
            },
        }
    }

    /// What was written last does not reach the reader: there was no room for it.
    pub const fn take_back(&mut self) {
        match self {
            Self::Table(table) => table.take_back(),
            Self::Json | Self::TableSummary(..) | Self::JsonSummary(_) => {}
        }
    }

    /// The lines that come after the last event.
    #[must_use]
    pub fn end(&self, totals: &Totals, timestamp: Timestamp) -> Vec<Vec<u8>> {
        match self {
            Self::Table(_) | Self::Json => Vec::new(),
            Self::TableSummary(table, summary) => table.summary(summary),
            Self::JsonSummary(summary) => {
                let mut line = Vec::new();
                summary.json(totals, timestamp, &mut line);
                vec![line]
            }
        }
    }
}
