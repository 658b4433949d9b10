/*
 * The certificates and the key that the host gives a container as a marble: any text, with a key of its own or without.
 * Input: a byte whose lowest bit says which, then the text.
 *
 * fuzz-sources: kernel/tls/identity.c kernel/crypto/bearssl.c kernel/lib/string.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter -l:libbearssl.a
 */
#include <linux/errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/tls/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t scalar[TLS_SCALAR_SIZE] = {1, 2, 3};
    struct tls_identity identity;
    size_t sum = 0;
    if (size == 0)
        return 0;
    bool given = data[0] & 1;
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    int error = tls_identity_parse(&identity, text, size - 1, given ? scalar : NULL);
    free(text);
    if (error < 0 && error != -EINVAL && (error != -ENOKEY || given))
        abort();
    if (error < 0)
        return 0;
    if (identity.count < 1 || identity.count > TLS_CHAIN_MAX || identity.key.xlen != TLS_SCALAR_SIZE ||
        (given && memcmp(identity.scalar, scalar, sizeof(scalar)) != 0))
        abort();
    for (size_t i = 0; i < identity.count; i++) { /* one behind the other, inside */
        if (identity.chain[i].data != identity.certificates + sum || identity.chain[i].data_len == 0)
            abort();
        sum += identity.chain[i].data_len;
    }
    if (sum != identity.used || sum > sizeof(identity.certificates))
        abort();
    return 0;
}
