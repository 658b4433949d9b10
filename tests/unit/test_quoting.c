/* The host's side of quotes: AESM's messages, the service thread, the software quoting enclave and what verifies it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "abi/hostcall.h"
#include "attest/verify.h"
#include "host/quote/aesm_message.h"
#include "host/quote/protobuf.h"
#include "host/quote/quoting.h"
#include "host/quote/service.h"
#include "host/quote/simulation.h"
#include "host/quote/simulation_pki.h"
#include "host/softsgx/softsgx.h"

struct softsgx softsgx;
bool softsgx_touch(uint64_t addr, uint64_t size, uint32_t need)
{
    return true;
}

/* ---- messages ---- */

/* What protoc makes of AESM's message definitions: the bytes before and after the key's identity. */
static void requests(void **state)
{
    static const struct {
        enum aesm_call call;
        size_t before, report_at, after_size;
        uint8_t head[16], after[10];
    } cases[] = {
        {AESM_INIT_QUOTE_EX,
         6,
         0,
         9,
         {0x7a, 0x8c, 0x02, 0x0a, 0x80, 0x02},
         {0x18, 1, 0x20, 32, 0x48, 0xc0, 0xc3, 0x93, 7}},
        {AESM_GET_QUOTE_SIZE_EX, 7, 0, 5, {0x82, 1, 0x88, 2, 0x0a, 0x80, 2}, {0x48, 0xc0, 0xc3, 0x93, 7}},
        {AESM_GET_QUOTE_EX,
         442,
         7,
         8,
         {0x8a, 1, 0xbe, 5, 0x0a, 0xb0, 3},
         {0x20, 0xf8, 0x23, 0x48, 0xc0, 0xc3, 0x93, 7}},
        {AESM_SELECT_ATT_KEY_ID,
         15,
         0,
         5,
         {0x9a, 1, 0x90, 2, 0x0a, 0x88, 2, 0, 0, 0, 0, 1, 0, 0, 0},
         {0x10, 0xc0, 0xc3, 0x93, 7}},
    };
    uint8_t report[QUOTING_REPORT_SIZE], out[2048];
    (void)state;

    memset(report, 0x5a, sizeof(report));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t before = cases[i].before, size = before + AESM_KEY_ID_SIZE + cases[i].after_size;
        assert_int_equal(aesm_encode(cases[i].call, aesm_key_id_ecdsa, report, 4600, out, sizeof(out)), size);
        if (cases[i].report_at) {
            assert_memory_equal(out, cases[i].head, 7);
            assert_memory_equal(out + 7, report, sizeof(report));
            assert_memory_equal(out + before - 3, ((uint8_t[]){0x12, 0x80, 2}), 3);
        } else {
            assert_memory_equal(out, cases[i].head, before);
        }
        assert_memory_equal(out + before, aesm_key_id_ecdsa, AESM_KEY_ID_SIZE);
        assert_memory_equal(out + before + AESM_KEY_ID_SIZE, cases[i].after, cases[i].after_size);
        for (size_t room = 0; room < size; room++)
            assert_int_equal(aesm_encode(cases[i].call, aesm_key_id_ecdsa, report, 4600, out, room), 0);
    }
}

/* An answer: error, and a value in field 2. */
static size_t encode_answer(enum aesm_call call, uint64_t error, const void *bytes, size_t size, uint8_t *out,
                            size_t max)
{
    uint8_t body[1024];
    struct protobuf_writer message = {.data = body, .size = sizeof(body)}, answer = {.data = out, .size = max};
    protobuf_put_number(&message, 1, error);
    if (bytes)
        protobuf_put_bytes(&message, 2, bytes, size);
    else if (call == AESM_GET_QUOTE_SIZE_EX)
        protobuf_put_number(&message, 2, size);
    protobuf_put_bytes(&answer, call, body, message.used);
    assert_false(message.failed || answer.failed);
    return answer.used;
}

static void answers(void **state)
{
    uint8_t value[512], out[2048];
    struct aesm_answer answer;
    size_t size;
    (void)state;

    memset(value, 0xa5, sizeof(value));
    size = encode_answer(AESM_INIT_QUOTE_EX, 0, value, sizeof(value), out, sizeof(out));
    assert_true(aesm_decode(AESM_INIT_QUOTE_EX, out, size, &answer));
    assert_int_equal(answer.error, 0);
    assert_int_equal(answer.size, sizeof(value));
    assert_memory_equal(answer.bytes, value, sizeof(value));
    assert_false(aesm_decode(AESM_GET_QUOTE_EX, out, size, &answer)); /* the answer to another call */
    for (size_t n = 0; n < size; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, out, n);
        assert_false(aesm_decode(AESM_INIT_QUOTE_EX, copy, n, &answer));
        free(copy);
    }
    memcpy(out + size, out, size); /* twice */
    assert_false(aesm_decode(AESM_INIT_QUOTE_EX, out, 2 * size, &answer));

    size = encode_answer(AESM_GET_QUOTE_SIZE_EX, 0, NULL, 4600, out, sizeof(out));
    assert_true(aesm_decode(AESM_GET_QUOTE_SIZE_EX, out, size, &answer));
    assert_int_equal(answer.number, 4600);
    size = encode_answer(AESM_GET_QUOTE_SIZE_EX, 0, value, 4, out, sizeof(out)); /* of the wrong type */
    assert_false(aesm_decode(AESM_GET_QUOTE_SIZE_EX, out, size, &answer));
    size = encode_answer(AESM_GET_QUOTE_EX, 12, NULL, 0, out, sizeof(out)); /* an error needs no value */
    assert_true(aesm_decode(AESM_GET_QUOTE_EX, out, size, &answer));
    assert_int_equal(answer.error, 12);
    size = encode_answer(AESM_GET_QUOTE_EX, 0, NULL, 0, out, sizeof(out)); /* but success does */
    assert_false(aesm_decode(AESM_GET_QUOTE_EX, out, size, &answer));
}

static void malformed_fields(void **state)
{
    static const struct {
        size_t size;
        uint8_t bytes[16];
    } cases[] = {
        {1, {0x08}},                                                                 /* no value */
        {2, {0x08, 0x80}},                                                           /* varint without an end */
        {11, {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}},    /* varint over 64 bits */
        {12, {0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}}, /* varint over 10 bytes */
        {2, {0x00, 0x01}},                                                           /* field 0 */
        {1, {0x0b}},                                                                 /* group */
        {2, {0x0f, 0x00}},                                                           /* wire type 7 */
        {2, {0x0a, 0x01}},                                                           /* bytes past the end */
        {11, {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},    /* a length of 2^64 - 1 */
        {8, {0x09, 1, 2, 3, 4, 5, 6, 7}},                                            /* fixed64 of 7 bytes */
        {4, {0x0d, 1, 2, 3}},                                                        /* fixed32 of 3 bytes */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *copy = malloc(cases[i].size);
        struct protobuf_field field;
        memcpy(copy, cases[i].bytes, cases[i].size);
        struct protobuf_reader reader = {.at = copy, .end = copy + cases[i].size};
        assert_false(protobuf_next(&reader, &field));
        assert_true(reader.failed);
        free(copy);
    }
}

/* ---- the service thread ---- */

static int hang_pipe[2];
static uint8_t fake_fill;
static size_t fake_size;

static int fake_target(uint8_t ret_targetinfo[QUOTING_TARGETINFO_SIZE], char **ret_error)
{
    char byte;
    if (fake_fill == 0xdd && read(hang_pipe[0], &byte, 1) != 1)
        return -EIO;
    memset(ret_targetinfo, fake_fill, QUOTING_TARGETINFO_SIZE);
    return 0;
}

static int fake_quote(const uint8_t report[QUOTING_REPORT_SIZE], uint8_t *ret_quote, size_t max, size_t *ret_size,
                      char **ret_error)
{
    for (size_t i = 0; i < fake_size; i++)
        ret_quote[i] = (uint8_t)(report[i % QUOTING_REPORT_SIZE] + i / 256);
    *ret_size = fake_size;
    return 0;
}

static const struct quoting_ops fake = {"fake", fake_target, fake_quote};

static int64_t wait_answer(uint8_t *data)
{
    int64_t result = -EAGAIN;
    for (int i = 0; i < 5000 && result == -EAGAIN; i++) {
        result = quote_service_call(QUOTE_READ, 0, data);
        if (result == -EAGAIN)
            usleep(1000);
    }
    return result;
}

static void service(void **state)
{
    uint8_t data[HOSTCALL_DATA_SIZE], report[QUOTING_REPORT_SIZE];
    (void)state;

    assert_int_equal(quote_service_call(QUOTE_TARGET, 0, data), -ENODEV);
    quote_service_init(&fake);
    assert_int_equal(quote_service_call(QUOTE_READ, 0, data), -EINVAL); /* of what? */
    assert_int_equal(quote_service_call(77, 0, data), -ENOSYS);
    fake_fill = 0xaa;
    assert_int_equal(quote_service_call(QUOTE_TARGET, 0, data), 0);
    assert_int_equal(wait_answer(data), QUOTING_TARGETINFO_SIZE);
    assert_int_equal(data[511], 0xaa);

    fake_size = 5000;
    for (size_t i = 0; i < sizeof(report); i++)
        report[i] = data[i] = (uint8_t)(i * 3);
    assert_int_equal(quote_service_call(QUOTE_MAKE, 0, data), 0);
    for (size_t at = 0; at < fake_size; at += HOSTCALL_DATA_SIZE) {
        assert_int_equal(at ? quote_service_call(QUOTE_READ, at, data) : wait_answer(data), fake_size);
        for (size_t i = at; i < fake_size && i < at + HOSTCALL_DATA_SIZE; i++)
            assert_int_equal(data[i - at], (uint8_t)(report[i % QUOTING_REPORT_SIZE] + i / 256));
    }
    memset(data, 0x77, sizeof(data));
    assert_int_equal(quote_service_call(QUOTE_READ, UINT64_MAX, data), fake_size); /* beyond: nothing */
    assert_int_equal(data[0], 0x77);
}

/* A question is abandoned by the next, however long the quoting enclave takes for it. */
static void abandoned(void **state)
{
    uint8_t data[HOSTCALL_DATA_SIZE] = {0};
    (void)state;

    assert_int_equal(pipe(hang_pipe), 0);
    fake_fill = 0xdd;
    assert_int_equal(quote_service_call(QUOTE_TARGET, 0, data), 0);
    usleep(20000);
    assert_int_equal(quote_service_call(QUOTE_READ, 0, data), -EAGAIN);
    fake_size = 700;
    data[0] = 0x42;
    assert_int_equal(quote_service_call(QUOTE_MAKE, 0, data), 0);
    assert_int_equal(quote_service_call(QUOTE_READ, 0, data), -EAGAIN);
    assert_int_equal(write(hang_pipe[1], "x", 1), 1);
    assert_int_equal(wait_answer(data), 700);
    assert_int_equal(data[0], 0x42);
}

/* ---- the software quoting enclave ---- */

static void make_report(const uint8_t target[QUOTING_TARGETINFO_SIZE], uint8_t ret_report[QUOTING_REPORT_SIZE])
{
    static uint8_t target_copy[512] __attribute__((aligned(512))), data[64] __attribute__((aligned(128))) = "bound",
                                                                            out[432] __attribute__((aligned(512)));
    struct softsgx_fault fault;
    memcpy(target_copy, target, sizeof(target_copy));
    assert_int_equal(softsgx_ereport((uint64_t)target_copy, (uint64_t)data, (uint64_t)out, &fault), 0);
    memcpy(ret_report, out, sizeof(out));
}

/* What our own verifier says of a quote, given the exported collateral, and with the root trusted or not. */
static void verify(const uint8_t *quote, size_t size, const char *folder, bool trusted,
                   struct attest_result *ret_result)
{
    char path[512], *error = NULL;
    struct attest_roots roots;

    attest_roots_init(&roots);
    snprintf(path, sizeof(path), "%s/root.pem", folder);
    if (trusted)
        assert_int_equal(attest_roots_add_file(&roots, path, true, &error), 0);
    struct attest_collateral *collateral = attest_collateral_load(folder, &roots, &error);
    assert_non_null(collateral);
    attest_verify_quote(quote, size, collateral, &roots, time(NULL), ret_result);
    attest_collateral_free(collateral);
}

static void check_verified(const uint8_t *quote, size_t size, const uint8_t *report, const char *folder)
{
    static struct attest_result result;

    verify(quote, size, folder, true, &result);
    assert_string_equal(result.reason, "");
    assert_int_equal(result.outcome, ATTEST_OUTCOME_VERIFIED);
    assert_int_equal(result.tcb_status, ATTEST_TCB_UP_TO_DATE);
    assert_true(result.simulation);
    assert_memory_equal(result.qe_id, SIMULATION_QE_ID, 16);
    assert_memory_equal(&result.sgx, report, sizeof(result.sgx));
}

static void software(void **state)
{
    static uint8_t bytes[QUOTE_SIZE_MAX];
    uint8_t target[QUOTING_TARGETINFO_SIZE], report[QUOTING_REPORT_SIZE];
    static struct attest_result result;
    char folder[256], *error = NULL;
    size_t size = 0;
    (void)state;

    softsgx.created = true;
    softsgx.secs.size = UINT64_MAX;
    softsgx.secs.attributes = SGX_ATTR_INIT | SGX_ATTR_MODE64BIT;
    softsgx.secs.xfrm = 3;
    assert_int_equal(softsgx_secret_load(), 0);
    assert_int_equal(simulation_provision(&error), 0);
    assert_int_equal(simulation_provision(&error), 0); /* again: as before */
    assert_int_equal(quoting_software.target(target, &error), 0);
    make_report(target, report);
    snprintf(folder, sizeof(folder), "%s/exported", getenv("XDG_STATE_HOME"));
    assert_int_equal(simulation_export(folder, &error), 0);
    for (int i = 0; i < 200; i++) { /* enough that some r or s begins with a zero byte */
        assert_int_equal(quoting_software.quote(report, bytes, sizeof(bytes), &size, &error), 0);
        check_verified(bytes, size, report, folder);
    }
    verify(bytes, size, folder, false, &result);
    assert_int_equal(result.outcome, ATTEST_OUTCOME_REJECTED);
    assert_int_equal(result.failed_check, ATTEST_CHECK_ROOT);
    for (size_t byte = 0; byte < sizeof(report); byte += 7) {
        report[byte] ^= 0x10;
        assert_int_equal(quoting_software.quote(report, bytes, sizeof(bytes), &size, &error), -EBADMSG);
        assert_non_null(strstr(error, "not made for this quoting enclave"));
        report[byte] ^= 0x10;
    }
    target[0] ^= 1; /* a report for another enclave */
    make_report(target, report);
    assert_int_equal(quoting_software.quote(report, bytes, sizeof(bytes), &size, &error), -EBADMSG);
    free(error);
}

int main(void)
{
    char folder[] = "/tmp/cofre-quoting-XXXXXX", command[64];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests), cmocka_unit_test(answers),   cmocka_unit_test(malformed_fields),
        cmocka_unit_test(service),  cmocka_unit_test(abandoned), cmocka_unit_test(software),
    };
    if (!mkdtemp(folder))
        return 1;
    setenv("XDG_STATE_HOME", folder, 1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command) ? 1 : failed;
}
