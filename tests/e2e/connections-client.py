"""Client of connections-server.py: prints what it sees, which must be what it is natively."""
import socket, struct, sys, time

port = int(sys.argv[1])


def connect(name):
    for _ in range(200):
        try:
            c = socket.create_connection(("127.0.0.1", port), timeout=20)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    c.sendall(name.encode() + b"\n")
    return c


def rest(c):
    got = bytearray()
    try:
        while data := c.recv(65536):
            got += data
    except ConnectionResetError:
        got += b" reset"
    return bytes(got)


def say(name, *what):
    print(name, *what, flush=True)


def talk(name, *steps):
    """Sends each step once the answer to the one before has come (or right away: None), then all that comes."""
    c = connect(name)
    got = b""
    for wait_for, text in steps:
        while wait_for and not got.endswith(wait_for):
            data = c.recv(1)
            if not data:
                break
            got += data
        c.sendall(text)
    got += rest(c)
    say(name, got.decode())
    c.close()


c = connect("echo")
data = bytes(i * 31 & 255 for i in range(1 << 20))
import threading
t = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
t.start()
say("echo", rest(c) == data)
t.join()

c = connect("half")
c.sendall(b"x" * 300000)
c.shutdown(socket.SHUT_WR)
say("half", rest(c))

c = connect("handed_to_child")
c.sendall(b"abcdef\nghi")
say("handed_to_child", c.recv(6), c.recv(3))
c.sendall(data[:200000])
c.shutdown(socket.SHUT_WR)
say("handed_to_child", rest(c) == data[:200000])

talk("shared_with_child", (None, b"aabbcc"), (b"again\n", b"done\n"))
c = connect("by_descriptor")
c.sendall(b"head\ntail\n")
say("by_descriptor", c.recv(16))
c.sendall(b"more")
c.shutdown(socket.SHUT_WR)
say("by_descriptor", rest(c))
talk("duplicates", (None, b"\n"), (b"two ", b"more"))
for name in ("executed", "spawned"):
    c = connect(name)
    c.sendall(b"\n")
    say(name, c.recv(7))
    c.sendall(b"through cat")
    c.shutdown(socket.SHUT_WR)
    say(name, rest(c))
talk("epoll_mixed", (None, b"\n"), (b"a", b"text\n"))
talk("epoll_parent_ends", (None, b"\n"), (b"ready ", b"text\n"))
talk("epoll_nested", (None, b"\n"), (b"go ", b"text\n"))
talk("poll_mixed", (None, b"\n"), (b"a", b"x"), (b"b", b"y"))
talk("woken", (None, b"\n"), (b"now ", b"0123456789"))
talk("polled_while_taken", (None, b"\n"), (b"now ", b"0123456789"))
talk("timeouts", (None, b"\n"))
talk("asked", (None, b"\n"), (b"go ", b"abcdef"))
c = connect("file_sent")
c.sendall(b"3000000\n")
got = rest(c)
body = bytes(i * 7 & 255 for i in range(1000)) * 3000
say("file_sent", len(got), got == body + body[10:30])
for size in (30000, 100000, 1000000):
    c = connect("leased_sent")
    c.sendall(b"%d\n" % size)
    parts = [bytes(i * 7 + seed & 255 for i in range(1000)) for seed in range(3)]
    expected = size // 1000 * 16 * parts[0] + size // 1000 * 16 * parts[1] + 2 * parts[1]
    got = bytearray()
    while len(got) < len(expected) and (data := c.recv(65536)):
        got += data
    c.sendall(b"\n")
    say("leased_sent", got == expected, rest(c) == 2 * parts[2])
c = connect("full")
c.sendall(b"\n")
time.sleep(0.3)
got = rest(c)
say("full", len(got) >= 8 << 20, got[:8 << 20] == bytes(range(256)) * (32 << 10))
talk("unread", (None, b"\n"), (b"ok", b"unread"))
talk("lingering", (None, b"\n"))
talk("killed", (None, b"\n"))
c = connect("reset_by_client")
c.sendall(b"\n")
c.recv(3)
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
c.close()
talk("tell_reset", (None, b"\n"))
connect("stop").close()
