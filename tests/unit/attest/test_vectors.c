/*
 * Genuine evidence of genuine hardware, and what is malformed, from the folder COFRE_VECTORS: every genuine quote
 * verifies with the collateral of its platform, with the status that a second evaluator recorded; everything else is
 * rejected. COFRE_VECTORS_FULL=1 flips every bit of ten quotes, not a sample of them.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "attest/date.h"
#include "attest/file.h"
#include "attest/verify.h"

#define TEXT_SIZE_MAX (1U << 20)

static const char *vectors;
static struct attest_result result;

static char *load(size_t *ret_size, const char *format, ...) __attribute__((format(printf, 2, 3)));

static char *load(size_t *ret_size, const char *format, ...)
{
    char name[256], path[512], *error = NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : vectors, name[0] == '/' ? "" : "/", name);
    char *text = attest_file_read(path, TEXT_SIZE_MAX, ret_size, &error);
    if (!text)
        fail_msg("%s", error);
    return text;
}

static void list(const char *pattern, glob_t *ret_files)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", vectors, pattern);
    assert_int_equal(glob(path, 0, NULL, ret_files), 0);
}

/* Of the files that match, whose names hold a date, the one nearest to a date. */
static char *nearest(const char *pattern, const char *date)
{
    glob_t files;
    int64_t wanted, best = INT64_MAX;
    char *found = NULL, stamp[32];
    assert_true(attest_date_parse(date, &wanted));
    list(pattern, &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *at = strstr(files.gl_pathv[i], "_20");
        int64_t when;
        assert_non_null(at);
        while (strlen(at + 1) < 10 || at[5] != '-')
            at = strstr(at + 1, "_20");
        snprintf(stamp, sizeof(stamp), "%.10sT00:00:00Z", at + 1);
        assert_true(attest_date_parse(stamp, &when));
        if (llabs(when - wanted) < best) {
            best = llabs(when - wanted);
            found = files.gl_pathv[i];
        }
    }
    assert_non_null(found);
    found = strdup(found);
    globfree(&files);
    return found;
}

static char *concatenate(const char *first, const char *second, size_t *ret_size)
{
    size_t size;
    char *a = load(&size, "collateral/certs/%s.pem", first), *b = load(&size, "collateral/certs/%s.pem", second), *text;
    int length = asprintf(&text, "%s%s", a, b);
    assert_true(length > 0);
    *ret_size = (size_t)length;
    free(a);
    free(b);
    return text;
}

struct set {
    struct attest_documents documents;
    char *texts[7];
};

static struct attest_bytes keep(struct set *set, size_t place, char *text, size_t size)
{
    set->texts[place] = text;
    return (struct attest_bytes){text, size};
}

static void set_free(struct set *set)
{
    for (size_t i = 0; i < 7; i++)
        free(set->texts[i]);
}

/* The documents around a TCB info; the signing certificate is the one of its time. */
static void make_set(struct set *set, const char *tcb_info, const char *qe_identity, const char *date,
                     const char *signer, enum attest_pck_ca ca)
{
    size_t size;
    char *name, *text;
    const char *ca_name = ca == ATTEST_PCK_CA_PLATFORM ? "platform" : "processor";
    char pattern[64], ca_file[64];
    *set = (struct set){0};
    text = load(&size, "%s", tcb_info);
    set->documents.tcb_info = keep(set, 0, text, size);
    text = load(&size, "%s", qe_identity);
    set->documents.qe_identity = keep(set, 1, text, size);
    text = concatenate(signer, "root_ca_2049", &size);
    set->documents.tcb_info_chain = set->documents.qe_identity_chain = keep(set, 2, text, size);
    snprintf(pattern, sizeof(pattern), "collateral/crl/%s_ca_*.der", ca_name);
    name = nearest(pattern, date);
    text = load(&size, "%s", name);
    free(name);
    set->documents.pck_crl = keep(set, 3, text, size);
    snprintf(ca_file, sizeof(ca_file), "pck_%s_ca", ca_name);
    text = concatenate(ca_file, "root_ca_2049", &size);
    set->documents.pck_crl_chain = keep(set, 4, text, size);
    name = nearest("collateral/crl/root_ca_*.der", date);
    text = load(&size, "%s", name);
    free(name);
    set->documents.root_crl = keep(set, 5, text, size);
}

static struct attest_collateral *make_collateral(const char *tcb_info, const char *qe_identity, const char *date,
                                                 enum attest_pck_ca ca)
{
    static const char *const signers[] = {"tcb_signing_2018_2025", "tcb_signing_2025_2032"};
    struct attest_collateral *collateral = NULL;
    for (size_t i = 0; i < 2; i++) {
        struct set set;
        make_set(&set, tcb_info, qe_identity, date, signers[i], ca);
        attest_collateral_free(collateral);
        collateral = attest_collateral_new(&set.documents, NULL);
        set_free(&set);
        assert_non_null(collateral);
        attest_collateral_status(collateral, &result);
        if (result.outcome == ATTEST_OUTCOME_VERIFIED)
            return collateral;
    }
    fail_msg("%s, %s: %s: %s", tcb_info, qe_identity, attest_check_name(result.failed_check), result.reason);
    return NULL;
}

/* A time at which nothing is expired, if there is one. */
static int64_t best_time(const struct attest_collateral *collateral, const struct attest_result *dated)
{
    struct attest_validity validity;
    attest_collateral_validity(collateral, &validity);
    for (int i = 0; i < ATTEST_DATED_COUNT; i++)
        if (dated->has_validity[i] && dated->validity[i].from > validity.from)
            validity.from = dated->validity[i].from;
    return validity.from;
}

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static void verify_recorded(const json_t *entry, size_t *verified)
{
    size_t size;
    char *quote = load(&size, "quotes/%s", text_of(entry, "quote")), tcb_info[256], identity[256], *error = NULL;
    struct attest_pck pck;
    enum attest_pck_ca ca;
    uint32_t tee;
    if (attest_quote_platform(quote, size, &pck, &ca, &tee, &error) < 0)
        fail_msg("%s: %s", text_of(entry, "quote"), error);
    snprintf(tcb_info, sizeof(tcb_info), "collateral/%s", text_of(entry, "tcbinfo"));
    snprintf(identity, sizeof(identity), "collateral/%s", text_of(entry, "qe_identity"));
    struct attest_collateral *collateral = make_collateral(tcb_info, identity, text_of(entry, "tcbinfo_issue"), ca);
    attest_verify_quote(quote, size, collateral, NULL, 0, &result);
    attest_verify_quote(quote, size, collateral, NULL, best_time(collateral, &result), &result);
    if (result.outcome > ATTEST_OUTCOME_EXPIRED)
        fail_msg("%s: %s: %s", text_of(entry, "quote"), attest_check_name(result.failed_check), result.reason);
    *verified += result.outcome == ATTEST_OUTCOME_VERIFIED;
    assert_string_equal(attest_tcb_status_name(result.platform.status), text_of(entry, "platform_status"));
    assert_string_equal(attest_tcb_status_name(result.quoting_enclave.status), text_of(entry, "qe_status"));
    assert_string_equal(attest_tcb_status_name(result.tcb_status), text_of(entry, "converged"));
    const json_t *advisories = json_object_get(entry, "advisories"), *id;
    size_t i;
    assert_int_equal(json_array_size(advisories), result.platform.advisories.count);
    json_array_foreach(advisories, i, id) assert_string_equal(json_string_value(id), result.platform.advisories.ids[i]);
    assert_false(result.simulation);
    attest_collateral_free(collateral);
    free(quote);
}

static void test_recorded_statuses(void **state)
{
    size_t size, verified = 0, pairs = 0, i;
    char *text = load(&size, "expected_tcb.dev.json");
    json_t *entries = json_loadb(text, size, 0, NULL), *entry;
    assert_true(json_is_array(entries));
    json_array_foreach(entries, i, entry)
    {
        if (strstr(text_of(entry, "tcbinfo"), "_v1_")) /* a version that nothing is evaluated by any more */
            continue;
        verify_recorded(entry, &verified);
        pairs++;
    }
    print_message("%zu pairs of quote and TCB info; in %zu everything was valid at one time\n", pairs, verified);
    assert_true(verified > 0);
    json_decref(entries);
    free(text);
}

/* Without collateral: everything up to Intel's root. */
static void test_genuine_alone(void **state)
{
    glob_t files;
    size_t size, unnamed = 0, disordered = 0;
    list("quotes/*.bin", &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char *quote = load(&size, "%s", files.gl_pathv[i]);
        attest_verify_quote(quote, size, NULL, NULL, 0, &result);
        if (strstr(files.gl_pathv[i], "_ct3_")) { /* no PCK certificate in it */
            assert_int_equal(result.failed_check, ATTEST_CHECK_CERTIFICATION_DATA);
            unnamed++;
        } else if (strstr(files.gl_pathv[i], "fortanix_7d63357d")) { /* leaf, root, CA: refused */
            assert_int_equal(result.failed_check, ATTEST_CHECK_PCK_CHAIN);
            disordered++;
        } else if (result.failed_check != ATTEST_CHECK_TCB_INFO)
            fail_msg("%s: %s: %s", files.gl_pathv[i], attest_check_name(result.failed_check), result.reason);
        assert_int_equal(result.outcome, disordered && result.failed_check == ATTEST_CHECK_PCK_CHAIN
                                             ? ATTEST_OUTCOME_REJECTED
                                             : ATTEST_OUTCOME_INCOMPLETE);
        free(quote);
    }
    print_message("%zu quotes, of which %zu without PCK certificate and %zu with their chain out of order\n",
                  files.gl_pathc, unnamed, disordered);
    globfree(&files);
}

/* TD quotes with every TCB info of their platform; the QE identity is the one nearest in time. */
static void test_td_quotes(void **state)
{
    glob_t quotes, infos;
    size_t size, pairs = 0, verified = 0, unsupported = 0;
    list("quotes/tdx-*.bin", &quotes);
    list("collateral/tcbinfo/tcbinfo_v3_tdx_*.json", &infos);
    for (size_t q = 0; q < quotes.gl_pathc; q++)
        for (size_t t = 0; t < infos.gl_pathc; t++) {
            struct attest_pck pck;
            enum attest_pck_ca ca;
            uint32_t tee;
            char fmspc[16], date[32], *at = strstr(infos.gl_pathv[t], "_tdx_");
            char *quote = load(&size, "%s", quotes.gl_pathv[q]);
            assert_int_equal(attest_quote_platform(quote, size, &pck, &ca, &tee, NULL), 0);
            snprintf(fmspc, sizeof(fmspc), "%02x%02x%02x%02x%02x%02x", pck.fmspc[0], pck.fmspc[1], pck.fmspc[2],
                     pck.fmspc[3], pck.fmspc[4], pck.fmspc[5]);
            if (strncmp(at + 5, fmspc, 12) == 0) {
                snprintf(date, sizeof(date), "%.10sT00:00:00Z", at + 18);
                char *identity = nearest("collateral/identity/td_qe_identity_*.json", date);
                struct attest_collateral *collateral = make_collateral(infos.gl_pathv[t], identity, date, ca);
                attest_verify_quote(quote, size, collateral, NULL, 0, &result);
                attest_verify_quote(quote, size, collateral, NULL, best_time(collateral, &result), &result);
                size_t info_size;
                char *info = load(&info_size, "%s", infos.gl_pathv[t]);
                bool has_modules = strstr(info, "tdxModuleIdentities") != NULL;
                free(info);
                if (!has_modules && result.td.tee_tcb_svn[1] > 0)
                    assert_int_equal(result.failed_check, ATTEST_CHECK_TDX_MODULE);
                else if (result.outcome > ATTEST_OUTCOME_EXPIRED || result.tcb_status == ATTEST_TCB_REVOKED ||
                         result.tcb_status == ATTEST_TCB_UNRECOGNIZED)
                    fail_msg("%s, %s: %s: %s: %s", quotes.gl_pathv[q], infos.gl_pathv[t],
                             attest_check_name(result.failed_check), result.reason,
                             attest_tcb_status_name(result.tcb_status));
                if (getenv("COFRE_VECTORS_SHOW"))
                    print_message("%s %s: %s (platform %s, module %s, QE %s)\n", strrchr(quotes.gl_pathv[q], '/') + 1,
                                  strrchr(infos.gl_pathv[t], '/') + 1, attest_tcb_status_name(result.tcb_status),
                                  attest_tcb_status_name(result.platform.status),
                                  attest_tcb_status_name(result.tdx_module.status),
                                  attest_tcb_status_name(result.quoting_enclave.status));
                verified += result.outcome == ATTEST_OUTCOME_VERIFIED;
                unsupported += result.tcb_status == ATTEST_TCB_NOT_SUPPORTED; /* older than its oldest level */
                pairs++;
                attest_collateral_free(collateral);
                free(identity);
            }
            free(quote);
        }
    print_message("%zu pairs of TD quote and TCB info, %zu without a level; in %zu everything was valid at one time\n",
                  pairs, unsupported, verified);
    assert_true(verified > 0);
    globfree(&quotes);
    globfree(&infos);
}

static void test_malformed(void **state)
{
    static const char *const patterns[] = {"malformed/*.bin", "malformed/wrong-root/*.bin"};
    for (size_t p = 0; p < 2; p++) {
        glob_t files;
        size_t size;
        list(patterns[p], &files);
        for (size_t i = 0; i < files.gl_pathc; i++) {
            char *quote = load(&size, "%s", files.gl_pathv[i]);
            assert_int_equal(attest_verify_quote(quote, size, NULL, NULL, 0, &result), -1);
            if (result.outcome != ATTEST_OUTCOME_REJECTED || !result.reason[0])
                fail_msg("%s is not rejected", files.gl_pathv[i]);
            if (p == 1)
                assert_int_equal(result.failed_check, ATTEST_CHECK_ROOT);
            free(quote);
        }
        globfree(&files);
    }
}

/* Revocation lists that are not Intel's in the place of Intel's. */
static void test_malformed_lists(void **state)
{
    glob_t files;
    struct set set;
    make_set(&set, "collateral/tcbinfo/tcbinfo_v3_sgx_00906ed50000_2025-05-27_ev17.json",
             "collateral/identity/qe_identity_v2_2025-06-03_ev19.json", "2025-05-27T00:00:00Z", "tcb_signing_2025_2032",
             ATTEST_PCK_CA_PROCESSOR);
    list("malformed/crl/*.der", &files);
    for (size_t i = 0; i < files.gl_pathc; i++)
        for (int root = 0; root < 2; root++) {
            struct attest_documents documents = set.documents;
            size_t size;
            char *crl = load(&size, "%s", files.gl_pathv[i]);
            *(root ? &documents.root_crl : &documents.pck_crl) = (struct attest_bytes){crl, size};
            struct attest_collateral *collateral = attest_collateral_new(&documents, NULL);
            attest_collateral_status(collateral, &result);
            assert_int_equal(result.outcome, ATTEST_OUTCOME_REJECTED);
            assert_int_equal(result.failed_check, root ? ATTEST_CHECK_ROOT_CRL : ATTEST_CHECK_PCK_CRL);
            attest_collateral_free(collateral);
            free(crl);
        }
    globfree(&files);
    set_free(&set);
}

/* No bit of a quote may be another. */
static void test_flipped_bits(void **state)
{
    static const char *const patterns[] = {
        "quotes/sgx-v3_00906ed50000_*.bin", "quotes/sgx-v3_00606a000000_automata_1cc40342.bin",
        "quotes/sgx-v3_00606a000000_signalapp_2647684a.bin", "quotes/tdx-v4_00806f050000_automata_4b23198a.bin",
        "quotes/tdx-v5_00806f050000_openenclave_67adfc4a.bin"};
    size_t step = getenv("COFRE_VECTORS_FULL") ? 1 : 211, flips = 0, quotes = 0;
    for (size_t p = 0; p < 5; p++) {
        glob_t files;
        list(patterns[p], &files);
        for (size_t i = 0; i < files.gl_pathc && i < 6; i++) {
            size_t size;
            char *quote = load(&size, "%s", files.gl_pathv[i]);
            attest_verify_quote(quote, size, NULL, NULL, 0, &result);
            assert_int_equal(result.failed_check, ATTEST_CHECK_TCB_INFO);
            for (size_t bit = quotes % step; bit < size * 8; bit += step, flips++) {
                quote[bit / 8] = (char)(quote[bit / 8] ^ 1 << bit % 8);
                attest_verify_quote(quote, size, NULL, NULL, 0, &result);
                if (result.outcome != ATTEST_OUTCOME_REJECTED)
                    fail_msg("%s: bit %zu may be another", files.gl_pathv[i], bit);
                quote[bit / 8] = (char)(quote[bit / 8] ^ 1 << bit % 8);
            }
            quotes++;
            free(quote);
        }
        globfree(&files);
    }
    print_message("%zu bits flipped in %zu quotes\n", flips, quotes);
    assert_true(quotes >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_genuine_alone),   cmocka_unit_test(test_recorded_statuses),
        cmocka_unit_test(test_td_quotes),       cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_malformed_lists), cmocka_unit_test(test_flipped_bits),
    };
    vectors = getenv("COFRE_VECTORS");
    if (!vectors || access(vectors, R_OK) != 0) {
        printf("# skipped: no genuine evidence (COFRE_VECTORS is \"%s\")\n", vectors ? vectors : "");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
