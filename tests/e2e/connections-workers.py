"""Four workers, children of PID 1, that accept from one listening socket; a connection asks for one thing and is closed.

connections-workers.py serve PORT [epoll] until a connection asks for the end; the workers wait in accept and select, or with epoll
connections-workers.py ask PORT SEED      some 2000 connections, six at a time: "all as it should be", or what is not. Each
                                          thing is asked for after a while of plain ones, in which workers come to
                                          accept by themselves
"""
import array, contextlib, hashlib, os, random, select, signal, socket, struct, sys, threading, time

role, port = sys.argv[1], int(sys.argv[2])
WORKERS = 4


def line(c):
    text = b""
    while not text.endswith(b"\n"):
        byte = c.recv(1)
        if not byte:
            return None
        text += byte
    return text[:-1].decode()


def child(fn):
    pid = os.fork()
    if pid == 0:
        try:
            fn()
        finally:
            os._exit(0)
    return pid


# ---- what a worker does with a connection ----


def echo(c, arg):
    c.sendall(b"echo " + arg.encode())


def digest(c, arg):
    """Reads that many bytes and says what they are; slowly, for some of them."""
    left, h = int(arg), hashlib.sha256()
    while left and (data := c.recv(min(left, 70000))):
        left -= len(data)
        h.update(data)
        if left % 7 == 0:
            time.sleep(0.002)
    c.sendall(h.hexdigest().encode())


def many(c, arg):
    c.sendall(b"m" * int(arg))


def duplicated(c, arg):
    d = os.dup(c.fileno())
    c.close()
    os.write(d, b"dup " + arg.encode())
    os.close(d)


def forked(c, arg):
    """The child answers after the parent has closed; the parent accepts others meanwhile."""

    def answer():
        time.sleep(0.02)
        c.sendall(b"child " + arg.encode())

    child(answer)


def both(c, arg):
    r, w = os.pipe()

    def answer():
        c.sendall(b"one ")
        os.write(w, b"x")

    pid = child(answer)
    os.read(r, 1)
    c.sendall(b"two " + arg.encode())
    try:
        os.waitpid(pid, 0)
    except ChildProcessError: # they are not waited for here
        pass
    os.close(r)
    os.close(w)


def executed(c, arg):
    def answer():
        os.dup2(c.fileno(), 1)
        os.execvp("echo", ["echo", "-n", "exec", arg])

    child(answer)


def passed(c, arg):
    """To a sibling, by SCM_RIGHTS."""
    theirs.sendmsg([arg.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [c.fileno()]))])


def files(c, arg):
    """Descriptors do not meet; and the connection is one of them, for others too."""
    fds = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(3)] + [c.fileno()]
    r, w = os.pipe()
    fds += [r, w]
    seen = set(os.listdir("/proc/self/fd"))
    links = os.readlink("/proc/self/fd/%d" % c.fileno())
    right = len(set(fds)) == 6 and all(str(fd) in seen for fd in fds) and links.startswith("socket:[")
    for fd in fds:
        if fd != c.fileno():
            os.close(fd)
    c.sendall(b"files %s %s" % (b"right" if right else b"wrong", arg.encode()))


def polled(c, arg):
    """What is there when nothing is, when something is, and at the end."""
    p, ep = select.poll(), select.epoll()
    p.register(c, select.POLLIN)
    ep.register(c, select.EPOLLIN)
    c.sendall(b"?")
    n = bool(select.select([c], [], [], 10)[0]) + bool(p.poll(10000)) * 2 + bool(ep.poll(10)) * 4
    c.setblocking(False)
    got = c.recv(10)
    try:
        c.recv(1)
        n += 100
    except BlockingIOError:
        n += 8
    c.setblocking(True)
    ep.close()
    c.sendall(b"%d %s %s" % (n, got, arg.encode()))


def poked(c, arg):
    """A byte for the next worker, which waits for connections and for that; and it says that it has got it."""
    os.write(pokes[(number + 1) % WORKERS][1], b"!")
    got = os.read(acks[0], 1) if select.select([acks[0]], [], [], 20)[0] else b"?"
    c.sendall(b"poked %s %s" % (got, arg.encode()))


def names(c, arg):
    there, here = c.getpeername(), c.getsockname()
    info = c.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE), c.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) > 0
    c.sendall(("%d %d %s %s" % (there[1], here[1], info[0] == socket.SOCK_STREAM, arg)).encode())


def half(c, arg):
    c.sendall(b"half")
    c.shutdown(socket.SHUT_WR)
    while c.recv(1000):
        pass


def reset(c, arg):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def inside(c, arg):
    """A client of the container itself, while the workers wait for those outside."""
    with socket.create_connection(("127.0.0.1", port)) as me:
        me.sendall(b"echo inside\n")
        text = b""
        while data := me.recv(100):
            text += data
    c.sendall(text + b" " + arg.encode())


def ends(c, arg):
    """Without having sent all: what was written goes out all the same. Another worker takes this one's place."""
    c.sendall(b"e" * 200000)
    if number: # the first one may have something in hand that was passed to it
        os._exit(3)


def killed(c, arg):
    c.sendall(b"k" * 100)
    if number:
        os.kill(os.getpid(), signal.SIGKILL)


def option(c, arg):
    """Set of the listening socket, and so of what is accepted from it by whomever."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    c.sendall(b"option " + arg.encode())


def keeps(c, arg):
    c.sendall(b"%d" % c.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))


def end(c, arg):
    os.kill(1 if os.getppid() == 1 else os.getppid(), signal.SIGTERM)


VERBS = {f.__name__: f for f in (echo, digest, many, duplicated, forked, both, executed, passed, files, polled, poked, names, half, reset, inside, ends, killed,
                                 option, keeps, end)}


def answer(c):
    request = line(c)
    if request:
        verb, _, arg = request.partition(" ")
        VERBS[verb](c, arg)
    c.close()


def receiver():
    while True:
        text, fds, _, _ = socket.recv_fds(mine, 100, 1)
        with socket.socket(fileno=fds[0]) as c:
            c.sendall(b"passed " + text)


def accept_now():
    try:
        return listener.accept()[0]
    except BlockingIOError:
        return None


def work_with_epoll():
    """Each in another way. The last is first told of levels and then of edges."""
    flags = (0, select.EPOLLEXCLUSIVE, select.EPOLLONESHOT, 0)[number]
    served, edges, ep = 0, False, select.epoll()
    ep.register(listener, select.EPOLLIN | flags)
    ep.register(pokes[number][0], select.EPOLLIN)
    while True:
        for fd, _ in ep.poll():
            if fd == pokes[number][0]:
                os.write(acks[1], os.read(fd, 1))
                continue
            while c := accept_now():
                answer(c)
                served += 1
                if not edges:
                    break
            if flags == select.EPOLLONESHOT:
                ep.modify(listener, select.EPOLLIN | flags)
            if number == 3 and served == 150 and not edges:
                edges = True
                ep.modify(listener, select.EPOLLIN | select.EPOLLET)


def work(n):
    global number
    number = n
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if number == 0:
        threading.Thread(target=receiver, daemon=True).start()
    try:
        if "epoll" in sys.argv[3:]:
            work_with_epoll()
        while True:
            if number % 2: # waits in select, as some servers do, and finds that another one was quicker
                ready = select.select([listener, pokes[n][0]], [], [])[0]
                if pokes[n][0] in ready:
                    os.write(acks[1], os.read(pokes[n][0], 1))
                if listener not in ready:
                    continue
                try:
                    c, _ = listener.accept()
                except BlockingIOError:
                    continue
            else:
                while True:
                    try:
                        c, _ = listener.accept()
                        break
                    except BlockingIOError:
                        if pokes[n][0] in select.select([listener, pokes[n][0]], [], [], 0.5)[0]:
                            os.write(acks[1], os.read(pokes[n][0], 1))
            answer(c)
    except BaseException as error:
        os.write(2, ("worker %d: %r\n" % (number, error)).encode())
        os._exit(9)


def serve():
    global listener, mine, theirs, pokes, acks
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(64)
    listener.setblocking(False)
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pokes, acks = [os.pipe() for _ in range(WORKERS)], os.pipe()
    workers = {child(lambda: work(n)): n for n in range(WORKERS)}

    def stop(*_):
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    while True:
        pid, status = os.wait()
        n = workers.pop(pid, None)
        if n is not None:
            if os.waitstatus_to_exitcode(status) not in (3, -9):
                os._exit(1)
            workers[child(lambda: work(n))] = n


# ---- the client ----


def everything(c):
    text = b""
    while data := c.recv(65536):
        text += data
    return text


one_at_a_time = threading.Lock() # if all workers waited for each other, none would be left to answer


PLAIN = ["echo", "digest", "many", "half", "names"]


def one(rng, number, verb):
    arg = str(number)
    with one_at_a_time if verb in ("inside", "poked") else contextlib.nullcontext(), socket.create_connection(("127.0.0.1", port), timeout=30) as c:
        if verb == "digest":
            data = rng.randbytes(rng.choice([0, 1, 1000, 100000, 600000]))
            c.sendall(b"digest %d\n" % len(data) + data)
            want = hashlib.sha256(data).hexdigest().encode()
        elif verb == "many":
            size = rng.choice([1, 5000, 300000, 1000000])
            c.sendall(b"many %d\n" % size)
            if rng.random() < 0.3:
                time.sleep(0.05)
            want = b"m" * size
        elif verb == "polled":
            c.sendall(b"polled %s\n" % arg.encode())
            if c.recv(1) != b"?":
                return "%s: no question" % verb
            c.sendall(b"now")
            want = b"15 now " + arg.encode()
        elif verb == "half":
            c.sendall(b"half\n")
            got = everything(c)
            c.sendall(b"more")
            return None if got == b"half" else "half: %r" % got
        elif verb == "reset":
            c.sendall(b"reset\n")
            try:
                return "reset: %r" % c.recv(10)
            except ConnectionResetError:
                return None
        elif verb == "names":
            c.sendall(b"names %s\n" % arg.encode())
            want = ("%d %d True %s" % (c.getsockname()[1], port, arg)).encode()
        else:
            head = b"%s %s\n" % (verb.encode(), arg.encode())
            if rng.random() < 0.3: # in two parts
                c.sendall(head[:3])
                time.sleep(rng.random() * 0.01)
                head = head[3:]
            c.sendall(head)
            want = {"echo": "echo " + arg, "duplicated": "dup " + arg, "forked": "child " + arg, "both": "one two " + arg, "executed": "exec " + arg,
                    "passed": "passed " + arg, "poked": "poked ! " + arg, "files": "files right " + arg, "inside": "echo inside " + arg, "ends": "e" * 200000, "killed": "k" * 100,
                    "keeps": "0"}[verb].encode()
        got = everything(c)
        return None if got == want else "%s: %r instead of %r" % (verb, got[:80], want[:80])


def ask():
    seed = int(sys.argv[3])
    wrong = []

    def client(n, verb):
        rng = random.Random(seed * 100000 + n)
        for i in range(24):
            try:
                bad = one(rng, n * 100 + i, verb if i > 9 and rng.random() < 0.3 else rng.choice(PLAIN))
            except OSError as error:
                bad = repr(error)
            if bad:
                wrong.append(bad)
                return

    for v, verb in enumerate(v for v in VERBS if v not in ("end", "option")):
        time.sleep(0.12)
        threads = [threading.Thread(target=client, args=(v * 10 + n, verb)) for n in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    for verb, want in (b"option 1", b"option 1"), (b"keeps 2", b"1"), (b"keeps 3", b"1"), (b"keeps 4", b"1"), (b"keeps 5", b"1"), (b"keeps 6", b"1"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as c:
            c.sendall(verb + b"\n")
            got = everything(c)
            if got != want:
                wrong.append("%r: %r" % (verb, got))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as c:
        c.sendall(b"end\n")
    print("\n".join(wrong) or "all as it should be")


serve() if role == "serve" else ask()
