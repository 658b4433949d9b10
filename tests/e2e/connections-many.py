"""Echoes lines of thousands of connections, PID 1 some and a worker some, both on one listener: connections-many.py PORT COUNT.

Ends when the last of COUNT is gone, and prints how many each had.
"""
import os, resource, selectors, socket, sys

port, count = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
listener = socket.create_server(("0.0.0.0", port), backlog=1024)


def serve(wanted):
    """Until that many have come and gone."""
    here = selectors.EpollSelector()
    here.register(listener, selectors.EVENT_READ)
    came = gone = 0
    while gone < wanted:
        for key, _ in here.select():
            if key.fileobj is listener:
                c, _ = listener.accept()
                here.register(c, selectors.EVENT_READ)
                came += 1
                if came == wanted:
                    here.unregister(listener)
                    break
                continue
            data = key.fileobj.recv(1000)
            if data:
                key.fileobj.sendall(data)
            else:
                here.unregister(key.fileobj)
                key.fileobj.close()
                gone += 1


listener.settimeout(None)
pid = os.fork()
if pid == 0:
    serve(count // 2)
    os._exit(0)
os.waitpid(pid, 0)
print("the worker's are done", flush=True)
serve(count - count // 2)
print("all are done", len(os.listdir("/proc/self/fd")), flush=True)
