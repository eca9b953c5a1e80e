//! The seeds of the fuzz target: every record and every malformed input of this folder, and what
//! fuzzing found.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::{
    blessing,
    check::check,
    malformed,
    records::{ALL, Record, Records},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds/decode")
}

/// Name and bytes of the seeds that are made here; written first, when blessing.
static MADE: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let mut seeds = Vec::new();
    for Records { name, records } in &*ALL {
        for Record { title, bytes } in records {
            seeds.push((file_name(name, title), bytes.clone()));
        }
    }
    for (title, bytes, _) in malformed::cases() {
        seeds.push((file_name("malformed", title), bytes));
    }
    if blessing() {
        for (name, bytes) in &seeds {
            fs::write(folder().join(name), bytes).unwrap();
        }
    }
    seeds
});

/// A file's name: what is neither letter nor digit becomes a dash.
fn file_name(kind: &str, title: &str) -> String {
    let words = title.split(|character: char| !character.is_ascii_alphanumeric());
    let words = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase);
    let name: Vec<_> = [kind.to_owned()].into_iter().chain(words).collect();
    name.join("-")
}

#[test]
fn every_record_is_one() {
    let missing: Vec<_> = MADE
        .iter()
        .filter(|(name, bytes)| fs::read(folder().join(name)).ok().as_ref() != Some(bytes))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        missing, [""; 0],
        "BLESS=1 cargo xtask test --fast writes them"
    );
}

/// As the fuzz target does.
#[test]
fn every_one_is_checked() {
    let made = MADE.len();
    let mut count = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= made, "only {count} seeds of {made}");
}
