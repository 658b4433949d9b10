"""PID 1 and a worker, both of which echo lines of connections of their own; ends when told to, after the worker has."""
import os, socket, sys

listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))


def accept():
    c, _ = listener.accept()
    return c, c.makefile("rw", buffering=1, newline="\n")


first, first_file = accept()
pid = os.fork()
if pid == 0:
    first.close()
    _, file = accept()
    for text in file:
        file.write(text)
    os._exit(0)
_, status = os.waitpid(pid, 0)
print("ended by", os.WTERMSIG(status), flush=True)
for text in first_file:
    first_file.write(text)
_, file = accept()
for text in file:
    file.write(text)
