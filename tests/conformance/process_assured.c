/*
 * A process that asks for the name of its listening socket, and sets the mode of a file without a name, again and
 * again: it and others see at once what anybody changes, and errors are as if it asked each time.
 */
#include "show.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static int to_worker[2], from_worker[2];
static int listener, nameless, port;

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- the worker ---- */

static void name_text(int fd, char *out, size_t size)
{
    struct sockaddr_in sin = {0};
    socklen_t n = sizeof sin;
    if (getsockname(fd, (struct sockaddr *)&sin, &n) < 0)
        snprintf(out, size, "%s", strerrorname_np(errno));
    else
        snprintf(out, size, "%d bytes, family %d, %s port", (int)n, sin.sin_family,
                 ntohs(sin.sin_port) == port ? "that"
                 : sin.sin_port              ? "another"
                                             : "no");
}

/* Long enough after any change, and often enough, that it need not be asked for. */
static void names(int fd)
{
    char text[100], last[100] = "";
    sleep_ms(120);
    for (int i = 0; i < 12; i++) {
        name_text(fd, text, sizeof text);
        if (strcmp(text, last) != 0)
            printf("name of %s: %s\n", fd == listener ? "the listener" : "a descriptor", text);
        strcpy(last, text);
        sleep_ms(2);
    }
}

static void modes(int fd, int first)
{
    struct stat st;
    int last = 1;
    sleep_ms(120);
    for (int i = 0; i < 12; i++) {
        errno = 0;
        int r = fchmod(fd, (mode_t)(first + i));
        if (r != last)
            printf("fchmod %d, errno %d\n", r, errno);
        last = r;
        sleep_ms(2);
    }
    SHOW(fchmod(fd, (mode_t)first) == 0 && fstat(fd, &st) == 0 ? (int)st.st_mode : -1);
    SHOW(fchmod(fd, 07777) == 0 && fstat(fd, &st) == 0 ? (int)st.st_mode : -1);
    SHOW(fchmod(fd, 0640) == 0 && fstat(fd, &st) == 0 ? (int)st.st_mode : -1);
}

static void compute_ms(int ms)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < ms * 1000000L);
}

/* Sets a mode, and says so by a connection that it may have for itself; then it asks for nothing for a while. */
static void set_and_say(int busy_ms)
{
    int fd = accept(listener, NULL, NULL);
    char byte;
    for (int i = 0; i < 40; i++) {
        if (read(fd, &byte, 1) != 1)
            break;
        if (fchmod(nameless, (mode_t)(0600 + i)) < 0 || write(fd, &byte, 1) != 1)
            printf("set and say: %s\n", strerrorname_np(errno));
        compute_ms(busy_ms);
    }
    close(fd);
}

static void small_sizes(void)
{
    struct sockaddr_in sin[2];
    for (int i = 0; i < 5; i++) {
        memset(sin, 0xaa, sizeof sin);
        socklen_t n = (socklen_t)(i * 4), full = sizeof sin[0];
        int r = getsockname(listener, (struct sockaddr *)sin, &n);
        printf("room for %d: %d, %d bytes, last written %d\n", i * 4, r, (int)n,
               ((unsigned char *)sin)[i * 4 - (i > 0)] != 0xaa);
        errno = 0;
        SHOW(getsockname(listener, NULL, &full));
        SHOW(getsockname(listener, (struct sockaddr *)sin, NULL));
    }
    socklen_t negative = (socklen_t)-1;
    SHOW(getsockname(listener, (struct sockaddr *)sin, &negative));
}

static void *closes(void *arg)
{
    for (int i = 0; i < 200; i++) {
        int fd = dup((int)(intptr_t)arg);
        close(fd);
    }
    return NULL;
}

/* Other descriptors take the number. */
static void replaced(void)
{
    int copy = dup(listener), unbound = socket(AF_INET, SOCK_STREAM, 0);
    names(copy);
    SHOW(dup2(unbound, copy) == copy);
    names(copy);
    SHOW(close(copy));
    names(copy);
    SHOW(dup2(listener, copy) == copy);
    names(copy);
    pthread_t thread;
    pthread_create(&thread, NULL, closes, (void *)(intptr_t)listener);
    names(copy);
    pthread_join(thread, NULL);
    SHOW(close_range((unsigned)copy, (unsigned)copy, 0));
    names(copy);
    close(unbound);
    int file = dup(nameless);
    modes(file, 0500);
    SHOW(dup2(listener, file) == file);
    modes(file, 0500);
    close(file);
    modes(file, 0500);
}

static int worker(void)
{
    char order;
    while (read(to_worker[0], &order, 1) == 1) {
        switch (order) {
        case 'n':
            names(listener);
            break;
        case 'm':
            modes(nameless, 0400);
            break;
        case 's':
            set_and_say(0);
            break;
        case 'b':
            set_and_say(10);
            break;
        case 'z':
            small_sizes();
            break;
        case 'r':
            replaced();
            break;
        case 'u':
            SHOW(setuid(1000));
            break;
        }
        fflush(stdout);
        (void)!write(from_worker[1], &order, 1);
    }
    return 0;
}

/* ---- who changes things ---- */

static void tell(char order)
{
    (void)!write(to_worker[1], &order, 1);
}

static void wait_for_worker(void)
{
    char done;
    (void)!read(from_worker[0], &done, 1);
}

static void ask(char order)
{
    fflush(stdout);
    tell(order);
    wait_for_worker();
}

/* A third process, that says what the mode is each time it is asked. */
static int to_looker[2], from_looker[2];

static int looker(void)
{
    struct stat st;
    char byte;
    while (read(to_looker[0], &byte, 1) == 1)
        if (fstat(nameless, &st) < 0 || write(from_looker[1], &st.st_mode, sizeof st.st_mode) < 0)
            return 1;
    return 0;
}

/* As each way to look at it has it. */
static int mode_seen(int way)
{
    struct statx stx = {0};
    struct stat st = {0};
    char path[50];
    int fd;
    switch (way % 6) {
    case 0:
        fstat(nameless, &st);
        break;
    case 1:
        fstatat(nameless, "", &st, AT_EMPTY_PATH);
        break;
    case 2:
        statx(nameless, "", AT_EMPTY_PATH, STATX_MODE, &stx);
        st.st_mode = stx.stx_mode;
        break;
    case 3:
        snprintf(path, sizeof path, "/proc/self/fd/%d", nameless);
        stat(path, &st);
        break;
    case 4:
        snprintf(path, sizeof path, "/proc/self/fd/%d", nameless);
        fd = open(path, O_PATH);
        fstat(fd, &st);
        close(fd);
        break;
    default:
        (void)!write(to_looker[1], "", 1);
        (void)!read(from_looker[0], &st.st_mode, sizeof st.st_mode);
    }
    return st.st_mode & 07777;
}

/* What is set here comes after what was said. */
static int mode_set(int mode)
{
    return fchmod(nameless, (mode_t)mode) < 0 ? -1 : mode_seen(0);
}

static int elapsed_ms(const struct timespec *since)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)((now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000);
}

static void said(char order)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0), wrong = 0, undone = 0, slow = 0;
    struct timespec begin;
    char byte = 0;
    tell(order);
    SHOW(connect(fd, (struct sockaddr *)&sin, sizeof sin));
    for (int i = 0; i < 40; i++) {
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            break;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (i % 7 < 6)
            wrong += mode_seen(i) != 0600 + i;
        else
            undone += mode_set(0711) != 0711;
        slow += elapsed_ms(&begin) > 2000;
        sleep_ms(8);
    }
    close(fd);
    wait_for_worker();
    printf("modes that were not what was said: %d, undone later: %d, slow: %d\n", wrong, undone, slow);
}

static void start(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_ANY)}};
    socklen_t n = sizeof sin;
    char path[] = "/tmp/assuredXXXXXX";
    listener = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(bind(listener, (struct sockaddr *)&sin, sizeof sin));
    SHOW(listen(listener, 8));
    SHOW(getsockname(listener, (struct sockaddr *)&sin, &n));
    port = ntohs(sin.sin_port);
    nameless = mkstemp(path);
    SHOW(fchmod(nameless, 0600));
    SHOW(unlink(path));
}

int main(void)
{
    struct stat st;
    int status;
    start();
    (void)!pipe(to_worker);
    (void)!pipe(from_worker);
    (void)!pipe(to_looker);
    (void)!pipe(from_looker);
    pid_t third = fork();
    if (third == 0) {
        close(to_looker[1]);
        close(to_worker[1]);
        exit(looker());
    }
    close(to_looker[0]);
    pid_t child = fork();
    if (child == 0) {
        close(to_worker[1]);
        exit(worker());
    }
    close(to_worker[0]);
    ask('n');
    ask('m');
    ask('z');
    ask('r');
    said('s');
    said('b');
    ask('u');
    ask('m'); /* not the owner */
    SHOW(fchown(nameless, 1000, 1000));
    ask('m');
    SHOW(fchown(nameless, 0, 0));
    ask('m');
    SHOW(fstat(nameless, &st) == 0 ? (int)st.st_mode : -1);
    ask('n');
    SHOW(shutdown(listener, SHUT_RDWR));
    ask('n');
    close(to_worker[1]);
    SHOW(waitpid(child, &status, 0) == child ? status : -1);
    close(to_looker[1]);
    SHOW(waitpid(third, &status, 0) == third ? status : -1);
    return 0;
}
