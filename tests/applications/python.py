"""What programs in Python do, printed: threads, processes, asyncio, TLS, SQL. Must print the same natively and in an enclave."""
import asyncio, hashlib, json, os, queue, random, select, signal, socket, sqlite3, ssl, subprocess, sys, tempfile, threading, time, zlib


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


for job in (threads, processes, network, tls, sql, the_rest):
    print(job.__name__, asyncio.run(job()) if asyncio.iscoroutinefunction(job) else job(), flush=True)
