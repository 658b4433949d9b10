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
    p->chans = mmap(NULL, p->channel_count * sizeof(*p->chans), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    p->odd_free = mmap(NULL, p->channel_count * sizeof(*p->odd_free), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p->chans == MAP_FAILED || p->odd_free == MAP_FAILED ? -ENOMEM : 0;
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
    p->odd_next = CHANNEL_FIRST_SOCKET;
    pthread_mutex_init(&p->lock, NULL);
    TAILQ_INIT(&p->todo);
    TAILQ_INIT(&p->full);
    p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ret = p->wake_fd < 0 ? -errno : arena_make(p);
    if (ret < 0) {
        free(p);
        return fail(ret_error, -ret, "reserving the arena failed: %s", strerror(-ret));
    }
    raise_file_limit();
    *ret_pump = p;
    return 0;
}

static int backend_start(struct pump *p, char **ret_error)
{
    const char *wish = getenv("COFRE_PUMP");
    int ret;

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
    int ret;

    p->owner = pthread_self();
    ret = backend_start(p, ret_error);
    if (ret < 0)
        return ret;
    p->epoch = 1;
    pthread_mutex_lock(&p->lock);
    if (!p->config.no_console)
        console_init(p);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

void pump_free(struct pump *p)
{
    if (p->backend_state)
        p->backend->deinit(p);
    for (uint32_t i = 0; i < p->chans_end; i++)
        if (p->chans[i].kind > CHAN_OUTPUT)
            close(p->chans[i].fd);
    munmap(p->chans, p->channel_count * sizeof(*p->chans));
    munmap(p->odd_free, p->channel_count * sizeof(*p->odd_free));
    munmap(p->arena, p->arena_size);
    close(p->wake_fd);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct boot_blob pump_arena(const struct pump *p)
{
    return (struct boot_blob){(uint64_t)(uintptr_t)p->arena, p->arena_size};
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

void ready_push(struct pump *p, struct chan *c)
{
    if (flag_exchange(p, &c->shared->ready_queued, 1))
        return;
    p->ready->entries[p->ready_head & (p->channel_count - 1)] = c->number;
    __atomic_store_n(&p->ready->head, ++p->ready_head, __ATOMIC_RELEASE);
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

uint32_t odd_get(struct pump *p)
{
    uint32_t number;

    if (p->odd_free_count > 0)
        return p->odd_free[--p->odd_free_count];
    if (p->odd_next >= p->channel_count)
        return 0;
    number = p->odd_next;
    p->odd_next += 2;
    return number;
}

void odd_put(struct pump *p, uint32_t number)
{
    p->odd_free[p->odd_free_count++] = number;
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
        if (number >= p->channel_count)
            continue;
        flag_exchange(p, &p->channels[number].dirty_queued, 0);
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

void pump_turn_now(struct pump *p)
{
    take_dirty(p);
    take_todo(p);
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
    p->arrivals = p->active = 0;
    p->epoch_start_ns = now;
}

void pump_park(struct pump *p, uint64_t deadline_ns, atomic_uint *kicked)
{
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

    pthread_mutex_lock(&p->lock);
    take_dirty(p);
    take_todo(p);
    p->backend->turn(p, 0);
    while (tx_waiting(p, false)) {
        uint64_t now = clock_monotonic_ns();

        if (now - quiet_since > DRAIN_QUIET_NS && !tx_waiting(p, true))
            break;
        sent = p->stats.tx_bytes;
        p->backend->turn(p, now + 100000000ULL);
        take_dirty(p);
        take_todo(p);
        if (sent != p->stats.tx_bytes)
            quiet_since = clock_monotonic_ns();
    }
    pthread_mutex_unlock(&p->lock);
}

void pump_stats_read(const struct pump *p, struct pump_stats *ret_stats)
{
    *ret_stats = p->stats;
}
