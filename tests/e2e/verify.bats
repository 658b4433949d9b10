#!/usr/bin/env bats
# `cofre verify`: each outcome has its exit status, and says why.
load helpers

setup_file() {
    # shellcheck source=tests/e2e/helpers.bash
    source "$BATS_TEST_DIRNAME/helpers.bash"
    export PKI=$BATS_FILE_TMPDIR/pki
    local c=$BATS_FILE_TMPDIR/collateral
    "$BUILD/tests/tools/make-evidence" pki "$PKI"
    "$BUILD/tests/tools/make-evidence" quote "$PKI" c0ffee >"$BATS_FILE_TMPDIR/quote"
    "$BUILD/tests/tools/make-evidence" quote "$PKI" c0ffee debug >"$BATS_FILE_TMPDIR/debug"
    mkdir "$c"
    cp "$PKI/tcb_v4_sgx.json" "$c/tcb_info.json"
    cp "$PKI/qe_sgx.json" "$c/qe_identity.json"
    cp "$PKI/signing_chain.pem" "$c/tcb_info_chain.pem"
    cp "$PKI/signing_chain.pem" "$c/qe_identity_chain.pem"
    cp "$PKI/processor.crl" "$c/pck_crl.der"
    cp "$PKI/processor_chain.pem" "$c/pck_crl_chain.pem"
    cp "$PKI/root.crl" "$c/root_crl.der"
    printf 'version: 1\nany_identity: true\nsimulation: true\n' >"$BATS_FILE_TMPDIR/any.yaml"
}

setup() {
    cd "$BATS_FILE_TMPDIR"
    collateral=(--collateral collateral --root "$PKI/root.pem")
}

verify() { "$COFRE" verify "$@"; }

@test "simulated evidence is genuine only under its own root, and accepted only by a policy that says so" {
    run -1 verify --offline quote
    [[ $output =~ "failed check     root: " ]]
    run -3 verify "${collateral[@]}" quote
    [[ $output =~ "simulation: the evidence ends in a root that is not Intel's" ]]
    run -0 verify "${collateral[@]}" --policy any.yaml quote
    [[ $output =~ "WARNING: SIMULATION" ]]
    [[ $output =~ "tcb status       UpToDate" ]]
}

@test "no collateral, expired collateral, a flipped bit: each has its own status" {
    run -5 verify --offline --root "$PKI/root.pem" quote
    run -4 verify "${collateral[@]}" --policy any.yaml --time 2100-01-01 quote
    [[ $output =~ "failed check     validity: the PCK certificate is valid until" ]]
    cp quote flipped
    printf '\001' | dd of=flipped bs=1 seek=112 conv=notrunc status=none # MRENCLAVE
    run -1 verify "${collateral[@]}" --policy any.yaml flipped
    [[ $output =~ "failed check     quote-signature" ]]
    run -1 verify "${collateral[@]}" <(head -c 500 quote)
    [[ $output =~ "failed check     quote-format: cut short in the signature data" ]]
    run -125 verify --collateral absent quote
    run -2 verify
}

@test "a policy: each broken rule, and in a dry run what would let it pass; following it does" {
    printf 'version: 1\nsimulation: true\nidentities:\n  - {mrsigner: "%064d", product: 9}\n' 0 >strict.yaml
    run -3 verify "${collateral[@]}" --policy strict.yaml --report-data beef --dry-run debug
    echo "$output"
    [[ $output =~ "would pass with  debug: true" ]]
    [[ $output =~ "would pass with  identities[0].mrsigner: c0f2ec0f" ]]
    [[ $output =~ "report_data: the report data is not bound" ]]
    signer=$("$COFRE" verify "${collateral[@]}" --json quote | jq -r .enclave.mrsigner || true)
    printf 'version: 1\nsimulation: true\nidentities:\n  - {mrsigner: %s, product: 7, minimum_svn: 3}\n' "$signer" >right.yaml
    run -0 verify "${collateral[@]}" --policy right.yaml --report-data c0ffee quote
    sed -i 's/minimum_svn: 3/minimum_svn: 4/' right.yaml
    run -3 verify "${collateral[@]}" --policy right.yaml --dry-run quote
    [[ $output =~ "identities[0].minimum_svn: 3" ]]
}

@test "a policy with a mistake is named with its line" {
    for text in 'any_identity: yes' 'version: 2' 'debgu: true' 'any_identity: true
any_identity: true' 'identities: [{mrsigner: "00"}]' 'tcb: {statuses: [Revoked]}' 'debug: true'; do
        echo "$text" >bad.yaml
        run -125 verify "${collateral[@]}" --policy bad.yaml quote
        [[ $output =~ "bad.yaml:" ]]
    done
}

@test "JSON has every fact" {
    run -0 verify "${collateral[@]}" --policy any.yaml --json quote
    [ "$(jq -r '.outcome, .simulation, .tcb.status, .pck.fmspc, .enclave.isvProdId, .appraisal.accepted' <<<"$output" | tr '\n' ' ')" = \
        "verified true UpToDate 00a06d080000 7 true " ]
}

@test "a report is shown; zeros after a quote are padding, anything else is not" {
    head -c 480 quote | tail -c 432 >report
    run -5 verify --offline report
    [[ $output =~ "only an enclave on the same machine" ]]
    (cat quote; head -c 100 /dev/zero) >padded
    run -0 verify "${collateral[@]}" --policy any.yaml padded
    (cat quote; echo) >longer
    run -1 verify "${collateral[@]}" --policy any.yaml longer
    [[ $output =~ "1 bytes follow its end" ]]
}

@test "another program uses the installed library, shared and static, through pkg-config" {
    cat >program.c <<'C'
#include "attest/policy.h"
#include "attest/verify.h"
#include <stdio.h>
#include <time.h>

static struct attest_result result;
static struct attest_appraisal appraisal;

int main(int argc, char **argv)
{
    static char quote[ATTEST_QUOTE_SIZE_MAX];
    char *error = NULL;
    struct attest_roots roots;
    attest_roots_init(&roots);
    FILE *file = fopen(argv[1], "r");
    size_t size = file ? fread(quote, 1, sizeof(quote), file) : 0;
    if (argc < 4 || attest_roots_add_file(&roots, argv[3], true, &error) < 0)
        return 2;
    struct attest_collateral *collateral = attest_collateral_load(argv[2], &roots, &error);
    struct attest_policy *policy = attest_policy_default();
    if (!collateral || !policy)
        return 2;
    attest_verify_quote(quote, size, collateral, NULL, time(NULL), &result);
    attest_policy_evaluate(policy, &result, NULL, &appraisal);
    printf("%s %s\n", attest_outcome_name(result.outcome), appraisal.violations[0].rule);
    attest_policy_free(policy);
    attest_collateral_free(collateral);
    return 0;
}
C
    DESTDIR=$PWD/installed meson install -C "$BUILD" --no-rebuild --quiet
    local pc library flags
    pc=$(find installed -name cofre-attest.pc)
    library=$(find "$PWD/installed" -name libcofre-attest.so) # the name for linking, beside the one for running
    library=${library%/*}
    export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$PWD/installed
    read -ra flags <<<"$(pkg-config --cflags --libs cofre-attest)"
    gcc -Wall -Werror -o program program.c "${flags[@]}"
    LD_LIBRARY_PATH=$library run -0 ./program quote collateral "$PKI/root.pem"
    [ "$output" = "verified simulation" ]
    run -0 readelf -d program
    [[ $output =~ "[libcofre-attest.so.0]" ]]
    read -ra flags <<<"$(pkg-config --cflags cofre-attest) $library/libcofre-attest.a $(
        PKG_CONFIG_SYSROOT_DIR='' pkg-config --libs libcrypto libssl jansson libcurl yaml-0.1)"
    gcc -Wall -Werror -o program-static program.c "${flags[@]}"
    run -0 ./program-static quote collateral "$PKI/root.pem"
    [ "$output" = "verified simulation" ]
    # Each header stands alone, and nothing but stable names is to be seen.
    local header
    for header in "$PWD"/installed/usr/local/include/cofre/attest/*.h; do
        gcc -Wall -Wextra -Werror -std=gnu11 -fsyntax-only -x c "-I${header%/attest/*}" "$header"
    done
    local names
    names=$(nm -D --defined-only "$library/libcofre-attest.so" && nm -g --defined-only "$library/libcofre-attest.a" | grep ' ')
    run ! grep -vE ' (attest_|COFRE_ATTEST)' <<<"$names"
    [ "$(grep -c ' T attest_' <<<"$names")" -gt 150 ]
}
