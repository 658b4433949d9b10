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
