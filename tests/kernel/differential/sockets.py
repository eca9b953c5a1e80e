# Sockets of several kinds, in one thread. The web server listens on port 8080, and on the unix
# socket http.sock in the current directory.
import select
import socket


def attempt(family, kind, address):
    with socket.socket(family, kind) as client:
        return client.connect_ex(address)


# Twice: the same calls must look the same again.
for _ in range(2):
    for port in (8080, 9):
        attempt(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
        attempt(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port))
        attempt(socket.AF_INET6, socket.SOCK_STREAM, ("::1", port))
        attempt(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", port, 0, 1))
        attempt(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", port))
    attempt(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80))
    attempt(socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 80))
    attempt(socket.AF_INET, socket.SOCK_DGRAM, ("255.255.255.255", 67))
    attempt(socket.AF_UNIX, socket.SOCK_STREAM, "http.sock")
    attempt(socket.AF_UNIX, socket.SOCK_DGRAM, "http.sock")
    attempt(socket.AF_UNIX, socket.SOCK_STREAM, "/no/such\nsocket\\\x1b")
    attempt(socket.AF_UNIX, socket.SOCK_STREAM, b"\0abstract\0name\xff")
    attempt(socket.AF_NETLINK, socket.SOCK_RAW, (0, 1))
    # Not blocking, until it is settled, and once more.
    for port in (8080, 9):
        with socket.socket() as client:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            select.select([], [client], [])
            client.connect_ex(("127.0.0.1", port))
            client.connect_ex(("127.0.0.1", port))
