/* unmount: the end of what `cofre volume mount` began; when it returns, the volume is free again. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "volume/tool.h"

#define WAIT_S 10

/* \ooo of mountinfo(5), in place. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in; out++) {
        unsigned value;
        if (in[0] == '\\' && sscanf(in + 1, "%3o", &value) == 1) {
            *out = (char)value;
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = 0;
}

/* The absolute path of dir, whose last name is not looked at: what is mounted there may be dead. NULL: errno. */
static char *place_of(const char *dir)
{
    char *copy = strdup(dir), *other = strdup(dir), *result = NULL;
    char *parent = copy && other ? realpath(dirname(copy), NULL) : NULL;
    const char *name = other ? basename(other) : "";
    if (parent && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "/") != 0) {
        if (asprintf(&result, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name) < 0)
            result = NULL;
    } else if (parent) {
        result = realpath(dir, NULL);
    }
    free(parent);
    free(copy);
    free(other);
    return result;
}

/* The volume that is mounted at a place, to be freed; NULL: none. */
static char *volume_at(const char *place)
{
    FILE *in = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, *result = NULL, point[PATH_MAX], type[64], source[PATH_MAX];
    size_t room = 0;
    while (in && getline(&line, &room, in) > 0) {
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 ||
            sscanf(rest, " - %63s %4095s", type, source) != 2 || strcmp(type, "fuse.cofre") != 0)
            continue;
        unescape(point);
        unescape(source);
        if (strcmp(point, place) == 0) { /* the last one is on top */
            free(result);
            result = strdup(source);
        }
    }
    free(line);
    if (in)
        fclose(in);
    return result;
}

/* As root by itself, else by libfuse's helper. 0 or errno. */
static int unmount(const char *place, bool force)
{
    if (geteuid() == 0)
        return umount2(place, UMOUNT_NOFOLLOW | (force ? MNT_DETACH : 0)) < 0 ? errno : 0;
    pid_t child = fork();
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-q", force ? "-uz" : "-u", "--", place, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        return errno;
    return status == 0 ? 0 : WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ENOENT : EBUSY;
}

/* The process that served it ends a moment after: then its lock is gone. */
static void wait_until_free(const char *volume)
{
    int fd = open(volume, O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; fd >= 0 && i < WAIT_S * 100; i++) {
        struct flock lock = {.l_type = F_WRLCK};
        if (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
            break;
        nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
    }
    if (fd >= 0)
        close(fd);
}

int volume_cmd_unmount(struct tool_options *options, char **operands)
{
    char *place = place_of(operands[0]), *volume = place ? volume_at(place) : NULL;
    int err = !place ? errno : 0, code = 0;
    if (place && !volume) {
        fprintf(stderr, "cofre: unmounting %s failed: no volume is mounted there\n", operands[0]);
        code = EXIT_COFRE;
    } else if (place) {
        err = unmount(place, options->force);
    }
    if (err != 0) {
        fprintf(stderr, "cofre: unmounting %s failed: %s%s\n", operands[0], strerror(err),
                err == EBUSY ? " (something in it is open; --force unmounts it when that is closed)" : "");
        code = err == EBUSY ? EXIT_IN_USE : EXIT_COFRE;
    }
    if (code == 0 && !options->force)
        wait_until_free(volume);
    free(volume);
    free(place);
    return code;
}
