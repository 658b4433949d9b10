/* inotify: what file operations tell watches of the file and of its directory. */
#include "show.h"
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static int in;

static const char *bits(unsigned mask)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {IN_ACCESS, "ACCESS"},
        {IN_MODIFY, "MODIFY"},
        {IN_ATTRIB, "ATTRIB"},
        {IN_CLOSE_WRITE, "CLOSE_WRITE"},
        {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"},
        {IN_OPEN, "OPEN"},
        {IN_MOVED_FROM, "MOVED_FROM"},
        {IN_MOVED_TO, "MOVED_TO"},
        {IN_CREATE, "CREATE"},
        {IN_DELETE, "DELETE"},
        {IN_DELETE_SELF, "DELETE_SELF"},
        {IN_MOVE_SELF, "MOVE_SELF"},
        {IN_ISDIR, "ISDIR"},
        {IN_IGNORED, "IGNORED"},
        {IN_Q_OVERFLOW, "OVERFLOW"},
    };
    static char text[200];
    text[0] = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (mask & names[i].bit)
            strcat(strcat(text, text[0] ? "|" : ""), names[i].name);
    return text;
}

static void drain(const char *after)
{
    static char buf[16384] __attribute__((aligned(8)));
    ssize_t n = read(in, buf, sizeof(buf));
    printf("%s:\n", after);
    unsigned cookie = 0;
    for (char *p = buf; p < buf + n;) {
        struct inotify_event *e = (struct inotify_event *)p;
        const char *relation = "";
        if (e->cookie)
            relation = e->cookie == cookie ? " same cookie" : " new cookie";
        printf("  wd %d %s %s%s\n", e->wd, bits(e->mask), e->len ? e->name : "-", relation);
        if (e->cookie)
            cookie = e->cookie;
        p += sizeof(*e) + e->len;
    }
}

int main(void)
{
    char c;
    mkdir("fs_inotify", 0755);
    if (chdir("fs_inotify") < 0)
        return 1;
    mkdir("d", 0755);
    in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    SHOW(in >= 0);
    SHOW(read(in, &c, 1));
    SHOW(inotify_add_watch(in, "d", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(in, "none", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(in, "d", 0));
    int fd = open("d/f", O_CREAT | O_RDWR, 0644);
    drain("create");
    SHOW(write(fd, "hello", 5));
    drain("write");
    SHOW(pread(fd, &c, 1, 0));
    drain("read");
    SHOW(ftruncate(fd, 2));
    drain("truncate");
    SHOW(fchmod(fd, 0600));
    SHOW(fchown(fd, 0, 0));
    drain("attributes");
    SHOW(fsetxattr(fd, "user.x", "1", 1, 0));
    drain("xattr");
    close(fd);
    drain("close");
    close(open("d/f", O_RDONLY));
    drain("open and close");
    SHOW(inotify_add_watch(in, "d/f", IN_ALL_EVENTS));
    SHOW(rename("d/f", "d/g"));
    drain("rename");
    SHOW(rename("d/g", "g"));
    drain("rename away");
    SHOW(rename("g", "d/f"));
    drain("rename back");
    SHOW(link("d/f", "d/h"));
    drain("link");
    SHOW(unlink("d/h"));
    drain("unlink one");
    SHOW(mkdir("d/sub", 0755));
    SHOW(rmdir("d/sub"));
    drain("mkdir, rmdir");
    SHOW(symlink("x", "d/l"));
    SHOW(unlink("d/l"));
    drain("symlink");
    close(open("d/x", O_CREAT | O_WRONLY, 0644));
    drain("x");
    SHOW(rename("d/x", "d/f"));
    drain("rename over");
    SHOW(unlink("d/f"));
    drain("unlink");
    int n = -1;
    mkdir("d/q", 0755);
    SHOW(ioctl(in, FIONREAD, &n));
    SHOW(n);
    SHOW(read(in, &c, 1));
    drain("mkdir");
    rmdir("d/q");
    SHOW(rmdir("d"));
    drain("rmdir");
    SHOW(inotify_rm_watch(in, 77));
    mkdir("e", 0755);
    int wd = inotify_add_watch(in, "e", IN_CREATE | IN_ONESHOT);
    SHOW(wd);
    close(creat("e/1", 0644));
    close(creat("e/2", 0644));
    drain("one shot");
    wd = inotify_add_watch(in, "e", IN_CREATE);
    SHOW(inotify_add_watch(in, "e", IN_DELETE | IN_MASK_ADD) == wd);
    close(creat("e/3", 0644));
    unlink("e/3");
    drain("mask add");
    SHOW(inotify_rm_watch(in, wd));
    drain("rm watch");
    SHOW(inotify_add_watch(in, "e/1", IN_ONLYDIR | IN_CREATE));
    wd = inotify_add_watch(in, "e", IN_MODIFY);
    for (int i = 0; i < 3; i++) {
        fd = open("e/1", O_WRONLY | O_APPEND);
        if (write(fd, "x", 1) != 1 || write(fd, "x", 1) != 1)
            perror("write");
        close(fd);
    }
    drain("same events merge");
    return 0;
}
