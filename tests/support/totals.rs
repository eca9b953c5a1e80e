//! The totals of a run, as they follow from its events.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The keys of an event.
type Keys = Map<String, Value>;

/// Sums of events, by the keys of the stop notice.
pub(crate) fn keys(connects: &[Keys], outcomes: &[Keys]) -> Keys {
    let connects: Vec<_> = connects.iter().map(Kind::of).collect();
    let calls = |kind| connects.iter().filter(|&&found| found == kind).count();
    let with = |key: &str, value: Option<&str>| {
        let of = outcomes.iter().map(|keys| keys.get(key));
        of.filter(|found| match value {
            Some(value) => *found == Some(&value.into()),
            None => found.is_some(),
        })
        .count()
    };
    [
        ("events", connects.len()),
        ("failed", calls(Kind::Failed)),
        (
            "in_progress",
            calls(Kind::Unsettled) + calls(Kind::Unfollowed),
        ),
        ("unfollowed", calls(Kind::Unfollowed)),
        ("asked_again", calls(Kind::AsksAgain)),
        ("without_connection", calls(Kind::WithoutConnection)),
        ("outcomes", outcomes.len()),
        ("outcomes.established", with("outcome", Some("established"))),
        ("outcomes.failed", with("outcome", Some("failed"))),
        (
            "outcomes.associations",
            outcomes
                .iter()
                .filter(|keys| {
                    keys.get("outcome") == Some(&"failed".into()) && makes_no_connection(keys)
                })
                .count(),
        ),
        ("outcomes.abandoned", with("outcome", Some("abandoned"))),
        ("outcomes.superseded", with("superseded_by", None)),
    ]
    .into_iter()
    .map(|(key, count)| (key.to_owned(), count.into()))
    .collect()
}

/// The line for a person, of these sums.
pub(crate) fn line(sums: &Keys, unsettled: u64, lost: &BTreeMap<String, u64>) -> String {
    let of = |key: &str| sums.get(key).and_then(Value::as_u64).unwrap_or_default();
    let others = of("failed") + of("in_progress") + of("asked_again") + of("without_connection");
    let established = of("events") - others + of("outcomes.established");
    let superseded = of("outcomes.superseded");
    let associations = of("outcomes.associations");
    let failed = of("failed") + of("outcomes.failed") - associations;
    let parts = [
        (established, "established", true),
        (failed, "failed", true),
        (of("outcomes.abandoned") - superseded, "given up", true),
        (superseded, "superseded", false),
        (unsettled, "still open", true),
        (of("unfollowed"), "of unknown end", false),
    ];
    let all: u64 = parts.iter().map(|(count, ..)| count).sum();
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _, always)| *always || *count > 0)
        .map(|(count, name, _)| format!("{count} {name}"))
        .collect();
    let plural = |count| if count == 1 { "" } else { "s" };
    let mut line = format!("totals: {all} attempt{}: {}", plural(all), parts.join(", "));
    for (key, what) in [
        ("without_connection", "without a connection (datagrams)"),
        ("asked_again", "that only asked again"),
    ] {
        let count = of(key);
        if count > 0 {
            line = format!("{line}; {count} call{} {what}", plural(count));
        }
        if key == "without_connection" && associations > 0 {
            line = format!("{line}, {associations} of them failed later");
        }
    }
    let (events, outcomes) = (of("events"), of("outcomes"));
    line = format!("{line}; events: {events} connect, {outcomes} outcome; ");
    let sum: u64 = lost.values().sum();
    if sum == 0 {
        return line + "nothing lost";
    }
    let reasons: Vec<_> = lost
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    format!("{line}LOST {sum}: {}", reasons.join(", "))
}

/// What a call's event says of its attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Established,
    Failed,
    Unsettled,
    Unfollowed,
    AsksAgain,
    WithoutConnection,
}

impl Kind {
    fn of(keys: &Keys) -> Self {
        const EINPROGRESS: u64 = 115;
        match keys.get("errno").and_then(Value::as_u64) {
            _ if keys.contains_key("attempt") && keys.get("attempt") != keys.get("id") => {
                Self::AsksAgain
            }
            _ if keys.contains_key("unsettled") => Self::Unsettled,
            Some(EINPROGRESS) => Self::Unfollowed,
            Some(0) if makes_no_connection(keys) => Self::WithoutConnection,
            Some(0) => Self::Established,
            _ => Self::Failed,
        }
    }
}

/// Whether a success of this call leaves no connection: of datagrams, or as it dissolves what was there.
fn makes_no_connection(keys: &Keys) -> bool {
    let text = |key: &str| keys.get(key).and_then(Value::as_str).unwrap_or_default();
    let datagrams = ["udp", "udplite", "icmp", "raw"];
    let others = ["AF_UNSPEC", "AF_NETLINK", "AF_PACKET", "AF_QIPCRTR"];
    let only_notes = ["dgram", "raw", "rdm", "packet"].contains(&text("socket.type"))
        && [
            "AF_UNIX",
            "AF_INET",
            "AF_INET6",
            "AF_NETLINK",
            "AF_CAN",
            "AF_TIPC",
            "AF_VSOCK",
            "AF_QIPCRTR",
        ]
        .contains(&text("address.family"));
    only_notes
        || datagrams.contains(&text("network.transport"))
        || others.contains(&text("address.family"))
}
