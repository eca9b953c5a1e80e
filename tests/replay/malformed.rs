//! Every way in which bytes are no record, and the reason that each is given.

use connect_ebpf::record::{Call, Connect, Endpoints, Header, Outcome, VERSION};
use connect_observer::{
    clock::Clock,
    decode::{
        Malformed::{self, Field, Kind, Length, Short, Version},
        decode,
    },
};
use zerocopy::IntoBytes as _;

use crate::by_hand::{LENGTH, connect, endpoints, outcome};

/// Length of a record.
const WHOLE: usize = size_of::<Connect>();

/// Title, bytes, reason.
pub(crate) type Case = (&'static str, Vec<u8>, Malformed);

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    [lengths(), kinds(), fields(), attempts()].concat()
}

fn lengths() -> Vec<Case> {
    let record = connect();
    let cut = |length: usize| record.as_bytes().iter().copied().take(length).collect();
    let longer = |by: usize| [record.as_bytes(), &vec![0; by]].concat();
    let honest = |length: u32, mut bytes: Vec<u8>| {
        bytes.splice(4..8, length.to_ne_bytes());
        bytes
    };
    vec![
        ("nothing", vec![], Short(0)),
        ("one byte", cut(1), Short(1)),
        ("one byte less than a header", cut(7), Short(7)),
        (
            "only a header",
            cut(8),
            Length {
                said: LENGTH,
                got: 8,
            },
        ),
        (
            "only a header, which says so",
            honest(8, cut(8)),
            Length { said: 8, got: 8 },
        ),
        (
            "cut in the address",
            cut(WHOLE - 1),
            Length {
                said: LENGTH,
                got: WHOLE - 1,
            },
        ),
        (
            "cut in the address, which the header says",
            honest(LENGTH - 1, cut(WHOLE - 1)),
            Length {
                said: LENGTH - 1,
                got: WHOLE - 1,
            },
        ),
        (
            "too long",
            longer(1),
            Length {
                said: LENGTH,
                got: WHOLE + 1,
            },
        ),
        (
            "too long, which the header says",
            honest(LENGTH + 8, longer(8)),
            Length {
                said: LENGTH + 8,
                got: WHOLE + 8,
            },
        ),
        (
            "two records in one",
            [record.as_bytes(), record.as_bytes()].concat(),
            Length {
                said: LENGTH,
                got: WHOLE * 2,
            },
        ),
        (
            "says that it is empty",
            honest(0, cut(WHOLE)),
            Length {
                said: 0,
                got: WHOLE,
            },
        ),
        (
            "says that it is endless",
            honest(u32::MAX, cut(WHOLE)),
            Length {
                said: u32::MAX,
                got: WHOLE,
            },
        ),
    ]
}

fn kinds() -> Vec<Case> {
    let record = connect();
    let header = record.header;
    let under = |header: Header| Connect { header, ..record }.as_bytes().to_vec();
    vec![
        (
            "version 0",
            under(Header {
                version: 0,
                ..header
            }),
            Version(0),
        ),
        (
            "the next version",
            under(Header {
                version: VERSION + 1,
                ..header
            }),
            Version(VERSION + 1),
        ),
        (
            "the next version, of another kind and length",
            under(Header {
                version: VERSION + 1,
                kind: 9,
                length: 9,
            }),
            Version(VERSION + 1),
        ),
        (
            "the version in the other byte order",
            under(Header {
                version: 0x0100,
                ..header
            }),
            Version(0x0100),
        ),
        ("kind 0", under(Header { kind: 0, ..header }), Kind(0)),
        (
            "the next kind",
            under(Header { kind: 3, ..header }),
            Kind(3),
        ),
        (
            "the largest kind",
            under(Header {
                kind: u16::MAX,
                ..header
            }),
            Kind(u16::MAX),
        ),
        (
            "an unknown kind of the wrong length",
            under(Header {
                kind: 3,
                length: 9,
                ..header
            }),
            Length {
                said: 9,
                got: WHOLE,
            },
        ),
        ("only zeros", vec![0; WHOLE], Version(0)),
        ("only ones", vec![0xff; WHOLE], Version(u16::MAX)),
    ]
}

fn fields() -> Vec<Case> {
    let record = connect();
    let with = |record: Connect| record.as_bytes().to_vec();
    vec![
        (
            "an address longer than any",
            with(Connect {
                call: Call {
                    address_len: 129,
                    ..record.call
                },
                ..record
            }),
            Field("address_len"),
        ),
        (
            "an address of 255 bytes",
            with(Connect {
                call: Call {
                    address_len: 255,
                    ..record.call
                },
                ..record
            }),
            Field("address_len"),
        ),
        (
            "an unknown source",
            with(Connect {
                call: Call {
                    address_source: 4,
                    ..record.call
                },
                ..record
            }),
            Field("address_source"),
        ),
        (
            "no way into connect",
            with(Connect {
                call: Call {
                    via: 0,
                    ..record.call
                },
                ..record
            }),
            Field("via"),
        ),
        (
            "an unknown way into connect",
            with(Connect {
                call: Call {
                    via: 5,
                    ..record.call
                },
                ..record
            }),
            Field("via"),
        ),
        (
            "neither killed nor not",
            with(Connect {
                killed: 2,
                ..record
            }),
            Field("killed"),
        ),
        (
            "an address too long, although it was not read",
            with(Connect {
                call: Call {
                    address_len: 200,
                    address_source: 0,
                    ..record.call
                },
                ..record
            }),
            Field("address_len"),
        ),
    ]
}

/// Of an attempt and its outcome.
fn attempts() -> Vec<Case> {
    let record = connect();
    let with = |record: Connect| record.as_bytes().to_vec();
    vec![
        (
            "neither unsettled nor not",
            with(Connect {
                unsettled: 2,
                ..record
            }),
            Field("unsettled"),
        ),
        (
            "an unknown transport",
            with(Connect {
                transport: 12,
                ..record
            }),
            Field("transport"),
        ),
        (
            "ends of another family",
            with(Connect {
                endpoints: Endpoints {
                    family: 1,
                    ..endpoints()
                },
                ..record
            }),
            Field("endpoints"),
        ),
        (
            "an outcome that is not settled",
            Outcome {
                outcome: 0,
                ..outcome()
            }
            .as_bytes()
            .to_vec(),
            Field("outcome"),
        ),
        (
            "an unknown outcome",
            Outcome {
                outcome: 4,
                ..outcome()
            }
            .as_bytes()
            .to_vec(),
            Field("outcome"),
        ),
        (
            "an outcome as long as a connect",
            Outcome {
                header: Header {
                    length: LENGTH,
                    ..outcome().header
                },
                ..outcome()
            }
            .as_bytes()
            .iter()
            .copied()
            .chain([0; WHOLE - size_of::<Outcome>()])
            .collect(),
            Length {
                said: LENGTH,
                got: WHOLE,
            },
        ),
    ]
}

fn reason(bytes: &[u8]) -> Option<Malformed> {
    decode(bytes, &Clock::fixed(0)).err()
}

#[test]
fn each_has_its_reason() {
    for (title, bytes, expected) in cases() {
        assert_eq!(reason(&bytes), Some(expected), "{title}");
    }
}

#[test]
fn the_record_that_they_were_made_of_is_none() {
    assert_eq!(reason(connect().as_bytes()), None);
}

/// At every length, whether the header owns up to it or not.
#[test]
fn cut_anywhere() {
    let whole = connect();
    for got in 0..WHOLE {
        let cut: Vec<_> = whole.as_bytes().iter().copied().take(got).collect();
        let expected = if got < 8 {
            Short(got)
        } else {
            Length { said: LENGTH, got }
        };
        assert_eq!(reason(&cut), Some(expected), "{got} bytes");

        let said = u32::try_from(got).unwrap();
        let header = Header {
            length: said,
            ..whole.header
        };
        let honest: Vec<_> = Connect { header, ..whole }
            .as_bytes()
            .iter()
            .copied()
            .take(got)
            .collect();
        let expected = if got < 8 {
            Short(got)
        } else {
            Length { said, got }
        };
        assert_eq!(reason(&honest), Some(expected), "{got} honest bytes");
    }
}

/// Each value of each field that has a few.
#[test]
fn every_discriminant() {
    let record = connect();
    for value in 0..=u8::MAX {
        let reason = |record: Connect| reason(record.as_bytes());
        let unless = |known: bool, name| (!known).then_some(Field(name));
        let via = reason(Connect {
            call: Call {
                via: value,
                ..record.call
            },
            ..record
        });
        assert_eq!(via, unless((1..=4).contains(&value), "via"), "{value}");
        let source = reason(Connect {
            call: Call {
                address_source: value,
                ..record.call
            },
            ..record
        });
        assert_eq!(source, unless(value <= 3, "address_source"), "{value}");
        let killed = reason(Connect {
            killed: value,
            ..record
        });
        assert_eq!(killed, unless(value <= 1, "killed"), "{value}");
        let unsettled = reason(Connect {
            unsettled: value,
            ..record
        });
        assert_eq!(unsettled, unless(value <= 1, "unsettled"), "{value}");
        let transport = reason(Connect {
            transport: value,
            ..record
        });
        assert_eq!(transport, unless(value <= 11, "transport"), "{value}");
        let length = reason(Connect {
            call: Call {
                address_len: value,
                ..record.call
            },
            ..record
        });
        assert_eq!(length, unless(value <= 128, "address_len"), "{value}");
    }
}

/// What the log says of them is for a person.
#[test]
fn reasons_are_sentences() {
    for (malformed, sentence) in [
        (Short(7), "7 bytes are too short for a record"),
        (Version(4), "record version 4 is unknown"),
        (Kind(9), "record kind 9 is unknown"),
        (
            Length {
                said: 208,
                got: 207,
            },
            "a record of 207 bytes says that it has 208",
        ),
        (Field("via"), "field via has an impossible value"),
    ] {
        assert_eq!(malformed.to_string(), sentence);
    }
}
