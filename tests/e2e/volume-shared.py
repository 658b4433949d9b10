"""Processes that share files of the volume at /data: what they do, and whether it is there (volumes.bats)."""
import mmap
import os
import signal
import sqlite3
import sys
import time

PAGE = 4096


def children(count, work):
    """In as many processes: work(number). Their wait statuses."""
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            work(number)
            os._exit(0)
        pids.append(pid)
    return [os.waitpid(pid, 0)[1] for pid in pids]


def database():
    c = sqlite3.connect("/data/db", isolation_level=None, timeout=30)
    c.execute("pragma synchronous=FULL")
    return c


def check_database(rows):
    c = database()
    assert c.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert c.execute("pragma integrity_check").fetchone()[0] == "ok"
    found = c.execute("select count(*), count(distinct who), sum(n) from t").fetchone()
    assert found == (3 * rows, 3, 3 * rows * (rows - 1) // 2), found


def write_database(rows):
    def work(who):
        c = database()
        for n in range(rows):
            c.execute("begin immediate")
            c.execute("insert into t values (?, ?, ?)", (who, n, "x" * (n % 500)))
            c.execute("commit")
            assert c.execute("select count(*) from t where who = ?", (who,)).fetchone()[0] == n + 1

    c = database()
    c.execute("pragma journal_mode=wal")
    c.execute("create table t(who int, n int, x text, primary key(who, n))")
    assert children(3, work) == [0] * 3
    check_database(rows)


def mapped(name, pages):
    fd = os.open("/data/" + name, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, pages * PAGE)
    return fd, mmap.mmap(fd, pages * PAGE)


def stay(name, value, flush):
    """A child writes to a mapping that it keeps."""
    r, w = os.pipe()
    if os.fork() == 0:
        _, p = mapped(name, 64)
        for i in range(64):
            p[i * PAGE : i * PAGE + 2] = bytes([value, i])
        if flush:
            p.flush()
        os.write(w, b"x")
        time.sleep(100)
    os.read(r, 1)


def look(name, value):
    with open("/data/" + name, "rb") as f:
        data = f.read()
    assert [data[i * PAGE : i * PAGE + 2] for i in range(64)] == [bytes([value, i]) for i in range(64)]


def fill(pages):
    """More than there is room for: SIGBUS, and all that was written before is kept."""

    def work(_):
        _, p = mapped("full", pages)
        for i in range(pages):
            p[i * PAGE] = 1
            count.seek(0)
            count.write(str(i + 1).encode())

    count = open("/tmp/count", "wb", buffering=0)
    assert children(1, work) == [signal.SIGBUS]
    with open("/tmp/count") as f:
        written = int(f.read())
    fd = os.open("/data/full", os.O_RDWR)
    os.fsync(fd)
    assert all(os.pread(fd, 1, i * PAGE) == b"\1" for i in range(written))
    os.unlink("/data/full")


what = sys.argv[1]
if what == "write":
    write_database(40)
    stay("ended", 3, False)  # and then PID 1 ends
elif what == "check":
    check_database(40)
    look("ended", 3)
    fill(16384)
    stay("synced", 5, True)
    print("synced", flush=True)
    time.sleep(100)
elif what == "again":
    check_database(40)
    look("ended", 3)
    look("synced", 5)
    print("all there")
