//! Events as lines.

mod json;
mod table;

pub use table::{Style, Table};

use crate::event::Event;

/// How events are written.
#[derive(Debug)]
pub enum Sink {
    /// For a person.
    Table(Table),
    /// For a program.
    Json,
}

impl Sink {
    /// What comes before the first event.
    pub fn begin(&self, line: &mut Vec<u8>) {
        match self {
            Self::Table(table) => table.header(line),
            Self::Json => {}
        }
    }

    /// Appends one event as one line, or nothing where this sink does not show it.
    pub fn write(&self, event: &Event, line: &mut Vec<u8>) {
        match self {
            Self::Table(table) => table.row(event, line),
            Self::Json => json::write(event, line),
        }
    }
}
