//! What is printed, compared with `golden/`.

use std::{fs, iter};

use connect_observer::{
    attach::{
        selection::Functions,
        survey::{Associations, IoUring, Outcomes, Survey},
    },
    clock::Clock,
    coverage::Coverage,
    decode::decode,
    event::{Event, Lost, Notice},
    host::layout::FunctionIds,
    loss::Loss,
    observation::Means,
    sink::{Sink, Style, Summary, Table},
    superseded::Rivals,
    totals::{Tally, Totals},
};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    blessing,
    check::BOOT_NS,
    here,
    records::{ALL, Records},
};

#[test]
fn recorded_records() {
    for Records { name, records } in &*ALL {
        let mut rivals = Rivals::default();
        let events: Vec<_> = records
            .iter()
            .map(|record| {
                let mut event = decode(&record.bytes, &Clock::fixed(BOOT_NS))
                    .unwrap_or_else(|malformed| panic!("{name}, {}: {malformed}", record.title));
                rivals.judge(&mut event);
                event
            })
            .collect();
        compare(name, &events);
    }
}

/// What the agent itself has to say in the stream.
#[test]
fn notices_and_losses() {
    let at = |seconds: i64| Timestamp::from_second(1_767_225_600 + seconds).unwrap();
    let start = Event::Notice(Notice::Start {
        timestamp: at(0),
        coverage: Coverage::of(
            &Survey {
                interruptions: Some(true),
                outcomes: Outcomes::WithoutErrno("no BTF".to_owned()),
                associations: Associations::Off("no BTF".to_owned()),
                io_uring: IoUring::Off("no BTF".to_owned()),
                functions: FunctionIds::default(),
            },
            &Functions::Refused("the kernel has no BTF".to_owned()),
            Means::ALL,
        ),
    });
    let stop = |seconds, totals| {
        Event::Notice(Notice::Stop {
            timestamp: at(seconds),
            totals,
        })
    };
    let mut totals = Totals {
        tally: Tally {
            events: 1000,
            failed: 30,
            in_progress: 4,
            outcomes: 3,
            established: 1,
            outcomes_failed: 1,
            abandoned: 1,
            ..Tally::default()
        },
        unsettled: 1,
        ..Totals::default()
    };
    let mut losses = Vec::new();
    for (seconds, reason) in (1..).zip(Loss::ALL) {
        let count = 10_u64.pow(u32::try_from(seconds).unwrap());
        totals.lose(reason, count);
        losses.push(Event::Lost(Lost {
            timestamp: at(seconds),
            count,
            reason: reason.name(),
        }));
    }
    losses.push(Event::Lost(Lost {
        timestamp: at(8),
        count: u64::MAX,
        reason: "ring_full",
    }));

    compare(
        "nothing-happened",
        &[start.clone(), stop(1, Totals::default())],
    );
    let all: Vec<_> = iter::once(start)
        .chain(losses)
        .chain([stop(9, totals)])
        .collect();
    compare("losses", &all);
}

/// Compares the events in every form with the golden files of this name.
fn compare(name: &str, events: &[Event]) {
    let style = |width, color, explain| {
        Table::new(Style {
            color,
            width,
            time_zone: TimeZone::UTC,
            explain,
        })
    };
    let table = |width, color| Sink::Table(style(width, color, false));
    let wrong: Vec<_> = [
        ("80.txt", table(Some(80), false)),
        ("80.color.txt", table(Some(80), true)),
        ("wide.txt", table(None, false)),
        ("wide.color.txt", table(Some(100), true)),
        ("explain.txt", Sink::Table(style(Some(80), false, true))),
        ("jsonl", Sink::Json),
        (
            "summary.txt",
            Sink::TableSummary(style(Some(80), false, false), Summary::default()),
        ),
        ("summary.json", Sink::JsonSummary(Summary::default())),
    ]
    .into_iter()
    .filter_map(|(form, sink)| differs(&format!("{name}.{form}"), &printed(sink, events)).err())
    .collect();
    assert!(
        wrong.is_empty(),
        "{}\nIf this is meant to be so: BLESS=1 cargo xtask test --fast, then look at git diff.",
        wrong.join("\n")
    );
}

fn printed(mut sink: Sink, events: &[Event]) -> String {
    let mut text = Vec::new();
    sink.begin(&mut text);
    for event in events {
        sink.write(event, &mut text);
    }
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    text.extend(sink.end(&Totals::default(), at).concat());
    String::from_utf8(text).unwrap()
}

fn differs(file: &str, printed: &str) -> Result<(), String> {
    let path = here("golden").join(file);
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if golden == printed {
        return Ok(());
    }
    if blessing() {
        eprintln!("writing {}", path.display());
        fs::write(&path, printed).unwrap();
        return Ok(());
    }
    Err(format!("{file}:\n{}", difference(&golden, printed)))
}

/// The lines that differ, without what is the same before and after them.
fn difference(golden: &str, printed: &str) -> String {
    let [mut old, mut new] =
        [golden, printed].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(old, new)| old == new).count()
    };
    let before = same(&mut old.iter().zip(&new));
    old.drain(..before);
    new.drain(..before);
    let after = same(&mut old.iter().rev().zip(new.iter().rev()));
    old.truncate(old.len() - after);
    new.truncate(new.len() - after);
    let signed = |sign, lines: Vec<&str>| {
        let lines = lines
            .into_iter()
            .map(|line| format!("{sign}{}\n", line.escape_debug()));
        lines.collect::<String>()
    };
    format!(
        "@@ from line {} on @@\n{}{}",
        before + 1,
        signed('-', old),
        signed('+', new)
    )
}

#[test]
fn a_difference_shows_only_what_differs() {
    assert_eq!(
        difference("a\nb\nc\nd\n", "a\nB\n\x1b\nd\n"),
        "@@ from line 2 on @@\n-b\\n\n-c\\n\n+B\\n\n+\\u{1b}\\n\n"
    );
    assert_eq!(difference("", "a\n"), "@@ from line 1 on @@\n+a\\n\n");
    assert_eq!(difference("a\n", "a"), "@@ from line 1 on @@\n-a\\n\n+a\n");
}
