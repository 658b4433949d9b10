/* Pipes and FIFOs: ends, capacity, atomicity, polling, splice. */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

static char buf[1 << 17];
static int got_sigpipe;

static void on_sigpipe(int signal)
{
    got_sigpipe++;
}

static int events(int fd)
{
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};

    poll(&p, 1, 0);
    return p.revents;
}

static void ends(void)
{
    int fds[2], available;
    struct stat st;

    SHOW(pipe2(fds, O_NONBLOCK));
    fstat(fds[0], &st);
    printf("mode %o\n", st.st_mode);
    SHOW(read(fds[0], buf, 1));
    printf("events %x %x\n", events(fds[0]), events(fds[1]));
    SHOW(write(fds[1], "hello", 5));
    SHOW(ioctl(fds[0], FIONREAD, &available));
    printf("available %d events %x\n", available, events(fds[0]));
    SHOW(read(fds[0], buf, 2));
    SHOW(read(fds[0], buf, 100));
    SHOW(write(fds[0], "x", 1));
    SHOW(read(fds[1], buf, 1));
    SHOW(lseek(fds[0], 0, SEEK_SET));
    SHOW(pread(fds[0], buf, 1, 0));
    SHOW(write(fds[1], buf, 0));
    write(fds[1], "last", 4);
    close(fds[1]);
    printf("events %x\n", events(fds[0]));
    SHOW(read(fds[0], buf, 100));
    SHOW(read(fds[0], buf, 100));
    printf("events %x\n", events(fds[0]));
    close(fds[0]);
    pipe(fds);
    close(fds[0]);
    printf("events %x\n", events(fds[1]));
    SHOW(write(fds[1], "x", 1));
    printf("SIGPIPE %d\n", got_sigpipe);
    close(fds[1]);
    SHOW(pipe2(fds, 0x40000000));
    SHOW(pipe((int *)8));
}

static void capacity(void)
{
    int fds[2], total = 0, n;

    pipe2(fds, O_NONBLOCK);
    SHOW(fcntl(fds[0], F_GETPIPE_SZ));
    SHOW(write(fds[1], buf, sizeof buf));
    SHOW(write(fds[1], buf, 1));
    printf("events %x\n", events(fds[1]));
    SHOW(read(fds[0], buf, 4095));
    printf("events %x\n", events(fds[1]));
    SHOW(write(fds[1], buf, 4096));
    SHOW(read(fds[0], buf, 1));
    printf("events %x\n", events(fds[1]));
    SHOW(write(fds[1], buf, 4096));
    SHOW(write(fds[1], buf, 1));
    while ((n = read(fds[0], buf, 10000)) > 0)
        total += n;
    printf("total %d\n", total);
    SHOW(fcntl(fds[1], F_SETPIPE_SZ, 4096));
    SHOW(write(fds[1], buf, 10000));
    SHOW(fcntl(fds[1], F_SETPIPE_SZ, 100000));
    SHOW(write(fds[1], buf, sizeof buf));
    SHOW(fcntl(fds[1], F_SETPIPE_SZ, 4096));
    close(fds[0]);
    close(fds[1]);
    /* many small writes share pages */
    pipe2(fds, O_NONBLOCK);
    for (total = 0; write(fds[1], "abc", 3) == 3;)
        total += 3;
    printf("by threes %d\n", total);
    close(fds[0]);
    close(fds[1]);
    /* packets */
    pipe2(fds, O_NONBLOCK | O_DIRECT);
    write(fds[1], "one", 3);
    write(fds[1], "two!", 4);
    SHOW(read(fds[0], buf, 100));
    SHOW(read(fds[0], buf, 2));
    SHOW(read(fds[0], buf, 100));
    close(fds[0]);
    close(fds[1]);
}

static int shared[2];
static void *writer(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        char record[512];

        memset(record, (int)(long)arg, sizeof record);
        write(shared[1], record, sizeof record);
    }
    return NULL;
}

static void atomic(void)
{
    pthread_t threads[4];
    char record[512];
    int torn = 0, n;

    pipe(shared);
    for (long i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, writer, (void *)i);
    for (n = 0; n < 4000; n++) {
        size_t got = 0;

        while (got < sizeof record)
            got += (size_t)read(shared[0], record + got, sizeof record - got);
        for (size_t i = 1; i < sizeof record; i++)
            torn += record[i] != record[0];
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("records %d torn %d\n", n, torn);
}

static void *fifo_writer(void *arg)
{
    int fd = open("pipe_fifo.tmp", O_WRONLY);

    write(fd, "through the fifo", 16);
    close(fd);
    return NULL;
}

static void fifo(void)
{
    pthread_t thread;
    int fd, other;

    unlink("pipe_fifo.tmp");
    SHOW(mkfifo("pipe_fifo.tmp", 0600));
    SHOW(mkfifo("pipe_fifo.tmp", 0600));
    SHOW(open("pipe_fifo.tmp", O_WRONLY | O_NONBLOCK));
    pthread_create(&thread, NULL, fifo_writer, NULL);
    fd = open("pipe_fifo.tmp", O_RDONLY);
    SHOW(read(fd, buf, 100));
    printf("%.16s\n", buf);
    pthread_join(thread, NULL);
    SHOW(read(fd, buf, 100));
    close(fd);
    fd = open("pipe_fifo.tmp", O_RDONLY | O_NONBLOCK);
    printf("events %x\n", events(fd));
    SHOW(read(fd, buf, 1));
    other = open("pipe_fifo.tmp", O_WRONLY | O_NONBLOCK);
    SHOW(read(fd, buf, 1));
    SHOW(write(other, "x", 1));
    close(other);
    printf("events %x\n", events(fd));
    SHOW(read(fd, buf, 10));
    printf("events %x\n", events(fd));
    close(fd);
    unlink("pipe_fifo.tmp");
}

static void moving(void)
{
    int a[2], b[2], fd = open("pipe_file.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct iovec iov[2] = {{"vm", 2}, {"splice", 6}};
    loff_t offset = 2;
    off_t sent = 1;

    pipe2(a, O_NONBLOCK);
    pipe2(b, O_NONBLOCK);
    write(fd, "0123456789", 10);
    SHOW(splice(fd, &offset, a[1], NULL, 5, 0));
    printf("offset %ld\n", (long)offset);
    SHOW(tee(a[0], b[1], 100, 0));
    SHOW(read(a[0], buf, 100));
    SHOW(read(b[0], buf, 100));
    printf("%.5s\n", buf);
    write(a[1], "abcdef", 6);
    SHOW(splice(a[0], NULL, b[1], NULL, 4, 0));
    SHOW(splice(b[0], NULL, fd, NULL, 100, 0));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(splice(fd, NULL, fd, NULL, 1, 0));
    SHOW(splice(a[0], &offset, fd, NULL, 1, 0));
    SHOW(splice(b[0], NULL, fd, NULL, 1, SPLICE_F_NONBLOCK));
    SHOW(vmsplice(a[1], iov, 2, 0));
    SHOW(read(a[0], buf, 100));
    printf("%.10s\n", buf);
    SHOW(sendfile(a[1], fd, &sent, 4));
    printf("sent to %ld\n", (long)sent);
    SHOW(read(a[0], buf, 100));
    printf("%.4s\n", buf);
    SHOW(sendfile(fd, a[0], NULL, 4));
    offset = 0;
    sent = 20;
    SHOW(copy_file_range(fd, &offset, fd, &sent, 5, 0));
    SHOW(copy_file_range(fd, NULL, a[1], NULL, 5, 0));
    SHOW(pread(fd, buf, 100, 0));
    close(fd);
    unlink("pipe_file.tmp");
}

int main(void)
{
    signal(SIGPIPE, on_sigpipe);
    ends();
    capacity();
    atomic();
    fifo();
    moving();
    return 0;
}
