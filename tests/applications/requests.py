"""Requests /?n=... over new and kept connections to 127.0.0.1:PORT, COUNT in all, running a command a few times meanwhile; none may fail."""
import http.client, subprocess, sys, threading, time

port, count, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
failed, lock = [], threading.Lock()


def client(numbers):
    kept = None
    for n in numbers:
        # A kept connection may be closed by the server between two requests: that is no failure, a second try is.
        for again in (False, True):
            try:
                if kept is None or n % 3 == 0:
                    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                    fresh = True
                else:
                    fresh = False
                kept.request("GET", f"/?n={n}")
                answer = kept.getresponse()
                if answer.status != 200 or answer.read() != b"hello\n":
                    raise ValueError(f"status {answer.status}")
                break
            except Exception as e:
                kept = None
                if fresh or again:
                    with lock:
                        failed.append((n, repr(e)))
                    break
        time.sleep(0.01)


threads = [threading.Thread(target=client, args=(range(i, count, 6),)) for i in range(6)]
for t in threads:
    t.start()
for _ in range(3):
    time.sleep(0.15)
    subprocess.run(command, shell=True, check=True)
for t in threads:
    t.join()
print(failed)
sys.exit(bool(failed))
