/* Volumes of a container: files opened, locked and made; blocks moved (contract in volumes.h). */
#include "host/volumes.h"

#include "host/anchor_line.h"
#include "host/clock.h"
#include "host/error.h"
#include "host/folders.h"
#include "host/runtime.h"
#include "host/volume_direct.h"
#include "host/volume_fill.h"
#include "host/volume_path.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define QUEUE VOLUME_BUFFERS
#define STREAM_BLOCKS 16
#define SPIN_NS 60000
#define EARLY_BLOCKS (1U << 20 >> 12)
#define DIRECT_BLOCKS 16   /* contents made durable past the page cache: at most so many ... */
#define DIRECT_UNREAD 256U /* ... after so many durable writes that no read came between ... */
#define READ_WEIGHT 16U    /* ... of which each takes back so many */

struct request {
    uint64_t op, block, count;
    unsigned buffer;
    bool anchor;
    uint32_t sequence;
};

struct volume {
    struct runtime *runtime;
    const struct volume_option *option;
    char *path;
    int fd, anchor_fd; /* anchor_fd -1: none */
    int stream_fd;     /* the same file: single blocks in between would confuse the host's reading ahead */
    int direct_fd;     /* the same file past the host's page cache; -1: its file system cannot */
    struct volume_direct direct;
    bool read_only;
    char *buffer;
    struct volume_shared *shared;
    /* what is to be done later, by `thread`, in this order; under `lock` */
    pthread_t thread;
    cpu_set_t cpus; /* that it may run on */
    int fed_on;     /* the CPU that a vCPU gave it work on last; -1: none did */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned wanted, claimed;        /* requests so far; `wanted` is also looked at without the lock */
    uint64_t early_start, early_end; /* of a stream: written, and not on its way to the disk yet */
    bool soon;                       /* the thread did not wait long the last time */
    unsigned running, running_writes;
    unsigned waiting_writes; /* wanted, not claimed */
    struct request requests[QUEUE];
    atomic_bool complained;
    struct volume_counts counts; /* under `lock` */
    atomic_uint unread;          /* durable writes, less what reads took back: note_use() */
    struct anchor_line *line;    /* to its counter; NULL: it has none */
    struct volume_fill fill;     /* unless read_only */
};

static struct volume volumes[VOLUME_MAX];
static struct boot_volume boot_volumes[VOLUME_MAX];
static unsigned volume_count;

static void *thread_main(void *arg);
static void kick_one(struct runtime *runtime);

/* ---- opening ---- */

static const struct policy_volume *policy_volume_at(const struct runtime *runtime, const char *path)
{
    const struct policy *p = artifacts_policy(&runtime->artifacts);
    const struct policy_volume *v = (const void *)((const char *)p + p->volumes.offset);

    if (p->volumes.count == 0 || p->volumes.count > VOLUME_MAX ||
        p->volumes.offset + p->volumes.count * sizeof(*v) > p->size)
        return NULL;
    for (uint32_t i = 0; i < p->volumes.count; i++)
        if (v[i].path_offset < p->size &&
            strncmp((const char *)p + v[i].path_offset, path, p->size - v[i].path_offset) == 0)
            return &v[i];
    return NULL;
}

#define FILL_FIRST (8ULL << 20)

/* A file of no name in the folder of path or, where there is no such thing, of one that is nobody else's: *ret_name
 * then. */
static int nameless_file(const char *path, char **ret_name)
{
    char *folder = strndup(path, (size_t)(strrchr(path, '/') - path));
    int fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

    if (fd < 0 && folder && (errno == EOPNOTSUPP || errno == EISDIR)) {
        if (asprintf(ret_name, "%s.XXXXXX", path) < 0)
            *ret_name = NULL;
        fd = *ret_name ? mkostemp(*ret_name, O_CLOEXEC) : -1;
        if (fd < 0) {
            free(*ret_name);
            *ret_name = NULL;
        }
    }
    free(folder);
    return fd < 0 ? -errno : fd;
}

/* The name for what is whole. Another container that had the same in mind may have been first: then it is that one's.
 */
static int name_file(int fd, const char *name, const char *path)
{
    char self[32];
    int ret;

    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (name)
        ret = link(name, path);
    else
        ret = linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
    return ret < 0 && errno != EEXIST ? -errno : 0;
}

/* What has the name is whole. The kernel makes a volume of it. */
static int make_file(char *path, uint64_t size, char **ret_error)
{
    char *name = NULL;
    int ret = make_folders_above(path), fd = ret < 0 ? ret : nameless_file(path, &name);
    bool written;

    ret = fd < 0 ? fd : -posix_fallocate(fd, 0, (off_t)size);
    if (ret == 0)
        (void)volume_fill_holes(fd, 0, size < FILL_FIRST ? size : FILL_FIRST, &written);
    if (ret == 0 && fsync(fd) < 0)
        ret = -errno;
    if (ret == 0)
        ret = name_file(fd, name, path);
    if (fd >= 0)
        close(fd);
    if (name)
        unlink(name);
    free(name);
    return ret < 0 ? fail(ret_error, -ret, "making the volume %s failed: %s", path, strerror(-ret)) : 0;
}

static int lock_file(int fd, bool read_only)
{
    struct flock lock = {.l_type = read_only ? F_RDLCK : F_WRLCK};

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static int open_file(struct volume *v, const struct policy_volume *policy, char **ret_error)
{
    const char *name = v->option->name;

    v->fd = open(v->path, (v->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (v->fd < 0 && errno == ENOENT && !(policy->flags & POLICY_VOLUME_CREATE))
        return fail(ret_error, ENOENT,
                    "there is no volume %s, and the policy does not let it be made (volumes: create; or cofre volume "
                    "create %s)",
                    name, v->path);
    if (v->fd < 0 && errno == ENOENT && !v->read_only) {
        int ret = make_file(v->path, policy->size, ret_error);
        if (ret < 0)
            return ret;
        v->fd = open(v->path, O_RDWR | O_CLOEXEC);
    }
    if (v->fd >= 0)
        v->stream_fd = open(v->path, O_RDONLY | O_CLOEXEC);
    if (v->fd >= 0)
        v->direct_fd = open(v->path, (v->read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
    if (v->fd < 0 || v->stream_fd < 0)
        return fail(ret_error, errno, "opening the volume %s failed: %s", v->path, strerror(errno));
    if (lock_file(v->fd, v->read_only) < 0)
        return fail(ret_error, EBUSY, "the volume %s is in use (stop the container that has it)", name);
    return 0;
}

static int open_anchor(struct volume *v, char **ret_error)
{
    char *path = volume_path(v->option->name, "anchor");
    int flags = v->read_only ? O_RDONLY : O_RDWR | O_CREAT;

    if (!path)
        return fail(ret_error, ENOMEM, "out of memory");
    v->anchor_fd = open(path, flags | O_CLOEXEC, 0600);
    if (v->anchor_fd < 0 || (!v->read_only && ftruncate(v->anchor_fd, VOLUME_ANCHOR_BLOCKS * VOLUME_IO_BLOCK) < 0))
        fail(ret_error, errno, "opening the anchor %s failed: %s", path, strerror(errno));
    free(path);
    return v->anchor_fd < 0 ? -ENOENT : 0;
}

static int read_key(const char *path, struct boot_volume *boot, char **ret_error)
{
    uint8_t key[33];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, key, sizeof(key));
    int error = errno;

    if (fd >= 0)
        close(fd);
    if (size < 0)
        return fail(ret_error, error, "reading the volume's key %s failed: %s", path, strerror(error));
    if (size != sizeof(boot->key))
        return fail(ret_error, EINVAL, "%s is not a volume's key: a file of 32 bytes", path);
    memcpy(boot->key, key, sizeof(boot->key));
    boot->key_size = sizeof(boot->key);
    fprintf(stderr, "cofre: the key of a volume comes from a file on this machine: for development\n");
    return 0;
}

static void anchor_answered(void *runtime)
{
    kick_one(runtime);
}

static int open_line(struct volume *v, const struct policy *p, char **ret_error)
{
    uint32_t at = p->anchor.address_offset;
    const char *address = getenv("COFRE_ANCHOR");

    if (!address && at >= sizeof(*p) && at < p->size && memchr((const char *)p + at, 0, p->size - at))
        address = (const char *)p + at;
    if (address)
        v->line =
            anchor_line_start(v->option->name, address, p->anchor.timeout_ms, v->shared, anchor_answered, v->runtime);
    return v->line ? 0 : fail(ret_error, EINVAL, "the anchor's address is not IP:PORT (policy: anchor; COFRE_ANCHOR)");
}

static int open_volume(struct runtime *runtime, const struct volume_option *option, char **ret_error)
{
    const struct policy_volume *policy = policy_volume_at(runtime, option->path);
    struct volume *v = &volumes[volume_count];
    struct boot_volume *boot = &boot_volumes[volume_count];
    off_t size;
    int ret;

    if (!policy)
        return fail(ret_error, EINVAL, "the policy has no volume at %s (policy: volumes)", option->path);
    *v = (struct volume){
        .runtime = runtime, .option = option, .fd = -1, .anchor_fd = -1, .stream_fd = -1, .direct_fd = -1};
    v->fed_on = -1;
    (void)sched_getaffinity(0, sizeof(v->cpus), &v->cpus);
    v->read_only = option->read_only || (policy->flags & POLICY_VOLUME_READ_ONLY);
    v->path = volume_path(option->name, "volume");
    if (!v->path)
        return fail(ret_error, ENOENT, "there is no home for volumes (set COFRE_VOLUMES)");
    ret = open_file(v, policy, ret_error);
    if (ret == 0 && policy->freshness == POLICY_FRESH_LOCAL)
        ret = open_anchor(v, ret_error);
    if (ret == 0 && option->key_path && policy->key != POLICY_VOLUME_FILE)
        ret = fail(ret_error, EINVAL, "the volume for %s has its key from elsewhere than a file (policy: key)",
                   option->path);
    if (ret == 0 && option->key_path)
        ret = read_key(option->key_path, boot, ret_error);
    if (ret < 0)
        return ret;
    v->buffer = volume_direct_area(VOLUME_BUFFERS_SIZE, PAGE_SIZE);
    size = lseek(v->fd, 0, SEEK_END); /* of a block device, too */
    if (!v->buffer || size < 0)
        return fail(ret_error, errno, "opening the volume %s failed: %s", option->name, strerror(errno));
    v->shared = (struct volume_shared *)(v->buffer + VOLUME_BUFFERS_SIZE);
    volume_direct_init(&v->direct, v->direct_fd, v->fd, (uint64_t)size, v->buffer, VOLUME_BUFFERS_SIZE);
    if (policy->freshness >= POLICY_FRESH_LAG && open_line(v, artifacts_policy(&runtime->artifacts), ret_error) < 0)
        return -EINVAL;
    boot->buffer = (uint64_t)(uintptr_t)v->buffer;
    boot->block_count = (uint64_t)size / VOLUME_IO_BLOCK;
    boot->flags = (v->read_only ? BOOT_VOLUME_READ_ONLY : 0) | (option->rekey ? BOOT_VOLUME_REKEY : 0);
    snprintf(boot->path, sizeof(boot->path), "%s", option->path);
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->moved, NULL);
    ret = v->read_only ? 0 : volume_fill_start(&v->fill, v->fd, (uint64_t)size);
    if (ret == 0)
        ret = pthread_create(&v->thread, NULL, thread_main, v);
    if (ret != 0)
        return fail(ret_error, ret, "opening the volume %s failed: %s", option->name, strerror(ret));
    volume_count++;
    return 0;
}

int volumes_open(struct runtime *runtime, char **ret_error)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < runtime->options.volume_count; i++)
        if (!runtime->options.volumes[i].is_folder)
            ret = open_volume(runtime, &runtime->options.volumes[i], ret_error);
    return ret;
}

struct boot_blob volumes_blob(void)
{
    return (struct boot_blob){(uint64_t)(uintptr_t)boot_volumes, volume_count * sizeof(boot_volumes[0])};
}

/* ---- blocks ---- */

static bool streams(const struct request *r)
{
    return r->op == VOLUME_WRITE && !r->anchor && r->count >= STREAM_BLOCKS;
}

/*
 * The disk works while the enclave seals the next ones: a flush will want these. Not in small pieces: each costs a
 * notice to the disk, and where the file's blocks were never written before, the file system's journal.
 */
static void write_early(struct volume *v, const struct request *r)
{
    uint64_t start, end;

    if (!streams(r))
        return;
    pthread_mutex_lock(&v->lock);
    if (r->block != v->early_end)
        v->early_start = r->block;
    v->early_end = r->block + r->count;
    start = v->early_start;
    end = v->early_end;
    if (end - start >= EARLY_BLOCKS)
        v->early_start = end;
    pthread_mutex_unlock(&v->lock);
    if (end - start >= EARLY_BLOCKS)
        (void)sync_file_range(v->fd, (off_t)(start * VOLUME_IO_BLOCK), (off_t)((end - start) * VOLUME_IO_BLOCK),
                              SYNC_FILE_RANGE_WRITE);
}

/*
 * Past the page cache a durable write is a tenth quicker. A single block is a record of the log, which nobody reads but
 * a start after a crash. What comes with contents is likely to be read again, once the kernel has forgotten it, and
 * stays in the cache, unless the kernel has not forgotten anything for long.
 */
static bool write_direct(const struct volume *v, const struct request *r)
{
    size_t size = r->count * VOLUME_IO_BLOCK;
    struct iovec iov = {v->buffer + r->buffer * VOLUME_BUFFER_SIZE, size};
    unsigned most = atomic_load_explicit(&v->unread, memory_order_relaxed) >= DIRECT_UNREAD ? DIRECT_BLOCKS : 1;

    return r->op == VOLUME_WRITE_DURABLE && r->count <= most && !r->anchor && v->direct_fd >= 0 &&
           pwritev2(v->direct_fd, &iov, 1, (off_t)(r->block * VOLUME_IO_BLOCK), RWF_DSYNC) == (ssize_t)size;
}

static int64_t transfer(const struct volume *v, const struct request *r)
{
    bool writes = r->op != VOLUME_READ;
    int fd = r->anchor ? v->anchor_fd : !writes && r->count >= STREAM_BLOCKS ? v->stream_fd : v->fd;
    size_t size = r->count * VOLUME_IO_BLOCK;

    for (size_t done = 0; done < size;) {
        struct iovec iov = {v->buffer + r->buffer * VOLUME_BUFFER_SIZE + done, size - done};
        off_t at = (off_t)(r->block * VOLUME_IO_BLOCK + done);
        ssize_t n =
            writes ? pwritev2(fd, &iov, 1, at, r->op == VOLUME_WRITE_DURABLE ? RWF_DSYNC : 0) : preadv(fd, &iov, 1, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        done += (size_t)n;
    }
    return 0;
}

static int64_t read_blocks(struct volume *v, const struct request *r)
{
    bool direct = r->count >= STREAM_BLOCKS && !r->anchor &&
                  volume_direct_read(&v->direct, r->block * VOLUME_IO_BLOCK, v->buffer + r->buffer * VOLUME_BUFFER_SIZE,
                                     r->count * VOLUME_IO_BLOCK);

    return direct ? 0 : transfer(v, r);
}

static int64_t write_blocks(struct volume *v, const struct request *r)
{
    int64_t ret;

    if (v->read_only)
        return -EROFS;
    volume_fill_pause(&v->fill);
    ret = write_direct(v, r) ? 0 : transfer(v, r);
    /* Who writes much at a time, and has it made durable later, does not wait for the journal each time. */
    if (streams(r))
        volume_fill_rest(&v->fill);
    else
        volume_fill_resume(&v->fill, (r->block + r->count) * VOLUME_IO_BLOCK);
    return ret;
}

static void count(struct volume_counts *c, const struct request *r)
{
    if (r->op == VOLUME_READ) {
        c->reads++;
        c->read_bytes += r->count * VOLUME_IO_BLOCK;
        return;
    }
    c->writes += r->op != VOLUME_FLUSH;
    c->flushes += r->op != VOLUME_WRITE;
    c->written_bytes += r->op != VOLUME_FLUSH ? r->count * VOLUME_IO_BLOCK : 0;
}

void volumes_count(struct volume_counts *ret_counts)
{
    *ret_counts = (struct volume_counts){0};
    for (unsigned i = 0; i < volume_count; i++) {
        const struct volume_counts *c = &volumes[i].counts;
        ret_counts->reads += c->reads;
        ret_counts->writes += c->writes;
        ret_counts->flushes += c->flushes;
        ret_counts->read_bytes += c->read_bytes;
        ret_counts->written_bytes += c->written_bytes;
    }
}

/* Under the lock: for write_direct(). */
static void note_use(struct volume *v, const struct request *r)
{
    unsigned n = atomic_load_explicit(&v->unread, memory_order_relaxed);

    if (r->op == VOLUME_READ)
        n -= n < READ_WEIGHT ? n : READ_WEIGHT;
    else if (r->op == VOLUME_WRITE_DURABLE && n < 2 * DIRECT_UNREAD)
        n++;
    atomic_store_explicit(&v->unread, n, memory_order_relaxed);
}

static int64_t perform(struct volume *v, const struct request *r)
{
    int64_t ret = -EINVAL;

    if (r->op == VOLUME_FLUSH)
        ret = fdatasync(v->fd) < 0 ? -errno : 0;
    else if (r->op <= VOLUME_WRITE_DURABLE && r->count >= 1 && r->count <= VOLUME_IO_BLOCKS && r->block < 1ULL << 40 &&
             (!r->anchor || v->anchor_fd >= 0))
        ret = r->op == VOLUME_READ ? read_blocks(v, r) : r->anchor ? transfer(v, r) : write_blocks(v, r);
    if (ret == 0) {
        pthread_mutex_lock(&v->lock);
        count(&v->counts, r);
        note_use(v, r);
        pthread_mutex_unlock(&v->lock);
        write_early(v, r);
    }
    if (ret < 0 && !atomic_exchange(&v->complained, true))
        complain("volume %s: %s failed: %s (what was made durable is there)", v->option->name,
                 r->op == VOLUME_READ ? "reading" : "writing", strerror((int)-ret));
    return ret;
}

/* Wake whoever can see that it is done: a vCPU that is idle, else the first. */
static void kick_one(struct runtime *runtime)
{
    for (unsigned i = runtime->vcpu_count; i-- > 0;)
        if (atomic_load(runtime->vcpus[i].parked) || i == 0) {
            vcpu_kick(runtime, i);
            return;
        }
}

/*
 * What is to be done later is done in order; only reads may run beside each other. Whoever waits for it helps, so that
 * nobody waits for a thread to wake up.
 */
static bool claim(struct volume *v, struct request *ret_request)
{
    const struct request *r = &v->requests[v->claimed % QUEUE];

    if (v->claimed == v->wanted || (v->running > 0 && (v->running_writes > 0 || r->op != VOLUME_READ)))
        return false;
    *ret_request = *r;
    v->claimed++;
    v->running++;
    v->running_writes += r->op != VOLUME_READ;
    v->waiting_writes -= r->op != VOLUME_READ;
    return true;
}

/* Under the lock, which is given up meanwhile. */
static void run_claimed(struct volume *v, const struct request *r)
{
    struct volume_lane *lane = &v->shared->lanes[r->buffer];
    int64_t result;

    pthread_mutex_unlock(&v->lock);
    result = perform(v, r);
    pthread_mutex_lock(&v->lock);
    v->running--;
    v->running_writes -= r->op != VOLUME_READ;
    __atomic_store_n(&lane->result, result, __ATOMIC_RELAXED);
    __atomic_store_n(&lane->done, r->sequence + 1, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&v->moved);
}

/*
 * Under the lock: until something else is wanted or done. In the middle of a stream the next request comes soon, and to
 * wake a thread on another CPU costs who asks as much as to encrypt some blocks: it is waited for awake, unless that
 * was in vain the last time.
 */
static void wait_moved(struct volume *v)
{
    unsigned seen = v->wanted;
    uint64_t start = clock_monotonic_ns();

    if (v->soon && v->running == 0) {
        pthread_mutex_unlock(&v->lock);
        while (__atomic_load_n(&v->wanted, __ATOMIC_ACQUIRE) == seen && clock_monotonic_ns() - start < SPIN_NS)
            __builtin_ia32_pause();
        pthread_mutex_lock(&v->lock);
    }
    if (v->wanted == seen)
        pthread_cond_wait(&v->moved, &v->lock);
    v->soon = CPU_COUNT(&v->cpus) > 1 && clock_monotonic_ns() - start < SPIN_NS;
}

static void *thread_main(void *arg)
{
    struct volume *v = arg;
    struct request r;

    pthread_mutex_lock(&v->lock);
    for (;;) {
        while (!claim(v, &r))
            wait_moved(v);
        run_claimed(v, &r);
        if (__atomic_load_n(&v->shared->waited, __ATOMIC_SEQ_CST))
            kick_one(v->runtime);
    }
    return NULL;
}

/*
 * Under the lock: the thread runs beside the vCPU that feeds it, not on the same CPU. Linux would wake it there: it
 * stops looking for an idle CPU when those it knows are busy enough, as both are while they take turns.
 */
static void keep_apart(struct volume *v)
{
    int cpu = sched_getcpu();
    cpu_set_t others = v->cpus;

    if (cpu < 0 || cpu == v->fed_on)
        return;
    v->fed_on = cpu;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) > 0)
        (void)pthread_setaffinity_np(v->thread, sizeof(others), &others);
}

static int64_t do_later(struct volume *v, struct request *r)
{
    int64_t ret = -EBUSY; /* a buffer is used twice */

    r->sequence = __atomic_load_n(&v->shared->lanes[r->buffer].sequence, __ATOMIC_RELAXED);
    pthread_mutex_lock(&v->lock);
    keep_apart(v);
    if (v->wanted - v->claimed < QUEUE) {
        v->requests[v->wanted % QUEUE] = *r;
        __atomic_store_n(&v->wanted, v->wanted + 1, __ATOMIC_RELEASE);
        v->waiting_writes += r->op != VOLUME_READ;
        pthread_cond_broadcast(&v->moved);
        ret = 0;
    }
    pthread_mutex_unlock(&v->lock);
    return ret;
}

static bool is_done(const struct volume *v, const struct request *r)
{
    const struct volume_lane *lane = &v->shared->lanes[r->buffer];

    if (r->op == VOLUME_WAIT)
        return __atomic_load_n(&lane->done, __ATOMIC_ACQUIRE) == r->sequence + 1;
    if (r->op == VOLUME_READ)
        return v->waiting_writes + v->running_writes == 0;
    return v->claimed == v->wanted && v->running == 0;
}

static int64_t do_now(struct volume *v, struct request *r)
{
    struct request other;

    r->sequence = __atomic_load_n(&v->shared->lanes[r->buffer].sequence, __ATOMIC_RELAXED);
    pthread_mutex_lock(&v->lock);
    while (!is_done(v, r))
        if (claim(v, &other))
            run_claimed(v, &other);
        else
            pthread_cond_wait(&v->moved, &v->lock);
    pthread_mutex_unlock(&v->lock);
    return r->op == VOLUME_WAIT ? 0 : perform(v, r);
}

int64_t volumes_call(struct runtime *runtime, const uint64_t args[6])
{
    uint64_t number = args[1] >> 1;
    struct request r = {.op = args[0] & 0xff,
                        .block = args[2],
                        .count = args[3],
                        .buffer = (unsigned)(args[0] / VOLUME_OP_BUFFER(1)),
                        .anchor = args[1] & 1};

    if (runtime->member != 0 || number >= volume_count || args[0] >= VOLUME_OP_BUFFER(VOLUME_BUFFERS))
        return -ENOSYS;
    if (r.op == VOLUME_ANCHOR_EXCHANGE)
        return volumes[number].line ? anchor_line_exchange(volumes[number].line, args[2], args[3]) : -ENOSYS;
    return args[0] & VOLUME_OP_LATER ? do_later(&volumes[number], &r) : do_now(&volumes[number], &r);
}
