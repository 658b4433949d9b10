#!/usr/bin/env bats
# A volume becomes larger and smaller with all that is in it, whatever happens meanwhile.
load helpers

setup() {
    cd "$BATS_TEST_TMPDIR"
    head -c 32 /dev/urandom >key
    mkdir -p tree/d
    for i in $(seq 200); do echo "$i" >"tree/d/file-$i"; done
    head -c 3000000 /dev/urandom >tree/d/big
}

teardown() { ! mountpoint -q "$BATS_TEST_TMPDIR/small" || umount -l "$BATS_TEST_TMPDIR/small"; }

filled() { # filled FILE SIZE
    "$COFRE" volume create --size "$2" --key-file key "$1"
    tar -C tree -c . | "$COFRE" volume import --key-file key "$1"
}
digest() { "$COFRE" volume tar --key-file key "$1" | sha256sum; }

@test "volume resize: larger, smaller, what fits and what does not" {
    filled v 10M
    before=$(digest v)
    [ "$("$COFRE" volume resize --json --size 300M --key-file key v)" = '{"size": 314572800, "was": 10485760}' ]
    [ "$(stat -c %s v)" = 314572800 ]
    "$COFRE" volume check --key-file key v
    [ "$(digest v)" = "$before" ]
    head -c 100M /dev/zero >zeros
    tar -c zeros | "$COFRE" volume import --key-file key v
    run -8 "$COFRE" volume resize --size 100M --key-file key v
    [[ $output == *"does not fit"*"KiB are in use"* ]]
    [ "$(stat -c %s v)" = 314572800 ]
    "$COFRE" volume check --key-file key v
    "$COFRE" volume resize --size 150M --key-file key v
    [ "$(stat -c %s v)" = 157286400 ]
    "$COFRE" volume check --key-file key v
    "$COFRE" volume extract --key-file key v zeros | cmp - zeros
    [ "$("$COFRE" volume info --json --key-file key v | jq .state.size)" = 157286400 ]
}

@test "volume resize: wrong sizes, keys and files, and a volume in use, change nothing" {
    filled v 10M
    sha256sum v >before
    run -2 "$COFRE" volume resize --key-file key v
    run -2 "$COFRE" volume resize --size 1M --key-file key v
    run -2 "$COFRE" volume resize --size 10Q --key-file key v
    head -c 32 /dev/urandom >other
    run -4 "$COFRE" volume resize --size 20M --key-file other v
    run -125 "$COFRE" volume resize --size 20M --key-file key missing
    [ ! -e missing ]
    head -c 3M /dev/urandom >noise
    cp noise same
    run -3 "$COFRE" volume resize --size 20M --key-file key noise
    cmp noise same
    exec 6<v
    python3 -c 'import fcntl, struct; fcntl.fcntl(6, 37, struct.pack("hhqqi", fcntl.F_RDLCK, 0, 0, 0, 0))' # F_OFD_SETLK, as whoever uses it
    run -7 "$COFRE" volume resize --size 20M --key-file key v
    exec 6<&-
    sha256sum -c before
}

@test "volume resize: killed at any time, the volume is whole, of one size or the other" {
    filled v 48M
    before=$(digest v)
    for size in 6M 48M 6M 48M 6M 48M 6M 48M; do
        "$COFRE" volume resize --quiet --size $size --key-file key v &
        sleep 0.00$((RANDOM % 10))
        kill -9 $! 2>/dev/null || true
        wait $! 2>/dev/null || true
        "$COFRE" volume check --quiet --key-file key v
        [ "$(digest v)" = "$before" ]
        "$COFRE" volume resize --quiet --size $size --key-file key v # it can be done again
        [ "$(stat -c %s v)" = "$(numfmt --from=iec $size)" ]
    done
}

@test "volume resize: a full disk: the volume is as it was" {
    mkdir small
    mount -t tmpfs -o size=12M tmpfs small || skip "no right to mount a small disk"
    filled small/v 8M
    before=$(digest small/v)
    run -8 "$COFRE" volume resize --size 64M --key-file key small/v
    [[ $output == *"No space left"* ]]
    [ "$(stat -c %s small/v)" = 8388608 ]
    "$COFRE" volume check --key-file key small/v
    [ "$(digest small/v)" = "$before" ]
    "$COFRE" volume resize --size 11M --key-file key small/v
    [ "$(digest small/v)" = "$before" ]
}
