//! What must hold of any bytes that could ever come out of the ring buffer.
//!
//! One piece of logic for two users: the fuzz target, and the replay tests with their seeds and
//! property tests.

use std::{fmt, net::Ipv4Addr};

use connect_ebpf::{
    code::{self, AddressSource, Settlement},
    record::{self, ADDRESS_MAX, Endpoints, Header, KNOWN_ADDRLEN, KNOWN_ENTRY, KNOWN_FD},
};
use connect_observer::{
    clock::Clock,
    decode::decode,
    errno,
    event::{Call, Connect, Event, Outcome},
    sink::{Sink, Style, Summary, Table},
    totals::Totals,
};
use jiff::{Timestamp, tz::TimeZone};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
use zerocopy::{FromBytes, IntoBytes as _};

/// 2026-01-01T00:00:00Z, as the wall's time at boot.
pub(crate) const BOOT_NS: i128 = 1_767_225_600_000_000_000;

/// Checks the bytes as they are, and as the body of records whose header is right: random bytes
/// hardly ever get past the header.
pub(crate) fn check(bytes: &[u8]) {
    check_as_is(bytes);
    check_as_is(as_connect(bytes).as_bytes());
    check_as_is(as_outcome(bytes).as_bytes());
}

/// The bytes where they stand in a record, cut or filled up with zeros.
fn filled<T: FromBytes>(bytes: &[u8]) -> T {
    let mut image = vec![0; size_of::<T>()];
    for (to, from) in image.iter_mut().zip(bytes) {
        *to = *from;
    }
    T::read_from_bytes(&image).expect("the length is right")
}

/// But for the fields that decide whether it is one.
fn as_connect(bytes: &[u8]) -> record::Connect {
    let record: record::Connect = filled(bytes);
    record::Connect {
        header: Header::of::<record::Connect>(code::Kind::Connect),
        call: possible_call(record.call),
        killed: record.killed % 2,
        unsettled: record.unsettled % 2,
        transport: record.transport % 12,
        endpoints: possible_endpoints(record.endpoints),
        ..record
    }
}

fn as_outcome(bytes: &[u8]) -> record::Outcome {
    let record: record::Outcome = filled(bytes);
    record::Outcome {
        header: Header::of::<record::Outcome>(code::Kind::Outcome),
        call: possible_call(record.call),
        outcome: 1 + record.outcome % 3,
        transport: record.transport % 12,
        endpoints: possible_endpoints(record.endpoints),
        ..record
    }
}

const fn possible_call(call: record::Call) -> record::Call {
    record::Call {
        address_len: call.address_len % 129,
        address_source: call.address_source % 4,
        via: 1 + call.via % 4,
        ..call
    }
}

const fn possible_endpoints(endpoints: Endpoints) -> Endpoints {
    let family = match endpoints.family % 3 {
        1 => 2,
        2 => 10,
        _ => 0,
    };
    Endpoints {
        family,
        ..endpoints
    }
}

fn check_as_is(bytes: &[u8]) {
    let Ok(event) = decode(bytes, &Clock::fixed(BOOT_NS)) else {
        return;
    };
    match &event {
        Event::Connect(connect) => {
            let record: record::Connect = filled(bytes);
            assert_eq!(bytes.len(), size_of_val(&record));
            check_call(&record.call, &record.endpoints, &connect.id, &connect.call);
            check_connect(&record, connect);
        }
        Event::Outcome(outcome) => {
            let record: record::Outcome = filled(bytes);
            assert_eq!(bytes.len(), size_of_val(&record));
            check_call(&record.call, &record.endpoints, &outcome.id, &outcome.call);
            check_outcome(&record, outcome);
        }
        Event::Lost(_) | Event::Notice(_) => panic!("no record says {event:?}"),
    }
    check_json(&event);
    check_tables(&event);
    check_summaries(&event);
}

/// The event says of the call what the record says.
fn check_call(record: &record::Call, endpoints: &Endpoints, id: &str, call: &Call) {
    // The id can be turned back into time and thread, so it is unique where they are.
    let (time, tid) = id.split_once('-').expect("two numbers");
    assert_eq!(u64::from_str_radix(time, 16), Ok(record.entered_ns));
    assert_eq!(u32::from_str_radix(tid, 16), Ok(record.tid));

    let comm = record.comm.split(|&byte| byte == 0).next();
    assert_eq!(Some(unescape(&call.comm).as_slice()), comm);
    assert_eq!((call.pid, call.tid), (record.pid, record.tid));
    assert_eq!((call.uid, call.cgroup_id), (record.uid, record.cgroup_id));

    let known = |flag, value| (record.known & flag != 0).then_some(value);
    assert_eq!(call.fd, known(KNOWN_FD, record.fd));
    assert_eq!(call.addrlen, known(KNOWN_ADDRLEN, record.addrlen));

    let was_read = record.address_source != AddressSource::NotRead.number();
    assert_eq!(call.address_source.number(), record.address_source);
    assert_eq!(call.via.number(), record.via);
    let address = &call.address;
    let has_family = was_read && record.address_len >= 2;
    assert_eq!(address.family.is_some(), has_family);
    assert!(address.peer_address.is_none() || address.raw.is_none());
    if call.is_mapped() {
        assert_eq!(call.family(), Some("AF_INET"));
        let text = address.peer_address.as_deref().expect("an address");
        assert!(text.parse::<Ipv4Addr>().is_ok(), "{text}");
    }
    for ip in [call.local_address, call.destination_address] {
        assert_eq!(
            ip,
            ip.map(|ip| ip.to_canonical()),
            "IPv4 is written as IPv4"
        );
    }
    if let Some(raw) = &address.raw {
        assert_eq!(raw.len(), usize::from(record.address_len) * 2);
        assert!(raw.len() <= ADDRESS_MAX * 2);
    }

    let has_local = endpoints.family != 0 && endpoints.local_port != 0;
    let local_port = has_local.then_some(endpoints.local_port);
    assert_eq!(call.local_port, local_port);
    assert_eq!(call.local_address.is_some(), has_local);
    assert_eq!(
        call.destination_address.is_some(),
        call.destination_port.is_some()
    );
    assert!(call.destination_port.is_none() || endpoints.family != 0);
}

fn check_connect(record: &record::Connect, connect: &Connect) {
    let duration = (record.call.known & KNOWN_ENTRY != 0).then_some(record.duration_ns);
    assert_eq!(connect.duration_ns, duration);

    let is_error = (-4095..0).contains(&record.ret);
    let expected = if is_error { -record.ret } else { 0 };
    assert_eq!(i64::from(connect.errno), expected);
    let name = is_error.then(|| errno::label(connect.errno).into_owned());
    assert_eq!(connect.error_type, name);

    assert_eq!(connect.restarts.unwrap_or(0), record.restarts);
    assert_ne!(connect.restarts, Some(0), "absent instead");
    assert_eq!(connect.killed, (record.killed == 1).then_some(true));
    assert_eq!(connect.unsettled, (record.unsettled == 1).then_some(true));
    assert_eq!(connect.handshake_ns.unwrap_or(0), record.handshake_ns);
    assert_eq!(connect.attempt.is_some(), record.attempt_entered_ns != 0);
}

fn check_outcome(record: &record::Outcome, outcome: &Outcome) {
    assert_eq!(outcome.id, outcome.attempt);
    let (settlement, errno) = match (record.outcome, record.errno) {
        (1, _) => (Settlement::Established, Some(0)),
        (2, 0) => (Settlement::Failed, None),
        (2, errno) => (Settlement::Failed, Some(errno)),
        (3, errno) if errno != 0 => (Settlement::Abandoned, Some(errno)),
        (3, _) => (Settlement::Abandoned, None),
        (code, _) => panic!("{code} is no outcome"),
    };
    assert_eq!((outcome.outcome, outcome.errno), (settlement, errno));
    let name = errno.filter(|&errno| errno != 0);
    let name = name.map(|errno| errno::label(errno).into_owned());
    assert_eq!(outcome.error_type, name);
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Truth,
}

/// The public keys of an event, in their order; those with `true` are in every one.
const KEYS: [(&str, Kind, bool); 34] = [
    ("event", Kind::Text, true),
    ("id", Kind::Text, true),
    ("attempt", Kind::Text, false),
    ("timestamp", Kind::Text, true),
    ("process.pid", Kind::Number, true),
    ("thread.id", Kind::Number, true),
    ("process.comm", Kind::Text, true),
    ("process.real_user.id", Kind::Number, true),
    ("cgroup.id", Kind::Number, true),
    ("fd", Kind::Number, false),
    ("addrlen", Kind::Number, false),
    ("address.family", Kind::Text, false),
    ("network.type", Kind::Text, false),
    ("network.peer.address", Kind::Text, false),
    ("network.peer.port", Kind::Number, false),
    ("unix.type", Kind::Text, false),
    ("address.raw", Kind::Text, false),
    ("address.source", Kind::Text, false),
    ("network.transport", Kind::Text, false),
    ("socket.type", Kind::Text, false),
    ("network.local.address", Kind::Text, false),
    ("network.local.port", Kind::Number, false),
    ("destination.address", Kind::Text, false),
    ("destination.port", Kind::Number, false),
    ("via", Kind::Text, true),
    ("outcome", Kind::Text, false),
    ("superseded_by", Kind::Text, false),
    ("errno", Kind::Number, false),
    ("error.type", Kind::Text, false),
    ("unsettled", Kind::Truth, false),
    ("restarts", Kind::Number, false),
    ("killed", Kind::Truth, false),
    ("duration_ns", Kind::Number, false),
    ("handshake_ns", Kind::Number, false),
];

/// One line, one flat object, with the documented keys in their order and nothing else.
fn check_json(event: &Event) {
    let line = written(Sink::Json, event);
    assert_line(&line);
    let Object(pairs) = serde_json::from_str(&line).expect("JSON");
    let mut keys = KEYS.iter();
    for (name, value) in &pairs {
        let kind = keys
            .by_ref()
            .find_map(|(key, kind, _)| (key == name).then_some(*kind));
        let found = match value {
            Value::String(text) => {
                assert!(text.chars().all(is_harmless), "{name}: {text:?}");
                Some(Kind::Text)
            }
            Value::Number(number) => {
                assert!(!number.is_f64(), "{name}: {number}");
                Some(Kind::Number)
            }
            Value::Bool(_) => Some(Kind::Truth),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        assert_eq!(
            found, kind,
            "{name}: unknown, twice, out of order, or of another type: {line}"
        );
    }
    let value = |key: &str| {
        pairs
            .iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    };
    for (key, _, always) in KEYS {
        assert!(!always || value(key).is_some(), "{key} is missing: {line}");
    }
    let (kind, errno, comm) = match event {
        Event::Connect(connect) => ("connect", Some(connect.errno), &connect.call.comm),
        Event::Outcome(outcome) => ("outcome", outcome.errno, &outcome.call.comm),
        Event::Lost(_) | Event::Notice(_) => panic!("no record says {event:?}"),
    };
    assert_eq!(value("event"), Some(&kind.into()));
    assert_eq!(value("errno"), errno.map(Value::from).as_ref());
    let failed = errno.is_some_and(|errno| errno != 0);
    assert_eq!(value("error.type").is_some(), failed);
    assert_eq!(value("process.comm"), Some(&comm.as_str().into()));
}

/// The heading of a day, and one line below it, in every style; colour adds colour and nothing else, an explanation a line below.
fn check_tables(event: &Event) {
    for width in [Some(80), None] {
        let table = |color, explain| {
            Table::new(Style {
                color,
                width,
                time_zone: TimeZone::UTC,
                explain,
            })
        };
        let plain = written(Sink::Table(table(false, false)), event);
        let (heading, row) = plain.split_once('\n').expect("a heading");
        assert!(
            heading.starts_with("-- ") && heading.ends_with(" --"),
            "{heading:?}"
        );
        assert_line(&unwrapped(row, 50));
        let colored = written(Sink::Table(table(true, true)), event);
        let explained = without_color(&colored);
        let hint = explained.strip_prefix(&plain).expect("the same row");
        if !hint.is_empty() {
            assert_line(hint);
            assert!(hint.starts_with("  "), "{hint:?}");
        }
    }
}

/// One event is one row, of one line; but for a call that only asks for an attempt, which has a row already.
fn check_summaries(event: &Event) {
    let style = Style {
        color: true,
        width: Some(80),
        time_zone: TimeZone::UTC,
        explain: false,
    };
    let mut table = Sink::TableSummary(Table::new(style), Summary::default());
    if matches!(event, Event::Connect(connect) if connect.asks_again()) {
        assert_eq!(ended(&mut table, event).len(), 1, "only the titles");
        return;
    }
    let [titles, row] = ended(&mut table, event).try_into().expect("two lines");
    assert_line(&without_color(&titles));
    assert_line(&unwrapped(&without_color(&row), 50));

    let mut json = Sink::JsonSummary(Summary::default());
    let [line] = ended(&mut json, event).try_into().expect("one line");
    assert_line(&line);
    let page: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(page.pointer("/rows/0/count"), Some(&1.into()), "{page}");
}

/// What a sink writes after this event.
fn ended(sink: &mut Sink, event: &Event) -> Vec<String> {
    let mut line = Vec::new();
    sink.write(event, &mut line);
    assert!(line.is_empty(), "nothing before the end");
    let text = |line| String::from_utf8(line).expect("UTF-8");
    let lines = sink.end(&Totals::default(), Timestamp::UNIX_EPOCH);
    lines.into_iter().map(text).collect()
}

fn written(mut sink: Sink, event: &Event) -> String {
    let mut line = Vec::new();
    sink.write(event, &mut line);
    String::from_utf8(line).expect("UTF-8")
}

/// A row whose destination the table has broken, in one line again. What follows a break begins at
/// least `columns` from the left, where no row begins.
fn unwrapped(row: &str, columns: usize) -> String {
    let text = row.strip_suffix('\n').expect("a newline at the end");
    let margin = " ".repeat(columns);
    let lines: Vec<_> = text
        .split('\n')
        .enumerate()
        .map(|(number, line)| {
            assert!(number == 0 || line.starts_with(&margin), "{row:?}");
            if number == 0 { line } else { line.trim_start() }
        })
        .collect();
    lines.concat() + "\n"
}

fn assert_line(line: &str) {
    let text = line.strip_suffix('\n').expect("a newline at the end");
    assert!(!text.is_empty());
    assert!(text.chars().all(is_harmless), "{text:?}");
}

/// Neither drives a terminal, nor breaks or reorders a line, nor hides.
fn is_harmless(character: char) -> bool {
    let hidden = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}'];
    !character.is_control()
        && !('\u{200b}'..='\u{200f}').contains(&character)
        && !('\u{2028}'..='\u{202e}').contains(&character)
        && !('\u{2060}'..='\u{206f}').contains(&character)
        && !('\u{e0000}'..='\u{e0fff}').contains(&character)
        && !hidden.contains(&character)
}

/// Takes out what sets colours (ECMA-48: SGR), and only that.
fn without_color(line: &str) -> String {
    let mut pieces = line.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (parameters, rest) = piece.split_once('m').expect("an SGR sequence");
        let is_parameter = |character: char| character.is_ascii_digit() || character == ';';
        assert!(parameters.chars().all(is_parameter), "{parameters:?}");
        plain.push_str(rest);
    }
    plain
}

/// The bytes that escaped text stands for.
fn unescape(text: &str) -> Vec<u8> {
    let mut pieces = text.split('\\');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    while let Some(piece) = pieces.next() {
        if piece.is_empty() {
            // Two backslashes: what follows is literal again.
            bytes.push(b'\\');
            bytes.extend(pieces.next().expect("the second").bytes());
        } else {
            let (digits, rest) = piece
                .strip_prefix('x')
                .and_then(|piece| piece.split_at_checked(2))
                .expect("an x and two digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            bytes.extend(rest.bytes());
        }
    }
    bytes
}

/// An object with every pair as it was written, also two of one key.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}
