/*
 * Keys after attestation, both sides: the kernel's (kernel/attestation/key_request.c) and the key server's
 * (attest/noise.c, attest/key_service.c), which share no code, with evidence made to order and everything that may go
 * wrong, or be done wrong on purpose, in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/errno.h>
#include <openssl/rand.h>

#include "attest/key_request.h"
#include "attest/key_service.h"
#include "attest/noise.h"
#include "image/file_io.h"
#include "image/key_wrap.h"
#include "kernel/attestation/key_request.h"
#include "kernel/crypto/crypto.h"
#include "kernel/crypto/noise.h"
#include "kernel/mm/kmalloc.h"
#include "tests/unit/attest/evidence.h"

/* ---- the rest of the kernel ---- */

static long allocations;
static bool no_memory;

void *kmalloc(size_t size)
{
    if (no_memory)
        return NULL;
    allocations++;
    return malloc(size);
}

void kfree(void *p)
{
    allocations -= p != NULL;
    free(p);
}

/* ---- the server ---- */

static char folder[] = "/tmp/cofre-keys-XXXXXX";
static struct attest_key_service service = {.folder = folder};
static EVP_PKEY *server_key;
static uint8_t server_public[32], key[32];
static struct attest_noise_channel channel;
static struct attest_key_event event; /* of the last request */

static void write_file(const char *name, const void *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static void set_policy(const char *rules)
{
    char text[1024];
    int size = snprintf(text, sizeof(text), "version: 1\n%s\n", rules);
    write_file("data.yaml", text, (size_t)size);
}

/* Of the platform that evidence_quote() knows, in a folder. */
static void write_collateral(char *ret_path, size_t size)
{
    static const char *const names[8] = {"tcb_info.json",         "tcb_info_chain.pem", "qe_identity.json",
                                         "qe_identity_chain.pem", "pck_crl.der",        "pck_crl_chain.pem",
                                         "root_crl.der",          "pck_chain.pem"};
    struct blob blobs[8];
    char name[64];
    evidence_documents(0, blobs);
    snprintf(ret_path, size, "%s/collateral", folder);
    assert_int_equal(mkdir(ret_path, 0700), 0);
    for (size_t i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "collateral/%s", names[i]);
        write_file(name, blobs[i].data, blobs[i].size);
    }
    evidence_free(blobs);
}

/* Of the enclave that evidence_sgx_body() is. */
static void set_good_policy(const char *more)
{
    const struct attest_sgx_body body = evidence_sgx_body();
    char text[512], signer[65];
    for (size_t i = 0; i < 32; i++)
        snprintf(signer + 2 * i, 3, "%02x", body.mrsigner[i]);
    snprintf(text, sizeof(text), "identities: [{mrsigner: %s, product: %u, minimum_svn: %u}]\n%s", signer,
             body.isv_product_id, body.isv_svn, more);
    set_policy(text);
}

static int setup(void **state)
{
    char *error = NULL, collateral[128];
    size_t size = sizeof(server_public);
    crypto_init();
    evidence_setup(state);
    assert_non_null(mkdtemp(folder));
    server_key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    assert_int_equal(EVP_PKEY_get_raw_public_key(server_key, server_public, &size), 1);
    service.own = server_key;
    service.store = attest_store_new(evidence_roots(), NULL);
    assert_non_null(service.store);
    write_collateral(collateral, sizeof(collateral));
    assert_int_equal(attest_store_add_file(service.store, collateral, &error), 0);
    RAND_bytes(key, sizeof(key));
    write_file("data.key", key, sizeof(key));
    return 0;
}

static int teardown(void **state)
{
    attest_store_free(service.store);
    EVP_PKEY_free(server_key);
    path_remove_all(folder);
    return evidence_teardown(state);
}

/* ---- between them ---- */

static struct {
    int error;                                                /* of every exchange */
    int second_error;                                         /* of the second */
    void (*answer)(uint8_t *bytes, size_t *size, bool first); /* changes what goes to the enclave */
    bool no_quote;
    void (*body)(struct attest_sgx_body *body); /* changes what the quote is of */
    const struct blob *quote;                   /* instead of a fresh one */
} how;
static struct blob last_quote;

static void serve_request(const uint8_t *message, size_t size, uint8_t *ret_answer)
{
    uint8_t *plain = malloc(size);
    struct key_answer answer;
    assert_int_equal(attest_noise_open(&channel, message, size - KEY_TAG_SIZE, plain), 0);
    attest_key_answer(&service, channel.hash, plain, size - KEY_TAG_SIZE, &answer, &event);
    assert_int_equal(answer.status, event.status);
    assert_true((event.status == KEY_GRANTED) == !event.reason[0]);
    assert_int_equal(attest_noise_seal(&channel, (const uint8_t *)&answer, sizeof(answer), ret_answer), 0);
    free(plain);
}

static ssize_t exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    uint8_t answer[2 * KEY_ANSWER_MAX];
    size_t answer_size = fresh ? ATTEST_NOISE_ANSWER_SIZE : sizeof(struct key_answer) + KEY_TAG_SIZE;
    assert_true(size <= KEY_MESSAGE_MAX);
    if (how.error || (!fresh && how.second_error))
        return how.error ? how.error : how.second_error;
    if (!fresh)
        serve_request(message, size, answer);
    else if (attest_noise_respond(server_key, KEY_RELEASE_PROLOGUE, message, answer, &channel) < 0)
        return -ECONNRESET; /* it hangs up */
    if (how.answer)
        how.answer(answer, &answer_size, fresh);
    assert_true(answer_size <= KEY_ANSWER_MAX);
    memcpy(ret_answer, answer, answer_size);
    return (ssize_t)answer_size;
}

static void fill_random(void *arg, void *buf, size_t size)
{
    assert_int_equal(RAND_bytes(buf, (int)size), 1);
}

static int make_quote(void *arg, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size)
{
    struct attest_sgx_body body = evidence_sgx_body();
    if (how.no_quote)
        return -ENODEV;
    memcpy(body.report_data, report_data, 64);
    if (how.body)
        how.body(&body);
    free(last_quote.data);
    last_quote = how.quote ? (struct blob){malloc(how.quote->size), how.quote->size}
                           : evidence_quote(&(struct quote_order){.sgx = &body});
    if (how.quote)
        memcpy(last_quote.data, how.quote->data, how.quote->size);
    *ret_size = last_quote.size;
    *ret_quote = kmalloc(last_quote.size);
    if (!*ret_quote)
        return -ENOMEM;
    memcpy(*ret_quote, last_quote.data, last_quote.size);
    return 0;
}

static const struct key_carrier carrier = {exchange, fill_random, make_quote, NULL};

/* What comes of asking for the key; the buffer keeps what it had unless that is the key. */
static enum key_outcome ask_for(const char *name, size_t size)
{
    uint8_t got[KEY_SIZE_MAX], before[KEY_SIZE_MAX];
    memset(before, 0x5a, sizeof(before));
    memcpy(got, before, sizeof(got));
    event = (struct attest_key_event){.status = KEY_FAILED};
    enum key_outcome outcome = key_request(&carrier, server_public, name, got, size);
    assert_int_equal(allocations, 0);
    if (outcome == KEY_RELEASED)
        assert_memory_equal(got, key, size);
    else
        assert_memory_equal(got, before, sizeof(before));
    assert_true(strlen(key_outcome_text(outcome)) > 5);
    return outcome;
}

static enum key_outcome ask(void)
{
    return ask_for("data", sizeof(key));
}

static void expect_refused(const char *word)
{
    assert_int_equal(ask(), KEY_REFUSED);
    if (!strstr(event.reason, word))
        fail_msg("\"%s\" says nothing of \"%s\"", event.reason, word);
}

static int reset(void **state)
{
    memset(&how, 0, sizeof(how));
    set_good_policy("simulation: true");
    return 0;
}

/* ---- tests ---- */

static void test_released(void **state)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(), KEY_RELEASED);
        assert_string_equal(event.name, "data");
        assert_true(event.simulation);
        assert_non_null(strstr(event.enclave, "mrsigner"));
    }
    assert_int_equal(attest_key_service_check(&service, NULL), 1);
}

/* The name's policy decides, as it is now. */
static void test_policy(void **state)
{
    set_good_policy("");
    expect_refused("simulation");
    assert_int_equal(ask(), KEY_REFUSED);
    set_policy("identities: [{mrsigner: 0000000000000000000000000000000000000000000000000000000000000001, "
               "product: 0}]\nsimulation: true");
    expect_refused("ident");
    set_policy("identities: [{mrenclave: 0000000000000000000000000000000000000000000000000000000000000001}]\n"
               "simulation: true");
    expect_refused("ident");
    set_policy("nonsense: true");
    expect_refused("nonsense");
    assert_int_equal(attest_key_service_check(&service, NULL), -1);
    set_good_policy("simulation: true");
    assert_int_equal(ask(), KEY_RELEASED);
    assert_int_equal(ask_for("other", sizeof(key)), KEY_REFUSED);
    assert_non_null(strstr(event.reason, "no policy"));
}

static void make_debug(struct attest_sgx_body *body)
{
    body->attributes |= ATTEST_SGX_DEBUG;
}

static void make_other_signer(struct attest_sgx_body *body)
{
    body->mrsigner[31] ^= 1;
}

static void make_older(struct attest_sgx_body *body)
{
    body->isv_svn--;
}

static void make_other_product(struct attest_sgx_body *body)
{
    body->isv_product_id++;
}

static void make_unmarked(struct attest_sgx_body *body)
{
    memset(body->report_data + KEY_RELEASE_MARK_OFFSET, 0, KEY_RELEASE_MARK_SIZE);
}

static void make_other_data(struct attest_sgx_body *body)
{
    body->report_data[7] ^= 0x80;
}

static void test_other_enclaves(void **state)
{
    static void (*const changes[])(struct attest_sgx_body *) = {make_debug,         make_other_signer, make_older,
                                                                make_other_product, make_unmarked,     make_other_data};
    static const char *const words[] = {"debug", "ident", "ident", "ident", "report_data", "report_data"};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        how.body = changes[i];
        expect_refused(words[i]);
    }
}

/* A quote is good once: for the channel that it was made for. */
static void test_quotes_of_others(void **state)
{
    assert_int_equal(ask(), KEY_RELEASED);
    struct blob old = last_quote;
    last_quote.data = NULL;
    how.quote = &old;
    expect_refused("report_data");
    old.data[old.size / 2] ^= 1; /* its signature, or what is signed */
    expect_refused("evidence");
    old.size -= 100;
    expect_refused("evidence");
    how.quote = &(struct blob){(uint8_t *)"none", 4};
    expect_refused("evidence");
    free(old.data);
}

/* For another key than it was made for. */
static void test_other_name(void **state)
{
    uint8_t a[64], b[64];
    char name[KEY_NAME_SIZE] = "data", other[KEY_NAME_SIZE] = "datb";
    attest_key_report_data(server_public, name, a);
    attest_key_report_data(server_public, other, b);
    assert_memory_not_equal(a, b, 32);
    attest_key_report_data(key, name, b);
    assert_memory_not_equal(a, b, 32);
}

static void test_keys(void **state)
{
    assert_int_equal(ask_for("data", 16), KEY_OTHER_SIZE);
    assert_int_equal(ask_for("data", KEY_SIZE_MAX), KEY_OTHER_SIZE);
    write_file("data.key", "", 0);
    assert_int_equal(ask(), KEY_SERVER_FAILED);
    write_file("data.key", (const char[KEY_SIZE_MAX + 1]){1}, KEY_SIZE_MAX + 1);
    assert_int_equal(ask(), KEY_SERVER_FAILED);
    char path[128];
    snprintf(path, sizeof(path), "%s/data.key", folder);
    unlink(path);
    assert_int_equal(ask(), KEY_SERVER_FAILED);
    uint8_t wrapped[sizeof(key) + KEY_WRAP_OVERHEAD];
    assert_int_equal(key_wrap(server_public, "datb", key, sizeof(key), wrapped, NULL), 0);
    write_file("data.wrapped", wrapped, sizeof(wrapped));
    assert_int_equal(ask(), KEY_SERVER_FAILED);
    assert_non_null(strstr(event.reason, "another name"));
    assert_int_equal(key_wrap(server_public, "data", key, sizeof(key), wrapped, NULL), 0);
    write_file("data.wrapped", wrapped, sizeof(wrapped));
    assert_int_equal(ask(), KEY_RELEASED);
    write_file("data.key", key, sizeof(key));
    assert_int_equal(ask(), KEY_RELEASED);
}

/* A store without collateral knows nothing: it is the server's trouble, not a refusal. */
static void test_no_collateral(void **state)
{
    struct attest_store *full = service.store;
    service.store = attest_store_new(evidence_roots(), NULL);
    assert_int_equal(ask(), KEY_SERVER_FAILED);
    attest_store_free(service.store);
    service.store = full;
}

static void test_nobody_there(void **state)
{
    how.error = -ETIMEDOUT;
    assert_int_equal(ask(), KEY_NO_ANSWER);
    how.error = 0;
    how.second_error = -ECONNRESET;
    assert_int_equal(ask(), KEY_NO_ANSWER);
    how.second_error = 0;
    how.no_quote = true;
    assert_int_equal(ask(), KEY_NO_QUOTE);
    how.no_quote = false;
    no_memory = true;
    assert_true(ask() != KEY_RELEASED);
    no_memory = false;
    server_public[3] ^= 1; /* the policy has another key: the server hangs up */
    assert_int_equal(ask(), KEY_NO_ANSWER);
    server_public[3] ^= 1;
}

static unsigned changed_at, changed_message;

static void change_one(uint8_t *bytes, size_t *size, bool first)
{
    if (first == (changed_message == 0))
        bytes[changed_at % *size] ^= 1;
}

static void make_short(uint8_t *bytes, size_t *size, bool first)
{
    if (first == (changed_message == 0))
        *size = changed_at;
}

/* Every byte of either answer changed; every other length. */
static void test_changed_answers(void **state)
{
    static const size_t sizes[] = {ATTEST_NOISE_ANSWER_SIZE, sizeof(struct key_answer) + KEY_TAG_SIZE};
    for (changed_message = 0; changed_message < 2; changed_message++) {
        how.answer = change_one;
        for (changed_at = 0; changed_at < sizes[changed_message]; changed_at += 5)
            assert_int_equal(ask(), KEY_NOT_SERVER);
        how.answer = make_short;
        for (changed_at = 0; changed_at <= KEY_ANSWER_MAX; changed_at += 8)
            assert_int_equal(ask(), changed_at == sizes[changed_message] ? KEY_RELEASED : KEY_NOT_SERVER);
    }
}

static uint8_t recorded[2][KEY_ANSWER_MAX];

static void record(uint8_t *bytes, size_t *size, bool first)
{
    memcpy(recorded[!first], bytes, *size);
}

static void replay(uint8_t *bytes, size_t *size, bool first)
{
    if (first == (changed_message == 0))
        memcpy(bytes, recorded[!first], *size);
}

static void test_replayed_answers(void **state)
{
    how.answer = record;
    assert_int_equal(ask(), KEY_RELEASED);
    how.answer = replay;
    for (changed_message = 0; changed_message < 2; changed_message++)
        assert_int_equal(ask(), KEY_NOT_SERVER);
}

/* Whoever is no enclave of ours may send the server what it likes. */
static void test_hostile_requests(void **state)
{
    static const struct {
        struct key_request head;
        size_t size; /* of the whole request */
        const char *word;
    } requests[] = {
        {{KEY_REQUEST, 100, "data"}, 0, "too short"},
        {{KEY_REQUEST, 100, "data"}, sizeof(struct key_request) - 1, "too short"},
        {{0, 100, "data"}, sizeof(struct key_request) + 100, "type"},
        {{2, 100, "data"}, sizeof(struct key_request) + 100, "type"},
        {{KEY_REQUEST, 0, "data"}, sizeof(struct key_request), "size"},
        {{KEY_REQUEST, 100, "data"}, sizeof(struct key_request) + 99, "size"},
        {{KEY_REQUEST, 100, "data"}, sizeof(struct key_request) + 101, "size"},
        {{KEY_REQUEST, 0xffffffff, "data"}, sizeof(struct key_request) + 100, "size"},
        {{KEY_REQUEST, KEY_QUOTE_SIZE_MAX + 1, "data"}, sizeof(struct key_request) + KEY_QUOTE_SIZE_MAX + 1, "size"},
        {{KEY_REQUEST, 100, ""}, sizeof(struct key_request) + 100, "name"},
        {{KEY_REQUEST, 100, "../data"}, sizeof(struct key_request) + 100, "name"},
        {{KEY_REQUEST, 100, ".data"}, sizeof(struct key_request) + 100, "name"},
        {{KEY_REQUEST, 100, "da/ta"}, sizeof(struct key_request) + 100, "name"},
        {{KEY_REQUEST, 100, "data\0x"}, sizeof(struct key_request) + 100, "name"},
        {{KEY_REQUEST, 100, "data\n"}, sizeof(struct key_request) + 100, "name"},
        {{KEY_REQUEST, 100, "data"}, sizeof(struct key_request) + 100, "evidence"},
    };
    static uint8_t bytes[sizeof(struct key_request) + KEY_QUOTE_SIZE_MAX + 1];
    const uint8_t hash[32] = {1};
    struct key_answer answer;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        uint8_t *exact = malloc(requests[i].size + 1); /* so that a read past its end is seen */
        memcpy(bytes, &requests[i].head, sizeof(requests[i].head));
        memcpy(exact, bytes, requests[i].size);
        memset(&answer, 0x5a, sizeof(answer));
        attest_key_answer(&service, hash, exact, requests[i].size, &answer, &event);
        assert_int_equal(answer.status, KEY_DENIED);
        assert_int_equal(answer.key_size, 0);
        for (size_t k = 0; k < sizeof(answer.key); k++)
            assert_int_equal(answer.key[k], 0);
        if (!strstr(event.reason, requests[i].word))
            fail_msg("%zu: \"%s\" says nothing of \"%s\"", i, event.reason, requests[i].word);
        free(exact);
    }
    char full[KEY_NAME_SIZE];
    memset(full, 'a', sizeof(full)); /* a name without an end */
    struct key_request head = {.type = KEY_REQUEST, .quote_size = 1};
    memcpy(head.name, full, sizeof(full));
    memcpy(bytes, &head, sizeof(head));
    attest_key_answer(&service, hash, bytes, sizeof(head) + 1, &answer, &event);
    assert_int_equal(answer.status, KEY_DENIED);
}

/* First messages that are none: nothing is answered. */
static void test_hostile_hellos(void **state)
{
    struct noise_handshake handshake;
    uint8_t own[32] = {1}, ephemeral[32], hello[NOISE_HELLO_SIZE], answer[ATTEST_NOISE_ANSWER_SIZE];
    RAND_bytes(ephemeral, sizeof(ephemeral));
    noise_begin(&handshake, KEY_RELEASE_PROLOGUE, own, server_public, ephemeral, hello);
    assert_int_equal(attest_noise_respond(server_key, "another prologue", hello, answer, &channel), -1);
    for (size_t i = 0; i < sizeof(hello); i++) {
        hello[i] ^= 1;
        assert_int_equal(attest_noise_respond(server_key, KEY_RELEASE_PROLOGUE, hello, answer, &channel), -1);
        hello[i] ^= 1;
    }
    assert_int_equal(attest_noise_respond(server_key, KEY_RELEASE_PROLOGUE, hello, answer, &channel), 0);
    memset(hello, 0, 32); /* a point of small order */
    assert_int_equal(attest_noise_respond(server_key, KEY_RELEASE_PROLOGUE, hello, answer, &channel), -1);
}

/* Messages over a channel: in order, each once. */
static void test_channel(void **state)
{
    struct noise_handshake handshake;
    struct noise_channel mine;
    uint8_t own[32] = {1}, ephemeral[32], hello[NOISE_HELLO_SIZE], answer[ATTEST_NOISE_ANSWER_SIZE], sealed[2][16 + 5],
            plain[5];
    RAND_bytes(ephemeral, sizeof(ephemeral));
    noise_begin(&handshake, KEY_RELEASE_PROLOGUE, own, server_public, ephemeral, hello);
    assert_int_equal(attest_noise_respond(server_key, KEY_RELEASE_PROLOGUE, hello, answer, &channel), 0);
    assert_int_equal(noise_finish(&handshake, answer, &mine), 0);
    assert_memory_equal(mine.hash, channel.hash, 32);
    noise_seal(&mine, "first", 5, sealed[0]);
    noise_seal(&mine, "other", 5, sealed[1]);
    struct attest_noise_channel copy = channel;
    assert_int_equal(attest_noise_open(&copy, sealed[1], 5, plain), -1);
    assert_int_equal(attest_noise_open(&channel, sealed[0], 5, plain), 0);
    assert_memory_equal(plain, "first", 5);
    copy = channel;
    assert_int_equal(attest_noise_open(&copy, sealed[0], 5, plain), -1);
    assert_int_equal(attest_noise_open(&channel, sealed[1], 5, plain), 0);
    assert_memory_equal(plain, "other", 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(test_##name, reset)
    const struct CMUnitTest tests[] = {
        TEST(released),         TEST(policy),           TEST(other_enclaves),
        TEST(quotes_of_others), TEST(other_name),       TEST(keys),
        TEST(no_collateral),    TEST(nobody_there),     TEST(changed_answers),
        TEST(replayed_answers), TEST(hostile_requests), TEST(hostile_hellos),
        TEST(channel),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    free(last_quote.data);
    return failed;
}
