//! What the caller passed, and in which state its socket was.

use super::entry::Entry;

/// What the number 0 means.
pub(super) const SUCCESS: Entry = Entry {
    name: "OK",
    meaning: "the call succeeded",
    hint: "",
    situations: &[
        (
            "TCP, unix",
            "Connected. That the server has accepted is not said: its backlog may still hold the \
             connection. With TCP_FASTOPEN_CONNECT nothing may have been sent yet.",
        ),
        (
            "UDP",
            "Shown as associated, as nothing was sent: connect-observer explain associated. Only \
             where nobody looks at sockets (--skip-socket) it is ok, too.",
        ),
        ("any", "To AF_UNSPEC: shown as dissolved."),
    ],
    causes: &[],
    look_at: &[("ss -tnp dst ADDR", "the connection")],
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "EINPROGRESS",
        meaning: "no failure: the attempt goes on, its outcome comes later",
        hint: "no failure: the attempt goes on, its outcome comes later",
        situations: &[
            (
                "TCP, vsock",
                "The socket is non-blocking. Once it is writable, SO_ERROR tells how it ended.",
            ),
            (
                "TCP",
                "Also on a blocking socket: its SO_SNDTIMEO ran out. The attempt goes on.",
            ),
            (
                "unix",
                "Never: a unix connect is done at once, or is EAGAIN when non-blocking.",
            ),
        ],
        causes: &[
            "An event loop at work: this is the usual first answer.",
            "A timeout set with SO_SNDTIMEO; for such a caller it does mean no answer in time.",
        ],
        look_at: &[
            ("the outcome event of the same id", "how the attempt ended"),
            ("ss -tnpo state syn-sent", "attempts still waiting"),
        ],
    },
    Entry {
        name: "EALREADY",
        meaning: "an earlier attempt on this socket is still under way",
        hint: "the first attempt is still under way: poll, don't call connect again",
        situations: &[(
            "any",
            "connect was called again before the first attempt was settled: on a non-blocking \
             socket, or after SO_SNDTIMEO ran out. (A blocking call without that option waits for \
             the first attempt instead.)",
        )],
        causes: &[
            "The application calls connect in a loop where it should wait until the socket is \
             writable.",
            "It took EINPROGRESS or EINTR for the end of the first attempt.",
            "Two threads share the socket.",
        ],
        look_at: &[
            (
                "connect-observer trace --pid PID",
                "the first call on the same descriptor, and its outcome",
            ),
            ("ss -tnpo state syn-sent", "whom it waits for"),
        ],
    },
    Entry {
        name: "EISCONN",
        meaning: "the socket is already connected",
        hint: "already connected, or a listening socket: look at the FD",
        situations: &[
            (
                "TCP, unix",
                "A connected stream socket connects only once. A listening TCP socket says this \
                 too; a listening unix socket says EINVAL.",
            ),
            (
                "UDP",
                "Never: a datagram socket changes its destination, as often as it likes.",
            ),
        ],
        causes: &[
            "Harmless: connect was called once more to see whether a non-blocking attempt is done.",
            "The application mixed up its descriptors, or uses one socket in two places.",
        ],
        look_at: &[
            (
                "lsof -nP -a -p PID -d FD",
                "what the descriptor is connected to",
            ),
            ("ss -tnp | grep pid=PID", "all connections of the process"),
        ],
    },
    Entry {
        name: "EINTR",
        meaning: "a signal handler interrupted the call",
        hint: "a signal came: the attempt may go on, so poll before you retry",
        situations: &[
            (
                "TCP",
                "A handler without SA_RESTART ran, or SO_SNDTIMEO is set, which rules a restart \
                 out. The attempt goes on in the background: calling connect again gives EALREADY, \
                 or waits on.",
            ),
            (
                "unix, vsock",
                "The wait was given up and nothing goes on: calling connect again starts afresh. \
                 vsock never restarts, whatever SA_RESTART says: its wait has a time limit.",
            ),
        ],
        causes: &[
            "A timer: an alarm as timeout, a profiler's SIGPROF, a language runtime that preempts.",
            "SIGCHLD, SIGWINCH or a signal from an operator.",
        ],
        look_at: &[
            (
                "strace -f -e trace=connect -p PID",
                "which signal comes: strace shows signals too",
            ),
            (
                "grep SigCgt /proc/PID/status",
                "which signals have a handler, as a bit mask",
            ),
        ],
    },
    Entry {
        name: "ERESTARTSYS",
        meaning: "interrupted by a signal: never reached the application",
        hint: "a signal came; the application sees EINTR, or a restarted call",
        situations: &[(
            "any",
            "The kernel's own note that a signal interrupted the call. It then becomes EINTR, or \
             the call is restarted, or the process dies. Shown where the call never returned \
             (killed), or where the hooks that tell which are missing.",
        )],
        causes: &[
            "The process was killed while it waited in connect.",
            "This kernel lacks a hook that the tool needs to follow the call.",
        ],
        look_at: &[
            ("connect-observer check", "which hooks are missing"),
            (
                "journalctl -k -e",
                "whether the kernel killed it (out of memory)",
            ),
        ],
    },
    Entry {
        name: "EINVAL",
        meaning: "the address, its length or the socket's state is invalid",
        hint: "check addrlen and family; fe80:: without interface; blackhole route",
        situations: &[
            (
                "any",
                "addrlen is negative, above 128, or too short for the family.",
            ),
            (
                "IPv6",
                "A link-local address (fe80::) without an interface, or with another than the \
                 socket is bound to. A struct sockaddr_in on an IPv6 TCP socket: too short.",
            ),
            (
                "IPv4, IPv6",
                "The route or routing rule is of type blackhole. IPv4: the socket is bound to \
                 127.0.0.1 and the destination is elsewhere.",
            ),
            (
                "unix",
                "The path has more than 108 bytes, or none; the family is not AF_UNIX; the socket \
                 is itself listening.",
            ),
            (
                "vsock",
                "The family is not AF_VSOCK, or the socket is listening or shut down.",
            ),
            ("netlink", "The family is not AF_NETLINK."),
        ],
        causes: &[
            "fe80::... was given without %interface.",
            "A unix path longer than 108 bytes: deep build or test directories.",
            "sizeof of the wrong structure or of a pointer, or an address never filled in.",
            "A blackhole route: a VPN's kill switch, or an address that was banned.",
        ],
        look_at: &[
            (
                "connect-observer trace --failed --output json",
                "addrlen and the address as they were passed",
            ),
            (
                "ip route get ADDR",
                "fails with the same error if the route is blackhole",
            ),
            ("ss -tanp | grep pid=PID", "what the socket is bound to"),
        ],
    },
    Entry {
        name: "EAFNOSUPPORT",
        meaning: "the address is of another family than the socket",
        hint: "IPv4 socket with IPv6 address, or the reverse",
        situations: &[
            (
                "TCP, UDP",
                "The family in the address is not the socket's. An IPv6 UDP socket does take an \
                 IPv4 address, unless it has IPV6_V6ONLY.",
            ),
            ("unix, vsock", "A wrong family is EINVAL there."),
            (
                "any",
                "Family 0 is AF_UNSPEC: it dissolves an association and returns 0 on TCP and UDP.",
            ),
        ],
        causes: &[
            "The socket was made for one family, and the name was resolved to the other.",
            "The family was overwritten, or is in network byte order.",
            "On a host without IPv6, it is socket() and not connect that says this.",
        ],
        look_at: &[
            (
                "strace -f -e trace=socket,connect -p PID",
                "the family of the socket and of the address",
            ),
            ("getent ahosts NAME", "what a name resolves to"),
        ],
    },
    Entry {
        name: "EBADF",
        meaning: "the descriptor is not open",
        hint: "the descriptor is closed, or was never open: look at the FD",
        situations: &[(
            "any",
            "No open file has this number, or it was opened with O_PATH. Looked at before all \
             else.",
        )],
        causes: &[
            "The descriptor was closed before, perhaps by another thread.",
            "-1: socket() failed and nobody looked.",
            "A descriptor that was meant to be inherited was closed by exec (O_CLOEXEC).",
        ],
        look_at: &[
            ("ls -l /proc/PID/fd", "what is open"),
            (
                "strace -f -e trace=socket,connect,close -p PID",
                "who closed it",
            ),
        ],
    },
    Entry {
        name: "ENOTSOCK",
        meaning: "the descriptor is no socket",
        hint: "the FD is a file or pipe: ls -l /proc/PID/fd/FD",
        situations: &[(
            "any",
            "The descriptor is open, but it is a file, a pipe or a terminal.",
        )],
        causes: &[
            "The socket was closed and its number was given to the next file opened.",
            "The wrong variable, or descriptor 0 from a structure of zeros.",
        ],
        look_at: &[
            ("ls -l /proc/PID/fd/FD", "what it is"),
            (
                "strace -f -e trace=desc,connect -p PID",
                "how it came about",
            ),
        ],
    },
    Entry {
        name: "EFAULT",
        meaning: "the pointer to the address is bad",
        hint: "the address pointer is bad: NULL, freed, or addrlen is too large",
        situations: &[(
            "any",
            "The kernel could not read addrlen bytes from there. Looked at before the kind of \
             descriptor, so it can hide ENOTSOCK.",
        )],
        causes: &[
            "NULL, or memory that was unmapped.",
            "addrlen is larger than the structure, which ends where readable memory ends.",
            "A language binding that passed a pointer of the wrong kind.",
        ],
        look_at: &[
            (
                "strace -f -e trace=connect -p PID",
                "the pointer, shown raw when it cannot be read",
            ),
            ("cat /proc/PID/maps", "what is mapped there"),
        ],
    },
    Entry {
        name: "EOPNOTSUPP",
        meaning: "this kind of socket has no connect",
        hint: "this socket type cannot connect: look at the family column",
        situations: &[
            (
                "any",
                "The family has no connect at all: AF_PACKET, AF_XDP, AF_ALG, AF_KEY.",
            ),
            (
                "TCP",
                "AF_UNSPEC on a socket with kernel TLS; or ICMP source route failed came back.",
            ),
            (
                "Bluetooth",
                "The device does not support what was asked for.",
            ),
        ],
        causes: &[
            "The application connects a socket of the wrong kind; these want bind().",
            "A connection pool tries to reset a TLS socket by AF_UNSPEC.",
        ],
        look_at: &[(
            "strace -f -e trace=socket,connect -p PID",
            "how the socket was made",
        )],
    },
    Entry {
        name: "EPIPE",
        meaning: "another thread dissolved the attempt",
        hint: "another thread called connect with AF_UNSPEC on this socket",
        situations: &[(
            "TCP",
            "While this call waited, another thread disconnected the same socket by connecting it \
             to AF_UNSPEC (kernels since about 6.6).",
        )],
        causes: &["Two threads share the socket, and one gave up waiting."],
        look_at: &[(
            "connect-observer trace --pid PID",
            "a connect of another thread to AF_UNSPEC, same descriptor",
        )],
    },
    Entry {
        name: "EBUSY",
        meaning: "the socket or device is busy",
        hint: "the socket is in use by another call, or the device is busy",
        situations: &[
            (
                "TCP",
                "AF_UNSPEC while another thread waits on the socket: only some kernels around 6.5 \
                 refuse that.",
            ),
            ("PPPoE", "The socket has a session already."),
            ("Bluetooth", "The adapter disallows the command for now."),
        ],
        causes: &["Something is under way on the same socket or device."],
        look_at: &[("strace -f -e trace=network -p PID", "which calls overlap")],
    },
    Entry {
        name: "ECANCELED",
        meaning: "the io_uring request was cancelled",
        hint: "io_uring: a linked timeout or a cancel request ended it",
        situations: &[(
            "io_uring",
            "A connect request was cancelled before it was done. The system call never says so.",
        )],
        causes: &[
            "A timeout linked to the request ran out: no answer in time.",
            "A request before it in the same chain failed.",
            "The application cancelled it.",
        ],
        look_at: &[(
            "the application's timeouts",
            "how long it waits; then see ETIMEDOUT",
        )],
    },
];
