# A converted image is an ordinary OCI image: podman with runc runs it, as root, with the default seccomp profile.
load helpers

setup_file() {
    load helpers
    [ "$(id -u)" = 0 ] || skip "needs root"
    e2e_image busybox busybox "$OPEN_POLICY" >&2
    e2e_image podman-folder busybox "$OPEN_POLICY
host_folders: [{path: /data, mode: rw, optional: true}]
" >&2
    e2e_image redis redis "$OPEN_POLICY" >&2
}

setup() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    options=(--rm --runtime runc --ulimit nofile=1024:1024 --ulimit nproc=4096:4096)
}

image_id() { podman pull -q "oci:$E2E/$1:latest"; }

@test "podman runs a command in an enclave" {
    id=$(image_id busybox)
    run -0 --separate-stderr timeout 60 podman run "${options[@]}" "$id" echo from an enclave
    [ "$output" = "from an enclave" ]
    [[ "$stderr" == *simulat* ]]
}

@test "podman sees the command's exit status" {
    id=$(image_id busybox)
    run -7 timeout 60 podman run "${options[@]}" "$id" sh -c 'exit 7'
}

@test "Redis under podman answers redis-cli, and stops on podman stop" {
    id=$(image_id redis)
    port=$(free_port)
    podman run -d "${options[@]}" --network host --name cofre-e2e-redis "$id" --port "$port" --bind 0.0.0.0 \
        --protected-mode no --save '' >/dev/null
    wait_until 20 redis-cli -p "$port" PING
    [ "$(redis-cli -p "$port" SET key value)" = OK ]
    [ "$(redis-cli -p "$port" GET key)" = value ]
    run -0 timeout 30 podman stop -t 10 cofre-e2e-redis
}

@test "a quote under podman, with the simulated platform's folder mounted" {
    id=$(image_id busybox)
    export XDG_STATE_HOME=$BATS_TEST_TMPDIR
    run -1 timeout 60 podman run "${options[@]}" "$id" cat /dev/attestation/quote
    [[ "$output" == *"cofre simulation provision"* ]]
    "$COFRE" simulation provision
    timeout 60 podman run "${options[@]}" -v "$BATS_TEST_TMPDIR/cofre:/var/lib/cofre" "$id" cat /dev/attestation/quote \
        >"$BATS_TEST_TMPDIR/inside" 2>/dev/null
    "$COFRE" quote --softsgx "$E2E/busybox" >"$BATS_TEST_TMPDIR/outside" 2>/dev/null
    cmp <(tail -c +501 "$BATS_TEST_TMPDIR/inside") <(tail -c +501 "$BATS_TEST_TMPDIR/outside") # key and certification
    cmp <(head -c 368 "$BATS_TEST_TMPDIR/inside") <(head -c 368 "$BATS_TEST_TMPDIR/outside") # all but REPORTDATA
}

@test "a folder that podman mounts is a folder of the host where the policy has one" {
    id=$(image_id podman-folder)
    mkdir "$BATS_TEST_TMPDIR/folder"
    echo outside >"$BATS_TEST_TMPDIR/folder/o"
    run -0 --separate-stderr timeout 60 podman run "${options[@]}" -v "$BATS_TEST_TMPDIR/folder:/data" "$id" \
        sh -c 'cat /data/o; echo inside >/data/i; mount | grep -c fuse.cofre'
    [ "$output" = "outside
1" ]
    [ "$(cat "$BATS_TEST_TMPDIR/folder/i")" = inside ]
    run -0 --separate-stderr timeout 60 podman run "${options[@]}" "$id" sh -c 'ls -d /data || echo none'
    [ "$output" = none ]
}
