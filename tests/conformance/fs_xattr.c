/* Extended attributes. */
#include "show.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
    char names[1000], *sorted[20];
    int count = 0;
    ssize_t size = listxattr(path, names, sizeof(names));
    for (ssize_t at = 0; at < size; at += strlen(names + at) + 1)
        sorted[count++] = names + at;
    qsort(sorted, count, sizeof(*sorted), compare);
    printf("%s:", path);
    for (int i = 0; i < count; i++)
        printf(" %s", sorted[i]);
    printf(" (%ld)\n", (long)size);
}

int main(void)
{
    char buf[300] = "";
    static char big[70000], name[300];
    mkdir("fs_xattr", 0755);
    if (chdir("fs_xattr") < 0)
        return 1;
    close(creat("f", 0644));
    mkdir("d", 0755);
    symlink("f", "l");
    mkfifo("p", 0644);
    list("f");
    SHOW(setxattr("f", "user.", "x", 1, 0));
    SHOW(setxattr("f", "security.", "x", 1, 0));
    SHOW(getxattr("f", "user.", buf, 1));
    SHOW(setxattr("f", "security.capability", "short", 5, 0));
    SHOW(setxattr("f", "security.capability", "\1\0\0\3\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0));
    SHOW(getxattr("f", "user.a", buf, 10));
    SHOW(setxattr("f", "user.a", "value", 5, 0));
    SHOW(getxattr("f", "user.a", buf, sizeof(buf)));
    printf("%s\n", buf);
    SHOW(getxattr("f", "user.a", NULL, 0));
    SHOW(getxattr("f", "user.a", buf, 4));
    SHOW(setxattr("f", "user.a", "x", 1, XATTR_CREATE));
    SHOW(setxattr("f", "user.b", "x", 1, XATTR_REPLACE));
    SHOW(setxattr("f", "user.b", "", 0, XATTR_CREATE));
    SHOW(getxattr("f", "user.b", buf, 10));
    SHOW(setxattr("f", "user.a", "other", 5, XATTR_REPLACE));
    SHOW(setxattr("f", "user.a", "x", 1, 77));
    list("f");
    SHOW(listxattr("f", buf, 3));
    SHOW(listxattr("f", NULL, 0));
    SHOW(setxattr("d", "user.dir", "1", 1, 0));
    list("d");
    SHOW(setxattr("l", "user.via", "1", 1, 0));
    SHOW(lsetxattr("l", "user.via", "1", 1, 0));
    SHOW(lgetxattr("l", "user.via", buf, 1));
    SHOW(setxattr("p", "user.via", "1", 1, 0));
    SHOW(getxattr("p", "user.via", buf, 1));
    SHOW(setxattr("f", "nonsense", "1", 1, 0));
    SHOW(setxattr("f", "other.x", "1", 1, 0));
    SHOW(setxattr("f", "", "1", 1, 0));
    memset(name, 'n', 299);
    memcpy(name, "user.", 5);
    name[256] = 0;
    SHOW(setxattr("f", name, "1", 1, 0));
    name[255] = 0;
    SHOW(setxattr("f", name, "1", 1, 0));
    SHOW(setxattr("f", "user.big", big, 65537, 0));
    SHOW(setxattr("none", "user.a", "1", 1, 0));
    SHOW(removexattr("f", "user.none"));
    SHOW(removexattr("f", "user.a"));
    int fd = open("f", O_RDONLY);
    SHOW(fsetxattr(fd, "user.fd", "12", 2, 0));
    SHOW(fgetxattr(fd, "user.fd", buf, 10));
    SHOW(flistxattr(fd, NULL, 0) > 0);
    SHOW(fremovexattr(fd, "user.fd"));
    close(fd);
    list("f");
    SHOW(seteuid(1000));
    list("f");
    SHOW(setxattr("f", "user.c", "1", 1, 0));
    SHOW(setxattr("f", "trusted.c", "1", 1, 0));
    SHOW(getxattr("f", "trusted.t", buf, 10));
    SHOW(getxattr("f", "user.b", buf, 10));
    SHOW(removexattr("f", "user.b"));
    return 0;
}
