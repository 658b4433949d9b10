/* What `cofre ra-tls` sets up of its options: the identity that this side shows, and how it verifies the peer. */
#ifndef COFRE_CLI_RA_TLS_CHANNEL_H
#define COFRE_CLI_RA_TLS_CHANNEL_H

#include <openssl/ssl.h>

#include "attest/ratls_verify.h"
#include "cli/ra_tls_options.h"

struct ra_tls_channel; /* may be used by several threads */

/* NULL with *ret_error. method: TLS_client_method() or TLS_server_method(). */
struct ra_tls_channel *ra_tls_channel_new(const struct ra_tls_options *options, const SSL_METHOD *method,
                                          char **ret_error);
void ra_tls_channel_free(struct ra_tls_channel *channel);

/* A connection on a descriptor, with a certificate not older than renew_hours. NULL with *ret_error. */
SSL *ra_tls_channel_ssl(struct ra_tls_channel *channel, int fd, char **ret_error);

/* Makes a certificate with evidence for the key of the options, or a fresh one. */
int ra_tls_identity(const struct ra_tls_options *options, EVP_PKEY **ret_key, X509 **ret_certificate, char **ret_error);

/* A private key of a PEM file. */
EVP_PKEY *ra_tls_key_load(const char *path, char **ret_error);

/* Roots, collateral and policy of the options. */
struct attest_store *ra_tls_store_new(const struct ra_tls_options *options, char **ret_error);

#endif
