/* One connection of `cofre key-server`: a handshake, a request, an answer (abi/key_release.h). */
#ifndef COFRE_CLI_KEY_CONNECTION_H
#define COFRE_CLI_KEY_CONNECTION_H

#include <openssl/evp.h>

#include "attest/key_service.h"

#define KEY_HELLO_MS 10000   /* from the connection's beginning to the end of the first message */
#define KEY_REQUEST_MS 90000 /* and then to the end of the request: the enclave has its quote made meanwhile */

/*
 * Serves a connection to its end, at most KEY_HELLO_MS + KEY_REQUEST_MS and the time that verifying takes, and closes
 * it. 0 and what became of the request, or -1 with *ret_error: it came to none.
 */
int key_connection_serve(int fd, EVP_PKEY *own, const struct attest_key_service *service,
                         struct attest_key_event *ret_event, char **ret_error);

#endif
