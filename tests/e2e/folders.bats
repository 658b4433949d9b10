#!/usr/bin/env bats
# Folders of the host in containers: only where the policy names them, in the clear, never out of the folder.
load helpers

setup_file() {
    load helpers
    e2e_image folders busybox "$OPEN_POLICY
host_folders:
  - {path: /data, mode: rw, optional: true}
  - {path: /conf, mode: ro, optional: true}
" >&2
    e2e_image folder-wanted busybox "$OPEN_POLICY
host_folders: [{path: /data, mode: rw}]
" >&2
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    mkdir -p folder
    chmod 755 . folder
}

with() { # with OPTION... -- SCRIPT
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    timeout -k 5 30 "$COFRE" run --softsgx -i "${options[@]}" "$E2E/folders" -- sh -c "$2"
}

@test "folders: what is written inside is outside, and the other way" {
    echo outside >folder/o
    run -0 --separate-stderr with -v "$PWD/folder:/data" -- '
        cat /data/o; echo inside >/data/i; mkdir -p /data/a/b; ln -s ../i /data/a/l; ln /data/i /data/h
        chmod 640 /data/i; echo more >>/data/o; mv /data/a/b /data/c; cat /data/a/l; stat -c "%a %h %s" /data/i
        mount | grep /data; rm /data/h; ls -a /data; test ! -e /data/none'
    [ "${lines[0]}" = outside ]
    [ "${lines[1]}" = inside ]
    [ "${lines[2]}" = "640 2 7" ]
    [[ "${lines[3]}" == *"type fuse.cofre (rw,nosuid,nodev,noexec"* ]]
    [ "$(cat folder/i)" = inside ]
    [ "$(cat folder/o)" = "outside
more" ]
    [ "$(readlink folder/a/l)" = ../i ]
    [ "$(stat -c %a:%h folder/i)" = 640:1 ]
    [ -d folder/c ]
}

@test "folders: changes outside are seen at the next open, stat and listing" {
    echo one >folder/f
    mkfifo go
    with -v "$PWD/folder:/data" -- 'cd /data; cat f; ls; read x; cat f; stat -c %s f; ls; test ! -e gone && echo gone; cat d' \
        <go >out 2>err &
    pid=$!
    exec 7>go
    touch folder/gone
    wait_until 10 grep -q one out
    rm folder/gone
    echo another >folder/new
    mv folder/new folder/f
    echo in a file >folder/d
    echo >&7
    exec 7>&-
    wait $pid
    [ "$(sed -n '/another/,$p' out)" = "another
8
d
f
gone
in a file" ]
}

@test "folders: read-only by policy or option" {
    echo text >folder/f
    for option in "$PWD/folder:/conf" "$PWD/folder:/data:ro"; do
        run -0 --separate-stderr with -v "$option" -- '
            cd /conf && [ -e f ] || cd /data; cat f; echo x >f || echo no; rm f || echo no; mkdir d || echo no; chmod 600 f || echo no'
        [ "$output" = "text
no
no
no
no" ]
    done
    [ "$(ls folder)" = f ]
}

@test "folders: links do not lead out, names beneath do" {
    echo secret >secret
    ln -s ../secret folder/up
    ln -s "$PWD/secret" folder/abs
    ln -s .. folder/dotdot
    run -0 --separate-stderr with -v "$PWD/folder:/data" -- '
        cat /data/up || echo no; cat /data/abs || echo no; cat /data/dotdot/secret || echo no; cat /data/../secret || echo no'
    [ "$output" = "no
no
no
no" ]
}

@test "folders: what the host's user may not is denied" {
    [ "$(id -u)" = 0 ] || skip "needs root to be another user"
    cd "$(mktemp -d /tmp/cofre-folders-XXXXXX)"
    mkdir -p folder/mine
    chown 65534:65534 folder/mine
    echo text >folder/root-only
    chmod 600 folder/root-only
    chmod 755 .
    cp -r "$COFRE" "$BUILD/host/cofre-runtime" "$E2E/folders" . # that user may not look where this tree is
    run -0 --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp timeout -k 5 30 ./cofre run --softsgx \
        -v "$PWD/folder:/data" folders -- sh -c '
        cat /data/root-only || echo denied; echo x >/data/mine/f && stat -c %u:%g /data/mine/f /data/root-only; chown 7 /data/mine/f || echo denied'
    [ "$output" = "denied
0:0
65534:65534
denied" ]
    [ "$(stat -c %u folder/mine/f)" = 65534 ]
    rm -r "$PWD"
}

@test "folders: one that vanishes, and a full disk" {
    [ "$(id -u)" = 0 ] || skip "needs root to mount"
    mkdir small
    mount -t tmpfs -o size=256k tmpfs small
    run -0 --separate-stderr with -v "$PWD/small:/data" -- '
        dd if=/dev/zero of=/data/f bs=64k count=16 2>/data/err || echo full; rm /data/f; echo x >/data/g && cat /data/g'
    umount small
    [ "$output" = "full
x" ]
    mkfifo go
    with -v "$PWD/folder:/data" -- 'cd /data; echo here; read x; echo y >f || echo gone; ls . ; echo alive' <go >out 2>/dev/null &
    pid=$!
    exec 7>go
    wait_until 10 grep -q here out
    rmdir folder
    echo >&7
    exec 7>&-
    wait $pid
    [ "$(cat out)" = "here
gone
alive" ]
}

@test "folders: processes of a container see one file" {
    run -0 --separate-stderr with -v "$PWD/folder:/data" -- '
        for p in 1 2 3; do (i=0; while [ $i -lt 40 ]; do i=$((i + 1)); echo line-$p-$i >>/data/log; done) & done; wait
        (echo child >/data/c); cat /data/c; wc -l </data/log; sort -u /data/log | wc -l'
    [ "$output" = "child
120
120" ]
    [ "$(wc -l <folder/log)" = 120 ]
}

@test "folders: big files, read in order and by mapping" {
    head -c 5000001 /dev/urandom >folder/big
    run -0 --separate-stderr with -v "$PWD/folder:/data" -- 'cd /data; sha256sum big; cp big copy; tail -c 100001 big | sha256sum; dd if=big bs=1000 2>/dev/null | sha256sum'
    sum=$(sha256sum <folder/big)
    [ "${lines[0]}" = "${sum%-}big" ]
    [ "${lines[1]}" = "$(tail -c 100001 folder/big | sha256sum)" ]
    [ "${lines[2]}" = "$sum" ]
    cmp folder/big folder/copy
}

@test "folders: refused with the reason" {
    run -125 with -v "$PWD/folder:/other" -- true
    [[ "$output" == *"the policy does not let a folder of this machine be at /other"*host_folders* ]]
    run -125 timeout -k 5 30 "$COFRE" run --softsgx "$E2E/folder-wanted" -- true
    [[ "$output" == *"wants a folder of this machine at /data"* ]]
    run -125 with -v "$PWD/none:/data" -- true
    [[ "$output" == *"$PWD/none failed: No such file"* ]]
    run -125 with -v "$PWD/folder:/data:key=x" -- true
    [[ "$output" == *"no key"* ]]
    printf 'host_folders: [{path: /etc/x, mode: rw}]' >policy.yaml
    run -125 "$COFRE" convert --policy policy.yaml --key "$(e2e_key)" "$E2E/folders" out
}

@test "inspect says that a folder of the host is not trusted" {
    run -0 --separate-stderr "$COFRE" inspect "$E2E/folders"
    [[ "$output" == *'"path": "/data", "mode": "rw", "optional": true, "trust": "none'* ]]
}
