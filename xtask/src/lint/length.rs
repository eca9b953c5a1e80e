//! Files of the product that are too long to be read at once.

use std::path::Path;

use super::modules::Modules;

/// The most lines of a file, without what is for tests only.
const LIMIT: usize = 450;

/// Tables, which are looked up and not read; and why each is one.
const TABLES: [(&str, &str); 0] = [];

pub(super) fn too_long(modules: &Modules) -> Vec<String> {
    let is_table = |path: &str| TABLES.iter().any(|(table, _)| *table == path);
    let long = modules.files.iter();
    let long = long.filter(|file| file.lines > LIMIT && !is_table(&file.path));
    let text = |file: &super::modules::File| {
        format!(
            "error: {} has {} lines, {LIMIT} at most",
            file.path, file.lines
        )
    };
    long.map(text).collect()
}

/// Exceptions for files that are not there any more.
pub(super) fn needless_exceptions(root: &Path) -> Vec<String> {
    let gone = TABLES.iter().filter(|(path, _)| !root.join(path).is_file());
    let text = |(path, why): &(&str, &str)| {
        format!("error: {path} ({why}) need not be an exception: it is gone")
    };
    gone.map(text).collect()
}
