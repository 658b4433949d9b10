#!/usr/bin/env bats
# Volumes whose newest state a counter elsewhere knows: put back, forked, and with a counter that hangs, lies or is gone.
load helpers
load services

# counter_start [PORT]: the service, with its state in this test's folder; sets COFRE_ANCHOR and COUNTER_KEY.
counter_start() {
    [ -e counter.key ] || cp "$E2E/counter.key" counter.key 2>/dev/null || true
    service_start "$BUILD/tests/tools/counter" --state "$PWD/counter" --port "${1:-0}"
    read -r -t 10 counter_port COUNTER_KEY <&$service_out
    export COFRE_ANCHOR=127.0.0.1:$counter_port
}

setup_file() {
    load helpers
    load services
    mkdir -p "$E2E"
    cd "$E2E"
    head -c 32 /dev/urandom >counter.key.new
    [ -e counter.key ] && [ "$(stat -c %s counter.key)" = 32 ] || mv counter.key.new counter.key
    rm -f counter.key.new
    counter_start
    key=$COUNTER_KEY
    service_kill
    e2e_image volume-fresh busybox "$OPEN_POLICY
anchor: {address: '127.0.0.1:9', key: $key, timeout: 2}
volumes:
$(for mode in local $MODES; do echo "  - {name: $mode, path: /$mode, key: file, freshness: $mode, create: true, size: 8M, optional: true}"; done)
" >&2
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    export COFRE_VOLUMES=$BATS_TEST_TMPDIR/volumes
    head -c 32 /dev/urandom >key
    counter_start
}

teardown() { service_kill; }

# with MODE SCRIPT: in a container with the volume of that name, with standard input.
with() { timeout -k 5 40 "$COFRE" run -i --softsgx -v "$1:/$1:key=key" "$E2E/volume-fresh" -- sh -c "$2" 3>&-; }

@test "freshness: an older volume put back is refused in each mode, the newest one is not" {
    older_volumes_are_refused
}

@test "freshness: a counter that hangs, changes or repeats its answers, or is gone: refused in time, and good again after" {
    run -0 with strict 'echo 1 >/strict/a; sync /strict/a'
    for how in hang forge replay; do
        service_tell $how
        SECONDS=0
        run -125 with strict true
        [ $SECONDS -lt 20 ]
        case $how in
            hang) [[ "$output" == *"its anchor does not answer"* ]] ;;
            *) [[ "$output" == *"changes what it says"* ]] ;;
        esac
        service_tell run
        run -0 with strict 'cat /strict/a'
    done
    service_kill
    run -125 with strict true
    [[ "$output" == *"Connection refused"* ]]
    [[ "$output" == *"its anchor does not answer"* ]]
}

@test "freshness: a counter of another key is not the anchor" {
    head -c 32 /dev/urandom >counter.key
    service_kill
    counter_start
    run -125 with strict true
    [[ "$output" == *"its anchor does not answer"* ]]
}

@test "freshness: a counter that was set back or began anew is not believed" {
    run -0 with strict 'echo 1 >/strict/a; sync /strict/a'
    service_tell set 17
    run -125 with strict true
    [[ "$output" == *"rolled back"* ]]
    service_tell set 0
    run -125 with strict true
    [[ "$output" == *"rolled back"* ]]
}

@test "freshness: strict syncs fail in time while the counter hangs, and succeed when it is back" {
    container strict 'cd /strict; echo 1 >a; sync a && echo first; read x; echo 2 >a; sync a || echo late; read x; sync a && echo second'
    wait_until 20 grep -q first out
    service_tell hang
    echo >&$to
    wait_until 20 grep -q late out
    service_tell run
    echo >&$to
    wait_until 20 grep -q second out
    wait $container_pid
    run -0 --separate-stderr with strict 'cat /strict/a'
    [ "$output" = 2 ]
}

@test "freshness: the counter is killed and comes back under a container that goes on" {
    container strict 'cd /strict; echo 1 >a; sync a && echo first; read x; echo 2 >a; sync a && echo second'
    wait_until 20 grep -q first out
    local port=$counter_port
    service_kill
    counter_start "$port"
    echo >&$to
    wait_until 20 grep -q second out
    wait $container_pid
}

@test "freshness: of two on copies of one volume, one holds it and the other ends before it says more" {
    one_of_two_holds_a_volume
}

@test "freshness: an idle volume asks its counter nothing" {
    container lag 'cd /lag; echo 1 >a; sync a; sleep 6; echo done; read x' # in which the last checkpoint is made
    wait_until 30 grep -q done out
    before=$(service_tell stats)
    sleep 1
    [ "$(service_tell stats)" = "$before" ]
    echo >&$to
    wait $container_pid
}

# accept MODE ARGUMENTS...
accept() {
    local anchor=(--anchor "$COFRE_ANCHOR" --anchor-key "$COUNTER_KEY")
    [ "$1" != local ] || anchor=(--local-anchor volumes/local/anchor)
    "$COFRE" volume accept-rollback --key-file key "${anchor[@]}" "volumes/$1/volume" "${@:2}"
}

@test "freshness: an older volume is accepted by who has its key and says so, and the newer one no more" {
    for mode in local $MODES; do
        run -0 with $mode "echo 1 >/$mode/a; sync /$mode/a"
        cp volumes/$mode/volume old
        run -0 with $mode "echo 2 >/$mode/a; sync /$mode/a"
        cp volumes/$mode/volume new
        [ $mode = local ] || [[ "$(accept $mode --confirm)" == *"nothing to accept"* ]]
        cp old volumes/$mode/volume
        run -125 with $mode true
        run -6 accept $mode
        [[ "$output" == *"--confirm"* ]]
        cmp old volumes/$mode/volume
        run -0 accept $mode --confirm
        run -0 --separate-stderr with $mode "cat /$mode/a; echo 3 >/$mode/a"
        [ "$output" = 1 ]
        cp new volumes/$mode/volume
        run -125 with $mode true
        [[ "$output" == *"rolled back"* ]]
    done
    head -c 32 /dev/urandom >other
    run -4 "$COFRE" volume accept-rollback --key-file other --local-anchor x volumes/local/volume --confirm
    COUNTER_KEY=$(printf '%064d' 9)
    run -125 accept strict --confirm
    service_kill
    run -125 accept strict --confirm
    [[ "$output" == *"does not answer"* ]]
    run -2 "$COFRE" volume accept-rollback --key-file key volumes/strict/volume
}

# One process, which writes, syncs and answers, on a connection or on its output.
SERVER='
import os, socket, sys, time
f = os.open("/output/a", os.O_CREAT | os.O_RDWR)
def work(byte):
    os.pwrite(f, byte, 0)
    start = time.monotonic()
    os.fsync(f)
    return b"%s synced in time: %s\n" % (byte, b"yes" if time.monotonic() - start < 3 else b"no")
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", int(sys.argv[1]))); s.listen()
os.write(1, work(b"1"))
c = s.accept()[0]
while True:
    byte = c.recv(1)
    if byte == b"": break
    reply = work(byte)
    if byte == b"3": os.write(1, reply)
    else: c.sendall(reply)
'

@test "freshness: output, one process: syncs do not wait, what leaves after them does" {
    e2e_image volume-fresh-python python "$(cat "$E2E/volume-fresh.yaml")" >&2
    local port reply=
    port=$(free_port)
    timeout -k 5 60 "$COFRE" run --softsgx -p "127.0.0.1:$port:$port" -v output:/output:key=key "$E2E/volume-fresh-python" -- \
        -c "$SERVER" "$port" >out 2>err 3>&- &
    container_pid=$!
    wait_until 30 grep -q "1 synced" out
    exec {to}<>"/dev/tcp/127.0.0.1/$port"
    service_tell hang
    printf 2 >&$to
    run ! read -r -t 4 reply <&$to
    service_tell run
    read -r -t 20 reply <&$to
    [ "$reply" = "2 synced in time: yes" ]
    service_tell hang
    printf 3 >&$to
    sleep 1
    run ! grep "3 synced" out
    service_tell run
    wait_until 20 grep -q "3 synced" out
    exec {to}>&-
    wait $container_pid
}
