#!/usr/bin/env bats
# Volumes that become other volumes: clone, and snapshots sent and received, whole and as differences. All of it arrives, or nothing.
load helpers

setup() {
    cd "$BATS_TEST_TMPDIR"
    for key in key other stream; do head -c 32 /dev/urandom >$key; done
    mkdir -p tree/d
    for i in $(seq 100); do echo "$i" >"tree/d/file-$i"; done
    head -c 2M /dev/urandom >tree/big
    ln tree/big tree/d/hard
    ln -s ../big tree/d/link
    setfattr -n user.note -v text tree/d/file-1
    truncate -s 100M tree/d/sparse
    "$COFRE" volume create --size 16M --key-file key v
    tar -C tree --xattrs -Sc . | "$COFRE" volume import --key-file key v
}

teardown() { ! mountpoint -q "$BATS_TEST_TMPDIR/small" || umount -l "$BATS_TEST_TMPDIR/small"; }

digest() { "$COFRE" volume tar --key-file "$@" | sha256sum; }
put() { tar -c "$1" | "$COFRE" volume import --key-file key v; }
snapshot() { "$COFRE" volume snapshot create --key-file key v "$1"; }
send() { "$COFRE" volume send --key-file key --stream-key-file stream "$@"; }
receive() { "$COFRE" volume receive --key-file other --stream-key-file stream --quiet "$@"; }
flip() { python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0] ^ 16; f.seek(-1, 1); f.write(bytes([b]))' "$@"; }
# What a command that failed left behind: nothing but what was there.
same_files() { ls -A >now && diff before now; }
files() { : >now && : >bad-stream && ls -A >before; }

@test "volume clone: the same tree under another identity and key" {
    before=$(digest key v)
    sha256sum v >sum
    "$COFRE" volume clone --quiet --key-file key --new-key-file other v w
    sha256sum -c sum
    "$COFRE" volume check --key-file other w
    [ "$(digest other w)" = "$before" ]
    run -4 "$COFRE" volume check --key-file key w
    [ "$("$COFRE" volume info --json v | jq .uuid)" != "$("$COFRE" volume info --json w | jq .uuid)" ]
    # No block of one is a block of the other: nothing was copied as it was.
    python3 - v w <<-'END'
	import sys
	a, b = ({d[i:i + 4096] for i in range(0, len(d), 4096)} for d in (open(f, "rb").read() for f in sys.argv[1:]))
	sys.exit(len(a & b) > 1)  # the block of zeros
	END
    snapshot one
    echo new >new
    put new
    "$COFRE" volume clone --quiet --key-file key --snapshot one --size 8M v x
    [ "$(digest key x)" = "$before" ]
    [ "$(stat -c %s x)" = 8388608 ]
    "$COFRE" volume clone --quiet --key-file key v y
    [ "$("$COFRE" volume extract --key-file key y new)" = new ]
    recipient=$("$COFRE" volume keygen pem) # what is lost but for the recovery key is saved into a volume of a key
    "$COFRE" volume add-key --key-file key --recovery "$recipient" v
    run -2 "$COFRE" volume clone --recovery-key pem v z
    "$COFRE" volume clone --quiet --recovery-key pem --new-key-file other v z
    [ "$("$COFRE" volume extract --key-file other z new)" = new ]
    put sum # and the first goes its own way
    [ "$(digest key x)" = "$before" ]
}

@test "volume clone: never over a file without --force; too small, the wrong key, in use: nothing is left" {
    cp v w
    files
    run -125 "$COFRE" volume clone --key-file key v w
    [[ $output == *--force* ]]
    cmp v w
    run -4 "$COFRE" volume clone --key-file other v x
    run -8 "$COFRE" volume clone --key-file key --size 2M v x
    run -125 "$COFRE" volume clone --key-file key v missing/x
    run -125 "$COFRE" volume clone --key-file key missing x
    same_files
    exec 6<w
    python3 -c 'import fcntl, struct; fcntl.fcntl(6, 37, struct.pack("hhqqi", fcntl.F_RDLCK, 0, 0, 0, 0))' # F_OFD_SETLK
    run -7 "$COFRE" volume clone --force --key-file key v w
    exec 6<&-
    cmp v w
    "$COFRE" volume clone --quiet --force --key-file key v w
    ! cmp -s v w
    [ "$(digest key w)" = "$(digest key v)" ]
    same_files
}

@test "volume send: everything, and differences, into a volume of another key" {
    snapshot one
    one=$(digest key v)
    echo new >new
    put new
    snapshot two
    two=$(digest key v)
    send v one >1
    send --from one v two >2
    [ "$(stat -c %s 2)" -lt 100000 ]
    ! grep -qaE 'file-77|user.note|CofreVol' 1
    receive w <1
    "$COFRE" volume check --key-file other w
    [ "$(digest other w)" = "$one" ]
    [ "$("$COFRE" volume receive --json --key-file other --stream-key-file stream w <2 | jq -r .snapshot)" = two ]
    "$COFRE" volume check --key-file other w
    [ "$(digest other w)" = "$two" ]
    [ "$(digest other --snapshot one w)" = "$one" ]
    # From there on to a third.
    "$COFRE" volume send --key-file other --stream-key-file stream --output 3 w two
    run -125 "$COFRE" volume send --key-file other --stream-key-file stream --output 3 w two
    "$COFRE" volume receive --key-file key --stream-key-file stream --size 8M x <3
    [ "$(digest key x)" = "$two" ]
    "$COFRE" volume check --key-file key x
}

@test "volume send: what does not fit together is refused, and each says why" {
    snapshot one
    echo new >new
    put new
    snapshot two
    send v one >1
    send --from one v two >2
    receive w <1
    cp w kept
    files
    run -125 receive w <1
    [[ $output == *--force* ]]
    run -125 send v none
    [[ $output == *'no snapshot "none"'* ]]
    run -125 send --from two v one
    [[ $output == *'not older'* ]]
    run -2 "$COFRE" volume send --key-file key v one
    "$COFRE" volume create --size 16M --key-file other empty
    run -125 receive empty <2
    [[ $output == *"does not have"* ]]
    rm empty
    cmp w kept
    "$COFRE" volume import --key-file other w < <(tar -c new)
    run -125 receive w <2
    [[ $output == *"changed since"* ]]
    receive --force w <1
    receive w <2
    run -125 receive w <2
    [[ $output == *"already"* ]]
    run -3 receive x <new
    run -5 "$COFRE" volume receive --key-file other --stream-key-file key x <1
    [[ $output == *"does not verify"* ]]
    same_files
}

@test "volume send: a stream cut short or changed anywhere leaves nothing, and the volume as it was" {
    snapshot one
    head -c 700000 /dev/urandom >new
    put new
    snapshot two
    send v one >1
    send --from one v two >2
    receive w <1
    one=$(digest other w)
    files
    for stream in 1 2; do
        size=$(stat -c %s $stream)
        for at in 0 10 60 $((size / 3)) $((size / 2)) $((size - 30)) $((size - 1)); do
            target=$([ $stream = 1 ] && echo x || echo w)
            head -c "$at" $stream >bad-stream
            run receive $target <bad-stream
            [ "$status" = 9 ] || [ "$status" = 3 ]
            cp $stream bad-stream
            flip bad-stream "$at"
            run receive $target <bad-stream
            [ "$status" != 0 ]
            [[ $output == *"does not verify"* || $output == *"not what"* || $output == *"cut short"* || $output == *"newer version"* ]]
        done
        cat $stream <(echo more) >bad-stream
        run -5 receive $target <bad-stream
    done
    same_files
    "$COFRE" volume check --key-file other w
    [ "$(digest other w)" = "$one" ]
    receive w <2
    [ "$(digest other w)" = "$(digest key v)" ]
}

@test "volume send: killed while it sends, receives or clones: the volumes are whole, and no half of one is there" {
    snapshot one
    head -c 3M /dev/urandom >new
    put new
    snapshot two
    one=$(digest key --snapshot one v)
    two=$(digest key v)
    send v one >1
    send --from one v two >2
    files
    for i in $(seq 6); do
        receive w <1
        for what in "receive --key-file other --stream-key-file stream w" "receive --key-file other --stream-key-file stream x" \
            "clone --key-file key v y" "send --key-file key --stream-key-file stream v two"; do
            # shellcheck disable=SC2086
            "$COFRE" volume $what <"$([[ $what == *" x" ]] && echo 1 || echo 2)" >/dev/null &
            sleep 0.0$((RANDOM % 4))$((RANDOM % 10))
            kill -9 $! 2>/dev/null || true
            wait $! 2>/dev/null || true
        done
        "$COFRE" volume check --quiet --key-file other w
        now=$(digest other w)
        [ "$now" = "$one" ] || [ "$now" = "$two" ]
        if [ -e x ]; then "$COFRE" volume check --quiet --key-file other x && [ "$(digest other x)" = "$one" ]; fi
        if [ -e y ]; then "$COFRE" volume check --quiet --key-file key y && [ "$(digest key y)" = "$two" ]; fi
        "$COFRE" volume check --quiet --key-file key v
        rm -f w x y [wxy].?????? # a file system without O_TMPFILE
    done
    same_files
}

@test "volume send: a full disk, a full volume: nothing is left, and the volume is as it was" {
    snapshot one
    head -c 8M /dev/urandom >new
    put new
    snapshot two
    send v one >1
    send --from one v two >2
    "$COFRE" volume receive --quiet --key-file other --stream-key-file stream --size 8M w <1
    one=$(digest other w)
    run -8 receive w <2
    [[ $output == *"no room in the volume"* ]]
    "$COFRE" volume check --key-file other w
    [ "$(digest other w)" = "$one" ]
    run -8 "$COFRE" volume receive --key-file other --stream-key-file stream --size 2M x <1
    [ ! -e x ]
    mkdir small
    mount -t tmpfs -o size=4M tmpfs small || skip "no right to mount a small disk"
    run -8 receive small/x <1
    [[ $output == *"No space left"* ]]
    run -8 "$COFRE" volume clone --key-file key v small/y
    run -8 send --output small/z v two
    [ -z "$(ls -A small)" ]
    run -8 sh -c '"$0" volume send --key-file key --stream-key-file stream v two >/dev/full' "$COFRE"
}
