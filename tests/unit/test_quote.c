/* The kernel's side of quotes, against hosts that answer well, badly, late and never (kernel/attestation/quote.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <linux/errno.h>

#include "kernel/arch/hostcall.h"
#include "kernel/attestation/attestation.h"
#include "kernel/attestation/quote_check.h"
#include "kernel/crypto/sgx_key.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/output.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"
#include "sgx_machine.h"

/* Nothing is held back here. */
bool output_held;
int output_wait(void)
{
    return 0;
}

#define SIGNATURE_SIZE 4000
#define QUOTE_SIZE (48 + 384 + 4 + SIGNATURE_SIZE)

/* ---- the rest of the kernel, as far as this needs it ---- */

static uint64_t now_ns;
static int signal_after; /* sleeps until a signal arrives; 0: none */
static size_t allocated;

uint64_t time_monotonic_ns(void)
{
    return now_ns;
}

void task_prepare_sleep(bool interruptible)
{
    assert_true(interruptible);
}

int task_sleep(uint64_t deadline_ns)
{
    if (signal_after && --signal_after == 0)
        return -EINTR;
    assert_true(deadline_ns > now_ns);
    now_ns = deadline_ns;
    return -ETIMEDOUT;
}

void task_cancel_sleep(void)
{
    fail();
}

void wait_entry_init(struct wait_entry *entry, struct task *task)
{
    fail();
}

void wait_queue_add(struct wait_queue *queue, struct wait_entry *entry)
{
    fail();
}

void wait_queue_remove(struct wait_entry *entry)
{
    fail();
}

void wake_up(struct wait_queue *queue, uint32_t events)
{
}

void *kmalloc(size_t size)
{
    allocated++;
    return malloc(size);
}

void kfree(void *p)
{
    allocated -= p != NULL;
    free(p);
}

void printk(enum log_level level, const char *format, ...)
{
}

/* ---- the host ---- */

enum lie {
    HONEST,
    TARGET_SHORT,
    TARGET_RESERVED,
    TARGET_ERROR,
    REPORT_OTHER, /* a quote of another report */
    DATA_OTHER,   /* a quote of this enclave with other data */
    SIGNATURE_LENGTH,
    TRUNCATED,
    LONGER,
    EMPTY,
    SIZE_CHANGES,
    FAILS_HALFWAY,
    REFUSED,
    LATE,
    NEVER,
};

static enum lie lie;
static uint16_t version;
static uint8_t answer[QUOTE_SIZE_MAX];
static int answer_size;
static unsigned reads, late_reads;

/* What a quoting enclave would make of the report; the signature is of no interest to the kernel. */
static int make_quote(const struct sgx_report *report)
{
    uint8_t *at = answer;
    uint32_t size = SIGNATURE_SIZE;
    struct {
        uint16_t version, key_type;
        uint32_t tee_type;
        uint8_t rest[40];
    } header = {.version = version, .key_type = 2};

    memcpy(at, &header, sizeof(header));
    at += sizeof(header);
    if (version == 5) {
        memcpy(at, (const uint8_t[]){1, 0, 384 & 0xff, 384 >> 8, 0, 0}, 6);
        at += 6;
    }
    memcpy(at, &report->body, sizeof(report->body));
    at += sizeof(report->body);
    memcpy(at, &size, sizeof(size));
    at += sizeof(size);
    for (uint32_t i = 0; i < size; i++)
        at[i] = (uint8_t)(i * 7);
    return (int)(at - answer + size);
}

static void spoil_quote(void)
{
    struct sgx_report_body *body = (void *)(answer + 48);

    switch (lie) {
    case REPORT_OTHER:
        body->mrenclave[0] ^= 1;
        break;
    case DATA_OTHER:
        body->reportdata[63] ^= 1;
        break;
    case SIGNATURE_LENGTH:
        answer[432 + 2] = 1;
        break;
    case TRUNCATED:
        answer_size--;
        break;
    case LONGER:
        answer_size++;
        break;
    case EMPTY:
        answer_size = 0;
        break;
    default:
        break;
    }
}

int hostcall_quote_begin(enum quote_op op, const void *report, size_t size)
{
    reads = 0;
    if (op == QUOTE_TARGET) {
        struct sgx_targetinfo target = {.attributes = 5, .xfrm = 3};
        memset(target.mrenclave, 0x33, sizeof(target.mrenclave));
        target.reserved3[200] = lie == TARGET_RESERVED;
        memcpy(answer, &target, sizeof(target));
        answer_size = lie == TARGET_SHORT ? 511 : lie == TARGET_ERROR ? -ENODEV : (int)sizeof(target);
        return 0;
    }
    assert_int_equal(op, QUOTE_MAKE);
    assert_int_equal(size, sizeof(struct sgx_report));
    answer_size = make_quote(report);
    spoil_quote();
    return lie == REFUSED ? -EPERM : 0;
}

int hostcall_quote_read(uint64_t offset, void *data, size_t max)
{
    reads++;
    if (lie == NEVER || (lie == LATE && late_reads < 20 && late_reads++ < 20))
        return -EAGAIN;
    if (reads == 2 && answer_size > 1000 && lie == FAILS_HALFWAY)
        return -EIO;
    if (answer_size > (int)offset) {
        size_t size = (size_t)answer_size - offset < max ? (size_t)answer_size - offset : max;
        memcpy(data, answer + offset, size < HOSTCALL_DATA_SIZE ? size : HOSTCALL_DATA_SIZE);
    }
    return answer_size + (reads == 2 && answer_size > 1000 && lie == SIZE_CHANGES);
}

/* ---- tests ---- */

static const uint8_t report_data[64] = "what a program wants to be attested with";

static int make(enum lie the_lie, uint8_t **ret_quote, size_t *ret_size)
{
    lie = the_lie;
    late_reads = 0;
    return quote_make(report_data, ret_quote, ret_size);
}

static void honest_host(void **state)
{
    (void)state;
    for (version = 3; version <= 5; version++) {
        uint8_t *quote;
        size_t size;
        size_t header = version == 5 ? 54 : 48;
        assert_int_equal(make(HONEST, &quote, &size), 0);
        assert_int_equal(size, QUOTE_SIZE + header - 48);
        assert_memory_equal(quote + header + offsetof(struct sgx_report_body, reportdata), report_data, 64);
        assert_memory_equal(quote, answer, size);
        kfree(quote);
    }
    version = 3;
    assert_int_equal(allocated, 0);
}

static void lying_host(void **state)
{
    static const struct {
        enum lie lie;
        int error;
    } cases[] = {
        {TARGET_SHORT, -EBADMSG}, {TARGET_RESERVED, -EBADMSG},  {TARGET_ERROR, -ENODEV}, {REPORT_OTHER, -EBADMSG},
        {DATA_OTHER, -EBADMSG},   {SIGNATURE_LENGTH, -EBADMSG}, {TRUNCATED, -EBADMSG},   {LONGER, -EBADMSG},
        {EMPTY, -EBADMSG},        {SIZE_CHANGES, -EBADMSG},     {FAILS_HALFWAY, -EIO},   {REFUSED, -EPERM},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *quote = NULL;
        size_t size = 0;
        assert_int_equal(make(cases[i].lie, &quote, &size), cases[i].error);
        assert_null(quote);
        assert_int_equal(allocated, 0);
        /* and nothing of it is left behind */
        assert_int_equal(make(HONEST, &quote, &size), 0);
        kfree(quote);
    }
}

static void slow_host(void **state)
{
    uint8_t *quote = NULL;
    size_t size = 0;
    uint64_t start;
    (void)state;

    assert_int_equal(make(LATE, &quote, &size), 0);
    kfree(quote);
    start = now_ns;
    assert_int_equal(make(NEVER, &quote, &size), -ETIMEDOUT);
    assert_true(now_ns - start >= 60000000000ULL && now_ns - start < 61000000000ULL);
    signal_after = 5;
    assert_int_equal(make(NEVER, &quote, &size), -ERESTARTSYS);
    assert_int_equal(allocated, 0);
    assert_int_equal(make(HONEST, &quote, &size), 0);
    kfree(quote);
}

/* No prefix of a quote is one; no bit of what the kernel looks at may differ. */
static void every_prefix_and_bit(void **state)
{
    struct sgx_targetinfo target = {0};
    struct sgx_report report;
    (void)state;

    sgx_report(&target, report_data, &report);
    for (version = 3; version <= 5; version++) {
        size_t size = (size_t)make_quote(&report), looked_at = size - SIGNATURE_SIZE;
        assert_true(quote_is_of(answer, size, &report.body));
        for (size_t n = 0; n < size; n++) {
            uint8_t *copy = malloc(n ? n : 1); /* of its own size: reading past it would be noticed */
            memcpy(copy, answer, n);
            assert_false(quote_is_of(copy, n, &report.body));
            free(copy);
        }
        for (size_t bit = 0; bit < looked_at * 8; bit++) {
            size_t byte = bit / 8;
            bool free_field = byte >= 8 && byte < 48; /* SVNs, vendor, user data */
            /* Versions 3 and 4 have the same form as far as this is concerned. */
            bool other_version = byte == 0 && version != 5 && (answer[0] ^ 1U << bit) == (version == 3 ? 4U : 3U);
            answer[byte] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(quote_is_of(answer, size, &report.body), free_field || other_version);
            answer[byte] ^= (uint8_t)(1 << bit % 8);
        }
    }
    version = 3;
}

int main(void)
{
    static const struct sgx_identity identity = {.mrenclave = 0x11, .mrsigner = 0x22, .isvprodid = 3, .xfrm = 3};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_host),
        cmocka_unit_test(lying_host),
        cmocka_unit_test(slow_host),
        cmocka_unit_test(every_prefix_and_bit),
    };
    version = 3;
    sgx_machine_run(identity);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
