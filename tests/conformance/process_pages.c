/* Whole pages through pipes from process to process: all sizes, all ways to read them, and ends that go away meanwhile.
 */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096UL
#define MIB (1UL << 20)

static unsigned char *memory, *other; /* 2 MiB each */

static unsigned char byte_at(size_t position)
{
    return (unsigned char)(position * 7 + (position >> 12) * 31 + (position >> 20));
}

static void fill(unsigned char *p, size_t size, size_t position)
{
    for (size_t i = 0; i < size; i++)
        p[i] = byte_at(position + i);
}

static int wrong(const unsigned char *p, size_t size, size_t position)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != byte_at(position + i))
            return 1;
    return 0;
}

static void status(const char *what, int pid)
{
    int s = 0;
    if (waitpid(pid, &s, 0) != pid)
        printf("%s: not waited for\n", what);
    else
        printf("%s: %s %d\n", what, WIFEXITED(s) ? "exit" : "signal", WIFEXITED(s) ? WEXITSTATUS(s) : WTERMSIG(s));
    fflush(stdout);
}

static int child(void)
{
    fflush(stdout);
    return fork();
}

static const size_t write_sizes[] = {65536, 65536, 16384,  4096,  65537, 100000, 131072,
                                     8192,  1,     262144, 20480, MIB,   300001, 12};
static const size_t read_sizes[] = {65536, 4096, 70001, 16384, MIB, 1000, 8192, 65536, 100, 131072};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Writes `total` bytes in all sizes. Each from another place within a page. */
static int write_all(int fd, size_t total)
{
    size_t position = 0;
    for (size_t i = 0; position < total; i++) {
        size_t size = write_sizes[i % COUNT(write_sizes)];
        size = size < total - position ? size : total - position;
        fill(memory + i % 3, size, position);
        if (write(fd, memory + i % 3, size) != (ssize_t)size)
            return 1;
        position += size;
    }
    return 0;
}

static int read_all(int fd, size_t total)
{
    size_t position = 0;
    ssize_t got;
    for (size_t i = 0; (got = read(fd, other + i % 5, read_sizes[i % COUNT(read_sizes)])) > 0; i++) {
        if (wrong(other + i % 5, (size_t)got, position))
            return 2;
        position += (size_t)got;
    }
    return got < 0 ? 3 : position == total ? 0 : 4;
}

/* Between two children, from one to its maker, and back. */
static void all_sizes(void)
{
    int p[2], writer, reader;
    pipe(p);
    if ((writer = child()) == 0) {
        close(p[0]);
        _exit(write_all(p[1], 12 * MIB));
    }
    close(p[1]);
    if ((reader = child()) == 0)
        _exit(read_all(p[0], 12 * MIB));
    close(p[0]);
    status("writer", writer);
    status("reader", reader);

    pipe(p);
    if ((writer = child()) == 0)
        _exit(write_all(p[1], 6 * MIB));
    close(p[1]);
    SHOW(read_all(p[0], 6 * MIB));
    close(p[0]);
    status("writer", writer);

    pipe(p);
    if ((reader = child()) == 0) {
        close(p[1]);
        _exit(read_all(p[0], 6 * MIB));
    }
    close(p[0]);
    SHOW(write_all(p[1], 6 * MIB));
    close(p[1]);
    status("reader", reader);
}

/* Several writers: what is not longer than a page stays together, and all comes. */
static void many_writers(void)
{
    enum { WRITERS = 3, EACH = 400 };
    int p[2], pids[WRITERS], reader;
    pipe(p);
    for (int w = 0; w < WRITERS; w++) {
        if ((pids[w] = child()) == 0) {
            close(p[0]);
            memset(memory, 'a' + w, 16 * PAGE);
            for (int i = 0; i < EACH; i++)
                if (write(p[1], memory, PAGE) != PAGE || (i % 8 == 0 && write(p[1], memory, 16 * PAGE) != 16 * PAGE))
                    _exit(1);
            _exit(0);
        }
    }
    close(p[1]);
    if ((reader = child()) == 0) {
        size_t count[WRITERS] = {0};
        ssize_t got, have = 0;
        while ((got = read(p[0], other + have, 5 * PAGE)) > 0) {
            ssize_t at = 0;
            for (have += got; have - at >= (ssize_t)PAGE; at += PAGE) {
                if (memcmp(other + at, other + at + 1, PAGE - 1) != 0 || other[at] < 'a' || other[at] >= 'a' + WRITERS)
                    _exit(1);
                count[other[at] - 'a']++;
            }
            memmove(other, other + at, (size_t)(have -= at));
        }
        for (int w = 0; w < WRITERS; w++)
            if (count[w] != EACH + EACH / 8 * 16)
                _exit(2);
        _exit(have == 0 ? 0 : 3);
    }
    close(p[0]);
    for (int w = 0; w < WRITERS; w++)
        status("one of many", pids[w]);
    status("reader of many", reader);
}

/* The descriptor of a pipe, now a file's: the same numbers mean another thing. */
static void another_file(void)
{
    int p[2], pid, fd = memfd_create("file", 0);
    pipe(p);
    if ((pid = child()) == 0) {
        fill(memory, MIB, 5);
        for (int i = 0; i < 3; i++)
            write(p[1], memory, 65536);
        dup2(fd, p[1]);
        for (int i = 0; i < 3; i++)
            write(p[1], memory + i * 65536, 65536);
        _exit(0);
    }
    close(p[1]);
    size_t total = 0;
    for (ssize_t got; (got = read(p[0], other, 65536)) > 0; total += (size_t)got)
        ;
    SHOW(total);
    status("another file", pid);
    SHOW(pread(fd, other, MIB, 0));
    SHOW(wrong(other, 3 * 65536, 5));
    close(p[0]);
    close(fd);
}

/* In a process that has written pages to the pipe before: full, sizes, waiting bytes, polling, packets. */
static int full_pipe(void)
{
    int p[2], ready;
    pipe2(p, O_NONBLOCK);
    fill(memory, MIB, 0);
    for (int i = 0; i < 3; i++) {
        SHOW(write(p[1], memory, MIB));
        SHOW(write(p[1], memory, 1));
        SHOW((ioctl(p[0], FIONREAD, &ready), ready));
        struct pollfd polled[2] = {{p[0], POLLIN | POLLOUT, 0}, {p[1], POLLIN | POLLOUT, 0}};
        SHOW(poll(polled, 2, 0));
        SHOW(polled[0].revents);
        SHOW(polled[1].revents);
        SHOW(read(p[0], other, 10));
        SHOW(write(p[1], memory, 1));
        SHOW(read(p[0], other + 10, PAGE - 10));
        SHOW(write(p[1], memory + 65536, PAGE));
        SHOW(read(p[0], other + PAGE, MIB));
        SHOW(wrong(other, 17 * PAGE, 0));
        SHOW(read(p[0], other, 1));
        SHOW(fcntl(p[1], F_SETPIPE_SZ, 131072 << i % 2));
        SHOW(write(p[1], memory, MIB));
        SHOW(fcntl(p[1], F_SETPIPE_SZ, 4096));
        SHOW(read(p[0], other, MIB));
        SHOW(fcntl(p[1], F_SETPIPE_SZ, 65536));
    }
    fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT);
    SHOW(write(p[1], memory, 3 * PAGE));
    SHOW(read(p[0], other, 100));
    SHOW(read(p[0], other, MIB));
    SHOW(read(p[0], other, MIB));
    fflush(stdout);
    return 0;
}

/* tee, splice and a second reader, of pages that another process wrote. */
static void other_ways(void)
{
    int p[2], q[2], pid, fd = memfd_create("file", 0);
    pipe(p);
    pipe(q);
    if ((pid = child()) == 0) {
        fill(memory, MIB, 3);
        for (int i = 0; i < 4; i++)
            write(p[1], memory + i * 65536, 65536);
        _exit(0);
    }
    close(p[1]);
    size_t total = 0;
    while (total < 4 * 65536) {
        ssize_t teed = tee(p[0], q[1], 3 * PAGE + 7, 0);
        size_t copied = 0, read_too = 0;
        while (copied < (size_t)teed)
            copied += (size_t)splice(p[0], NULL, fd, NULL, (size_t)teed - copied, 0);
        while (read_too < (size_t)teed)
            read_too += (size_t)read(q[0], other + read_too, (size_t)teed - read_too);
        if (teed <= 0 || wrong(other, (size_t)teed, 3 + total))
            break;
        total += (size_t)teed;
    }
    SHOW(total);
    SHOW(pread(fd, other, MIB, 0));
    SHOW(wrong(other, 4 * 65536, 3));
    status("other ways", pid);
    close(p[0]);
    close(q[0]);
    close(q[1]);
    close(fd);
}

/* Memory that ends in the middle. */
static int faults(void)
{
    int p[2];
    pipe(p);
    fill(memory, MIB, 0);
    for (int i = 0; i < 3; i++) {
        SHOW(write(p[1], memory, 65536));
        mprotect(other + 3 * PAGE, PAGE, PROT_NONE);
        SHOW(read(p[0], other, 65536));
        SHOW(wrong(other, 3 * PAGE, 0));
        SHOW(read(p[0], other + 3 * PAGE, 65536));
        mprotect(other + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE);
        SHOW(read(p[0], other + 3 * PAGE, 65536));
        SHOW(wrong(other, 65536, 0));
        mprotect(memory + 5 * PAGE, PAGE, PROT_NONE);
        SHOW(write(p[1], memory, 65536));
        mprotect(memory + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE);
        SHOW(read(p[0], other, 65536));
        SHOW(wrong(other, 5 * PAGE, 0));
    }
    fflush(stdout);
    return 0;
}

/* The same of what was written as 65536 bytes again and again: a read may begin and end anywhere. */
static int wrong_again(const unsigned char *p, size_t size, size_t position)
{
    for (size_t n; size > 0; p += n, size -= n, position += n) {
        n = 65536 - position % 65536 < size ? 65536 - position % 65536 : size;
        if (wrong(p, n, position % 65536))
            return 1;
    }
    return 0;
}

/* Ends that are killed while both run. */
static void killed(void)
{
    int p[2], told[2], pid, reader;
    for (int i = 0; i < 4; i++) {
        pipe(p);
        pipe(told);
        if ((pid = child()) == 0) {
            close(p[0]);
            fill(memory, 65536, 0);
            for (;;)
                write(p[1], memory, 65536);
        }
        close(p[1]);
        if ((reader = child()) == 0) {
            size_t total = 0;
            for (ssize_t got; (got = read(p[0], other, 65536)) > 0; total += (size_t)got) {
                if (wrong_again(other, (size_t)got, total))
                    _exit(1);
                if (total < 20 * 65536UL && total + (size_t)got >= 20 * 65536UL)
                    write(told[1], "x", 1);
            }
            _exit(0);
        }
        close(p[0]);
        close(told[1]);
        char c;
        SHOW(read(told[0], &c, 1));
        kill(i % 2 ? pid : reader, SIGKILL);
        status("writer", pid);
        status("reader", reader);
        close(told[0]);
    }
}

static void in_child(const char *what, int (*fn)(void))
{
    int pid = child();
    if (pid == 0)
        _exit(fn());
    status(what, pid);
}

int main(void)
{
    memory = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    other = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    all_sizes();
    many_writers();
    another_file();
    in_child("full pipe", full_pipe);
    other_ways();
    in_child("faults", faults);
    killed();
    return 0;
}
