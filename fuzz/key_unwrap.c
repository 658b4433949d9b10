/*
 * A wrapped key of unknown origin: no bytes but those that were wrapped for this server open. The head is put right
 * (what it begins with, for whom), or nothing behind it would be reached.
 *
 * fuzz-sources: image/key_wrap.c image/error.c
 * fuzz-flags: -lcrypto
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/key_wrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static EVP_PKEY *own;
    static uint8_t public[32];
    const uint8_t private[32] = {1};
    size_t public_size = sizeof(public), key_size = 0;
    uint8_t key[KEY_WRAP_KEY_MAX];
    char *error = NULL;
    if (!own) {
        own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, sizeof(private));
        if (!own || EVP_PKEY_get_raw_public_key(own, public, &public_size) != 1)
            abort();
    }
    uint8_t *copy = malloc(size + 1); /* of its very size, so that a read past the end is seen */
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (size >= 48 && copy[0] != 'x')
        memcpy(copy, "COFRE WRAPPED 1\n", 16), memcpy(copy + 16, public, 32);
    uint8_t *exact = realloc(copy, size ? size : 1);
    if (key_unwrap(own, "a key", exact, size, key, &key_size, &error) == 0 || !error)
        abort(); /* nobody wrapped it */
    free(error);
    free(exact);
    return 0;
}
