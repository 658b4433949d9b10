/* Connections of `cofre ra-tls`: handshakes with an end, and bytes carried between TLS and a plain connection. */
#ifndef COFRE_CLI_RA_TLS_RELAY_H
#define COFRE_CLI_RA_TLS_RELAY_H

#include <openssl/ssl.h>
#include <stdbool.h>

#define RA_TLS_HANDSHAKE_MS 45000 /* with fetching collateral, and the peer's fetching */

/*
 * "HOST:PORT", "[IPV6]:PORT" or, to listen, "PORT" (then on loopback). A descriptor, connected or listening; -1 with
 * *ret_error.
 */
int ra_tls_connect(const char *address, char **ret_error);
int ra_tls_listen(const char *address, char **ret_error);

/* Sets SNI to an address's host, unless it is numeric. */
void ra_tls_set_name(SSL *ssl, const char *address);

/* The handshake on the SSL's descriptor, which becomes non-blocking, until it is done or RA_TLS_HANDSHAKE_MS have
 * passed. */
int ra_tls_handshake(SSL *ssl, char **ret_error);

/*
 * Carries bytes both ways until both sides have ended: an end on one side becomes an end on the other (close_notify,
 * shutdown). in_fd and out_fd are one socket, or standard input and output (then out_fd is closed at the end). 0, or -1
 * with *ret_error: a connection that broke, or TLS that ended without close_notify, which may be a truncation.
 */
int ra_tls_relay(SSL *ssl, int in_fd, int out_fd, char **ret_error);

#endif
