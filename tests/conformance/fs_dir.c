/* Reading directories: completeness, types, seeking, changes under way. */
#include "show.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
    char *names[5000];
    int count = 0;
    DIR *dir = opendir(path);
    struct dirent *e;
    if (!dir) {
        printf("%s: %s\n", path, strerrorname_np(errno));
        return;
    }
    while ((e = readdir(dir)) && count < 5000) {
        char text[300];
        struct stat st;
        fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW);
        snprintf(text, sizeof(text), "%s type %d inode %s", e->d_name, e->d_type,
                 st.st_ino == e->d_ino ? "same" : "differs");
        names[count++] = strdup(text);
    }
    closedir(dir);
    qsort(names, count, sizeof(*names), compare);
    printf("%s: %d\n", path, count);
    for (int i = 0; i < count && i < 20; i++)
        printf("  %s\n", names[i]);
    for (int i = 0; i < count; i++)
        free(names[i]);
}

static int count_entries(DIR *dir)
{
    int count = 0;
    while (readdir(dir))
        count++;
    return count;
}

static void seeking(void)
{
    DIR *dir = opendir("many");
    long at[3];
    char names[3][256];
    for (int i = 0; i < 100; i++)
        readdir(dir);
    for (int i = 0; i < 3; i++) {
        at[i] = telldir(dir);
        strcpy(names[i], readdir(dir)->d_name);
    }
    int rest = count_entries(dir);
    for (int i = 2; i >= 0; i--) {
        seekdir(dir, at[i]);
        printf("seek %s\n", strcmp(readdir(dir)->d_name, names[i]) == 0 ? "same" : "differs");
    }
    SHOW(count_entries(dir) == rest + 2);
    rewinddir(dir);
    SHOW(count_entries(dir));
    closedir(dir);
}

static void many(void)
{
    char path[64];
    mkdir("many", 0755);
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof(path), "many/file-with-a-name-%d", i);
        close(creat(path, 0644));
    }
    list("many");
    seeking();
    /* Remove while reading, as rm -r does. */
    DIR *dir = opendir("many");
    struct dirent *e;
    int removed = 0;
    while ((e = readdir(dir)))
        if (e->d_name[0] == 'f' && unlinkat(dirfd(dir), e->d_name, 0) == 0)
            removed++;
    closedir(dir);
    SHOW(removed);
    SHOW(rmdir("many"));
}

static void raw(void)
{
    char buf[4096];
    int fd = open("types", O_RDONLY | O_DIRECTORY);
    SHOW(syscall(SYS_getdents64, fd, buf, 1));
    SHOW(syscall(SYS_getdents64, fd, (void *)8, 4096));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(syscall(SYS_getdents64, fd, buf, 24) > 0);
    SHOW(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
    SHOW(syscall(SYS_getdents64, fd, buf, sizeof(buf)));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(syscall(SYS_getdents, fd, buf, sizeof(buf)) > 0);
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(read(fd, buf, 10));
    SHOW(write(fd, buf, 10));
    close(fd);
    fd = open("types/file", O_RDONLY);
    SHOW(syscall(SYS_getdents64, fd, buf, sizeof(buf)));
    close(fd);
    SHOW(syscall(SYS_getdents64, 99, buf, sizeof(buf)));
    mkdir("gone", 0755);
    fd = open("gone", O_RDONLY);
    rmdir("gone");
    SHOW(syscall(SYS_getdents64, fd, buf, sizeof(buf)));
    struct stat st;
    SHOW(fstat(fd, &st));
    SHOW(st.st_nlink);
    close(fd);
}

int main(void)
{
    mkdir("fs_dir", 0755);
    if (chdir("fs_dir") < 0)
        return 1;
    mkdir("types", 0755);
    mkdir("types/dir", 0755);
    close(creat("types/file", 0644));
    symlink("file", "types/link");
    mkfifo("types/fifo", 0644);
    mknod("types/socket", S_IFSOCK | 0644, 0);
    list("types");
    list("types/file");
    list("none");
    many();
    raw();
    struct stat st;
    stat("types", &st);
    SHOW(st.st_nlink);
    return 0;
}
