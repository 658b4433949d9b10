/* Members and their zygote: the shared link area, starting, ending and waking host processes. */
#include "host/members.h"

#include "host/enclave.h"
#include "host/error.h"
#include "host/pump/pump.h"
#include "host/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBER_MAX 1024U
#define LINK_COUNT (4 * MEMBER_MAX)
#define RING_SIZE 0x40000U

#define STATS_WORDS (sizeof(struct run_stats) / sizeof(uint64_t))
#define STATS_STRIDE ((sizeof(struct run_stats) + PAGE_SIZE - 1) & PAGE_MASK)

struct members {
    cpu_set_t cpus;  /* that the container may use */
    uint16_t *apart; /* [MEMBER_MAX + 1][MEMBER_VCPU_MAX], shared: keep_apart() */
    struct link_area *area;
    uint64_t area_size;
    struct member_shared *shared; /* [member_max + 1] */
    char *stats;                  /* [member_max + 1], each STATS_STRIDE, shared */
    int commands;                 /* to the zygote */
    pid_t zygote;
    pid_t pids[MEMBER_MAX + 1]; /* the zygote's */
    pthread_mutex_t released_lock;
    struct run_stats released; /* init process: what members counted whose numbers are free again. By released_lock */
};

struct command {
    uint32_t op, member;
};

static uint64_t align_page(uint64_t value)
{
    return (value + PAGE_SIZE - 1) & PAGE_MASK;
}

static void *map_shared(uint64_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    madvise(p, size, MADV_NOHUGEPAGE);
    return p;
}

static int area_make(struct members *m)
{
    struct link_area header = {
        .magic = LINK_MAGIC, .member_max = MEMBER_MAX, .link_count = LINK_COUNT, .ring_size = RING_SIZE};

    header.members_offset = PAGE_SIZE;
    header.links_offset = header.members_offset + align_page((MEMBER_MAX + 1) * sizeof(struct member_shared));
    header.rings_offset = header.links_offset + align_page(LINK_COUNT * sizeof(struct link_shared));
    m->area_size = header.rings_offset + 2ULL * LINK_COUNT * RING_SIZE;
    m->area = map_shared(m->area_size);
    m->apart = map_shared(align_page((MEMBER_MAX + 1) * MEMBER_VCPU_MAX * sizeof(*m->apart)));
    m->stats = map_shared((MEMBER_MAX + 1) * STATS_STRIDE);
    if (!m->area || !m->stats || !m->apart || sched_getaffinity(0, sizeof(m->cpus), &m->cpus) < 0)
        return -ENOMEM;
    *m->area = header;
    m->shared = (struct member_shared *)((char *)m->area + header.members_offset);
    m->shared[0].state = MEMBER_RUNNING;
    m->shared[0].host_pid = (uint32_t)getpid();
    return 0;
}

struct member_shared *member_self(const struct runtime *runtime)
{
    return &runtime->members->shared[runtime->member];
}

struct boot_blob members_area(const struct runtime *runtime)
{
    return (struct boot_blob){(uint64_t)(uintptr_t)runtime->members->area, runtime->members->area_size};
}

/* ---- the zygote ---- */

static void tell_end(struct runtime *runtime, uint32_t number)
{
    struct members *m = runtime->members;

    m->pids[number] = 0;
    __atomic_store_n(&m->shared[number].state, MEMBER_ENDED, __ATOMIC_SEQ_CST);
    __atomic_store_n(&m->shared[0].attention, 1, __ATOMIC_SEQ_CST);
    member_kick(runtime, 0, 1);
}

/*
 * Members' enclaves are all alike when they are new. Where fork copies one (sgx_can_inherit()), the zygote builds it
 * once. If that fails, each member tries for itself and says why not.
 */
static void build_once(struct runtime *runtime)
{
    static bool tried;
    char *error = NULL;

    if (!tried && sgx_can_inherit(runtime->options.sgx) &&
        enclave_build(&runtime->artifacts, runtime->options.sgx, &runtime->enclave, &error) < 0)
        free(error);
    tried = true;
}

static void start(struct runtime *runtime, uint32_t number, const sigset_t *mask)
{
    struct members *m = runtime->members;
    pid_t zygote = getpid(), pid;

    build_once(runtime);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "cofre-member");
        if (getppid() != zygote)
            _exit(EXIT_RUNTIME_FAILED);
        close(m->commands);
        sigprocmask(SIG_SETMASK, mask, NULL);
        member_main(runtime, number);
    }
    m->pids[number] = pid > 0 ? pid : 0;
    if (pid < 0) {
        complain("starting a process failed: %s", strerror(errno));
        tell_end(runtime, number);
    }
}

static void reap(struct runtime *runtime)
{
    struct members *m = runtime->members;
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (uint32_t n = 1; n <= MEMBER_MAX; n++)
            if (m->pids[n] == pid)
                tell_end(runtime, n);
}

static void obey(struct runtime *runtime, const struct command *command, const sigset_t *mask)
{
    struct members *m = runtime->members;

    if (command->member < 1 || command->member > MEMBER_MAX)
        return;
    if (command->op == SPAWN_START)
        start(runtime, command->member, mask);
    else if (command->op == SPAWN_KILL && m->pids[command->member] > 0)
        kill(m->pids[command->member], SIGKILL);
}

/* The runtime is ending, or has: nobody stays. */
static _Noreturn void end_all(const struct members *m)
{
    for (uint32_t n = 1; n <= MEMBER_MAX; n++)
        if (m->pids[n] > 0)
            kill(m->pids[n], SIGKILL);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    _exit(0);
}

static _Noreturn void zygote_main(struct runtime *runtime, pid_t parent, int commands)
{
    sigset_t child, mask;
    struct command command;
    struct pollfd polled[2] = {{.fd = commands, .events = POLLIN}, {.events = POLLIN}};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    prctl(PR_SET_NAME, "cofre-zygote");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_RUNTIME_FAILED);
    if (null >= 0) { /* nobody waits for us to close what was the container's */
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &mask);
    polled[1].fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    runtime->members->commands = commands;
    for (;;) {
        struct signalfd_siginfo info;

        if (poll(polled, 2, -1) < 0)
            continue;
        if (polled[0].revents && read(commands, &command, sizeof(command)) == sizeof(command))
            obey(runtime, &command, &mask);
        else if (polled[0].revents)
            end_all(runtime->members);
        if (polled[1].revents && read(polled[1].fd, &info, sizeof(info)) > 0)
            reap(runtime);
    }
}

int members_new(struct runtime *runtime, char **ret_error)
{
    struct members *m = calloc(1, sizeof(*m));
    int ends[2], ret;
    pid_t parent = getpid(), pid;

    if (!m || (ret = area_make(m)) < 0)
        return fail(ret_error, ENOMEM, "preparing the start failed: no memory");
    pthread_mutex_init(&m->released_lock, NULL);
    runtime->members = m;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return fail(ret_error, errno, "preparing the start failed: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        return fail(ret_error, errno, "starting the zygote failed: %s", strerror(errno));
    if (pid == 0) {
        close(ends[0]);
        zygote_main(runtime, parent, ends[1]);
    }
    close(ends[1]);
    m->commands = ends[0];
    m->zygote = pid;
    return 0;
}

bool members_lost(const struct runtime *runtime)
{
    return waitpid(runtime->members->zygote, NULL, WNOHANG) == runtime->members->zygote;
}

void members_end(const struct runtime *runtime)
{
    const struct members *m = runtime->members;

    close(m->commands);
    while (waitpid(m->zygote, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- host calls ---- */

static int64_t command_send(struct members *m, uint64_t op, uint64_t member)
{
    struct command command = {(uint32_t)op, (uint32_t)member};

    return send(m->commands, &command, sizeof(command), MSG_NOSIGNAL) == sizeof(command) ? 0 : -errno;
}

/* What the rings held is nobody's any more. */
static void release_rings(struct members *m, uint64_t member)
{
    char *rings = (char *)m->area + m->area->rings_offset;

    madvise(rings + member * 2 * RING_SIZE, 2UL * RING_SIZE, MADV_REMOVE);
}

static struct run_stats *stats_of(const struct members *m, uint64_t member)
{
    return (struct run_stats *)(m->stats + member * STATS_STRIDE);
}

static void stats_add(struct run_stats *sum, const struct run_stats *stats)
{
    const uint64_t *from = (const uint64_t *)stats;
    uint64_t *to = (uint64_t *)sum;

    for (size_t i = 0; i < STATS_WORDS; i++)
        to[i] += from[i];
}

/* Its number's next member begins with zeros. */
static void release_stats(struct members *m, uint64_t member)
{
    pthread_mutex_lock(&m->released_lock);
    stats_add(&m->released, stats_of(m, member));
    memset(stats_of(m, member), 0, sizeof(struct run_stats));
    pthread_mutex_unlock(&m->released_lock);
}

int64_t members_spawn(struct runtime *runtime, uint64_t op, uint64_t member)
{
    struct members *m = runtime->members;
    uint32_t state;
    int64_t ret;

    if (runtime->member != 0)
        return -EPERM;
    if (member < 1 || member > MEMBER_MAX)
        return -EINVAL;
    state = __atomic_load_n(&m->shared[member].state, __ATOMIC_ACQUIRE);
    switch (op) {
    case SPAWN_START:
        if (state != MEMBER_FREE)
            return -EBUSY;
        __atomic_store_n(&m->shared[member].state, MEMBER_STARTING, __ATOMIC_RELEASE);
        ret = command_send(m, op, member);
        if (ret < 0)
            __atomic_store_n(&m->shared[member].state, MEMBER_FREE, __ATOMIC_RELEASE);
        return ret;
    case SPAWN_KILL:
        return state == MEMBER_FREE ? -ESRCH : command_send(m, op, member);
    case SPAWN_RELEASE:
        if (state != MEMBER_ENDED)
            return -EBUSY;
        pump_member_ended(runtime->pump, (uint32_t)member);
        release_rings(m, member);
        if (runtime->options.stats)
            release_stats(m, member);
        memset(&m->apart[member * MEMBER_VCPU_MAX], 0, MEMBER_VCPU_MAX * sizeof(*m->apart));
        memset(&m->shared[member], 0, sizeof(m->shared[member]));
        return 0;
    default:
        return -ENOSYS;
    }
}

static void settle(const struct members *m, uint64_t member, unsigned i)
{
    uint16_t *apart = &m->apart[member * MEMBER_VCPU_MAX + i];

    if (__atomic_exchange_n(apart, 0, __ATOMIC_RELAXED) != 0)
        (void)sched_setaffinity((pid_t)m->shared[member].host_tid[i], sizeof(m->cpus), &m->cpus);
}

/*
 * Whoever wakes another enclave mostly goes on, at least to look out for the answer: the other one is to run beside it.
 * Linux would often have it wait behind the waker: to a guest a halted CPU does not count as idle
 * (vcpu_is_preempted()). So its thread keeps off the waker's CPU, until it has been at work for a while. In a crowd no
 * CPU is halted for long, and a thread that may not run on one that is free would wait for nothing.
 *
 * While the init process pumps for many clients and no CPU is free, the other CPUs are those of the clients: a member
 * that is kept there takes their time, and then the init process's CPU is idle.
 */
static void keep_apart(const struct runtime *runtime, uint64_t member, unsigned i)
{
    const struct members *m = runtime->members;
    uint16_t *apart = &m->apart[member * MEMBER_VCPU_MAX + i];
    int cpu = sched_getcpu();
    cpu_set_t others = m->cpus;

    if (__atomic_load_n(&m->shared[0].serves_full, __ATOMIC_RELAXED)) {
        settle(m, member, i);
        return;
    }
    if (cpu < 0 || cpu >= CPU_SETSIZE || __atomic_load_n(&member_self(runtime)->crowded, __ATOMIC_RELAXED) ||
        __atomic_load_n(apart, __ATOMIC_RELAXED) == cpu + 1)
        return;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) == 0)
        return;
    __atomic_store_n(apart, (uint16_t)(cpu + 1), __ATOMIC_RELAXED);
    (void)sched_setaffinity((pid_t)m->shared[member].host_tid[i], sizeof(others), &others);
}

void members_settle(const struct runtime *runtime, unsigned i)
{
    settle(runtime->members, runtime->member, i);
}

/* Who kicked it before may have been killed before the wake-up: so everybody wakes. */
static void kick_vcpu(struct runtime *runtime, uint64_t member, unsigned i)
{
    struct member_shared *to = &runtime->members->shared[member];
    uint32_t *kicked = &to->kicked[i], parked;

    __atomic_store_n(kicked, 1, __ATOMIC_SEQ_CST);
    parked = __atomic_load_n(&to->parked[i], __ATOMIC_SEQ_CST);
    if (parked == PARKED_NOT) {
        syscall(SYS_tgkill, to->host_pid, to->host_tid[i], SGX_TICK_SIGNAL);
        return;
    }
    keep_apart(runtime, member, i);
    if (member == 0 && i == 0)
        pump_wake(runtime->pump);
    else if (parked == PARKED_PUMP)
        syscall(SYS_tgkill, to->host_pid, to->host_tid[i], PUMP_WAKE_SIGNAL);
    else
        syscall(SYS_futex, kicked, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void member_kick(struct runtime *runtime, uint64_t member, uint64_t vcpu_mask)
{
    const struct member_shared *to = &runtime->members->shared[member];

    if (member > MEMBER_MAX)
        return;
    for (unsigned i = 0; i < MEMBER_VCPU_MAX; i++)
        if ((vcpu_mask >> i & 1) && __atomic_load_n(&to->host_tid[i], __ATOMIC_ACQUIRE))
            kick_vcpu(runtime, member, i);
}

/* ---- statistics ---- */

struct run_stats *members_stats(const struct runtime *runtime)
{
    return stats_of(runtime->members, runtime->member);
}

void members_stats_add(struct runtime *runtime, struct run_stats *stats)
{
    struct members *m = runtime->members;
    const struct run_stats own = *stats;

    pthread_mutex_lock(&m->released_lock);
    stats_add(stats, &m->released);
    for (uint32_t n = 1; n <= MEMBER_MAX; n++)
        if (__atomic_load_n(&m->shared[n].state, __ATOMIC_ACQUIRE) != MEMBER_FREE)
            stats_add(stats, stats_of(m, n));
    pthread_mutex_unlock(&m->released_lock);
    /* not sums */
    stats->ns_boot = own.ns_boot;
    stats->ns_start = own.ns_start;
    stats->ns_build = own.ns_build;
    stats->ns_exit = own.ns_exit;
}
