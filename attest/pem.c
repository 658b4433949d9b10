/*
 * PEM as quotes and services carry it, read strictly (RFC 7468, with line ends and nothing else between certificates):
 * what is not part of a certificate would be a place to hide bytes that no signature covers.
 */
#include <stdlib.h>
#include <string.h>

#include "attest/certificate.h"
#include "attest/encode.h"
#include "image/error.h"

static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";

struct text {
    const char *data;
    size_t size;
};

static void skip_line_ends(struct text *text)
{
    while (text->size && (*text->data == '\n' || *text->data == '\r')) {
        text->data++;
        text->size--;
    }
}

static bool skip(struct text *text, const char *word)
{
    size_t size = strlen(word);
    if (text->size < size || memcmp(text->data, word, size) != 0)
        return false;
    text->data += size;
    text->size -= size;
    return true;
}

/* The base64 up to the next '-', without its line ends. */
static int decode_body(struct text *text, struct pem_item *ret_item, char **ret_error)
{
    const char *stop = memchr(text->data, '-', text->size);
    size_t size = stop ? (size_t)(stop - text->data) : 0, used = 0;
    if (size == 0 || size > 2 * CERTIFICATE_SIZE_MAX)
        return error_set(ret_error, "a certificate in PEM is empty, has no end or is too long");
    char *digits = malloc(size);
    if (!digits)
        return error_set(ret_error, "out of memory");
    for (size_t i = 0; i < size; i++)
        if (text->data[i] != '\n' && text->data[i] != '\r')
            digits[used++] = text->data[i];
    ret_item->der = attest_base64_decode(digits, used, &ret_item->size);
    free(digits);
    if (!ret_item->der)
        return error_set(ret_error, "a certificate in PEM is not canonical base64");
    text->data += size;
    text->size -= size;
    return 0;
}

static int take(struct text *text, struct pem_list *list, char **ret_error)
{
    if (list->count == CERTIFICATE_COUNT_MAX)
        return error_set(ret_error, "there are more than %d certificates, or something follows them",
                         CERTIFICATE_COUNT_MAX);
    if (!skip(text, begin))
        return error_set(ret_error, "something other than a certificate in PEM %s",
                         list->count ? "follows the certificates" : "stands where certificates must");
    if (decode_body(text, &list->items[list->count], ret_error) < 0)
        return -1;
    list->count++;
    if (!skip(text, end))
        return error_set(ret_error, "a certificate in PEM has no end");
    return 0;
}

int pem_split(const void *data, size_t size, struct pem_list *ret_list, char **ret_error)
{
    struct text text = {data, size};
    struct pem_list list = {0};
    int result = 0;
    if (text.size && text.data[text.size - 1] == 0)
        text.size--;
    for (skip_line_ends(&text); text.size && result == 0; skip_line_ends(&text))
        result = take(&text, &list, ret_error);
    if (result == 0 && list.count == 0)
        result = error_set(ret_error, "there is no certificate");
    if (result < 0) {
        pem_list_free(&list);
        return -1;
    }
    *ret_list = list;
    return 0;
}

void pem_list_free(struct pem_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].der);
    list->count = 0;
}
