#!/usr/bin/env bats
# What is wrong with a file has a message and an exit code of its own, the same from each tool (cofre-volume(1), EXIT STATUS); and no
# tool makes a volume of a file that exists unless --force says so.
load helpers

setup() {
    cd "$BATS_TEST_TMPDIR"
    head -c 32 /dev/urandom >key
    head -c 32 /dev/urandom >other
    "$COFRE" volume create --size 4M --key-file key v
    echo hello >file
    tar -c file | "$COFRE" volume import --key-file key v
}

# each CODE TEXT FILE [KEY]: every tool that opens FILE ends with CODE, says TEXT, and leaves FILE as it is.
each() {
    local code=$1 text=$2 file=$3 key=${4-key} sum command
    sum=$(sha256sum "$file")
    mkdir -p empty
    while read -r command; do
        # shellcheck disable=SC2086
        run "$COFRE" volume ${command//FILE/--key-file $key $file} </dev/null
        echo "$command: $status: $output"
        [ "$status" = "$code" ]
        [[ $output == *"$text"* ]]
        [ "$(sha256sum "$file")" = "$sum" ]
    done <<-END
	info FILE
	check FILE
	dump FILE
	extract FILE file
	tar FILE
	resize --size 8M FILE
	snapshot list FILE
	snapshot create FILE name
	mount FILE empty
	import FILE
	add-key FILE other
	remove-key FILE 0
	END
}

patch() { # patch FILE OFFSET: standard input goes there, in both copies of the header
    cat >patch-bytes
    dd if=patch-bytes of="$1" bs=1 seek="$2" conv=notrunc status=none
    dd if=patch-bytes of="$1" bs=1 seek=$((4096 + $2)) conv=notrunc status=none
}

@test "volume errors: a foreign file" {
    head -c 3M /dev/urandom >noise
    each 3 "not a volume" noise
    : >nothing
    each 3 "not a volume" nothing
}

@test "volume errors: the wrong key" {
    each 4 "no key slot opens with this key" v other
}

@test "volume errors: a changed header" {
    printf x | patch v 200
    run -10 "$COFRE" volume check --key-file key v # a reserved byte may mean something to a newer version
    printf '\0' | patch v 200
    "$COFRE" volume check --key-file key v
    printf x | patch v 16 # the uuid
    each 4 "no key slot opens" v
}

@test "volume errors: damaged" {
    for block in 64 80 96 112; do dd if=/dev/zero of=v bs=4096 seek=$block count=1 conv=notrunc status=none; done
    sum=$(sha256sum v)
    run -5 "$COFRE" volume tar --key-file key v
    [[ $output == *"no checkpoint verifies"* ]]
    run -5 "$COFRE" volume resize --size 8M --key-file key v
    [ "$(sha256sum v)" = "$sum" ]
}

@test "volume errors: cut short" {
    head -c 3M v >short
    run -9 "$COFRE" volume check --key-file key short
    [[ $output == *"cut short"* ]]
    head -c 1M v >short
    each 9 "cut short" short
    head -c 5000 v >short
    run -3 "$COFRE" volume check --key-file key short
}

@test "volume errors: a feature that this program does not know is named" {
    printf '\0\0\0\200' | patch v 52 # the highest bit of incompat
    printf 'warp drive\033[31m' | patch v 68
    sum=$(sha256sum v)
    for command in check tar "resize --size 8M" "snapshot create"; do
        # shellcheck disable=SC2086
        run -10 "$COFRE" volume $command --key-file key v $([[ $command != snap* ]] || echo name)
        [[ $output == *'do not know'*'"warp drive?[31m"'* || $output == *'does not know'*'"warp drive?[31m"'* ]]
    done
    printf '\2' | patch v 8 # the version
    run -10 "$COFRE" volume check --key-file key v
    [[ $output == *"format is version 2"* ]]
    [ "$(sha256sum v)" != "$sum" ]
}

@test "volume errors: an older header put back" {
    dd if=v of=old-header bs=4096 count=2 status=none
    "$COFRE" volume snapshot create --key-file key v name # which writes the header
    dd if=old-header of=v conv=notrunc status=none
    sum=$(sha256sum v)
    for command in check tar "resize --size 8M"; do
        # shellcheck disable=SC2086
        run -11 "$COFRE" volume $command --key-file key v
        [[ $output == *"an old one was put back"* ]]
    done
    [ "$(sha256sum v)" = "$sum" ]
}

@test "volume errors: in use" {
    exec 6<v
    python3 -c 'import fcntl, struct; fcntl.fcntl(6, 37, struct.pack("hhqqi", fcntl.F_RDLCK, 0, 0, 0, 0))' # F_OFD_SETLK
    for command in "resize --size 8M" import "snapshot create" "add-key" "create --size 4M --force"; do
        # shellcheck disable=SC2086
        run -7 "$COFRE" volume $command --key-file key v $([[ $command != snap* ]] || echo name) $([[ $command != add* ]] || echo other) </dev/null
        [[ $output == *"in use"* ]]
    done
    exec 6<&-
    "$COFRE" volume check --key-file key v
}

@test "volume errors: no tool makes a volume of a file that exists, unless --force says so" {
    cp v copy
    run -125 "$COFRE" volume create --size 4M --key-file key v
    [[ $output == *--force* ]]
    run -125 "$COFRE" volume create --size 4M --key-file key file
    cmp v copy
    [ "$(cat file)" = hello ]
    run -125 "$COFRE" volume extract --key-file key v file file # nor any other file
    [ "$(cat file)" = hello ]
    "$COFRE" volume create --force --size 4M --key-file key v
    ! cmp -s v copy
    run -125 "$COFRE" volume extract --key-file key v file
}
