/* Who a TLS client is, from PEM (contract in tls.h). */
#include <linux/errno.h>

#include <bearssl/bearssl_pem.h>

#include "kernel/crypto/bearssl.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/string.h"
#include "kernel/tls/tls.h"

struct reader {
    struct tls_identity *identity;
    br_pem_decoder_context pem;
    br_skey_decoder_context key;
    enum { OTHER, CERTIFICATE, KEY } object;
    bool wants_key;
    int error;
};

static void add_certificate_bytes(void *arg, const void *bytes, size_t size)
{
    struct reader *r = arg;
    struct tls_identity *identity = r->identity;
    if (identity->count == TLS_CHAIN_MAX || size > sizeof(identity->certificates) - identity->used) {
        r->error = -EINVAL;
        return;
    }
    memcpy(identity->certificates + identity->used, bytes, size);
    identity->used += size;
    identity->chain[identity->count].data_len += size;
}

/* The decoder takes nothing more once it is done: the next byte would make it follow a null pointer. */
static void add_key_bytes(void *arg, const void *bytes, size_t size)
{
    struct reader *r = arg;
    if (br_skey_decoder_last_error(&r->key) == BR_ERR_X509_TRUNCATED)
        br_skey_decoder_push(&r->key, bytes, size);
    else
        r->error = -ENOKEY;
}

static void begin_object(struct reader *r)
{
    const char *name = br_pem_decoder_name(&r->pem);
    struct tls_identity *identity = r->identity;
    r->object = OTHER;
    if (strcmp(name, "CERTIFICATE") == 0) {
        r->object = CERTIFICATE;
        if (identity->count < TLS_CHAIN_MAX)
            identity->chain[identity->count] = (br_x509_certificate){identity->certificates + identity->used, 0};
    } else if (r->wants_key && (strcmp(name, "PRIVATE KEY") == 0 || strcmp(name, "EC PRIVATE KEY") == 0)) {
        r->object = KEY;
        br_skey_decoder_init(&r->key);
    }
    br_pem_decoder_setdest(&r->pem,
                           r->object == CERTIFICATE ? add_certificate_bytes
                           : r->object == KEY       ? add_key_bytes
                                                    : NULL,
                           r);
}

static void take_key(struct reader *r)
{
    const br_ec_private_key *key = br_skey_decoder_last_error(&r->key) == 0 ? br_skey_decoder_get_ec(&r->key) : NULL;
    if (!key || key->curve != BR_EC_secp384r1 || key->xlen > TLS_SCALAR_SIZE) {
        r->error = -ENOKEY;
        return;
    }
    memcpy(r->identity->scalar + TLS_SCALAR_SIZE - key->xlen, key->x, key->xlen);
    r->wants_key = false;
}

static void end_object(struct reader *r)
{
    struct tls_identity *identity = r->identity;
    if (r->object == KEY)
        take_key(r);
    else if (r->object == CERTIFICATE && identity->count < TLS_CHAIN_MAX && identity->chain[identity->count].data_len)
        identity->count++;
    else if (r->object == CERTIFICATE)
        r->error = -EINVAL;
}

static void read_text(struct reader *r, const char *text, size_t size)
{
    while (size > 0 && r->error == 0) {
        size_t n = br_pem_decoder_push(&r->pem, text, size);
        text += n;
        size -= n;
        switch (br_pem_decoder_event(&r->pem)) {
        case BR_PEM_BEGIN_OBJ:
            begin_object(r);
            break;
        case BR_PEM_END_OBJ:
            end_object(r);
            r->object = OTHER;
            break;
        case BR_PEM_ERROR:
            r->error = -EINVAL;
            break;
        default:
            break;
        }
    }
}

int tls_identity_parse(struct tls_identity *identity, const char *text, size_t size, const uint8_t *scalar)
{
    struct reader r = {.identity = identity, .wants_key = !scalar};
    struct bearssl_loan loan;
    *identity = (struct tls_identity){.key = {BR_EC_secp384r1, identity->scalar, TLS_SCALAR_SIZE}};
    if (scalar)
        memcpy(identity->scalar, scalar, TLS_SCALAR_SIZE);
    bearssl_begin(&loan);
    br_pem_decoder_init(&r.pem);
    read_text(&r, text, size);
    read_text(&r, "\n", 1); /* the last line may lack its end */
    bearssl_end(&loan);
    int error = r.error;
    if (error == 0 && (r.object != OTHER || identity->count == 0))
        error = -EINVAL;
    if (error == 0 && r.wants_key)
        error = -ENOKEY;
    memory_wipe(&r, sizeof(r));
    if (error < 0)
        memory_wipe(identity->scalar, sizeof(identity->scalar));
    return error;
}
