# Many threads at once, each with calls of its own.
import socket
import threading


def calls(number):
    for port in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.%d.1" % number, 1000 + port))
    with socket.create_connection(("127.0.0.1", 8080)) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        client.recv(1)


threads = [threading.Thread(target=calls, args=(number,)) for number in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
