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

@test "volume errors: a key that cannot be read is not the volume's fault, and is said once" {
    head -c 5 key >short
    for file in none short .; do
        each 4 "reading key $file failed" v $file
        run -4 "$COFRE" volume check --key-file $file v
        [ "${#lines[@]}" = 1 ]
    done
    run -4 "$COFRE" volume check --recovery-key none v
    echo secret >passphrase
    "$COFRE" volume create --size 4M --passphrase-file passphrase p
    : >empty-line
    for file in none empty-line; do
        run -4 "$COFRE" volume check --passphrase-file $file p
        [ "${#lines[@]}" = 1 ]
        [[ $output == *"reading the passphrase failed"* ]]
    done
}

@test "volume errors: a terminal asks for a passphrase once, for a new one twice" {
    printf 'secret\n' >passphrase
    "$COFRE" volume create --size 4M --passphrase-file passphrase p
    run -0 timeout -k 5 20 script -qec "$COFRE volume check p" /dev/null < <(sleep 0.5; echo secret; sleep 2)
    [ "$(grep -c Passphrase <<<"$output")" = 1 ]
    [[ $output == *"0 problems"* ]]
    run -4 timeout -k 5 20 script -qec "$COFRE volume create --size 4M q" /dev/null < <(sleep 0.5; echo one; sleep 0.5; echo two; sleep 2)
    [[ $output == *"the second one is another"* ]]
    [ ! -e q ]
}

@test "volume errors: what tools write goes over no file unless --force says so, and never over the volume" {
    echo secret >passphrase
    echo mine >out
    "$COFRE" volume snapshot create --key-file key v s
    "$COFRE" volume create --size 4M --passphrase-file passphrase p
    sum=$(cat v p | sha256sum)
    while read -r volume command; do
        # shellcheck disable=SC2086
        run -125 "$COFRE" volume ${command//OUT/out}
        [[ $output == *"creating out failed: File exists (--force"* ]]
        [ "$(cat out)" = mine ]
        for force in "" --force; do
            # shellcheck disable=SC2086
            run -125 "$COFRE" volume ${command//OUT/$volume} $force
            [[ $output == *"it is the volume itself"* ]]
        done
        # shellcheck disable=SC2086
        run -0 --separate-stderr "$COFRE" volume ${command//OUT/forced} --force
        [ "$(stat -c %a forced)" = 600 ]
        # shellcheck disable=SC2086
        run -0 "$COFRE" volume ${command//OUT/forced} --force
        rm forced
        echo mine >out
    done <<-END
	v extract --key-file key v file OUT
	v tar --key-file key --output OUT v
	v send --key-file key --stream-key-file other --output OUT v s
	p derive --passphrase-file passphrase p OUT
	END
    [ "$(cat v p | sha256sum)" = "$sum" ]
}

@test "volume errors: an archive that cannot be read, an output that is full, things that are not there" {
    echo junk >junk
    sum=$(sha256sum v)
    for archive in none junk; do
        run -125 "$COFRE" volume import --key-file key v $archive
        [ "${#lines[@]}" = 1 ]
        [[ $output == *"reading the archive failed"* ]]
    done
    for command in "tar --key-file key --output /dev/full v" "extract --key-file key v file /dev/full"; do
        # shellcheck disable=SC2086
        run -8 "$COFRE" volume $command
        [ "${#lines[@]}" = 1 ]
        [ -c /dev/full ]
    done
    run -125 "$COFRE" volume extract --key-file key v / out
    [[ $output == *"no regular file"* ]]
    [ ! -e out ]
    run -125 "$COFRE" volume dump --key-file key v --inode 999
    [[ $output == *"no inode 999"* ]]
    run -125 "$COFRE" volume remove-key --key-file key v 7
    [[ $output == *"no key slot 7"* ]]
    run -125 "$COFRE" volume info .
    [[ $output == *"Is a directory"* ]]
}
