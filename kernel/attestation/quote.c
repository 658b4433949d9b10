/*
 * Quotes: a report for the quoting enclave, which the host knows, goes out; what comes back must be a quote of that
 * very report. The host decides whether there is a quote, and nothing about it.
 */
#include <linux/errno.h>

#include "kernel/arch/hostcall.h"
#include "kernel/attestation/attestation.h"
#include "kernel/attestation/quote_check.h"
#include "kernel/crypto/sgx_key.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/output.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

#define ANSWER_TIMEOUT_NS 60000000000ULL
#define PAUSE_MIN_NS 200000ULL
#define PAUSE_MAX_NS 10000000ULL

static bool busy;
static struct wait_queue busy_wait = {TAILQ_HEAD_INITIALIZER(busy_wait.entries)};

static int pause_until(uint64_t deadline_ns)
{
    int r;

    do {
        task_prepare_sleep(true);
        r = task_sleep(deadline_ns);
    } while (r == 0);
    return r == -ETIMEDOUT ? 0 : -ERESTARTSYS;
}

/* The first piece, once it is there: the answer's size. */
static int await(void *answer, size_t max)
{
    uint64_t now = time_monotonic_ns(), deadline = now + ANSWER_TIMEOUT_NS;

    for (uint64_t pause = PAUSE_MIN_NS;; pause = MIN(pause * 2, PAUSE_MAX_NS)) {
        int r = hostcall_quote_read(0, answer, max);
        if (r != -EAGAIN)
            return r;
        now = time_monotonic_ns();
        if (now >= deadline)
            return -ETIMEDOUT;
        r = pause_until(now + pause);
        if (r < 0)
            return r;
    }
}

/* The size of the answer, which fits max. */
static int ask(enum quote_op op, const void *report, size_t report_size, uint8_t *answer, size_t max)
{
    int r = output_settle();
    if (r == 0)
        r = hostcall_quote_begin(op, report, report_size);
    if (r < 0)
        return r;
    int size = await(answer, max);
    if (size < 0)
        return size;
    if ((size_t)size > max)
        return -EBADMSG;
    for (size_t at = HOSTCALL_DATA_SIZE; at < (size_t)size; at += HOSTCALL_DATA_SIZE) {
        r = hostcall_quote_read(at, answer + at, max - at);
        if (r != size)
            return r < 0 ? r : -EBADMSG;
    }
    return size;
}

static int make(const uint8_t report_data[64], uint8_t *quote)
{
    struct sgx_targetinfo target;
    struct sgx_report report;

    int r = ask(QUOTE_TARGET, NULL, 0, (uint8_t *)&target, sizeof(target));
    if (r >= 0 && (r != sizeof(target) || !targetinfo_ok(&target)))
        r = -EBADMSG;
    if (r < 0)
        return r;
    sgx_report(&target, report_data, &report);
    r = ask(QUOTE_MAKE, &report, sizeof(report), quote, QUOTE_SIZE_MAX);
    if (r >= 0 && !quote_is_of(quote, (size_t)r, &report.body))
        r = -EBADMSG;
    return r;
}

int quote_make(const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size)
{
    uint8_t data[64]; /* while this sleeps the caller's may change */
    memcpy(data, report_data, sizeof(data));
    uint8_t *quote = kmalloc(QUOTE_SIZE_MAX);
    if (!quote)
        return -ENOMEM;
    int r = wait_event(&busy_wait, !busy);
    if (r == 0) {
        busy = true;
        r = make(data, quote);
        busy = false;
        wake_up(&busy_wait, 0);
    }
    if (r < 0) {
        if (r == -EBADMSG)
            printk(LOG_WARNING, "cofre: what the host brings is no quote of this enclave\n");
        kfree(quote);
        return r;
    }
    *ret_quote = quote;
    *ret_size = (size_t)r;
    return 0;
}
