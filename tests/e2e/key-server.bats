#!/usr/bin/env bats
# Keys that are released after attestation: `cofre key-server`, volumes and encrypted images, with the software quoting enclave.
load helpers
load services

# A policy whose key server is asked for so many seconds; where it is, COFRE_KEY_SERVER says.
policy() { # policy TIMEOUT
    printf '%s' "$OPEN_POLICY"
    echo "key_server: {address: '127.0.0.1:9', key: $SERVER_KEY, timeout: $1}"
}

setup_file() {
    load helpers
    cd "$BATS_FILE_TMPDIR"
    export XDG_STATE_HOME=$BATS_FILE_TMPDIR/state # a machine of our own
    "$COFRE" simulation export simulation
    SERVER_KEY=$("$COFRE" volume keygen server.pem)
    "$COFRE" keygen ours.pem
    "$COFRE" keygen other.pem
    BUSYBOX=$("$TOP/tools/make-image" busybox 2>/dev/null)
    { policy 60 && echo 'volumes: [{name: data, path: /data, key: server, create: true, size: 8M}]'; } >volume.yaml
    sed 's/timeout: 60/timeout: 1/' volume.yaml >impatient.yaml
    { policy 60 && echo 'root: {key: server, key_name: app-1}'; } >image.yaml
    { cat volume.yaml && echo 'debug: true'; } >debug.yaml
    for name in volume impatient debug; do "$COFRE" convert -q --policy $name.yaml --key ours.pem "$BUSYBOX" $name; done
    "$COFRE" convert -q --policy volume.yaml --key other.pem "$BUSYBOX" other
    "$COFRE" convert -q --policy image.yaml --key ours.pem --encrypt --image-key app-1.key "$BUSYBOX" image
    sed 's/timeout: 60/timeout: 1/' image.yaml >impatient-image.yaml
    "$COFRE" convert -q --policy impatient-image.yaml --key ours.pem --encrypt --image-key app-1.key "$BUSYBOX" impatient-image
    SIGNER=$("$COFRE" inspect --json volume | jq -r .signature.mrsigner)
    export SERVER_KEY SIGNER
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    FILES=$BATS_FILE_TMPDIR
    export COFRE_VOLUMES=$BATS_TEST_TMPDIR/volumes
    mkdir keys
    head -c 32 /dev/urandom >keys/data.key
    cp "$FILES/app-1.key" keys
    rules data 'simulation: true'
    rules app-1 'simulation: true'
}

teardown() { key_server_stop; }

# rules NAME [MORE]: who gets the key.
rules() { printf 'version: 1\nidentities: [{mrsigner: %s, product: 0}]\n%s\n' "$SIGNER" "${2-}" >"keys/$1.yaml"; }

# server_start OPTION...: the server with those keys; what it says is in `log`.
server_start() {
    key_server_start "$FILES/server.pem" keys --collateral "$FILES/simulation" "$@"
    [ "$key_server_key" = "$SERVER_KEY" ]
}

simulated() { server_start --root "$FILES/simulation/root.pem"; }

# with IMAGE SCRIPT: in a container with the volume.
with() { timeout -k 5 60 "$COFRE" run --softsgx -v data:/data "$FILES/$1" -- sh -c "$2" 3>&-; }

@test "key server: a volume is made with a released key, and opened with it again" {
    simulated
    run -0 with volume 'echo secret >/data/a'
    run -0 --separate-stderr with volume 'cat /data/a'
    [ "$output" = secret ]
    cat log
    [ "$(grep -c 'data: released: mrenclave .* mrsigner '"$SIGNER"' (SIMULATION: this proves nothing)' log)" = 2 ]
    # the host has no way to give another
    run -125 timeout -k 5 60 "$COFRE" run --softsgx -v data:/data:key=keys/data.key "$FILES/volume" -- true
    [[ $output == *"has its key from elsewhere than a file"* ]]
    # whoever has the server's file can look into it elsewhere
    run -0 "$COFRE" volume check --key-file keys/data.key volumes/data/volume
    # another key under the name opens nothing, and changes nothing
    before=$(sha256sum volumes/data/volume)
    head -c 32 /dev/urandom >keys/data.key
    run -125 with volume true
    [[ $output == *"no key slot opens"* ]]
    head -c 31 /dev/urandom >keys/data.key
    run -125 with volume true
    [[ $output == *"the key of the volume for /data was not released: the key server's key of that name is of another size"* ]]
    [ "$before" = "$(sha256sum volumes/data/volume)" ]
}

refused() { # refused IMAGE WORD: it does not get the key; it is not told why, but the log is
    : >log
    run -125 with "$1" true
    cat log
    [[ $output == *"the key of the volume for /data was not released: the key server refuses it to this enclave"* ]]
    [[ $output != *"$2"* ]]
    grep -q "data: refused: .*$2" log
}

@test "key server: refused to another signer, a debug enclave, simulation where it is not allowed, an unknown name" {
    simulated
    refused other identit
    refused debug DEBUG
    rules data
    refused volume simulation
    rules data 'nonsense: true'
    refused volume nonsense
    rm keys/data.yaml
    refused volume 'no policy says who gets it'
    rules data 'simulation: true'
    run -0 with volume true
    key_server_stop
    server_start # without --root
    refused volume 'root'
}

@test "key server: without it, or with one that hangs, hangs up or is another, the container ends in time and says so" {
    local silent
    run -125 with impatient true
    echo "$output"
    [[ $output == *"the key server 127.0.0.1:9: Connection refused"* ]]
    [[ $output == *"the key of the volume for /data was not released: the key server does not answer"* ]]
    [ ! -e volumes/data/volume ] || [ "$(tr -d '\0' <volumes/data/volume | wc -c)" = 0 ]
    # accepts, and says nothing; or 48 bytes of nothing
    for says in '' 'bytes([0, 48]) + bytes(48)'; do
        : >address
        python3 -c "
import socket
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(16); print('127.0.0.1:%d' % s.getsockname()[1], flush=True)
kept = []
while True:
    c = s.accept()[0]; kept.append(c); c.sendall(${says:-b''})
" >address 3>&- &
        silent=$!
        wait_until 10 test -s address
        SECONDS=0
        COFRE_KEY_SERVER=$(cat address) run -125 with impatient true
        kill -KILL $silent
        [ $SECONDS -lt 30 ]
        echo "$output"
        if [ -n "$says" ]; then
            [[ $output == *"not released: who answers is not the key server that the policy names"* ]]
        else
            [[ $output == *"not released: the key server does not answer"* ]]
        fi
    done
    # a server of another key does not understand what it is asked
    "$COFRE" volume keygen another.pem >another
    key_server_start another.pem keys
    [ "$key_server_key" = "$(cat another)" ]
    run -125 with impatient true
    [[ $output == *"not released: the key server does not answer, or hangs up"* ]]
    grep -q 'means another key server' log
    COFRE_KEY_SERVER=somewhere run -125 with impatient true
    [[ $output == *"the key server's address is not IP:PORT"* ]]
}

@test "key server: one that comes late is waited for" {
    PORT=$(free_port)
    COFRE_KEY_SERVER=127.0.0.1:$PORT timeout -k 5 90 "$COFRE" run --softsgx -v data:/data "$FILES/volume" -- sh -c 'echo here' \
        >out 2>err 3>&- &
    local container=$!
    wait_until 30 grep -q 'Connection refused' err
    simulated
    wait $container
    [ "$(cat out)" = here ]
}

@test "key server: whoever hangs or talks nonsense costs only its own connection" {
    simulated
    python3 - "${COFRE_KEY_SERVER#*:}" <<'END'
import os, socket, struct, sys
def connect():
    return socket.create_connection(("127.0.0.1", int(sys.argv[1])))
kept = [connect() for _ in range(40)] # and not a word
for c in kept[:20]:
    c.sendall(b"\0")
for message in (b"", b"\0\0", b"\xff\xff", b"\0\x60" + bytes(96), b"\0\x60" + os.urandom(96), b"\0\x5f" + os.urandom(95),
                struct.pack(">H", 16472) + os.urandom(16472), struct.pack(">H", 16473) + os.urandom(16473), b"\0\x60" + bytes(50)):
    c = connect()
    try:
        c.sendall(message)
        c.shutdown(socket.SHUT_WR)
        while c.recv(4096):
            assert False, message
    except OSError: # it has hung up
        pass
sys.stdout.write("done\n")
END
    run -0 with volume true
    grep -q 'no first message' log
    grep -q 'means another key server' log
    kill -0 "$key_server_pid"
}

@test "key server: an encrypted image runs with a released key, with all its processes; not without" {
    simulated
    run -0 --separate-stderr timeout -k 5 60 "$COFRE" run --softsgx "$FILES/image" -- sh -c 'sha256sum </bin/busybox; (echo child; sha256sum </bin/busybox) & wait'
    echo "$output"
    [ "$(sort -u <<<"$output" | wc -l)" = 2 ]
    [ "$(wc -l <<<"$output")" = 3 ]
    [[ $stderr != *"for development"* ]]
    [ "$(grep -c 'app-1: released' log)" = 1 ]
    # the host has no way to give another
    run -125 timeout -k 5 60 "$COFRE" run --softsgx --image-key keys/app-1.key "$FILES/image" -- true
    [[ $output == *"takes no key from a file"* ]]
    head -c 64 /dev/urandom >keys/app-1.key
    run -125 timeout -k 5 60 "$COFRE" run --softsgx "$FILES/image" -- true
    [[ $output == *"the image key is not the one that the root image was encrypted with"* ]]
    rules app-1
    run -125 timeout -k 5 60 "$COFRE" run --softsgx "$FILES/image" -- true
    [[ $output == *"the key of the root image was not released: the key server refuses it to this enclave"* ]]
}

@test "key server: an image whose key was wrapped for it at conversion" {
    simulated
    "$COFRE" convert --policy "$FILES/image.yaml" --key "$FILES/ours.pem" --encrypt --wrapped-key app.wrapped "$("$TOP/tools/make-image" busybox)" wrapped >said
    grep -q 'app.wrapped, for the key server alone' said
    rm keys/app-1.key
    run -125 timeout -k 5 60 "$COFRE" run --softsgx "$FILES/impatient-image" -- true
    [[ $output == *"the key server has trouble of its own"* ]]
    grep -q 'app-1: failed: .*there is neither keys/app-1.key nor keys/app-1.wrapped' log
    cp app.wrapped keys/app-1.wrapped
    run -0 --separate-stderr timeout -k 5 60 "$COFRE" run --softsgx wrapped -- echo here
    [ "$output" = here ]
    # never overwritten; only where the policy has a server; gone if the conversion fails
    run -125 "$COFRE" convert --policy "$FILES/image.yaml" --unsigned --encrypt --wrapped-key app.wrapped "$("$TOP/tools/make-image" busybox)" again
    [[ $output == *"app.wrapped: File exists"* ]]
    printf 'root: {key: file}\n' >file.yaml
    run -125 "$COFRE" convert --policy file.yaml --unsigned --encrypt --wrapped-key new.wrapped "$("$TOP/tools/make-image" busybox)" again
    [[ $output == *"--wrapped-key is for a key server"* ]]
    { cat "$FILES/image.yaml" && echo 'hostname: x'; } | sed 's/^command: .*/command: {entrypoint: [\/not\/there]}/' >bad.yaml
    run -125 "$COFRE" convert --policy bad.yaml --unsigned --encrypt --wrapped-key new.wrapped "$("$TOP/tools/make-image" busybox)" again
    [[ $output == *"does not exist in the image"* ]]
    [ ! -e new.wrapped ]
    [ -e app.wrapped ]
}

@test "key server: inspect says where keys come from" {
    run -0 "$COFRE" inspect "$FILES/image"
    [[ $output == *"root.key "*"server"* && $output == *"root.key_name "*"app-1"* && $output != *"for development"* ]]
    [[ $output == *"released after attestation"* ]]
    run -0 "$COFRE" inspect --json "$FILES/volume"
    [ "$(jq -r '.policy.volumes[0] | "\(.key) \(.key_name)"' <<<"$output")" = "server data" ]
    [ "$(jq -r '.policy.key_server | "\(.address) \(.key) \(.timeout)"' <<<"$output")" = "127.0.0.1:9 $SERVER_KEY 60" ]
    # a quote needs neither root image nor key
    run -0 "$COFRE" quote --softsgx -o quote "$FILES/image"
}

@test "key server: what is wrong when it starts is said" {
    run -2 "$COFRE" key-server keys
    run -2 "$COFRE" key-server --listen 0 --key "$FILES/server.pem"
    run -125 "$COFRE" key-server --listen 0 --key keys/data.key keys
    [[ $output == *"keys/data.key"* ]]
    run -125 "$COFRE" key-server --listen 0 --key "$FILES/ours.pem" keys
    [[ $output == *"it is no X25519 key"* ]]
    run -125 "$COFRE" key-server --listen 0 --key "$FILES/server.pem" nowhere
    [[ $output == *"nowhere"* ]]
    rules data 'nonsense: true'
    run -125 "$COFRE" key-server --listen 0 --key "$FILES/server.pem" keys
    [[ $output == *"keys/data.yaml:3"* ]]
}
