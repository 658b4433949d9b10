#!/usr/bin/env bats
# Snapshots: what was there when one was made stays, whatever becomes of the tree, until it is removed; and then its room is free.
load helpers

setup() {
    cd "$BATS_TEST_TMPDIR"
    head -c 32 /dev/urandom >key
    mkdir tree
    for i in $(seq 100); do echo "$i" >"tree/file-$i"; done
    "$COFRE" volume create --size 16M --key-file key v
    tar -C tree -c . | "$COFRE" volume import --key-file key v
}

teardown() {
    "$COFRE" volume unmount --force "$BATS_TEST_TMPDIR/at" 2>/dev/null || true
    ! mountpoint -q "$BATS_TEST_TMPDIR/small" || umount -l "$BATS_TEST_TMPDIR/small"
}

digest() { "$COFRE" volume tar --key-file key "$@" | sha256sum; }
put() { tar -c "$1" | "$COFRE" volume import --key-file key v; }
used() { "$COFRE" volume info --json --key-file key v | jq .state.used; }
snapshot() { "$COFRE" volume snapshot "$1" --key-file key v "${@:2}"; }

@test "volume snapshot: made, listed, read, removed" {
    first=$(digest v)
    snapshot create one
    head -c 3M /dev/urandom >big
    put big
    second=$(digest v)
    snapshot create two
    head -c 3M /dev/urandom >big2
    put big2
    third=$(digest v)
    [ "$(digest --snapshot one v)" = "$first" ]
    [ "$(digest --snapshot two v)" = "$second" ]
    [ "$(digest v)" = "$third" ]
    [ "$(snapshot list --quiet | xargs)" = "one two" ]
    [ "$(snapshot list --json | jq -r '.[1].name')" = two ]
    [ "$("$COFRE" volume info --json --key-file key v | jq -r '.features, .state.snapshots' | xargs)" = "snapshots 2" ]
    run -125 "$COFRE" volume extract --snapshot one --key-file key v big
    "$COFRE" volume check --key-file key v
    before=$(used)
    snapshot remove two
    [ $(($(used) - before)) -lt 100000 ] # its contents are all today's, too
    "$COFRE" volume check --key-file key v
    [ "$(digest --snapshot one v)" = "$first" ]
    [ "$(digest v)" = "$third" ]
    snapshot remove one
    "$COFRE" volume check --key-file key v
    [ "$(digest v)" = "$third" ]
    [ "$(snapshot list)" = "" ]
    run -125 "$COFRE" volume tar --snapshot one --key-file key v
    [[ $output == *'no snapshot "one"'* ]]
}

@test "volume snapshot: mounted beside the newest state" {
    [ -w /dev/fuse ] || skip "no /dev/fuse here"
    snapshot create one
    echo new >file-new
    put file-new
    mkdir at
    "$COFRE" volume mount --snapshot one --key-file key v at 2>err || { grep -q 'not permitted' err && skip "FUSE is not allowed here"; }
    diff -r tree at
    "$COFRE" volume unmount at
    "$COFRE" volume mount --key-file key v at
    [ "$(cat at/file-new)" = new ]
}

@test "volume snapshot: bad names, none of the name, two of one name, and shrinking, are refused" {
    snapshot create one
    sha256sum v >before
    run -125 snapshot remove two
    [[ $output == *"no snapshot of that name"* ]]
    run -2 snapshot create "a b"
    run -2 snapshot create a/b
    run -2 snapshot create ""
    run -2 snapshot create
    run -2 snapshot lose one
    run -125 snapshot create one
    [[ $output == *"there is one of that name"* ]]
    run -125 "$COFRE" volume resize --size 8M --key-file key v
    [[ $output == *"remove them"* ]]
    "$COFRE" volume resize --size 32M --key-file key v
    "$COFRE" volume check --key-file key v
    [ "$(snapshot list --quiet)" = one ]
}

@test "volume snapshot: killed while one is made or removed: it is there whole, or not there" {
    first=$(digest v)
    snapshot create zero
    head -c 4M /dev/urandom >big
    put big
    now=$(digest v)
    for i in $(seq 12); do
        if snapshot list --quiet | grep -qx one; then what=remove; else what=create; fi
        "$COFRE" volume snapshot $what --key-file key v one &
        sleep 0.00$((RANDOM % 10))
        kill -9 $! 2>/dev/null || true
        wait $! 2>/dev/null || true
        "$COFRE" volume check --quiet --key-file key v
        [ "$(digest v)" = "$now" ]
        [ "$(digest --snapshot zero v)" = "$first" ]
        if snapshot list --quiet | grep -qx one; then [ "$(digest --snapshot one v)" = "$now" ]; fi
    done
}

@test "volume snapshot: a full volume: nothing is lost, and removing a snapshot makes room" {
    head -c 10M /dev/urandom >big
    put big
    snapshot create one
    head -c 10M /dev/urandom >big2
    run -8 put big2
    "$COFRE" volume check --key-file key v
    "$COFRE" volume extract --key-file key v big | cmp - big
    snapshot remove one
    "$COFRE" volume check --key-file key v
    "$COFRE" volume extract --key-file key v big | cmp - big
}

@test "volume snapshot: back to the last one, and to an older one only if the newer may go" {
    first=$(digest v)
    snapshot create one
    head -c 3M /dev/urandom >big
    put big
    second=$(digest v)
    snapshot create two
    room=$(used)
    head -c 6M /dev/urandom >big2
    put big2
    echo new >another
    put another
    snapshot rollback two
    [ "$(digest v)" = "$second" ]
    [ $(($(used) - room)) -lt 100000 ] # the room of what was given up is free
    "$COFRE" volume check --quiet --key-file key v
    put big2
    third=$(digest v)
    run -125 snapshot rollback one
    [[ $output == *'going back to snapshot "one" of v failed: there are newer ones, which would be lost (remove them, or --force)'* ]]
    run -125 snapshot rollback three
    [[ $output == *"no snapshot of that name"* ]]
    run -2 snapshot rollback
    [ "$(digest v)" = "$third" ]
    snapshot rollback one --force
    [ "$(digest v)" = "$first" ]
    [ "$(snapshot list --quiet)" = one ]
    "$COFRE" volume check --quiet --key-file key v
    put big # and on it goes
    "$COFRE" volume extract --key-file key v big | cmp - big
    [ "$(digest --snapshot one v)" = "$first" ]
}

@test "volume snapshot: killed on the way back: the tree is all as it was, or all the snapshot's" {
    snapshot create one
    first=$(digest v)
    for i in $(seq 10); do
        head -c 1M /dev/urandom >"big-$i"
        put "big-$i"
        now=$(digest v)
        "$COFRE" volume snapshot rollback --key-file key v one &
        sleep 0.00$((RANDOM % 10))
        kill -9 $! 2>/dev/null || true
        wait $! 2>/dev/null || true
        "$COFRE" volume check --quiet --key-file key v
        after=$(digest v)
        [ "$after" = "$now" ] || [ "$after" = "$first" ]
        [ "$(digest --snapshot one v)" = "$first" ]
    done
}

@test "volume snapshot: who changed a copy since goes back, and takes the next difference" {
    head -c 32 /dev/urandom >stream
    snapshot create one
    "$COFRE" volume send --key-file key --stream-key-file stream --quiet v one | "$COFRE" volume receive --size 16M --key-file key --stream-key-file stream --quiet w
    echo two >two
    put two
    snapshot create two
    "$COFRE" volume send --key-file key --stream-key-file stream --quiet --from one v two >difference
    tar -c stream | "$COFRE" volume import --key-file key w
    run ! "$COFRE" volume receive --key-file key --stream-key-file stream --quiet w <difference
    "$COFRE" volume snapshot rollback --key-file key w one
    "$COFRE" volume receive --key-file key --stream-key-file stream --quiet w <difference
    [ "$(digest w)" = "$(digest v)" ]
    "$COFRE" volume check --quiet --key-file key w
}
