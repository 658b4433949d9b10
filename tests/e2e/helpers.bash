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

# e2e_image NAME SOURCE [POLICY-YAML]: converts once per build of cofre, kernel and SOURCE; prints the image's folder.
e2e_image() {
    local name=$1 source=$2 policy=${3-} target=$E2E/$1 key layout
    key=$(e2e_key)
    layout=$("$TOP/tools/make-image" "$source" 2>/dev/null) || return 1
    if [ -d "$target" ] && [ "$target.stamp" -nt "$COFRE" ] && [ "$target.stamp" -nt "$BUILD/kernel/cofre-kernel" ] &&
        [ "$target.stamp" -nt "$layout/index.json" ] && printf '%s' "$policy" | cmp -s - "$target.yaml"; then
        echo "$target"
        return
    fi
    rm -rf "$target"
    printf '%s' "$policy" >"$target.yaml"
    "$COFRE" convert --policy "$target.yaml" --key "$key" "$layout" "$target" >/dev/null || return 1
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

# make_tree FOLDER: with links, a large and a sparse file, a FIFO, many names and an extended attribute.
make_tree() {
    mkdir -p "$1/d/deep"
    echo hello >"$1/d/a"
    ln "$1/d/a" "$1/d/b"
    ln -s a "$1/d/l"
    head -c 3000000 /dev/urandom >"$1/big"
    truncate -s 5M "$1/sparse"
    mkfifo "$1/fifo"
    for i in $(seq 500); do : >"$1/d/deep/file-$i"; done
    setfattr -n user.note -v text "$1/d/a"
}

# wait_until SECONDS COMMAND...: true as soon as the command succeeds.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# ---- the same program on both sides ----

APPLICATION_POLICY='diagnostics: true
memory: 4G
kernel_heap: 1G
command: {entrypoint: [], args_from_host: true, workdir_from_host: true, user_from_host: true}
env: {allow: ["*"]}
network: {listen: any, connect: true}
'

# application_image NAME: image NAME with everything allowed, and its files in a folder: sets IMAGE and ROOT.
application_image() {
    local layout layer
    IMAGE=$(e2e_image "$1" "$1" "$APPLICATION_POLICY")
    layout=$("$TOP/tools/make-image" "$1" 2>/dev/null)
    layer=$(jq -r '.manifests[0].digest' "$layout/index.json")
    layer=$(jq -r '.layers[0].digest' "$layout/blobs/sha256/${layer#sha256:}")
    ROOT=$E2E/root-$1
    if [ "$(cat "$ROOT.layer" 2>/dev/null)" != "$layer" ]; then
        rm -rf "$ROOT"
        mkdir -p "$ROOT"
        tar -xf "$layout/blobs/sha256/${layer#sha256:}" -C "$ROOT" --exclude='./dev/*'
        # what engines add, and Cofre
        [ -e "$ROOT/etc/hosts" ] || printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >"$ROOT/etc/hosts"
        echo "$layer" >"$ROOT.layer"
    fi
    export IMAGE ROOT
}

# native COMMAND...: in the image's root, as PID 1 of a namespace of its own, as in a container.
native() {
    # shellcheck disable=SC2016
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root NATIVE_ROOT="$ROOT" timeout -k 2 "${LIMIT:-120}" \
        unshare --mount --pid --fork --kill-child sh -c 'r=$NATIVE_ROOT; unset NATIVE_ROOT
            mount -t proc proc "$r/proc" && mount --rbind /dev "$r/dev" && mount -t tmpfs tmpfs "$r/tmp" && mount -t tmpfs tmpfs "$r/run" &&
            exec chroot "$r" "$@"' sh "$@"
}

# enclave COMMAND...: the same in an enclave; RUN_OPTIONS are more options of cofre run.
enclave() {
    # shellcheck disable=SC2086
    timeout -k 5 "${LIMIT:-120}" "$COFRE" run --softsgx -i -e HOME=/root ${RUN_OPTIONS-} "$IMAGE" -- "$@"
}

# same NAME FILE COMMAND...: COMMAND with standard input from FILE prints the same on both sides, ends the same, and natively with 0.
# COFRE_ROUNDS rounds, one side after the other; the times go to build/applications.tsv.
same() {
    local name=$1 input=$2 round started side
    shift 2
    for round in $(seq "${COFRE_ROUNDS:-1}"); do
        for side in native enclave; do
            started=${EPOCHREALTIME/./}
            "$side" "$@" <"$input" >"$BATS_TEST_TMPDIR/$side.out" 2>"$BATS_TEST_TMPDIR/$side.err" ||
                echo "# exit status $?" >>"$BATS_TEST_TMPDIR/$side.out"
            printf '%s\t%s\t%s\n' "$name" "$side" $((${EPOCHREALTIME/./} - started)) >>"$BUILD/applications.tsv"
        done
        ! grep '^# exit status' "$BATS_TEST_TMPDIR/native.out" || cat "$BATS_TEST_TMPDIR/native.err"
        diff "$BATS_TEST_TMPDIR/native.out" "$BATS_TEST_TMPDIR/enclave.out" || { cat "$BATS_TEST_TMPDIR/enclave.err" && return 1; }
        [ -s "$BATS_TEST_TMPDIR/native.out" ] && ! grep -q '^# exit status' "$BATS_TEST_TMPDIR/native.out"
    done
}
