#!/usr/bin/env bats
# `cofre collateral` against a service that behaves well, and against one that does not.
load helpers

setup_file() {
    # shellcheck source=tests/e2e/helpers.bash
    source "$BATS_TEST_DIRNAME/helpers.bash"
    export PKI=$BATS_FILE_TMPDIR/pki
    "$BUILD/tests/tools/make-evidence" pki "$PKI"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -subj /CN=127.0.0.1 \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$BATS_FILE_TMPDIR/tls.key" -out "$BATS_FILE_TMPDIR/tls.pem" 2>/dev/null
    "$TOP/tests/tools/pccs-server" "$PKI" "$BATS_FILE_TMPDIR/port" "$BATS_FILE_TMPDIR/tls.pem" "$BATS_FILE_TMPDIR/tls.key" 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/pid"
    "$TOP/tests/tools/pccs-server" "$PKI" "$BATS_FILE_TMPDIR/plain" 3>&- &
    echo $! >>"$BATS_FILE_TMPDIR/pid"
    wait_until 20 test -s "$BATS_FILE_TMPDIR/port" -a -s "$BATS_FILE_TMPDIR/plain"
}

teardown_file() {
    # shellcheck disable=SC2046
    kill $(cat "$BATS_FILE_TMPDIR/pid") 2>/dev/null || true
}

setup() {
    port=$(cat "$BATS_FILE_TMPDIR/port") plain=$(cat "$BATS_FILE_TMPDIR/plain")
    url=https://127.0.0.1:$port near=http://127.0.0.1:$plain
    cache=$BATS_TEST_TMPDIR/cache
}

# fetch BEHAVIOUR OPTION...: everything of one platform.
fetch() {
    local behaviour=$1
    shift
    "$COFRE" collateral fetch --fmspc 00a06d080000 --ca "$BATS_FILE_TMPDIR/tls.pem" --url "$url/$behaviour" --cache "$cache" "$@"
}

# refused BEHAVIOUR PATTERN OPTION...: it fails, in time, and says why.
refused() {
    local behaviour=$1 pattern=$2
    shift 2
    run fetch "$behaviour" --timeout 2 "$@"
    echo "$behaviour: $output"
    [ "$status" -eq 125 ]
    [[ $output =~ $pattern ]]
    [[ $output =~ "/$behaviour/" ]]
}

requests() { python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' "$near/count"; }

@test "fetch over TLS with an own CA, then out of the cache" {
    run -0 fetch good
    [[ $output =~ "TCB info".*"(service)" ]]
    run -0 fetch good
    [[ ! $output =~ "(service)" ]]
    [[ $output =~ "TCB info".*"(cache)" ]]
    run -0 fetch good --no-cache
    [[ ! $output =~ "(cache)" ]]
}

@test "version 3, TDX, the platform CA, a root list at its own URL" {
    fetch good/sgx/certification/v3/
    fetch good --api 3 --no-cache
    fetch good --tdx --pck-ca platform
    fetch good --no-cache --root-crl-url "$url/good/sgx/certification/v4/root.crl"
    run fetch good --tdx --api 3
    [ "$status" -eq 125 ]
    [[ $output =~ "version 3 of the API has nothing for TDX" ]]
}

@test "a server whose certificate is not trusted" {
    run "$COFRE" collateral fetch --fmspc 00a06d080000 --url "$url/good" --no-cache
    [ "$status" -eq 125 ]
    [[ $output =~ [Cc]ertificate ]]
    run "$COFRE" collateral fetch --fmspc 00a06d080000 --ca "$BATS_FILE_TMPDIR/tls.pem" --url "https://localhost:$port/good" --no-cache
    [ "$status" -eq 125 ]
    [[ $output =~ "no alternative certificate subject name matches" ]]
}

@test "plain http is for this machine only" {
    url=$near fetch good --no-cache
    run "$COFRE" collateral fetch --fmspc 00a06d080000 --url http://192.0.2.1/good --no-cache
    [ "$status" -eq 125 ]
    [[ $output =~ "only https is taken" ]]
    run "$COFRE" collateral fetch --fmspc 00a06d080000 --url file:///etc --no-cache
    [ "$status" -eq 125 ]
    [[ $output =~ "only https is taken" ]]
}

@test "a service that hangs, drips, or is not there: an end within the time" {
    local start=$SECONDS
    refused hang "no whole answer within the time"
    refused drip "no whole answer within the time"
    refused drip-headers "no whole answer within the time"
    [ $((SECONDS - start)) -lt 12 ]
    run "$COFRE" collateral fetch --fmspc 00a06d080000 --url https://127.0.0.1:1 --no-cache --timeout 3
    [ "$status" -eq 125 ]
    [[ $output =~ "onnect" ]]
}

@test "redirects stay on the server" {
    fetch redirect-here --no-cache
    refused redirect "redirected to another server, https://localhost:1/"
    refused redirect-plain "redirected to another server, http://127.0.0.1"
    refused redirect-file "redirected to file:///etc/passwd: only https is taken"
    refused redirect-loop "redirected more than 3 times"
}

@test "another platform's data" {
    refused other-platform "TCB info: it is for another platform: FMSPC 00906ed50000, not 00a06d080000"
    refused other-tee "it is for TDX, not for SGX"
    refused other-ca "it is the list of \"Cofre Test SGX PCK Platform CA\", not of the Processor CA"
    run "$COFRE" collateral fetch --fmspc 00906ed50000 --ca "$BATS_FILE_TMPDIR/tls.pem" --url "$url/good" --no-cache
    [ "$status" -eq 125 ]
    [[ $output =~ "status 404 (it has no such document)" ]]
}

@test "answers that are broken" {
    refused truncated "outstanding read data|transfer closed"
    refused cut "TCB info: it is not JSON"
    refused huge "the answer is too long"
    (
        ulimit -v 262144 # KiB: and in bounded memory
        refused endless "the answer is too long"
        refused gzip-bomb "TCB info: it is not JSON"
    )
    refused wrong-type "the wrong type: text/csv instead of application/json"
    refused no-type "no Content-Type"
    refused no-content "TCB info: it is not JSON"
    refused duplicate-headers "the header TCB-Info-Issuer-Chain stands twice"
    refused no-chain "no header TCB-Info-Issuer-Chain"
    refused bad-chain "the issuer chain is not made of PEM certificates"
    refused bad-percent "is not percent-encoded"
    refused long-chain "more than 4 certificates"
    refused many-headers "too many headers"
    refused duplicate-keys "it is not JSON: duplicate object key"
    refused no-signature "it has no signature"
}

@test "statuses: what passes is tried again, what stays is named" {
    fetch flaky --no-cache
    refused missing "status 404"
    refused forbidden "status 401 .an API key is wanted"
    refused failing "status 500"
    refused gone "status 410"
}

@test "a damaged file of the cache is named and fetched again" {
    fetch good
    for file in "$cache"/*.json; do
        python3 - "$file" <<'END'
import sys
text = open(sys.argv[1]).read()
place = text.index('"data": "') + 40
open(sys.argv[1], "w").write(text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1:])
END
    done
    run -0 fetch good
    [ "$(grep -c 'it is damaged' <<<"$output")" -eq 4 ]
    [[ $output =~ "$cache/"[0-9a-f]*".json: it is damaged" ]]
    run -0 fetch good
    [[ ! $output =~ damaged ]]
    for file in "$cache"/*.json; do : >"$file"; done
    run -0 fetch good
    [ "$(grep -c 'it is damaged' <<<"$output")" -eq 4 ]
    # One document's file under another's name.
    set -- "$cache"/*.json
    cp "$1" "$2"
    run -0 fetch good
    [ "$(grep -c 'it is damaged' <<<"$output")" -eq 1 ]
}

@test "expired documents are not kept, and said; --max-age" {
    "$BUILD/tests/tools/make-evidence" pki "$BATS_TEST_TMPDIR/old" 40
    "$TOP/tests/tools/pccs-server" "$BATS_TEST_TMPDIR/old" "$BATS_TEST_TMPDIR/port" 3>&- &
    local pid=$!
    wait_until 20 test -s "$BATS_TEST_TMPDIR/port"
    url=http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")
    run -0 fetch good
    [[ $output =~ "expired documents" ]]
    run -0 fetch good
    [[ ! $output =~ "(cache)" ]]
    kill $pid
    url=https://127.0.0.1:$port
    fetch good
    sleep 1.1
    run -0 fetch good --max-age 1
    [[ $output =~ "(cache)" ]]
}

@test "many processes, one request for each document" {
    local before i pids=()
    before=$(requests)
    url=$near
    for i in 1 2 3 4 5 6; do
        fetch slow >"$BATS_TEST_TMPDIR/out.$i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    [ $(($(requests) - before)) -eq 4 ]
}

@test "a cache that cannot be written does not stop the work" {
    mkdir "$cache"
    : >"$BATS_TEST_TMPDIR/file"
    run fetch good --cache "$BATS_TEST_TMPDIR/file/sub"
    [ "$status" -eq 125 ]
    [[ $output =~ "the collateral cache: $BATS_TEST_TMPDIR/file: File exists"|"Not a directory" ]]
}

@test "bundle, show, check at a time" {
    local file=$BATS_TEST_TMPDIR/bundle.json now later
    run -0 "$COFRE" collateral bundle --fmspc 00A06D080000 --ca "$BATS_FILE_TMPDIR/tls.pem" --url "$url/good" --no-cache "$file"
    run -0 "$COFRE" collateral show "$file"
    [[ $output =~ "SGX, FMSPC 00a06d080000, PCK processor CA" ]]
    [ "$("$COFRE" collateral show --json "$file" | jq '.documents | length')" -eq 4 ]
    jq -r .documents.tcbInfo.text "$file" | head -c -1 | cmp - "$PKI/tcb_v4_sgx.json"
    jq -r .documents.rootCaCrl.base64 "$file" | base64 -d | cmp - "$PKI/root.crl"
    run -0 "$COFRE" collateral check --root "$PKI/root.pem" "$file"
    [[ $output =~ "genuine and held" ]]
    run -1 "$COFRE" collateral check "$file"
    [[ $output =~ "root" ]]
    run -1 "$COFRE" collateral check --root "$PKI/root.pem" --time "$(date -u -d '+40 days' +%Y-%m-%dT%H:%M:%SZ)" "$file"
    [[ $output =~ "TCB info: expired" ]]
    run -1 "$COFRE" collateral check --root "$PKI/root.pem" --time 2020-01-01 "$file"
    [[ $output =~ "root CRL: not yet issued" ]]
}

@test "a service that lies is found out by signatures" {
    local file=$BATS_TEST_TMPDIR/bundle.json
    "$COFRE" collateral bundle --fmspc 00a06d080000 --url "$near/lie" --no-cache "$file"
    run -1 "$COFRE" collateral check --root "$PKI/root.pem" "$file"
    echo "$output"
    [[ $output =~ "tcb-info: " ]]
}

@test "the platform of a quote, and one that its quote does not name" {
    local file=$BATS_TEST_TMPDIR/bundle.json
    "$BUILD/tests/tools/make-evidence" quote "$PKI" 00 >"$BATS_TEST_TMPDIR/quote"
    run -0 "$COFRE" collateral bundle --quote "$BATS_TEST_TMPDIR/quote" --url "$near/good" --no-cache "$file"
    [[ $output =~ "SGX, FMSPC 00a06d080000, PCK processor CA" ]]
    [ "$(jq '.documents | length' "$file")" -eq 4 ]
    "$BUILD/tests/tools/make-evidence" quote "$PKI" 00 ppid >"$BATS_TEST_TMPDIR/quote"
    run -0 "$COFRE" collateral bundle --quote "$BATS_TEST_TMPDIR/quote" --url "$near/good" --cache "$cache" "$file"
    [[ $output =~ "PCK certificate" ]]
    [ "$(jq -r .documents.pckCertificate.tcbm "$file")" = 050505050505050500000000000000000b00 ]
    run -0 "$COFRE" collateral check --root "$PKI/root.pem" "$file"
    verify() { run "$COFRE" verify --json --root "$PKI/root.pem" "$@" "$BATS_TEST_TMPDIR/quote"; }
    outcome() { jq -r .outcome <<<"$output"; }
    verify --collateral "$file"
    [ "$status,$(outcome)" = 3,verified ] # genuine, but simulation
    verify --url "$near/good" --cache "$cache"
    [ "$status,$(outcome)" = 3,verified ]
    verify --offline
    [ "$status,$(outcome)" = 5,incomplete ]
    [[ $output =~ "no PCK certificate" ]]
    verify --url "$near/missing" --cache "$cache-2"
    [ "$status" -eq 5 ]
    [[ $output =~ "status 404" ]]
    "$BUILD/tests/tools/make-evidence" pki "$BATS_TEST_TMPDIR/other" # another platform's certificate
    "$BUILD/tests/tools/make-evidence" quote "$BATS_TEST_TMPDIR/other" 00 ppid >"$BATS_TEST_TMPDIR/others"
    run -1 "$COFRE" verify --root "$PKI/root.pem" --collateral "$file" "$BATS_TEST_TMPDIR/others"
    [[ $output =~ "qe-report-signature" ]]
    local behaviour
    for behaviour in other-platform bad-tcbm no-chain missing; do
        run "$COFRE" collateral bundle --quote "$BATS_TEST_TMPDIR/quote" --url "$near/$behaviour" --no-cache "$file"
        echo "$behaviour: $output"
        [ "$status" -eq 125 ]
        [[ $output =~ "pckcert?encrypted_ppid=aa"|"tcb?fmspc" ]]
    done
    head -c 500 "$BATS_TEST_TMPDIR/quote" >"$BATS_TEST_TMPDIR/short"
    run -125 "$COFRE" collateral fetch --quote "$BATS_TEST_TMPDIR/short" --url "$near/good" --no-cache
    [[ $output =~ "the quote: " ]]
}

@test "bundles that are not" {
    local good=$BATS_TEST_TMPDIR/good.json bad=$BATS_TEST_TMPDIR/bad.json
    "$COFRE" collateral bundle --fmspc 00a06d080000 --url "$near/good" --no-cache "$good"
    broken() { # broken JQ-FILTER PATTERN
        jq "$1" "$good" >"$bad"
        run "$COFRE" collateral show "$bad"
        echo "$1: $output"
        [ "$status" -eq 125 ]
        [[ $output =~ $2 ]]
    }
    broken '.format = "x"' "not a bundle of collateral"
    broken '.version = 2' "another version than 1"
    broken 'del(.created)' "when it was made"
    broken '.platform.fmspc = "00906ed50000"' "TCB info: it is for another platform"
    broken '.platform.ca = "platform"' "it is the list of"
    broken '.platform.tee = "TDX"' "it is for SGX, not for TDX"
    broken 'del(.documents.pckCrl)' "pckCrl is missing"
    broken '.documents.pckCrl = .documents.rootCaCrl' "it is the list of"
    broken 'del(.documents.tcbInfo.issuerChain)' "tcbInfo: its issuers' chain is missing"
    broken '.documents.rootCaCrl.base64 = "AAA"' "not base64"
    broken '.documents.tcbInfo.text = 1' "its contents are missing"
    head -c 100 "$good" >"$bad"
    run "$COFRE" collateral show "$bad"
    [ "$status" -eq 125 ]
    [[ $output =~ "not JSON" ]]
}

@test "usage" {
    run -2 "$COFRE" collateral
    run -2 "$COFRE" collateral fetch
    run -2 "$COFRE" collateral fetch --fmspc 12
    run -2 "$COFRE" collateral fetch --fmspc 00a06d080000 --api 5
    run -2 "$COFRE" collateral fetch --fmspc 00a06d080000 --timeout 0
    run -2 "$COFRE" collateral show
    run -0 "$COFRE" collateral --help
}
