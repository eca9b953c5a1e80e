//! An output that cannot be written for a while: said once when it begins, and once when it is over.

use std::time::{Duration, Instant};

use crate::status;

/// How long an output must work again before an outage is over: a full disk takes a line now and then.
const SETTLED: Duration = Duration::from_secs(1);

/// How the output is, as far as it was said.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// It was said that the output cannot be written.
    is_said: bool,
    /// Since when it can be written again.
    works_since: Option<Instant>,
}

impl Outage {
    /// Says what has changed. Of an output that cannot be written, `trouble` is the reason.
    pub(super) fn look(&mut self, trouble: Option<String>, name: impl Fn() -> String) {
        match trouble {
            Some(why) => {
                self.works_since = None;
                if !self.is_said {
                    self.is_said = true;
                    status::say(format_args!(
                        "warning: cannot write to {}: {why}; until that is mended, events are lost and counted",
                        name()
                    ));
                }
            }
            None if self.is_said => {
                let since = *self.works_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= SETTLED {
                    *self = Self::default();
                    status::note(format_args!("note: {} can be written again", name()));
                }
            }
            None => {}
        }
    }
}
