#!/usr/bin/env bats
# The tools of encrypted volumes: what goes in comes out; nothing is overwritten or opened that should not be.
load helpers

setup() {
    cd "$BATS_TEST_TMPDIR"
    head -c 32 /dev/urandom >key
    head -c 32 /dev/urandom >other
}

@test "volume: a tree goes in and comes out, with links, attributes and times" {
    make_tree tree
    tar -C tree --xattrs -cf in.tar .
    "$COFRE" volume create --size 32M --key-file key v
    "$COFRE" volume import --key-file key v in.tar
    "$COFRE" volume check --key-file key v
    "$COFRE" volume tar --key-file key -o out.tar v
    mkdir out
    tar -C out --xattrs -xpf out.tar
    diff -r --no-dereference --exclude fifo tree out
    [ -p out/fifo ]
    [ "$(stat -c %h out/d/a)" = 2 ]
    [ "$(stat -c '%a %Y' out/d/a)" = "$(stat -c '%a %Y' tree/d/a)" ]
    [ "$(getfattr --only-values -n user.note out/d/b)" = text ]
    [ "$("$COFRE" volume extract --key-file key v d/a)" = hello ]
    run ! grep -qaE 'hello|file-77|user.note' v
}

@test "volume: holes of an archive are holes, also at the end and of files that are nothing else" {
    truncate -s 100G hole
    truncate -s 50G middle && printf x | dd of=middle bs=1 seek=20G conv=notrunc status=none
    tar -S -cf in.tar hole middle
    "$COFRE" volume create --size 4M --key-file key v
    "$COFRE" volume import --key-file key v in.tar
    "$COFRE" volume check --key-file key v
    [ "$("$COFRE" volume dump --key-file key v hole | grep -E 'size|blocks')" = $'size: 107374182400\nblocks: 0' ]
    [ "$("$COFRE" volume dump --key-file key v middle | grep size)" = "size: 53687091200" ]
    run -125 "$COFRE" volume import --key-file key v in.tar
    [ "$output" = "cofre: importing hole failed: File exists" ]
    head -c 5M /dev/urandom >large && tar -cf large.tar large
    run -8 "$COFRE" volume import --key-file key v large.tar
    [ "$output" = "cofre: importing large failed: No space left on device" ]
}

@test "volume: never over a file, never with the wrong key" {
    "$COFRE" volume create --size 2M --key-file key v
    run -125 "$COFRE" volume create --size 2M --key-file key v
    [[ $output == *--force* ]]
    "$COFRE" volume check --key-file key v
    run -4 "$COFRE" volume check --key-file other v
    "$COFRE" volume add-key --key-file key --name second v other
    "$COFRE" volume remove-key --key-file other v 0
    run -4 "$COFRE" volume check --key-file key v
    "$COFRE" volume check --key-file other v
    run -2 "$COFRE" volume remove-key --key-file other v 1
    head -c 1M v >short
    run -9 "$COFRE" volume check --key-file other short
    head -c 3M /dev/urandom >noise
    run -3 "$COFRE" volume info noise
}

@test "volume: a passphrase; JSON; damage has its own exit code" {
    echo 'correct horse' >pass
    "$COFRE" volume create --size 4M --passphrase-file pass v
    [ "$("$COFRE" volume info --json v | jq -r '.keys[0].type')" = passphrase ]
    [ "$("$COFRE" volume info --json --passphrase-file pass v | jq .state.inodes)" = 1 ]
    [ "$("$COFRE" volume check --json --passphrase-file pass v | jq .clean)" = true ]
    echo wrong >pass
    run -4 "$COFRE" volume info --passphrase-file pass v
    "$COFRE" volume create --size 4M --key-file key w
    for block in 64 80 96 112; do
        dd if=/dev/zero of=w bs=4096 seek=$block count=1 conv=notrunc status=none
    done
    run -5 "$COFRE" volume check --key-file key w
}
