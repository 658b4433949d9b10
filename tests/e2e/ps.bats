# `cofre ps` and names of containers.
load helpers

setup_file() {
    load helpers
    e2e_image busybox busybox "$OPEN_POLICY" >&2
}

setup() {
    export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR # a list of our own
    IMAGE=$BATS_TEST_TMPDIR/image
    ln -s "$E2E/busybox" "$IMAGE"
}

teardown() { if [ -n "${PID-}" ]; then kill -KILL "$PID" 2>/dev/null || true; fi; }

# start OPTIONS...: in the background, until it runs.
start() {
    "$COFRE" run --softsgx "$@" "$IMAGE" -- sh -c 'trap "exit 0" TERM; echo ready; while :; do read -t 1 x; done' >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    PID=$!
    wait_until 10 grep -q ready "$BATS_TEST_TMPDIR/out"
}
stop() {
    kill -TERM "$PID"
    wait "$PID"
    PID=
}

@test "nothing runs" {
    run -0 "$COFRE" ps
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == NAME* ]]
    run -0 "$COFRE" ps --json
    [ "$output" = "[]" ]
}

@test "a container is listed by its name until it ends" {
    port=$(free_port)
    start --name my-box.1 -p "127.0.0.1:$port:80" -p "$port:53/udp"
    run -0 "$COFRE" ps
    [ "${#lines[@]}" -eq 2 ]
    [[ "${lines[1]}" =~ ^my-box.1\ +$PID\ +[0-9]+s\ +127.0.0.1:$port-\>80/tcp,\*:$port-\>53/udp\ +$IMAGE$ ]]
    run -0 "$COFRE" ps -q
    [ "$output" = my-box.1 ]
    run -0 "$COFRE" ps --json
    [ "$(jq -r '.[0].name + " " + (.[0].pid | tostring) + " " + .[0].image' <<<"$output")" = "my-box.1 $PID $IMAGE" ]
    stop
    run -0 "$COFRE" ps -q
    [ -z "$output" ]
}

@test "a container without a name is called by its process" {
    start
    run -0 "$COFRE" ps -q
    [ "$output" = "cofre-$PID" ]
    stop
}

@test "a name in use is refused" {
    start --name twice
    run -125 timeout 20 "$COFRE" run --softsgx --name twice "$IMAGE" -- true
    [[ "$output" == *"the name twice is in use by process $PID (choose another --name)"* ]]
    run -0 timeout 20 "$COFRE" run --softsgx --name other "$IMAGE" -- true
    stop
    run -0 timeout 20 "$COFRE" run --softsgx --name twice "$IMAGE" -- true
}

@test "what was killed is not listed, and its name is free" {
    start --name killed
    kill -KILL "$PID"
    wait "$PID" || true
    wait_until 5 sh -c '[ -z "$("$1" ps -q)" ]' sh "$COFRE"
    [ ! -e "$BATS_TEST_TMPDIR/cofre/killed" ]
    run -0 timeout 20 "$COFRE" run --softsgx --name killed "$IMAGE" -- true
}

@test "names that are none are refused" {
    for name in '' -x ../x 'a b' .hidden "$(printf '%064d' 0)"; do
        run -125 timeout 20 "$COFRE" run --softsgx --name "$name" "$IMAGE" -- true
        [[ "$output" == *"is no name for a container"* ]]
    done
}

@test "a list that others may write is not used" {
    mkdir -m 0777 "$BATS_TEST_TMPDIR/cofre"
    chmod 0777 "$BATS_TEST_TMPDIR/cofre"
    run -125 timeout 20 "$COFRE" run --softsgx --name box "$IMAGE" -- true
    [[ "$output" == *"entering box in the list of containers failed"* ]]
    run -0 timeout 20 "$COFRE" run --softsgx "$IMAGE" -- true
    run -125 "$COFRE" ps
}
