#!/usr/bin/env bats
# `cofre ra-tls`: channels between peers with evidence, and with none that is any good.
load helpers

setup_file() {
    # shellcheck source=tests/e2e/helpers.bash
    source "$BATS_TEST_DIRNAME/helpers.bash"
    local dir=$BATS_FILE_TMPDIR
    "$BUILD/tests/tools/make-evidence" pki "$dir/pki"
    "$BUILD/tests/tools/make-evidence" pki "$dir/other"
    "$TOP/tests/tools/pccs-server" "$dir/pki" "$dir/pccs" 3>&- &
    echo $! >"$dir/pids"
    cat >"$dir/echo.py" <<'END'
import os, socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1] + ".new", "w").write(str(server.getsockname()[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
def serve(connection):
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.sendall(b"end of input\n")  # after the client's half-close
    connection.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
END
    python3 "$dir/echo.py" "$dir/echo" 3>&- &
    echo $! >>"$dir/pids"
    wait_until 20 test -s "$dir/pccs" -a -s "$dir/echo"
    "$COFRE" collateral bundle --fmspc 00a06d080000 --url "http://127.0.0.1:$(cat "$dir/pccs")/good" --no-cache "$dir/bundle" >/dev/null
    policy >"$dir/policy.yaml"
    policy | sed 's/mrenclave: .*/mrenclave: 0000000000000000000000000000000000000000000000000000000000000000/' >"$dir/stranger.yaml"
    serve server --quote-command "$(quote_command)"
    serve p384 --quote-command "$(quote_command)" --curve P-384 --gramine
    serve debug --quote-command "$(quote_command) debug"
    serve forged --quote-command "'$BUILD/tests/tools/make-evidence' quote '$dir/other' \$1"
    serve mutual --quote-command "$(quote_command)" --policy "$dir/policy.yaml" --root "$dir/pki/root.pem" \
        --collateral "$dir/bundle" --offline
}

teardown_file() {
    # shellcheck disable=SC2046
    kill $(cat "$BATS_FILE_TMPDIR/pids") 2>/dev/null || true
}

policy() {
    cat <<END
identities:
- mrenclave: $(printf 'e1%.0s' {1..32})
simulation: true
END
}

quote_command() { echo "'$BUILD/tests/tools/make-evidence' quote '$BATS_FILE_TMPDIR/pki' \$1"; }

# serve NAME OPTION...: a server in front of the echo server; its port is in the file NAME.
serve() {
    local name=$1 port
    shift
    port=$(free_port)
    "$COFRE" ra-tls serve --listen "$port" "$@" "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/echo")" 2>"$BATS_FILE_TMPDIR/$name.log" 3>&- &
    echo $! >>"$BATS_FILE_TMPDIR/pids"
    wait_until 20 grep -q listening "$BATS_FILE_TMPDIR/$name.log"
    echo "$port" >"$BATS_FILE_TMPDIR/$name"
}

# connect NAME OPTION...: to that server, verifying offline.
connect() {
    local name=$1
    shift
    "$COFRE" ra-tls connect --policy "${policy-$BATS_FILE_TMPDIR/policy.yaml}" --root "$BATS_FILE_TMPDIR/pki/root.pem" \
        --collateral "$BATS_FILE_TMPDIR/bundle" --offline "$@" "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/$name")"
}

# refused NAME PATTERN OPTION...
refused() {
    local name=$1 pattern=$2
    shift 2
    run connect "$name" "$@" </dev/null
    echo "$name: $output"
    [ "$status" -eq 1 ]
    [[ $output =~ $pattern ]]
}

@test "bytes go both ways, and so does the end" {
    run -0 connect server <<<"hello"
    [ "$output" = $'hello\nend of input' ]
    head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
    connect server <"$BATS_TEST_TMPDIR/data" >"$BATS_TEST_TMPDIR/back"
    head -c 3000000 "$BATS_TEST_TMPDIR/back" | cmp - "$BATS_TEST_TMPDIR/data"
    run -0 connect p384 <<<"hello"
    [ "$output" = $'hello\nend of input' ]
}

@test "collateral is fetched when it is needed" {
    run -0 "$COFRE" ra-tls connect --policy "$BATS_FILE_TMPDIR/policy.yaml" --root "$BATS_FILE_TMPDIR/pki/root.pem" \
        --url "http://127.0.0.1:$(cat "$BATS_FILE_TMPDIR/pccs")/good" --cache "$BATS_TEST_TMPDIR/cache" \
        "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/server")" <<<"hello"
    [ "${lines[0]}" = hello ]
    [ "$(ls "$BATS_TEST_TMPDIR/cache"/*.json | wc -l)" -eq 4 ]
    run "$COFRE" ra-tls connect --policy "$BATS_FILE_TMPDIR/policy.yaml" --root "$BATS_FILE_TMPDIR/pki/root.pem" \
        --url "http://127.0.0.1:$(cat "$BATS_FILE_TMPDIR/pccs")/lie" --no-cache \
        "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/server")" </dev/null
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output =~ "tcb-info" ]]
    run "$COFRE" ra-tls connect --policy "$BATS_FILE_TMPDIR/policy.yaml" --root "$BATS_FILE_TMPDIR/pki/root.pem" \
        --url "http://127.0.0.1:$(cat "$BATS_FILE_TMPDIR/pccs")/missing" --no-cache \
        "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/server")" </dev/null
    [ "$status" -eq 1 ]
    [[ $output =~ "no collateral".*"status 404" ]]
}

@test "peers that are not accepted" {
    refused forged "root"
    refused debug "debug"
    policy=$BATS_FILE_TMPDIR/stranger.yaml refused server "mrenclave"
    refused server "expired" --time "$(date -u -d '+60 days' +%s)"
    run "$COFRE" ra-tls connect --policy "$BATS_FILE_TMPDIR/policy.yaml" --collateral "$BATS_FILE_TMPDIR/bundle" --offline \
        "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/server")" </dev/null
    [ "$status" -eq 1 ]
    [[ $output =~ "not trusted" ]]
    run "$COFRE" ra-tls connect --policy "$BATS_FILE_TMPDIR/policy.yaml" --root "$BATS_FILE_TMPDIR/pki/root.pem" --offline \
        "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/server")" </dev/null
    [ "$status" -eq 1 ]
    [[ $output =~ "no collateral" ]]
}

@test "a server that is no RA-TLS server" {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -subj /CN=x -keyout "$BATS_TEST_TMPDIR/key" \
        -out "$BATS_TEST_TMPDIR/pem" 2>/dev/null
    local port
    port=$(free_port)
    openssl s_server -accept "$port" -cert "$BATS_TEST_TMPDIR/pem" -key "$BATS_TEST_TMPDIR/key" -quiet 3>&- >/dev/null 2>&1 &
    local pid=$!
    wait_until 10 nc -z 127.0.0.1 "$port"
    echo "$port" >"$BATS_FILE_TMPDIR/openssl"
    refused openssl "the certificate carries no evidence"
    kill "$pid"
    # TLS 1.2 is not spoken.
    run openssl s_client -tls1_2 -connect "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/server")" </dev/null
    [ "$status" -ne 0 ]
}

@test "both sides show evidence" {
    run -0 connect mutual --quote-command "$(quote_command)" <<<"hello"
    [ "${lines[0]}" = hello ]
    run connect mutual <<<"hello"
    [ "$status" -eq 125 ]
    [[ ! $output =~ "hello" ]]
    run connect mutual --quote-command "$(quote_command) debug" <<<"hello"
    [ "$status" -eq 125 ]
    wait_until 5 grep -q "a client is not accepted:.*debug" "$BATS_FILE_TMPDIR/mutual.log"
}

@test "a local port for programs that know nothing of it, many at once" {
    local port i pids=()
    port=$(free_port)
    "$COFRE" ra-tls connect --policy "$BATS_FILE_TMPDIR/policy.yaml" --root "$BATS_FILE_TMPDIR/pki/root.pem" --offline \
        --collateral "$BATS_FILE_TMPDIR/bundle" --listen "$port" "127.0.0.1:$(cat "$BATS_FILE_TMPDIR/server")" \
        2>"$BATS_TEST_TMPDIR/log" 3>&- &
    local proxy=$!
    wait_until 10 grep -q listening "$BATS_TEST_TMPDIR/log"
    for i in 1 2 3 4 5 6 7 8; do
        (echo "client $i" | nc -N 127.0.0.1 "$port" | grep -qx "client $i") &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    kill $proxy
}

@test "certificates: made, shown, used by another server" {
    local key=$BATS_TEST_TMPDIR/key pem=$BATS_TEST_TMPDIR/pem port
    "$COFRE" ra-tls certificate --quote-command "$(quote_command)" --curve P-384 --gramine --name example "$key" "$pem"
    [ "$(stat -c %a "$key")" = 600 ]
    openssl x509 -in "$pem" -noout -subject | grep -q example
    openssl verify -CAfile "$pem" "$pem"
    run -0 "$COFRE" ra-tls show "$pem"
    [[ $output =~ "form         interoperable" ]]
    [[ $output =~ mrenclave\ +(e1){32} ]]
    port=$(free_port)
    openssl s_server -accept "$port" -cert "$pem" -key "$key" -rev -quiet 3>&- >/dev/null 2>&1 &
    local pid=$!
    wait_until 10 nc -z 127.0.0.1 "$port"
    echo "$port" >"$BATS_FILE_TMPDIR/openssl"
    run connect openssl < <(echo abc; sleep 1)
    [[ $output =~ "cba" ]]
    kill $pid
}

@test "evidence from a device, and from a file made before" {
    local key=$BATS_TEST_TMPDIR/key pem=$BATS_TEST_TMPDIR/pem device=$BATS_TEST_TMPDIR/device data
    mkdir "$device"
    : >"$device/user_report_data"
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$key" 2>/dev/null
    # The first quote is for nothing, and refused; it says what was wanted.
    "$BUILD/tests/tools/make-evidence" quote "$BATS_FILE_TMPDIR/pki" 00 >"$device/quote"
    run "$COFRE" ra-tls certificate --quote-device="$device" --key "$key" "$BATS_TEST_TMPDIR/k" "$pem"
    [ "$status" -eq 125 ]
    [[ $output =~ "other report data" ]]
    data=$(od -An -v -tx1 "$device/user_report_data" | tr -d ' \n')
    "$BUILD/tests/tools/make-evidence" quote "$BATS_FILE_TMPDIR/pki" "$data" >"$device/quote"
    "$COFRE" ra-tls certificate --quote-device="$device" --key "$key" "$BATS_TEST_TMPDIR/k" "$pem"
    "$COFRE" ra-tls certificate --quote "$device/quote" --key "$key" "$BATS_TEST_TMPDIR/k" "$pem"
    "$COFRE" ra-tls show "$pem"
    run "$COFRE" ra-tls certificate --quote "$device/quote" "$BATS_TEST_TMPDIR/k" "$pem"
    [ "$status" -eq 125 ]
}

# An image of cofre-attest and its libraries; prints its folder.
attest_image() {
    local dir=$BATS_FILE_TMPDIR/image file
    mkdir -p "$dir/root/bin" "$dir/root/etc"
    cp "$BUILD/cofre-attest" "$dir/root/bin/"
    for file in $(ldd "$BUILD/cofre-attest" | grep -o '/[^ ]*'); do
        mkdir -p "$dir/root${file%/*}"
        cp -L "$file" "$dir/root$file"
    done
    echo 'root:x:0:0::/:/bin/sh' >"$dir/root/etc/passwd"
    tar -cf "$dir/layer.tar" -C "$dir/root" .
    umoci init --layout "$dir/oci"
    umoci new --image "$dir/oci:latest"
    umoci raw add-layer --image "$dir/oci:latest" "$dir/layer.tar"
    umoci config --image "$dir/oci:latest" --config.entrypoint /bin/cofre-attest
    printf 'memory: 512M\n%s' "$OPEN_POLICY" >"$dir/policy.yaml"
    "$COFRE" convert --quiet --policy "$dir/policy.yaml" --key "$(e2e_key)" "$dir/oci" "$dir/confidential"
    echo "$dir/confidential"
}

@test "an enclave serves, with evidence of its own, and is known by MRENCLAVE" {
    local address port image
    address=$(hostname -I | cut -d' ' -f1)
    [ -n "$address" ] || skip "this machine has no address but loopback, which in the enclave is its own"
    export XDG_STATE_HOME=$BATS_FILE_TMPDIR/state # a machine of our own
    "$COFRE" simulation export "$BATS_TEST_TMPDIR/simulation"
    image=$(attest_image)
    python3 -c '
import socket, sys
server = socket.create_server(("0.0.0.0", 0))
open(sys.argv[1], "w").write(str(server.getsockname()[1]))
while True:
    connection = server.accept()[0]
    connection.sendall(b"got " + connection.recv(1000))
    connection.close()' "$BATS_TEST_TMPDIR/target" 3>&- &
    local target=$!
    wait_until 10 test -s "$BATS_TEST_TMPDIR/target"
    port=$(free_port)
    timeout -k 5 100 "$COFRE" run --softsgx -p "127.0.0.1:$port:$port" "$image" -- ra-tls serve --listen "0.0.0.0:$port" \
        --quote-device "$address:$(cat "$BATS_TEST_TMPDIR/target")" 2>"$BATS_TEST_TMPDIR/log" 3>&- &
    local enclave=$!
    wait_until 60 grep -q listening "$BATS_TEST_TMPDIR/log"
    printf 'identities:\n- mrenclave: %s\nsimulation: true\n' "$("$COFRE" inspect --json "$image" | jq -r .mrenclave)" \
        >"$BATS_TEST_TMPDIR/policy.yaml"
    run -0 timeout 60 "$COFRE" ra-tls connect --policy "$BATS_TEST_TMPDIR/policy.yaml" \
        --root "$BATS_TEST_TMPDIR/simulation/root.pem" --collateral "$BATS_TEST_TMPDIR/simulation" --offline "127.0.0.1:$port" <<<hello
    [ "$output" = "got hello" ]
    run -1 timeout 60 "$COFRE" ra-tls connect --policy "$BATS_FILE_TMPDIR/policy.yaml" \
        --root "$BATS_TEST_TMPDIR/simulation/root.pem" --collateral "$BATS_TEST_TMPDIR/simulation" --offline "127.0.0.1:$port" <<<hello
    [[ $output =~ "identities" ]]
    kill $target $enclave
    wait_until 10 eval "! kill -0 $enclave" # SIGTERM ends it, process 1 though it is
}

@test "usage of ra-tls" {
    run -2 "$COFRE" ra-tls
    run -2 "$COFRE" ra-tls connect 127.0.0.1:1
    run -2 "$COFRE" ra-tls serve --listen 1 127.0.0.1:1
    run -2 "$COFRE" ra-tls certificate a b
    run -125 connect server --policy /nonexistent
    run -0 "$COFRE" ra-tls --help
    run -1 "$COFRE" ra-tls show "$BATS_FILE_TMPDIR/pki/root.pem"
    [[ $output =~ "carries no evidence" ]]
}
