/* Streaming SHA-256 and OCI digests. */
#include "image/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* EVP fails here only when memory runs out. */
static void digest_check(bool ok)
{
    if (ok)
        return;
    fputs("cofre: out of memory for SHA-256\n", stderr);
    abort();
}

static EVP_MD_CTX *digest_context(struct sha256 *hash)
{
    return (EVP_MD_CTX *)hash;
}

struct sha256 *sha256_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    digest_check(context && EVP_DigestInit_ex(context, EVP_sha256(), NULL));
    return (struct sha256 *)context;
}

void sha256_free(struct sha256 *hash)
{
    EVP_MD_CTX_free(digest_context(hash));
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
    digest_check(EVP_DigestUpdate(digest_context(hash), data, size));
}

void sha256_final(struct sha256 *hash, uint8_t ret_digest[SHA256_SIZE])
{
    digest_check(EVP_DigestFinal_ex(digest_context(hash), ret_digest, NULL));
    digest_check(EVP_DigestInit_ex(digest_context(hash), NULL, NULL));
}

void sha256_of(const void *data, size_t size, uint8_t ret_digest[SHA256_SIZE])
{
    digest_check(EVP_Digest(data, size, ret_digest, NULL, EVP_sha256(), NULL));
}

void hex_encode(const uint8_t *data, size_t size, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = digits[data[i] >> 4];
        ret_text[2 * i + 1] = digits[data[i] & 15];
    }
    ret_text[2 * size] = 0;
}

void digest_format(const uint8_t digest[SHA256_SIZE], char ret_text[DIGEST_TEXT_SIZE])
{
    memcpy(ret_text, "sha256:", 7);
    hex_encode(digest, SHA256_SIZE, ret_text + 7);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool digest_parse(const char *text, uint8_t ret_digest[SHA256_SIZE])
{
    uint8_t digest[SHA256_SIZE];

    if (strncmp(text, "sha256:", 7) != 0 || strlen(text) != DIGEST_TEXT_SIZE - 1)
        return false;
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        int high = hex_value(text[7 + 2 * i]), low = hex_value(text[8 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_digest, digest, sizeof(digest));
    return true;
}
