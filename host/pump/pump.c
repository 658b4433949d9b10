/* The pump's frame: the arena, both queues, parking, and the threads that may call in. */
#include "host/clock.h"
#include "host/error.h"
#include "host/pump/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHANNEL_COUNT_DEFAULT 32768
#define RING_SIZE_DEFAULT 0x40000
#define DRAIN_QUIET_NS 10000000000ULL
#define EPOCH_NS 2000000ULL
#define COALESCE_ARRIVALS 40 /* per EPOCH_NS */
#define COALESCE_PART 10     /* of the time between two inputs of a channel */
#define COALESCE_MIN_NS 1000 /* io_uring's unit: for none at all it waits until all have come */
#define COALESCE_MAX 32
#define MANY_CLIENTS 8

static uint64_t align_page(uint64_t value)
{
    return (value + 4095) & ~4095ULL;
}

static int arena_make(struct pump *p)
{
    uint64_t queue_size = align_page(sizeof(struct arena_queue) + p->channel_count * sizeof(uint32_t));
    struct arena_header header = {.magic = ARENA_MAGIC, .channel_count = p->channel_count, .ring_size = p->ring_size};

    header.ready_offset = 4096;
    header.dirty_offset = header.ready_offset + queue_size;
    header.channels_offset = header.dirty_offset + queue_size;
    header.rings_offset = header.channels_offset + align_page(p->channel_count * sizeof(struct channel));
    p->arena_size = header.rings_offset + 2ULL * p->channel_count * p->ring_size;
    /* Mostly never touched. Shared, because one day several processes of a container will pump for each other. */
    p->arena = mmap(NULL, p->arena_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->arena == MAP_FAILED)
        return -errno;
    madvise(p->arena, p->arena_size, MADV_NOHUGEPAGE);
    p->header = (struct arena_header *)p->arena;
    *p->header = header;
    p->ready = (struct arena_queue *)(p->arena + header.ready_offset);
    p->dirty = (struct arena_queue *)(p->arena + header.dirty_offset);
    p->channels = (struct channel *)(p->arena + header.channels_offset);
    p->rings = p->arena + header.rings_offset;
    return 0;
}

static void *map_private(uint64_t size)
{
    void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return m == MAP_FAILED ? NULL : m;
}

/* What only a pump that runs needs. */
static int tables_make(struct pump *p)
{
    p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->wake_fd < 0)
        return -errno;
    p->chans = map_private(p->channel_count * sizeof(*p->chans));
    p->odd_free = map_private(p->channel_count * sizeof(*p->odd_free));
    return p->chans && p->odd_free ? 0 : -ENOMEM;
}

static void pump_init(struct pump *p)
{
    pthread_mutex_init(&p->lock, NULL);
    TAILQ_INIT(&p->todo);
    TAILQ_INIT(&p->full);
    TAILQ_INIT(&p->to_arm);
    p->epoch = 1;
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int pump_new(const struct pump_config *config, struct pump **ret_pump, char **ret_error)
{
    struct pump *p = calloc(1, sizeof(*p));
    int ret;

    if (!p)
        return fail(ret_error, ENOMEM, "preparing the pump failed: no memory");
    p->config = *config;
    p->channel_count = config->channel_count ? config->channel_count : CHANNEL_COUNT_DEFAULT;
    p->ring_size = config->ring_size ? config->ring_size : RING_SIZE_DEFAULT;
    pump_init(p);
    ret = arena_make(p);
    if (ret == 0)
        ret = tables_make(p);
    if (ret == 0)
        ret = numbers_new(p);
    if (ret == 0)
        ret = handover_new(p);
    if (ret < 0) {
        free(p);
        return fail(ret_error, -ret, "reserving the arena failed: %s", strerror(-ret));
    }
    raise_file_limit();
    *ret_pump = p;
    return 0;
}

int pump_new_member(const struct pump *init, uint32_t member, struct pump **ret_pump, char **ret_error)
{
    struct pump *p = calloc(1, sizeof(*p));
    uint8_t *queues = map_private(2 * MEMBER_QUEUE_SIZE(init->channel_count));

    if (!p || !queues) {
        free(p);
        return fail(ret_error, ENOMEM, "preparing the pump failed: no memory");
    }
    *p = (struct pump){
        .member = member,
        .config = {.no_console = true, .cpu_count = 1, .single_vcpu = init->config.single_vcpu},
        .arena = init->arena,
        .arena_size = init->arena_size,
        .channels = init->channels,
        .rings = init->rings,
        .channel_count = init->channel_count,
        .ring_size = init->ring_size,
        .numbers = init->numbers,
        .handover = {.sender = init->handover.sender},
        .ready = (struct arena_queue *)queues,
        .dirty = (struct arena_queue *)(queues + MEMBER_QUEUE_SIZE(init->channel_count)),
    };
    pump_init(p);
    *ret_pump = p;
    return 0;
}

static int backend_start(struct pump *p, char **ret_error)
{
    const char *wish = getenv("COFRE_PUMP");
    int ret;

    if (p->member) {
        p->backend = &pump_epoll;
        return pump_epoll.init(p, ret_error);
    }
    if (wish && strcmp(wish, "epoll") != 0 && strcmp(wish, "uring") != 0)
        return fail(ret_error, EINVAL, "COFRE_PUMP=%s is not known (use epoll or uring)", wish);
    if (!wish || strcmp(wish, "uring") == 0) {
        p->backend = &pump_uring;
        ret = pump_uring.init(p, ret_error);
        if (ret == 0 || wish)
            return ret;
    }
    p->backend = &pump_epoll;
    return pump_epoll.init(p, ret_error);
}

int pump_start(struct pump *p, char **ret_error)
{
    int ret = 0;

    pthread_mutex_lock(&p->lock);
    if (atomic_load(&p->started))
        goto out;
    p->owner = pthread_self();
    if (p->member && (ret = tables_make(p)) < 0)
        ret = fail(ret_error, -ret, "preparing the pump failed: %s", strerror(-ret));
    if (ret == 0)
        ret = backend_start(p, ret_error);
    if (ret < 0)
        goto out;
    if (!p->config.no_console)
        console_init(p);
    atomic_store(&p->started, true);
out:
    pthread_mutex_unlock(&p->lock);
    return ret;
}

bool pump_is_started(const struct pump *p)
{
    return atomic_load(&p->started);
}

void pump_free(struct pump *p)
{
    if (!p->member)
        handover_free(p);
    if (p->backend_state)
        p->backend->deinit(p);
    for (uint32_t i = 0; i < p->chans_end; i++)
        if (p->chans[i].kind > CHAN_OUTPUT)
            close(p->chans[i].fd);
    if (p->chans) {
        munmap(p->chans, p->channel_count * sizeof(*p->chans));
        munmap(p->odd_free, p->channel_count * sizeof(*p->odd_free));
        close(p->wake_fd);
    }
    if (p->member) {
        munmap(p->ready, 2 * MEMBER_QUEUE_SIZE(p->channel_count));
    } else {
        munmap(p->numbers, sizeof(*p->numbers) + p->channel_count * sizeof(p->numbers->owner[0]));
        munmap(p->arena, p->arena_size);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct boot_blob pump_arena(const struct pump *p)
{
    return (struct boot_blob){(uint64_t)(uintptr_t)p->arena, p->arena_size};
}

struct boot_blob pump_queues(const struct pump *p)
{
    return (struct boot_blob){(uint64_t)(uintptr_t)p->ready, 2 * MEMBER_QUEUE_SIZE(p->channel_count)};
}

const char *pump_backend_name(const struct pump *p)
{
    return p->backend ? p->backend->name : "none";
}

bool pump_is_mine(const struct pump *p)
{
    return pthread_equal(p->owner, pthread_self());
}

/* An exchange, cheaper where the other side's code and this run on the same thread. */
static uint32_t flag_exchange(const struct pump *p, uint32_t *flag, uint32_t value)
{
    uint32_t before;

    if (!p->config.single_vcpu)
        return __atomic_exchange_n(flag, value, __ATOMIC_SEQ_CST);
    before = __atomic_load_n(flag, __ATOMIC_RELAXED);
    __atomic_store_n(flag, value, __ATOMIC_RELAXED);
    return before;
}

static void ready_put(struct pump *p, const struct chan *c)
{
    p->ready->entries[p->ready_head & (p->channel_count - 1)] = c->number;
    __atomic_store_n(&p->ready->head, ++p->ready_head, __ATOMIC_RELEASE);
}

void ready_push(struct pump *p, struct chan *c)
{
    if (!flag_exchange(p, &c->shared->ready_queued, 1))
        ready_put(p, c);
}

void ready_push_new(struct pump *p, struct chan *c)
{
    __atomic_store_n(&c->shared->ready_queued, 1, __ATOMIC_SEQ_CST);
    ready_put(p, c);
}

bool ready_pending(const struct pump *p)
{
    return __atomic_load_n(&p->ready->tail, __ATOMIC_ACQUIRE) != p->ready_head;
}

void chan_todo(struct pump *p, struct chan *c)
{
    if (!c->on_todo) {
        c->on_todo = true;
        TAILQ_INSERT_TAIL(&p->todo, c, todo_link);
    }
}

static void prefetch_dirty(const struct pump *p, uint32_t at, uint32_t head)
{
    uint32_t number = p->dirty->entries[at & (p->channel_count - 1)];

    if ((int32_t)(head - at) <= 0 || number >= p->channel_count)
        return;
    __builtin_prefetch(&p->channels[number].rx_tail);
    __builtin_prefetch(&p->channels[number]);
    __builtin_prefetch(&p->chans[number]);
    __builtin_prefetch((const uint8_t *)&p->chans[number] + 64);
}

/* One pass over what the kernel has queued; what it adds meanwhile waits for the next. */
static void take_dirty(struct pump *p)
{
    uint32_t head = __atomic_load_n(&p->dirty->head, __ATOMIC_ACQUIRE);

    if (head - p->dirty_tail > p->channel_count)
        return; /* the kernel lies; it has nothing to gain */
    while (p->dirty_tail != head) {
        uint32_t number = p->dirty->entries[p->dirty_tail & (p->channel_count - 1)];

        __atomic_store_n(&p->dirty->tail, ++p->dirty_tail, __ATOMIC_RELEASE);
        prefetch_dirty(p, p->dirty_tail + 1, head);
        if (number >= p->channel_count || (p->member && !number_is_of(p, number, p->member)))
            continue;
        flag_exchange(p, &p->channels[number].dirty_queued, 0);
        if (p->chans[number].kind == CHAN_LISTENER)
            listener_wishes(&p->chans[number]);
        if (p->chans[number].kind != CHAN_FREE)
            chan_service(p, &p->chans[number]);
    }
}

static void take_todo(struct pump *p)
{
    struct chan *c;

    while ((c = TAILQ_FIRST(&p->todo))) {
        TAILQ_REMOVE(&p->todo, c, todo_link);
        c->on_todo = false;
        chan_service(p, c);
    }
}

/* Channels that had no rx room: the kernel may have read since. */
static void retry_full(struct pump *p)
{
    struct chan *c, *next;

    for (c = TAILQ_FIRST(&p->full); c; c = next) {
        next = TAILQ_NEXT(c, full_link);
        chan_service(p, c);
    }
}

void pump_take(struct pump *p)
{
    take_dirty(p);
    take_todo(p);
}

void pump_turn_now(struct pump *p)
{
    pump_take(p);
    p->backend->turn(p, 0);
    take_todo(p);
}

void pump_note_input(struct pump *p, struct chan *c)
{
    p->arrivals++;
    if (c->epoch != p->epoch) {
        c->epoch = p->epoch;
        p->active++;
    }
}

static void roll_epoch(struct pump *p)
{
    uint64_t now = clock_monotonic_ns();

    if (now - p->epoch_start_ns < EPOCH_NS)
        return;
    p->epoch++;
    /* After a long sleep the counts of before say nothing. */
    p->arrivals_last = now - p->epoch_start_ns < 2 * EPOCH_NS ? p->arrivals : 0;
    p->active_last = now - p->epoch_start_ns < 2 * EPOCH_NS ? p->active : 0;
    atomic_store_explicit(&p->clients, p->active_last, memory_order_relaxed);
    p->arrivals = p->active = 0;
    p->epoch_start_ns = now;
}

uint32_t pump_coalesce(const struct pump *p, uint64_t *ret_ns)
{
    uint32_t count = p->active_last / 4;
    uint64_t ns;

    *ret_ns = 0;
    if (p->arrivals_last < COALESCE_ARRIVALS || count < 2)
        return 1;
    ns = EPOCH_NS / COALESCE_PART * p->active_last / p->arrivals_last;
    if (ns < COALESCE_MIN_NS)
        return 1;
    *ret_ns = ns;
    return count < COALESCE_MAX ? count : COALESCE_MAX;
}

void pump_park(struct pump *p, uint64_t deadline_ns, atomic_uint *kicked)
{
    if (!p->member)
        handover_take_given(p); /* before the kernel's news about it */
    pthread_mutex_lock(&p->lock);
    p->kicked = kicked;
    p->stats.parks++;
    roll_epoch(p);
    take_dirty(p);
    take_todo(p);
    retry_full(p);
    for (;;) {
        bool wait = deadline_ns != 0 && !ready_pending(p) && !atomic_load(kicked);

        p->backend->turn(p, wait ? deadline_ns : 0);
        take_todo(p);
        if (!wait || ready_pending(p) || atomic_load(kicked))
            break;
        if (deadline_ns != PARK_FOREVER && clock_monotonic_ns() >= deadline_ns)
            break;
        /* Something happened that the kernel need not know. */
        take_dirty(p);
        retry_full(p);
    }
    pthread_mutex_unlock(&p->lock);
}

void pump_member_ended(struct pump *p, uint32_t member)
{
    if (!atomic_load(&p->numbers->had[member]))
        return;
    handover_take(p); /* its last ones */
    numbers_reclaim(p, member);
}

bool pump_has_many_clients(const struct pump *p)
{
    return atomic_load_explicit(&p->clients, memory_order_relaxed) >= MANY_CLIENTS;
}

void pump_wake(struct pump *p)
{
    eventfd_write(p->wake_fd, 1);
}

void pump_window_size_changed(struct pump *p)
{
    pthread_mutex_lock(&p->lock);
    chan_event(p, pump_chan(p, CHANNEL_STDIN), CHAN_EV_WINSIZE, 0);
    pthread_mutex_unlock(&p->lock);
}

static bool tx_waiting(struct pump *p, bool console_only)
{
    uint32_t end = console_only ? CHANNEL_FIRST_SOCKET : p->chans_end;

    for (uint32_t i = CHANNEL_STDOUT; i < end; i++) {
        struct chan *c = &p->chans[i];
        struct iovec iov[2];
        int count;

        if ((c->kind == CHAN_OUTPUT || c->kind == CHAN_STREAM || c->kind == CHAN_DATAGRAM) && !c->tx_failed &&
            !c->connecting && chan_tx_bytes(p, c, iov, &count) > 0)
            return true;
    }
    return false;
}

void pump_drain(struct pump *p)
{
    uint64_t quiet_since = clock_monotonic_ns(), sent;

    handover_take(p);
    pthread_mutex_lock(&p->lock);
    pump_take(p);
    p->backend->turn(p, 0);
    while (tx_waiting(p, false)) {
        uint64_t now = clock_monotonic_ns();

        if (now - quiet_since > DRAIN_QUIET_NS && !tx_waiting(p, true))
            break;
        sent = p->stats.tx_bytes;
        p->backend->turn(p, now + 100000000ULL);
        pump_take(p);
        if (sent != p->stats.tx_bytes)
            quiet_since = clock_monotonic_ns();
    }
    pthread_mutex_unlock(&p->lock);
}

void pump_stats_read(const struct pump *p, struct pump_stats *ret_stats)
{
    *ret_stats = p->stats;
}
