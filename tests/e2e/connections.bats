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
