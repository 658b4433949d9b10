# Encrypted images: `cofre convert --encrypt`, with veritysetup and cryptsetup as oracles, and running them.
load helpers

POLICY='diagnostics: true
command: {args_from_host: true}
'

setup_file() {
    load helpers
    cd "$BATS_FILE_TMPDIR"
    KEY=$(e2e_key)
    IMAGE=$("$TOP/tools/make-image" busybox)
    export KEY IMAGE
    printf '%s' "$POLICY" >plain.yaml
    printf '%sroot: {key: file}\n' "$POLICY" >encrypted.yaml
    "$COFRE" convert -q --policy plain.yaml --key "$KEY" "$IMAGE" plain
    "$COFRE" convert --policy encrypted.yaml --key "$KEY" --encrypt --image-key image.key "$IMAGE" encrypted >converted
    extract plain plain.img
    extract encrypted encrypted.img
}

setup() {
    cd "$BATS_FILE_TMPDIR"
    SIZE=$(jq -r .policy.root_image.size encrypted.img.json)
    HASH=$(jq -r .policy.root_image.root_hash encrypted.img.json)
    SALT=$(jq -r .policy.root_image.salt encrypted.img.json)
}

layer_of() { # layer_of LAYOUT: the path of its one layer
    local hex
    hex=$(jq -r '.manifests[0].digest' "$1/index.json")
    hex=$(jq -r '.layers[0].digest' "$1/blobs/sha256/${hex#sha256:}")
    echo "$1/blobs/sha256/${hex#sha256:}"
}

extract() { # extract LAYOUT FILE: its root image
    tar -xf "$(layer_of "$1")" -O cofre/root.img >"$2"
    "$COFRE" inspect --json "$1" >"$2.json"
}

in_image() { timeout 30 "$COFRE" run --softsgx --image-key "$BATS_FILE_TMPDIR/image.key" "$@"; }

refuse() { # refuse TEXT OPTIONS...: the conversion fails, says TEXT and leaves nothing
    local text=$1
    shift
    run "$COFRE" convert --unsigned "$@" "$IMAGE" "$BATS_TEST_TMPDIR/out"
    echo "$output"
    [ "$status" -ne 0 ]
    [[ $output == *"$text"* ]]
    [ ! -e "$BATS_TEST_TMPDIR/out" ]
}

@test "encrypted: the hash tree is over what is stored" {
    veritysetup verify --no-superblock --hash-offset="$SIZE" --data-blocks=$((SIZE / 4096)) --salt="$SALT" \
        encrypted.img encrypted.img "$HASH"
    cp encrypted.img changed.img
    printf 'x' | dd of=changed.img bs=1 seek=$((SIZE / 2)) conv=notrunc status=none
    run veritysetup verify --no-superblock --hash-offset="$SIZE" --data-blocks=$((SIZE / 4096)) --salt="$SALT" \
        changed.img changed.img "$HASH"
    [ "$status" -ne 0 ]
}

@test "encrypted: decrypted, it is the image that is made without --encrypt" {
    "$TOP/tests/e2e/decrypt-image" image.key "$SIZE" <encrypted.img >decrypted.img
    fsck.erofs decrypted.img
    cmp -n "$SIZE" decrypted.img plain.img
    head -c 64 /dev/urandom >wrong.key
    "$TOP/tests/e2e/decrypt-image" wrong.key "$SIZE" <encrypted.img >noise.img
    run fsck.erofs noise.img
    [ "$status" -ne 0 ]
}

@test "encrypted: veritysetup, then cryptsetup open it" {
    { [ "$(id -u)" = 0 ] && dmsetup version >/dev/null 2>&1; } || skip "no device mapper here"
    local loop name=cofre-test-$$
    loop=$(losetup --find --show --read-only encrypted.img)
    veritysetup open --no-superblock --hash-offset="$SIZE" --data-blocks=$((SIZE / 4096)) --salt="$SALT" \
        "$loop" "$name-verity" "$loop" "$HASH"
    run bash -c "cryptsetup open --readonly --type plain --cipher aes-xts-plain64 --key-size 512 --sector-size 4096 \
            --key-file image.key /dev/mapper/$name-verity $name && cmp -n $SIZE /dev/mapper/$name plain.img"
    echo "$output"
    cryptsetup close "$name" || true
    veritysetup close "$name-verity"
    losetup -d "$loop"
    [ "$status" -eq 0 ]
}

@test "encrypted: what is in files does not appear in the image" {
    # names, contents, links; each is in the image that is not encrypted
    for text in BusyBox 'root:x:0:0' sha256sum; do
        grep -qaF "$text" "$(layer_of plain)"
        run grep -caF "$text" "$(layer_of encrypted)"
        [ "$output" = 0 ]
    done
    # the same block twice is not the same ciphertext twice
    python3 - "$SIZE" <<'END'
import sys
data = open("encrypted.img", "rb").read(int(sys.argv[1]))
blocks = [data[i:i + 4096] for i in range(0, len(data), 4096)]
assert len(set(blocks)) == len(blocks)
END
}

@test "encrypted: the same key gives the same bytes, another key another measurement" {
    "$COFRE" convert -q --policy encrypted.yaml --key "$KEY" --encrypt --image-key image.key "$IMAGE" again
    diff -r encrypted again
    "$COFRE" convert -q --policy encrypted.yaml --key "$KEY" --encrypt --image-key other.key "$IMAGE" other
    [ "$(jq -r .mrenclave encrypted.img.json)" != "$("$COFRE" inspect --json other | jq -r .mrenclave)" ]
}

@test "encrypted: a key is made once, for its owner, and said" {
    [ "$(stat -c '%a %s' image.key)" = "600 64" ]
    grep -q 'image.key (made now: keep it' converted
    before=$(sha256sum image.key)
    run -0 "$COFRE" convert --policy encrypted.yaml --key "$KEY" --encrypt --image-key image.key "$IMAGE" "$BATS_TEST_TMPDIR/third"
    [[ $output == *image.key* && $output != *"made now"* ]]
    [ "$before" = "$(sha256sum image.key)" ]
}

@test "encrypted: inspect says so, and for what it is" {
    [ "$(jq -r '.policy.root_image | "\(.encrypted) \(.cipher) \(.sector_size)"' encrypted.img.json)" = "true aes-xts-plain64 4096" ]
    [ "$(jq -r .policy.root.key encrypted.img.json)" = file ]
    [ "$(jq -r .policy.root_image.encrypted plain.img.json)" = false ]
    run -0 "$COFRE" inspect encrypted
    [[ $output == *"for development"* ]]
    check=$(python3 -c 'import hmac; print(hmac.digest(open("image.key", "rb").read(), b"cofre image key", "sha256")[:16].hex())')
    [ "$check" = "$(jq -r .policy.root_image.key_check encrypted.img.json)" ]
}

@test "encrypted: convert refuses what does not fit" {
    refuse "go together" --policy encrypted.yaml --encrypt
    refuse "go together" --policy encrypted.yaml --image-key "$BATS_TEST_TMPDIR/k"
    refuse "the policy does not say how an enclave gets the key" --policy plain.yaml --encrypt --image-key "$BATS_TEST_TMPDIR/k"
    refuse "root.key" --policy encrypted.yaml
    refuse "is not an image key" --policy encrypted.yaml --encrypt --image-key plain.yaml
    refuse "nowhere" --policy encrypted.yaml --encrypt --image-key /nowhere/key
    # a key made for a conversion that fails goes with it
    printf 'command: {entrypoint: [/not/there]}\nroot: {key: file}\n' >"$BATS_TEST_TMPDIR/bad.yaml"
    refuse "does not exist in the image" --policy "$BATS_TEST_TMPDIR/bad.yaml" --encrypt --image-key "$BATS_TEST_TMPDIR/k"
    [ ! -e "$BATS_TEST_TMPDIR/k" ]
    [ "$(stat -c %s image.key)" = 64 ]
}

@test "encrypted: it runs with its key, and says where that comes from" {
    run -0 --separate-stderr in_image encrypted -- sha256sum /bin/busybox
    encrypted=$output
    [[ $stderr == *"key comes from a file on this machine: for development"* ]]
    run -0 --separate-stderr timeout 30 "$COFRE" run --softsgx plain -- sha256sum /bin/busybox
    [ "$output" = "$encrypted" ]
    [[ $stderr != *"for development"* ]]
}

@test "encrypted: decrypting costs no exit" {
    for image in plain encrypted; do
        options=()
        [ $image = plain ] || options=(--image-key image.key)
        timeout 30 "$COFRE" run --softsgx --vcpus 1 --stats=json:$image.stats "${options[@]}" $image -- sha256sum /bin/busybox
    done
    echo "$(jq .eexit plain.stats) $(jq .eexit encrypted.stats)"
    [ "$(jq .eexit encrypted.stats)" -le $(($(jq .eexit plain.stats) + 1)) ]
}

@test "encrypted: without its key, or with another, it does not start" {
    run -125 timeout 30 "$COFRE" run --softsgx encrypted -- true
    [[ $output == *"the image is encrypted: give its key with --image-key"* ]]
    head -c 64 /dev/urandom >"$BATS_TEST_TMPDIR/wrong"
    run -125 timeout 30 "$COFRE" run --softsgx --image-key "$BATS_TEST_TMPDIR/wrong" encrypted -- true
    [[ $output == *"the image key is not the one that the root image was encrypted with"* ]]
    run -125 timeout 30 "$COFRE" run --softsgx --image-key plain.yaml encrypted -- true
    [[ $output == *"is not an image key"* ]]
    run -125 timeout 30 "$COFRE" run --softsgx --image-key /nowhere encrypted -- true
    [[ $output == *"reading the image key /nowhere failed"* ]]
    run -125 timeout 30 "$COFRE" run --softsgx --image-key image.key plain -- true
    [[ $output == *"takes no key"* ]]
}

@test "encrypted: one byte changed is noticed before it is decrypted" {
    local layer offset
    cp -r encrypted changed
    layer=$(layer_of changed)
    offset=$(python3 -c 'import sys, tarfile; print(tarfile.open(sys.argv[1]).getmember("cofre/root.img").offset_data)' "$layer")
    # every block of the program but its first: something it needs is wrong
    python3 - "$layer" "$offset" "$SIZE" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    for at in range(int(sys.argv[2]) + 2 * 4096 + 100, int(sys.argv[2]) + int(sys.argv[3]), 4096):
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))
END
    run in_image changed -- true
    echo "$output"
    [ "$status" -ne 0 ]
    [[ $output == *"does not match its hash"* ]]
}
