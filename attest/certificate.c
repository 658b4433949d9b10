/* Certificates of Intel's hierarchy. */
#include "attest/certificate.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/certificate_cache.h"
#include "image/error.h"

static const struct {
    const char *title;
    const char *phrase; /* that the common name ends in, or with another one */
    const char *other_phrase;
    bool is_ca;
} roles_table[] = {
    [CERTIFICATE_PCK] = {"the PCK certificate", "SGX PCK Certificate", NULL, false},
    [CERTIFICATE_PCK_CA] = {"the PCK CA's certificate", "SGX PCK Processor CA", "SGX PCK Platform CA", true},
    [CERTIFICATE_SIGNER] = {"the TCB signing certificate", "SGX TCB Signing", NULL, false},
    [CERTIFICATE_ROOT] = {"the root certificate", "SGX Root CA", NULL, true},
};

static int asn1_seconds(const ASN1_TIME *time, int64_t *ret_seconds)
{
    struct tm tm;
    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return -1;
    *ret_seconds = timegm(&tm);
    return 0;
}

/* The key as the bits of an uncompressed point on P-256. */
static int read_key(X509 *x509, uint8_t ret_key[64])
{
    ASN1_OBJECT *algorithm = NULL;
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(x509);
    char group[32] = "";
    EVP_PKEY *key = X509_get0_pubkey(x509);
    if (!key || !bits || X509_PUBKEY_get0_param(&algorithm, NULL, NULL, NULL, X509_get_X509_PUBKEY(x509)) != 1 ||
        OBJ_obj2nid(algorithm) != NID_X9_62_id_ecPublicKey ||
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 || strcmp(group, "prime256v1") != 0 ||
        ASN1_STRING_length(bits) != 65 || ASN1_STRING_get0_data(bits)[0] != 4)
        return -1;
    memcpy(ret_key, ASN1_STRING_get0_data(bits) + 1, 64);
    return 0;
}

static int check_parsed(struct certificate *certificate, char **ret_error)
{
    X509 *x509 = certificate->x509;
    if (X509_get_version(x509) != X509_VERSION_3)
        return error_set(ret_error, "it is not of version 3");
    if (X509_get_signature_nid(x509) != NID_ecdsa_with_SHA256)
        return error_set(ret_error, "it is not signed by ECDSA with SHA-256");
    if (read_key(x509, certificate->key) < 0)
        return error_set(ret_error, "its key is not one of P-256");
    if (asn1_seconds(X509_get0_notBefore(x509), &certificate->validity.from) < 0 ||
        asn1_seconds(X509_get0_notAfter(x509), &certificate->validity.until) < 0)
        return error_set(ret_error, "its validity cannot be read");
    uint32_t flags = X509_get_extension_flags(x509);
    if (flags & EXFLAG_INVALID)
        return error_set(ret_error, "its extensions are invalid");
    if (flags & EXFLAG_CRITICAL)
        return error_set(ret_error, "it has a critical extension that is not known");
    return 0;
}

int certificate_parse(const uint8_t *der, size_t size, struct certificate *ret_certificate, char **ret_error)
{
    struct certificate certificate = {.size = size};
    const uint8_t *end = der;
    if (size > CERTIFICATE_SIZE_MAX)
        return error_set(ret_error, "a certificate of %zu bytes is too long", size);
    certificate.x509 = d2i_X509(NULL, &end, (long)size);
    certificate.der = malloc(size ? size : 1);
    int result = 0;
    if (!certificate.x509 || end != der + size)
        result = error_set(ret_error, "it is not a certificate in DER");
    else if (!certificate.der)
        result = error_set(ret_error, "out of memory");
    else
        result = check_parsed(&certificate, ret_error);
    if (result < 0) {
        ERR_clear_error();
        certificate_free(&certificate);
        return -1;
    }
    memcpy(certificate.der, der, size);
    *ret_certificate = certificate;
    return 0;
}

void certificate_free(struct certificate *certificate)
{
    X509_free(certificate->x509);
    free(certificate->der);
    *certificate = (struct certificate){0};
}

bool certificate_copy(const struct certificate *certificate, struct certificate *ret_copy)
{
    struct certificate copy = *certificate;
    copy.der = malloc(copy.size);
    if (!copy.der)
        return false;
    memcpy(copy.der, certificate->der, copy.size);
    X509_up_ref(copy.x509);
    *ret_copy = copy;
    return true;
}

static bool ends_in(const char *text, const char *phrase)
{
    size_t size = strlen(text), phrase_size = phrase ? strlen(phrase) : 0;
    return phrase && size >= phrase_size && strcmp(text + size - phrase_size, phrase) == 0;
}

static void common_name(const struct certificate *certificate, char *ret_name, int size)
{
    ret_name[0] = 0;
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate->x509), NID_commonName, ret_name, size);
}

int certificate_check_role(const struct certificate *certificate, enum certificate_role role, char **ret_error)
{
    const char *title = roles_table[role].title;
    char name[128];
    common_name(certificate, name, sizeof(name));
    if (!ends_in(name, roles_table[role].phrase) && !ends_in(name, roles_table[role].other_phrase))
        return error_set(ret_error, "%s is expected in this place of the chain, but it is \"%s\"", title, name);
    uint32_t usage = X509_get_key_usage(certificate->x509);
    bool is_ca = (X509_get_extension_flags(certificate->x509) & EXFLAG_CA) != 0;
    if (is_ca != roles_table[role].is_ca)
        return error_set(ret_error, "%s must %sbe a CA's (basic constraints)", title, is_ca ? "not " : "");
    if (usage == UINT32_MAX)
        return error_set(ret_error, "%s does not say what its key is for", title);
    if (is_ca ? (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != (KU_KEY_CERT_SIGN | KU_CRL_SIGN)
              : !(usage & KU_DIGITAL_SIGNATURE) || (usage & KU_KEY_CERT_SIGN))
        return error_set(ret_error, "%s is not for %s (key usage)", title,
                         is_ca ? "signing certificates and CRLs" : "signatures alone");
    return 0;
}

enum attest_pck_ca certificate_pck_ca(const struct certificate *pck)
{
    char name[128] = "";
    X509_NAME_get_text_by_NID(X509_get_issuer_name(pck->x509), NID_commonName, name, sizeof(name));
    return ends_in(name, "Platform CA") ? ATTEST_PCK_CA_PLATFORM : ATTEST_PCK_CA_PROCESSOR;
}

int certificate_check_issued(const struct certificate *certificate, const struct certificate *issuer, char **ret_error)
{
    char name[128];
    common_name(certificate, name, sizeof(name));
    int why = X509_check_issued(issuer->x509, certificate->x509);
    if (why != X509_V_OK)
        return error_set(ret_error, "\"%s\" was not issued by the certificate after it: %s", name,
                         X509_verify_cert_error_string(why));
    if (X509_verify(certificate->x509, X509_get0_pubkey(issuer->x509)) != 1) {
        ERR_clear_error();
        return error_set(ret_error, "the signature of \"%s\" is wrong", name);
    }
    return 0;
}

void certificate_chain_free(struct certificate_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        certificate_free(&chain->certificates[i]);
    chain->count = 0;
}

static const struct certificate *find_known(const struct certificate_chain *known, const struct pem_item *item)
{
    for (size_t i = 0; known && i < known->count; i++)
        if (known->certificates[i].size == item->size && memcmp(known->certificates[i].der, item->der, item->size) == 0)
            return &known->certificates[i];
    return NULL;
}

struct chain_inputs {
    const struct pem_list *list;
    const enum certificate_role *roles;
    const struct certificate_chain *known;
    struct certificate_cache *cache;
};

/* A certificate of the chain: a copy of one verified before (is_known), or parsed. */
static int take(const struct chain_inputs *inputs, size_t place, struct certificate *certificate, bool *ret_is_known,
                char **ret_error)
{
    const struct pem_item *item = &inputs->list->items[place];
    const struct certificate *twin = find_known(inputs->known, item);
    *ret_is_known = true;
    if (twin)
        return certificate_copy(twin, certificate) ? 0 : error_set(ret_error, "out of memory");
    if (place == 0 && inputs->cache && certificate_cache_get(inputs->cache, item, certificate))
        return 0;
    *ret_is_known = false;
    if (certificate_parse(item->der, item->size, certificate, ret_error) < 0)
        return error_wrap(ret_error, "%s", roles_table[inputs->roles[place]].title);
    return 0;
}

static int verify_parsed(const struct chain_inputs *inputs, struct certificate_chain *chain, const bool *is_known,
                         char **ret_error)
{
    for (size_t i = chain->count; i-- > 0;) {
        size_t issuer = i + 1 < chain->count ? i + 1 : i;
        /* Known ones were verified under the very issuer: a known certificate stands over known ones only. */
        if (is_known[i] && is_known[issuer])
            continue;
        if (certificate_check_issued(&chain->certificates[i], &chain->certificates[issuer], ret_error) < 0)
            return -1;
    }
    if (inputs->cache && chain->count > 1 && !is_known[0] && is_known[1])
        certificate_cache_put(inputs->cache, &chain->certificates[0]);
    return 0;
}

int certificate_chain_verify(const struct pem_list *list, const enum certificate_role *roles, size_t count,
                             const struct certificate_chain *known, struct certificate_cache *cache,
                             struct certificate_chain *ret_chain, char **ret_error)
{
    const struct chain_inputs inputs = {list, roles, known, cache};
    struct certificate_chain chain = {0};
    bool is_known[CERTIFICATE_COUNT_MAX] = {false};
    int result =
        list->count == count ? 0 : error_set(ret_error, "the chain has %zu certificates, not %zu", list->count, count);
    while (result == 0 && chain.count < count) {
        result = take(&inputs, chain.count, &chain.certificates[chain.count], &is_known[chain.count], ret_error);
        if (result == 0) {
            chain.count++;
            result = certificate_check_role(&chain.certificates[chain.count - 1], roles[chain.count - 1], ret_error);
        }
    }
    if (result == 0)
        result = verify_parsed(&inputs, &chain, is_known, ret_error);
    if (result < 0) {
        certificate_chain_free(&chain);
        return -1;
    }
    *ret_chain = chain;
    return 0;
}
