#!/usr/bin/env bats
# Connections of processes that are not PID 1: their enclaves borrow them from the init enclave, and give them back when another process
# comes to use them (docs/PROCESSES.md). What server and client say to each other must be what they say natively.
load helpers

here=$BATS_TEST_DIRNAME

setup() {
    PORT=$(free_port)
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    [ -n "${SERVER-}" ] || return 0
    pkill -KILL -P "$SERVER" || true # what timeout runs
    kill -KILL "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
}

# conversation NAME: the client's side of it into the file NAME; the server must end well.
conversation() {
    timeout -k 5 100 python3 "$here/connections-client.py" "$PORT" >"$1"
    wait "$SERVER"
    SERVER=
}

@test "connections that are shared, handed on, watched, duplicated, killed: as natively" {
    IMAGE=$(e2e_image python python "$OPEN_POLICY")
    python3 "$here/connections-server.py" "$PORT" 3>&- &
    SERVER=$!
    conversation native
    local pump whose
    for pump in uring epoll; do
        [ $pump = uring ] && whose=worker || whose=first
        COFRE_PUMP=$pump timeout -k 5 120 "$COFRE" run --softsgx -i -p "127.0.0.1:$PORT:$PORT" "$IMAGE" -- -c "$(cat "$here/connections-server.py")" "$PORT" $whose \
            </dev/null 2>err 3>&- &
        SERVER=$!
        conversation enclave
        diff native enclave
    done
}

@test "a host that ends a worker's process ends its connections, and nothing else" {
    IMAGE=$(e2e_image python python "$OPEN_POLICY")
    timeout -k 5 60 "$COFRE" run --softsgx -i -p "127.0.0.1:$PORT:$PORT" "$IMAGE" -- -c "$(cat "$here/connections-worker.py")" "$PORT" </dev/null >out 2>err 3>&- &
    SERVER=$!
    timeout -k 5 50 python3 "$here/connections-killer.py" "$PORT" "$SERVER"
    wait "$SERVER"
    SERVER=
    grep -q '^ended by 9$' out
}

@test "thousands of connections at once, in a worker and in PID 1" {
    IMAGE=$(e2e_image python python "$OPEN_POLICY")
    timeout -k 5 100 "$COFRE" run --softsgx -i -p "127.0.0.1:$PORT:$PORT" "$IMAGE" -- -c "$(cat "$here/connections-many.py")" "$PORT" 5000 </dev/null >out 2>err 3>&- &
    SERVER=$!
    [ "$(timeout -k 5 90 python3 "$here/connections-crowd.py" "$PORT" 5000)" = "all came back" ]
    wait "$SERVER"
    SERVER=
    grep -qx 'all are done 6' out
}

@test "a process that opens a file again and again asks nobody, a large one neither, nor if it has started others" {
    IMAGE=$(e2e_image python python "$OPEN_POLICY")
    local script='import os, subprocess, sys, time
def work(path, data):
    with open(path, "wb") as f:
        f.write(data)
    subprocess.run(["/bin/true"])
    time.sleep(0.15)
    for _ in range(2000):
        fd = os.open(path, os.O_RDONLY)
        assert os.pread(fd, 10, len(data) - 10) == data[-10:]
        os.close(fd)
if os.fork() == 0:
    work("/var/tmp/small", os.urandom(1000))
    work("/var/tmp/large", os.urandom(1000000))
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))'
    timeout -k 5 60 "$COFRE" run --softsgx --stats=json:stats "$IMAGE" -- -c "$script" </dev/null 3>&-
    jq -c '[.syscalls.openat, .syscalls.pread64]' stats
    # What the init enclave runs for a member counts once more: without leases they are twice as many.
    jq -e '.syscalls.openat > 4000 and .syscalls.openat < 6000 and .syscalls.pread64 < 6000' stats
}

@test "a worker with a listening socket in an epoll set accepts the first connections by itself, all at once" {
    IMAGE=$(e2e_image python python "$OPEN_POLICY")
    local serve='
import os, select, socket, sys
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=64)
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
listener.setblocking(False)
watched, clients, ended = select.epoll(), {}, 0
watched.register(listener, select.EPOLLIN)
while ended < 40:
    for fd, _ in watched.poll():
        if fd == listener.fileno():
            client, _ = listener.accept()
            clients[client.fileno()] = client
            watched.register(client, select.EPOLLIN)
        elif data := clients[fd].recv(100):
            clients[fd].send(data)
        else:
            clients.pop(fd).close()
            ended += 1
os._exit(0)'
    local ask='
import socket, sys
clients = [socket.socket() for _ in range(40)]
for client in clients:
    client.settimeout(20)
    client.connect(("127.0.0.1", int(sys.argv[1])))
for n in range(5):
    for client in clients:
        client.send(b"%d" % n)
    assert all(client.recv(100) == b"%d" % n for client in clients)'
    PORT=$(free_port)
    timeout -k 5 60 "$COFRE" run --softsgx --stats=json:stats -i -p "127.0.0.1:$PORT:$PORT" "$IMAGE" -- -c "$serve" "$PORT" </dev/null >out 2>err 3>&- &
    SERVER=$!
    wait_until 10 grep -q "$(printf ':%04X .* 0A' "$PORT")" /proc/net/tcp
    sleep 0.5 # fork, and a set to wait in
    timeout -k 5 40 python3 -c "$ask" "$PORT"
    wait "$SERVER"
    jq -c .syscalls.accept4 stats
    # What the init enclave runs for a member counts once more.
    jq -e '.syscalls.accept4 >= 40 and .syscalls.accept4 < 60' stats
}

@test "connections that come at once wake as many threads that wait in accept" {
    IMAGE=$(e2e_image python python "$OPEN_POLICY")
    local child
    for child in "" child; do
        PORT=$(free_port) # the one before may still show its last listener
        timeout -k 5 60 "$COFRE" run --softsgx -i -p "127.0.0.1:$PORT:$PORT" "$IMAGE" -- -c "$(cat "$here/connections-accept.py")" serve "$PORT" $child </dev/null >out 2>err 3>&- &
        SERVER=$!
        wait_until 10 grep -q "$(printf ':%04X .* 0A' "$PORT")" /proc/net/tcp
        [ "$(timeout -k 5 40 python3 "$here/connections-accept.py" ask "$PORT")" = 160 ]
        pkill -KILL -P "$SERVER"
        wait "$SERVER" || true
        SERVER=
    done
}

@test "workers that accept from one listening socket, by themselves or not: as natively" {
    IMAGE=$(e2e_image python python "$OPEN_POLICY")
    local pump wait
    for pump in uring epoll; do for wait in "" epoll; do
        PORT=$(free_port)
        COFRE_PUMP=$pump timeout -k 5 60 "$COFRE" run --softsgx -i -p "127.0.0.1:$PORT:$PORT" "$IMAGE" -- -c "$(cat "$here/connections-workers.py")" serve "$PORT" $wait \
            </dev/null >out 2>err 3>&- &
        SERVER=$!
        wait_until 10 grep -q "$(printf ':%04X .* 0A' "$PORT")" /proc/net/tcp
        [ "$(timeout -k 5 50 python3 "$here/connections-workers.py" ask "$PORT" "$RANDOM")" = "all as it should be" ]
        wait "$SERVER"
        SERVER=
    done; done
}
