#!/usr/bin/env bats
# Volumes as earlier versions wrote them, of each format version and feature: every later build reads them, finds them clean, and gives
# the same archive; and it may go on writing to them. tests/volumes/golden/make.c made them, once.
load helpers
GOLDEN=$TOP/tests/volumes/golden

setup() {
    cd "$BATS_TEST_TMPDIR"
    printf 'the key of the tests\0\0\0\0\0\0\0\0\0\0\0\0' >key
}

archive_digest() { "$COFRE" volume tar --key-file key "$@" | sha256sum | cut -d ' ' -f 1; }

@test "volume golden: each image is read, checked, and gives the archive that it gave" {
    local digest name snapshot
    while read -r digest name snapshot; do # of a snapshot, or of the newest state
        xz -dc "$GOLDEN/$name.xz" >v
        "$COFRE" volume check --key-file key v
        [ "$(archive_digest ${snapshot:+--snapshot "$snapshot"} v)" = "$digest" ]
    done <"$GOLDEN/digests"
    [ "$(cut -d ' ' -f 3 "$GOLDEN/digests" | sort -u | wc -l)" = "$(ls "$GOLDEN"/*.xz | wc -l)" ]
}

@test "volume golden: each image goes on: written to, clean, and what was in it stays" {
    local digest name snapshot
    echo new >zz-new
    tar -cf one.tar zz-new
    while read -r digest name snapshot; do
        [ -z "$snapshot" ] || continue
        xz -dc "$GOLDEN/$name.xz" >v
        "$COFRE" volume tar --key-file key v | tar --xattrs -tvf - | grep -v ' ./$' >before
        "$COFRE" volume import --key-file key v one.tar
        "$COFRE" volume check --key-file key v
        "$COFRE" volume tar --key-file key v | tar --xattrs -tvf - | grep -v zz-new | grep -v ' ./$' >after
        diff before after
    done <"$GOLDEN/digests"
}

# Debian's Python: what a developer has of his own may have no cryptography.
compare() { COFRE=$COFRE /usr/bin/python3 "$TOP/tests/volumes/reader-compare" "$@"; }

@test "volume golden: a second reader, written from the format's document, finds the same in each image" {
    local digest name snapshot
    while read -r digest name snapshot; do
        xz -dc "$GOLDEN/$name.xz" >"$name"
        compare "$name" key ${snapshot:+"$snapshot"}
    done <"$GOLDEN/digests"
}

@test "volume golden: the second reader follows logs of random operations, and a volume under a new master key" {
    local seed
    for seed in 1 2 3 4 5 6; do
        "$TOP/build/tests/unit/golden-make" "random-$seed" v
        compare v key
    done
    "$COFRE" volume rekey --quiet --key-file key v
    compare v key
}

@test "volume golden: the second reader finds damage, and the wrong key" {
    local block path
    xz -dc "$GOLDEN/plain.vol.xz" >v
    head -c 32 /dev/urandom >other
    run -1 /usr/bin/python3 "$TOP/tests/volumes/reader.py" v other
    [[ "$output" == *"the key opens no slot"* ]]
    for path in / /small /dir /holes; do # what does not verify is not guessed
        block=$("$COFRE" volume dump --key-file key v "$path" | sed -n 's/^root: block \([0-9]*\) .*/\1/p')
        cp v damaged
        printf '\x55' | dd of=damaged bs=1 seek=$((block * 4096 + 77)) conv=notrunc status=none
        run -1 /usr/bin/python3 "$TOP/tests/volumes/reader.py" damaged key
        [[ "$output" == *"block $block: inode "*"does not verify"* ]]
        [ "${#lines[@]}" = 1 ]
    done
}
