#!/usr/bin/env bats
# `cofre maa` against a stand-in for Microsoft Azure Attestation, honest and not.
load helpers

setup_file() {
    # shellcheck source=tests/e2e/helpers.bash
    source "$BATS_TEST_DIRNAME/helpers.bash"
    "$BUILD/tests/tools/make-evidence" pki "$BATS_FILE_TMPDIR/pki"
    printf 'held by the enclave' >"$BATS_FILE_TMPDIR/data"
    printf '{"a": 1}' >"$BATS_FILE_TMPDIR/data.json"
    local name
    for name in data data.json; do
        "$BUILD/tests/tools/make-evidence" quote "$BATS_FILE_TMPDIR/pki" \
            "$(sha256sum "$BATS_FILE_TMPDIR/$name" | cut -d' ' -f1)" >"$BATS_FILE_TMPDIR/$name.quote"
    done
    "$BUILD/tests/tools/make-evidence" quote "$BATS_FILE_TMPDIR/pki" 00 debug >"$BATS_FILE_TMPDIR/debug.quote"
    mkdir "$BATS_FILE_TMPDIR/keys"
    "$TOP/tests/tools/maa-server" "$BATS_FILE_TMPDIR/keys" "$BATS_FILE_TMPDIR/port" 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/pid"
    wait_until 30 test -s "$BATS_FILE_TMPDIR/port"
}

teardown_file() {
    kill "$(cat "$BATS_FILE_TMPDIR/pid")" 2>/dev/null || true
}

setup() {
    url=http://127.0.0.1:$(cat "$BATS_FILE_TMPDIR/port")
    data=$BATS_FILE_TMPDIR/data quote=$BATS_FILE_TMPDIR/data.quote
}

attest() { "$COFRE" maa --url "$url/$1" --runtime-data "$data" --nonce 1234 "${@:2}" "$quote"; }

# refused BEHAVIOUR PATTERN [STATUS]
refused() {
    run attest "$1"
    echo "$1: $output"
    [ "$status" -eq "${3-1}" ]
    [[ $output =~ $2 ]]
}

@test "a quote is attested, and what the token says is shown" {
    run -0 attest good
    [[ $output =~ mrenclave\ +(e1){32} ]]
    [[ $output =~ product\ +7 ]]
    [[ $output =~ svn\ +3 ]]
    [[ $output =~ debug\ +no ]]
    attest numbers
    run -0 attest good/ --json
    [ "$(jq -r '."x-ms-sgx-svn"' <<<"$output")" = 3 ]
    data=$BATS_FILE_TMPDIR/data.json quote=$BATS_FILE_TMPDIR/data.json.quote
    run -0 attest good --runtime-json --json
    [ "$(jq -r '."x-ms-runtime".a' <<<"$output")" = 1 ]
}

@test "a debug enclave is named as such" {
    run -0 "$COFRE" maa --url "$url/good" "$BATS_FILE_TMPDIR/debug.quote"
    [[ $output =~ "WARNING: a DEBUG enclave" ]]
    quote=$BATS_FILE_TMPDIR/debug.quote
    run -1 "$COFRE" maa --url "$url/hidden-debug" "$quote"
    [[ $output =~ "about another enclave" ]]
}

@test "tokens that do not hold" {
    refused stranger "is not one of the service's"
    refused stolen-kid "its signature does not hold"
    refused changed "its signature does not hold"
    refused none "its algorithm is not RS256"
    refused hs256 "its algorithm is not RS256"
    refused crit "not a plain JWT"
    refused no-kid "which key signed it"
    refused two-parts "not three parts"
    refused expired "it has expired"
    refused early "not valid yet"
    refused no-expiry "when it expires"
    refused other-issuer "issued by https://other.attest.azure.net, not by $url/other-issuer"
}

@test "tokens about something else" {
    refused other-enclave "about another enclave"
    refused other-nonce "nonce"
    refused other-report-data "report data is not the quote's"
    refused other-held-data "held data is not the runtime data"
    refused other-tee "not about an SGX enclave but about sevsnpvm"
    refused no-enclave "does not say whole"
    refused big-svn "does not say whole"
}

@test "a service that refuses, or whose keys are not fit" {
    refused refusing "status 400: PolicyEvaluationError: Native operation failed"
    refused bearer "status 401: Unauthorized" 125
    refused no-token "has no token" 125
    refused metadata-issuer "the issuer is another: https://evil" 125
    refused keys-elsewhere "the keys are elsewhere: https://evil/certs" 125
    refused no-keys "no key for RS256" 125
    refused mixed "differs from its certificate" 125
    refused short-key "not RSA of 2048 bits" 125
    echo secret >"$BATS_TEST_TMPDIR/bearer"
    attest bearer --bearer-file "$BATS_TEST_TMPDIR/bearer"
}

@test "runtime data that the quote does not bind" {
    data=$BATS_FILE_TMPDIR/data.json
    refused good "status 400"
}

@test "a token kept: verified later, offline, at a time" {
    attest good --token-out "$BATS_TEST_TMPDIR/token"
    python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' "$url/good/certs" \
        >"$BATS_TEST_TMPDIR/keys"
    run -0 "$COFRE" maa --url "$url/good" --keys "$BATS_TEST_TMPDIR/keys" --token "$BATS_TEST_TMPDIR/token" "$quote"
    run -0 "$COFRE" maa --url "$url/good" --keys "$BATS_TEST_TMPDIR/keys" --token "$BATS_TEST_TMPDIR/token"
    run -1 "$COFRE" maa --url "$url/good" --keys "$BATS_TEST_TMPDIR/keys" --token "$BATS_TEST_TMPDIR/token" \
        --time "$(date -u -d '+9 hours' +%s)"
    [[ $output =~ "it has expired" ]]
    run -1 "$COFRE" maa --url "$url/bad" --keys "$BATS_TEST_TMPDIR/keys" --token "$BATS_TEST_TMPDIR/token"
    [[ $output =~ "issued by $url/good, not by $url/bad" ]]
    run -1 "$COFRE" maa --url "$url/good" --keys "$BATS_TEST_TMPDIR/keys" --token "$BATS_TEST_TMPDIR/token" \
        "$BATS_FILE_TMPDIR/debug.quote"
    [[ $output =~ "about another enclave" ]]
}

@test "usage of maa" {
    run -2 "$COFRE" maa
    run -2 "$COFRE" maa --url "$url/good"
    run -125 "$COFRE" maa --url "$url/good" /nonexistent
    run -125 "$COFRE" maa --url http://192.0.2.1/ "$quote"
    run -0 "$COFRE" maa --help
}

@test "cofre verify judges a token by a policy, which must say that the word of a service will do" {
    cd "$BATS_TEST_TMPDIR"
    attest good --token-out token >/dev/null
    printf 'version: 1\nany_identity: true\n' >strict.yaml
    run -3 "$COFRE" verify --url "$url/good" --policy strict.yaml --dry-run token
    [[ $output =~ "would pass with  tokens: true" ]]
    printf 'version: 1\ntokens: true\nidentities: [{mrenclave: %s}]\n' "$(printf 'e1%.0s' {1..32})" >right.yaml
    run -0 "$COFRE" verify --url "$url/good" --policy right.yaml token
    sed -i 's/e1/e2/' right.yaml
    run -3 "$COFRE" verify --url "$url/good" --policy right.yaml token
    [[ $output =~ "identities: none of 1 is met" ]]
    sed 's/.....$/AAAAA/' token >forged
    run -1 "$COFRE" verify --url "$url/good" forged
    [[ $output =~ "failed check     token: " ]]
    run -2 "$COFRE" verify token
}
