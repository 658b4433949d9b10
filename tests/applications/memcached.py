"""A client of memcached's text protocol on 127.0.0.1:PORT; ends with an error if an answer is not right."""
import socket, sys, threading, time

port = int(sys.argv[1])


def ask(s, line, end):
    s.sendall(line)
    got = b""
    while not got.endswith(end):
        part = s.recv(1 << 20)
        assert part, got
        got += part
    return got


def client(n):
    with socket.create_connection(("127.0.0.1", port)) as s:
        for i in range(300):
            value = b"%d.%d " % (n, i) * (1 + i % 400)
            key = b"key%d.%d" % (n, i)
            assert ask(s, b"set %s 7 0 %d\r\n%s\r\n" % (key, len(value), value), b"\r\n") == b"STORED\r\n"
            assert ask(s, b"get %s\r\n" % key, b"END\r\n") == b"VALUE %s 7 %d\r\n%s\r\nEND\r\n" % (key, len(value), value)
            ask(s, b"incr all 1\r\n", b"\r\n")
            if i % 3 == 0:
                assert ask(s, b"delete %s\r\n" % key, b"\r\n") == b"DELETED\r\n"


with socket.create_connection(("127.0.0.1", port)) as s:
    assert ask(s, b"set all 0 0 1\r\n0\r\n", b"\r\n") == b"STORED\r\n"
    clients = [threading.Thread(target=client, args=(n,)) for n in range(16)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    assert ask(s, b"get all\r\n", b"END\r\n").split()[4] == b"4800"
    assert ask(s, b"set short 0 1 1\r\nx\r\n", b"\r\n") == b"STORED\r\n"
    time.sleep(2.1)
    assert ask(s, b"get short\r\n", b"END\r\n") == b"END\r\n"
    stats = dict(line.split()[1:3] for line in ask(s, b"stats\r\n", b"END\r\n").split(b"\r\n") if line.startswith(b"STAT"))
    assert stats[b"curr_items"] == b"%d" % (16 * 200 + 1), stats[b"curr_items"]
