/* A TLS client (contract in tls.h). The engine does not do I/O: here records are moved between it and who carries. */
#include <linux/errno.h>

#include "kernel/crypto/bearssl.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/tls/tls.h"

/*
 * Each primitive by name: the library's own choice of the quickest asks CPUID, which an enclave cannot execute, and so
 * do the files with AES instructions. These are in plain C, of constant time, and quick enough for short messages.
 */
static void engine_setup(struct tls_client *c)
{
    static const uint16_t suites[] = {BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                                      BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256};
    br_ssl_engine_context *e = &c->ssl.eng;
    br_ssl_client_zero(&c->ssl);
    br_ssl_engine_set_versions(e, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(e, suites, sizeof(suites) / sizeof(suites[0]));
    br_ssl_engine_set_hash(e, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(e, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_prf_sha256(e, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(e, &br_tls12_sha384_prf);
    br_ssl_engine_set_aes_ctr(e, &br_aes_ct64_ctr_vtable);
    br_ssl_engine_set_ghash(e, &br_ghash_ctmul64);
    br_ssl_engine_set_gcm(e, &br_sslrec_in_gcm_vtable, &br_sslrec_out_gcm_vtable);
    br_ssl_engine_set_ec(e, &br_ec_prime_i31);
    br_ssl_engine_set_ecdsa(e, &br_ecdsa_i31_vrfy_asn1);
    br_ssl_engine_add_flags(e, BR_OPT_NO_RENEGOTIATION);
    br_ssl_engine_set_buffer(e, c->records, sizeof(c->records), 0);
}

static void engine_set_keys(struct tls_client *c)
{
    const struct tls_identity *own = c->identity;
    const br_ec_public_key point = {c->peer_point_size == 65 ? BR_EC_secp256r1 : BR_EC_secp384r1, c->peer_point,
                                    c->peer_point_size};
    br_x509_knownkey_init_ec(&c->peer, &point, BR_KEYTYPE_SIGN);
    br_ssl_engine_set_x509(&c->ssl.eng, &c->peer.vtable);
    br_ssl_client_set_single_ec(&c->ssl, own->chain, own->count, &own->key, BR_KEYTYPE_SIGN, BR_KEYTYPE_EC,
                                &br_ec_prime_i31, &br_ecdsa_i31_sign_asn1);
}

/* Give the engine what has arrived, as far as it takes it, and collect what it has to send. Its state after that. */
static unsigned step(struct tls_client *c, size_t *ret_out_size)
{
    br_ssl_engine_context *e = &c->ssl.eng;
    struct bearssl_loan loan;
    size_t room, out_size = 0;
    unsigned char *buf;
    bearssl_begin(&loan);
    while (c->in_at < c->in_size && (buf = br_ssl_engine_recvrec_buf(e, &room))) {
        size_t n = MIN(room, c->in_size - c->in_at);
        memcpy(buf, c->in + c->in_at, n);
        c->in_at += n;
        br_ssl_engine_recvrec_ack(e, n);
    }
    while (out_size < sizeof(c->out) && (buf = br_ssl_engine_sendrec_buf(e, &room))) {
        size_t n = MIN(room, sizeof(c->out) - out_size);
        memcpy(c->out + out_size, buf, n);
        out_size += n;
        br_ssl_engine_sendrec_ack(e, n);
    }
    unsigned state = br_ssl_engine_current_state(e);
    bearssl_end(&loan);
    *ret_out_size = out_size;
    return state;
}

static int closed(struct tls_client *c)
{
    c->failure = br_ssl_engine_last_error(&c->ssl.eng);
    return c->failure == BR_ERR_OK ? -ECONNRESET : -EPROTO;
}

static int carry(struct tls_client *c, bool wait, size_t out_size)
{
    ssize_t n = c->carry(c->arg, c->fresh, wait, c->out, out_size, c->in);
    c->fresh = false;
    if (n < 0)
        return (int)n;
    if (wait && (n == 0 || n > (ssize_t)sizeof(c->in)))
        return -ECONNRESET;
    if (wait) {
        c->in_at = 0;
        c->in_size = (size_t)n;
    }
    return 0;
}

/* Send and receive until the engine is in a state where it has, or takes, application data. */
static int run_until(struct tls_client *c, unsigned wanted)
{
    for (;;) {
        size_t out_size;
        unsigned state = step(c, &out_size);
        if (state & BR_SSL_CLOSED)
            return closed(c);
        bool done = state & wanted, used_up = c->in_at == c->in_size;
        bool wait = !done && used_up && !(state & BR_SSL_SENDREC);
        if (out_size == 0 && done)
            return 0;
        if (!done && (state & BR_SSL_RECVAPP))
            return -EPROTO; /* it says something before it was asked */
        if (out_size == 0 && !used_up)
            return -EPROTO;
        int error = carry(c, wait, out_size);
        if (error < 0)
            return error;
    }
}

int tls_connect(struct tls_client *c)
{
    uint8_t seed[48];
    struct bearssl_loan loan;
    c->random(c->arg, seed, sizeof(seed));
    c->fresh = true;
    c->in_at = c->in_size = 0;
    c->failure = BR_ERR_OK;
    bearssl_begin(&loan);
    engine_setup(c);
    engine_set_keys(c);
    br_ssl_engine_inject_entropy(&c->ssl.eng, seed, sizeof(seed));
    int good = br_ssl_client_reset(&c->ssl, NULL, 0);
    bearssl_end(&loan);
    memory_wipe(seed, sizeof(seed));
    return good ? run_until(c, BR_SSL_SENDAPP) : closed(c);
}

int tls_write(struct tls_client *c, const void *data, size_t size)
{
    struct bearssl_loan loan;
    size_t room = 0;
    int error = run_until(c, BR_SSL_SENDAPP);
    if (error < 0)
        return error;
    bearssl_begin(&loan);
    unsigned char *buf = br_ssl_engine_sendapp_buf(&c->ssl.eng, &room);
    if (buf && room >= size) {
        memcpy(buf, data, size);
        br_ssl_engine_sendapp_ack(&c->ssl.eng, size);
        br_ssl_engine_flush(&c->ssl.eng, 0);
    }
    bearssl_end(&loan);
    ASSERT(buf && room >= size); /* a record holds 16384 bytes */
    return 0;
}

ssize_t tls_read(struct tls_client *c, void *ret_data, size_t max)
{
    struct bearssl_loan loan;
    size_t there;
    int error = run_until(c, BR_SSL_RECVAPP);
    if (error < 0)
        return error;
    bearssl_begin(&loan);
    const unsigned char *buf = br_ssl_engine_recvapp_buf(&c->ssl.eng, &there);
    size_t n = MIN(there, max);
    memcpy(ret_data, buf, n);
    br_ssl_engine_recvapp_ack(&c->ssl.eng, n);
    bearssl_end(&loan);
    return (ssize_t)n;
}
