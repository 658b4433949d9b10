"""A server whose worker, a child of PID 1, does with its connections what the client names: see connections-client.py.

connections-server.py PORT [worker]: the listener is PID 1's, or the worker's own.
"""
import array, os, select, signal, socket, struct, sys, threading, time

port = int(sys.argv[1])
listener = None


def listen():
    global listener
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(64)


def line(c):
    text = b""
    while not text.endswith(b"\n"):
        byte = c.recv(1)
        if not byte:
            return text
        text += byte
    return text[:-1]


def child(fn):
    """Runs fn in a child, which then ends; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            fn()
        finally:
            os._exit(0)
    return pid


def echo(c):
    while data := c.recv(65536):
        c.sendall(data)


def half(c):
    got = bytearray()
    while data := c.recv(1000):
        got += data
    c.sendall(b"%d" % len(got))
    c.shutdown(socket.SHUT_WR)


def handed_to_child(c):
    """As inetd's kind of server: the child serves, the parent has closed."""
    head = c.recv(3)

    def serve():
        time.sleep(0.05)
        c.sendall(head + line(c))
        echo(c)

    pid = child(serve)
    c.close()
    os.waitpid(pid, 0)


def shared_with_child(c):
    """Both write in turn; the child has what the parent had not read."""
    first = c.recv(2)

    def serve():
        c.sendall(b"child " + first + c.recv(2) + b"\n")

    os.waitpid(child(serve), 0)
    c.sendall(b"parent " + c.recv(2) + b"\n")
    child(lambda: c.sendall(b"again\n"))
    os.wait()
    c.sendall(b"end " + line(c))


def by_descriptor(c):
    """Sent over a unix socket to a process that has it alone then."""
    left, right = socket.socketpair()
    head = line(c)

    def serve():
        left.close()
        _, fds, _, _ = socket.recv_fds(right, 10, 1)
        with socket.socket(fileno=fds[0]) as got:
            got.sendall(b"passed " + head + b" " + line(got))
            echo(got)

    pid = child(serve)
    right.close()
    socket.send_fds(left, [b"x"], [c.fileno()])
    c.close()
    os.waitpid(pid, 0)


def duplicates(c):
    line(c)
    d = c.dup()
    c.close()
    d.sendall(b"one ")
    spare = os.open("/dev/null", os.O_RDONLY)
    os.dup2(d.fileno(), spare)
    d.close()
    os.write(spare, b"two ")
    null = os.open("/dev/null", os.O_RDONLY)
    high = os.dup(spare)
    os.dup2(null, spare)
    os.write(high, b"three " + os.read(high, 100))
    os.close(high)


def executed(c):
    """Standard input and output of another program, in this process's child."""
    line(c)
    c.sendall(b"before ")
    pid = os.fork()
    if pid == 0:
        os.dup2(c.fileno(), 0)
        os.dup2(c.fileno(), 1)
        os.execv("/bin/cat", ["cat"])
    c.close()
    os.waitpid(pid, 0)


def spawned(c):
    import subprocess
    line(c)
    c.sendall(b"before ")
    subprocess.run(["/bin/cat"], stdin=c.fileno(), stdout=c.fileno())


def epoll_mixed(c):
    """Connections and pipes in one set, level, edge and once."""
    line(c)
    r, w = os.pipe()
    p = select.epoll()
    p.register(c, select.EPOLLIN)
    p.register(r, select.EPOLLIN)
    out = [sorted(e for _, e in p.poll(0))]
    os.write(w, b"x")
    out.append([fd == r and e for fd, e in p.poll(5)])
    c.sendall(b"a")
    while len(events := p.poll(5)) < 2:
        time.sleep(0.001)
    out.append(sorted(e for _, e in events))
    os.read(r, 1)
    out.append([fd == c.fileno() and e for fd, e in p.poll(5)])
    p.modify(c, select.EPOLLIN | select.EPOLLONESHOT)
    out.append(len(p.poll(5)))
    out.append(len(p.poll(0.02)))
    p.modify(c, select.EPOLLIN | select.EPOLLET)
    out.append(len(p.poll(5)))
    out.append(len(p.poll(0.02)))
    out.append(line(c).decode())
    p.modify(c, select.EPOLLIN | select.EPOLLOUT)
    out.append([e for _, e in p.poll(5)])
    p.unregister(c)
    out.append(len(p.poll(0.02)))
    for call in (lambda: p.unregister(c), lambda: p.modify(c, 1), lambda: p.register(r, 1)):
        try:
            call()
        except OSError as e:
            out.append(e.errno)
    p.register(c, select.EPOLLIN)
    threading.Timer(0.05, lambda: os.write(w, b"y")).start()
    out.append([fd == r for fd, _ in p.poll(5)])
    c.sendall(repr(out).encode())


def epoll_parent_ends(c):
    """A set and its connection are a child's when the parent has ended, as a daemon's are."""
    line(c)

    def middle():
        p = select.epoll()
        p.register(c, select.EPOLLIN, )
        p.poll(0)
        c.sendall(b"ready ")
        if os.fork() == 0:
            while os.getppid() != 1:
                time.sleep(0.01)
            events = p.poll(5)
            c.sendall(b"%d " % len(events) + line(c))
            c.shutdown(socket.SHUT_RDWR)

    pid = child(middle)
    c.close()
    os.waitpid(pid, 0)


def epoll_nested(c):
    line(c)
    inner, outer = select.epoll(), select.epoll()
    inner.register(c, select.EPOLLIN)
    out = [len(inner.poll(0))]
    outer.register(inner, select.EPOLLIN)
    c.sendall(b"go ")
    out.append([fd == inner.fileno() for fd, _ in outer.poll(5)])
    copy = select.epoll.fromfd(os.dup(inner.fileno()))
    out.append(len(copy.poll(5)))
    out.append(len(select.select([inner], [], [], 5)[0]))
    out.append(line(c).decode())
    c.sendall(repr(out).encode())


def poll_mixed(c):
    line(c)
    r, w = os.pipe()
    p = select.poll()
    p.register(c, select.POLLIN)
    out = [p.poll(20)]
    c.sendall(b"a")
    out.append([e for _, e in p.poll(5000)])
    c.recv(1)
    p.register(r, select.POLLIN)
    out.append(p.poll(20))
    os.write(w, b"x")
    out.append([fd == r for fd, _ in p.poll(5000)])
    out.append([len(x) for x in select.select([c, r], [c], [], 5)])
    c.sendall(b"b")
    os.read(r, 1)
    out.append([x is c for x in select.select([c, r], [], [], 5)[0]])
    c.sendall(repr(out).encode())


def woken(c):
    """One thread waits for bytes while a child takes the connection into use."""
    line(c)
    got = []
    t = threading.Thread(target=lambda: got.append(c.recv(10, socket.MSG_WAITALL)))
    t.start()
    time.sleep(0.05)
    os.waitpid(child(lambda: c.sendall(b"child ")), 0)
    c.sendall(b"now ")
    t.join()
    c.sendall(got[0])


def polled_while_taken(c):
    line(c)
    p = select.poll()
    p.register(c, select.POLLIN)
    got = []
    t = threading.Thread(target=lambda: got.append([e for _, e in p.poll(5000)]))
    t.start()
    time.sleep(0.05)
    os.waitpid(child(lambda: c.sendall(b"child ")), 0)
    c.sendall(b"now ")
    t.join()
    c.sendall(repr(got).encode() + c.recv(10))


def timeouts(c):
    line(c)
    out = []
    c.settimeout(0.03)
    try:
        c.recv(1)
    except TimeoutError:
        out.append("timeout")
    c.setblocking(False)
    try:
        c.recv(1)
    except BlockingIOError:
        out.append("would block")
    c.setblocking(True)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 30000))
    try:
        c.recv(1)
    except BlockingIOError:
        out.append("would block")
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
    import fcntl
    out.append(fcntl.fcntl(c, fcntl.F_GETFD))
    fcntl.fcntl(c, fcntl.F_SETFD, 0)
    out.append(fcntl.fcntl(c, fcntl.F_GETFD))
    import ctypes
    ctypes.CDLL(None).syscall(436, c.fileno(), c.fileno(), 4) # close_range, CLOSE_RANGE_CLOEXEC
    out.append(fcntl.fcntl(c, fcntl.F_GETFD))
    out.append(bool(fcntl.fcntl(c, fcntl.F_GETFL) & os.O_NONBLOCK))
    child(lambda: fcntl.fcntl(c, fcntl.F_SETFL, fcntl.fcntl(c, fcntl.F_GETFL) | os.O_NONBLOCK))
    os.wait()
    out.append(bool(fcntl.fcntl(c, fcntl.F_GETFL) & os.O_NONBLOCK))
    c.setblocking(True)
    c.sendall(repr(out).encode())


def asked(c):
    """What is asked of a connection, and said to it."""
    import fcntl, termios
    out = [c.getpeername()[0] == c.getsockname()[0] or "peer", c.family.name, c.type.name]
    line(c)
    for level, name, value in ((socket.SOL_TCP, socket.TCP_NODELAY, 1), (socket.SOL_TCP, socket.TCP_CORK, 1),
                               (socket.SOL_TCP, socket.TCP_CORK, 0), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                               (socket.SOL_TCP, socket.TCP_KEEPIDLE, 55), (socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)):
        c.setsockopt(level, name, value)
        out.append(c.getsockopt(level, name) != 0)
    out[0:1] = []
    out.append(c.getsockopt(socket.SOL_TCP, socket.TCP_KEEPIDLE))
    out.append(c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    c.sendall(b"go ")
    while True:
        size = array.array("i", [0])
        fcntl.ioctl(c, termios.FIONREAD, size)
        if size[0] == 6:
            break
        time.sleep(0.001)
    out.append(c.recv(3, socket.MSG_PEEK).decode())
    parts = [bytearray(2), bytearray(4)]
    out.append(c.recvmsg_into(parts)[0])
    out.append(b"".join(parts).decode())
    c.sendmsg([b"x", b"yz "])
    c.sendall(repr(out).encode())


def file_sent(c):
    size = int(line(c))
    with open("/tmp/file", "wb") as f:
        f.write(bytes(i * 7 & 255 for i in range(1000)) * (size // 1000))
    with open("/tmp/file", "rb") as f:
        done = 0
        while done < size:
            done += os.sendfile(c.fileno(), f.fileno(), done, size - done)
        assert os.sendfile(c.fileno(), f.fileno(), done, 10) == 0
        f.seek(10)
        assert os.sendfile(c.fileno(), f.fileno(), None, 20) == 20 and f.tell() == 30 or f.seek(0, 1) == 30


def leased_sent(c):
    """A file that is opened for each request, by all ways to send it; each change of another process is seen at once."""
    path, size = "/var/tmp/connections-leased", int(line(c))

    def write(seed):
        with open(path, "wb") as f:
            f.write(bytes(i * 7 + seed & 255 for i in range(1000)) * (size // 1000))

    def by_offset(fd):
        done = 0
        while done < size:
            done += os.sendfile(c.fileno(), fd, done, size - done)
        assert os.sendfile(c.fileno(), fd, done, 10) == 0 and os.lseek(fd, 0, os.SEEK_CUR) == 0

    def by_position(fd):
        done = 0
        while n := os.sendfile(c.fileno(), fd, None, 1 << 20):
            done += n
            assert os.lseek(fd, 0, os.SEEK_CUR) == done
        assert done == size

    def nonblocking(fd):
        c.setblocking(False)
        done, parts, poll = 0, 0, select.epoll()
        poll.register(c, select.EPOLLIN | select.EPOLLET)
        while done < size:
            try:
                done += os.sendfile(c.fileno(), fd, *[(done, size - done), (None, size - done)][parts % 2])
                os.lseek(fd, done, os.SEEK_SET)
                parts += 1
            except BlockingIOError:
                poll.modify(c, select.EPOLLOUT)
                assert poll.poll(10)
        poll.close()
        c.setblocking(True)

    def by_reading(fd):
        while data := os.read(fd, 50000):
            c.sendall(data)

    def send(ways):
        for way in ways:
            fd = os.open(path, os.O_RDONLY)
            assert os.fstat(fd).st_size == size
            way(fd)
            os.close(fd)

    def again_and_again():
        time.sleep(0.15)
        send(ways)
        for _ in range(140):
            os.close(os.open(path, os.O_RDONLY))
        send(ways * 3)

    ways = (by_offset, by_position, nonblocking, by_reading)
    write(0)
    again_and_again()
    os.waitpid(child(lambda: write(1)), 0)
    again_and_again()
    fd = os.open(path, os.O_RDONLY)
    os.sendfile(c.fileno(), fd, None, 1000)
    os.dup2(fd, spare := os.open("/dev/null", os.O_RDONLY))
    os.sendfile(c.fileno(), spare, None, 1000)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 2000
    line(c)
    os.waitpid(child(lambda: write(2)), 0)
    os.sendfile(c.fileno(), fd, None, 1000)
    os.sendfile(c.fileno(), fd, 5000, 1000)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 3000
    os.close(fd)
    os.close(spare)
    os.unlink(path)


def full(c):
    """Not blocking, until it is full; then as the client reads."""
    line(c)
    c.setblocking(False)
    block, done, waits = bytes(range(256)) * 256, 0, 0
    p = select.epoll()
    p.register(c, select.EPOLLOUT)
    while done < 8 << 20:
        try:
            done += c.send(block[done % 65536:])
        except BlockingIOError:
            if not waits:
                os.mkdir("/tmp/full")
            waits += 1
            assert p.poll(10)
    assert waits
    os.rmdir("/tmp/full")


def unread(c):
    """Closed with bytes unread: the client is told by a reset."""
    line(c)
    c.sendall(b"ok")
    select.select([c], [], [], 5)


def lingering(c):
    line(c)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def killed(c):
    """Who is killed has its connections closed, and what it sent still arrives."""
    line(c)

    def serve():
        c.sendall(b"sent ")
        signal.pause()

    pid = child(serve)
    c.close()
    time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def reset_by_client(c):
    line(c)
    c.sendall(b"now")
    out = []
    for _ in range(2):
        try:
            while c.recv(10):
                pass
            out.append("end")
        except ConnectionResetError:
            out.append("reset")
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        c.send(b"x")
    except BrokenPipeError:
        out.append("pipe")
    with open("/tmp/reset", "w") as f:
        f.write(repr(out))


def tell_reset(c):
    line(c)
    with open("/tmp/reset") as f:
        c.sendall(f.read().encode())


def worker():
    if not listener:
        listen()
    while True:
        c, _ = listener.accept()
        with c:
            name = line(c).decode()
            if name == "stop":
                return
            globals()[name](c)


if sys.argv[2:] != ["worker"]:
    listen()
pid = child(worker)
if listener:
    listener.close()
_, status = os.waitpid(pid, 0)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
sys.exit(os.waitstatus_to_exitcode(status))
