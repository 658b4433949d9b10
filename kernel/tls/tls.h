/*
 * A TLS 1.2 client whose peer has a pinned public key and which has a certificate of its own: BearSSL's engine, over
 * bytes that someone carries who is not trusted. Suites: ECDHE-ECDSA with AES-GCM. The peer's certificate is not looked
 * at: who has the pinned key is the peer, whatever its certificate says, until when.
 */
#ifndef COFRE_KERNEL_TLS_TLS_H
#define COFRE_KERNEL_TLS_TLS_H

#include <bearssl/bearssl_ssl.h>

#include "kernel/lib/types.h"

#define TLS_CHUNK 2048U /* bytes that are carried at once, at most */
#define TLS_CHAIN_MAX 4U
#define TLS_CHAIN_SIZE 8192U     /* bytes of all its certificates */
#define TLS_POINT_MAX 97U        /* uncompressed point: 65 bytes on P-256, 97 on P-384 */
#define TLS_SCALAR_SIZE 48U      /* private key on P-384, the more significant byte first */
#define TLS_IDENTITY_SIZE 16384U /* of the text of an identity, at most */

/* Who this side is: certificates, its own first, and the private key to that one. */
struct tls_identity {
    br_x509_certificate chain[TLS_CHAIN_MAX];
    size_t count;
    br_ec_private_key key;
    uint8_t scalar[TLS_SCALAR_SIZE];
    uint8_t certificates[TLS_CHAIN_SIZE];
    size_t used; /* of certificates */
};

/*
 * From PEM: CERTIFICATE, and the key as PRIVATE KEY or EC PRIVATE KEY, on P-384. With a scalar that is the key, and one
 * in the text is passed over. 0; -EINVAL: no PEM, or no or too many certificates; -ENOKEY: no key, or none on P-384.
 * What is in the certificates is not looked at. identity is self-referential: it must not be moved. It is a secret.
 */
must_check int tls_identity_parse(struct tls_identity *identity, const char *text, size_t size, const uint8_t *scalar);

/*
 * Send size bytes (perhaps none), over a new connection if `fresh` is set; then, if `wait` is set, receive at least one
 * byte and at most TLS_CHUNK. How many, or 0 if nothing is waited for; negative errno. May sleep.
 */
typedef ssize_t (*tls_carry_fn)(void *arg, bool fresh, bool wait, const void *bytes, size_t size, void *ret_bytes);

struct tls_client {
    tls_carry_fn carry;
    void (*random)(void *arg, void *buf, size_t size);
    void *arg;
    const struct tls_identity *identity;
    uint8_t peer_point[TLS_POINT_MAX];
    size_t peer_point_size;
    int failure; /* why the last -EPROTO: BR_ERR_...; + 256: an alert of the peer */
    /* private */
    br_ssl_client_context ssl;
    br_x509_knownkey_context peer;
    bool fresh;
    uint8_t in[TLS_CHUNK], out[TLS_CHUNK];
    size_t in_at, in_size;
    uint8_t records[BR_SSL_BUFSIZE_MONO];
};

/* A new connection and its handshake. 0; -EPROTO: not the peer, or not in order; or what carry() said. */
must_check int tls_connect(struct tls_client *client);
/* Send all of it, at most 4096 bytes, with the next tls_read(). As tls_connect(). */
must_check int tls_write(struct tls_client *client, const void *data, size_t size);
/* At least one byte of what the peer sends, at most `max`. -ECONNRESET: it has ended; else as tls_connect(). */
must_check ssize_t tls_read(struct tls_client *client, void *ret_data, size_t max);

#endif
