/*
 * A counter service, for tests (docs/VOLUME-FORMAT.md, "The counter's protocol"), over TCP and attest/noise.h, which is
 * written over OpenSSL, so that the kernel's side meets another's reading of the specification.
 *
 *   counter --state FILE [--port N]     the private key is in FILE.key (made on first use), the counters in FILE
 *
 * Says "PORT PUBLIC-KEY" on standard output when it listens. Standard input takes commands, a line each, answered "ok":
 *   delay MS   each answer comes so late           hang        nothing is answered any more (run: again)
 *   run        all is well again                   lie         answers carry a value one too low
 *   forge      answers are changed in transit      replay      each answer is the one before, again
 *   drop       the connection ends instead of the next answer; the request was carried out
 *   list       every counter: "value name public-key", then "ok"
 *   set VALUE  all counters stand there now        stats       "requests handshakes", then "ok"
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attest/noise.h"

#define MESSAGE_MAX 256
#define COUNTER_MAX 64

struct counter {
    uint8_t owner[32], name[16];
    uint64_t value;
};

struct request { /* little-endian, as the machine */
    uint32_t type, flags;
    uint8_t name[16];
    uint64_t expected, value;
};
struct answer {
    uint32_t type, status;
    uint64_t previous;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct counter counters[COUNTER_MAX];
static unsigned counter_count;
static unsigned long request_count, handshake_count;
static const char *state_path;
static EVP_PKEY *own;
static uint8_t own_public[32];
/* how it misbehaves */
static unsigned delay_ms;
static bool hang, lie, forge, replay, drop;

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "counter: %s\n", what);
    exit(1);
}

/* ---- counters ---- */

static void state_save(void)
{
    char part[4096];
    snprintf(part, sizeof(part), "%s.part", state_path);
    FILE *f = fopen(part, "we");
    need(f && fwrite(counters, sizeof(counters[0]), counter_count, f) == counter_count && fclose(f) == 0 &&
             rename(part, state_path) == 0,
         "the state cannot be written");
}

static void state_load(void)
{
    FILE *f = fopen(state_path, "re");
    counter_count = f ? (unsigned)fread(counters, sizeof(counters[0]), COUNTER_MAX, f) : 0;
    if (f)
        fclose(f);
}

/* "Sets if greater, returns the previous", on a condition if there is one. */
static uint64_t raise_counter(const uint8_t owner[32], const struct request *r)
{
    struct counter *c = NULL;
    for (unsigned i = 0; i < counter_count; i++)
        if (memcmp(counters[i].owner, owner, 32) == 0 && memcmp(counters[i].name, r->name, 16) == 0)
            c = &counters[i];
    uint64_t previous = c ? c->value : 0;
    if (r->value <= previous || ((r->flags & 1) && r->expected != previous))
        return previous;
    if (!c) {
        need(counter_count < COUNTER_MAX, "too many counters");
        c = &counters[counter_count++];
        memcpy(c->owner, owner, 32);
        memcpy(c->name, r->name, 16);
    }
    c->value = r->value;
    state_save();
    return previous;
}

/* ---- connections ---- */

static bool read_all(int fd, uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = read(fd, data, size);
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static int receive(int fd, uint8_t message[MESSAGE_MAX])
{
    uint8_t head[2];
    if (!read_all(fd, head, 2))
        return -1;
    int size = head[0] << 8 | head[1];
    return size <= MESSAGE_MAX && read_all(fd, message, (size_t)size) ? size : -1;
}

/* false: the connection is to end. */
static bool respond(int fd, const uint8_t *message, size_t size, uint8_t last[MESSAGE_MAX + 2], size_t *last_size)
{
    uint8_t framed[MESSAGE_MAX + 2] = {(uint8_t)(size >> 8), (uint8_t)size};
    memcpy(framed + 2, message, size);
    size += 2;
    pthread_mutex_lock(&lock);
    unsigned wait_ms = delay_ms;
    bool silent = hang, changed = forge, again = replay, cut = drop;
    drop = false;
    pthread_mutex_unlock(&lock);
    usleep(wait_ms * 1000);
    while (silent) {
        usleep(10000);
        pthread_mutex_lock(&lock);
        silent = hang;
        pthread_mutex_unlock(&lock);
        if (!silent)
            return false;
    }
    if (cut)
        return false;
    if (changed)
        framed[size - 1] ^= 1;
    bool old = again && *last_size > 0;
    ssize_t n = write(fd, old ? last : framed, old ? *last_size : size);
    memcpy(last, framed, size);
    *last_size = size;
    return n > 0;
}

static bool serve_request(int fd, struct attest_noise_channel *s, const uint8_t *message, int size, uint8_t *last,
                          size_t *last_size)
{
    struct request request;
    struct answer answer;
    uint8_t sealed[sizeof(answer) + 16];
    if (size != (int)sizeof(request) + 16 || attest_noise_open(s, message, sizeof(request), (uint8_t *)&request) < 0)
        return false;
    pthread_mutex_lock(&lock);
    request_count++;
    answer = (struct answer){.type = request.type, .status = request.type == 1 ? 0 : 1};
    if (request.type == 1)
        answer.previous = raise_counter(s->peer, &request) - lie;
    pthread_mutex_unlock(&lock);
    need(attest_noise_seal(s, (const uint8_t *)&answer, sizeof(answer), sealed) == 0, "no AES-GCM");
    return respond(fd, sealed, sizeof(sealed), last, last_size);
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg, one = 1;
    uint8_t message[MESSAGE_MAX], answer[48], last[MESSAGE_MAX + 2];
    size_t last_size = 0;
    struct attest_noise_channel session;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (receive(fd, message) == 96 && attest_noise_respond(own, "cofre counter 1", message, answer, &session) == 0) {
        pthread_mutex_lock(&lock);
        handshake_count++;
        pthread_mutex_unlock(&lock);
        bool good = respond(fd, answer, sizeof(answer), last, &last_size);
        for (int size; good && (size = receive(fd, message)) > 0;)
            good = serve_request(fd, &session, message, size, last, &last_size);
    }
    close(fd);
    return NULL;
}

/* ---- commands ---- */

static void list(void)
{
    for (unsigned i = 0; i < counter_count; i++) {
        printf("%llu ", (unsigned long long)counters[i].value);
        for (unsigned k = 0; k < 16; k++)
            printf("%02x", counters[i].name[k]);
        printf(" ");
        for (unsigned k = 0; k < 32; k++)
            printf("%02x", counters[i].owner[k]);
        printf("\n");
    }
}

static void command(const char *line)
{
    unsigned long long value = 0;
    char word[16] = "";
    sscanf(line, "%15s %llu", word, &value);
    if (strcmp(word, "delay") == 0)
        delay_ms = (unsigned)value;
    else if (strcmp(word, "hang") == 0)
        hang = true;
    else if (strcmp(word, "lie") == 0)
        lie = true;
    else if (strcmp(word, "forge") == 0)
        forge = true;
    else if (strcmp(word, "replay") == 0)
        replay = true;
    else if (strcmp(word, "drop") == 0)
        drop = true;
    else if (strcmp(word, "list") == 0)
        list();
    else if (strcmp(word, "stats") == 0)
        printf("%lu %lu\n", request_count, handshake_count);
    else if (strcmp(word, "run") == 0)
        hang = lie = forge = replay = drop = false, delay_ms = 0;
    else if (strcmp(word, "set") == 0)
        for (unsigned i = 0; i < counter_count; i++)
            counters[i].value = value;
    else
        printf("unknown ");
    printf("ok\n");
    fflush(stdout);
}

static void *commands(void *arg)
{
    char line[128];
    (void)arg;
    while (fgets(line, sizeof(line), stdin)) {
        pthread_mutex_lock(&lock);
        command(line);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* ---- start ---- */

static void key_load(void)
{
    char path[4096];
    uint8_t private[32];
    snprintf(path, sizeof(path), "%s.key", state_path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    need(fd >= 0, "the key cannot be opened");
    if (read(fd, private, 32) != 32) {
        need(RAND_bytes(private, 32) == 1 && pwrite(fd, private, 32, 0) == 32, "the key cannot be written");
    }
    close(fd);
    own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, sizeof(private));
    size_t size = sizeof(own_public);
    need(own && EVP_PKEY_get_raw_public_key(own, own_public, &size) == 1, "no X25519");
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"state", required_argument, 0, 's'}, {"port", required_argument, 0, 'p'}, {0}};
    int port = 0, one = 1;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        need(c != '?', "usage: counter --state FILE [--port N]");
        if (c == 's')
            state_path = optarg;
        else
            port = atoi(optarg);
    }
    need(state_path, "usage: counter --state FILE [--port N]");
    key_load();
    state_load();
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    need(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 16) == 0 &&
             getsockname(listener, (struct sockaddr *)&at, &size) == 0,
         "cannot listen");
    printf("%u ", ntohs(at.sin_port));
    for (unsigned i = 0; i < 32; i++)
        printf("%02x", own_public[i]);
    printf("\n");
    fflush(stdout);
    pthread_t thread;
    need(pthread_create(&thread, NULL, commands, NULL) == 0, "no thread");
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}
