/* Path walking: dots, slashes, links, limits, the working directory. */
#include "show.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int there(const char *path)
{
    struct stat st;
    return stat(path, &st);
}

static void cwd(const char *what)
{
    char buf[PATH_MAX];
    printf("%s: %s\n", what, getcwd(buf, sizeof(buf)) ? buf : strerrorname_np(errno));
}

static void limits(void)
{
    static char name[300], path[5000];
    memset(name, 'n', 255);
    SHOW(mkdir(name, 0755));
    SHOW(there(name));
    name[255] = 'n';
    SHOW(mkdir(name, 0755));
    SHOW(there(name));
    name[255] = 0;
    memset(path, '/', 4999);
    SHOW(there(path));
    path[4095] = 0;
    SHOW(there(path));
    path[4096] = 0;
    for (int i = 0; i < 4094; i += 2)
        memcpy(path + i, "./", 2);
    path[4094] = 0;
    SHOW(there(path));
    SHOW(rmdir(name));
}

static void dots(void)
{
    SHOW(mkdir("a", 0755));
    SHOW(mkdir("a/b", 0755));
    SHOW(close(creat("a/f", 0644)));
    SHOW(there("a/../a/./b/../f"));
    SHOW(there("a//b///"));
    SHOW(there("a/f/"));
    SHOW(there("a/f/.."));
    SHOW(there("a/none/.."));
    SHOW(there("/../../.."));
    SHOW(there("//"));
    SHOW(there(""));
    SHOW(there("a/f/x"));
}

static void symlinks(void)
{
    SHOW(symlink("a/b", "l"));
    SHOW(there("l/../f"));
    SHOW(symlink("a/", "slash"));
    SHOW(there("slash/f"));
    SHOW(there("slash/"));
    SHOW(symlink("a/f", "lf"));
    SHOW(there("lf/"));
    struct stat st;
    SHOW(lstat("lf/", &st));
    SHOW(lstat("l/", &st));
    printf("%o\n", st.st_mode & S_IFMT);
    SHOW(lstat("l", &st));
    printf("%o %ld\n", st.st_mode, (long)st.st_size);
    char from[16], to[16];
    for (int i = 0; i < 45; i++) {
        snprintf(from, sizeof(from), "c%d", i);
        snprintf(to, sizeof(to), "c%d", i + 1);
        symlink(to, from);
    }
    close(creat("c45", 0644));
    SHOW(there("c45"));
    SHOW(there("c5"));
    SHOW(there("c4"));
    SHOW(symlink("p/x", "p"));
    SHOW(there("p"));
    SHOW(mkdir("dangling-target/x", 0755));
    SHOW(symlink("newdir", "dang"));
    SHOW(mkdir("dang", 0755));
    SHOW(rmdir("l"));
    SHOW(unlink("l"));
}

static void working_directory(void)
{
    char buf[8];
    cwd("start");
    SHOW(chdir("a/b"));
    cwd("in a/b");
    SHOW(chdir("../f"));
    SHOW(chdir("none"));
    SHOW((long)getcwd(buf, sizeof(buf)));
    SHOW(syscall(SYS_getcwd, buf, 0));
    SHOW(rename("../b", "../renamed"));
    cwd("renamed");
    SHOW(rmdir("../renamed"));
    cwd("removed");
    SHOW(there("."));
    SHOW(there(".."));
    SHOW(close(creat("x", 0644)));
    SHOW(mkdir("x", 0755));
    SHOW(there("none"));
    SHOW(chdir(".."));
    cwd("up");
    SHOW(chdir(".."));
    int fd = open("a", O_RDONLY);
    SHOW(fchdir(fd));
    cwd("fchdir");
    close(fd);
    fd = open("f", O_RDONLY);
    SHOW(fchdir(fd));
    SHOW(fchdir(77));
    close(fd);
    SHOW(chdir(".."));
}

static void changed_root(void)
{
    SHOW(chroot("none"));
    SHOW(chroot("a/f"));
    SHOW(chroot("a"));
    cwd("outside");
    SHOW(there("/f"));
    SHOW(chdir("/"));
    cwd("inside");
    SHOW(there("../../f"));
    SHOW(symlink("/f", "abs"));
    SHOW(there("abs"));
}

int main(void)
{
    mkdir("fs_path", 0755);
    if (chdir("fs_path") < 0)
        return 1;
    limits();
    dots();
    symlinks();
    working_directory();
    changed_root();
    return 0;
}
