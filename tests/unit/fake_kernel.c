/* A kernel side for pump tests. */
#include "tests/unit/fake_kernel.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void arena_use(struct fake_kernel *k)
{
    k->arena = (uint8_t *)(uintptr_t)pump_arena(k->pump).addr;
    k->header = (struct arena_header *)k->arena;
    assert(k->header->magic == ARENA_MAGIC);
    k->channels = (struct channel *)(k->arena + k->header->channels_offset);
    k->fake = calloc(k->header->channel_count, sizeof(*k->fake));
    assert(k->fake);
}

struct fake_kernel *fake_kernel_new(const struct pump_config *config)
{
    struct fake_kernel *k = calloc(1, sizeof(*k));
    char *error = NULL;

    assert(k);
    if (pump_new(config, &k->pump, &error) < 0 || pump_start(k->pump, &error) < 0) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    arena_use(k);
    k->ready = (struct arena_queue *)(k->arena + k->header->ready_offset);
    k->dirty = (struct arena_queue *)(k->arena + k->header->dirty_offset);
    k->next_even = CHANNEL_FIRST_SOCKET + 1;
    return k;
}

struct fake_kernel *fake_member_new(const struct fake_kernel *init, uint32_t member)
{
    struct fake_kernel *k = calloc(1, sizeof(*k));
    struct boot_blob queues;
    char *error = NULL;

    assert(k);
    if (pump_new_member(init->pump, member, &k->pump, &error) < 0 || pump_start(k->pump, &error) < 0) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    arena_use(k);
    queues = pump_queues(k->pump);
    assert(queues.size == 2 * MEMBER_QUEUE_SIZE(k->header->channel_count));
    k->ready = (struct arena_queue *)(uintptr_t)queues.addr;
    k->dirty = (struct arena_queue *)(uintptr_t)(queues.addr + queues.size / 2);
    return k;
}

void fake_kernel_free(struct fake_kernel *k)
{
    pump_free(k->pump);
    free(k->fake);
    free(k);
}

static void take_ready(struct fake_kernel *k, fake_ready_fn fn, void *arg)
{
    uint32_t mask = k->header->channel_count - 1;

    while (__atomic_load_n(&k->ready->head, __ATOMIC_ACQUIRE) != k->ready_tail) {
        uint32_t channel = k->ready->entries[k->ready_tail & mask];

        __atomic_store_n(&k->ready->tail, ++k->ready_tail, __ATOMIC_RELEASE);
        __atomic_exchange_n(&k->channels[channel].ready_queued, 0, __ATOMIC_SEQ_CST);
        fn(k, channel, arg);
    }
}

void fake_kernel_park(struct fake_kernel *k, uint64_t timeout_ns, fake_ready_fn fn, void *arg)
{
    struct timespec t;

    take_ready(k, fn, arg);
    clock_gettime(CLOCK_MONOTONIC, &t);
    k->parks++;
    pump_park(k->pump, timeout_ns ? (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec + timeout_ns : 0,
              &k->kicked);
    atomic_store(&k->kicked, 0);
    take_ready(k, fn, arg);
}

static void make_dirty(struct fake_kernel *k, uint32_t channel)
{
    uint32_t mask = k->header->channel_count - 1;

    if (__atomic_exchange_n(&k->channels[channel].dirty_queued, 1, __ATOMIC_ACQ_REL))
        return;
    k->dirty->entries[k->dirty_head & mask] = channel;
    __atomic_store_n(&k->dirty->head, ++k->dirty_head, __ATOMIC_RELEASE);
}

static void channel_begin(struct fake_kernel *k, uint32_t channel)
{
    memset(&k->fake[channel], 0, sizeof(k->fake[channel]));
    k->fake[channel].open = true;
}

int64_t fake_op(struct fake_kernel *k, struct hostcall_socket *op)
{
    return pump_socket(k->pump, op);
}

uint32_t fake_socket(struct fake_kernel *k, int family, int type)
{
    struct hostcall_socket op = {.op = SOCKET_CREATE, .channel = k->next_even, .family = family, .type = type};

    if (fake_op(k, &op) != 0)
        return 0;
    channel_begin(k, op.channel);
    k->next_even += 2;
    return op.channel;
}

static void set_address(struct hostcall_socket *op, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(op->addr, &in, sizeof(in));
    op->addr_size = sizeof(in);
}

uint16_t fake_listen(struct fake_kernel *k, uint32_t channel, uint16_t port, int backlog)
{
    struct hostcall_socket op = {.op = SOCKET_BIND, .channel = channel};
    struct sockaddr_in in;

    set_address(&op, port);
    if (fake_op(k, &op) != 0)
        return 0;
    memcpy(&in, op.addr, sizeof(in));
    op.op = SOCKET_LISTEN;
    op.value = backlog;
    if (backlog && fake_op(k, &op) != 0)
        return 0;
    k->fake[channel].listening = backlog != 0;
    return ntohs(in.sin_port);
}

int64_t fake_connect(struct fake_kernel *k, uint32_t channel, uint16_t port)
{
    struct hostcall_socket op = {.op = SOCKET_CONNECT, .channel = channel};

    set_address(&op, port);
    return fake_op(k, &op);
}

int64_t fake_shutdown(struct fake_kernel *k, uint32_t channel, int how)
{
    struct hostcall_socket op = {.op = SOCKET_SHUTDOWN, .channel = channel, .value = how};

    return fake_op(k, &op);
}

int64_t fake_close(struct fake_kernel *k, uint32_t channel, bool reset)
{
    struct hostcall_socket op = {.op = SOCKET_CLOSE, .channel = channel, .value = reset ? CLOSE_RESET : 0};

    k->fake[channel].open = false;
    return fake_op(k, &op);
}

void fake_end(struct fake_kernel *k, uint32_t channel, uint32_t flags)
{
    k->fake[channel].open = !(flags & CHAN_K_CLOSE);
    __atomic_exchange_n(&k->channels[channel].kernel_flags, flags, __ATOMIC_SEQ_CST);
    make_dirty(k, channel);
}

static uint8_t *ring(struct fake_kernel *k, uint32_t channel, bool tx)
{
    return k->arena + k->header->rings_offset + (2ULL * channel + tx) * k->header->ring_size;
}

uint32_t fake_rx_used(struct fake_kernel *k, uint32_t channel)
{
    uint32_t used = __atomic_load_n(&k->channels[channel].rx_head, __ATOMIC_ACQUIRE) - k->fake[channel].rx_tail;

    assert(used <= k->header->ring_size);
    return used;
}

uint32_t fake_read(struct fake_kernel *k, uint32_t channel, void *buf, uint32_t size)
{
    struct fake_channel *f = &k->fake[channel];
    struct channel *s = &k->channels[channel];
    uint32_t used = fake_rx_used(k, channel), base, at, first;

    if (size > used)
        size = used;
    base = __atomic_load_n(&s->rx_base, __ATOMIC_ACQUIRE);
    at = (f->rx_tail - base) & (k->header->ring_size - 1);
    first = size < k->header->ring_size - at ? size : k->header->ring_size - at;
    memcpy(buf, ring(k, channel, false) + at, first);
    memcpy((uint8_t *)buf + first, ring(k, channel, false), size - first);
    f->rx_tail += size;
    __atomic_exchange_n(&s->rx_tail, f->rx_tail, __ATOMIC_SEQ_CST);
    if ((s->host_events & CHAN_EV_RX_FULL) && used - size <= k->header->ring_size / 2)
        make_dirty(k, channel);
    return size;
}

uint32_t fake_tx_room(struct fake_kernel *k, uint32_t channel)
{
    return k->header->ring_size -
           (k->fake[channel].tx_head - __atomic_load_n(&k->channels[channel].tx_tail, __ATOMIC_ACQUIRE));
}

uint32_t fake_write(struct fake_kernel *k, uint32_t channel, const void *buf, uint32_t size)
{
    struct fake_channel *f = &k->fake[channel];
    struct channel *s = &k->channels[channel];
    uint32_t room = fake_tx_room(k, channel), at, first;

    if (room == k->header->ring_size) {
        f->tx_base = f->tx_head;
        __atomic_store_n(&s->tx_base, f->tx_base, __ATOMIC_RELEASE);
    }
    if (size > room)
        size = room;
    if (size == 0)
        return 0;
    at = (f->tx_head - f->tx_base) & (k->header->ring_size - 1);
    first = size < k->header->ring_size - at ? size : k->header->ring_size - at;
    memcpy(ring(k, channel, true) + at, buf, first);
    memcpy(ring(k, channel, true), (const uint8_t *)buf + first, size - first);
    f->tx_head += size;
    __atomic_store_n(&s->tx_head, f->tx_head, __ATOMIC_RELEASE);
    make_dirty(k, channel);
    return size;
}

uint32_t fake_events(struct fake_kernel *k, uint32_t channel)
{
    return __atomic_load_n(&k->channels[channel].host_events, __ATOMIC_ACQUIRE);
}

void fake_want_room(struct fake_kernel *k, uint32_t channel, bool want)
{
    __atomic_exchange_n(&k->channels[channel].kernel_flags, want ? CHAN_K_WANT_ROOM : 0, __ATOMIC_SEQ_CST);
    if (want)
        make_dirty(k, channel);
}

int64_t fake_share(struct fake_kernel *k, uint32_t channel, uint32_t *ret_channel)
{
    struct hostcall_socket op = {.op = SOCKET_SHARE, .channel = channel};
    int64_t ret = fake_op(k, &op);

    if (ret < 0)
        return ret;
    *ret_channel = (uint32_t)op.value;
    channel_begin(k, *ret_channel);
    k->fake[*ret_channel].listening = true;
    return 0;
}

int64_t fake_accept_now(struct fake_kernel *k, uint32_t channel, struct ring_accept *ret_record)
{
    struct hostcall_socket op = {.op = SOCKET_ACCEPT, .channel = channel};
    int64_t ret = fake_op(k, &op);

    if (ret < 0)
        return ret;
    assert(op.optlen == sizeof(*ret_record));
    memcpy(ret_record, op.optval, sizeof(*ret_record));
    channel_begin(k, ret_record->channel);
    return 0;
}

void fake_want_accept(struct fake_kernel *k, uint32_t channel)
{
    __atomic_fetch_and(&k->channels[channel].host_events, ~(uint32_t)CHAN_EV_ACCEPTABLE, __ATOMIC_SEQ_CST);
    __atomic_exchange_n(&k->channels[channel].kernel_flags, CHAN_K_WANT_ACCEPT, __ATOMIC_SEQ_CST);
    make_dirty(k, channel);
}

int64_t fake_give(struct fake_kernel *k, struct fake_kernel *init, uint32_t channel)
{
    struct hostcall_socket op = {.op = SOCKET_GIVE, .channel = channel};
    int64_t ret = fake_op(k, &op);

    if (ret == 0)
        init->fake[channel] = k->fake[channel];
    k->fake[channel].open = k->fake[channel].open && ret < 0;
    return ret;
}

uint32_t fake_accept(struct fake_kernel *k, uint32_t channel, struct ring_accept *ret_record)
{
    if (fake_rx_used(k, channel) < sizeof(*ret_record))
        return 0;
    fake_read(k, channel, ret_record, sizeof(*ret_record));
    channel_begin(k, ret_record->channel);
    return ret_record->channel;
}
