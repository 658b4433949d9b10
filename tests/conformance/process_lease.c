/*
 * A process that opens the same files again and again sees each change that another one makes, at once, and its
 * descriptors are what they would be otherwise, whoever looks at them.
 */
#include "show.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define FILES "/var/tmp/lease"
#define PATH FILES "/dir/file"

static int to_worker[2], from_worker[2];

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- the worker: opens, looks, closes ---- */

static int error_text(char *out, size_t size)
{
    return snprintf(out, size, "%s", strerrorname_np(errno));
}

static void look(int fd, const char *path, char *out, size_t size)
{
    char text[100] = "";
    struct stat st, by_path;
    if (fstat(fd, &st) < 0 || stat(path, &by_path) < 0) {
        error_text(out, size);
        return;
    }
    ssize_t n = read(fd, text, sizeof text - 1), end = read(fd, text + 50, 1);
    snprintf(out, size, "%ld bytes '%s' end %ld, at %ld, mode %o, %d names, %s file, %s times", (long)n, text,
             (long)end, (long)lseek(fd, 0, SEEK_CUR), st.st_mode & 07777, (int)st.st_nlink,
             st.st_ino == by_path.st_ino && st.st_dev == by_path.st_dev ? "that" : "another",
             st.st_mtim.tv_nsec == by_path.st_mtim.tv_nsec && st.st_ctim.tv_nsec == by_path.st_ctim.tv_nsec &&
                     st.st_atim.tv_nsec == by_path.st_atim.tv_nsec && st.st_blocks == by_path.st_blocks
                 ? "its"
                 : "other");
}

static void read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        error_text(out, size);
        return;
    }
    look(fd, path, out, size);
    close(fd);
}

static int lowest(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static int own_fd_link(int fd, char *out, size_t size)
{
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, out, size - 1);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

static int pass(int fd)
{
    int pair[2], got = -1;
    char byte = 0, room[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(pair[0], &m, 0) == 1 && recvmsg(pair[1], &m, 0) == 1)
        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
    close(pair[0]);
    close(pair[1]);
    return got;
}

/* Everything that can be done with a descriptor. */
static void use(const char *path, char *out, size_t size)
{
    char text[8] = "", link[100];
    int low = lowest(), fd = open(path, O_RDONLY | O_NONBLOCK), n;
    size_t at = snprintf(out, size, "lowest %d; ", fd == low);
    pread(fd, text, 3, 0);
    at += snprintf(out + at, size - at, "pread '%s' at %ld; ", text, (long)lseek(fd, 0, SEEK_CUR));
    read(fd, text, 2);
    int copy = dup(fd);
    at += snprintf(out + at, size - at, "dup next %d, at %ld; ", copy == fd + 1, (long)lseek(copy, 0, SEEK_CUR));
    lseek(copy, 1, SEEK_SET);
    at += snprintf(out + at, size - at, "shared %ld; ", (long)lseek(fd, 0, SEEK_CUR));
    close(copy);
    close(fd);
    fd = open(path, O_RDONLY);
    n = open("/", O_RDONLY | O_DIRECTORY);
    at += snprintf(out + at, size - at, "same %d, next %d; ", fd == low, n == fd + 1);
    close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    at += snprintf(out + at, size - at, "again %d, flags %d %x; ", fd == low, fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
    close(n);
    read(fd, text, 2);
    own_fd_link(fd, link, sizeof link);
    at += snprintf(out + at, size - at, "link %s, at %ld; ", link, (long)lseek(fd, 0, SEEK_CUR));
    close(fd);
    fd = open(path, O_RDONLY);
    read(fd, text, 4);
    int pid = fork();
    if (pid == 0) {
        lseek(fd, 2, SEEK_CUR);
        _exit(fcntl(fd, F_GETFD) == 0 ? 3 : 4);
    }
    int status;
    waitpid(pid, &status, 0);
    at += snprintf(out + at, size - at, "child %d, at %ld; ", WEXITSTATUS(status), (long)lseek(fd, 0, SEEK_CUR));
    close(fd);
    fd = open(path, O_RDONLY);
    read(fd, text, 1);
    int got = pass(fd);
    at += snprintf(out + at, size - at, "passed, at %ld; ", (long)lseek(got, 0, SEEK_CUR));
    close(got);
    struct pollfd p = {fd, POLLIN | POLLOUT};
    at += snprintf(out + at, size - at, "poll %d %x; ", poll(&p, 1, 0), p.revents);
    close(fd);
    int set = epoll_create1(0);
    close(open(path, O_RDONLY));
    fd = open(path, O_RDONLY);
    read(fd, text, 3);
    struct epoll_event event = {.events = EPOLLIN};
    n = epoll_ctl(set, EPOLL_CTL_ADD, 0, &event) == 0 || errno == EPERM;
    at += snprintf(out + at, size - at, "watched %d, at %ld; ", n, (long)lseek(fd, 0, SEEK_CUR));
    n = epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0 ? errno : 0;
    at += snprintf(out + at, size - at, "set %s, at %ld; ", strerrorname_np(n), (long)lseek(fd, 0, SEEK_CUR));
    close(fd);
    fd = open(path, O_RDONLY);
    n = epoll_ctl(fd, EPOLL_CTL_ADD, set, &event) < 0 ? errno : 0;
    at += snprintf(out + at, size - at, "no set %s; ", strerrorname_np(n));
    close(fd);
    close(set);
    fd = open(path, O_RDONLY);
    char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    at += snprintf(out + at, size - at, "map %.4s; ", map == MAP_FAILED ? "none" : map);
    munmap(map, 4096);
    at += snprintf(out + at, size - at, "write %s; ", write(fd, "x", 1) < 0 ? strerrorname_np(errno) : "done");
    at += snprintf(out + at, size - at, "truncate %s; ", ftruncate(fd, 1) < 0 ? strerrorname_np(errno) : "done");
    close(fd);
    fd = open(path, O_RDONLY);
    at += snprintf(out + at, size - at, "lock %d %d; ", flock(fd, LOCK_SH), flock(fd, LOCK_UN));
    at += snprintf(out + at, size - at, "end %ld, hole %ld, beyond %ld; ", (long)lseek(fd, -1, SEEK_END),
                   (long)lseek(fd, 0, SEEK_HOLE), (long)lseek(fd, 1000, SEEK_SET));
    at += snprintf(out + at, size - at, "read %ld; ", (long)read(fd, text, 1));
    dup2(0, fd);
    at += snprintf(out + at, size - at, "replaced %d; ", fcntl(fd, F_GETFL) == fcntl(0, F_GETFL));
    close(fd);
    snprintf(out + at, size - at, "closed %s", close(fd) < 0 ? strerrorname_np(errno) : "twice");
}

/* ---- of a large file ---- */

static char large[1100000 + 37001];

static unsigned sum_of(const char *bytes, size_t size)
{
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * 16777619u;
    return sum;
}

static int sends_to[2] = {-1, -1};

/* What sendfile sends: a part that a pipe holds, so that nobody needs to read meanwhile. */
static size_t show_sent(int fd, off_t *offset, size_t size, char *out, size_t out_size)
{
    char sent[5000];
    ssize_t n = sendfile(sends_to[1], fd, offset, size), got = n > 0 ? read(sends_to[0], sent, sizeof sent) : n;
    return snprintf(out, out_size, "sent %ld %ld %x, at %ld; ", (long)n, (long)got, sum_of(sent, got > 0 ? got : 0),
                    (long)lseek(fd, 0, SEEK_CUR));
}

/* What is there from here on, in pieces that fit nothing. */
static size_t show_rest(int fd, char *out, size_t size)
{
    size_t done = 0;
    ssize_t n;
    while ((n = read(fd, large + done, 37001)) > 0)
        done += n;
    return snprintf(out, size, "%ld bytes %x, at %ld; ", (long)done, sum_of(large, done), (long)lseek(fd, 0, SEEK_CUR));
}

static void read_large(const char *path, char *out, size_t size)
{
    struct stat st;
    if (sends_to[0] < 0)
        pipe(sends_to);
    int fd = open(path, O_RDONLY);
    size_t at = 0;
    if (fd < 0 || fstat(fd, &st) < 0) {
        error_text(out, size);
        return;
    }
    off_t half = st.st_size / 2, offset = half;
    at += snprintf(out, size, "%ld; ", (long)st.st_size);
    at += show_rest(fd, out + at, size - at);
    ssize_t n = pread(fd, large, 70000, half - 3);
    at += snprintf(out + at, size - at, "half %ld %x; ", (long)n, sum_of(large, n > 0 ? n : 0));
    at += snprintf(out + at, size - at, "end %ld; ", (long)pread(fd, large, 10, st.st_size));
    at += show_sent(fd, &offset, 4000, out + at, size - at);
    lseek(fd, -5000, SEEK_END);
    n = read(fd, large, 1000);
    at += show_sent(fd, NULL, 3000, out + at, size - at);
    at += show_rest(fd, out + at, size - at);
    snprintf(out + at, size - at, "offset %ld", (long)offset);
    close(fd);
}

static void look_large(const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    fstat(fd, &st);
    for (ssize_t n = 1; n > 0;)
        n = read(fd, large, sizeof large);
    close(fd);
}

/* Descriptors of one thread while others make and close some. */
static void *make_and_close(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        int pair[2];
        if (pipe(pair) == 0) {
            close(pair[0]);
            close(pair[1]);
        }
    }
    return NULL;
}

static void threads(const char *path, char *out, size_t size)
{
    pthread_t thread[2];
    int good = 0;
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, make_and_close, NULL);
    for (int i = 0; i < 300; i++) {
        char text[4] = "";
        int fd = open(path, O_RDONLY);
        struct stat st;
        good += fd > 2 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read(fd, text, 4) == 4 && close(fd) == 0;
    }
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    snprintf(out, size, "%d good opens", good);
}

static int held = -1;

static void answer(const char *line, char *out, size_t size)
{
    const char *path = line + 2;
    char text[10] = "";
    switch (line[0]) {
    case 'w':
        sleep_ms(120);
        for (int i = 0; i < 8; i++)
            read_file(path, out, size);
        break;
    case 'r':
        read_file(path, out, size);
        break;
    case 'W':
        sleep_ms(120);
        look_large(path);
        for (int i = 0; i < 140; i++) /* who could not have it asks again */
            close(open(path, O_RDONLY));
        read_large(path, out, size);
        break;
    case 'L':
        look_large(path);
        break;
    case 'l':
        read_large(path, out, size);
        break;
    case 'H':
        held = open(path, O_RDONLY);
        read(held, large, 70000);
        snprintf(out, size, "%d", held);
        break;
    case 'G':
        show_rest(held, out, size);
        break;
    case 'u':
        use(path, out, size);
        break;
    case 't':
        threads(path, out, size);
        break;
    case 'h':
        held = open(path, O_RDONLY);
        read(held, text, 3);
        snprintf(out, size, "%d", held);
        break;
    case 'c':
        close(held);
        strcpy(out, "closed");
        break;
    case 'g':
        snprintf(out, size, "%ld bytes '%s', at %ld", (long)read(held, text, 4), text, (long)lseek(held, 0, SEEK_CUR));
        break;
    case 'i':
        setgid(65534);
        setuid(65534);
        read_file(path, out, size);
        break;
    case 'n': {
        struct rlimit limit = {(rlim_t)lowest(), 100};
        setrlimit(RLIMIT_NOFILE, &limit);
        read_file(path, out, size);
        break;
    }
    case 'R':
        snprintf(out, size, "chroot %d, ", chroot(FILES));
        read_file("/dir/file", out + strlen(out), size - strlen(out));
        break;
    }
}

static void worker(void)
{
    char line[200], out[1000];
    for (;;) {
        ssize_t n = read(to_worker[0], line, sizeof line - 1);
        if (n <= 0)
            _exit(0);
        line[n] = 0;
        memset(out, 0, sizeof out);
        answer(line, out, sizeof out);
        write(from_worker[1], out, strlen(out) + 1);
    }
}

static int worker_pid;

static void worker_start(void)
{
    fflush(stdout);
    pipe(to_worker);
    pipe(from_worker);
    worker_pid = fork();
    if (worker_pid == 0) {
        close(to_worker[1]);
        close(from_worker[0]);
        worker();
    }
    close(to_worker[0]);
    close(from_worker[1]);
}

static void worker_end(void)
{
    close(to_worker[1]);
    waitpid(worker_pid, NULL, 0);
    close(from_worker[0]);
}

static const char *ask(char command, const char *path)
{
    static char line[200], out[1000];
    int n = snprintf(line, sizeof line, "%c %s", command, path);
    write(to_worker[1], line, n);
    n = read(from_worker[0], out, sizeof out - 1);
    out[n > 0 ? n : 0] = 0;
    return out;
}

static void show_change(const char *what, const char *path)
{
    printf("%s: %s\n", what, ask('r', path));
}

/* ---- who changes things ---- */

static void put(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        printf("%s: %s\n", path, strerrorname_np(errno));
    close(fd);
}

static void fresh(const char *text)
{
    unlink(PATH);
    put(PATH, text, O_TRUNC);
    ask('w', PATH);
}

static void contents(void)
{
    fresh("first");
    show_change("as it was", PATH);
    put(PATH, "second", O_TRUNC);
    show_change("written anew", PATH);
    ask('w', PATH);
    int fd = open(PATH, O_RDWR);
    show_change("open for writing", PATH);
    pwrite(fd, "S", 1, 0);
    show_change("written in place", PATH);
    pwrite(fd, "C", 1, 2);
    show_change("again", PATH);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    ask('w', PATH);
    if (map != MAP_FAILED) { /* else there is no dynamic memory */
        map[1] = 'E';
        munmap(map, 4096);
    } else {
        fd = open(PATH, O_WRONLY);
        pwrite(fd, "E", 1, 1);
        close(fd);
    }
    fd = open(PATH, O_RDONLY);
    close(fd);
    printf("mapped: %.30s\n", ask('r', PATH));
    fresh("third");
    truncate(PATH, 2);
    show_change("cut", PATH);
    ask('w', PATH);
    put(PATH, " and more", O_APPEND);
    show_change("longer", PATH);
    char large[50000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    ask('w', PATH);
    put(PATH, large, O_TRUNC);
    printf("large: %.20s\n", ask('w', PATH));
    printf("large: %.20s\n", ask('r', PATH));
}

/* More than a message holds, and more than is kept of all files. */
static void put_large(const char *path, size_t size, int seed, int flags)
{
    static char bytes[sizeof(large)];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + (i >> 8) * 13 + (i >> 16) + seed);
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        printf("%s: %s\n", path, strerrorname_np(errno));
    close(fd);
}

static void large_contents(void)
{
    static const size_t sizes[] = {32768, 32769, 65535, 65536, 65537, 131072, 200000, 1048576, 1048577};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unlink(PATH);
        put_large(PATH, sizes[i], (int)i, O_TRUNC);
        printf("large: %s\n", ask('W', PATH));
        printf("again: %s\n", ask('l', PATH));
        put_large(PATH, sizes[i], (int)i + 1, i % 2 ? O_TRUNC : 0);
        printf("written anew: %s\n", ask('l', PATH));
    }
    put_large(PATH, 300000, 1, O_TRUNC);
    ask('W', PATH);
    int fd = open(PATH, O_WRONLY);
    pwrite(fd, "x", 1, 250000);
    printf("one byte: %s\n", ask('l', PATH));
    close(fd);
    ask('W', PATH);
    truncate(PATH, 280000);
    printf("cut: %s\n", ask('l', PATH));
    ask('W', PATH);
    put(PATH, "and more", O_APPEND);
    printf("longer: %s\n", ask('l', PATH));
    ask('W', PATH);
    ask('H', PATH);
    put_large(PATH, 300000, 2, 0);
    printf("held while it changes: %s\n", ask('G', PATH));
    ask('c', PATH);
    ask('W', PATH);
    ask('H', PATH);
    unlink(PATH);
    printf("held while it goes: %s\n", ask('G', PATH));
    ask('c', PATH);
}

static void many_large(void)
{
    char path[60];
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof path, FILES "/dir/large%d", i);
        put_large(path, 1000000 + i, i, O_TRUNC);
    }
    sleep_ms(120);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 12; i++) {
            snprintf(path, sizeof path, FILES "/dir/large%d", i);
            ask('L', path);
        }
    }
    put_large(path, 1000000, 99, O_TRUNC);
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof path, FILES "/dir/large%d", i);
        printf("of many: %s\n", ask('l', path));
        unlink(path);
    }
}

static void names(void)
{
    fresh("a name");
    put(FILES "/dir/other", "another file", O_TRUNC);
    rename(FILES "/dir/other", PATH);
    show_change("renamed over", PATH);
    ask('w', PATH);
    rename(PATH, FILES "/dir/gone");
    show_change("renamed away", PATH);
    rename(FILES "/dir/gone", PATH);
    show_change("renamed back", PATH);
    ask('w', PATH);
    unlink(PATH);
    show_change("unlinked", PATH);
    fresh("made anew");
    rename(FILES "/dir", FILES "/dir2");
    show_change("directory renamed", PATH);
    rename(FILES "/dir2", FILES "/dir");
    ask('w', PATH);
    link(PATH, FILES "/second");
    show_change("linked", PATH);
    unlink(FILES "/second");
    symlink("dir/file", FILES "/link");
    put(FILES "/third", "behind the link", O_TRUNC);
    printf("link: %s\n", ask('w', FILES "/link"));
    unlink(FILES "/link");
    symlink("third", FILES "/link");
    show_change("link changed", FILES "/link");
    ask('w', FILES "/third");
    unlink(FILES "/third");
    mkdir(FILES "/third", 0755);
    show_change("now a directory", FILES "/third");
    rmdir(FILES "/third");
    unlink(FILES "/link");
}

static void attributes(void)
{
    fresh("attributes");
    chmod(PATH, 0600);
    show_change("chmod", PATH);
    ask('w', PATH);
    struct timespec times[2] = {{1000, 1}, {2000, 2}};
    utimensat(AT_FDCWD, PATH, times, 0);
    show_change("utimes", PATH);
    ask('w', PATH);
    chown(PATH, 1, 1);
    show_change("chown", PATH);
    chmod(PATH, 0644);
}

/* Who watches sees what happens, and who has a lock keeps it until a file is closed. */
static void watchers(void)
{
    char events[4096];
    int watch = inotify_init1(IN_NONBLOCK);
    fresh("watched");
    inotify_add_watch(watch, PATH, IN_ALL_EVENTS);
    ask('r', PATH);
    ssize_t n = read(watch, events, sizeof events);
    unsigned all = 0;
    for (ssize_t at = 0; at < n;) {
        struct inotify_event *e = (struct inotify_event *)(events + at);
        all |= e->mask;
        at += sizeof *e + e->len;
    }
    printf("events %x\n", all);
    close(watch);
    fresh("locked");
    int fd = open(PATH, O_RDWR);
    printf("lock %d\n", flock(fd, LOCK_EX));
    show_change("locked", PATH);
    close(fd);
}

static void descriptors(void)
{
    char name[60], link[100] = "";
    fresh("0123456789");
    printf("use: %s\n", ask('u', PATH));
    fresh("0123456789");
    printf("threads: %s\n", ask('t', PATH));
    fresh("0123456789");
    int fd = atoi(ask('h', PATH));
    snprintf(name, sizeof name, "/proc/%d/fd/%d", worker_pid, fd);
    ssize_t n = readlink(name, link, sizeof link - 1);
    printf("seen from outside: %ld %s\n", (long)n, link);
    printf("held: %s\n", ask('g', PATH));
    ask('c', PATH);
    printf("closed: %ld\n", (long)readlink(name, link, sizeof link - 1));
    fresh("0123456789");
    ask('h', PATH);
    put(PATH, "abcdefghij", O_TRUNC);
    printf("held while it changes: %s\n", ask('g', PATH));
    ask('c', PATH);
    fresh("0123456789");
    ask('h', PATH);
    unlink(PATH);
    printf("held while it goes: %s\n", ask('g', PATH));
    ask('c', PATH);
}

static void rights(void)
{
    fresh("for root");
    chmod(PATH, 0600);
    ask('w', PATH);
    printf("limit: %s\n", ask('n', PATH));
    worker_end();
    worker_start();
    ask('w', PATH);
    printf("another user: %s\n", ask('i', PATH));
    worker_end();
    worker_start();
    mkdir("/dir", 0755);
    mkdir(FILES "/var", 0755);
    fresh("of the root");
    printf("other root: %s\n", ask('R', "/dir/file"));
    worker_end();
    rmdir("/dir");
    rmdir(FILES "/var");
}

int main(void)
{
    mkdir(FILES, 0755);
    mkdir(FILES "/dir", 0755);
    worker_start();
    contents();
    large_contents();
    many_large();
    names();
    attributes();
    watchers();
    descriptors();
    rights();
    unlink(PATH);
    rmdir(FILES "/dir");
    rmdir(FILES);
    return 0;
}
