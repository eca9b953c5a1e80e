//! Events to lines to the output, and how many of them the output has taken.

use std::env;

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    clock,
    event::{Event, Lost},
    observation::{Color, Events, Format},
    output::Output,
    sink::{Sink, Style, Summary, Table},
    totals::{Tally, Totals},
};

/// The way of an event to its reader.
pub(super) struct Writer {
    sink: Sink,
    output: Output,
    /// Connects and outcomes that the output has taken.
    taken: Tally,
    /// For one line.
    line: Vec<u8>,
}

impl Writer {
    /// Writes what comes before the first event.
    pub(super) fn begin(events: &Events, output: Output) -> Self {
        let mut writer = Self {
            sink: sink(events, &output),
            output,
            taken: Tally::default(),
            line: Vec::new(),
        };
        writer.titles();
        writer
    }

    /// Goes on in the file that has the output's name now, which may be new.
    ///
    /// # Errors
    ///
    /// It cannot be opened; then the one that is open goes on.
    pub(super) fn reopen(&mut self) -> Result<()> {
        self.output.reopen()?;
        self.titles();
        self.output.flush();
        Ok(())
    }

    /// Writes what comes before the first event in a file.
    fn titles(&mut self) {
        self.line.clear();
        self.sink.begin(&mut self.line);
        self.output.insist(&self.line);
    }

    /// Writes an event; false if the output has no room for it.
    pub(super) fn offer(&mut self, event: &Event) -> bool {
        self.line.clear();
        self.sink.write(event, &mut self.line);
        let tally = event.tally();
        let taken = self.output.offer(&self.line, tally);
        if taken {
            self.taken += tally;
        } else {
            self.sink.take_back();
        }
        taken
    }

    /// Writes the report of a loss; false if the output has no room for it.
    pub(super) fn offer_loss(&mut self, lost: &Lost) -> bool {
        self.line.clear();
        self.sink.write(&Event::Lost(lost.clone()), &mut self.line);
        self.output.offer_loss(&self.line, lost)
    }

    /// Writes an event that must not be missing, also where there is no room.
    pub(super) fn insist(&mut self, event: &Event) {
        self.line.clear();
        self.sink.write(event, &mut self.line);
        self.output.insist(&self.line);
    }

    /// Writes what comes after the last event.
    pub(super) fn end(&mut self, totals: &Totals, timestamp: Timestamp) {
        for line in self.sink.end(totals, timestamp) {
            self.output.insist(&line);
        }
    }

    /// What the output has taken so far.
    pub(super) const fn taken(&self) -> Tally {
        self.taken
    }

    /// The output.
    pub(super) const fn output(&mut self) -> &mut Output {
        &mut self.output
    }
}

fn sink(events: &Events, output: &Output) -> Sink {
    match (events.format, events.summary) {
        (Format::Json, false) => Sink::Json,
        (Format::Json, true) => Sink::JsonSummary(Summary::default()),
        (Format::Table, false) => Sink::Table(table(events, output)),
        (Format::Table, true) => Sink::TableSummary(table(events, output), Summary::default()),
    }
}

fn table(events: &Events, output: &Output) -> Table {
    Table::new(Style {
        color: color(events.color, output.is_terminal()),
        width: output.columns(),
        time_zone: clock::time_zone(),
        explain: events.explain,
    })
}

/// `NO_COLOR`: see no-color.org; an option that was typed beats it.
fn color(asked: Color, terminal: bool) -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match asked {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}
