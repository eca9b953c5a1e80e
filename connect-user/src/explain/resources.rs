//! What had run out.

use super::entry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "EADDRNOTAVAIL",
        meaning: "no local port or address is left for this connection",
        hint: "no free local port to that peer, or no IPv6 address: ss -s",
        situations: &[
            (
                "TCP",
                "Every port of net.ipv4.ip_local_port_range is taken towards that address and \
                 port. Or the socket is bound to one port, which has, or had until just now, a \
                 connection to the same peer.",
            ),
            (
                "IPv6",
                "No local address can be the source: IPv6 is disabled on the interface. To ::1: \
                 disabled on lo, or lo is down.",
            ),
            ("UDP", "A lack of ports is EAGAIN there."),
        ],
        causes: &[
            "Many short connections to one server: each that is closed here first keeps its port \
             for 60 s, in TIME-WAIT.",
            "localhost became ::1 in a container or host without IPv6.",
            "The application leaks connections.",
            "It binds a fixed source port and connects again too soon.",
            "The port range is narrow, or much of it is reserved.",
        ],
        look_at: &[
            (
                "ss -tan dst ADDR | awk '{print $1}' | sort | uniq -c",
                "connections to that peer by state",
            ),
            (
                "sysctl net.ipv4.ip_local_port_range net.ipv4.tcp_tw_reuse",
                "how many ports there are, and whether TIME-WAIT ones are used again",
            ),
            (
                "ip -6 addr show; sysctl net.ipv6.conf.all.disable_ipv6",
                "whether there is IPv6 at all",
            ),
        ],
    },
    Entry {
        name: "EAGAIN",
        meaning: "the unix backlog is full, or UDP ports have run out",
        hint: "unix: the server's backlog is full; UDP: no local port is free",
        situations: &[
            (
                "unix",
                "The listener's queue is full, and the socket is non-blocking or its SO_SNDTIMEO \
                 ran out. Nothing is under way: call connect again later. A blocking call waits.",
            ),
            ("UDP", "No port of net.ipv4.ip_local_port_range is free."),
            (
                "IPv4, IPv6",
                "The man page's full routing cache is history: IPv4 has had none since Linux 3.6.",
            ),
        ],
        causes: &[
            "The server accepts too slowly: busy, stuck or stopped.",
            "Its backlog is too short for the rush; net.core.somaxconn cuts what it asked for.",
            "UDP: the application leaks sockets, or the port range is narrow.",
        ],
        look_at: &[
            (
                "ss -lx | grep PATH",
                "Recv-Q is the queue, Send-Q the backlog",
            ),
            (
                "sysctl net.core.somaxconn",
                "no backlog is longer than this",
            ),
            (
                "ss -uanp; sysctl net.ipv4.ip_local_port_range",
                "who holds UDP ports, and how many there are",
            ),
        ],
    },
    Entry {
        name: "ENOBUFS",
        meaning: "no memory for the packet or the route",
        hint: "socket memory is short: /proc/net/sockstat against tcp_mem",
        situations: &[(
            "IPv4, IPv6",
            "No buffer for the SYN, or no memory for the route.",
        )],
        causes: &[
            "TCP as a whole is over net.ipv4.tcp_mem.",
            "The host or the cgroup is out of memory.",
        ],
        look_at: &[
            (
                "cat /proc/net/sockstat; sysctl net.ipv4.tcp_mem",
                "pages that TCP has, against its limits",
            ),
            ("journalctl -k -g memory", "what ran short"),
        ],
    },
    Entry {
        name: "ENOMEM",
        meaning: "the kernel has no memory for the connection",
        hint: "out of kernel memory, often the cgroup's limit: memory.events",
        situations: &[(
            "any",
            "The kernel could not allocate what belongs to the connection: for unix the server's \
             end of it, for TCP the entry of the local port.",
        )],
        causes: &[
            "The cgroup is at its memory limit, which holds for kernel memory too.",
            "The host is out of memory.",
        ],
        look_at: &[
            (
                "cat /proc/PID/cgroup",
                "the cgroup; under /sys/fs/cgroup its memory.events counts failures",
            ),
            ("journalctl -k -g memory; free -m", "the host as a whole"),
        ],
    },
    Entry {
        name: "ENFILE",
        meaning: "too many unix sockets on this host",
        hint: "unix sockets exceed twice fs.file-max: ss -s, sysctl fs.file-max",
        situations: &[(
            "unix",
            "The host has more unix sockets than twice fs.file-max. Older kernels say ENOMEM.",
        )],
        causes: &[
            "A server or client leaks unix sockets.",
            "fs.file-max was set too low.",
        ],
        look_at: &[
            (
                "ss -xap | wc -l; sysctl fs.file-max",
                "how many, and the limit",
            ),
            ("lsof -U", "who holds them"),
        ],
    },
    Entry {
        name: "ENOSPC",
        meaning: "every automatic unix name is taken",
        hint: "no automatic abstract name is left: unix sockets leak",
        situations: &[(
            "unix",
            "The socket asks for credentials (SO_PASSCRED) and so needs a name of its own, and all \
             1048576 automatic abstract names are taken.",
        )],
        causes: &["A leak of unix sockets."],
        look_at: &[("ss -xap | wc -l; lsof -U", "how many, and who holds them")],
    },
];
