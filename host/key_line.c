/* The thread behind KEY (contract in key_line.h). */
#include "host/key_line.h"

#include "abi/hostcall.h"
#include "abi/key_release.h"
#include "host/error.h"
#include "host/line.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

static const char *server; /* NULL: none */
static struct line line;   /* the thread's */
static bool complained;    /* the thread's */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;
/* Under the lock. */
static bool started;
static uint8_t message[KEY_MESSAGE_MAX];
static size_t message_size;
static bool fresh;
static uint64_t sent, answered; /* numbers of messages */
static uint8_t answer[KEY_ANSWER_MAX];
static int64_t result; /* of `answered`: the answer's size, or negative errno */

static void complain_once(int64_t size)
{
    if (size < 0 && !complained)
        complain("the key server %s: %s", server, strerror((int)-size));
    complained = size < 0;
}

static void *line_main(void *arg)
{
    static uint8_t out[KEY_MESSAGE_MAX], in[KEY_ANSWER_MAX];

    (void)arg;
    prctl(PR_SET_NAME, "cofre-key");
    pthread_mutex_lock(&lock);
    for (;;) {
        while (sent == answered)
            pthread_cond_wait(&asked, &lock);
        uint64_t number = sent;
        size_t out_size = message_size;
        bool is_fresh = fresh;
        memcpy(out, message, out_size);
        pthread_mutex_unlock(&lock);
        int64_t size = line_exchange(&line, is_fresh, out, out_size, in, sizeof(in));
        complain_once(size);
        pthread_mutex_lock(&lock);
        answered = number;
        result = size;
        if (size > 0)
            memcpy(answer, in, (size_t)size);
    }
    return NULL;
}

static int start(void)
{
    pthread_t thread;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int ret = pthread_create(&thread, NULL, line_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    started = ret == 0;
    return -ret;
}

static int64_t put(uint64_t offset, uint64_t size, const uint8_t *data)
{
    if (size > HOSTCALL_DATA_SIZE || offset > sizeof(message) || size > sizeof(message) - offset)
        return -EINVAL;
    memcpy(message + offset, data, size);
    return 0;
}

static int64_t send_message(uint64_t size, bool is_fresh)
{
    int ret = started ? 0 : start();

    if (ret < 0 || size > sizeof(message))
        return ret < 0 ? ret : -EINVAL;
    message_size = size;
    fresh = is_fresh;
    sent++;
    pthread_cond_signal(&asked);
    return 0;
}

static int64_t read_answer(uint8_t *data)
{
    if (sent == 0)
        return -EINVAL;
    if (answered != sent)
        return -EAGAIN;
    if (result > 0)
        memcpy(data, answer, (size_t)result);
    return result;
}

int64_t key_line_call(const uint64_t args[6], uint8_t *data)
{
    int64_t ret = -ENOSYS;

    if (!server)
        return -ENODEV;
    pthread_mutex_lock(&lock);
    if (args[0] == KEY_PUT)
        ret = put(args[1], args[2], data);
    else if (args[0] == KEY_SEND)
        ret = send_message(args[1], args[2] == 1);
    else if (args[0] == KEY_READ)
        ret = read_answer(data);
    pthread_mutex_unlock(&lock);
    return ret;
}

int key_line_init(const char *address, unsigned timeout_ms, char **ret_error)
{
    if (!line_init(&line, address, timeout_ms))
        return fail(ret_error, EINVAL,
                    "the key server's address is not IP:PORT (policy: key_server; COFRE_KEY_SERVER)");
    server = address;
    return 0;
}
