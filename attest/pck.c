/*
 * SGX extensions: a SEQUENCE of SEQUENCE {OBJECT IDENTIFIER, value}, some values of which are such sequences again. A
 * table says what may stand under which identifier.
 */
#include "attest/pck.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <string.h>

#include "image/error.h"

#define SGX_OID "1.2.840.113741.1.13.1"

/* The bytes of 1.2.840.113741.1.13.1; those below it have one or two more. */
static const uint8_t prefix[] = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01};

struct parser {
    struct attest_pck *pck;
    uint32_t seen, seen_tcb, seen_configuration; /* bit per last number of the identifier */
    char **error;
};

static int bad(struct parser *p, const char *name, const char *what)
{
    return error_set(p->error, "%s: %s", name, what);
}

static int read_octets(struct parser *p, const ASN1_TYPE *value, const char *name, void *ret_data, int size)
{
    if (value->type != V_ASN1_OCTET_STRING)
        return bad(p, name, "it is no OCTET STRING");
    if (ASN1_STRING_length(value->value.octet_string) != size)
        return bad(p, name, "its size is wrong");
    memcpy(ret_data, ASN1_STRING_get0_data(value->value.octet_string), (size_t)size);
    return 0;
}

static int read_number(struct parser *p, const ASN1_TYPE *value, const char *name, uint64_t max, uint64_t *ret_number)
{
    if (value->type != V_ASN1_INTEGER)
        return bad(p, name, "it is no INTEGER");
    if (ASN1_INTEGER_get_uint64(ret_number, value->value.integer) != 1 || *ret_number > max)
        return bad(p, name, "the number is out of range");
    return 0;
}

static int read_boolean(struct parser *p, const ASN1_TYPE *value, const char *name, bool *ret_value)
{
    if (value->type != V_ASN1_BOOLEAN)
        return bad(p, name, "it is no BOOLEAN");
    *ret_value = value->value.boolean != 0;
    return 0;
}

typedef int (*entry_fn)(struct parser *p, unsigned number, const ASN1_TYPE *value);

/* The two members of an entry. */
static int open_entry(struct parser *p, const ASN1_TYPE *entry, const char *name, STACK_OF(ASN1_TYPE) * *ret_members)
{
    if (entry->type != V_ASN1_SEQUENCE)
        return bad(p, name, "an entry is no SEQUENCE");
    const uint8_t *data = ASN1_STRING_get0_data(entry->value.sequence);
    STACK_OF(ASN1_TYPE) *members = d2i_ASN1_SEQUENCE_ANY(NULL, &data, ASN1_STRING_length(entry->value.sequence));
    if (!members || sk_ASN1_TYPE_num(members) != 2 || sk_ASN1_TYPE_value(members, 0)->type != V_ASN1_OBJECT) {
        sk_ASN1_TYPE_pop_free(members, ASN1_TYPE_free);
        return bad(p, name, "an entry is no pair of identifier and value");
    }
    *ret_members = members;
    return 0;
}

/* The number after the prefix of `depth` numbers below the extension's own; 0 if the identifier is another's. */
static unsigned number_below(const ASN1_OBJECT *object, const uint8_t *below, size_t below_size)
{
    const uint8_t *data = OBJ_get0_data(object);
    size_t size = OBJ_length(object);
    if (size != sizeof(prefix) + below_size + 1 || memcmp(data, prefix, sizeof(prefix)) != 0 ||
        (below_size && memcmp(data + sizeof(prefix), below, below_size) != 0) || data[size - 1] >= 32)
        return 0;
    return data[size - 1];
}

/* Each entry of a sequence in DER, all of size bytes; fn for those whose identifier is known. */
static int each_entry(struct parser *p, const uint8_t *data, long size, const char *name, const uint8_t *below,
                      size_t below_size, uint32_t *seen, entry_fn fn)
{
    const uint8_t *end = data;
    STACK_OF(ASN1_TYPE) *entries = d2i_ASN1_SEQUENCE_ANY(NULL, &end, size);
    if (!entries || end != data + size) {
        sk_ASN1_TYPE_pop_free(entries, ASN1_TYPE_free);
        return bad(p, name, "it is no SEQUENCE in DER");
    }
    int result = 0;
    for (int i = 0; i < sk_ASN1_TYPE_num(entries) && result == 0; i++) {
        STACK_OF(ASN1_TYPE) * members;
        result = open_entry(p, sk_ASN1_TYPE_value(entries, i), name, &members);
        if (result < 0)
            break;
        unsigned number = number_below(sk_ASN1_TYPE_value(members, 0)->value.object, below, below_size);
        if (number && *seen & 1U << number)
            result = error_set(p->error, "%s: entry %u stands twice", name, number);
        else if (number)
            result = fn(p, number, sk_ASN1_TYPE_value(members, 1));
        if (number)
            *seen |= 1U << number;
        sk_ASN1_TYPE_pop_free(members, ASN1_TYPE_free);
    }
    sk_ASN1_TYPE_pop_free(entries, ASN1_TYPE_free);
    return result;
}

static int nested(struct parser *p, const ASN1_TYPE *value, const char *name, uint8_t below, uint32_t *seen,
                  entry_fn fn)
{
    if (value->type != V_ASN1_SEQUENCE)
        return bad(p, name, "it is no SEQUENCE");
    return each_entry(p, ASN1_STRING_get0_data(value->value.sequence), ASN1_STRING_length(value->value.sequence), name,
                      &below, 1, seen, fn);
}

static int tcb_entry(struct parser *p, unsigned number, const ASN1_TYPE *value)
{
    uint64_t svn;
    if (number > 18)
        return 0;
    if (number == 18)
        return read_octets(p, value, "CPUSVN", p->pck->cpusvn, sizeof(p->pck->cpusvn));
    if (read_number(p, value, number == 17 ? "PCESVN" : "TCB component SVN", number == 17 ? UINT16_MAX : UINT8_MAX,
                    &svn) < 0)
        return -1;
    if (number == 17)
        p->pck->pce_svn = (uint16_t)svn;
    else
        p->pck->components[number - 1] = (uint8_t)svn;
    return 0;
}

static int configuration_entry(struct parser *p, unsigned number, const ASN1_TYPE *value)
{
    switch (number) {
    case 1:
        return read_boolean(p, value, "dynamic platform", &p->pck->dynamic_platform);
    case 2:
        return read_boolean(p, value, "cached keys", &p->pck->cached_keys);
    case 3:
        return read_boolean(p, value, "SMT enabled", &p->pck->smt_enabled);
    default:
        return 0;
    }
}

static int sgx_type(struct parser *p, const ASN1_TYPE *value)
{
    int64_t type;
    if (value->type != V_ASN1_ENUMERATED)
        return bad(p, "SGX type", "it is no ENUMERATED");
    if (ASN1_ENUMERATED_get_int64(&type, value->value.enumerated) != 1 || type < 0 || type > 2)
        return bad(p, "SGX type", "it is none of 0, 1 and 2");
    p->pck->sgx_type = (uint8_t)type;
    return 0;
}

static int entry(struct parser *p, unsigned number, const ASN1_TYPE *value)
{
    struct attest_pck *pck = p->pck;
    switch (number) {
    case 1:
        return read_octets(p, value, "PPID", pck->ppid, sizeof(pck->ppid));
    case 2:
        return nested(p, value, "TCB", 2, &p->seen_tcb, tcb_entry);
    case 3:
        return read_octets(p, value, "PCEID", pck->pce_id, sizeof(pck->pce_id));
    case 4:
        return read_octets(p, value, "FMSPC", pck->fmspc, sizeof(pck->fmspc));
    case 5:
        return sgx_type(p, value);
    case 6:
        pck->has_platform_instance_id = true;
        return read_octets(p, value, "platform instance ID", pck->platform_instance_id,
                           sizeof(pck->platform_instance_id));
    case 7:
        pck->has_configuration = true;
        return nested(p, value, "configuration", 7, &p->seen_configuration, configuration_entry);
    default:
        return 0;
    }
}

int pck_extensions_parse(const void *der, size_t size, struct attest_pck *ret_pck, char **ret_error)
{
    struct attest_pck pck = {0};
    struct parser p = {.pck = &pck, .error = ret_error};
    int result = size <= CERTIFICATE_SIZE_MAX
                     ? each_entry(&p, der, (long)size, "SGX extensions", NULL, 0, &p.seen, entry)
                     : bad(&p, "SGX extensions", "they are too long");
    ERR_clear_error();
    if (result < 0)
        return -1;
    if ((p.seen & 0x3e) != 0x3e)
        return bad(&p, "SGX extensions", "PPID, TCB, PCEID, FMSPC or SGX type is missing");
    if ((p.seen_tcb & 0x7fffe) != 0x7fffe)
        return bad(&p, "TCB", "a component SVN, PCESVN or CPUSVN is missing");
    *ret_pck = pck;
    return 0;
}

int pck_extensions_of(const struct certificate *certificate, struct attest_pck *ret_pck, char **ret_error)
{
    ASN1_OBJECT *object = OBJ_txt2obj(SGX_OID, 1);
    if (!object)
        return error_set(ret_error, "out of memory");
    int index = X509_get_ext_by_OBJ(certificate->x509, object, -1);
    int again = index < 0 ? -1 : X509_get_ext_by_OBJ(certificate->x509, object, index);
    ASN1_OBJECT_free(object);
    if (index < 0)
        return error_set(ret_error, "the certificate has no SGX extensions (" SGX_OID ")");
    if (again >= 0)
        return error_set(ret_error, "the SGX extensions stand twice");
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(certificate->x509, index));
    return pck_extensions_parse(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value), ret_pck, ret_error);
}

int pck_serial_of(const struct certificate *certificate, uint8_t ret_serial[20], char **ret_error)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate->x509);
    int size = ASN1_STRING_length(serial);
    if (size > 20 || ASN1_STRING_type(serial) != V_ASN1_INTEGER)
        return error_set(ret_error, "the serial number is negative or of more than 20 bytes");
    memset(ret_serial, 0, 20);
    memcpy(ret_serial + 20 - size, ASN1_STRING_get0_data(serial), (size_t)size);
    return 0;
}
