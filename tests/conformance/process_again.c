/*
 * Processes one after the other, and some at once: each begins as a new process does, whatever those before it have
 * left behind and however they ended. An enclave may run them all, one after the other.
 */
#define NEEDS_EDMM /* memory that processes share */
#include "child.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <fenv.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#define PAGE 4096UL
#define AREA_SIZE (48 * PAGE)
#define SECRET 0xa5
#define LOCK_FILE "/tmp/again-lock"
#define LINES_FILE "/tmp/again-lines"
#define CPU_MAX_MS 500
#define MAXRSS_KIB (24L << 10)

extern char **environ;

/* What all of a family share. */
struct shared {
    pthread_mutex_t mutex;
    _Atomic int begun, failures, word;
};

/* What a new process has of its maker, or the lack of it. */
struct state {
    int personality, pdeath, no_new_privs, dumpable, keepcaps, subreaper, thp, slack, securebits;
    int nice, policy, sid, pgid, mempolicy, oom, descriptors, terminal, rounding;
    unsigned mxcsr;
    struct rlimit limits[RLIM_NLIMITS];
    char cwd[64], comm[16], status[1400];
};

/* What one that runs this program anew is told. */
struct told {
    unsigned number;
    int segment;
    unsigned long area;
    int alone;
    struct state state;
};

static struct shared *shared;
static struct told told;
static char program[64];
static const char *kind = "?";

static unsigned char bss[256 << 10];
static unsigned char data[2 * PAGE] = {1, 2, 3};
static const unsigned char constant[3 * PAGE] __attribute__((aligned(4096))) = {4, 5, 6};

/* Text that is changed. */
__asm__(".text\n.p2align 12\nvictim: mov $7, %eax\nret\n.p2align 12\n");
extern int victim(void);

static void bad(const char *format, ...)
{
    char text[256];
    int n = snprintf(text, sizeof text, "process %u (%s): ", told.number, kind);
    va_list args;
    va_start(args, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, args);
    va_end(args);
    if (n > (int)sizeof text - 2)
        n = sizeof text - 2;
    text[n++] = '\n';
    (void)!write(1, text, (size_t)n);
    shared->failures++;
}

/* ---- the state ---- */

static size_t read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t n, total = 0;
    while (fd >= 0 && (n = read(fd, buf + total, size - 1 - (size_t)total)) > 0)
        total += n;
    close(fd);
    buf[total] = '\0';
    return (size_t)total;
}

static void keep_lines(char *ret, size_t size)
{
    static const char *const wanted[] = {
        "Umask:",  "Uid:",    "Gid:",    "Groups:", "VmLck:",  "Threads:", "SigPnd:", "ShdPnd:", "SigBlk:",
        "SigCgt:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:",  "NoNew",   "Seccomp:"};
    char text[4096], *rest = text;
    read_file("/proc/self/status", text, sizeof text);
    for (char *line; (line = strsep(&rest, "\n"));)
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
                strncat(ret, line, size - 2 - strlen(ret)), strcat(ret, "\n");
}

static int count_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int terminal(void)
{
    int fd = open("/dev/tty", O_RDWR);
    close(fd);
    return fd >= 0;
}

static void take_state(struct state *s)
{
    char text[32] = "";
    memset(s, 0, sizeof *s);
    s->personality = personality(0xffffffff);
    prctl(PR_GET_PDEATHSIG, &s->pdeath);
    s->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    s->dumpable = prctl(PR_GET_DUMPABLE);
    s->keepcaps = prctl(PR_GET_KEEPCAPS);
    prctl(PR_GET_CHILD_SUBREAPER, &s->subreaper);
    s->thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
    s->slack = prctl(PR_GET_TIMERSLACK);
    s->securebits = prctl(PR_GET_SECUREBITS);
    s->nice = getpriority(PRIO_PROCESS, 0);
    s->policy = sched_getscheduler(0);
    s->sid = getsid(0);
    s->pgid = getpgrp();
    if (syscall(SYS_get_mempolicy, &s->mempolicy, NULL, 0, NULL, 0) < 0)
        s->mempolicy = 0;
    read_file("/proc/self/oom_score_adj", text, sizeof text);
    s->oom = atoi(text);
    s->descriptors = count_descriptors();
    s->terminal = terminal();
    s->rounding = fegetround();
    s->mxcsr = __builtin_ia32_stmxcsr() & 0x1f80; /* flags come of their own */
    for (int i = 0; i < RLIM_NLIMITS; i++)
        getrlimit(i, &s->limits[i]);
    if (!getcwd(s->cwd, sizeof s->cwd))
        strcpy(s->cwd, "?");
    prctl(PR_GET_NAME, s->comm);
    keep_lines(s->status, sizeof s->status);
}

static void compare(const struct state *now, const struct state *then)
{
#define SAME(field)                                                                                                    \
    if (now->field != then->field)                                                                                     \
    bad("%s %d, not %d", #field, now->field, then->field)
    SAME(personality);
    SAME(pdeath);
    SAME(no_new_privs);
    SAME(dumpable);
    SAME(keepcaps);
    SAME(subreaper);
    SAME(thp);
    SAME(slack);
    SAME(securebits);
    SAME(nice);
    SAME(policy);
    SAME(sid);
    SAME(pgid);
    SAME(mempolicy);
    SAME(oom);
    SAME(descriptors);
    SAME(terminal);
    SAME(rounding);
    SAME(mxcsr);
    for (int i = 0; i < RLIM_NLIMITS; i++)
        if (memcmp(&now->limits[i], &then->limits[i], sizeof now->limits[i]) != 0)
            bad("limit %d is %ld", i, (long)now->limits[i].rlim_cur);
    if (strcmp(now->cwd, then->cwd) != 0)
        bad("folder %s", now->cwd);
    if (strcmp(now->comm, then->comm) != 0)
        bad("comm %s", now->comm);
    if (strcmp(now->status, then->status) != 0) {
        size_t i = 0;
        while (now->status[i] == then->status[i])
            i++;
        while (i > 0 && now->status[i - 1] != '\n')
            i--;
        bad("status %.40s, not %.40s", now->status + i, then->status + i);
    }
}

/* ---- memory ---- */

static long first_not_zero(const volatile unsigned char *p, size_t size)
{
    for (size_t i = 0; i < size; i += 8)
        if (*(const volatile unsigned long *)(p + i))
            return (long)i;
    return -1;
}

static void must_be_zero(const char *what, const volatile void *p, size_t size)
{
    long i = first_not_zero(p, size);
    if (i >= 0)
        bad("%s has %#lx at %#lx", what, *(const volatile unsigned long *)((const volatile char *)p + i), i);
}

static const int prots[] = {PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_EXEC,
                            PROT_READ | PROT_WRITE | PROT_EXEC};

static void *map_area(int prot)
{
    void *p = mmap((void *)told.area, AREA_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void put_code(unsigned char *p, unsigned number)
{
    const unsigned char code[] = {0xb8, (unsigned char)number, (unsigned char)(number >> 8), 0, 0, 0xc3};
    memcpy(p, code, sizeof code);
}

/* Zeroes where others had secrets and code; then secrets and code, kept with other rights. */
static void area(unsigned n)
{
    unsigned char *p = map_area(prots[n % 4]);
    if (!p)
        return;
    must_be_zero("the area", p, AREA_SIZE);
    mprotect(p, AREA_SIZE, PROT_READ | PROT_WRITE);
    memset(p, SECRET, AREA_SIZE);
    put_code(p, n);
    mprotect(p, AREA_SIZE, prots[n / 4 % 4]);
    if (n / 4 % 4 >= 2 && ((unsigned (*)(void))p)() != n % 65536)
        bad("its code is another's");
    if (n % 5 == 0)
        munmap(p + 8 * PAGE, 8 * PAGE);
}

static __attribute__((noinline)) void stack_below(void)
{
    volatile unsigned char *low = (volatile unsigned char *)__builtin_frame_address(0) - (400 << 10);
    low -= (unsigned long)low % 8;
    must_be_zero("the stack", low, 128 << 10);
    for (int i = 0; i < 128 << 10; i += 64)
        low[i] = SECRET;
}

static void heap(void)
{
    unsigned char *p = sbrk(160 << 10),
                  *q = mmap(NULL, 96 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != (void *)-1) {
        unsigned long skip = -(unsigned long)p % PAGE;
        must_be_zero("the heap", p + skip, (160 << 10) - PAGE);
        memset(p + skip, SECRET, (160 << 10) - PAGE);
    }
    must_be_zero("a mapping", q, 96 * PAGE);
    memset(q, SECRET, 96 * PAGE);
}

static void own_program(unsigned n)
{
    must_be_zero(".bss", bss, sizeof bss);
    if (data[0] != 1 || data[1] != 2 || data[2] != 3 || first_not_zero(data + 8, sizeof data - 8) >= 0)
        bad(".data is another's");
    if (constant[0] != 4 || constant[2] != 6 || first_not_zero(constant + 8, sizeof constant - 8) >= 0)
        bad("constants are another's");
    if (victim() != 7)
        bad("text is another's: %d", victim());
    memset(bss, SECRET, sizeof bss);
    memset(data, SECRET, sizeof data);
    if (n % 2) {
        mprotect((void *)constant, sizeof constant, PROT_READ | PROT_WRITE);
        memset((void *)constant, SECRET, sizeof constant);
        mprotect((void *)constant, sizeof constant, PROT_READ);
    }
    if (n % 3) {
        void *page = (void *)((unsigned long)victim & -PAGE);
        mprotect(page, PAGE, PROT_READ | PROT_WRITE | (n % 3 == 1 ? PROT_EXEC : 0));
        put_code((unsigned char *)victim, 8);
        if (n % 4)
            mprotect(page, PAGE, PROT_READ | PROT_EXEC);
        if ((n % 4 || n % 3 == 1) && victim() != 8)
            bad("text was not changed: %d", victim());
    }
}

/* ---- other things that a process begins without ---- */

static void no_timers(void)
{
    struct itimerval timer;
    struct itimerspec spec;
    for (int i = 0; i < 3; i++)
        if (getitimer(i, &timer) == 0 && (timer.it_value.tv_sec || timer.it_value.tv_usec))
            bad("itimer %d runs", i);
    for (long i = 0; i < 4; i++)
        if (raw(SYS_timer_gettime, i, (long)&spec, 0, 0) != -EINVAL)
            bad("timer %ld is there", i);
}

static void little_used(void)
{
    struct rusage use;
    struct tms tms;
    getrusage(RUSAGE_SELF, &use);
    long ms = (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000 + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000;
    if (ms > CPU_MAX_MS)
        bad("it has used %ld ms", ms);
    if (use.ru_maxrss > MAXRSS_KIB)
        bad("it has used %ld KiB", use.ru_maxrss);
    times(&tms);
    if (tms.tms_utime + tms.tms_stime > CPU_MAX_MS / 10 || tms.tms_cutime || tms.tms_cstime)
        bad("times %ld %ld", tms.tms_utime + tms.tms_stime, tms.tms_cutime + tms.tms_cstime);
    getrusage(RUSAGE_CHILDREN, &use);
    if (use.ru_utime.tv_sec || use.ru_utime.tv_usec || use.ru_maxrss)
        bad("it has had children");
}

static void own_proc(int argc, char **argv)
{
    char text[4096];
    int pid = 0;
    read_file("/proc/self/stat", text, sizeof text);
    if (sscanf(text, "%d (process_again", &pid) != 1 || pid != getpid())
        bad("stat %.30s", text);
    if (!argv)
        return;
    size_t n = read_file("/proc/self/cmdline", text, sizeof text), at = 0;
    for (int i = 0; i < argc; i++) {
        if (at >= n || strcmp(text + at, argv[i]) != 0)
            bad("argument %d is %s", i, at >= n ? "none" : text + at);
        at += strlen(argv[i]) + 1;
    }
    n = read_file("/proc/self/environ", text, sizeof text);
    if (!memmem(text, n, getenv("NUMBER"), strlen(getenv("NUMBER"))))
        bad("environ %.30s", text);
}

static void no_actions(void)
{
    struct sigaction action;
    for (int i = 1; i <= SIGRTMAX; i++)
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            bad("signal %d has an action", i);
}

static void no_mapping(void)
{
    char *text = malloc(64 << 10), *rest = text, *line;
    read_file("/proc/self/maps", text, 64 << 10);
    while ((line = strsep(&rest, "\n"))) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx", &start, &end) == 2 && start < told.area + AREA_SIZE && end > told.area)
            bad("mapped already: %s", line);
        if (strstr(line, "SYSV"))
            bad("attached already: %s", line);
    }
    free(text);
}

static void check(int argc, char **argv)
{
    struct state now;
    stack_t stack;
    unsigned long gs = 0;
    take_state(&now);
    compare(&now, &told.state);
    no_actions();
    no_timers();
    little_used();
    own_proc(argc, argv);
    if (!argv) /* with other addresses, something else may be there */
        no_mapping();
    sigaltstack(NULL, &stack);
    if (!(stack.ss_flags & SS_DISABLE))
        bad("it has an alternate stack");
    syscall(SYS_arch_prctl, ARCH_GET_GS, &gs);
    if (gs)
        bad("gs is at %#lx", gs);
    if (raw(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0) != -EPERM)
        bad("it is registered for membarrier");
    if (access("/t/process_again", F_OK) < 0)
        bad("the root is another");
}

/* ---- what they leave ---- */

static void on_signal(int signal)
{
    (void)signal;
}

static void leave_signals(unsigned n)
{
    struct sigaction action = {.sa_handler = on_signal};
    static char altstack[16384];
    sigset_t set;
    for (int i = 1; i < 64; i++)
        if (i != SIGSEGV && i != SIGABRT) {
            action.sa_handler = i % 3 ? on_signal : SIG_IGN;
            sigaction(i, &action, NULL);
        }
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    for (int i = 0; i < 5; i++)
        sigaddset(&set, SIGRTMIN + i);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR2);
    for (int i = 0; i < 20; i++)
        sigqueue(getpid(), SIGRTMIN + i % 5, (union sigval){.sival_int = i});
    sigaltstack(&(stack_t){.ss_sp = altstack, .ss_size = sizeof altstack}, NULL);
    (void)n;
}

static void leave_timers(unsigned n)
{
    struct itimerval soon = {{0, 1000}, {0, 1000}};
    struct itimerspec spec = {{0, 1000000}, {0, 1000000}};
    timer_t timer;
    signal(SIGALRM, SIG_IGN);
    signal(SIGVTALRM, SIG_IGN);
    signal(SIGPROF, SIG_IGN);
    signal(SIGRTMIN + 6, SIG_IGN);
    for (int i = 0; i < 3; i++)
        setitimer(i, &soon, NULL);
    for (int i = 0; i < 4; i++) {
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 6};
        if (timer_create(i % 2 ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &event, &timer) == 0)
            timer_settime(timer, 0, &spec, NULL);
    }
    if (n % 2)
        alarm(1);
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(fd, 0, &spec, NULL);
}

static void leave_attributes(unsigned n)
{
    unsigned long nodes = 1;
    struct sched_param param = {0};
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    (void)!write(fd, "500", 3);
    umask(0770 ^ (n & 7));
    (void)!chdir(n % 2 ? "/" : "/proc");
    setpriority(PRIO_PROCESS, 0, 5 + (int)(n % 10));
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit limit;
        getrlimit(i, &limit);
        if (i == RLIMIT_AS || i == RLIMIT_DATA || i == RLIMIT_STACK || i == RLIMIT_CPU || i == RLIMIT_FSIZE ||
            i == RLIMIT_NPROC)
            continue;
        limit.rlim_cur = i == RLIMIT_NOFILE ? 200 : limit.rlim_cur / 2;
        setrlimit(i, &limit);
    }
    personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC);
    prctl(PR_SET_NAME, "another");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_KEEPCAPS, 1);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    prctl(PR_SET_TIMERSLACK, 12345);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    sched_setscheduler(0, SCHED_BATCH, &param);
    syscall(SYS_set_mempolicy, 1, &nodes, 8);
    raw(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    mlock(bss, sizeof bss);
    fesetround(FE_UPWARD);
    syscall(SYS_arch_prctl, ARCH_SET_GS, told.area);
}

static void leave_terminal(void)
{
    char name[32];
    int on = 0, number = 0, fd;
    setsid();
    fd = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (fd < 0 || ioctl(fd, TIOCSPTLCK, &on) < 0 || ioctl(fd, TIOCGPTN, &number) < 0)
        return;
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    open(name, O_RDWR);
}

static void leave_credentials(unsigned n)
{
    if (n % 2) {
        (void)!chroot("/tmp");
        setgid(65534);
        setuid(65534);
    } else {
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct caps[2] = {{0}};
        prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0);
        syscall(SYS_capset, &header, caps);
    }
}

static void leave_descriptors(unsigned n)
{
    int pair[2], fds[2], fd, set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | (n % 2 ? EPOLLET : 0)};
    char text[] = "0123456\n";
    for (int i = 0; i < 3; i++) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
        (void)!pipe(fds);
        epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event);
        epoll_ctl(set, EPOLL_CTL_ADD, fds[0], &event);
        (void)!write(pair[1], "x", 1);
        (void)!write(fds[1], "y", 1);
    }
    epoll_wait(set, &event, 1, 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    listen(fd, 1);
    eventfd(1, 0);
    fd = open(LINES_FILE, O_WRONLY | O_APPEND);
    for (int i = 0; i < 4; i++)
        (void)!write(fd, text, sizeof text - 1);
    fd = open("/t/process_again", O_RDONLY);
    (void)!read(fd, text, 4);
}

/* Before others may end it. */
static void take_locks(unsigned n)
{
    int fd = open(LOCK_FILE, O_RDWR), r;
    struct flock lock = {.l_type = F_WRLCK, .l_len = 1};
    if (fcntl(fd, F_SETLK, &lock) < 0)
        bad("who is dead has the lock: %s", strerrorname_np(errno));
    if (n % 7 && flock(fd, LOCK_EX | LOCK_NB) < 0) /* else it would be its child's too */
        bad("who is dead has the file: %s", strerrorname_np(errno));
    if ((r = pthread_mutex_trylock(&shared->mutex)) == EOWNERDEAD)
        pthread_mutex_consistent(&shared->mutex);
    else if (r != 0)
        bad("who is dead has the mutex: %s", strerrorname_np(r));
}

static void *waits(void *arg)
{
    static int word;
    int *futex = arg ? (int *)&shared->word : &word;
    for (;;)
        syscall(SYS_futex, futex, arg ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return NULL;
}

static void *spins(void *arg)
{
    for (;;)
        (*(volatile long *)arg)++;
    return NULL;
}

static void leave_threads(unsigned n)
{
    static long counter;
    pthread_t thread;
    pthread_create(&thread, NULL, waits, NULL);
    pthread_create(&thread, NULL, waits, (void *)1);
    if (n % 3 == 0)
        pthread_create(&thread, NULL, spins, &counter);
}

static void leave_family(void)
{
    int pid = fork();
    if (pid == 0) {
        struct timespec ts = {0, 3000000};
        nanosleep(&ts, NULL);
        _exit(0);
    }
}

static void leave_memory(unsigned n)
{
    char *p = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (n % 16 == 1 && p != MAP_FAILED)
        for (int i = 0; i < 32 << 20; i += 4096)
            p[i] = (char)SECRET;
    shmat(told.segment, NULL, 0);
    p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(p, SECRET, 4 * PAGE);
}

static void burn(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    while ((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec < 20000000);
}

/* ---- ends ---- */

enum end { EXIT, EXIT_NOW, THREAD_EXITS, CRASH, KILL_ITSELF, KILLED, END_COUNT };

static enum end end_of(unsigned n)
{
    return (enum end)(n * 7 / 3 % END_COUNT);
}

static void *exits(void *arg)
{
    raw_exit(3);
    return arg;
}

static void end(unsigned n)
{
    pthread_t thread;
    switch (end_of(n)) {
    case EXIT:
        exit(3);
    case THREAD_EXITS:
        pthread_create(&thread, NULL, exits, NULL);
        for (;;)
            pause();
    case CRASH:
        signal(SIGSEGV, SIG_DFL);
        *(volatile int *)8 = 1;
    case KILL_ITSELF:
        kill(getpid(), SIGKILL);
    case KILLED: /* by its maker */
        for (;;)
            pause();
    default:
        _exit(3);
    }
}

static int is_right(unsigned n, int status)
{
    switch (end_of(n)) {
    case CRASH:
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    case KILL_ITSELF:
    case KILLED:
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    default:
        return WIFEXITED(status) && WEXITSTATUS(status) == 3;
    }
}

/* ---- one process ---- */

static void live(int argc, char **argv)
{
    unsigned n = told.number;
    shared->begun++;
    check(argc, argv);
    own_program(n);
    heap();
    area(n);
    stack_below();
    if (told.alone)
        take_locks(n);
    if (n % 2 == 0)
        leave_descriptors(n);
    if (n % 3 != 1)
        leave_signals(n);
    leave_memory(n);
    if (n % 7 == 0)
        leave_family();
    if (n % 5 == 1)
        leave_terminal();
    if (n % 8 == 3)
        burn();
    if (n % 2 == 1)
        leave_threads(n);
    leave_attributes(n);
    if (n % 3 == 0)
        leave_timers(n);
    if (n % 4 < 2)
        leave_credentials(n);
    end(n);
}

static char *const *run_arguments(void)
{
    static char number[16], *arguments[] = {"process_again", "again", number, NULL};
    sprintf(number, "%u", told.number);
    return arguments;
}

/* The program is told by a file that it inherits. */
static char *const *run_environment(void)
{
    static char number[32], *environment[] = {"PATH=/t", "HOME=/root", number, NULL};
    sprintf(number, "NUMBER=%u", told.number * 1000003u);
    return environment;
}

static void run(void)
{
    execve(program, run_arguments(), run_environment());
    _exit(99);
}

static int make(unsigned how)
{
    static const char *const kinds[] = {"fork", "fork, exec", "posix_spawn", "vfork, exec"};
    int pid = -1;
    kind = kinds[how];
    switch (how) {
    case 0:
        pid = fork();
        if (pid == 0)
            live(0, NULL);
        break;
    case 1:
        pid = fork();
        if (pid == 0)
            run();
        break;
    case 2:
        if (posix_spawn(&pid, program, NULL, NULL, run_arguments(), (char **)run_environment()) != 0)
            pid = -1;
        break;
    case 3:
        pid = vfork();
        if (pid == 0)
            run();
    }
    return pid;
}

#define TOLD_FD 20
#define SHARED_FD 21

static void tell(unsigned n, int alone)
{
    told.number = n;
    told.alone = alone;
    (void)!pwrite(TOLD_FD, &told, sizeof told, n * sizeof told);
}

/* The program anew: what it is told, and what it shares, comes by descriptors. */
static int again(int argc, char **argv)
{
    unsigned n = (unsigned)atoi(argv[2]);
    kind = "exec";
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
    if (shared == MAP_FAILED || pread(TOLD_FD, &told, sizeof told, n * sizeof told) != sizeof told)
        return 98;
    live(argc, argv);
    return 97;
}

/* ---- all of them ---- */

static void wait_for(unsigned n, int pid, unsigned how)
{
    int status = 0;
    struct timespec ts = {0, (long)(n * 2654435761u % 8000000)};
    told.number = n;
    kind = "its maker";
    if (end_of(n) == KILLED) {
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        bad("was not made by %u", how);
    else if (!is_right(n, status))
        bad("ended with %s", status_text(status));
}

static void one_after_another(unsigned first, unsigned count, unsigned how)
{
    for (unsigned n = first; n < first + count; n++) {
        unsigned h = how < 4 ? how : n * 5 / 3 % 4;
        tell(n, 1);
        wait_for(n, make(h), h);
    }
}

static void at_once(unsigned first, unsigned count)
{
    for (unsigned n = first; n < first + count;) {
        int pids[5];
        unsigned group = 2 + n % 4;
        for (unsigned i = 0; i < group; i++) {
            tell(n + i, 0);
            pids[i] = make((n + i) % 4);
        }
        for (unsigned i = 0; i < group; i++)
            wait_for(n + i, pids[i], (n + i) % 4);
        n += group;
    }
}

static void share(void)
{
    pthread_mutexattr_t attributes;
    int fd = memfd_create("shared", 0), file = open("/tmp/again-told", O_CREAT | O_RDWR, 0666);
    (void)!ftruncate(fd, PAGE);
    dup2(fd, SHARED_FD);
    dup2(file, TOLD_FD);
    close(fd);
    close(file);
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->mutex, &attributes);
    close(open(LOCK_FILE, O_CREAT | O_RDWR, 0666));
    close(open(LINES_FILE, O_CREAT | O_RDWR, 0666));
}

static void choose_area(void)
{
    char *p = mmap(NULL, AREA_SIZE + (1 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    told.area = (unsigned long)p + (512 << 10);
    munmap(p, AREA_SIZE + (1 << 20));
}

static void nothing_left(void)
{
    struct shmid_ds segment;
    struct stat lines;
    while (waitpid(-1, NULL, __WALL) > 0)
        ;
    shmctl(told.segment, IPC_STAT, &segment);
    stat(LINES_FILE, &lines);
    printf("attached %d, waiting %ld, half lines %ld\n", (int)segment.shm_nattch,
           (long)syscall(SYS_futex, &shared->word, FUTEX_WAKE, 1000, NULL, NULL, 0), (long)lines.st_size % 8);
    shmctl(told.segment, IPC_RMID, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return again(argc, argv);
    (void)!readlink("/proc/self/exe", program, sizeof program - 1);
    share();
    choose_area();
    told.segment = shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0666);
    take_state(&told.state);
    for (unsigned how = 0; how < 4; how++) {
        one_after_another(how * 24, 24, how);
        printf("kind %u: failures %d\n", how, shared->failures);
        fflush(stdout);
    }
    one_after_another(96, 60, 4);
    printf("mixed: failures %d\n", shared->failures);
    fflush(stdout);
    at_once(160, 60);
    printf("at once: failures %d\n", shared->failures);
    nothing_left();
    return 0;
}
