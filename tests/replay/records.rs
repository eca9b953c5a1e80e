//! The recorded records, in files that a person can read and a diff can show.

use std::{fmt::Write as _, fs, sync::LazyLock};

use crate::{by_hand, here, recorder, recording};

/// One record.
pub(crate) struct Record {
    /// What it shows.
    pub(crate) title: String,
    /// As they came out of the ring buffer.
    pub(crate) bytes: Vec<u8>,
}

/// The records of one file.
pub(crate) struct Records {
    pub(crate) name: &'static str,
    pub(crate) records: Vec<Record>,
}

/// The files, the first [`RECORDED`] of which are recorded.
const NAMES: [&str; 4] = ["families", "hostile", "results", "by-hand"];
const RECORDED: usize = 3;

/// Every record.
pub(crate) static ALL: LazyLock<Vec<Records>> = LazyLock::new(|| {
    if recording() {
        let (recorded, made) = NAMES.split_at(RECORDED);
        for records in recorder::record(recorded) {
            write(&records);
        }
        for name in made {
            let records = by_hand::records();
            write(&Records { name, records });
        }
    }
    NAMES.into_iter().map(read).collect()
});

fn read(name: &'static str) -> Records {
    let path = here("records").join(name).with_extension("hex");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let records: Vec<_> = text
        .split("\n\n")
        .map(|block| {
            let (title, hex) = block.trim().split_once('\n').expect("a title and bytes");
            let title = title.strip_prefix("# ").expect("a title").to_owned();
            let digits: Vec<_> = hex.split_whitespace().flat_map(str::chars).collect();
            let bytes = digits.chunks(2).map(byte).collect();
            Record { title, bytes }
        })
        .collect();
    Records { name, records }
}

fn byte(digits: &[char]) -> u8 {
    let digits = String::from_iter(digits);
    u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("{digits:?} is not a byte"))
}

fn write(records: &Records) {
    let blocks: Vec<_> = records.records.iter().map(block).collect();
    let path = here("records").join(records.name).with_extension("hex");
    fs::write(path, blocks.join("\n")).unwrap();
}

fn block(record: &Record) -> String {
    let mut text = format!("# {}\n", record.title);
    for line in record.bytes.chunks(32) {
        let words = line.chunks(4).map(|word| {
            word.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            })
        });
        text.push_str(&words.collect::<Vec<_>>().join(" "));
        text.push('\n');
    }
    text
}
