#!/usr/bin/env bats
# Volumes in containers: what a container writes is there for the next one, and for nobody else.
load helpers

VOLUME_POLICY="$OPEN_POLICY
volumes: [{name: data, path: /data, create: true, size: 32M}]
"

setup_file() {
    load helpers
    e2e_image volume busybox "$VOLUME_POLICY" >&2
    e2e_image volume-file busybox "$OPEN_POLICY
volumes:
  - {name: data, path: /data, key: file, create: true, size: 16M, optional: true}
  - {name: fresh, path: /fresh, key: mrsigner, freshness: local, create: true, size: 16M, optional: true}
" >&2
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    export COFRE_VOLUMES=$BATS_TEST_TMPDIR/volumes
    head -c 32 /dev/urandom >key
}

with() { timeout -k 5 30 "$COFRE" run --softsgx -v "$1" "$E2E/volume" -- sh -c "$2"; }
with_file() { timeout -k 5 30 "$COFRE" run --softsgx -v "$1" "$E2E/volume-file" -- sh -c "$2"; }

@test "volumes: made on first use, kept, hidden from the host" {
    run -0 --separate-stderr with v:/data 'mkdir /data/d; echo a-secret-line >/data/d/f; ln -s d/f /data/l; chmod 600 /data/d/f'
    run -0 --separate-stderr with v:/data 'cat /data/l; stat -c "%a %h" /data/d/f; mount | grep /data'
    [ "${lines[0]}" = a-secret-line ]
    [ "${lines[1]}" = "600 1" ]
    [[ "${lines[2]}" == *"type cofre (rw,"* ]]
    run ! grep -qaE 'secret|a-secret-line' volumes/v/volume
    run -0 --separate-stderr with v:/data:ro 'cat /data/l; echo x >/data/x || echo refused'
    [ "${lines[0]}" = a-secret-line ]
    [ "${lines[-1]}" = refused ]
}

@test "volumes: what was synced is there after kill -9, and the volume is whole" {
    for round in 1 2 3; do
        "$COFRE" run --softsgx -v "v:/data:key=key" "$E2E/volume-file" -- \
            sh -c 'cd /data; i=0; while :; do i=$((i + 1)); echo $i | dd of=n conv=fsync; mv n number; dd of=s conv=fsync </dev/null; echo $i; done' >out 2>/dev/null &
        pid=$!
        wait_until 10 grep -q ^20 out
        kill -KILL $pid
        wait $pid || true
        "$COFRE" volume check --key-file key volumes/v/volume
        run -0 --separate-stderr with_file v:/data:key=key 'cat /data/number'
        [ "$output" -ge "$(sed '$d' out | tail -n 1)" ]
    done
}

@test "volumes: refused with the reason, and left as they were" {
    run -125 timeout -k 5 30 "$COFRE" run --softsgx "$E2E/volume" -- true
    [[ "$output" == *"wants a volume at /data"* ]]
    run -125 with v:/other true
    [[ "$output" == *"no volume at /other"* ]]
    run -125 with /tmp:/data true
    [[ "$output" == *"folder of this machine"* ]]
    run -125 with_file v:/data true
    [[ "$output" == *"key in a file"* ]]
    run -0 with_file v:/data:key=key 'echo x >/data/x'
    sha256sum volumes/v/volume >before
    head -c 32 /dev/urandom >other
    run -125 with_file v:/data:key=other true
    [[ "$output" == *"no key slot opens"* ]]
    run -125 with v:/data true # another image: another key
    [[ "$output" == *"no key slot opens"* ]]
    sha256sum -c before
    head -c 1M volumes/v/volume >short
    head -c 16M /dev/urandom >noise
    for file in short noise; do
        mkdir -p "volumes/$file" && mv "$file" "volumes/$file/volume"
        run -125 with_file "$file:/data:key=key" true
        [[ "$output" == *"not a volume"* ]]
    done
}

@test "volumes: SQLite and Redis, killed with their container, lose nothing that they acknowledged" {
    "$TOP/tests/volumes/kill" both 2
}

@test "volumes: ls and rm" {
    run -0 with v:/data true
    "$COFRE" volume ls --quiet | grep -qx v
    [ "$("$COFRE" volume ls --json | jq -r '.[0].name')" = v ]
    "$COFRE" volume rm v
    [ -z "$("$COFRE" volume ls)" ]
    run -125 "$COFRE" volume rm v
}

@test "volumes: one container at a time" {
    "$COFRE" run --softsgx -v v:/data "$E2E/volume" -- sh -c 'echo up; sleep 60' >out 2>/dev/null &
    pid=$!
    wait_until 10 grep -q up out
    run -125 with v:/data true
    [[ "$output" == *"in use"* ]]
    kill -KILL $pid
    wait $pid || true
    run -0 with v:/data true
}

@test "volumes: an older one put back is found out by its anchor" {
    run -0 with_file v:/fresh 'echo 1 >/fresh/a'
    cp volumes/v/volume old
    run -0 with_file v:/fresh 'echo 2 >/fresh/a'
    cp volumes/v/volume new
    cp old volumes/v/volume
    run -125 with_file v:/fresh true
    [[ "$output" == *"rolled back"* ]]
    cp new volumes/v/volume
    run -0 --separate-stderr with_file v:/fresh 'cat /fresh/a'
    [ "$output" = 2 ]
}
