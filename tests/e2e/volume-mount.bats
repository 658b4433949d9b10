#!/usr/bin/env bats
# A volume as a folder of this machine. Needs /dev/fuse and the right to mount.
load helpers

setup() {
    cd "$BATS_TEST_TMPDIR"
    [ -w /dev/fuse ] || skip "no /dev/fuse here"
    [ "$(id -u)" = 0 ] || command -v fusermount3 >/dev/null || skip "neither root nor fusermount3"
    head -c 32 /dev/urandom >key
    mkdir at
    make_tree tree
    "$COFRE" volume create --size 32M --key-file key v
    tar -C tree --xattrs -c . | "$COFRE" volume import --key-file key v
    if ! "$COFRE" volume mount --key-file key v at 2>err; then
        grep -q 'Operation not permitted' err && skip "FUSE is not allowed here"
        cat err
        return 1
    fi
}

teardown() {
    cd "$BATS_TEST_TMPDIR"
    "$COFRE" volume unmount --force at 2>/dev/null || true
}

@test "volume mount: the tree is there, with links, attributes, times and holes; nothing can be changed" {
    diff -r --no-dereference --exclude fifo tree at
    [ -p at/fifo ]
    [ "$(stat -c '%h %a %Y %i' at/d/a)" = "$(stat -c '%h %a %Y' tree/d/a) $(stat -c %i at/d/b)" ]
    [ "$(readlink at/d/l)" = a ]
    [ "$(getfattr --only-values -n user.note at/d/a)" = text ]
    [ "$(ls at/d/deep | wc -l)" = 500 ]
    [ "$(stat -f -c %b at)" = 8192 ]
    cmp <(tail -c 100 tree/big) <(tail -c 100 at/big)
    run ! touch at/new
    [[ $output == *"Read-only file system"* ]]
    run ! sh -c 'echo x >>at/big'
    run ! rm at/d/a
    run ! ls at/none
    [[ $output == *"No such file"* ]]
    [[ $(grep " $PWD/at " /proc/mounts) == *fuse.cofre* ]]
}

@test "volume mount: holes are holes" {
    printf 'the key of the tests\0\0\0\0\0\0\0\0\0\0\0\0' >golden-key
    xz -dc "$TOP/tests/volumes/golden/plain.vol.xz" >golden
    "$COFRE" volume unmount at
    "$COFRE" volume mount --key-file golden-key golden at
    [ "$(stat -c %s at/holes)" = 104857601 ]
    [ "$(stat -c %b at/holes)" -lt 100 ]
    [ "$(python3 -c 'import os; f = os.open("at/holes", os.O_RDONLY); print(os.lseek(f, 8192, os.SEEK_DATA))')" = 67108864 ]
    [ "$(stat -c '%F %t:%T' at/device)" = "character special file 1:3" ]
}

@test "volume mount: while it is mounted the volume may be read, but not written; unmount gives it back" {
    "$COFRE" volume check --key-file key v
    run -7 "$COFRE" volume import --key-file key v /dev/null
    [[ $output == *"in use"* ]]
    exec 5<at/big
    run -7 "$COFRE" volume unmount at
    [[ $output == *--force* ]]
    exec 5<&-
    "$COFRE" volume unmount at
    run -125 "$COFRE" volume unmount at
    [[ $output == *"no volume is mounted there"* ]]
    echo x >more
    tar -c more | "$COFRE" volume import --key-file key v # at once
    "$COFRE" volume check --key-file key v
}

@test "volume mount: its process killed: unmount clears what is left, and the volume is whole" {
    pid=$(find /proc/[0-9]*/fd -lname "$PWD/v" 2>/dev/null | sed -E 's,/proc/([0-9]+)/.*,\1,;q')
    kill -9 "$pid"
    wait_until 10 sh -c '! ls at'
    "$COFRE" volume unmount at
    ls at
    "$COFRE" volume check --key-file key v
    "$COFRE" volume mount --key-file key v at
    cmp tree/big at/big
}

@test "volume mount: each thing that stops it is named" {
    run -125 "$COFRE" volume mount --key-file key v missing
    [[ $output == *"No such file"* ]]
    run -125 "$COFRE" volume mount --key-file key v key
    [[ $output == *"Not a directory"* ]]
    head -c 32 /dev/urandom >other
    run -4 "$COFRE" volume mount --key-file other v tree
    head -c 3M /dev/urandom >noise
    run -3 "$COFRE" volume mount --key-file key noise tree
    run -125 "$COFRE" volume unmount tree
    run -2 "$COFRE" volume mount --key-file key v
    # A block that does not verify is an error of that file, not wrong data.
    "$COFRE" volume unmount at
    block=$("$COFRE" volume dump --key-file key v d/a | sed -nE 's/^root: block ([0-9]+) .*/\1/p')
    printf x | dd of=v bs=1 seek=$((block * 4096 + 77)) conv=notrunc status=none
    "$COFRE" volume mount --key-file key v at
    run ! cat at/d/a
    [[ $output == *"Input/output error"* ]]
    cmp tree/big at/big
}
