//! Where a field lies in a tracepoint's context: `events/CATEGORY/NAME/format` in tracefs. Layouts
//! that differ between kernels are read, never assumed.

use std::fs;

use anyhow::{Context as _, Result};

use crate::preflight::Tracefs;

/// Offset of a field, in bytes.
///
/// # Errors
///
/// The format cannot be read, or has no such field.
pub(super) fn offset(tracefs: &Tracefs, category: &str, name: &str, field: &str) -> Result<u32> {
    let path = tracefs.event(category, name).join("format");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, field)
        .with_context(|| format!("tracepoint {category}:{name} has no field {field}"))
}

/// `\tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;`
fn parse(format: &str, field: &str) -> Option<u32> {
    format.lines().find_map(|line| {
        let mut parts = line.trim().split(';').map(str::trim);
        let declaration = parts.next()?.strip_prefix("field:")?;
        (declaration.split_whitespace().next_back()? == field)
            .then(|| parts.next()?.strip_prefix("offset:")?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    const FORK_5_10: &str = "name: sched_process_fork\nID: 300\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:char parent_comm[16];\toffset:8;\tsize:16;\tsigned:1;\n\
        \tfield:pid_t parent_pid;\toffset:24;\tsize:4;\tsigned:1;\n\
        \tfield:char child_comm[16];\toffset:28;\tsize:16;\tsigned:1;\n\
        \tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;\n";
    const FORK_6_18: &str = "\tfield:__data_loc char[] child_comm;\toffset:16;\tsize:4;\tsigned:0;\n\
        \tfield:pid_t child_pid;\toffset:20;\tsize:4;\tsigned:1;\n";

    #[test]
    fn offset_is_read_not_assumed() {
        assert_eq!(parse(FORK_5_10, "child_pid"), Some(44));
        assert_eq!(parse(FORK_6_18, "child_pid"), Some(20));
    }

    #[test]
    fn strange_formats_have_no_offset() {
        for text in [
            "",
            "field:",
            "field:x;",
            "field:pid_t child_pid;offset:-1;",
            "field:pid_t child_pid;size:4",
        ] {
            assert_eq!(parse(text, "child_pid"), None, "{text:?}");
        }
    }
}
