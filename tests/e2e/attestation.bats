#!/usr/bin/env bats
# /dev/attestation in an enclave, `cofre quote`, and AESM by a double that speaks its protocol.
load helpers

setup_file() {
    # shellcheck source=tests/e2e/helpers.bash
    source "$BATS_TEST_DIRNAME/helpers.bash"
    e2e_image attested python "$OPEN_POLICY" >&2
    e2e_image attested-debug python "debug: true
$OPEN_POLICY" >&2
    e2e_image busybox busybox "$OPEN_POLICY" >&2
    export XDG_STATE_HOME=$BATS_FILE_TMPDIR/state # a machine of our own
    export SIMULATION=$BATS_FILE_TMPDIR/simulation
    "$COFRE" simulation export "$SIMULATION"
}

setup() { export IMAGE=$E2E/attested; }

# in_enclave IMAGE SCRIPT: Python in an enclave; what the host says beside it is dropped.
in_enclave() { timeout 60 "$COFRE" run --softsgx -i "$1" -- -c "$2" 2>/dev/null; }

hex() { od -An -v -tx1 | tr -d ' \n'; }

read_file() { in_enclave "${2:-$IMAGE}" "print(open('/dev/attestation/$1', 'rb').read().hex())"; }

# verify OPTION... QUOTE: by the built-in policy and nothing from the network.
verify() { "$COFRE" verify --offline "$@"; }

@test "names, sizes and meaning of the files" {
    run -0 in_enclave "$IMAGE" '
import os
A = "/dev/attestation/"
read = lambda name: open(A + name, "rb").read()
def write(name, data):
    with open(A + name, "wb", buffering=0) as f:
        f.write(data)
def refused(name, data):
    try:
        write(name, data)
    except OSError as e:
        return os.strerror(e.errno)
assert sorted(os.listdir(A)) == ["attestation_type", "keys", "my_target_info", "quote", "report", "target_info",
                                 "user_report_data", "verify_report"], os.listdir(A)
assert sorted(os.listdir(A + "keys")) == ["_sgx_mrenclave", "_sgx_mrsigner"]
assert read("attestation_type") == b"dcap"
assert read("user_report_data") == bytes(64) and read("target_info") == bytes(512)
write("user_report_data", b"a nonce")
assert read("user_report_data") == b"a nonce" + bytes(57)
write("user_report_data", bytes(range(64)))
assert refused("user_report_data", bytes(65)) == "Invalid argument"
assert read("user_report_data") == bytes(range(64))
with open(A + "user_report_data", "wb", buffering=0) as f: # in pieces
    f.write(b"one")
    f.write(b"two")
assert read("user_report_data") == b"onetwo" + bytes(58)
with open(A + "user_report_data", "wb", buffering=0) as f: # nor what only kernels use
    f.write(bytes(56))
    f.seek(48)
    try:
        f.write(b"for kernels only")
        assert False
    except PermissionError:
        pass
write("user_report_data", bytes(range(64)))
assert refused("user_report_data", bytes(48) + b"for kernels only") == "Operation not permitted"
assert refused("user_report_data", bytes(48) + b"for a key server") == "Operation not permitted" # the kernel asks there
assert read("user_report_data") == bytes(range(64))
own = read("report") # no target: for this enclave itself
assert len(own) == 432 and own[320:384] == bytes(range(64))
target = read("my_target_info")
assert len(target) == 512 and target[:32] == own[64:96] and target[32:48] == own[48:64]
write("target_info", target)
assert read("target_info") == target
write("verify_report", read("report"))
write("verify_report", own)
for bad in (own[:100] + bytes([own[100] ^ 1]) + own[101:], own[:-1] + bytes([own[-1] ^ 1])):
    assert refused("verify_report", bad) == "Bad message"
assert refused("verify_report", own[:-1]) == "Invalid argument"
assert refused("target_info", target[:-1] + b"x") == "Invalid argument"
write("target_info", bytes([target[0] ^ 1]) + target[1:]) # a report for another enclave
assert refused("verify_report", read("report")) == "Bad message"
quote = read("quote")
assert quote[:4] == b"\3\0\2\0" and quote[48:432] == own[:384]
assert len(quote) == 436 + int.from_bytes(quote[432:436], "little") and len(quote) <= 8192
fd = os.open(A + "quote", os.O_RDONLY) # in pieces: one quote
pieces = b""
while piece := os.read(fd, 100):
    pieces += piece
assert len(pieces) == len(quote) and pieces[:432] == quote[:432] and pieces[436:500] != quote[436:500]
print("good")'
    [ "$output" = good ]
}

@test "threads that read quotes at the same time each get a whole one" {
    run -0 in_enclave "$IMAGE" '
import threading
good = []
def read():
    for _ in range(5):
        quote = open("/dev/attestation/quote", "rb").read()
        good.append(len(quote) == 436 + int.from_bytes(quote[432:436], "little"))
threads = [threading.Thread(target=read) for _ in range(6)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(good), all(good))'
    [ "$output" = "30 True" ]
}

@test "local attestation between two images on one machine, and not from another machine" {
    read_file my_target_info "$E2E/attested-debug" >"$BATS_TEST_TMPDIR/target"
    in_enclave "$IMAGE" '
open("/dev/attestation/target_info", "wb").write(bytes.fromhex(input()))
open("/dev/attestation/user_report_data", "wb").write(b"hello")
print(open("/dev/attestation/report", "rb").read().hex())' <"$BATS_TEST_TMPDIR/target" >"$BATS_TEST_TMPDIR/report"
    verify='open("/dev/attestation/verify_report", "wb", buffering=0).write(bytes.fromhex(input()))
print("accepted")'
    run -0 in_enclave "$E2E/attested-debug" "$verify" <"$BATS_TEST_TMPDIR/report"
    [ "$output" = accepted ]
    run -1 in_enclave "$IMAGE" "$verify" <"$BATS_TEST_TMPDIR/report"
    XDG_STATE_HOME=$BATS_TEST_TMPDIR/other run -1 in_enclave "$E2E/attested-debug" "$verify" <"$BATS_TEST_TMPDIR/report"
}

@test "sealing keys last, and depend on measurement, signer, debugging and machine" {
    by_enclave=$(read_file keys/_sgx_mrenclave) by_signer=$(read_file keys/_sgx_mrsigner)
    [ ${#by_enclave} -eq 32 ]
    [ ${#by_signer} -eq 32 ]
    [ "$by_enclave" != "$by_signer" ]
    [ "$(read_file keys/_sgx_mrenclave)" = "$by_enclave" ]
    [ "$(read_file keys/_sgx_mrsigner)" = "$by_signer" ]

    # another policy, the same signer
    printf '%s' "$OPEN_POLICY" | sed 's/^diagnostics: true/diagnostics: false/' >"$BATS_TEST_TMPDIR/p.yaml"
    source=$("$TOP/tools/make-image" python 2>/dev/null)
    "$COFRE" convert --policy "$BATS_TEST_TMPDIR/p.yaml" --key "$E2E/key.pem" "$source" "$BATS_TEST_TMPDIR/other" >/dev/null
    [ "$(read_file keys/_sgx_mrenclave "$BATS_TEST_TMPDIR/other")" != "$by_enclave" ]
    [ "$(read_file keys/_sgx_mrsigner "$BATS_TEST_TMPDIR/other")" = "$by_signer" ]

    # the same policy, another signer
    "$COFRE" keygen "$BATS_TEST_TMPDIR/key.pem"
    "$COFRE" sign --key "$BATS_TEST_TMPDIR/key.pem" "$BATS_TEST_TMPDIR/other" >/dev/null
    [ "$(read_file keys/_sgx_mrsigner "$BATS_TEST_TMPDIR/other")" != "$by_signer" ]

    # what can be debugged, what runs elsewhere
    [ "$(read_file keys/_sgx_mrsigner "$E2E/attested-debug")" != "$by_signer" ]
    [ "$(XDG_STATE_HOME=$BATS_TEST_TMPDIR/elsewhere read_file keys/_sgx_mrsigner)" != "$by_signer" ]
}

@test "a quote says that an enclave can be debugged" {
    quote=$(read_file quote)
    [ "${quote:192:2}" = 05 ] # ATTRIBUTES: INIT, MODE64BIT
    quote=$(read_file quote "$E2E/attested-debug")
    [ "${quote:192:2}" = 07 ]
    printf 'version: 1\nsimulation: true\nany_identity: true\n' >"$BATS_TEST_TMPDIR/policy.yaml"
    python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))' "$quote" >"$BATS_TEST_TMPDIR/q"
    run -3 verify --root "$SIMULATION/root.pem" --collateral "$SIMULATION" --policy "$BATS_TEST_TMPDIR/policy.yaml" "$BATS_TEST_TMPDIR/q"
    [[ $output == *debug* ]]
}

@test "a program's quote verifies where the simulation's root is trusted, as simulation, and nowhere else" {
    in_enclave "$IMAGE" '
import sys
open("/dev/attestation/user_report_data", "wb", buffering=0).write(b"a verifier\x27s nonce")
sys.stdout.buffer.write(open("/dev/attestation/quote", "rb").read())' >"$BATS_TEST_TMPDIR/q"
    given=(--root "$SIMULATION/root.pem" --collateral "$SIMULATION")
    cat >"$BATS_TEST_TMPDIR/policy.yaml" <<END
version: 1
simulation: true
identities: [{mrenclave: $("$COFRE" inspect --json "$IMAGE" | jq -r .mrenclave)}]
report_data: {begins_with: $(printf "a verifier's nonce" | hex)}
END
    run -0 verify "${given[@]}" --policy "$BATS_TEST_TMPDIR/policy.yaml" "$BATS_TEST_TMPDIR/q"
    [[ $output == *SIMULATION* ]]
    [ "$(verify "${given[@]}" --json "$BATS_TEST_TMPDIR/q" | jq -r '.outcome, .simulation, .tcb.status, .enclave.debug')" = \
        $'verified\ntrue\nUpToDate\nfalse' ]
    run -3 verify "${given[@]}" "$BATS_TEST_TMPDIR/q" # no policy allows simulation unless it says so
    [[ $output == *"simulation: "* ]]
    run -1 verify --collateral "$SIMULATION" "$BATS_TEST_TMPDIR/q"
    [[ $output == *"root that is not trusted"* ]]
    run -5 verify --root "$SIMULATION/root.pem" "$BATS_TEST_TMPDIR/q"
    run -4 verify "${given[@]}" --time "$(($(date +%s) + 40 * 86400))" "$BATS_TEST_TMPDIR/q"
    # each machine has a root of its own
    XDG_STATE_HOME=$BATS_TEST_TMPDIR/other "$COFRE" simulation export "$BATS_TEST_TMPDIR/sim"
    run -1 verify --root "$BATS_TEST_TMPDIR/sim/root.pem" --collateral "$BATS_TEST_TMPDIR/sim" "$BATS_TEST_TMPDIR/q"
    # one bit of the report
    printf '\x01' | dd of="$BATS_TEST_TMPDIR/q" bs=1 seek=400 conv=notrunc status=none
    run -1 verify "${given[@]}" "$BATS_TEST_TMPDIR/q"
    [[ $output == *"quote-signature"* ]]
}

@test "the simulation's collateral, fetched from a service" {
    "$COFRE" quote --softsgx -o "$BATS_TEST_TMPDIR/q" "$IMAGE" 2>/dev/null
    mkdir "$BATS_TEST_TMPDIR/pki"
    while read -r file name; do
        cp "$SIMULATION/$file" "$BATS_TEST_TMPDIR/pki/$name"
    done <<'END'
tcb_info.json tcb_v4_sgx.json
qe_identity.json qe_sgx.json
tcb_info_chain.pem signing_chain.pem
pck_crl.der processor.crl
pck_crl_chain.pem processor_chain.pem
root_crl.der root.crl
END
    "$TOP/tests/tools/pccs-server" "$BATS_TEST_TMPDIR/pki" "$BATS_TEST_TMPDIR/port" 3>&- 2>/dev/null &
    pid=$!
    wait_until 20 test -s "$BATS_TEST_TMPDIR/port"
    printf 'version: 1\nsimulation: true\nany_identity: true\n' >"$BATS_TEST_TMPDIR/policy.yaml"
    run "$COFRE" verify --url "http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")/good" --cache "$BATS_TEST_TMPDIR/cache" \
        --root "$SIMULATION/root.pem" --policy "$BATS_TEST_TMPDIR/policy.yaml" "$BATS_TEST_TMPDIR/q"
    kill $pid
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "cofre quote binds what the host chose, and says that the host chose it" {
    run -0 --separate-stderr "$COFRE" quote --softsgx --report-data c0ffee -o "$BATS_TEST_TMPDIR/q" "$IMAGE"
    [[ $stderr == *simulat* ]]
    [ "$(stat -c %s "$BATS_TEST_TMPDIR/q")" -gt 1000 ]
    expected=$({ printf 'cofre boot quote, version 1\xc0\xff\xee' && head -c 61 /dev/zero; } | sha256sum | cut -c1-64)
    [ "$(tail -c +369 "$BATS_TEST_TMPDIR/q" | head -c 32 | hex)" = "$expected" ]
    [ "$(tail -c +401 "$BATS_TEST_TMPDIR/q" | head -c 31)" = "report data chosen by the host." ]
    mrenclave=$("$COFRE" inspect --json "$IMAGE" | jq -r .mrenclave)
    [ "$(tail -c +113 "$BATS_TEST_TMPDIR/q" | head -c 32 | hex)" = "$mrenclave" ]

    printf '\xc0\xff\xee' >"$BATS_TEST_TMPDIR/data" # from a file, to standard output
    "$COFRE" quote --softsgx --report-data "$BATS_TEST_TMPDIR/data" "$IMAGE" 2>/dev/null | head -c 432 |
        cmp - <(head -c 432 "$BATS_TEST_TMPDIR/q")
}

@test "cofre quote: what cannot be" {
    run -2 "$COFRE" quote
    run -2 "$COFRE" quote --report-data
    run -125 "$COFRE" quote --softsgx --report-data abc -o "$BATS_TEST_TMPDIR/q" "$IMAGE"
    [[ $output == *"neither up to 128 hex digits nor a file"* ]]
    head -c 65 /dev/zero >"$BATS_TEST_TMPDIR/long"
    run -125 "$COFRE" quote --softsgx --report-data "$BATS_TEST_TMPDIR/long" -o "$BATS_TEST_TMPDIR/q" "$IMAGE"
    [[ $output == *"more than 64 bytes"* ]]
    run -125 "$COFRE" quote --softsgx -o /no/such/folder/q "$IMAGE"
    [[ $output == *"writing the quote to /no/such/folder/q failed"* ]]
    run -125 "$COFRE" quote --softsgx -o "$BATS_TEST_TMPDIR/q" "$BATS_TEST_TMPDIR"
    [ ! -e "$BATS_TEST_TMPDIR/q" ]
}

@test "the first quote of a machine makes its simulated platform; two first quotes agree" {
    export XDG_STATE_HOME=$BATS_TEST_TMPDIR/new
    "$COFRE" quote --softsgx -o "$BATS_TEST_TMPDIR/1" "$IMAGE" 2>/dev/null &
    "$COFRE" quote --softsgx -o "$BATS_TEST_TMPDIR/2" "$IMAGE" 2>/dev/null
    wait $!
    cmp <(tail -c +501 "$BATS_TEST_TMPDIR/1") <(tail -c +501 "$BATS_TEST_TMPDIR/2") # key and certification
    [ "$(ls "$XDG_STATE_HOME/cofre")" = $'simulation\nsoftsgx.key' ]
    [ "$(find "$XDG_STATE_HOME" -type f -perm /077)" = "" ]
    COFRE_ATTEST=/no/such run -125 env XDG_STATE_HOME="$BATS_TEST_TMPDIR/none" "$COFRE" quote --softsgx -o "$BATS_TEST_TMPDIR/3" "$IMAGE"
    [[ $output == *"/no/such"* ]]
}

@test "the simulation's certificates, checked by openssl" {
    cd "$SIMULATION"
    csplit -s -f part- pck_chain.pem '/BEGIN/' '{*}'
    openssl verify -CAfile root.pem -untrusted part-02 part-01
    openssl x509 -in root.pem -noout -subject | grep -q 'Simulation.*simulation, not Intel SGX'
    openssl crl -inform DER -in root_crl.der -CAfile root.pem -noout -verify 2>&1 | grep -q 'verify OK'
    openssl crl -inform DER -in pck_crl.der -CAfile pck_crl_chain.pem -noout -verify 2>&1 | grep -q 'verify OK'
}

# with_aesm BEHAVIOUR COMMAND...: a service of its own.
with_aesm() {
    local behaviour=$1 status=0 pid
    export COFRE_AESM=$BATS_TEST_TMPDIR/$behaviour.socket
    shift
    "$BUILD/tests/tools/aesm-double" "$COFRE_AESM" "$behaviour" 3>&- 2>/dev/null &
    pid=$!
    wait_until 10 test -S "$COFRE_AESM"
    "$@" || status=$?
    kill $pid
    unset COFRE_AESM
    return $status
}

@test "quotes from AESM" {
    for behaviour in good no-select restart; do
        run -0 with_aesm $behaviour "$COFRE" quote --softsgx -o "$BATS_TEST_TMPDIR/$behaviour" "$IMAGE"
        [ "$(stat -c %s "$BATS_TEST_TMPDIR/$behaviour")" -eq \
            $((436 + $(od -An -tu4 -j432 -N4 "$BATS_TEST_TMPDIR/$behaviour"))) ]
        run -3 verify --root "$SIMULATION/root.pem" --collateral "$SIMULATION" "$BATS_TEST_TMPDIR/$behaviour"
        [[ $output == *"evidence         verified"* ]]
    done
}

@test "an AESM that fails, lies or says nonsense: no quote, and why" {
    while read -r behaviour pattern; do
        run -125 with_aesm "$behaviour" "$COFRE" quote --softsgx -o "$BATS_TEST_TMPDIR/q" "$IMAGE"
        echo "$behaviour: $output"
        [[ $output == *"$pattern"* ]]
        [ ! -e "$BATS_TEST_TMPDIR/q" ]
    done <<'END'
error with error 12
other-report making a quote failed: error 74
truncated AESM's quote is malformed
oversized Message too long
garbage is malformed
END
    COFRE_AESM=/no/such/socket run -125 "$COFRE" quote --softsgx -o "$BATS_TEST_TMPDIR/q" "$IMAGE"
    [[ $output == *"is aesmd running?"* ]]
}

@test "a program outlives a quote that fails, and an AESM that hangs" {
    run -0 with_aesm other-report in_enclave "$IMAGE" '
try:
    open("/dev/attestation/quote", "rb").read()
except OSError as e:
    print(e.strerror)
print(len(open("/dev/attestation/report", "rb").read()))'
    [ "$output" = $'Bad message\n432' ]
    run -0 with_aesm hang in_enclave "$IMAGE" '
import signal, time
def late(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, late)
signal.alarm(1)
start = time.monotonic()
try:
    open("/dev/attestation/quote", "rb").read()
except TimeoutError:
    print("interrupted", time.monotonic() - start < 3)'
    [ "$output" = "interrupted True" ]
}
