/*
 * A pipe from one child to another, and what may be done to its ends in the middle of the stream: no byte is lost,
 * comes twice or at another place.
 */
#include "show.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define BLOCK 65536L
#define TOTAL (24 * BLOCK)
#define MIDDLE (8 * BLOCK)
#define PART (4 * BLOCK) /* that is moved otherwise, from the middle on */

static char block[BLOCK];
static const char *self;

static unsigned char byte_at(long at)
{
    return (unsigned char)((uint32_t)(at * 2654435761U) >> 13 ^ (uint32_t)at >> 16);
}

static void fill(long at, long size)
{
    for (long i = 0; i < size; i++)
        block[i] = (char)byte_at(at + i);
}

static bool good(const char *bytes, long at, long size)
{
    for (long i = 0; i < size; i++)
        if ((unsigned char)bytes[i] != byte_at(at + i))
            return false;
    return true;
}

/* ---- the writer: from..to in such pieces; where it came ---- */

static long put(int fd, long from, long to, long piece)
{
    while (from < to) {
        long n = to - from < piece ? to - from : piece;
        fill(from, n);
        ssize_t r = write(fd, block, (size_t)n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        from += r;
    }
    return from;
}

/* ---- the reader ---- */

static long take(int fd, long from, long to, long piece)
{
    while (from < to) {
        long n = to - from < piece ? to - from : piece;
        ssize_t r = read(fd, block, (size_t)n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        if (!good(block, from, r)) {
            printf("wrong bytes after %ld\n", from);
            fflush(stdout);
            _exit(9);
        }
        from += r;
    }
    return from;
}

/* ---- what the writer does in the middle; returns the descriptor that it goes on with ---- */

static int end_of(int pid)
{
    int s = -1;
    while (waitpid(pid, &s, 0) < 0 && errno == EINTR)
        ;
    return s;
}

static int w_nothing(int fd)
{
    return put(fd, MIDDLE, MIDDLE + PART, BLOCK) == MIDDLE + PART ? fd : -1;
}

static int w_small(int fd)
{
    put(fd, MIDDLE, MIDDLE + 30000, 3);
    put(fd, MIDDLE + 30000, MIDDLE + PART, 1000);
    return fd;
}

static int w_vector(int fd)
{
    for (long at = MIDDLE; at < MIDDLE + PART; at += BLOCK) {
        fill(at, BLOCK);
        struct iovec iov[2] = {{block, 10000}, {block + 10000, BLOCK - 10000}};
        if (writev(fd, iov, 2) != BLOCK)
            return -1;
    }
    return fd;
}

static int w_dup(int fd)
{
    int other = dup(fd);
    close(fd);
    int file = open("/tmp/lent-file", O_RDWR | O_CREAT | O_TRUNC, 0600); /* at its descriptor */
    if (file != fd || write(file, "elsewhere", 9) != 9 || lseek(file, 0, SEEK_END) != 9)
        return -1;
    put(other, MIDDLE, MIDDLE + PART, BLOCK);
    return other;
}

static int w_fork(int fd)
{
    int pid = fork();
    if (pid == 0)
        _exit(put(fd, MIDDLE, MIDDLE + PART, BLOCK) != MIDDLE + PART);
    return end_of(pid) == 0 ? fd : -1;
}

static int w_nonblock(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    for (long at = MIDDLE; at < MIDDLE + PART;) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 5000) != 1)
            return -1;
        at = put(fd, at, MIDDLE + PART, BLOCK);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

static int w_poll(int fd)
{
    for (long at = MIDDLE; at < MIDDLE + PART;) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 5000) != 1 || p.revents != POLLOUT)
            return -1;
        at = put(fd, at, at + 4096, BLOCK);
    }
    return fd;
}

static int w_size(int fd)
{
    if (fcntl(fd, F_GETPIPE_SZ) != 65536 || fcntl(fd, F_SETPIPE_SZ, 131072) != 131072)
        return -1;
    return put(fd, MIDDLE, MIDDLE + PART, BLOCK) == MIDDLE + PART ? fd : -1;
}

static int w_splice(int fd)
{
    int file = open("/tmp/lent-part", O_RDWR | O_CREAT | O_TRUNC, 0600);
    put(file, MIDDLE, MIDDLE + PART, BLOCK);
    off_t at = 0;
    while (at < PART && splice(file, &at, fd, NULL, (size_t)(PART - at), 0) > 0)
        ;
    close(file);
    return at == PART ? fd : -1;
}

static int w_vmsplice(int fd)
{
    char *bytes = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < PART; i++)
        bytes[i] = (char)byte_at(MIDDLE + i);
    for (long at = 0; at < PART;) {
        struct iovec iov = {bytes + at, (size_t)(PART - at)};
        ssize_t n = vmsplice(fd, &iov, 1, 0);
        if (n <= 0)
            return -1;
        at += n;
    }
    return fd;
}

static void send_fd(int socket, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = {0}, c = 'x';
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    sendmsg(socket, &m, 0);
}

static int receive_fd(int socket)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, c;
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fd = -1;
    if (recvmsg(socket, &m, 0) == 1 && CMSG_FIRSTHDR(&m))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}

/* Another process gets it, that was there before, and goes on; this one ends. */
static int heirs[2];

static int w_pass(int fd)
{
    send_fd(heirs[0], fd);
    _exit(0);
}

static int w_exec(int fd)
{
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    execl("/proc/self/exe", self, "put", number, NULL);
    return -1;
}

static void nothing(int signal)
{
    (void)signal;
}

static int w_signals(int fd)
{
    struct sigaction action = {.sa_handler = nothing};
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    long at = put(fd, MIDDLE, MIDDLE + PART, BLOCK);
    setitimer(ITIMER_REAL, &never, NULL);
    return at == MIDDLE + PART ? fd : -1;
}

static int w_bad_memory(int fd)
{
    char *bytes = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(bytes + 4096, 4096);
    for (long i = 0; i < 4096; i++)
        bytes[i] = (char)byte_at(MIDDLE + i);
    if (write(fd, bytes + 4096, 100) != -1 || errno != EFAULT || write(fd, bytes, 4096) != 4096)
        return -1;
    return put(fd, MIDDLE + 4096, MIDDLE + PART, BLOCK) == MIDDLE + PART ? fd : -1;
}

/* ---- what the reader does there ---- */

static int r_nothing(int fd)
{
    return take(fd, MIDDLE, MIDDLE + PART, BLOCK) == MIDDLE + PART ? fd : -1;
}

static int r_pause(int fd)
{
    usleep(60000);
    return r_nothing(fd);
}

static int r_small(int fd)
{
    take(fd, MIDDLE, MIDDLE + 3000, 1);
    return take(fd, MIDDLE + 3000, MIDDLE + PART, 777) == MIDDLE + PART ? fd : -1;
}

static int r_vector(int fd)
{
    for (long at = MIDDLE; at < MIDDLE + PART;) {
        struct iovec iov[2] = {{block, 5000}, {block + 5000, 11384}};
        ssize_t n = readv(fd, iov, 2);
        if (n <= 0 || !good(block, at, n))
            return -1;
        at += n;
    }
    return fd;
}

static int r_how_much(int fd)
{
    for (long at = MIDDLE; at < MIDDLE + PART;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int there = 0;
        if (poll(&p, 1, 5000) != 1 || ioctl(fd, FIONREAD, &there) < 0 || there <= 0)
            return -1;
        if (there > MIDDLE + PART - at)
            there = (int)(MIDDLE + PART - at);
        long next = take(fd, at, at + there, there);
        if (next != at + there)
            return -1;
        at = next;
    }
    return fd;
}

static int r_epoll(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int set = epoll_create1(0);
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    for (long at = MIDDLE; at < MIDDLE + PART;) {
        if (epoll_wait(set, &event, 1, 5000) != 1)
            return -1;
        ssize_t n = read(fd, block, (size_t)(MIDDLE + PART - at < BLOCK ? MIDDLE + PART - at : BLOCK));
        if (n <= 0 || !good(block, at, n))
            return -1;
        at += n;
    }
    close(set);
    return fd;
}

static int r_nonblock(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    for (long at = MIDDLE; at < MIDDLE + PART;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 5000) != 1)
            return -1;
        at = take(fd, at, MIDDLE + PART, BLOCK);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

static int r_fork(int fd)
{
    int pid = fork();
    if (pid == 0)
        _exit(take(fd, MIDDLE, MIDDLE + PART, BLOCK) != MIDDLE + PART);
    return end_of(pid) == 0 ? fd : -1;
}

static int r_splice(int fd)
{
    int file = open("/tmp/lent-spliced", O_RDWR | O_CREAT | O_TRUNC, 0600);
    long at = 0;
    for (ssize_t n; at < PART && (n = splice(fd, NULL, file, NULL, (size_t)(PART - at), 0)) > 0;)
        at += n;
    lseek(file, 0, SEEK_SET);
    bool all = at == PART && take(file, MIDDLE, MIDDLE + PART, BLOCK) == MIDDLE + PART;
    close(file);
    return all ? fd : -1;
}

static int r_tee(int fd)
{
    int copy[2];
    pipe(copy);
    ssize_t n = tee(fd, copy[1], 10000, 0);
    if (n <= 0 || take(copy[0], MIDDLE, MIDDLE + n, BLOCK) != MIDDLE + n)
        return -1;
    return r_nothing(fd);
}

static int r_dup(int fd)
{
    int other = dup(fd), file = open("/dev/zero", O_RDONLY);
    dup2(file, fd);
    if (read(fd, block, 100) != 100 || block[0] || block[99])
        return -1;
    return r_nothing(other);
}

static int r_again(int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int other = open(path, O_RDONLY);
    close(fd);
    return r_nothing(other);
}

static int r_pass(int fd)
{
    send_fd(heirs[0], fd);
    _exit(0);
}

static int r_exec(int fd)
{
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    execl("/proc/self/exe", self, "take", number, NULL);
    return -1;
}

static int r_bad_memory(int fd)
{
    if (read(fd, (void *)8, 100) != -1 || errno != EFAULT)
        return -1;
    return r_nothing(fd);
}

/* ---- streams ---- */

static void put_rest(int fd)
{
    _exit(fd < 0 || put(fd, MIDDLE + PART, TOTAL, BLOCK) != TOTAL);
}

static void take_rest(int fd)
{
    long at = fd < 0 ? -1 : take(fd, MIDDLE + PART, TOTAL, BLOCK);
    _exit(at != TOTAL || read(fd, block, 1) != 0);
}

static int writer(const int ends[2], int (*act)(int fd))
{
    int pid = fork();
    if (pid > 0)
        return pid;
    close(ends[0]);
    put(ends[1], 0, MIDDLE, BLOCK);
    put_rest(act(ends[1]));
    return 0;
}

static int reader(const int ends[2], int (*act)(int fd))
{
    int pid = fork();
    if (pid > 0)
        return pid;
    close(ends[1]);
    take(ends[0], 0, MIDDLE, BLOCK);
    take_rest(act(ends[0]));
    return 0;
}

/* Who goes on for another. */
static int heir(const int ends[2], bool writes)
{
    int pid = fork();
    if (pid > 0)
        return pid;
    close(ends[0]);
    close(ends[1]);
    close(heirs[0]);
    int fd = receive_fd(heirs[1]);
    if (fd < 0)
        _exit(7);
    if (writes)
        put_rest(put(fd, MIDDLE, MIDDLE + PART, BLOCK) == MIDDLE + PART ? fd : -1);
    take_rest(r_nothing(fd));
    return 0;
}

static void stream(const char *what, int (*w)(int fd), int (*r)(int fd))
{
    int ends[2], other = 0;
    fflush(stdout);
    pipe(ends);
    if (w == w_pass || r == r_pass) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, heirs);
        other = heir(ends, w == w_pass);
    }
    int from = writer(ends, w), to = reader(ends, r);
    close(ends[0]);
    close(ends[1]);
    if (other) {
        close(heirs[0]);
        close(heirs[1]);
    }
    printf("%s: %d", what, end_of(from));
    printf(" %d", end_of(to));
    printf(" %d\n", other ? end_of(other) : 0);
    fflush(stdout);
}

/* ---- ends ---- */

/* The reader is gone in the middle, by itself or killed. */
static void broken(const char *what, bool ignored, bool killed)
{
    int ends[2];
    fflush(stdout);
    pipe(ends);
    int from = fork();
    if (from == 0) {
        close(ends[0]);
        if (ignored)
            signal(SIGPIPE, SIG_IGN);
        for (;;) {
            ssize_t n = write(ends[1], block, BLOCK);
            if (n < 0)
                _exit(errno == EPIPE ? 5 : 6);
        }
    }
    int to = fork();
    if (to == 0) {
        close(ends[1]);
        for (long left = MIDDLE; left > 0;)
            left -= read(ends[0], block, BLOCK);
        if (killed)
            raise(SIGKILL);
        _exit(3);
    }
    close(ends[0]);
    close(ends[1]);
    printf("%s: %d", what, end_of(to));
    printf(" %d\n", end_of(from));
}

/* The writer is killed: what came of it is its beginning, and then there is the end. */
static void killed_writer(void)
{
    int ends[2], ready[2];
    fflush(stdout);
    pipe(ends);
    pipe(ready);
    int from = fork();
    if (from == 0) {
        close(ends[0]);
        put(ends[1], 0, 1000 * TOTAL, BLOCK);
        _exit(1);
    }
    int to = fork();
    if (to == 0) {
        close(ends[1]);
        long at = take(ends[0], 0, MIDDLE, BLOCK);
        write(ready[1], "x", 1);
        at = take(ends[0], at, 1000 * TOTAL, BLOCK);
        _exit(at < MIDDLE || at == 1000 * TOTAL);
    }
    close(ends[0]);
    close(ends[1]);
    char c;
    read(ready[0], &c, 1);
    kill(from, SIGKILL);
    printf("killed writer: %d", end_of(from));
    printf(" %d\n", end_of(to));
    close(ready[0]);
    close(ready[1]);
}

/* Each is stopped for a while; and PID 1 looks at what is there. */
static void stopped(void)
{
    int ends[2];
    fflush(stdout);
    pipe(ends);
    int from = writer(ends, w_nothing), to = reader(ends, r_pause);
    for (int i = 0; i < 6; i++) {
        int there;
        usleep(5000);
        kill(i % 2 ? from : to, SIGSTOP);
        usleep(5000);
        ioctl(ends[0], FIONREAD, &there);
        kill(i % 2 ? from : to, SIGCONT);
    }
    close(ends[0]);
    close(ends[1]);
    printf("stopped: %d", end_of(from));
    printf(" %d\n", end_of(to));
}

/* Two threads write records of PIPE_BUF bytes and of fewer: none is torn. */
static int thread_fd;

static void *write_records(void *arg)
{
    char record[4096];
    char mark = *(char *)arg;
    memset(record, mark, sizeof record);
    for (int i = 0; i < 300; i++)
        if (write(thread_fd, record, sizeof record) != (ssize_t)sizeof record)
            return NULL;
    return arg;
}

static void records(void)
{
    int ends[2];
    fflush(stdout);
    pipe(ends);
    int from = fork();
    if (from == 0) {
        static char marks[2] = {'a', 'b'};
        pthread_t threads[2];
        void *done[2];
        close(ends[0]);
        thread_fd = ends[1];
        put(ends[1], 0, MIDDLE, BLOCK);
        for (int i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, write_records, &marks[i]);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], &done[i]);
        _exit(!done[0] || !done[1]);
    }
    int to = fork();
    if (to == 0) {
        close(ends[1]);
        take(ends[0], 0, MIDDLE, BLOCK);
        int torn = 0, count = 0;
        for (;; count++) {
            long got = 0;
            for (ssize_t n; got < 4096 && (n = read(ends[0], block + got, (size_t)(4096 - got))) > 0;)
                got += n;
            if (got == 0)
                break;
            for (long i = 1; i < got; i++)
                torn += block[i] != block[0];
        }
        _exit(torn != 0 || count != 600);
    }
    close(ends[0]);
    close(ends[1]);
    printf("records: %d", end_of(from));
    printf(" %d\n", end_of(to));
}

/* Who reads what another wrote after a line of output, or a signal, comes after that, too. */
static volatile sig_atomic_t came;

static void on_signal(int signal)
{
    came += signal == SIGUSR1;
}

static void order_writes(int fd, int signalled, int acknowledged)
{
    char line[32], c;
    put(fd, 0, MIDDLE, BLOCK);
    for (int i = 0; i < 40; i++) {
        write(1, line, (size_t)snprintf(line, sizeof line, "writes %d\n", i));
        if (signalled)
            kill(signalled, SIGUSR1);
        if (write(fd, block, 16384) != 16384 || read(acknowledged, &c, 1) != 1)
            _exit(1);
    }
    _exit(0);
}

static void order_reads(int fd, bool signalled, int acknowledges)
{
    char line[32];
    int early = 0;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    take(fd, 0, MIDDLE, BLOCK);
    for (int i = 0; i < 40; i++) {
        for (long got = 0, n; got < 16384 && (n = read(fd, block, (size_t)(16384 - got))) > 0;) {
            early += signalled && came != i + 1;
            got += n;
        }
        write(1, line, (size_t)snprintf(line, sizeof line, "reads %d\n", i));
        write(acknowledges, "x", 1);
    }
    _exit(early != 0);
}

static void order(bool signals)
{
    int ends[2], back[2], begins[2];
    fflush(stdout);
    pipe(ends);
    pipe(back);
    pipe(begins);
    int to = fork();
    if (to == 0) {
        close(ends[1]);
        write(begins[1], "x", 1);
        order_reads(ends[0], signals, back[1]);
    }
    int from = fork();
    if (from == 0) {
        char c;
        close(ends[0]);
        read(begins[0], &c, 1);
        order_writes(ends[1], signals ? to : 0, back[0]);
    }
    close(ends[0]);
    close(ends[1]);
    printf("order: %d", end_of(from));
    printf(" %d\n", end_of(to));
    close(back[0]);
    close(back[1]);
    close(begins[0]);
    close(begins[1]);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 3 && !strcmp(argv[1], "put")) {
        int fd = atoi(argv[2]);
        put_rest(put(fd, MIDDLE, MIDDLE + PART, BLOCK) == MIDDLE + PART ? fd : -1);
    }
    if (argc == 3)
        take_rest(r_nothing(atoi(argv[2])));
    stream("nothing", w_nothing, r_nothing);
    stream("small writes", w_small, r_nothing);
    stream("small writes that are not read", w_small, r_pause);
    stream("vectors", w_vector, r_vector);
    stream("dup, close", w_dup, r_nothing);
    stream("fork", w_fork, r_fork);
    stream("O_NONBLOCK for writing", w_nonblock, r_pause);
    stream("O_NONBLOCK for reading", w_nothing, r_nonblock);
    stream("poll for writing", w_poll, r_nothing);
    stream("another size", w_size, r_pause);
    stream("splice into it", w_splice, r_nothing);
    stream("vmsplice", w_vmsplice, r_small);
    stream("its writer passed on", w_pass, r_nothing);
    stream("its reader passed on", w_nothing, r_pass);
    stream("its writer executes", w_exec, r_nothing);
    stream("its reader executes", w_nothing, r_exec);
    stream("signals", w_signals, r_pause);
    stream("no memory to write from", w_bad_memory, r_nothing);
    stream("no memory to read to", w_nothing, r_bad_memory);
    stream("small reads", w_nothing, r_small);
    stream("FIONREAD", w_nothing, r_how_much);
    stream("epoll", w_nothing, r_epoll);
    stream("splice out of it", w_nothing, r_splice);
    stream("tee", w_nothing, r_tee);
    stream("dup2", w_nothing, r_dup);
    stream("opened again", w_nothing, r_again);
    broken("reader ends", false, false);
    broken("reader ends, EPIPE", true, false);
    broken("reader is killed", true, true);
    killed_writer();
    stopped();
    records();
    order(false);
    order(true);
    return 0;
}
