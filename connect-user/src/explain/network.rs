//! What the network answered, or why nothing was sent.

use super::entry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "ECONNREFUSED",
        meaning: "nobody listens at that address",
        hint: "nobody listens there: is the service up, and on that address?",
        situations: &[
            (
                "TCP",
                "The SYN was answered with a reset, or with ICMP port unreachable. Usually at once: \
                 the machine at that address, or a firewall, said no.",
            ),
            (
                "unix",
                "The path exists, but no listening socket is behind it: nobody has it open any \
                 more, listen() was never called, or it is no socket at all. An abstract name: \
                 this network namespace has no such name for this type of socket.",
            ),
            (
                "UDP",
                "Never from connect, which sends nothing. A refusal comes back to a later send or \
                 receive; the table shows it as a line that ends in (after associated).",
            ),
            (
                "Bluetooth",
                "The device has no such service, or accepts no more.",
            ),
            ("vsock", "A refusal is ECONNRESET there."),
        ],
        causes: &[
            "The service is not running: not started yet, stopped, or crashed.",
            "It listens elsewhere: on another port, on 127.0.0.1 only, on IPv6 only.",
            "localhost inside a container or network namespace is not the host's localhost.",
            "The server of a unix socket died and left the file behind.",
            "A firewall rejects instead of dropping. When the call took about 1 s, suspect a \
             reject rule on this very host.",
        ],
        look_at: &[
            (
                "ss -ltnp 'sport = :PORT'",
                "on the server: who listens there, and on which address",
            ),
            ("ss -lxp | grep PATH", "who listens at the unix path"),
            ("journalctl -u UNIT -e", "why the service is not up"),
            (
                "nsenter -t PID -n ss -ltn",
                "what listens where process PID looks",
            ),
            ("nft list ruleset", "rules that reject"),
        ],
    },
    Entry {
        name: "ETIMEDOUT",
        meaning: "no answer in time",
        hint: "no answer: dropped by a firewall, host gone, or server overloaded",
        situations: &[
            (
                "TCP",
                "The SYN was sent again and again and nothing came back. With the default of \
                 net.ipv4.tcp_syn_retries (6) that takes a bit over 2 minutes. The socket options \
                 TCP_USER_TIMEOUT and TCP_SYNCNT shorten it.",
            ),
            (
                "vsock",
                "No answer for 2 s, unless SO_VM_SOCKETS_CONNECT_TIMEOUT says otherwise.",
            ),
            (
                "Bluetooth",
                "The device or its link did not answer in time.",
            ),
            (
                "any",
                "Not from a timeout of the application's own: it closes the socket, and the \
                 outcome event says abandoned.",
            ),
        ],
        causes: &[
            "A firewall or a cloud security group drops the packets, here, there or between. \
             TCP does not tell when this host's own output rules drop: it looks the same.",
            "The address is wrong, or the host is off, beyond a router. (A silent neighbour on the \
             same link is EHOSTUNREACH after 3 s.)",
            "The answer is lost on its way back: asymmetric routes, NAT, a VPN without a route \
             back.",
            "The server's accept queue is full, so it ignores new SYNs: it is stuck or overloaded, \
             or its backlog is short.",
        ],
        look_at: &[
            (
                "ss -tnpo state syn-sent",
                "attempts still waiting, and their timers",
            ),
            (
                "tcpdump -ni any host ADDR and port PORT",
                "whether the SYN leaves, and whether anything comes back",
            ),
            ("nft list ruleset", "rules that drop, in either direction"),
            (
                "ss -ltn 'sport = :PORT'",
                "on the server: Recv-Q above Send-Q is a full accept queue",
            ),
            (
                "nstat -az TcpExtListenOverflows",
                "on the server: grows when accept queues are full",
            ),
            (
                "sysctl net.core.somaxconn",
                "on the server: no backlog is longer than this",
            ),
        ],
    },
    Entry {
        name: "EHOSTUNREACH",
        meaning: "the host cannot be reached (\"No route to host\")",
        hint: "neighbour silent (took 3 s), or a firewall or router said no",
        situations: &[
            (
                "IPv4, IPv6",
                "The neighbour on the link did not answer ARP or neighbour discovery, which takes \
                 about 3 s; or ICMP came back: host unreachable, prohibited (IPv4), hop limit \
                 exceeded; or, at once, the route is of type unreachable.",
            ),
            ("Bluetooth", "No adapter that is up."),
        ],
        causes: &[
            "After 3 s: the host is off, the address is unused, or it is not on this link at all \
             (wrong netmask, wrong VLAN).",
            "A firewall on the way rejects as prohibited, as firewalld does by default. There \
             usually is a route, whatever the message says.",
            "A router on the way does not get through to the host, or packets go in circles.",
            "The socket is bound to one interface (SO_BINDTODEVICE) and the address is not there.",
            "A route of type unreachable, as VPNs and container networks install.",
        ],
        look_at: &[
            (
                "ip route get ADDR",
                "the route, the interface and the source address",
            ),
            (
                "ip neigh show to ADDR",
                "FAILED or INCOMPLETE: the neighbour does not answer",
            ),
            (
                "tcpdump -ni any arp or icmp or icmp6",
                "who says unreachable, and why",
            ),
            ("nft list ruleset", "on the server: rules that reject"),
        ],
    },
    Entry {
        name: "ENETUNREACH",
        meaning: "there is no route to that network",
        hint: "no route to that address, often IPv6: ip route get ADDR",
        situations: &[
            (
                "IPv4, IPv6",
                "At once: the routing table has no route for the address, or the interface is \
                 down; no packet was sent. Or ICMP network unreachable came back.",
            ),
            (
                "TCP",
                "Also for a broadcast or multicast address: TCP has no use for one.",
            ),
            (
                "IPv6",
                "Also for ::ffff:a.b.c.d on a socket with IPV6_V6ONLY, and for a link-local \
                 address with the index of an interface that does not exist.",
            ),
            ("vsock", "The transport does not serve that CID."),
        ],
        causes: &[
            "The name has an IPv6 address and this host has no IPv6 route. Harmless where the \
             application goes on to IPv4.",
            "No default route: the network is not up, DHCP failed, a cable is out. At boot: the \
             service did not wait for network-online.target.",
            "A container or network namespace without a network; in a new one even lo is down.",
            "Policy routing or a VPN sends the packet to a table without a route.",
        ],
        look_at: &[
            ("ip route get ADDR", "the kernel's own answer"),
            (
                "ip route show default; ip -6 route show default",
                "whether there is a way out at all",
            ),
            ("ip -br addr", "interfaces that are down or have no address"),
            ("ip rule", "which routing tables are asked, in which order"),
            (
                "nsenter -t PID -n ip route",
                "the routes as process PID sees them",
            ),
        ],
    },
    Entry {
        name: "ECONNRESET",
        meaning: "the peer reset the connection while it was set up",
        hint: "server or proxy hung up at once; vsock: nobody listens there",
        situations: &[
            (
                "TCP",
                "The handshake was done and the reset came before connect returned, or before a \
                 non-blocking application asked again. Or: another thread called shutdown() on \
                 the socket during the call.",
            ),
            (
                "vsock",
                "Nobody listens on that port: what TCP calls ECONNREFUSED.",
            ),
            ("Bluetooth", "The remote device ended the link."),
        ],
        causes: &[
            "vsock: the service in the guest or on the host is not running.",
            "The server, or a proxy or load balancer before it, accepts and hangs up at once: \
             connection limit, no backend, access list.",
            "The server's accept queue overflows and net.ipv4.tcp_abort_on_overflow is 1 there.",
            "A middlebox between sends resets.",
        ],
        look_at: &[
            (
                "tcpdump -ni any 'host ADDR and tcp[tcpflags] & tcp-rst != 0'",
                "where the reset comes from, and when",
            ),
            ("the log of the server or proxy", "why it hung up"),
            (
                "ss -l --vsock",
                "on the other side: which vsock ports listen",
            ),
        ],
    },
    Entry {
        name: "ECONNABORTED",
        meaning: "the attempt was ended on this side",
        hint: "ended on this side: ss -K, or connect called again after a failure",
        situations: &[
            (
                "TCP",
                "Somebody ended the attempt through the kernel (ss -K, a network manager). Or: a \
                 non-blocking attempt failed, the application took its errno with SO_ERROR and \
                 then called connect again; this call reports the end, the next starts afresh.",
            ),
            ("Bluetooth", "This host ended the link."),
        ],
        causes: &[
            "A retry on the same socket. A new socket for each attempt is the portable way.",
            "An administrator or a daemon destroys sockets, for example when an address or a VPN \
             goes away.",
        ],
        look_at: &[
            (
                "connect-observer trace --pid PID",
                "the calls before: same descriptor, EINPROGRESS, then this",
            ),
            (
                "strace -f -e trace=connect,getsockopt -p PID",
                "whether SO_ERROR is read in between",
            ),
        ],
    },
    Entry {
        name: "ENOPROTOOPT",
        meaning: "the peer does not speak that transport protocol",
        hint: "ICMP protocol unreachable came back: no such transport over there",
        situations: &[(
            "IPv4",
            "ICMP protocol unreachable came back. The name is that of a socket option error; for \
             connect it means this.",
        )],
        causes: &[
            "A firewall rejects with it.",
            "The peer has no such protocol: SCTP without its module, for example.",
        ],
        look_at: &[
            ("tcpdump -ni any icmp", "who sent it"),
            ("nft list ruleset", "on the server: how its rules reject"),
        ],
    },
    Entry {
        name: "EPROTO",
        meaning: "the peer answered with a protocol error",
        hint: "the peer or a router found the packet malformed: tcpdump -ni any icmp",
        situations: &[
            ("IPv4, IPv6", "ICMP parameter problem came back."),
            ("vsock", "An unexpected packet came instead of the answer."),
            ("Bluetooth", "The link layers did not agree."),
        ],
        causes: &[
            "IP options or extension headers that a router on the way does not accept.",
            "A hypervisor or a device that speaks another version of the protocol.",
        ],
        look_at: &[(
            "tcpdump -vni any icmp or icmp6",
            "what was complained about",
        )],
    },
    Entry {
        name: "EHOSTDOWN",
        meaning: "the host is down, or the device out of range",
        hint: "Bluetooth: device off or out of range; IP: a router knows no host",
        situations: &[
            ("Bluetooth", "The device did not answer the page."),
            (
                "IPv4",
                "ICMP host unknown came back, which hardly anyone sends.",
            ),
        ],
        causes: &[
            "The Bluetooth device is off, out of range, or connected to another host.",
            "An old router or a firewall says host unknown.",
        ],
        look_at: &[
            ("bluetoothctl info ADDR", "what is known of the device"),
            ("tcpdump -ni any icmp", "who sent it"),
        ],
    },
    Entry {
        name: "ENONET",
        meaning: "a router says the host is isolated",
        hint: "ICMP source host isolated came back: tcpdump -ni any icmp",
        situations: &[(
            "IPv4",
            "ICMP source host isolated came back, an obsolete message.",
        )],
        causes: &["A firewall or a very old router uses that code."],
        look_at: &[("tcpdump -ni any icmp", "who sent it")],
    },
    Entry {
        name: "ENETDOWN",
        meaning: "the network is down",
        hint: "not from TCP, UDP or unix: a BPF program, a filter or a rare family",
        situations: &[(
            "any",
            "Linux has no built-in way to it for TCP, UDP and unix sockets: with the interface \
             down they say ENETUNREACH. A BPF program or a seccomp filter can return it.",
        )],
        causes: &[
            "A policy engine chose this errno.",
            "A driver with an address family of its own.",
        ],
        look_at: &[
            ("bpftool cgroup tree", "BPF programs on connect"),
            ("ip -br link", "interfaces that are down"),
        ],
    },
    Entry {
        name: "ENODEV",
        meaning: "the interface or transport for it does not exist",
        hint: "bound interface is gone, or no vsock transport for that CID",
        situations: &[
            (
                "IPv4",
                "The socket is bound (SO_BINDTODEVICE) to an interface that has been removed. \
                 IPv6 says ENETUNREACH.",
            ),
            (
                "vsock",
                "No transport leads to that CID: a guest without a vsock device, a host without \
                 vhost_vsock, or the own CID without vsock_loopback.",
            ),
            ("PPPoE", "The interface does not exist, or is down."),
        ],
        causes: &[
            "vsock: a kernel module is not loaded, or the virtual machine has no vsock device.",
            "A VPN, bridge or container interface was removed and made anew: the name is the same, \
             the socket still means the old one.",
        ],
        look_at: &[
            (
                "ls -l /dev/vsock; lsmod | grep vsock",
                "which transports exist",
            ),
            ("ip link", "which interfaces exist"),
        ],
    },
];
