/*
 * Running containers (contract in registry.h). A file is one `key value` a line. Who locks it owns the name; a file
 * that can be locked is nobody's. It is removed only under its lock, so whoever got a lock looks whether the file is
 * still there.
 */
#include "host/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ENTRY_SIZE_MAX 8192
#define TRIES 100

static struct {
    int folder, file, exec;
    char name[REGISTRY_NAME_MAX + 1];
} own = {-1, -1, -1, ""};

bool registry_name_ok(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", more[] = "_.-";
    size_t size = strlen(name);

    if (size == 0 || size > REGISTRY_NAME_MAX || !strchr(first, name[0]))
        return false;
    for (size_t i = 1; i < size; i++)
        if (!strchr(first, name[i]) && !strchr(more, name[i]))
            return false;
    return true;
}

/* Ours alone: /tmp is everybody's. */
static int folder_open(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[4096];
    struct stat st;
    int fd, size;

    if (runtime && runtime[0] == '/')
        size = snprintf(path, sizeof(path), "%s/cofre", runtime);
    else if (geteuid() == 0)
        size = snprintf(path, sizeof(path), "/run/cofre");
    else
        size = snprintf(path, sizeof(path), "/tmp/cofre-%u", geteuid());
    if (size >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022))
        return fd;
    close(fd);
    return -EPERM;
}

/* The value of a key in the text, which is cut there; "" if it is not there. */
static const char *value_of(char *text, const char *key)
{
    size_t size = strlen(key);

    for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, size) == 0 && line[size] == ' ')
            return line + size + 1;
    return "";
}

struct loaded {
    struct registry_entry entry;
    char name[256];
    char text[ENTRY_SIZE_MAX + 1];
};

static void entry_load(struct loaded *loaded, int fd, const char *name)
{
    ssize_t size = pread(fd, loaded->text, ENTRY_SIZE_MAX, 0);
    char *text = loaded->text;

    text[size > 0 ? size : 0] = '\0';
    snprintf(loaded->name, sizeof(loaded->name), "%s", name);
    loaded->entry = (struct registry_entry){.name = loaded->name,
                                            .pid = atoi(value_of(text, "pid")),
                                            .started = strtoull(value_of(text, "started"), NULL, 10),
                                            .image = value_of(text, "image"),
                                            .ports = value_of(text, "ports"),
                                            .exec = atoi(value_of(text, "exec")) != 0};
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = '\0';
}

static void write_value(FILE *file, const char *key, const char *value)
{
    fprintf(file, "%s ", key);
    for (; *value; value++)
        putc((unsigned char)*value < ' ' || *value == 127 ? '?' : *value, file);
    putc('\n', file);
}

static int entry_write(int fd, const struct registry_entry *entry)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    int ret = 0;

    if (!file)
        return -ENOMEM;
    fprintf(file, "pid %d\nstarted %llu\nexec %d\n", entry->pid, (unsigned long long)entry->started, entry->exec);
    write_value(file, "image", entry->image);
    write_value(file, "ports", entry->ports);
    fclose(file);
    if (size > ENTRY_SIZE_MAX)
        ret = -E2BIG;
    else if (ftruncate(fd, 0) < 0 || pwrite(fd, text, size, 0) != (ssize_t)size)
        ret = -EIO;
    free(text);
    return ret;
}

/* ---- the socket for commands, beside the file: its name is no container's ---- */

/* By the folder's descriptor: the whole path may be longer than an address takes. */
static void socket_address(struct sockaddr_un *address, int folder, const char *name)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/.%s", folder, name);
}

static void socket_remove(int folder, const char *name)
{
    char text[256 + 1];

    snprintf(text, sizeof(text), ".%s", name);
    unlinkat(folder, text, 0);
}

static int socket_listen(int folder, const char *name)
{
    struct sockaddr_un address;
    mode_t mask;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

    if (fd < 0)
        return -errno;
    socket_remove(folder, name);
    socket_address(&address, folder, name);
    mask = umask(0177);
    ret = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0 ? -errno : 0;
    umask(mask);
    if (ret < 0)
        close(fd);
    return ret < 0 ? ret : fd;
}

int registry_exec_socket(void)
{
    return own.exec;
}

int registry_connect(const char *name)
{
    struct sockaddr_un address;
    int folder = folder_open(), fd, ret = 0;

    if (folder < 0)
        return folder;
    socket_address(&address, folder, name);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        ret = -errno;
    close(folder);
    if (ret < 0 && fd >= 0)
        close(fd);
    return ret < 0 ? ret : fd;
}

/* ---- entering and leaving ---- */

/* The locked file of this name: a descriptor, or -EAGAIN (somebody is about to remove it), or another errno. */
static int file_take(int folder, const char *name, pid_t *ret_pid)
{
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), ret = 0;
    struct stat st;

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        struct loaded *loaded = malloc(sizeof(*loaded));

        ret = -ENOMEM;
        if (loaded) {
            entry_load(loaded, fd, name);
            *ret_pid = loaded->entry.pid;
            ret = loaded->entry.pid ? -EEXIST : -EAGAIN;
        }
        free(loaded);
    } else if (fstat(fd, &st) < 0 || st.st_nlink == 0) {
        ret = -EAGAIN;
    }
    if (ret == 0)
        return fd;
    close(fd);
    return ret;
}

int registry_enter(const struct registry_entry *entry, pid_t *ret_pid)
{
    int folder = folder_open(), file = -EAGAIN, ret;

    if (folder < 0)
        return folder;
    for (int i = 0; i < TRIES && file == -EAGAIN; i++) {
        if (i > 0)
            usleep(1000);
        file = file_take(folder, entry->name, ret_pid);
    }
    ret = file;
    if (file >= 0 && entry->exec)
        ret = own.exec = socket_listen(folder, entry->name);
    if (ret >= 0)
        ret = entry_write(file, entry);
    if (ret < 0) {
        if (file >= 0)
            close(file);
        close(folder);
        return ret;
    }
    own.folder = folder;
    own.file = file;
    snprintf(own.name, sizeof(own.name), "%s", entry->name);
    return 0;
}

void registry_leave(void)
{
    if (own.file < 0)
        return;
    if (own.exec >= 0)
        socket_remove(own.folder, own.name);
    unlinkat(own.folder, own.name, 0);
    close(own.file);
    close(own.folder);
    own.file = own.folder = -1;
}

static int by_start(const void *a, const void *b)
{
    const struct registry_entry *x = &(*(struct loaded *const *)a)->entry, *y = &(*(struct loaded *const *)b)->entry;

    if (x->started != y->started)
        return x->started < y->started ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* NULL if it is nobody's, and then removed, or not to be read. */
static struct loaded *load_running(int folder, const char *name)
{
    struct loaded *loaded = NULL;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        socket_remove(folder, name);
        unlinkat(folder, name, 0);
    } else if ((loaded = malloc(sizeof(*loaded))) != NULL) {
        entry_load(loaded, fd, name);
    }
    close(fd);
    return loaded;
}

int registry_for_each(void (*fn)(void *arg, const struct registry_entry *entry), void *arg)
{
    struct loaded **all = NULL, **more;
    size_t count = 0;
    int folder = folder_open(), ret = 0;
    DIR *dir = folder < 0 ? NULL : fdopendir(dup(folder));

    if (folder < 0)
        return folder;
    for (struct dirent *e; dir && ret == 0 && (e = readdir(dir)) != NULL;) {
        struct loaded *loaded = registry_name_ok(e->d_name) ? load_running(folder, e->d_name) : NULL;

        if (!loaded)
            continue;
        more = realloc(all, (count + 1) * sizeof(struct loaded *));
        if (!more) {
            free(loaded);
            ret = -ENOMEM;
            break;
        }
        all = more;
        all[count++] = loaded;
    }
    if (dir)
        closedir(dir);
    close(folder);
    if (count > 1)
        qsort(all, count, sizeof(struct loaded *), by_start);
    for (size_t i = 0; i < count; i++) {
        if (ret == 0)
            fn(arg, &all[i]->entry);
        free(all[i]);
    }
    free(all);
    return ret;
}
