/* The kernel's look at quotes and targets (contract in quote_check.h). */
#include "kernel/attestation/quote_check.h"

#include "kernel/lib/string.h"

#define KEY_TYPE_ECDSA_P256 2
#define TEE_SGX 0
#define BODY_SGX 1
/* Signature and key of the attestation key, and the certification data's type and size: no quote has less. */
#define SIGNATURE_DATA_SIZE_MIN (64 + 64 + 6)

struct quote_header {
    uint16_t version, key_type;
    uint32_t tee_type; /* version 3: reserved */
    uint16_t qe_svn, pce_svn;
    uint8_t vendor_id[16], user_data[20];
};
_Static_assert(sizeof(struct quote_header) == 48, "A.4");

struct body_descriptor { /* version 5 */
    uint16_t type;
    uint32_t size;
} __attribute__((packed));

bool quote_is_of(const void *quote, size_t size, const struct sgx_report_body *body)
{
    const uint8_t *at = quote, *end = at + size;
    struct quote_header header;
    struct body_descriptor descriptor;
    uint32_t signature_size;

    if (size < sizeof(header))
        return false;
    memcpy(&header, at, sizeof(header));
    at += sizeof(header);
    if (header.version < 3 || header.version > 5 || header.key_type != KEY_TYPE_ECDSA_P256 ||
        header.tee_type != TEE_SGX)
        return false;
    if (header.version == 5) {
        if ((size_t)(end - at) < sizeof(descriptor))
            return false;
        memcpy(&descriptor, at, sizeof(descriptor));
        at += sizeof(descriptor);
        if (descriptor.type != BODY_SGX || descriptor.size != sizeof(*body))
            return false;
    }
    if ((size_t)(end - at) < sizeof(*body) + sizeof(signature_size) || memcmp(at, body, sizeof(*body)) != 0)
        return false;
    at += sizeof(*body);
    memcpy(&signature_size, at, sizeof(signature_size));
    at += sizeof(signature_size);
    return signature_size >= SIGNATURE_DATA_SIZE_MIN && signature_size == (size_t)(end - at);
}

bool targetinfo_ok(const struct sgx_targetinfo *target)
{
    uint8_t sum = target->reserved1;

    for (size_t i = 0; i < sizeof(target->reserved2); i++)
        sum |= target->reserved2[i];
    for (size_t i = 0; i < sizeof(target->reserved3); i++)
        sum |= target->reserved3[i];
    return sum == 0;
}
