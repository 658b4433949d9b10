# Shared by the end-to-end tests: images made once, temporary folders, waiting for servers.
bats_require_minimum_version 1.5.0
TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=$TOP/build
COFRE=$BUILD/cofre
E2E=$BUILD/e2e

# key: the signing key of all tests.
e2e_key() {
    mkdir -p "$E2E"
    [ -e "$E2E/key.pem" ] || "$COFRE" keygen "$E2E/key.pem"
    echo "$E2E/key.pem"
}

# e2e_image NAME SOURCE [POLICY-YAML]: converts once per build of cofre and kernel; prints the image's folder.
e2e_image() {
    local name=$1 source=$2 policy=${3-} target=$E2E/$1 key
    key=$(e2e_key)
    if [ -d "$target" ] && [ "$target.stamp" -nt "$COFRE" ] && [ "$target.stamp" -nt "$BUILD/kernel/cofre-kernel" ] &&
        [ "$(cat "$target.yaml")" = "$policy" ]; then
        echo "$target"
        return
    fi
    rm -rf "$target"
    printf '%s' "$policy" >"$target.yaml"
    "$COFRE" convert --policy "$target.yaml" --key "$key" "$("$TOP/tools/make-image" "$source" 2>/dev/null)" "$target" >/dev/null || return 1
    touch "$target.stamp"
    echo "$target"
}

# busybox with everything allowed.
OPEN_POLICY='diagnostics: true
command: {args_from_host: true, workdir_from_host: true, user_from_host: true}
env: {allow: ["*"]}
network: {listen: any, connect: true}
'

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# wait_until SECONDS COMMAND...: true as soon as the command succeeds.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
