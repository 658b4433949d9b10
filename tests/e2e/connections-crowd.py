"""Talks to connections-many.py over COUNT connections that all are there at once, twice: connections-crowd.py PORT COUNT."""
import resource, socket, sys, time

port, count = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connect():
    for _ in range(400):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            time.sleep(0.05)
    sys.exit("nobody listens")


for who in ("worker", "first"):
    crowd = [connect() for _ in range(count // 2)]
    for round in range(3):
        for i, c in enumerate(crowd):
            c.sendall(b"%d %d\n" % (round, i))
        for i, c in enumerate(crowd):
            wanted, got = b"%d %d\n" % (round, i), b""
            while len(got) < len(wanted):
                data = c.recv(len(wanted) - len(got))
                assert data, (who, i, "closed")
                got += data
            assert got == wanted, (who, i, got)
    for c in crowd:
        c.close()
print("all came back")
