//! What only the rarer address families say.

use super::entry::Entry;

/// What the status codes of a Bluetooth controller have in common.
const BLUETOOTH: &[(&str, &str)] = &[
    ("btmon", "the controller's status, while it happens"),
    (
        "bluetoothctl show; bluetoothctl info ADDR",
        "the adapter and the device",
    ),
];

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "ESOCKTNOSUPPORT",
        meaning: "the vsock transport lacks this socket type",
        hint: "vsock: SOCK_SEQPACKET is not supported by host or hypervisor",
        situations: &[(
            "vsock",
            "A SOCK_SEQPACKET socket, and the transport to that CID has streams only.",
        )],
        causes: &["The hypervisor, or the kernel on either side, is too old for it."],
        look_at: &[(
            "ss --vsock -a; uname -r",
            "which types are in use; the kernels of guest and host",
        )],
    },
    Entry {
        name: "EPROTONOSUPPORT",
        meaning: "the Bluetooth device does not support the protocol",
        hint: "from Bluetooth only; otherwise it is socket() that says this",
        situations: &[(
            "Bluetooth",
            "The device does not support what was asked for.",
        )],
        causes: &["For other families: the message comes from socket() and not from connect."],
        look_at: BLUETOOTH,
    },
    Entry {
        name: "EDESTADDRREQ",
        meaning: "the RDS address names no destination",
        hint: "RDS: 0.0.0.0 or :: is no destination",
        situations: &[(
            "RDS",
            "The address is 0.0.0.0 or ::, which RDS does not take for localhost.",
        )],
        causes: &["The destination was never filled in."],
        look_at: &[(
            "connect-observer trace --failed",
            "the address as it was passed",
        )],
    },
    Entry {
        name: "ENOTCONN",
        meaning: "the link to the Bluetooth device is gone",
        hint: "Bluetooth: the controller knows no such link",
        situations: &[("Bluetooth", "The controller knows no link of that number.")],
        causes: &["The link was lost while the connection was being set up."],
        look_at: BLUETOOTH,
    },
    Entry {
        name: "EBADFD",
        meaning: "the Bluetooth socket is in the wrong state",
        hint: "Bluetooth: this socket has been used; make a new one",
        situations: &[(
            "Bluetooth",
            "The socket is neither new nor bound: it has been used.",
        )],
        causes: &["The application tries the same socket again after a failure."],
        look_at: &[(
            "connect-observer trace --pid PID",
            "earlier calls on the same descriptor",
        )],
    },
    Entry {
        name: "EBADE",
        meaning: "the Bluetooth pairing key is missing",
        hint: "Bluetooth: PIN or key missing; remove the device and pair it anew",
        situations: &[("Bluetooth", "The controller says: PIN or key missing.")],
        causes: &["The device forgot this host, or this host forgot the device."],
        look_at: BLUETOOTH,
    },
    Entry {
        name: "EBADRQC",
        meaning: "the Bluetooth adapter does not know the command",
        hint: "Bluetooth: the adapter does not know the command",
        situations: &[("Bluetooth", "The controller says: unknown command.")],
        causes: &["An adapter, or its firmware, that is too old."],
        look_at: BLUETOOTH,
    },
    Entry {
        name: "EMLINK",
        meaning: "the Bluetooth adapter has too many links",
        hint: "Bluetooth: the adapter is at its limit of connections",
        situations: &[(
            "Bluetooth",
            "The controller is at its limit of connections.",
        )],
        causes: &["Too many devices are connected to this adapter."],
        look_at: BLUETOOTH,
    },
];
