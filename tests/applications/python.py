"""What programs in Python do, printed: threads, processes, shared memory between them, asyncio, TLS, SQL. Must print the same natively and in an enclave."""
import asyncio, hashlib, json, math, multiprocessing, os, queue, random, select, signal, socket, sqlite3, ssl, subprocess, sys, tempfile, threading, time, zlib
from multiprocessing import shared_memory


def threads():
    jobs, results, lock, total = queue.Queue(), [], threading.Lock(), [0]

    def worker():
        while (n := jobs.get()) is not None:
            with lock:
                total[0] += sum(range(n))
            jobs.task_done()

    workers = [threading.Thread(target=worker) for _ in range(8)]
    for w in workers:
        w.start()
    for n in range(2000):
        jobs.put(n)
    jobs.join()
    for _ in workers:
        jobs.put(None)
    for w in workers:
        w.join()
    event = threading.Event()
    threading.Timer(0.05, event.set).start()
    return total[0], event.wait(5), threading.active_count() <= 2


def processes():
    out = []
    out.append(subprocess.run(["sort", "-r"], input="b\na\nc\n", text=True, capture_output=True).stdout)
    out.append(subprocess.run("echo out; echo err >&2; exit 3", shell=True, capture_output=True))
    p1 = subprocess.Popen(["seq", "1", "20000"], stdout=subprocess.PIPE)
    p2 = subprocess.Popen(["sha256sum"], stdin=p1.stdout, stdout=subprocess.PIPE)
    p1.stdout.close()
    out.append(p2.communicate()[0])
    p1.wait()
    try:
        subprocess.run(["sleep", "20"], timeout=0.2)
    except subprocess.TimeoutExpired as e:
        out.append(type(e).__name__)
    p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, preexec_fn=lambda: os.nice(1))
    p.send_signal(signal.SIGTERM)
    out.append(p.wait())
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(w, json.dumps([os.getpid() != os.getppid(), len(sys.argv)]).encode())
        os._exit(5)
    os.close(w)
    out.append((os.read(r, 100), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    try:
        subprocess.run(["/nonexistent"])
    except FileNotFoundError as e:
        out.append(str(e))
    return out


def add(counter, squares, lock, rounds):
    for i in range(rounds):
        with counter.get_lock():
            counter.value += 1
        with lock:
            squares[i % len(squares)] += i * i


def fill(name, barrier, ready, answers, n):
    memory = shared_memory.SharedMemory(name)
    barrier.wait(20)
    memory.buf[n * 5000 : n * 5000 + 5000] = bytes([n + 1]) * 5000
    memory.close()
    ready.wait(20)
    answers.put((n, os.getpid() != os.getppid()))


def shared():
    out = []
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        out.append((pool.map(math.factorial, range(20))[-1], pool.apply_async(math.gcd, (84, 36)).get(20),
                    sum(pool.imap_unordered(math.isqrt, range(500), 50))))
    counter, squares, lock = context.Value("L", 0), context.Array("Q", 7), context.Lock()
    workers = [context.Process(target=add, args=(counter, squares, lock, 2000)) for _ in range(3)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    out.append((counter.value, list(squares), [w.exitcode for w in workers]))
    memory = shared_memory.SharedMemory(create=True, size=20000)
    barrier, ready, answers = context.Barrier(4), context.Event(), context.Queue()
    workers = [context.Process(target=fill, args=(memory.name, barrier, ready, answers, n)) for n in range(4)]
    for w in workers:
        w.start()
    ready.set()
    out.append(sorted(answers.get(timeout=20) for _ in workers))
    for w in workers:
        w.join()
    out.append(hashlib.sha256(memory.buf[:20000]).hexdigest())
    memory.close()
    memory.unlink()
    with context.Manager() as manager:
        names = manager.dict(a=1)
        worker = context.Process(target=names.update, args=({"b": 2},))
        worker.start()
        worker.join()
        out.append(dict(names))
    here, there = context.Pipe()
    worker = context.Process(target=there.send, args=({"x": b"y" * 100000},))
    worker.start()
    out.append(len(here.recv()["x"]))
    worker.join()
    killed = context.Process(target=time.sleep, args=(60,))
    killed.start()
    killed.kill()
    killed.join(20)
    out.append(killed.exitcode)
    return out


async def network():
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    async def client(port, n):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for i in range(20):
            writer.write(b"client %d line %d\n" % (n, i))
            got = await reader.readline()
            assert got == b"CLIENT %d LINE %d\n" % (n, i), got
        writer.close()
        await writer.wait_closed()
        return n

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    done = await asyncio.gather(*(client(port, n) for n in range(30)))
    server.close()
    p = await asyncio.create_subprocess_exec("tr", "a-z", "A-Z", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    shouted = (await p.communicate(b"hello"))[0]
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except asyncio.TimeoutError:
        timed_out = True
    loop = asyncio.get_running_loop()
    digest = await loop.run_in_executor(None, lambda: hashlib.sha256(b"x" * 1000000).hexdigest())
    signalled = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, signalled.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await signalled.wait()
    return sum(done), shouted, timed_out, digest


def tls():
    with tempfile.TemporaryDirectory() as folder:
        key, cert = folder + "/key.pem", folder + "/cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            for _ in range(5):
                raw, _ = listener.accept()
                with context.wrap_socket(raw, server_side=True) as s:
                    while data := s.recv(65536):
                        s.sendall(hashlib.md5(data).digest())

        thread = threading.Thread(target=serve)
        thread.start()
        client, answers = ssl.create_default_context(cafile=cert), []
        for i in range(5):
            with socket.create_connection(listener.getsockname()) as raw, client.wrap_socket(raw, server_hostname="localhost") as s:
                s.sendall(b"%d" % i * 100)
                answers.append((s.version(), s.recv(100).hex()))
        thread.join()
        listener.close()
        return answers


def sql():
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(folder + "/db")
        mode = db.execute("pragma journal_mode=delete").fetchone()
        db.execute("create table t(id integer primary key, name text, n real)")
        rnd = random.Random(1)
        with db:
            db.executemany("insert into t(name, n) values (?, ?)", (("name%d" % i, rnd.random()) for i in range(5000)))
        db.execute("create index i on t(n)")
        try:
            with db:
                db.execute("update t set n = 0")
                raise RuntimeError
        except RuntimeError:
            pass
        db.close()
        db = sqlite3.connect(folder + "/db")
        return mode, db.execute("select count(*), round(sum(n), 6), max(name) from t where n > 0.25").fetchone(), \
            db.execute("pragma integrity_check").fetchone()


def the_rest():
    r, w = socket.socketpair()
    poller = select.epoll()
    poller.register(r, select.EPOLLIN)
    before = poller.poll(0)
    w.send(b"x")
    after = [events for _, events in poller.poll(1)]
    start = time.monotonic()
    time.sleep(0.02)
    hits = []
    signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    while len(hits) < 3:
        signal.pause()
    signal.setitimer(signal.ITIMER_REAL, 0)
    packed = zlib.compress(bytes(range(256)) * 1000)
    return before, after, time.monotonic() - start >= 0.02, len(packed), hashlib.blake2b(packed).hexdigest()[:16]


for job in (threads, processes, shared, network, tls, sql, the_rest):
    print(job.__name__, asyncio.run(job()) if asyncio.iscoroutinefunction(job) else job(), flush=True)
