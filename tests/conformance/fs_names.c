/* mkdir, rmdir, link, symlink, unlink, rename, mknod: what they do and refuse. */
#include "show.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void touch(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (write(fd, text, strlen(text)) < 0)
        perror(path);
    close(fd);
}

static void look(const char *path)
{
    struct stat st;
    char text[64] = "";
    if (lstat(path, &st) < 0) {
        printf("%s: %s\n", path, strerrorname_np(errno));
        return;
    }
    if (S_ISREG(st.st_mode)) {
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = 0;
        close(fd);
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(path, text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = 0;
    }
    printf("%s: %o nlink %ld \"%s\"\n", path, st.st_mode, (long)st.st_nlink, text);
}

static int rename2(const char *a, const char *b, unsigned flags)
{
    return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

static void directories(void)
{
    SHOW(mkdir("d", 0777));
    SHOW(mkdir("d", 0777));
    SHOW(mkdir("d/e/", 0700));
    SHOW(mkdir("x/y", 0700));
    SHOW(mkdir("", 0700));
    SHOW(mkdir("/", 0700));
    SHOW(mkdir(".", 0700));
    SHOW(mkdir("d/..", 0700));
    look("d");
    look("d/e");
    SHOW(rmdir("d"));
    SHOW(rmdir("d/e/."));
    SHOW(rmdir("d/e/.."));
    SHOW(rmdir("/"));
    SHOW(unlink("d"));
    SHOW(rmdir("d/e/"));
    look("d");
    SHOW(mkdir("sg", 0755));
    SHOW(chown("sg", 0, 5));
    SHOW(chmod("sg", 02755));
    SHOW(mkdir("sg/sub", 0755));
    look("sg/sub");
    touch("sg/f", "");
    struct stat st;
    SHOW(stat("sg/f", &st));
    printf("gid %u\n", st.st_gid);
}

static void links(void)
{
    touch("f", "text");
    SHOW(link("f", "g"));
    look("g");
    SHOW(link("f", "g"));
    SHOW(link("none", "h"));
    SHOW(link("d", "dd"));
    SHOW(link("f", "h/"));
    SHOW(link("f/", "h"));
    SHOW(symlink("f", "s"));
    SHOW(symlink("f", "s"));
    SHOW(symlink("", "empty"));
    SHOW(symlink("f", "s2/"));
    SHOW(link("s", "ls"));
    look("ls");
    SHOW(linkat(AT_FDCWD, "s", AT_FDCWD, "lf", AT_SYMLINK_FOLLOW));
    look("lf");
    SHOW(linkat(AT_FDCWD, "s", AT_FDCWD, "lf2", 0x4000));
    SHOW(unlink("g"));
    look("f");
    SHOW(unlink("f/"));
    SHOW(unlink("s/"));
    SHOW(unlink("."));
    SHOW(unlink("none"));
    SHOW(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
    SHOW(unlinkat(AT_FDCWD, "f", 1));
    SHOW(unlinkat(AT_FDCWD, "d", 0));
    char buf[4];
    SHOW(readlink("s", buf, 0));
    SHOW(readlink("s", buf, 4));
    SHOW(readlink("f", buf, 4));
    SHOW(readlink("none", buf, 4));
}

static void open_unlinked(void)
{
    touch("u", "still here");
    int fd = open("u", O_RDWR);
    struct stat st;
    char buf[32] = "";
    SHOW(unlink("u"));
    SHOW(fstat(fd, &st));
    printf("nlink %ld\n", (long)st.st_nlink);
    SHOW(read(fd, buf, sizeof(buf)));
    SHOW(write(fd, "more", 4));
    printf("%s\n", buf);
    char path[64], target[256];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = 0;
    printf("%s\n", target);
    SHOW(linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
    close(fd);
}

static void renames(void)
{
    touch("r1", "one");
    touch("r2", "two");
    SHOW(rename("r1", "r2"));
    look("r1");
    look("r2");
    SHOW(rename("r2", "r2"));
    SHOW(link("r2", "r3"));
    SHOW(rename("r2", "r3"));
    look("r2");
    SHOW(rename("none", "r4"));
    SHOW(rename("r2", "none/r4"));
    SHOW(rename("r2", "d"));
    SHOW(rename("d", "r2"));
    SHOW(mkdir("d/in", 0755));
    SHOW(rename("d", "d/in/d"));
    SHOW(rename("d/in", "d"));
    SHOW(mkdir("m", 0755));
    SHOW(rename("m", "d"));
    SHOW(rename("d", "m"));
    look("m");
    look("m/in");
    look("d");
    SHOW(rename("m/in", "moved/"));
    SHOW(rename("r2", "r5/"));
    look("m");
    look("moved");
    SHOW(rename(".", "q"));
    SHOW(rename("m", "."));
    SHOW(rename("m/..", "q"));
    touch("x1", "x1");
    touch("x2", "x2");
    SHOW(rename2("x1", "x2", RENAME_NOREPLACE));
    SHOW(rename2("x1", "x3", RENAME_NOREPLACE));
    SHOW(rename2("x2", "x3", RENAME_EXCHANGE));
    look("x2");
    look("x3");
    SHOW(rename2("x2", "none", RENAME_EXCHANGE));
    SHOW(rename2("x2", "m", RENAME_EXCHANGE));
    look("x2");
    look("m");
    SHOW(rename2("x2", "m", RENAME_EXCHANGE | RENAME_NOREPLACE));
    SHOW(rename2("x2", "m", 64));
    SHOW(rename2("x2", "x2/y", RENAME_EXCHANGE));
    SHOW(symlink("m", "sm"));
    SHOW(rename("sm", "sm2"));
    look("sm2");
    SHOW(rename("x2", "sm2"));
    SHOW(rename("m", "sm2"));
}

static void nodes(void)
{
    SHOW(mknod("fifo", S_IFIFO | 0644, 0));
    look("fifo");
    SHOW(mknod("reg", 0640, 0));
    look("reg");
    SHOW(mknod("sock", S_IFSOCK | 0600, 0));
    look("sock");
    SHOW(open("sock", O_RDWR));
    SHOW(mknod("dir", S_IFDIR | 0755, 0));
    SHOW(mknod("bad", S_IFLNK | 0755, 0));
    SHOW(mknod("reg", S_IFREG | 0644, 0));
    SHOW(mknod("none/reg", S_IFREG | 0644, 0));
}

int main(void)
{
    mkdir("fs_names", 0755);
    if (chdir("fs_names") < 0)
        return 1;
    directories();
    links();
    open_unlinked();
    renames();
    nodes();
    return 0;
}
