"""Talks to connections-worker.py and kills the host process of its worker: connections-killer.py PORT RUNTIME."""
import os, signal, socket, subprocess, sys, time

port, runtime = int(sys.argv[1]), sys.argv[2]


def connect():
    for _ in range(400):
        try:
            c = socket.create_connection(("127.0.0.1", port), timeout=20)
            return c, c.makefile("rw", buffering=1, newline="\n")
        except ConnectionRefusedError:
            time.sleep(0.05)
    sys.exit("nobody listens")


def says(file, text):
    file.write(text + "\n")
    assert file.readline() == text + "\n", text


def children(pid):
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()


def members(pid):
    """Host processes of the container below its zygote, which is named so."""
    found = []
    for child in children(pid):
        with open(f"/proc/{child}/comm") as f:
            found += children(child) if f.read() == "cofre-zygote\n" else members(child)
    return found


first, first_file = connect()
second, second_file = connect()
for i in range(50):
    says(second_file, f"line {i}")
for member in members(runtime):
    os.kill(int(member), signal.SIGKILL)
try:
    assert second.recv(10) == b""
except ConnectionResetError:
    pass
for i in range(50):
    says(first_file, f"line {i}")
first.shutdown(socket.SHUT_WR)
third, third_file = connect()
says(third_file, "the listener is whole")
third.shutdown(socket.SHUT_WR)
