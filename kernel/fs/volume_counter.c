/* A volume's counter elsewhere (contract in volume_counter.h). */
#include "kernel/fs/volume_counter.h"

#include <linux/errno.h>

#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

_Static_assert(COUNTER_MESSAGE_MAX <= VOLUME_ANCHOR_MESSAGE && TLS_CHUNK <= VOLUME_ANCHOR_MESSAGE, "abi/volume.h");

#define RETRY_FIRST_NS 20000000ULL
#define RETRY_MAX_NS 1000000000ULL

static ssize_t exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    struct volume_remote_anchor *a = arg;
    return volume_disk_anchor_exchange(a->disk, fresh ? VOLUME_ANCHOR_FRESH : 0, message, size, ret_answer,
                                       COUNTER_MESSAGE_MAX, a->deadline_ns);
}

static ssize_t carry(void *arg, bool fresh, bool wait, const void *bytes, size_t size, void *ret_bytes)
{
    struct volume_remote_anchor *a = arg;
    unsigned flags = VOLUME_ANCHOR_STREAM | (fresh ? VOLUME_ANCHOR_FRESH : 0) | (wait ? 0 : VOLUME_ANCHOR_SEND);
    return volume_disk_anchor_exchange(a->disk, flags, bytes, size, ret_bytes, wait ? TLS_CHUNK : 0, a->deadline_ns);
}

static void fill_random(void *arg, void *buf, size_t size)
{
    (void)arg;
    random_bytes(buf, size);
}

static void sleep_until(uint64_t deadline_ns)
{
    do
        task_prepare_sleep(false);
    while (task_sleep(deadline_ns) == 0);
}

/* What a person needs to find out whose fault it is. */
static void tell_marble(const struct volume_remote_anchor *a, int error)
{
    const struct marble_counter *m = a->marble;
    if (error == -EACCES || error == -EIO)
        printk(LOG_WARNING, "volume %s: MarbleRun at %s answers with HTTP status %u\n", a->disk->path, a->address,
               m->status);
    else if (error == -EPROTO && m->tls.failure)
        printk(LOG_WARNING, "volume %s: TLS with MarbleRun at %s failed: %s %d\n", a->disk->path, a->address,
               m->tls.failure >= BR_ERR_RECV_FATAL_ALERT ? "it sent alert" : "BearSSL's error",
               m->tls.failure % BR_ERR_RECV_FATAL_ALERT);
}

/* Once when it begins, once when it is over. */
static void tell(struct volume_remote_anchor *a, int error)
{
    if (a->complained == (error < 0))
        return;
    a->complained = error < 0;
    if (a->marble && error < 0)
        tell_marble(a, error);
    if (error == 0)
        printk(LOG_WARNING, "volume %s: its anchor %s answers again\n", a->disk->path, a->address);
    else
        printk(LOG_WARNING, "volume %s: its anchor %s %s; it is asked again and again\n", a->disk->path, a->address,
               error == -EPROTO ? "is not the one that the policy names, or what it says was changed on the way"
                                : "does not answer");
}

static int ask(struct volume_remote_anchor *a, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
               uint64_t *ret_previous)
{
    return a->marble ? marble_raise(a->marble, key, value, ret_previous)
                     : counter_raise(&a->client, key, expected, value, ret_previous);
}

static int raise(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                 uint64_t *ret_previous)
{
    struct volume_remote_anchor *a = arg;
    uint64_t pause_ns = RETRY_FIRST_NS, now_ns = time_monotonic_ns();
    a->deadline_ns = now_ns + a->timeout_ns;
    for (;;) {
        int error = ask(a, key, expected, value, ret_previous);
        tell(a, error);
        if (error == 0 || error == -EACCES)
            return error;
        now_ns = time_monotonic_ns();
        if (now_ns + pause_ns >= a->deadline_ns)
            return error == -EPROTO ? error : -EHOSTUNREACH;
        sleep_until(now_ns + pause_ns);
        pause_ns = MIN(2 * pause_ns, RETRY_MAX_NS);
    }
}

void volume_remote_anchor_init(struct volume_remote_anchor *a, struct volume_disk *disk, const char *address,
                               const uint8_t counter_public[X25519_SIZE], uint64_t timeout_ns)
{
    *a = (struct volume_remote_anchor){.anchor = {a, raise},
                                       .client = {.exchange = exchange, .random = fill_random, .arg = a},
                                       .disk = disk,
                                       .address = address,
                                       .timeout_ns = timeout_ns};
    memcpy(a->client.counter_public, counter_public, sizeof(a->client.counter_public));
}

void volume_marble_anchor_init(struct volume_remote_anchor *a, struct volume_disk *disk, const char *address,
                               struct marble_counter *marble, uint64_t timeout_ns)
{
    *a = (struct volume_remote_anchor){.anchor = {.arg = a, .raise = raise, .raises_only = true},
                                       .marble = marble,
                                       .disk = disk,
                                       .address = address,
                                       .timeout_ns = timeout_ns};
    marble->tls.carry = carry;
    marble->tls.random = fill_random;
    marble->tls.arg = a;
}
