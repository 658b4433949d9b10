/* The thread behind QUOTE (contract in service.h). */
#include "host/quote/service.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "abi/hostcall.h"
#include "host/error.h"

struct question {
    uint64_t number; /* of this question; 0: none */
    uint64_t op;
    uint8_t report[QUOTING_REPORT_SIZE];
};

static const struct quoting_ops *quoting;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;
/* Under the lock. */
static bool started;
static struct question question; /* the newest */
static uint64_t answered;        /* the number of the question that answer and result are for */
static int64_t result;           /* size or negative errno */
static uint8_t answer[QUOTE_SIZE_MAX];
static size_t quote_size; /* answer holds a quote, of this size */

static int64_t ask(const struct question *q, uint8_t *ret_answer)
{
    char *error = NULL;
    size_t size = QUOTING_TARGETINFO_SIZE;
    int ret = q->op == QUOTE_TARGET ? quoting->target(ret_answer, &error)
                                    : quoting->quote(q->report, ret_answer, QUOTE_SIZE_MAX, &size, &error);

    if (ret < 0)
        complain("%s failed: %s", q->op == QUOTE_TARGET ? "reaching the quoting enclave" : "making a quote",
                 error ? error : strerror(-ret));
    free(error);
    return ret < 0 ? ret : (int64_t)size;
}

static void *service_main(void *arg)
{
    static uint8_t bytes[QUOTE_SIZE_MAX];

    prctl(PR_SET_NAME, "cofre-quote");
    pthread_mutex_lock(&lock);
    for (;;) {
        struct question now;
        int64_t size;

        while (question.number == answered)
            pthread_cond_wait(&asked, &lock);
        now = question;
        pthread_mutex_unlock(&lock);
        size = ask(&now, bytes);
        pthread_mutex_lock(&lock);
        answered = now.number;
        result = size;
        quote_size = now.op == QUOTE_MAKE && size > 0 ? (size_t)size : 0;
        if (size > 0)
            memcpy(answer, bytes, (size_t)size);
    }
    return NULL;
}

static int start(void)
{
    pthread_t thread;
    sigset_t all, before;
    int ret;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ret = pthread_create(&thread, NULL, service_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    started = ret == 0;
    return -ret;
}

static int64_t begin(uint64_t op, const uint8_t *data)
{
    int ret = started ? 0 : start();

    if (ret < 0)
        return ret;
    question.number++;
    question.op = op;
    if (op == QUOTE_MAKE)
        memcpy(question.report, data, sizeof(question.report));
    pthread_cond_signal(&asked);
    return 0;
}

static int64_t read_answer(uint64_t offset, uint8_t *data)
{
    if (question.number == 0)
        return -EINVAL;
    if (answered != question.number)
        return -EAGAIN;
    if (result > 0 && offset < (uint64_t)result) {
        size_t left = (size_t)result - offset;
        memcpy(data, answer + offset, left < HOSTCALL_DATA_SIZE ? left : HOSTCALL_DATA_SIZE);
    }
    return result;
}

void quote_service_init(const struct quoting_ops *ops)
{
    quoting = ops;
}

int64_t quote_service_call(uint64_t op, uint64_t offset, uint8_t *data)
{
    int64_t ret = -ENOSYS;

    if (!quoting)
        return -ENODEV;
    pthread_mutex_lock(&lock);
    if (op == QUOTE_READ)
        ret = read_answer(offset, data);
    else if (op == QUOTE_TARGET || op == QUOTE_MAKE)
        ret = begin(op, data);
    pthread_mutex_unlock(&lock);
    return ret;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

int quote_service_save(const char *path, char **ret_error)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), ret;

    if (fd < 0)
        return fail(ret_error, errno, "writing the quote to %s failed: %s", path, strerror(errno));
    pthread_mutex_lock(&lock);
    ret = quote_size ? write_all(fd, answer, quote_size) : -ENODATA;
    pthread_mutex_unlock(&lock);
    if (!standard && close(fd) < 0 && ret == 0)
        ret = -errno;
    return ret < 0 ? fail(ret_error, -ret, "writing the quote to %s failed: %s", path, strerror(-ret)) : 0;
}
