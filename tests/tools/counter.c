/*
 * A counter service, for tests (docs/VOLUME-FORMAT.md, "The counter's protocol"): the responder of
 * Noise_IK_25519_AESGCM_SHA256 over TCP, written over OpenSSL alone, so that the kernel's side meets another's reading
 * of the specification.
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
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* ---- what OpenSSL does ---- */

static EVP_PKEY *key_of(const uint8_t private[32], uint8_t ret_public[32])
{
    size_t size = 32;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, 32);
    need(key && EVP_PKEY_get_raw_public_key(key, ret_public, &size) == 1, "no X25519");
    return key;
}

static bool agree(EVP_PKEY *mine, const uint8_t public[32], uint8_t ret_shared[32])
{
    size_t size = 32;
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public, 32);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(mine, NULL);
    bool good = peer && ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                EVP_PKEY_derive(ctx, ret_shared, &size) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    return good;
}

static void hash2(const void *a, size_t a_size, const void *b, size_t b_size, uint8_t ret_hash[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    need(ctx && EVP_DigestInit(ctx, EVP_sha256()) && EVP_DigestUpdate(ctx, a, a_size) &&
             EVP_DigestUpdate(ctx, b, b_size) && EVP_DigestFinal(ctx, ret_hash, NULL),
         "no SHA-256");
    EVP_MD_CTX_free(ctx);
}

/* HKDF(chaining_key, input, 2), as the Noise specification spells it out. */
static void noise_hkdf(const uint8_t chaining[32], const uint8_t *input, size_t size, uint8_t ret_keys[64])
{
    uint8_t temp[32], block[33];
    HMAC(EVP_sha256(), chaining, 32, input, size, temp, NULL);
    block[0] = 1;
    HMAC(EVP_sha256(), temp, 32, block, 1, ret_keys, NULL);
    memcpy(block, ret_keys, 32);
    block[32] = 2;
    HMAC(EVP_sha256(), temp, 32, block, 33, ret_keys + 32, NULL);
}

static void nonce_of(uint64_t n, uint8_t ret_nonce[12])
{
    memset(ret_nonce, 0, 4);
    for (unsigned i = 0; i < 8; i++)
        ret_nonce[4 + i] = (uint8_t)(n >> (56 - 8 * i));
}

static bool aead(bool seal, const uint8_t key[32], uint64_t n, const void *aad, int aad_size, const uint8_t *in,
                 int size, uint8_t *out, uint8_t tag[16])
{
    uint8_t nonce[12];
    int done;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    nonce_of(n, nonce);
    bool good = ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
                (aad_size == 0 || EVP_CipherUpdate(ctx, NULL, &done, aad, aad_size) == 1) &&
                (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1) &&
                (size == 0 || EVP_CipherUpdate(ctx, out, &done, in, size) == 1) &&
                EVP_CipherFinal_ex(ctx, out + size, &done) == 1 &&
                (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

/* ---- Noise_IK, the responder ---- */

struct state {
    uint8_t chaining[32], hash[32], key[32];
    uint64_t n;
};

struct session {
    uint8_t client[32], from_client[32], to_client[32];
    uint64_t received, sent;
};

static void mix_hash(struct state *s, const void *data, size_t size)
{
    hash2(s->hash, 32, data, size, s->hash);
}

static bool mix_key(struct state *s, EVP_PKEY *mine, const uint8_t public[32])
{
    uint8_t shared[32], keys[64];
    if (!agree(mine, public, shared))
        return false;
    noise_hkdf(s->chaining, shared, 32, keys);
    memcpy(s->chaining, keys, 32);
    memcpy(s->key, keys + 32, 32);
    s->n = 0;
    return true;
}

static bool decrypt_and_hash(struct state *s, const uint8_t *cipher, int size, uint8_t *plain)
{
    uint8_t tag[16], with_tag[64];
    memcpy(tag, cipher + size, 16);
    memcpy(with_tag, cipher, (size_t)size + 16);
    if (!aead(false, s->key, s->n++, s->hash, 32, cipher, size, plain, tag))
        return false;
    mix_hash(s, with_tag, (size_t)size + 16);
    return true;
}

static bool handshake(const uint8_t hello[96], uint8_t ret_answer[48], struct session *ret_session)
{
    static const char prologue[] = "cofre counter 1";
    struct state s = {.n = 0};
    uint8_t ephemeral_private[32], none[16], keys[64];
    memcpy(s.hash, "Noise_IK_25519_AESGCM_SHA256", 28);
    memcpy(s.chaining, s.hash, 32);
    mix_hash(&s, prologue, strlen(prologue));
    mix_hash(&s, own_public, 32);
    mix_hash(&s, hello, 32);
    if (!mix_key(&s, own, hello) || !decrypt_and_hash(&s, hello + 32, 32, ret_session->client) ||
        !mix_key(&s, own, ret_session->client) || !decrypt_and_hash(&s, hello + 80, 0, none))
        return false;
    need(RAND_bytes(ephemeral_private, 32) == 1, "no random numbers");
    EVP_PKEY *ephemeral = key_of(ephemeral_private, ret_answer);
    mix_hash(&s, ret_answer, 32);
    bool good = mix_key(&s, ephemeral, hello) && mix_key(&s, ephemeral, ret_session->client) &&
                aead(true, s.key, s.n, s.hash, 32, NULL, 0, none, ret_answer + 32);
    EVP_PKEY_free(ephemeral);
    noise_hkdf(s.chaining, NULL, 0, keys);
    memcpy(ret_session->from_client, keys, 32);
    memcpy(ret_session->to_client, keys + 32, 32);
    ret_session->received = ret_session->sent = 0;
    return good;
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

static bool serve_request(int fd, struct session *s, const uint8_t *message, int size, uint8_t *last, size_t *last_size)
{
    struct request request;
    struct answer answer;
    uint8_t tag[16], sealed[sizeof(answer) + 16];
    if (size != (int)sizeof(request) + 16)
        return false;
    memcpy(tag, message + sizeof(request), 16);
    if (!aead(false, s->from_client, s->received++, NULL, 0, message, sizeof(request), (uint8_t *)&request, tag))
        return false;
    pthread_mutex_lock(&lock);
    request_count++;
    answer = (struct answer){.type = request.type, .status = request.type == 1 ? 0 : 1};
    if (request.type == 1)
        answer.previous = raise_counter(s->client, &request) - lie;
    pthread_mutex_unlock(&lock);
    need(aead(true, s->to_client, s->sent++, NULL, 0, (uint8_t *)&answer, sizeof(answer), sealed,
              sealed + sizeof(answer)),
         "no AES-GCM");
    return respond(fd, sealed, sizeof(sealed), last, last_size);
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg, one = 1;
    uint8_t message[MESSAGE_MAX], answer[48], last[MESSAGE_MAX + 2];
    size_t last_size = 0;
    struct session session;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (receive(fd, message) == 96 && handshake(message, answer, &session)) {
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
    own = key_of(private, own_public);
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
