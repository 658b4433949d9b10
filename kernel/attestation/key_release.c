/* Keys after attestation: the way through the host, and trying again (contract in key_release.h). */
#include "kernel/attestation/key_release.h"

#include <linux/errno.h>

#include "abi/hostcall.h"
#include "kernel/arch/hostcall.h"
#include "kernel/attestation/attestation.h"
#include "kernel/attestation/key_request.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

_Static_assert(KEY_QUOTE_SIZE_MAX == QUOTE_SIZE_MAX, "any quote can be shown");

#define POLL_MIN_NS 200000ULL
#define POLL_MAX_NS 20000000ULL
#define RETRY_FIRST_NS 100000000ULL
#define RETRY_MAX_NS 2000000000ULL

static void sleep_until(uint64_t time_ns)
{
    do
        task_prepare_sleep(false);
    while (task_sleep(time_ns) == 0);
}

static ssize_t exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    const uint64_t *deadline_ns = arg;
    int result = 0;
    for (size_t at = 0, n; result == 0 && at < size; at += n) {
        n = MIN(size - at, (size_t)HOSTCALL_DATA_SIZE);
        result = hostcall_key_put(at, (const uint8_t *)message + at, n);
    }
    if (result == 0)
        result = hostcall_key_send(size, fresh);
    if (result < 0)
        return result;
    for (uint64_t pause_ns = POLL_MIN_NS;; pause_ns = MIN(2 * pause_ns, POLL_MAX_NS)) {
        result = hostcall_key_read(ret_answer, KEY_ANSWER_MAX);
        uint64_t now_ns = time_monotonic_ns();
        if (result != -EAGAIN)
            return result;
        if (now_ns >= *deadline_ns)
            return -ETIMEDOUT;
        sleep_until(now_ns + pause_ns);
    }
}

static void fill_random(void *arg, void *buf, size_t size)
{
    (void)arg;
    random_bytes(buf, size);
}

static int make_quote(void *arg, const uint8_t data[64], uint8_t **ret_quote, size_t *ret_size)
{
    (void)arg;
    return quote_make(data, ret_quote, ret_size);
}

/* May another try come out differently? */
static bool may_pass(enum key_outcome outcome)
{
    return outcome == KEY_NO_ANSWER || outcome == KEY_NOT_SERVER || outcome == KEY_SERVER_FAILED;
}

void key_release(const char *what, const char *name, uint8_t *ret_key, size_t key_size)
{
    const struct policy_service *server = &policy()->key_server;
    uint64_t now_ns = time_monotonic_ns(), deadline_ns = now_ns + server->timeout_ms * 1000000ULL;
    const struct key_carrier carrier = {exchange, fill_random, make_quote, &deadline_ns};
    enum key_outcome outcome;
    for (uint64_t pause_ns = RETRY_FIRST_NS;; pause_ns = MIN(2 * pause_ns, RETRY_MAX_NS)) {
        outcome = key_request(&carrier, server->public_key, name, ret_key, key_size);
        if (outcome == KEY_RELEASED)
            return;
        now_ns = time_monotonic_ns();
        if (!may_pass(outcome) || now_ns + pause_ns >= deadline_ns)
            break;
        sleep_until(now_ns + pause_ns);
    }
    refuse(STATUS_REFUSED, "the key of %s was not released: %s", what, key_outcome_text(outcome));
}
