/* Copying images by skopeo. */
#include "image/oci_pull.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/error.h"
#include "image/file_io.h"
#include "image/progress.h"

#define POLL_MS 200

extern char **environ;

/* The last bytes of what skopeo wrote to stderr. */
struct tail {
    char text[512];
    size_t used;
};

static void tail_add(struct tail *tail, const char *data, size_t size)
{
    size_t room = sizeof(tail->text) - 1;

    if (size > room) {
        data += size - room;
        size = room;
    }
    if (tail->used + size > room) {
        size_t drop = tail->used + size - room;
        memmove(tail->text, tail->text + drop, tail->used - drop);
        tail->used -= drop;
    }
    memcpy(tail->text + tail->used, data, size);
    tail->used += size;
    tail->text[tail->used] = 0;
}

/* The last line, or all of it. */
static const char *tail_line(struct tail *tail)
{
    while (tail->used && tail->text[tail->used - 1] == '\n')
        tail->text[--tail->used] = 0;
    const char *newline = strrchr(tail->text, '\n');
    return newline ? newline + 1 : tail->text;
}

static pid_t start(const char *source, const char *target, bool show, int error_fd, char **ret_error)
{
    const char *const arguments[] = {
        "skopeo", "--override-os", "linux", "--override-arch", "amd64", "copy", show ? "--retry-times=2" : "--quiet",
        source,   target,          NULL,
    };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    /* What skopeo prints is progress: it goes where ours does. */
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, error_fd, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int result = posix_spawnp(&pid, "skopeo", &actions, &attributes, (char *const *)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (result == ENOENT)
        return error_set(ret_error, "skopeo is needed to read %s and is not installed", source);
    if (result != 0)
        return error_set_errno(ret_error, result, "cannot start skopeo");
    return pid;
}

/* Gathers what it says until it ends; false when interrupted. */
static bool listen_to(pid_t pid, int fd, struct tail *tail, struct progress *progress)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    char data[512];
    bool interrupted = false;

    for (;;) {
        if (!interrupted && !progress_add(progress, 0)) {
            interrupted = true;
            kill(pid, SIGTERM);
        }
        if (poll(&poll_fd, 1, POLL_MS) <= 0)
            continue;
        ssize_t size = read(fd, data, sizeof(data));
        if (size == 0 || (size < 0 && errno != EINTR))
            return !interrupted;
        if (size > 0)
            tail_add(tail, data, (size_t)size);
    }
}

static int copy(const char *source, const char *folder, struct progress *progress, char **ret_error)
{
    struct tail tail = {.used = 0};
    char *target = NULL;
    int pipe_fds[2], status = 0;

    if (asprintf(&target, "oci:%s:image", folder) < 0)
        err(1, "image");
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        free(target);
        return error_set_errno(ret_error, errno, "cannot start skopeo");
    }
    pid_t pid = start(source, target, progress && progress->show, pipe_fds[1], ret_error);
    close(pipe_fds[1]);
    free(target);
    bool complete = pid > 0 && listen_to(pid, pipe_fds[0], &tail, progress);
    close(pipe_fds[0]);
    if (pid < 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!complete)
        return error_set(ret_error, "interrupted");
    if (status != 0)
        return error_set(ret_error, "skopeo cannot copy %s: %s", source, tail_line(&tail));
    return 0;
}

int oci_pull(const char *source, struct progress *progress, char **ret_folder, char **ret_error)
{
    const char *parent = getenv("TMPDIR");
    char *folder = NULL;

    if (asprintf(&folder, "%s/cofre-image.XXXXXX", parent && *parent ? parent : "/var/tmp") < 0)
        err(1, "image");
    if (!mkdtemp(folder)) {
        error_set_errno(ret_error, errno, "cannot make %s", folder);
        free(folder);
        return -1;
    }
    progress_step(progress, "fetching", 0);
    int result = copy(source, folder, progress, ret_error);
    progress_end(progress);
    if (result < 0) {
        path_remove_all(folder);
        free(folder);
        return -1;
    }
    *ret_folder = folder;
    return 0;
}
