//! Standard error: everything that is not an event.
//!
//! A closed standard error is no reason to stop, so nothing here fails.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    io::{Write as _, stderr},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// Whether only errors and warnings are said.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// What was typed cannot be meant, which shows only on this machine: exit status 2.
#[derive(Debug)]
pub struct WrongUsage(pub String);

impl Display for WrongUsage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for WrongUsage {}

/// From now on, [`note`] says nothing.
pub fn be_quiet() {
    IS_QUIET.store(true, Relaxed);
}

/// Writes one line about a course of things that is as it should be: that it is ready, a note, the totals.
pub fn note(line: impl Display) {
    if !IS_QUIET.load(Relaxed) {
        say(line);
    }
}

/// Writes one line, in one piece: others write to the same terminal.
pub fn say(line: impl Display) {
    if stderr().write_all(format!("{line}\n").as_bytes()).is_err() {
        // There is nowhere left to say it.
    }
}

/// Writes an error and its causes as one line.
pub fn error(error: &anyhow::Error) {
    // A cause may be a verifier's log of a thousand lines; the line says what to do, the log level
    // `debug` shows the rest.
    let text = format!("{error:#}");
    say(format_args!(
        "error: {}",
        text.lines().next().unwrap_or_default()
    ));
    log::debug!("{text}");
}

/// Starts logging to standard error: `level` if given, else `RUST_LOG`, else warnings.
pub fn start_log(level: Option<&str>) {
    let mut builder =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"));
    if let Some(level) = level {
        builder.parse_filters(level);
    }
    builder.init();
}
