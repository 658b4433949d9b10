"""Eight threads that wait in accept, and eight connections that come at once: none is answered before all are accepted.

connections-accept.py serve PORT [child]   until it is killed; the threads are PID 1's, or a child's of it
connections-accept.py ask PORT             says how many of 20 times eight were answered
"""
import os, socket, sys, threading

role, port = sys.argv[1], int(sys.argv[2])


def serve():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(64)
    if "child" in sys.argv and os.fork():
        os.wait()
    all_here = threading.Barrier(8)

    def answer():
        while True:
            c, _ = listener.accept()
            all_here.wait()
            c.sendall(b"x")
            c.close()

    for _ in range(8):
        threading.Thread(target=answer).start()


def ask():
    answered = 0
    for _ in range(20):
        connections = [socket.socket() for _ in range(8)]
        for c in connections:
            c.setblocking(False)
            c.connect_ex(("127.0.0.1", port))
        for c in connections:
            c.settimeout(10)
            if c.recv(1) != b"x":
                sys.exit("a connection was closed without an answer")
            answered += 1
            c.close()
    print(answered)


serve() if role == "serve" else ask()
