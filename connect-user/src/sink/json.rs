//! One JSON object per line. [`crate::event`] holds the keys.

use serde::Serialize;

/// Appends the event and a newline.
pub(super) fn write(event: &impl Serialize, line: &mut Vec<u8>) {
    let start = line.len();
    match serde_json::to_writer(&mut *line, event) {
        Ok(()) => line.push(b'\n'),
        // Strings and numbers in memory cannot fail to be JSON; half a line must never get out.
        Err(error) => {
            line.truncate(start);
            log::error!("event not written: {error}");
        }
    }
}
