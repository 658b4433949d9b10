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
    e2e_image volume-large busybox "$OPEN_POLICY
volumes: [{name: data, path: /data, create: true, size: 1G}]
" >&2
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    export COFRE_VOLUMES=$BATS_TEST_TMPDIR/volumes
    head -c 32 /dev/urandom >key
}

teardown() {
    if mountpoint -q "$BATS_TEST_TMPDIR/small"; then umount "$BATS_TEST_TMPDIR/small"; fi
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
        rm -f out # or the last round's would be looked at until the shell has made it anew
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

@test "volumes: processes share files: SQLite in WAL mode, mappings, with no room; what was synced is there after kill -9" {
    e2e_image volume-python python "$OPEN_POLICY
memory: 2G
volumes: [{name: data, path: /data, key: file, create: true, size: 32M}]
" >&2
    program=$(cat "$TOP/tests/e2e/volume-shared.py")
    shared() { timeout -k 5 60 "$COFRE" run --softsgx -v v:/data:key=key "$E2E/volume-python" -- -c "$program" "$1"; }
    run -0 shared write
    "$COFRE" run --softsgx -v v:/data:key=key "$E2E/volume-python" -- -c "$program" check >out 2>err &
    pid=$!
    wait_until 30 grep -q synced out
    kill -KILL $pid
    wait $pid || true
    wait_until 10 "$COFRE" volume check --key-file key volumes/v/volume # its other processes end, too
    run -0 --separate-stderr shared again
    [ "$output" = "all there" ]
}

@test "volumes: a snapshot stays as it was, whatever containers write" {
    run -0 --separate-stderr with_file v:/data:key=key 'echo one >/data/f; dd if=/dev/urandom of=/data/big bs=64k count=40'
    "$COFRE" volume snapshot create --key-file key volumes/v/volume first
    first=$("$COFRE" volume tar --key-file key --snapshot first volumes/v/volume | sha256sum)
    run -0 --separate-stderr with_file v:/data:key=key \
        'cd /data; echo two >f; rm big; for i in 1 2 3; do dd if=/dev/urandom of=more bs=64k count=40 conv=fsync; done'
    "$COFRE" volume check --key-file key volumes/v/volume
    [ "$("$COFRE" volume extract --key-file key volumes/v/volume f)" = two ]
    [ "$("$COFRE" volume extract --key-file key --snapshot first volumes/v/volume f)" = one ]
    [ "$("$COFRE" volume tar --key-file key --snapshot first volumes/v/volume | sha256sum)" = "$first" ]
    "$COFRE" volume snapshot remove --key-file key volumes/v/volume first
    "$COFRE" volume check --key-file key volumes/v/volume
    run -0 --separate-stderr with_file v:/data:key=key 'cat /data/f'
    [ "$output" = two ]
}

@test "volumes: what was removed is free at once, also when its last user closes it" {
    run -0 --separate-stderr with v:/data 'cd /data; free() { stat -f -c %f .; }
        dd if=/dev/zero of=f bs=64k count=64 conv=fsync; before=$(free); rm f; [ $(free) -ge $((before + 1024)) ] || echo kept
        exec 3>g; dd if=/dev/zero bs=64k count=64 >&3; sync; before=$(free); rm g; exec 3>&-; [ $(free) -ge $((before + 1024)) ] || echo kept
        for i in 1 2 3 4 5 6 7 8 9 10 11 12; do dd if=/dev/zero of=f bs=64k count=64 || exit; sync; sync; rm f; done; echo done'
    [ "$output" = done ]
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
        [[ "$output" == *"$([ $file = short ] && echo cut short || echo not a volume)"* ]]
    done
}

@test "volumes: SQLite and Redis, killed with their container, lose nothing that they acknowledged" {
    "$TOP/tests/volumes/kill" both 2
}

@test "volumes: a host whose disk fails: EIO and no success, and what was synced is there" {
    mkfifo go
    timeout -k 5 60 "$COFRE" run --softsgx -i -v v:/data:key=key "$E2E/volume-file" -- sh -c 'cd /data; echo kept >kept; sync; echo ready; read x
        echo lost | dd of=lost conv=fsync && echo wrong; echo more | dd of=more conv=fsync && echo wrong; cat kept; exit 0' <go >out 2>err &
    pid=$!
    exec 7>go
    wait_until 20 grep -q ready out
    prlimit --pid "$(pgrep -P $pid | head -n 1)" --fsize=8192:unlimited
    echo go >&7
    exec 7>&-
    status=0
    wait $pid || status=$?
    [ "$(sed -n 2p out)" = kept ]
    [ "$(wc -l <out)" = 2 ]
    [ "$status" = 125 ]
    grep -q 'cofre: volume v: writing failed: File too large (what was made durable is there)' err
    "$COFRE" volume check --key-file key volumes/v/volume
    run -0 --separate-stderr with_file v:/data:key=key 'cat /data/kept; ls /data'
    [ "$output" = "kept
kept" ]
}

# On a host disk of 12 MiB: small is its folder. As Linux's tmpfs, or as ext4 in a file.
small_disk() { # small_disk KIND
    mkdir -p small
    case $1 in
    tmpfs) mount -t tmpfs -o size=12M tmpfs small || skip "no right to mount a small disk" ;;
    ext4)
        truncate -s 12M disk
        mkfs.ext4 -q -O ^has_journal -m 0 disk
        mount -o loop disk small || skip "no right to mount a small disk"
        ;;
    esac
}

@test "volumes: a host disk too small for a new one: refused before anything is made, and good when there is room" {
    small_disk tmpfs
    export COFRE_VOLUMES=$PWD/small/volumes
    run -125 with_file v:/data:key=key true
    [[ "$output" == *"making the volume "*" failed: No space left on device"* ]]
    [ -z "$(find small -type f)" ]
    mount -o remount,size=20M small
    run -0 --separate-stderr with_file v:/data:key=key 'echo here >/data/f; cat /data/f'
    umount small
    [ "$output" = here ]
}

# What a volume's file has not got yet (it was copied with holes, say) can be missing when it is needed.
fill_disk() { # fill_disk KIND ROOM-COMMAND...
    local kind=$1 status=0
    shift
    with_file v:/data:key=key 'echo old >/data/kept; dd if=/dev/urandom of=/data/large bs=1M count=2 2>/dev/null; sha256sum /data/large' >sum
    small_disk "$kind"
    export COFRE_VOLUMES=$PWD/small
    mkdir small/v
    cp --sparse=always volumes/v/volume small/v/volume
    fallocate --dig-holes small/v/volume
    # Others use the disk, too: 1 MiB is left, which the runtime uses to fill ahead.
    head -c $(($(stat -f -c '%a * %S' small) - (1 << 20))) /dev/zero >small/other
    timeout -k 5 60 "$COFRE" run --softsgx -v v:/data:key=key "$E2E/volume-file" -- sh -c 'cd /data; i=0
        while [ $((i += 1)) -le 100 ] && head -c 100000 /dev/urandom | dd of=$i conv=fsync; do echo $i; done
        echo more >more && sync more && echo wrong; echo ended; cat kept; exit 0' >out 2>err || status=$?
    [ "$status" = 125 ]
    [ "$(tail -n 2 out | tr '\n' ' ')" = "ended old " ]
    ! grep -q wrong out
    grep -q 'cofre: volume v: writing failed: No space left on device (what was made durable is there)' err
    grep -q 'Input/output error' err
    "$COFRE" volume check --key-file key small/v/volume
    "$@"
    synced=$(tail -n 3 out | head -n 1) # the last file that was synced; ended when there was none
    run -0 --separate-stderr with_file v:/data:key=key "cd /data; cat kept; sha256sum large; [ $synced = ended ] || wc -c <${synced/ended/kept}
        dd if=/dev/urandom of=again bs=1M count=6 conv=fsync 2>/dev/null && sha256sum again | wc -l"
    umount small
    [ "${lines[0]}" = old ]
    [ "${lines[1]}" = "$(sed 's|/data/||' sum)" ]
    [ "$synced" = ended ] || [ "${lines[2]}" = 100000 ]
    [ "${lines[-1]}" = 1 ]
}

@test "volumes: a host disk that fills up under a volume with holes: an error, nothing lost, and on it goes with room (tmpfs)" {
    fill_disk tmpfs mount -o remount,size=64M small
}

@test "volumes: a host disk that fills up under a volume with holes: an error, nothing lost, and on it goes with room (ext4)" {
    fill_disk ext4 rm small/other
}

@test "volumes: a large one is there at once, and is filled ahead of what is written" {
    "$COFRE" run --softsgx -v large:/data "$E2E/volume-large" -- sh -c 'dd if=/dev/zero of=/data/f bs=1M count=8 conv=fsync; echo up; sleep 60' >out 2>/dev/null &
    pid=$!
    wait_until 20 grep -q up out
    hole() { python3 -c 'import os; print(os.lseek(os.open("volumes/large/volume", os.O_RDONLY), 0, os.SEEK_HOLE))'; }
    filled() { [ "$(hole)" -ge $((64 << 20)) ]; }
    wait_until 60 filled
    kill -KILL $pid
    wait $pid || true
}

@test "volumes: a long file is what was written, whatever of it the host has in memory" {
    long() { timeout -k 5 30 "$COFRE" run --softsgx -v long:/data "$E2E/volume-large" -- sh -c "$1"; }
    run -0 --separate-stderr long 'dd if=/dev/urandom of=/data/f bs=1M count=24 2>/dev/null; sha256sum /data/f'
    sum=$output
    for turn in none some all; do
        if [ $turn = none ]; then dd of=volumes/long/volume oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null; fi
        run -0 --separate-stderr long 'sha256sum /data/f; dd if=/data/f bs=1M skip=1 2>/dev/null | tail -c 1M | sha256sum >/data/end; tail -c 1M /data/f | sha256sum | cmp - /data/end'
        [ "$output" = "$sum" ]
    done
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

@test "volumes: one that was being made when all was killed is made anew, one that was ever opened never" {
    mkdir -p volumes/v volumes/w
    for left in "bs=4K count=2" "bs=4K count=17"; do
        rm -f volumes/v/volume
        "$COFRE" volume create --size 16M --key-file key volumes/v/volume
        dd if=/dev/zero of=volumes/v/volume $left conv=notrunc status=none
        run -0 --separate-stderr with_file v:/data:key=key 'echo x >/data/x; cat /data/x'
        [ "$output" = x ]
    done
    cp volumes/v/volume volumes/w/volume
    for left in "bs=4K count=2" "bs=4K count=17"; do
        dd if=/dev/zero of=volumes/w/volume $left conv=notrunc status=none
        sum=$(sha256sum volumes/w/volume)
        run -125 with_file w:/data:key=key true
        [[ $output == *"not a volume"* ]]
        [ "$(sha256sum volumes/w/volume)" = "$sum" ]
    done
}

@test "volumes: of containers that would make one at the same time one has it, whole" {
    for round in 1 2 3 4 5 6; do
        for n in 1 2 3; do
            with_file v$round:/data:key=key "echo $n >/data/x; sleep 0.5" >out.$n 2>&1 3>&- &
            pids[n]=$!
        done
        had=
        for n in 1 2 3; do
            if wait ${pids[n]}; then had+=$n; else grep -q "in use" out.$n; fi
        done
        "$COFRE" volume check --key-file key volumes/v$round/volume
        [ -n "$had" ]
        [[ $had == *"$("$COFRE" volume extract --key-file key volumes/v$round/volume x)"* ]]
        [ "$(ls volumes/v$round)" = volume ]
    done
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

# ---- a volume as the root's upper layer ----

# root_image NAME FOLDER UPDATE: busybox with the files of a folder in the root, whose upper layer is a volume.
root_image() {
    local oci=$PWD/$1.oci
    cp -r "$("$TOP/tools/make-image" busybox 2>/dev/null)" "$oci"
    tar --sort=name --mtime=@1000 --owner=0 --group=0 -cf "$1.tar" -C "$2" .
    umoci raw add-layer --image "$oci:$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$oci/index.json")" "$1.tar"
    printf '%s\nvolumes: [{name: root, path: /, key: mrsigner, create: true, size: 32M, image_update: %s}]\n' "$OPEN_POLICY" "$3" >"$1.yaml"
    "$COFRE" convert --quiet --policy "$1.yaml" --key "$(e2e_key)" "$oci" "$1"
}

in_root() { timeout -k 5 30 "$COFRE" run --softsgx -v root:/ "$1" -- sh -c "$2"; }

@test "volumes: random changes below / are as natively, and are there for the next container" {
    "$TOP/tests/volumes/root" 3 1
}

@test "volumes: / lasts over kill -9: what was installed is there, what was deleted is not" {
    mkdir -p files/opt/app/lib && echo 1 >files/opt/app/lib/one && echo 2 >files/opt/app/two && ln files/opt/app/two files/opt/two
    root_image image files refuse
    "$COFRE" run --softsgx -v root:/ image -- sh -c '
        set -e
        mkdir -p /var/lib/packages; echo tool >/var/lib/packages/new; mv /var/lib/packages/new /var/lib/packages/status
        cp /bin/busybox /usr/bin/busybox-tool; chmod 755 /usr/bin/busybox-tool; /usr/bin/busybox-tool true; ln /usr/bin/busybox-tool /usr/bin/busybox-again
        rm /etc/group; mv /opt/app/lib /opt/lib; echo 3 >>/opt/two; rm -r /home; mkdir /home; echo me >/home/me
        sync; echo synced; sleep 60' >out 2>err &
    pid=$!
    wait_until 20 grep -q synced out
    kill -KILL $pid
    wait $pid || true
    run -0 --separate-stderr in_root image '
        cat /var/lib/packages/status /home/me /opt/lib/one /opt/app/two; /usr/bin/busybox-again echo runs; stat -c %h /usr/bin/busybox-tool /opt/two
        ls /etc/group /opt/app/lib 2>/dev/null || echo gone; ls -a /opt/app | tr "\n" " "; mount | head -n 1'
    [ "${lines[*]}" = "tool me 1 2 3 runs 2 2 gone . .. two overlay on / type overlay (rw,relatime)" ]
}

@test "volumes: the root's upper layer under another image: refused, or what was changed is kept" {
    mkdir -p old/opt/app/sub new/opt/app
    echo code-1 >old/opt/app/code && echo default-1 >old/opt/app/conf && echo old >old/opt/app/old && echo s >old/opt/app/sub/s && echo r >old/opt/app/r
    echo code-two >new/opt/app/code && echo default-2 >new/opt/app/conf && echo more >new/opt/app/more && echo r >new/opt/app/r
    root_image one old refuse
    root_image two new refuse
    root_image three new keep
    run -0 in_root one 'cd /opt/app; chmod 700 code; echo mine >conf; echo changed >>old; echo d >data; echo t >>sub/s; rm r; mv /home /srv'
    sha256sum volumes/root/volume >before
    run -125 in_root two true
    [[ "$output" == *"upper layer of another root image"* ]]
    sha256sum -c before
    for round in 1 2; do # the second finds it taken over
        run -0 --separate-stderr in_root three 'cd /opt/app; cat code conf old data more sub/s; stat -c %a code; ls r /home 2>/dev/null; ls -a /srv; ls'
        [ "${lines[*]}" = "code-two mine old changed d more s t 700 . .. code conf data more old sub" ]
    done
    run -125 in_root one true
    [[ "$output" == *"upper layer of another root image"* ]]
    printf 'volumes: [{name: a, path: /a, image_update: keep}]\n' >bad.yaml
    run -125 "$COFRE" convert --quiet --policy bad.yaml --key "$(e2e_key)" one.oci bad
    [[ "$output" == *"image_update is for the root"* ]]
}

@test "volumes: what the image has where a new volume is mounted is copied into it, once" {
    mkdir -p files/data/sub && echo 1 >files/data/one && ln files/data/one files/data/sub/link && ln -s sub/link files/data/soft
    head -c 100000 /dev/urandom >files/data/sub/big && chmod 750 files/data
    root_image image files refuse
    printf '%s\nvolumes:\n - {name: a, path: /data, create: true, size: 8M, optional: true}\n - {name: b, path: /data/sub, create: true, size: 8M, copy: false, optional: true}\n' "$OPEN_POLICY" >copy.yaml
    "$COFRE" convert --quiet --policy copy.yaml --key "$(e2e_key)" image.oci copy
    in_copy() { timeout -k 5 30 "$COFRE" run --softsgx -v "$1" copy -- sh -c "$2"; }
    run -0 --separate-stderr in_copy a:/data 'cd /data; cat soft; stat -c "%a %h %Y" . one sub/big | cut -d" " -f1,2; sha256sum <sub/big; echo more >two; rm one'
    [ "${lines[*]}" = "1 750 3 644 2 644 1 $(sha256sum <files/data/sub/big)" ]
    run -0 --separate-stderr in_copy a:/data 'cd /data; cat two sub/link; stat -c "%h %Y" sub/link sub/big; ls; rm -r two sub soft'
    [[ "${lines[*]}" == "more 1 1 1000 1 1000 soft sub two" ]]
    run -0 --separate-stderr in_copy a:/data 'ls /data; echo none'
    [ "$output" = none ]
    run -0 --separate-stderr in_copy b:/data/sub 'ls /data/sub; stat -c %a /data/sub'
    [ "$output" = 755 ]
}

@test "volumes: the recovery key opens a container's volume without the container" {
    public=$("$COFRE" volume keygen recovery.pem)
    "$COFRE" volume keygen other.pem
    run -125 "$COFRE" volume keygen recovery.pem # never over what exists
    for name in with without; do
        printf '%s\nvolumes: [{name: a, path: /data, key: mrsigner, create: true, size: 8M%s}]\n' "$OPEN_POLICY" \
            "$([ $name = without ] || echo ", recovery: $public")" >$name.yaml
        "$COFRE" convert --quiet --policy $name.yaml --key "$(e2e_key)" "$("$TOP/tools/make-image" busybox 2>/dev/null)" $name
    done
    [ "$("$COFRE" inspect --json with | jq -r '.policy.volumes[0].recovery')" = "$public" ]
    run -0 timeout -k 5 30 "$COFRE" run --softsgx -v v:/data without -- sh -c 'echo precious >/data/f'
    run -4 "$COFRE" volume extract --recovery-key recovery.pem volumes/v/volume /f # there is no slot yet
    for round in 1 2; do
        run -0 timeout -k 5 30 "$COFRE" run --softsgx -v v:/data with -- true
    done
    [ "$("$COFRE" volume info --json volumes/v/volume | jq -c '[.keys[].type]')" = '["sealed","recovery key"]' ]
    run -4 "$COFRE" volume extract --recovery-key other.pem volumes/v/volume /f
    [ "$("$COFRE" volume extract --recovery-key recovery.pem volumes/v/volume /f)" = precious ]
    # one key leads to others
    "$COFRE" volume add-key --recovery-key recovery.pem volumes/v/volume key
    "$COFRE" volume check --key-file key volumes/v/volume
    "$COFRE" volume create --size 4M --key-file key --recovery "$public" mine
    "$COFRE" volume check --recovery-key recovery.pem mine
    run -4 "$COFRE" volume create --size 4M --key-file key --recovery 00 bad
}

@test "volumes: a passphrase opens a volume in a container, too" {
    echo 'correct horse' >passphrase && echo wrong >other && mkdir -p volumes/v
    "$COFRE" volume create --size 8M --passphrase-file passphrase volumes/v/volume
    run -4 "$COFRE" volume derive --passphrase-file other volumes/v/volume derived
    [ ! -e derived ]
    "$COFRE" volume derive --passphrase-file passphrase volumes/v/volume derived
    [ "$(stat -c '%a %s' derived)" = "600 32" ]
    run -0 with_file v:/data:key=derived 'echo kept >/data/f'
    [ "$("$COFRE" volume extract --passphrase-file passphrase volumes/v/volume /f)" = kept ]
    run -125 with_file v:/data:key=key true
    [[ "$output" == *"no key slot opens"* ]]
}

@test "volumes: a new master key, in use and offline, also when killed" {
    public=$("$COFRE" volume keygen recovery.pem)
    printf '%s\nvolumes: [{name: a, path: /data, key: mrsigner, create: true, size: 32M, recovery: %s}]\n' "$OPEN_POLICY" "$public" >rekey.yaml
    "$COFRE" convert --quiet --policy rekey.yaml --key "$(e2e_key)" "$("$TOP/tools/make-image" busybox 2>/dev/null)" rekey
    in_rekey() { timeout -k 5 60 "$COFRE" run --softsgx -v "$1" rekey -- sh -c "$2"; }
    state() { "$COFRE" volume info --json --recovery-key recovery.pem volumes/v/volume | jq -c "$1"; }
    run -0 in_rekey v:/data 'i=0; while [ $i -lt 40 ]; do i=$((i + 1)); head -c 100000 /dev/urandom >/data/$i; done; cd /data; sha256sum * >/data/sums'
    cp volumes/v/volume before
    "$COFRE" run --softsgx -v v:/data:rekey rekey -- sh -c 'sync; echo up; sleep 60' >out 2>/dev/null & # killed somewhere on its way
    pid=$!
    wait_until 30 grep -q up out
    kill -KILL $pid
    wait $pid || true
    [ "$(state '[.keys[].type] | sort')" = '["recovery key","sealed"]' ]
    for _ in $(seq 60); do # goes on without being asked
        run -0 --separate-stderr in_rekey v:/data 'cd /data; sha256sum -c sums | grep -vc OK; echo more >>/data/more; sync; sleep 1'
        [ "$output" = 0 ]
        [ "$(state .state.rekeying)" = true ] || break
    done
    [ "$(state .state.rekeying)" = false ]
    run -0 "$COFRE" volume check --recovery-key recovery.pem volumes/v/volume
    # the old key's slots do not open it
    dd if=before of=volumes/v/volume bs=64K skip=1 seek=1 count=1 conv=notrunc status=none
    run -4 "$COFRE" volume check --recovery-key recovery.pem volumes/v/volume
    # offline: a sealed slot is not lost unless that is wanted; killed, it goes on
    cp before file
    run -4 "$COFRE" volume rekey --recovery-key recovery.pem file
    cmp before file
    timeout -s KILL 0.05 "$COFRE" volume rekey --force --quiet --recovery-key recovery.pem file || true
    wait_until 20 "$COFRE" volume rekey --force --quiet --recovery-key recovery.pem file # the dead one lets go of it
    "$COFRE" volume check --recovery-key recovery.pem file
    [ "$("$COFRE" volume info --json --recovery-key recovery.pem file | jq -c '[[.keys[].type], .state.rekeying]')" = '[["recovery key"],false]' ]
    "$COFRE" volume extract --recovery-key recovery.pem file /sums | grep -q 40
    "$COFRE" volume snapshot create --recovery-key recovery.pem file s
    run -125 "$COFRE" volume rekey --recovery-key recovery.pem file
    [[ "$output" == *snapshots* ]]
}
