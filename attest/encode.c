/* Text forms of bytes, read strictly. */
#include "attest/encode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char *attest_hex_encode(const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    char *text = malloc(2 * size + 1);
    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = 0;
    return text;
}

int attest_hex_decode(const char *text, void *ret_data, size_t size)
{
    uint8_t *bytes = ret_data;
    if (strlen(text) != 2 * size)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static char *encode(const char *alphabet, bool padded, const uint8_t *data, size_t size)
{
    char *text = malloc((size + 2) / 3 * 4 + 1), *out = text;
    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits =
            (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0);
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        if (left > 1)
            *out++ = alphabet[bits >> 6 & 63];
        else if (padded)
            *out++ = '=';
        if (left > 2)
            *out++ = alphabet[bits & 63];
        else if (padded)
            *out++ = '=';
    }
    *out = 0;
    return text;
}

/* The place of a character in the alphabet, -1 if it is not there. The first 62 are the same in both. */
static int digit_of(const char *alphabet, char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == alphabet[62] ? 62 : c == alphabet[63] ? 63 : -1;
}

static uint8_t *decode(const char *alphabet, const char *text, size_t size, size_t *ret_size)
{
    if (size % 4 == 1)
        return NULL;
    uint8_t *bytes = malloc(size / 4 * 3 + 3);
    uint32_t bits = 0;
    size_t count = 0, pending = 0;
    if (!bytes)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        int digit = digit_of(alphabet, text[i]);
        if (digit < 0) {
            free(bytes);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)digit;
        pending += 6;
        if (pending >= 8) {
            pending -= 8;
            bytes[count++] = (uint8_t)(bits >> pending);
            bits &= (1U << pending) - 1;
        }
    }
    if (bits) { /* two texts would stand for the same bytes */
        free(bytes);
        return NULL;
    }
    bytes[count] = 0;
    *ret_size = count;
    return bytes;
}

char *attest_base64_encode(const void *data, size_t size)
{
    return encode(base64, true, data, size);
}

char *attest_base64url_encode(const void *data, size_t size)
{
    return encode(base64url, false, data, size);
}

uint8_t *attest_base64_decode(const char *text, size_t size, size_t *ret_size)
{
    if (size % 4)
        return NULL;
    for (int i = 0; i < 2 && size && text[size - 1] == '='; i++)
        size--;
    return decode(base64, text, size, ret_size);
}

uint8_t *attest_base64url_decode(const char *text, size_t size, size_t *ret_size)
{
    return decode(base64url, text, size, ret_size);
}

char *attest_percent_decode(const char *text)
{
    char *result = malloc(strlen(text) + 1), *out = result;
    if (!result)
        return NULL;
    for (; *text; text++) {
        if (*text != '%') {
            *out++ = *text;
            continue;
        }
        int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
        if (low < 0 || (high | low) == 0) {
            free(result);
            return NULL;
        }
        *out++ = (char)(high << 4 | low);
        text += 2;
    }
    *out = 0;
    return result;
}
