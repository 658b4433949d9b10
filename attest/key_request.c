/* What an enclave asks a key server for (contract in key_request.h). */
#include "attest/key_request.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(KEY_RELEASE_MARK) == KEY_RELEASE_MARK_SIZE + 1, "abi/key_release.h");

bool attest_key_name_ok(const char name[KEY_NAME_SIZE])
{
    size_t size = strnlen(name, KEY_NAME_SIZE);
    if (size == 0 || size == KEY_NAME_SIZE || name[0] == '.' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != size)
        return false;
    for (size_t i = size; i < KEY_NAME_SIZE; i++)
        if (name[i])
            return false;
    return true;
}

int attest_key_request_parse(const uint8_t *data, size_t size, struct attest_key_request *ret_request,
                             const char **ret_reason)
{
    struct key_request head;
    if (size < sizeof(head)) {
        *ret_reason = "the request is too short";
        return -1;
    }
    memcpy(&head, data, sizeof(head));
    if (head.type != KEY_REQUEST)
        *ret_reason = "the request is of an unknown type";
    else if (!attest_key_name_ok(head.name))
        *ret_reason = "the request has no name that a key could have";
    else if (head.quote_size == 0 || head.quote_size > KEY_QUOTE_SIZE_MAX || head.quote_size != size - sizeof(head))
        *ret_reason = "the quote's size is not that of the request";
    else {
        memcpy(ret_request->name, head.name, sizeof(ret_request->name));
        ret_request->quote = data + sizeof(head);
        ret_request->quote_size = head.quote_size;
        return 0;
    }
    return -1;
}

void attest_key_report_data(const uint8_t channel_hash[32], const char name[KEY_NAME_SIZE], uint8_t ret_data[64])
{
    uint8_t text[sizeof(KEY_RELEASE_LABEL) - 1 + 32 + KEY_NAME_SIZE];
    memcpy(text, KEY_RELEASE_LABEL, sizeof(KEY_RELEASE_LABEL) - 1);
    memcpy(text + sizeof(KEY_RELEASE_LABEL) - 1, channel_hash, 32);
    memcpy(text + sizeof(KEY_RELEASE_LABEL) - 1 + 32, name, KEY_NAME_SIZE);
    memset(ret_data, 0, 64);
    if (EVP_Digest(text, sizeof(text), ret_data, NULL, EVP_sha256(), NULL) != 1)
        abort();
    memcpy(ret_data + KEY_RELEASE_MARK_OFFSET, KEY_RELEASE_MARK, KEY_RELEASE_MARK_SIZE);
}
