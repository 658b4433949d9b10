#!/usr/bin/env bats
# Volumes whose newest state a counter of a MarbleRun coordinator knows, over its own protocol; the coordinator is
# tests/tools/marble-coordinator, on Go's TLS and HTTP server as MarbleRun is.
load helpers
load services

# coordinator_start [PORT]: with its counters in this test's folder, and always the same certificates; sets COFRE_ANCHOR.
coordinator_start() {
    mkdir -p coordinator
    [ -e coordinator/root.pem ] || cp "$E2E"/marblerun/*.pem "$E2E"/marblerun/*.key coordinator/
    service_start "$E2E/marble-coordinator" --dir "$PWD/coordinator" --port "${1:-0}"
    read -r -t 10 coordinator_port <&$service_out
    export COFRE_ANCHOR=127.0.0.1:$coordinator_port
}

# The certificates last as long as the program that makes them.
certificates_make() {
    local dir=$E2E/marblerun port pid
    [ "$dir/root.pem" -nt "$TOP/tests/tools/marble-coordinator/main.go" ] && return
    rm -rf "$dir" && mkdir -p "$dir"
    coproc MAKER { exec "$E2E/marble-coordinator" --dir "$dir" 3>&-; }
    pid=$MAKER_PID
    read -r -t 20 port <&"${MAKER[0]}"
    kill "$pid"
    wait "$pid" || true
}

# policy KEY TIMEOUT: where the marble's key comes from; how long an answer is waited for.
policy() {
    echo "$OPEN_POLICY
anchor:
  address: '127.0.0.1:9'
  timeout: $2
  marble_key: $1
  certificate: |"
    sed 's/^/    /' "$E2E/marblerun/root.pem"
    echo "volumes:"
    for mode in $MODES; do
        echo "  - {name: $mode, path: /$mode, key: file, freshness: $mode, create: true, size: 8M, optional: true}"
    done
}

setup_file() {
    load helpers
    load services
    mkdir -p "$E2E"
    GO111MODULE=off go build -o "$E2E/marble-coordinator" "$TOP/tests/tools/marble-coordinator/main.go"
    certificates_make
    e2e_image volume-marble busybox "$(policy file 30)" >&2
    e2e_image volume-marble-impatient busybox "$(policy file 2)" >&2
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    export COFRE_VOLUMES=$BATS_TEST_TMPDIR/volumes
    head -c 32 /dev/urandom >key
    coordinator_start
}

teardown() {
    service_kill
    key_server_stop
}

# with MODE SCRIPT [MARBLE]: in a container with the volume of that name, as the marble of that name.
with() {
    timeout -k 5 40 "$COFRE" run -i --softsgx --marble "$PWD/coordinator/${3-marble}.pem" -v "$1:/$1:key=key" \
        "$E2E/volume-marble${IMPATIENT:+-impatient}" -- sh -c "$2" 3>&-
}

@test "marblerun: an older volume put back is refused in each mode, the newest one is not" {
    older_volumes_are_refused
    # the counter's key as MarbleRun makes it: type, UUID and name, each in base64
    service_tell list | grep -q " dm9sdW1l:$(printf 'f3a1c3f0-9d5e-4c1f-8a51-6b1d0e9f7a22' | base64 -w0):"
}

@test "marblerun: a marble that the coordinator does not know is refused at once, and what is none is not shown" {
    for marble in expired foreign; do
        run -125 with strict true $marble
        [[ "$output" == *"HTTP status 401"* ]]
        [[ "$output" == *"its anchor refuses"* ]]
    done
    service_tell status 403 # without the feature gate MonotonicCounter
    run -125 with strict true
    [[ "$output" == *"HTTP status 403"* && "$output" == *"its anchor refuses"* ]]
    service_tell run
    run -125 with strict true rsa
    [[ "$output" == *"came without its key, an ECDSA key on P-384"* ]]
    run -125 with strict true root
    [[ "$output" == *"came without its key"* ]]
    head -c 3000 /dev/urandom >coordinator/noise.pem
    run -125 with strict true noise
    [[ "$output" == *"is none"* ]]
    run -125 with strict true nothing
    [[ "$output" == *"nothing.pem failed: No such file"* ]]
    run -125 timeout -k 5 40 "$COFRE" run --softsgx -v strict:/strict:key=key "$E2E/volume-marble" -- true 3>&-
    [[ "$output" == *"no certificate for it was given"* ]]
    run -0 with strict true
    # as an engine gives it
    run -0 env COFRE_MARBLE="$PWD/coordinator/marble.pem" timeout -k 5 40 "$COFRE" run --softsgx -v strict:/strict:key=key \
        "$E2E/volume-marble" -- true 3>&-
}

# misbehaves HOW...: with a coordinator of its own a volume is made; then it is told so. In a folder of its own.
misbehaves() {
    mkdir "$1"
    cd "$1"
    head -c 32 /dev/urandom >key
    coordinator_start
    trap service_kill EXIT
    export COFRE_VOLUMES=$PWD/volumes
    with strict 'echo 1 >/strict/a'
    service_tell "$@"
    code=0
    IMPATIENT=1 with strict true "${MARBLE-marble}" >out 2>&1 || code=$?
    echo $code >code
    service_tell run
    with strict 'cat /strict/a' >again
}

@test "marblerun: who is not the coordinator, or not in order: refused in time, and good again after" {
    local pids=()
    # Who has a certificate below the same root, and any name it likes in it, is not the coordinator.
    misbehaves impostor >impostor.log 2>&1 3>&- & pids+=($!)
    misbehaves other >other.log 2>&1 3>&- & pids+=($!)
    misbehaves tls13 >tls13.log 2>&1 3>&- & pids+=($!)
    misbehaves forge >forge.log 2>&1 3>&- & pids+=($!)
    wait "${pids[@]}"
    pids=()
    misbehaves hang >hang.log 2>&1 3>&- & pids+=($!)
    misbehaves status 500 >status.log 2>&1 3>&- & pids+=($!)
    misbehaves body '{"status":"success","data":{"value":"1"}}' >body.log 2>&1 3>&- & pids+=($!)
    misbehaves raw '"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"' >raw.log 2>&1 3>&- & pids+=($!)
    MARBLE=mismatch misbehaves list >list.log 2>&1 3>&- & pids+=($!)
    wait "${pids[@]}"
    for how in impostor other tls13 forge hang status body raw list; do
        echo "$how: $(cat $how.log $how/out)"
        [ "$(cat $how/code)" = 125 ]
        [ "$(cat $how/again)" = 1 ]
        case $how in
            hang) grep -q "its anchor does not answer" $how/out ;;
            status) grep -q "HTTP status 500" $how/out && grep -q "its anchor does not answer" $how/out ;;
            *) grep -q "who answers is not the anchor that the policy names" $how/out ;;
        esac
    done
    grep -q "TLS with MarbleRun at .* failed: BearSSL's error 27" impostor/out # its signature
    grep -q "TLS with MarbleRun at .* failed: it sent alert 51" list/out       # it does not believe ours
}

@test "marblerun: a counter that was set back, or began anew, or lies, is not believed" {
    run -0 with strict 'echo 1 >/strict/a; sync /strict/a'
    service_tell lie
    run -125 with strict true
    service_tell run
    service_tell set 17
    run -125 with strict true
    [[ "$output" == *"rolled back"* ]]
    service_tell set 0
    run -125 with strict true
    [[ "$output" == *"rolled back"* ]]
}

@test "marblerun: a lost answer costs nothing, but for the one of the take-over, which is accepted by who has the key" {
    run -0 with strict 'echo 1 >/strict/a; sync /strict/a'
    for n in 1 3 4; do # what it is; the confirmation; the sync
        service_tell drop $n
        run -0 --separate-stderr with strict "cat /strict/a; echo $n >/strict/a; sync /strict/a"
        [ "$output" = "${last-1}" ]
        last=$n
    done
    service_tell drop 2
    run -125 with strict true
    [[ "$output" == *"was cut short while it did, or two did at once"* ]]
    run -125 with strict true
    [[ "$output" == *"was cut short while it did, or two did at once"* ]]
    accept() {
        "$COFRE" volume accept-rollback --key-file key --anchor "$COFRE_ANCHOR" --anchor-certificate coordinator/root.pem \
            --marble "coordinator/$1.pem" volumes/strict/volume "${@:2}"
    }
    run -6 accept marble
    [[ "$output" == *"--confirm"* ]]
    run -125 accept foreign --confirm
    [[ "$output" == *"refuses the marble"* ]]
    service_tell other
    run -125 accept marble --confirm
    [[ "$output" == *"is not the anchor of that certificate"* ]]
    service_tell run
    run -0 accept marble-chain --marble-key coordinator/marble.key --confirm
    run -0 --separate-stderr with strict 'cat /strict/a'
    [ "$output" = 4 ]
    [[ "$(accept marble --confirm)" == *"nothing to accept"* ]]
    run -2 accept marble --anchor-key "$(printf '%064d' 9)" --confirm
}

@test "marblerun: the coordinator refuses, hangs, is killed and comes back under a container that goes on" {
    IMPATIENT=1 container strict 'cd /strict; for n in 1 2 3 4 5 6; do echo $n >a; until sync a; do echo "late $n"; done; echo "good $n"; read x; done'
    wait_until 20 grep -q "good 1" out
    service_tell status 401 # as after an update of its manifest, which gives it other roots
    echo >&$to
    wait_until 20 grep -q "late 2" out
    service_tell run
    wait_until 20 grep -q "good 2" out
    service_tell hang
    echo >&$to
    wait_until 20 grep -q "late 3" out
    service_tell run
    wait_until 20 grep -q "good 3" out
    local port=$coordinator_port
    service_kill
    coordinator_start "$port"
    for n in 4 5 6; do
        echo >&$to
        wait_until 20 grep -q "good $n" out
    done
    echo >&$to
    wait $container_pid
    run -0 --separate-stderr with strict 'cat /strict/a'
    [ "$output" = 6 ]
}

@test "marblerun: of two on copies of one volume, one holds it and the other ends before it says more" {
    one_of_two_holds_a_volume
}

@test "marblerun: one connection serves all requests" {
    before=($(service_tell stats))
    run -0 with strict 'cd /strict; for i in 1 2 3 4 5 6 7 8; do echo $i >a; sync a; done'
    after=($(service_tell stats))
    [ $((after[1] - before[1])) = 1 ]
    [ $((after[0] - before[0])) -gt 8 ]
}

@test "marblerun: the marble's key comes from a key server after attestation; the host has the certificates alone" {
    export XDG_STATE_HOME=$PWD/state # a machine of our own
    "$COFRE" simulation export simulation
    mkdir keys
    cp coordinator/marble.key keys/shop-marble.key
    server_key=$("$COFRE" volume keygen server.pem)
    e2e_key
    {
        policy server 30
        echo "key_server: {address: '127.0.0.1:9', key: $server_key, timeout: 20}"
    } | sed 's/marble_key: server/&\n  marble_key_name: shop-marble/' >policy.yaml
    "$COFRE" convert -q --policy policy.yaml --key "$E2E/key.pem" "$("$TOP/tools/make-image" busybox 2>/dev/null)" image
    "$COFRE" inspect --json image | jq -e '.policy.anchor | .protocol == "marblerun" and .marble_key == "server" and
        .marble_key_name == "shop-marble" and (.public_key | length) == 194'
    printf 'version: 1\nidentities: [{mrsigner: %s, product: 0}]\nsimulation: true\n' \
        "$("$COFRE" inspect --json image | jq -r .signature.mrsigner)" >keys/shop-marble.yaml
    key_server_start server.pem keys --collateral simulation --root simulation/root.pem
    as() { timeout -k 5 60 "$COFRE" run --softsgx --marble "coordinator/$1.pem" -v strict:/strict:key=key image -- sh -c "$2" 3>&-; }
    run -0 as marble-chain 'echo 1 >/strict/a; sync /strict/a'
    [[ "$output" != *"marble's key comes from a file"* ]]
    run -0 --separate-stderr as mismatch 'cat /strict/a' # a key in the file is passed over
    [ "$output" = 1 ]
    rm keys/shop-marble.yaml
    run -125 as marble-chain true
    [[ "$output" == *"the key of the marble's certificate was not released"* ]]
    key_server_stop
}
