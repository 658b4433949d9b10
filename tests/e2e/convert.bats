#!/usr/bin/env bats
# `cofre convert`: Linux and cryptsetup as oracles, the same tree as umoci gives, determinism, bad input, full disks.
# bats file_tags=convert

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.."
    export TOP=$PWD COFRE=$PWD/${BUILD:-build}/cofre TOOLS=$PWD/tests/e2e
    export KEY=$BATS_FILE_TMPDIR/key.pem
    "$COFRE" keygen "$KEY"
    IMAGE=$("$TOP/tools/make-image" redis)
    export IMAGE
    "$COFRE" convert -q --key "$KEY" "$IMAGE" "$BATS_FILE_TMPDIR/redis"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    for folder in mnt small; do
        ! mountpoint -q "$folder" 2>/dev/null || umount "$folder"
    done
}

layer_of() { # layer_of LAYOUT: the path of its one layer
    local hex
    hex=$(jq -r '.manifests[0].digest' "$1/index.json")
    hex=$(jq -r '.layers[0].digest' "$1/blobs/sha256/${hex#sha256:}")
    echo "$1/blobs/sha256/${hex#sha256:}"
}

extract() { # extract LAYOUT: root.img and the numbers of its hash tree into the current folder
    tar -xf "$(layer_of "$1")" --strip-components=1 cofre/root.img
    "$COFRE" inspect --json "$1" >inspect.json
    ROOT_SIZE=$(jq -r .policy.root_image.size inspect.json)
    ROOT_HASH=$(jq -r .policy.root_image.root_hash inspect.json)
    ROOT_SALT=$(jq -r .policy.root_image.salt inspect.json)
}

verify() {
    veritysetup verify --no-superblock --hash-offset="$ROOT_SIZE" --data-blocks=$((ROOT_SIZE / 4096)) \
        --salt="$ROOT_SALT" root.img root.img "$ROOT_HASH"
}

refuse() { # refuse TEXT ARGUMENTS...: convert fails, says TEXT, and leaves nothing
    local text=$1 before after
    shift
    before=$(find . | sort)
    run "$COFRE" convert --unsigned "$@"
    echo "$output"
    [ "$status" -eq 125 ]
    [[ $output == *"$text"* ]]
    after=$(find . | sort)
    [ "$before" = "$after" ]
}

need_root() {
    [ "$(id -u)" = 0 ] || skip "mounting needs root"
}

@test "convert: fsck.erofs, dump.erofs and veritysetup accept the root image" {
    extract "$BATS_FILE_TMPDIR/redis"
    fsck.erofs root.img
    dump.erofs -s root.img | grep -q '0xE0F5E1E2'
    verify
}

@test "convert: veritysetup finds one changed byte anywhere" {
    extract "$BATS_FILE_TMPDIR/redis"
    for at in 2000 $((ROOT_SIZE / 2)) $((ROOT_SIZE - 1)) $((ROOT_SIZE + 100)); do
        cp --reflink=auto root.img changed.img
        byte=$(od -An -tu1 -j "$at" -N 1 changed.img)
        printf "\\x$(printf %02x $((byte ^ 1)))" | dd of=changed.img bs=1 seek="$at" conv=notrunc status=none
        run veritysetup verify --no-superblock --hash-offset="$ROOT_SIZE" --data-blocks=$((ROOT_SIZE / 4096)) \
            --salt="$ROOT_SALT" changed.img changed.img "$ROOT_HASH"
        [ "$status" -ne 0 ]
    done
}

@test "convert: the mounted root image is the tree that umoci unpacks" {
    need_root
    extract "$BATS_FILE_TMPDIR/redis"
    umoci unpack --image "$IMAGE:latest" bundle >/dev/null
    mkdir mnt
    mount -t erofs -o loop,ro root.img mnt
    run "$TOOLS/tree-compare" mnt bundle/rootfs
    umount mnt
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "convert: everything that layers may hold is kept" {
    need_root
    "$TOOLS/torture-image" torture
    "$TOOLS/torture-image" --plain plain
    "$COFRE" convert -q --unsigned torture converted
    extract converted
    fsck.erofs root.img
    verify
    umoci unpack --image plain:latest bundle >/dev/null
    mkdir mnt
    mount -t erofs -o loop,ro root.img mnt
    run "$TOOLS/tree-compare" mnt bundle/rootfs
    umount mnt
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "convert: the same bytes in another folder, time zone, locale and at another time" {
    mkdir -p elsewhere/deep
    sleep 1
    (cd elsewhere/deep && TZ=Asia/Tokyo LC_ALL=C.UTF-8 umask 077 &&
        TZ=Asia/Tokyo LC_ALL=C.UTF-8 "$COFRE" convert -q --key "$KEY" "oci:$IMAGE:latest" out)
    diff -r "$BATS_FILE_TMPDIR/redis" elsewhere/deep/out
}

@test "convert: the same bytes for another user" {
    need_root
    local place build
    place=$(mktemp -d /var/tmp/cofre-test.XXXXXX)
    build=$(dirname "$COFRE")
    cp -r "$IMAGE" "$place/image"
    cp "$KEY" "$place/key.pem"
    cp "$COFRE" "$build/cofre-convert" "$build/host/cofre-runtime" "$build/kernel/cofre-kernel" "$place"
    chmod -R a+rX,a+w "$place"
    run setpriv --reuid=65534 --regid=65534 --clear-groups bash -c \
        "cd $place && env -i PATH=$PATH ./cofre convert -q --key key.pem image out"
    echo "$output"
    [ "$status" -eq 0 ]
    diff -r "$BATS_FILE_TMPDIR/redis" "$place/out"
    rm -rf "$place"
}

@test "convert: an archive holds the same image, and the data in it are aligned" {
    "$COFRE" convert -q --key "$KEY" "$IMAGE" out.tar
    mkdir unpacked
    tar -xf out.tar -C unpacked
    diff -r "$BATS_FILE_TMPDIR/redis" unpacked
    "$COFRE" inspect out.tar >/dev/null
    python3 - out.tar <<'END'
import sys, tarfile
outer = tarfile.open(sys.argv[1])
layer = max(outer.getmembers(), key=lambda member: member.size)
assert layer.offset_data % 4096 == 0
inner = tarfile.open(fileobj=outer.extractfile(layer))
for member in inner.getmembers():
    assert member.mtime == 0 and member.uid == 0 and member.gid == 0
    assert not member.isfile() or member.offset_data % 4096 == 0, member.name
assert inner.getmember("cofre/runtime").mode == 0o755
END
}

@test "convert: sources of every kind give the same root image" {
    "$TOOLS/damage-image" good good
    "$COFRE" convert -q --unsigned good one
    tar -C good -cf layout.tar .
    tar -C good -czf layout.tar.gz oci-layout index.json blobs
    skopeo copy --quiet oci:good docker-archive:saved.tar:name:tag
    gzip -k saved.tar
    skopeo copy --quiet oci:good dir:folder
    extract one
    hash=$ROOT_HASH
    for source in oci:good layout.tar layout.tar.gz oci-archive:layout.tar saved.tar saved.tar:name:tag saved.tar:tag \
        saved.tar.gz docker-archive:saved.tar dir:folder; do
        rm -rf other
        "$COFRE" convert -q --unsigned "$source" other
        extract other
        echo "$source $ROOT_HASH"
        fsck.erofs root.img
        # skopeo may write the configuration anew, which gives another salt.
        if [[ $source == *layout* || $source == oci:* ]]; then [ "$ROOT_HASH" = "$hash" ]; fi
    done
}

@test "convert: the amd64 image is found in nested indexes" {
    "$TOOLS/damage-image" multi_arch src
    "$COFRE" convert -q --unsigned src out
}

@test "convert: signing while converting and afterwards give the same image" {
    "$TOOLS/damage-image" good src
    "$COFRE" convert -q --key "$KEY" src one
    "$COFRE" convert -q --unsigned src two
    "$COFRE" sign --key "$KEY" two
    [ "$(jq -r '.manifests[0].digest' one/index.json)" = "$(jq -r '.manifests[0].digest' two/index.json)" ]
}

@test "convert: a damaged image is refused and named" {
    for pair in truncated_layer:truncated corrupted_layer:'digest does not match' corrupted_manifest:'does not match' \
        corrupted_config:'does not match' wrong_diff_id:'uncompressed digest does not match' missing_layer:'is missing'; do
        "$TOOLS/damage-image" "${pair%%:*}" src
        refuse "${pair#*:}" src out
    done
}

@test "convert: paths that escape are refused, naming entry and layer" {
    for kind in dotdot absolute symlink; do
        "$TOOLS/damage-image" "$kind" src
        refuse 'escaped"' src out
        [[ $output == *"layer 1"* ]]
    done
    "$TOOLS/damage-image" symlink_two_layers src
    refuse 'layer 2' src out
    [ ! -e /tmp/escaped ]
}

@test "convert: a decompression bomb is refused" {
    "$TOOLS/damage-image" bomb src
    refuse "times its size" src out
    refuse "limit of 104857600 bytes" --max-size 100M src out
    "$COFRE" convert -q --unsigned --max-ratio 5000 src out
}

@test "convert: an image for another architecture is refused" {
    "$TOOLS/damage-image" arm64 src
    refuse "linux/arm64" src out
    "$TOOLS/damage-image" arm64_index src
    refuse "only for linux/arm64" src out
}

@test "convert: a command that is not in the image is refused" {
    "$TOOLS/damage-image" no_command src
    refuse '"/bin/nothing" does not exist' src out
    "$TOOLS/damage-image" not_executable src
    refuse "not an executable file" src out
}

@test "convert: an unknown key in the policy is named with its line" {
    "$TOOLS/damage-image" good src
    printf 'memory: 64M\nnonsense: 1\n' >policy.yaml
    refuse nonsense --policy policy.yaml src out
    [[ $output == *policy.yaml*2* ]]
}

@test "convert: a source that is not there or not an image is refused" {
    refuse "no such file" nowhere out
    mkdir empty
    refuse "neither an OCI layout" empty out
    echo garbage >file
    refuse "file" file out
    refuse "skopeo" docker-archive:/nowhere/x.tar out || refuse "no such file" docker-archive:/nowhere/x.tar out
}

@test "convert: what exists is not overwritten unless asked" {
    "$TOOLS/damage-image" good src
    mkdir out
    "$COFRE" convert -q --unsigned src out
    refuse "exists already" src out
    "$COFRE" convert -q --unsigned --force src out
    mkdir precious
    touch precious/file
    refuse "not an image" --force src precious
    [ -e precious/file ]
    refuse "both source and target" --force src src
    tar -C src -czf src.tar .
    refuse "both source and target" --force src.tar src.tar
}

@test "convert: a full disk leaves nothing" {
    need_root
    mkdir small
    mount -t tmpfs -o size=40m tmpfs small
    run "$COFRE" convert --unsigned "$IMAGE" small/out
    echo "$output"
    local left
    left=$(find small -mindepth 1)
    # With the space of the layer but not of the rest, too.
    run "$COFRE" convert --unsigned "$IMAGE" small/out.tar
    left+=$(find small -mindepth 1)
    umount small
    [ "$status" -eq 125 ]
    [[ $output == *"No space left on device"* ]]
    [ -z "$left" ]
}

@test "convert: whatever the free space, the image is whole or not there" {
    need_root
    "$TOOLS/damage-image" good src
    "$COFRE" convert -q --key "$KEY" src whole
    mkdir small
    local size target done=0 most
    most=$(du -sk whole | cut -f1)
    for size in $(seq 200 $((most / 14)) $((2 * most))); do
        for target in out out.tar; do
            mount -t tmpfs -o size="${size}k" tmpfs small
            if "$COFRE" convert -q --key "$KEY" src small/$target 2>/dev/null; then
                done=$((done + 1))
                if [ $target = out ]; then diff -r whole small/out; else "$COFRE" inspect small/out.tar >/dev/null; fi
                [ "$(find small -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ]
            else
                [ -z "$(find small -mindepth 1)" ]
            fi
            umount small
        done
    done
    [ "$done" -gt 0 ]
}

@test "convert: a limit on file sizes leaves nothing" {
    local before
    before=$(find . | sort)
    run bash -c "ulimit -f 1000; exec '$COFRE' convert --unsigned '$IMAGE' out"
    echo "$output"
    [ "$status" -eq 125 ]
    [[ $output == *"File too large"* ]]
    [ "$before" = "$(find . | sort)" ]
}

@test "convert: signals leave nothing" {
    for signal in TERM INT KILL; do
        "$COFRE" convert -q --unsigned "$IMAGE" out &
        pid=$!
        sleep 0.2
        kill -"$signal" $pid
        wait $pid || true
        [ -z "$(find . -mindepth 1)" ]
    done
}

@test "convert: memory does not grow with the image" {
    # 400 MB in one layer, after the same program with next to nothing.
    "$TOOLS/damage-image" bomb large
    "$TOOLS/damage-image" good small
    python3 - "$COFRE" <<'END'
import resource, subprocess, sys
peak = {}
for source in "small", "large":
    subprocess.run([sys.argv[1], "convert", "-q", "--unsigned", "--max-ratio", "5000", source, "out-" + source], check=True)
    peak[source] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak)
assert peak["large"] < 32 << 10 and peak["large"] < peak["small"] + (8 << 10)
END
}
