/* Where quotes come from: a device of the enclave, a program, a file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attest/encode.h"
#include "attest/quote.h"
#include "attest/ratls.h"
#include "image/error.h"

#define COMMAND_TIMEOUT_MS 60000

extern char **environ;

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/* All that comes until the end, which must come by the deadline. */
static int read_all(int fd, long deadline, uint8_t *buffer, size_t capacity, size_t *ret_size)
{
    size_t size = 0;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        long left = deadline - now_ms();
        if (left <= 0 || poll(&wait, 1, (int)left) == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        ssize_t got = read(fd, buffer + size, capacity - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        size += (size_t)got;
        if (size == capacity) {
            errno = EMSGSIZE;
            return -1;
        }
    }
    *ret_size = size;
    return 0;
}

/* Trims the buffer to the quote's own length, and checks that it is for this report data. Takes the buffer. */
static int take_quote(uint8_t *buffer, size_t size, const uint8_t report_data[64], uint8_t **ret_quote,
                      size_t *ret_size, char **ret_error)
{
    struct attest_quote quote;
    size_t length = attest_quote_length(buffer, size);
    if (length > 0 && length <= size)
        size = length;
    if (attest_quote_parse(buffer, size, &quote, ret_error) < 0) {
        free(buffer);
        return -1;
    }
    if (memcmp(attest_quote_report_data(&quote), report_data, 64) != 0) {
        free(buffer);
        return error_set(ret_error, "the quote is for other report data than was asked for");
    }
    *ret_quote = buffer;
    *ret_size = size;
    return 0;
}

static int write_report_data(const char *path, const uint8_t report_data[64], char **ret_error)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(ret_error, errno, "%s", path);
    ssize_t written = write(fd, report_data, 64);
    int saved = written < 0 ? errno : EIO;
    close(fd);
    return written == 64 ? 0 : error_set_errno(ret_error, saved, "%s", path);
}

static int load_quote(const char *path, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size,
                      char **ret_error)
{
    uint8_t *buffer = malloc(ATTEST_QUOTE_SIZE_MAX + 1);
    size_t size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !buffer ||
        read_all(fd, now_ms() + COMMAND_TIMEOUT_MS, buffer, ATTEST_QUOTE_SIZE_MAX + 1, &size) < 0) {
        error_set_errno(ret_error, errno, "%s", path);
        free(buffer);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    close(fd);
    return take_quote(buffer, size, report_data, ret_quote, ret_size, ret_error) < 0 ? error_wrap(ret_error, "%s", path)
                                                                                     : 0;
}

int attest_quote_from_file(void *context, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size,
                           char **ret_error)
{
    return load_quote(context, report_data, ret_quote, ret_size, ret_error);
}

int attest_quote_from_device(void *context, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size,
                             char **ret_error)
{
    char *path = NULL;
    int result = -1;
    if (asprintf(&path, "%s/user_report_data", (const char *)context) < 0)
        return error_set(ret_error, "out of memory");
    if (write_report_data(path, report_data, ret_error) == 0) {
        strcpy(strrchr(path, '/'), "/quote");
        result = load_quote(path, report_data, ret_quote, ret_size, ret_error);
    }
    free(path);
    return result;
}

/* Starts `sh -c COMMAND sh HEX` with its output into a pipe; the process, or -1. */
static pid_t start_command(const char *command, const char *hex, int *ret_fd, char **ret_error)
{
    int pipe_fds[2];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    const char *const argv[] = {"sh", "-c", command, "sh", hex, NULL};
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_set_errno(ret_error, errno, "pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    int failed = posix_spawn(&pid, "/bin/sh", &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    if (failed) {
        close(pipe_fds[0]);
        return error_set_errno(ret_error, failed, "/bin/sh");
    }
    *ret_fd = pipe_fds[0];
    return pid;
}

/* Waits for the process until the deadline, then ends it. Its status, or -1. */
static int wait_command(pid_t pid, long deadline)
{
    int status = -1;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct timespec pause = {.tv_nsec = 5000000};
        if (now_ms() >= deadline)
            kill(pid, SIGKILL);
        nanosleep(&pause, NULL);
    }
    return status;
}

int attest_quote_from_command(void *context, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size,
                              char **ret_error)
{
    const char *command = context;
    char *hex = attest_hex_encode(report_data, 64);
    uint8_t *buffer = malloc(ATTEST_QUOTE_SIZE_MAX + 1);
    long deadline = now_ms() + COMMAND_TIMEOUT_MS;
    size_t size = 0;
    int fd = -1, result = -1;
    pid_t pid = hex && buffer ? start_command(command, hex, &fd, ret_error) : error_set(ret_error, "out of memory");
    if (pid >= 0) {
        result = read_all(fd, deadline, buffer, ATTEST_QUOTE_SIZE_MAX + 1, &size);
        if (result < 0)
            error_set_errno(ret_error, errno, "its output");
        close(fd);
        int status = wait_command(pid, result < 0 ? 0 : deadline);
        if (result == 0 && status != 0)
            result = error_set(ret_error, "it failed");
    }
    if (result == 0)
        result = take_quote(buffer, size, report_data, ret_quote, ret_size, ret_error);
    else
        free(buffer);
    free(hex);
    return result < 0 ? error_wrap(ret_error, "the quote of `%.200s`", command) : 0;
}
