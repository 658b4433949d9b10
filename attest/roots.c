/* Trusted roots. */
#include "attest/roots.h"

#include <stdlib.h>
#include <string.h>

#include "attest/certificate.h"
#include "attest/file.h"
#include "image/error.h"

#define FILE_SIZE_MAX (64U << 10)

/* "Intel SGX Root CA", production: the key of its certificates of 2018 until 2033 (two) and until 2049. */
static const uint8_t intel_key[64] = {
    0x0b, 0xa9, 0xc4, 0xc0, 0xc0, 0xc8, 0x61, 0x93, 0xa3, 0xfe, 0x23, 0xd6, 0xb0, 0x2c, 0xda, 0x10,
    0xa8, 0xbb, 0xd4, 0xe8, 0x8e, 0x48, 0xb4, 0x45, 0x85, 0x61, 0xa3, 0x6e, 0x70, 0x55, 0x25, 0xf5,
    0x67, 0x91, 0x8e, 0x2e, 0xdc, 0x88, 0xe4, 0x0d, 0x86, 0x0b, 0xd0, 0xcc, 0x4e, 0xe2, 0x6a, 0xac,
    0xc9, 0x88, 0xe5, 0x05, 0xa9, 0x53, 0x55, 0x8c, 0x45, 0x3f, 0x6b, 0x09, 0x04, 0xae, 0x73, 0x94,
};

void attest_roots_init(struct attest_roots *roots)
{
    *roots = (struct attest_roots){.count = 1};
    memcpy(roots->roots[0].key, intel_key, sizeof(intel_key));
}

const struct attest_root *attest_roots_find(const struct attest_roots *roots, const uint8_t key[64])
{
    for (size_t i = 0; i < roots->count; i++)
        if (memcmp(roots->roots[i].key, key, sizeof(roots->roots[i].key)) == 0)
            return &roots->roots[i];
    return NULL;
}

static int add(struct attest_roots *roots, const struct pem_item *item, bool simulation, char **ret_error)
{
    struct certificate certificate;
    int result = 0;
    if (certificate_parse(item->der, item->size, &certificate, ret_error) < 0)
        return -1;
    if (certificate_check_role(&certificate, CERTIFICATE_ROOT, ret_error) < 0 ||
        certificate_check_issued(&certificate, &certificate, ret_error) < 0)
        result = -1;
    else if (roots->count == ATTEST_ROOT_COUNT_MAX)
        result = error_set(ret_error, "there are more than %d roots", ATTEST_ROOT_COUNT_MAX);
    else if (!attest_roots_find(roots, certificate.key)) {
        struct attest_root *root = &roots->roots[roots->count++];
        memcpy(root->key, certificate.key, sizeof(root->key));
        root->simulation = simulation;
    }
    certificate_free(&certificate);
    return result;
}

int attest_roots_add_pem(struct attest_roots *roots, const char *pem, size_t size, bool simulation, char **ret_error)
{
    struct pem_list list;
    if (pem_split(pem, size, &list, ret_error) < 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < list.count && result == 0; i++)
        result = add(roots, &list.items[i], simulation, ret_error);
    pem_list_free(&list);
    return result;
}

int attest_roots_add_file(struct attest_roots *roots, const char *path, bool simulation, char **ret_error)
{
    size_t size;
    char *text = attest_file_read(path, FILE_SIZE_MAX, &size, ret_error);
    if (!text)
        return -1;
    int result = attest_roots_add_pem(roots, text, size, simulation, ret_error);
    free(text);
    return result < 0 ? error_wrap(ret_error, "%s", path) : 0;
}
