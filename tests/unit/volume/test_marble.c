/* MarbleRun's counter: what answers are taken for, certificates and keys read, and TLS against OpenSSL's server. */
#include <linux/errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "kernel/volume/marble.h"

#include <cmocka.h>

/* ---- answers ---- */

#define OK "HTTP/1.1 200 OK\r\n"
#define GOOD "{\"status\":\"success\",\"data\":{\"value\":17}}\n"

static int parse(const char *text, struct marble_answer *ret_answer)
{
    char copy[2 * MARBLE_ANSWER_MAX];
    size_t size = strlen(text);
    memset(copy, 'x', sizeof(copy));
    memcpy(copy, text, size);
    return marble_answer_parse(copy, size, ret_answer);
}

static int parse_body(const char *body, struct marble_answer *ret_answer)
{
    char text[2 * MARBLE_ANSWER_MAX];
    snprintf(text, sizeof(text), OK "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    return parse(text, ret_answer);
}

static void test_answers(void **state)
{
    (void)state;
    static const char *const good[] = {
        (OK "Content-Length: 41\r\n\r\n" GOOD),
        (OK "content-length:41\r\n\r\n" GOOD),
        (OK "Content-Type: application/json\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length:  41 "
            "\t\r\n\r\n" GOOD),
        ("HTTP/1.1 200\r\nContent-Length: 41\r\nConnection: keep-alive\r\n\r\n" GOOD),
    };
    struct marble_answer answer;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        size_t size = strlen(good[i]);
        assert_int_equal(marble_answer_parse(good[i], size, &answer), 0);
        assert_true(answer.status == 200 && !answer.last && answer.value == 17);
        for (size_t n = 0; n < size; n++) /* however it arrives */
            assert_int_equal(marble_answer_parse(good[i], n, &answer), -EAGAIN);
    }
    assert_int_equal(parse(OK "Connection: close\r\nContent-Length: 41\r\n\r\n" GOOD, &answer), 0);
    assert_true(answer.last);
    assert_int_equal(parse("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope", &answer), 0);
    assert_int_equal(answer.status, 403);
    assert_int_equal(parse_body("{\"status\":\"success\",\"data\":{\"value\":18446744073709551615}}", &answer), 0);
    assert_true(answer.value == UINT64_MAX);
    assert_int_equal(parse_body(" { \"more\":[1,{\"value\":3}], \"data\" : {\"a\":{\"value\":2},\"value\":0} ,"
                                "\"message\":\"\", \"status\":\"success\" }\r\n",
                                &answer),
                     0);
    assert_true(answer.value == 0);
}

static void test_bad_answers(void **state)
{
    (void)state;
    static const char *const heads[] = {
        ("HTTP/1.0 200 OK\r\nContent-Length: 41\r\n\r\n" GOOD),
        ("HTTP/1.1 20 OK\r\nContent-Length: 41\r\n\r\n" GOOD),
        ("HTTP/1.1 2000 OK\r\nContent-Length: 41\r\n\r\n" GOOD),
        "HTTP/1.1 100 Continue\r\n\r\n",
        ("HTTP/1.1  200 OK\r\nContent-Length: 41\r\n\r\n" GOOD),
        "SSH-2.0-x\r\n",
        "\x15\x03\x03",
        (OK "\r\n" GOOD),                                             /* no length */
        (OK "Content-Length: 41\r\nContent-Length: 41\r\n\r\n" GOOD), /* two */
        (OK "Content-Length: +41\r\n\r\n" GOOD),
        (OK "Content-Length: 041\r\n\r\n" GOOD),
        (OK "Content-Length: 41, 41\r\n\r\n" GOOD),
        (OK "Content-Length: 18446744073709551657\r\n\r\n" GOOD),
        (OK "Content-Length: 4294967337\r\n\r\n" GOOD),
        (OK "Content-Length: 40\r\n\r\n" GOOD), /* something behind it */
        (OK "Content-Length: 41\r\nTransfer-Encoding: chunked\r\n\r\n" GOOD),
        (OK "Content-Length 41\r\n\r\n" GOOD),
        (OK ": 41\r\nContent-Length: 41\r\n\r\n" GOOD),
        (OK "Content-Length : 41\r\n\r\n" GOOD),
        (OK "A: b\r\n c\r\nContent-Length: 41\r\n\r\n" GOOD), /* a folded line */
        (OK "A: b\nContent-Length: 41\r\n\r\n" GOOD),
        (OK "A: b\rContent-Length: 41\r\n\r\n" GOOD),
        (OK "A: \x01\r\nContent-Length: 41\r\n\r\n" GOOD),
    };
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "17",
        "null",
        "{\"status\":\"success\"}",
        "{\"status\":\"success\",\"data\":null}",
        "{\"status\":\"success\",\"data\":{}}",
        "{\"status\":\"success\",\"data\":{\"value\":null}}",
        "{\"status\":\"success\",\"data\":{\"value\":\"17\"}}",
        "{\"status\":\"success\",\"data\":{\"value\":-1}}",
        "{\"status\":\"success\",\"data\":{\"value\":1.0}}",
        "{\"status\":\"success\",\"data\":{\"value\":1e3}}",
        "{\"status\":\"success\",\"data\":{\"value\":017}}",
        "{\"status\":\"success\",\"data\":{\"value\":18446744073709551616}}",
        "{\"status\":\"success\",\"data\":{\"value\":1,\"value\":2}}",
        "{\"status\":\"success\",\"status\":\"success\",\"data\":{\"value\":1}}",
        "{\"status\":\"success\",\"data\":{\"value\":1},\"data\":{\"value\":1}}",
        "{\"status\":\"error\",\"data\":{\"value\":1}}",
        "{\"status\":success,\"data\":{\"value\":1}}",
        "{\"status\":\"success\",\"data\":[{\"value\":1}]}",
        "{\"status\":\"success\",\"data\":{\"x\":{\"value\":1}}}",
        "{\"status\":\"success\",\"data\":{\"value\":1}} {}",
        "{\"status\":\"success\",\"data\":{\"value\":1}",
        "{\"status\":\"success\",\"data\":{\"value\":1}}x",
        "\"status\"",
        "{\"status\":\"success\",\"data\":\"value\"}",
    };
    struct marble_answer answer;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        assert_int_equal(parse(heads[i], &answer), -EPROTO);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        assert_int_equal(parse_body(bodies[i], &answer), -EPROTO);
    char big[2 * MARBLE_ANSWER_MAX]; /* a head without end, and a body too large */
    memset(big, 'a', sizeof(big));
    memcpy(big, OK "A: ", sizeof(OK) + 2);
    assert_int_equal(marble_answer_parse(big, MARBLE_ANSWER_MAX - 1, &answer), -EAGAIN);
    assert_int_equal(marble_answer_parse(big, MARBLE_ANSWER_MAX, &answer), -EPROTO);
    assert_int_equal(parse(OK "Content-Length: 4096\r\n\r\n", &answer), -EPROTO);
    memset(big, '[', sizeof(big)); /* deeper than there are tokens for */
    big[100] = 0;
    assert_int_equal(parse_body(big, &answer), -EPROTO);
}

/* ---- identities ---- */

struct person {
    EVP_PKEY *key;
    X509 *certificate;
    uint8_t scalar[TLS_SCALAR_SIZE];
    char pem[TLS_IDENTITY_SIZE];
    size_t size, chain_size; /* of all, of the certificate alone */
};

static void person_make(struct person *p, const char *group)
{
    BIGNUM *scalar = NULL;
    p->key = EVP_EC_gen(group);
    p->certificate = X509_new();
    X509_set_version(p->certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p->certificate), 7);
    X509_gmtime_adj(X509_getm_notBefore(p->certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(p->certificate), -3600); /* nobody looks */
    X509_NAME_add_entry_by_txt(X509_get_subject_name(p->certificate), "CN", MBSTRING_ASC, (const uint8_t *)"x", -1, -1,
                               0);
    X509_set_issuer_name(p->certificate, X509_get_subject_name(p->certificate));
    X509_set_pubkey(p->certificate, p->key);
    assert_true(X509_sign(p->certificate, p->key, EVP_sha384()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, p->certificate);
    p->chain_size = (size_t)BIO_pending(bio);
    PEM_write_bio_PKCS8PrivateKey(bio, p->key, NULL, NULL, 0, NULL, NULL);
    p->size = (size_t)BIO_read(bio, p->pem, sizeof(p->pem));
    BIO_free(bio);
    assert_true(EVP_PKEY_get_bn_param(p->key, "priv", &scalar));
    BN_bn2binpad(scalar, p->scalar, sizeof(p->scalar));
    BN_free(scalar);
}

static void person_free(struct person *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->certificate);
}

static struct person own, server, other;

static int make_people(void **state)
{
    (void)state;
    person_make(&own, "P-384");
    person_make(&server, "P-384");
    person_make(&other, "P-256");
    return 0;
}

static int free_people(void **state)
{
    (void)state;
    person_free(&own);
    person_free(&server);
    person_free(&other);
    return 0;
}

static void test_identity(void **state)
{
    (void)state;
    static struct tls_identity identity;
    unsigned char *der = NULL;
    int der_size = i2d_X509(own.certificate, &der);
    assert_int_equal(tls_identity_parse(&identity, own.pem, own.size, NULL), 0);
    assert_int_equal(identity.count, 1);
    assert_int_equal(identity.chain[0].data_len, der_size);
    assert_memory_equal(identity.chain[0].data, der, der_size);
    assert_memory_equal(identity.scalar, own.scalar, sizeof(own.scalar));
    assert_int_equal(tls_identity_parse(&identity, own.pem, own.size - 1, NULL), 0); /* its last line has no end */
    assert_int_equal(tls_identity_parse(&identity, own.pem, own.chain_size, own.scalar), 0);
    assert_memory_equal(identity.scalar, own.scalar, sizeof(own.scalar));
    assert_int_equal(tls_identity_parse(&identity, own.pem, own.size, server.scalar), 0); /* the key given counts */
    assert_memory_equal(identity.scalar, server.scalar, sizeof(own.scalar));

    assert_int_equal(tls_identity_parse(&identity, own.pem, own.chain_size, NULL), -ENOKEY);
    assert_int_equal(tls_identity_parse(&identity, other.pem, other.size, NULL), -ENOKEY); /* not on P-384 */
    assert_int_equal(tls_identity_parse(&identity, own.pem + own.chain_size, own.size - own.chain_size, NULL), -EINVAL);
    assert_int_equal(tls_identity_parse(&identity, "", 0, own.scalar), -EINVAL);
    assert_int_equal(tls_identity_parse(&identity, "nonsense\n", 9, own.scalar), -EINVAL);
    size_t end = (size_t)(strstr(own.pem, "-----END") - own.pem);
    for (size_t n = 0; n < end; n++)
        assert_int_equal(tls_identity_parse(&identity, own.pem, n, own.scalar), -EINVAL);
    static char many[5 * TLS_IDENTITY_SIZE];
    for (size_t i = 0; i < TLS_CHAIN_MAX + 1; i++)
        memcpy(many + i * own.chain_size, own.pem, own.chain_size);
    assert_int_equal(tls_identity_parse(&identity, many, TLS_CHAIN_MAX * own.chain_size, own.scalar), 0);
    assert_int_equal(identity.count, TLS_CHAIN_MAX);
    assert_int_equal(tls_identity_parse(&identity, many, (TLS_CHAIN_MAX + 1) * own.chain_size, own.scalar), -EINVAL);
    unsigned char sec1[1024] = {0}, *at = sec1; /* a key as such, and with more behind it than its decoder wants */
    int sec1_size = i2d_PrivateKey(own.key, &at);
    for (int extra = 0; extra <= 512; extra += 512) {
        unsigned char base64[2048];
        EVP_EncodeBlock(base64, sec1, sec1_size + extra);
        int size = snprintf(many + own.chain_size, sizeof(many) - own.chain_size,
                            "-----BEGIN EC PRIVATE KEY-----\n%s\n-----END EC PRIVATE KEY-----\n", base64);
        assert_int_equal(tls_identity_parse(&identity, many, own.chain_size + (size_t)size, NULL), extra ? -ENOKEY : 0);
        assert_true(extra || memcmp(identity.scalar, own.scalar, sizeof(own.scalar)) == 0);
    }
    static const char empty[] = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    assert_int_equal(tls_identity_parse(&identity, empty, sizeof(empty) - 1, own.scalar), -EINVAL);
    OPENSSL_free(der);
}

/* ---- a server ---- */

struct line {
    SSL_CTX *context;
    SSL *ssl;
    BIO *to, *from;
    X509 *seen; /* the client's */
    uint64_t value;
    unsigned requests, connections;
    /* how it misbehaves */
    size_t chunk;     /* bytes at once */
    size_t flip, cut; /* the byte of what is sent that is changed, where the line ends; SIZE_MAX: none */
    size_t sent;
    bool close_after; /* an answer */
    const char *answer;
};

static int take_any(int good, X509_STORE_CTX *context)
{
    (void)good;
    (void)context;
    return 1; /* as Go's RequestClientCert */
}

static void line_open(struct line *l, const struct person *who)
{
    *l = (struct line){.chunk = TLS_CHUNK, .flip = SIZE_MAX, .cut = SIZE_MAX};
    l->context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_verify(l->context, SSL_VERIFY_PEER, take_any);
    assert_true(SSL_CTX_use_certificate(l->context, who->certificate) == 1 &&
                SSL_CTX_use_PrivateKey(l->context, who->key) == 1);
}

static void line_close(struct line *l)
{
    SSL_free(l->ssl);
    X509_free(l->seen);
    SSL_CTX_free(l->context);
}

static void line_renew(struct line *l)
{
    SSL_free(l->ssl);
    l->ssl = SSL_new(l->context);
    l->to = BIO_new(BIO_s_mem());
    l->from = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(l->to, -1);
    SSL_set_bio(l->ssl, l->to, l->from);
    SSL_set_accept_state(l->ssl);
    l->connections++;
}

static void serve_request(struct line *l, const char *text)
{
    char body[128], answer[512];
    const char *json = strstr(text, "\r\n\r\n"), *value = json ? strstr(json, "\"value\":") : NULL;
    static const char head[] = "POST /api/v2/monotonic-counter HTTP/1.1\r\nHost: 10.0.0.1:4433\r\n";
    assert_true(strncmp(text, head, sizeof(head) - 1) == 0 && value);
    assert_true(strstr(json, "{\"name\":\"cofre-volume-") == json + 4);
    uint64_t asked = strtoull(value + 8, NULL, 10), previous = l->value;
    l->requests++;
    if (asked > previous)
        l->value = asked;
    snprintf(body, sizeof(body), "{\"status\":\"success\",\"data\":{\"value\":%llu}}\n", (unsigned long long)previous);
    snprintf(answer, sizeof(answer), OK "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    if (l->answer)
        snprintf(answer, sizeof(answer), "%s", l->answer);
    SSL_write(l->ssl, answer, (int)strlen(answer));
    if (l->close_after)
        SSL_shutdown(l->ssl);
}

static ssize_t line_carry(void *arg, bool fresh, bool wait, const void *bytes, size_t size, void *ret_bytes)
{
    struct line *l = arg;
    char text[4096];
    if (fresh)
        line_renew(l);
    BIO_write(l->to, bytes, (int)size);
    if (!wait)
        return 0;
    int n = SSL_read(l->ssl, text, sizeof(text) - 1);
    if (n > 0) {
        text[n] = 0;
        serve_request(l, text);
    }
    if (!l->seen && SSL_is_init_finished(l->ssl))
        l->seen = SSL_get1_peer_certificate(l->ssl);
    size_t room = l->cut - l->sent < l->chunk ? l->cut - l->sent : l->chunk;
    int got = room > 0 ? BIO_read(l->from, ret_bytes, (int)room) : 0;
    if (got <= 0)
        return -ECONNRESET; /* nothing more will come */
    if (l->flip - l->sent < (size_t)got)
        ((uint8_t *)ret_bytes)[l->flip - l->sent] ^= 1;
    l->sent += (size_t)got;
    return got;
}

static void fill(void *arg, void *buf, size_t size)
{
    static uint8_t next;
    (void)arg;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = ++next;
}

static struct tls_identity own_identity;

static void counter_open(struct marble_counter *c, struct line *l, const struct person *peer)
{
    memset(c, 0, sizeof(*c));
    assert_int_equal(tls_identity_parse(&own_identity, own.pem, own.size, NULL), 0);
    c->tls.carry = line_carry;
    c->tls.random = fill;
    c->tls.arg = l;
    c->tls.identity = &own_identity;
    c->host = "10.0.0.1:4433";
    assert_true(EVP_PKEY_get_octet_string_param(peer->key, "pub", c->tls.peer_point, sizeof(c->tls.peer_point),
                                                &c->tls.peer_point_size));
}

static const struct volume_anchor_key key = {.uuid = "uuid", .secret = "secret"};
static struct marble_counter counter;

static void test_counter(void **state)
{
    (void)state;
    struct line l;
    uint64_t previous;
    const struct person *servers[] = {&server, &other}; /* on either curve */
    for (unsigned i = 0; i < 4; i++) {
        line_open(&l, servers[i % 2]);
        counter_open(&counter, &l, servers[i % 2]);
        if (i >= 2)
            l.chunk = 1; /* a byte at a time */
        assert_int_equal(marble_raise(&counter, &key, 5, &previous), 0);
        assert_int_equal(previous, 0);
        assert_int_equal(marble_raise(&counter, &key, 0, &previous), 0);
        assert_int_equal(previous, 5);
        assert_int_equal(marble_raise(&counter, &key, UINT64_MAX - 1, &previous), 0);
        assert_int_equal(l.connections, 1);
        assert_true(l.value == UINT64_MAX - 1 && l.seen && X509_cmp(l.seen, own.certificate) == 0);
        line_close(&l);
    }
}

static void test_connections(void **state)
{
    (void)state;
    struct line l;
    uint64_t previous;
    line_open(&l, &server);
    counter_open(&counter, &l, &server);
    l.close_after = true; /* it has ended when the next one wants it */
    assert_int_equal(marble_raise(&counter, &key, 1, &previous), 0);
    assert_int_equal(marble_raise(&counter, &key, 2, &previous), -ECONNRESET);
    assert_int_equal(marble_raise(&counter, &key, 2, &previous), 0);
    assert_int_equal(l.connections, 2);
    l.close_after = false;
    l.answer = OK "Connection: close\r\nContent-Length: 41\r\n\r\n" GOOD; /* it says so itself */
    counter.open = false;
    assert_int_equal(marble_raise(&counter, &key, 3, &previous), 0);
    assert_int_equal(marble_raise(&counter, &key, 4, &previous), 0);
    assert_int_equal(l.connections, 4);
    static const struct {
        const char *answer;
        int error;
    } bad[] = {
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", -EACCES},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", -EACCES},
        {"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n", -EACCES},
        {"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", -EIO},
        {"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", -EIO},
        {"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", -EIO},
        {"garbage", -ECONNRESET},
        {"garbage\r\n", -EPROTO},
        {OK "Content-Length: 40\r\n\r\n" GOOD, -EPROTO},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        l.answer = bad[i].answer;
        assert_int_equal(marble_raise(&counter, &key, 5, &previous), bad[i].error);
        assert_false(counter.open);
    }
    l.answer = NULL;
    assert_int_equal(marble_raise(&counter, &key, 9, &previous), 0);
    line_close(&l);
}

/* Whoever has not the pinned key, or speaks another version, is not the coordinator; nothing of ours reaches it. */
static void test_pinned(void **state)
{
    (void)state;
    struct line l;
    uint64_t previous;
    line_open(&l, &own); /* another marble, say */
    counter_open(&counter, &l, &server);
    assert_int_equal(marble_raise(&counter, &key, 1, &previous), -EPROTO);
    assert_int_equal(counter.tls.failure, BR_ERR_BAD_SIGNATURE);
    assert_int_equal(l.requests, 0);
    line_close(&l);
    line_open(&l, &other); /* of another curve */
    counter_open(&counter, &l, &server);
    assert_int_equal(marble_raise(&counter, &key, 1, &previous), -EPROTO);
    line_close(&l);
    static const int versions[] = {TLS1_3_VERSION, TLS1_1_VERSION};
    for (unsigned i = 0; i < 2; i++) {
        line_open(&l, &server);
        SSL_CTX_set_security_level(l.context, 0);
        assert_true(SSL_CTX_set_min_proto_version(l.context, versions[i]) == 1 &&
                    SSL_CTX_set_max_proto_version(l.context, versions[i]) == 1);
        counter_open(&counter, &l, &server);
        assert_int_equal(marble_raise(&counter, &key, 1, &previous), -EPROTO);
        assert_int_equal(l.requests, 0);
        line_close(&l);
    }
    line_open(&l, &server); /* a key that is not the certificate's: the server notices */
    counter_open(&counter, &l, &server);
    assert_int_equal(tls_identity_parse(&own_identity, own.pem, own.size, server.scalar), 0);
    assert_int_equal(marble_raise(&counter, &key, 1, &previous), -EPROTO);
    assert_true(counter.tls.failure >= BR_ERR_RECV_FATAL_ALERT && l.requests == 0);
    line_close(&l);
}

/* Whatever is changed on the way, and wherever the line ends: an error, or the truth; and the next request works. */
static void test_line(void **state)
{
    (void)state;
    unsigned failed = 0, runs = 0;
    for (unsigned how = 0; how < 2; how++) {
        size_t total = 1;
        for (size_t at = 0; at < total; at += 1 + at / 16) {
            struct line l;
            uint64_t previous = 77;
            line_open(&l, &server);
            counter_open(&counter, &l, &server);
            *(how ? &l.cut : &l.flip) = at;
            int err = marble_raise(&counter, &key, 5, &previous);
            assert_true(err == 0 ? previous == 0 : err == -EPROTO || err == -ECONNRESET);
            failed += err < 0;
            runs++;
            if (at == 0)
                total = 1200; /* of the server's flights */
            l.flip = l.cut = SIZE_MAX;
            uint64_t stands = l.value;
            err = marble_raise(&counter, &key, 6, &previous);
            if (err < 0)
                err = marble_raise(&counter, &key, 6, &previous);
            assert_int_equal(err, 0);
            assert_true(previous == stands || previous == 6);
            line_close(&l);
        }
    }
    assert_true(failed > runs / 2);
}

static void test_name(void **state)
{
    (void)state;
    struct volume_anchor_key other_key = key;
    char a[MARBLE_NAME_SIZE], b[MARBLE_NAME_SIZE];
    marble_counter_name(&key, a);
    assert_int_equal(strlen(a), 45);
    marble_counter_name(&other_key, b);
    assert_string_equal(a, b);
    other_key.uuid[15] ^= 1;
    marble_counter_name(&other_key, b);
    assert_string_not_equal(a, b);
    other_key = key;
    other_key.secret[31] ^= 1;
    marble_counter_name(&other_key, b);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers), cmocka_unit_test(test_bad_answers), cmocka_unit_test(test_identity),
        cmocka_unit_test(test_counter), cmocka_unit_test(test_connections), cmocka_unit_test(test_pinned),
        cmocka_unit_test(test_line),    cmocka_unit_test(test_name),
    };
    return cmocka_run_group_tests_name("marble", tests, make_people, free_people);
}
