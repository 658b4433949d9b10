/* inotify: what is told of files that change. */
#include "show.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int in;

static void drain(const char *after)
{
    char buf[4096] __attribute__((aligned(8)));
    printf("%s:\n", after);
    ssize_t n = read(in, buf, sizeof buf);
    if (n < 0)
        printf("  %s\n", strerrorname_np(errno));
    for (char *p = buf; p < buf + n;) {
        struct inotify_event *e = (void *)p;
        printf("  wd %d mask %x cookie %d name %s (%u)\n", e->wd, e->mask, e->cookie != 0, e->len ? e->name : "-",
               e->len);
        p += sizeof *e + e->len;
    }
    fflush(stdout);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (write(fd, text, strlen(text)) < 0)
        perror(path);
    close(fd);
}

int main(void)
{
    char c;
    mkdir("/tmp/dir", 0755);
    put("/tmp/dir/old", "old");
    in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    SHOW(inotify_add_watch(in, "/tmp/dir", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(in, "/tmp/dir/old", IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF));
    SHOW(inotify_add_watch(in, "/tmp/dir", IN_ALL_EVENTS));
    drain("nothing yet");
    put("/tmp/dir/new", "x");
    drain("create and write");
    int fd = open("/tmp/dir/old", O_RDWR);
    drain("open");
    if (read(fd, &c, 1) != 1 || write(fd, "y", 1) != 1)
        perror("read, write");
    drain("read and write");
    fchmod(fd, 0600);
    drain("chmod");
    if (ftruncate(fd, 1))
        perror("ftruncate");
    drain("truncate");
    close(fd);
    drain("close");
    rename("/tmp/dir/old", "/tmp/dir/renamed");
    drain("rename");
    link("/tmp/dir/renamed", "/tmp/dir/linked");
    drain("link");
    unlink("/tmp/dir/linked");
    drain("unlink of a link");
    symlink("renamed", "/tmp/dir/sym");
    drain("symlink");
    mkdir("/tmp/dir/sub", 0755);
    drain("mkdir");
    rmdir("/tmp/dir/sub");
    drain("rmdir");
    rename("/tmp/dir/renamed", "/tmp/away");
    drain("move away");
    unlink("/tmp/away");
    drain("delete the watched file");
    struct pollfd p = {.fd = in, .events = POLLIN};
    SHOW(poll(&p, 1, 0));
    put("/tmp/dir/new", "abc");
    SHOW(poll(&p, 1, 0));
    int n = 0;
    ioctl(in, FIONREAD, &n);
    SHOW(n);
    SHOW(read(in, &c, 1));
    drain("rewrite");
    SHOW(inotify_rm_watch(in, 1));
    drain("removed");
    SHOW(inotify_rm_watch(in, 1));
    SHOW(inotify_rm_watch(0, 1));
    SHOW(inotify_add_watch(in, "/tmp/none", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(in, "/tmp/dir", 0));
    SHOW(inotify_add_watch(0, "/tmp/dir", IN_OPEN));
    SHOW(inotify_add_watch(in, "/tmp/dir/new", IN_ONLYDIR | IN_OPEN));
    SHOW(inotify_add_watch(in, "/tmp/dir/new", IN_ONESHOT | IN_OPEN) > 0);
    close(open("/tmp/dir/new", O_RDONLY));
    close(open("/tmp/dir/new", O_RDONLY));
    drain("oneshot");
    SHOW(inotify_add_watch(in, "/tmp/dir", IN_DELETE_SELF | IN_MASK_CREATE) > 0);
    SHOW(inotify_add_watch(in, "/tmp/dir", IN_DELETE_SELF | IN_MASK_CREATE));
    unlink("/tmp/dir/new");
    unlink("/tmp/dir/sym");
    rmdir("/tmp/dir");
    drain("directory gone");
    SHOW(inotify_init1(1));
    return 0;
}
