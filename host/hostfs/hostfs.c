/* The threads that serve folders of the host, and how they and the kernel wake each other. */
#include "host/clock.h"
#include "host/error.h"
#include "host/hostfs/internal.h"
#include "host/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 4
#define SPIN_NS 50000L

static struct {
    struct runtime *runtime;
    struct hostfs_shared *shared; /* NULL: no folders */
    struct hostfs_slot *slots;
    uint8_t *data;
    uint32_t forget_tail; /* the truth */
    pthread_mutex_t forget_lock;
    atomic_uint wakes;  /* futex: counts wake-ups */
    atomic_int active;  /* threads that look for requests or work on one */
    atomic_int looking; /* threads that look for requests: one is enough */
} host;

/* ---- folders ---- */

static int make_area(void)
{
    cpu_set_t cpus;
    void *area =
        mmap(NULL, HOSTFS_AREA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (area == MAP_FAILED)
        return -errno;
    host.shared = area;
    host.slots = (struct hostfs_slot *)((char *)area + HOSTFS_SLOTS_OFFSET);
    host.data = (uint8_t *)area + HOSTFS_DATA_OFFSET;
    host.shared->magic = HOSTFS_MAGIC;
    host.shared->spin = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) > 1;
    return 0;
}

static const char *policy_folder(const struct policy *p, const char *path, uint32_t *ret_flags)
{
    const struct policy_host_folder *f = (const void *)((const char *)p + p->host_folders.offset);

    if (p->host_folders.count > HOSTFS_FOLDERS || p->host_folders.offset + p->host_folders.count * sizeof(*f) > p->size)
        return NULL;
    for (uint32_t i = 0; i < p->host_folders.count; i++) {
        const char *name = f[i].path_offset < p->size ? (const char *)p + f[i].path_offset : "";

        if (strncmp(name, path, p->size - f[i].path_offset) == 0) {
            *ret_flags = f[i].flags;
            return name;
        }
    }
    return NULL;
}

static int open_folder(const struct volume_option *option, char **ret_error)
{
    const struct policy *policy = artifacts_policy(&host.runtime->artifacts);
    struct boot_folder *boot = &host.shared->folders[host.shared->folder_count];
    uint32_t flags;
    struct stat stat;
    int fd, ret;

    if (!policy_folder(policy, option->path, &flags))
        return fail(ret_error, EPERM,
                    "the policy does not let a folder of this machine be at %s (policy: host_folders)", option->path);
    if (host.shared->folder_count == HOSTFS_FOLDERS)
        return fail(ret_error, E2BIG, "more than %u folders", HOSTFS_FOLDERS);
    fd = open(option->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0)
        return fail(ret_error, errno, "opening the folder %s failed: %s", option->name, strerror(errno));
    boot->flags = option->read_only || !(flags & POLICY_FOLDER_WRITE) ? BOOT_FOLDER_READ_ONLY : 0;
    boot->flags |= geteuid() == 0 ? BOOT_FOLDER_IDS : 0;
    boot->uid = geteuid();
    boot->gid = getegid();
    boot->root = (struct hostfs_attr){.ino = stat.st_ino, .mode = stat.st_mode, .uid = stat.st_uid, .gid = stat.st_gid};
    snprintf(boot->path, sizeof(boot->path), "%s", option->path);
    ret = node_add(host.shared->folder_count, fd, S_IFDIR, stat.st_dev, boot->flags & BOOT_FOLDER_READ_ONLY);
    if (ret < 0)
        return fail(ret_error, -ret, "opening the folder %s failed: %s", option->name, strerror(-ret));
    host.shared->folder_count++;
    return 0;
}

static bool is_given(const struct run_options *o, const char *path)
{
    for (unsigned i = 0; i < o->volume_count; i++)
        if (strcmp(o->volumes[i].path, path) == 0)
            return true;
    return false;
}

static bool is_mounted(const char *path)
{
    struct statx stat;

    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &stat) == 0 && S_ISDIR(stat.stx_mode) &&
           (stat.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* Under a container engine: what it has mounted where the policy has a folder (podman run -v HOST:PATH). */
static int open_mounted(char **ret_error)
{
    const struct policy *p = artifacts_policy(&host.runtime->artifacts);
    const struct policy_host_folder *f = (const void *)((const char *)p + p->host_folders.offset);
    uint32_t flags;
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < p->host_folders.count && i < HOSTFS_FOLDERS; i++) {
        const char *path = f[i].path_offset < p->size ? (const char *)p + f[i].path_offset : "";
        struct volume_option option = {.name = (char *)path, .path = (char *)path, .is_folder = true};

        if (!policy_folder(p, path, &flags) || is_given(&host.runtime->options, path) || !is_mounted(path))
            continue;
        if (!host.shared && (ret = make_area()) < 0)
            return fail(ret_error, -ret, "preparing folders failed: %s", strerror(-ret));
        ret = open_folder(&option, ret_error);
    }
    return ret;
}

/* ---- work ---- */

static void take_forgets(void)
{
    if (__atomic_load_n(&host.shared->forget_head, __ATOMIC_ACQUIRE) == host.forget_tail ||
        pthread_mutex_trylock(&host.forget_lock) != 0)
        return;
    uint32_t head = __atomic_load_n(&host.shared->forget_head, __ATOMIC_ACQUIRE);
    while (host.forget_tail != head) {
        uint32_t entry = host.shared->forgets[host.forget_tail % HOSTFS_FORGETS];

        if (entry & HOSTFS_RELEASE)
            node_release(entry & ~HOSTFS_RELEASE);
        else
            node_forget(entry);
        __atomic_store_n(&host.shared->forget_tail, ++host.forget_tail, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&host.forget_lock);
}

/* The lowest request nobody has taken; -1 if there is none. */
static int take_request(void)
{
    uint32_t bits = __atomic_load_n(&host.shared->submitted, __ATOMIC_ACQUIRE);

    while (bits) {
        uint32_t bit = bits & -bits;

        if (__atomic_fetch_and(&host.shared->submitted, ~bit, __ATOMIC_SEQ_CST) & bit)
            return __builtin_ctz(bit);
        bits = __atomic_load_n(&host.shared->submitted, __ATOMIC_ACQUIRE);
    }
    return -1;
}

static bool work_waits(void)
{
    return __atomic_load_n(&host.shared->submitted, __ATOMIC_SEQ_CST) != 0 ||
           __atomic_load_n(&host.shared->forget_head, __ATOMIC_SEQ_CST) != host.forget_tail;
}

static void wake_one(void)
{
    atomic_fetch_add(&host.wakes, 1);
    syscall(SYS_futex, &host.wakes, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void hostfs_ring(void)
{
    if (host.shared && atomic_load(&host.looking) == 0 && atomic_load(&host.active) < THREADS && work_waits())
        wake_one();
}

/* A vCPU that is idle sees the answer; if there is none, the first is interrupted. */
static void kick_one(void)
{
    for (unsigned i = host.runtime->vcpu_count; i-- > 0;)
        if (atomic_load(host.runtime->vcpus[i].parked) || i == 0) {
            vcpu_kick(host.runtime, i);
            return;
        }
}

static void serve(int slot)
{
    struct hostfs_request request = host.slots[slot].request;
    struct hostfs_reply reply = {0};

    hostfs_perform(&request, &reply, host.data + (size_t)slot * HOSTFS_DATA_SIZE);
    host.slots[slot].reply = reply;
    __atomic_fetch_or(&host.shared->completed, 1U << slot, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&host.shared->kernel_waits, __ATOMIC_SEQ_CST))
        kick_one();
}

/* One thread looks for requests; -1: it looked long enough. */
static int look(void)
{
    uint64_t until = host.shared->spin ? clock_monotonic_ns() + SPIN_NS : 0;

    do {
        int slot = take_request();

        if (slot >= 0)
            return slot;
        take_forgets();
        for (int i = 0; i < 20; i++)
            __builtin_ia32_pause();
    } while (until && clock_monotonic_ns() < until);
    return -1;
}

/*
 * `sleeping` is set by the last thread that goes to sleep. While one works, the kernel's next requests wait for it, or
 * for the next park of a vCPU, which wakes another.
 */
static void sleep_until_wanted(void)
{
    unsigned seen = atomic_load(&host.wakes);

    if (atomic_fetch_sub(&host.active, 1) == 1)
        __atomic_store_n(&host.shared->sleeping, 1, __ATOMIC_SEQ_CST);
    if (!work_waits() || atomic_load(&host.active) > 0)
        syscall(SYS_futex, &host.wakes, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_add(&host.active, 1);
    __atomic_store_n(&host.shared->sleeping, 0, __ATOMIC_SEQ_CST);
}

static void *thread_main(void *arg)
{
    (void)arg;
    prctl(PR_SET_NAME, "cofre-hostfs");
    for (;;) {
        int slot = -1;

        if (atomic_fetch_add(&host.looking, 1) == 0)
            slot = look();
        atomic_fetch_sub(&host.looking, 1);
        if (slot >= 0)
            serve(slot);
        else
            sleep_until_wanted();
    }
    return NULL;
}

static int start_threads(void)
{
    sigset_t all, before;
    int ret = 0;

    atomic_store(&host.active, THREADS);
    sigfillset(&all); /* signals are for other threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; ret == 0 && i < THREADS; i++) {
        pthread_t thread;

        ret = pthread_create(&thread, NULL, thread_main, NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -ret;
}

int hostfs_open(struct runtime *runtime, char **ret_error)
{
    const struct run_options *o = &runtime->options;
    int ret = 0;

    host.runtime = runtime;
    pthread_mutex_init(&host.forget_lock, NULL);
    for (unsigned i = 0; ret == 0 && i < o->volume_count; i++) {
        if (!o->volumes[i].is_folder)
            continue;
        if (!host.shared && (ret = make_area()) < 0)
            return fail(ret_error, -ret, "preparing folders failed: %s", strerror(-ret));
        ret = open_folder(&o->volumes[i], ret_error);
    }
    if (ret == 0 && o->as_entrypoint)
        ret = open_mounted(ret_error);
    if (ret == 0 && host.shared)
        umask(0); /* the container's own umask has been applied to the modes that come here */
    if (ret == 0 && host.shared && (ret = start_threads()) < 0)
        return fail(ret_error, -ret, "preparing folders failed: %s", strerror(-ret));
    return ret;
}

struct boot_blob hostfs_blob(void)
{
    return (struct boot_blob){(uint64_t)(uintptr_t)host.shared, host.shared ? HOSTFS_AREA_SIZE : 0};
}
