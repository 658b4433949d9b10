/* Evidence in certificates: finding it, and whether it commits to the certificate's key. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "attest/cbor.h"
#include "attest/quote.h"
#include "attest/ratls.h"
#include "image/error.h"

#define OPEN_ENCLAVE_HEADER_SIZE 16 /* version u32, type u32, size u64 */
#define OPEN_ENCLAVE_TYPE_REMOTE 2

/* The extensions' OIDs, as their DER contents, in the order in which they are looked for. */
static const struct {
    enum attest_ratls_form form;
    uint8_t size;
    uint8_t oid[12];
} extensions[] = {
    {ATTEST_RATLS_INTEROPERABLE, 6, {0x67, 0x81, 0x05, 0x05, 0x04, 0x09}},
    {ATTEST_RATLS_GRAMINE, 9, {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x8a, 0x39, 0x06}},
    /* Gramine puts tag and length of the OID into its contents. */
    {ATTEST_RATLS_GRAMINE, 11, {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x8a, 0x39, 0x06}},
    {ATTEST_RATLS_INTEL_SDK, 9, {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01}},
    {ATTEST_RATLS_OPEN_ENCLAVE, 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x14, 0x0a, 0x01, 0x01}},
    {ATTEST_RATLS_OPEN_ENCLAVE, 9, {0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x69, 0x01}},
};

const char *attest_ratls_form_name(enum attest_ratls_form form)
{
    static const char *const names[ATTEST_RATLS_FORM_COUNT] = {
        [ATTEST_RATLS_INTEROPERABLE] = "interoperable",
        [ATTEST_RATLS_GRAMINE] = "gramine",
        [ATTEST_RATLS_INTEL_SDK] = "intel-sdk",
        [ATTEST_RATLS_OPEN_ENCLAVE] = "open-enclave",
    };
    return names[form];
}

/* {"pubkey-hash": h'...', "nonce": h'...'}; other claims are passed over, none may stand twice. */
static int read_claims(const struct attest_ratls_evidence *evidence, const uint8_t **ret_hash, size_t *ret_hash_size,
                       const uint8_t **ret_nonce, size_t *ret_nonce_size)
{
    static const char hash_name[] = "pubkey-hash", nonce_name[] = "nonce";
    struct attest_cbor cbor = {evidence->claims, evidence->claims + evidence->claims_size};
    uint64_t count;
    *ret_hash = *ret_nonce = NULL;
    *ret_hash_size = *ret_nonce_size = 0;
    if (attest_cbor_read(&cbor, ATTEST_CBOR_MAP, &count) < 0 || count > evidence->claims_size)
        return -1;
    while (count--) {
        const uint8_t *name;
        size_t size;
        int result;
        if (attest_cbor_read_string(&cbor, ATTEST_CBOR_TEXT, &name, &size) < 0)
            return -1;
        if (size == sizeof(hash_name) - 1 && memcmp(name, hash_name, size) == 0)
            result = *ret_hash ? -1 : attest_cbor_read_string(&cbor, ATTEST_CBOR_BYTES, ret_hash, ret_hash_size);
        else if (size == sizeof(nonce_name) - 1 && memcmp(name, nonce_name, size) == 0)
            result = *ret_nonce ? -1 : attest_cbor_read_string(&cbor, ATTEST_CBOR_BYTES, ret_nonce, ret_nonce_size);
        else
            result = attest_cbor_skip(&cbor);
        if (result < 0)
            return -1;
    }
    return *ret_hash && cbor.next == cbor.end ? 0 : -1;
}

int attest_ratls_evidence_parse(const uint8_t *data, size_t size, struct attest_ratls_evidence *ret_evidence,
                                char **ret_error)
{
    struct attest_ratls_evidence evidence = {.form = ATTEST_RATLS_INTEROPERABLE};
    struct attest_cbor cbor = {data, data + size};
    uint64_t tag, count;
    const uint8_t *hash;
    size_t hash_size;
    if (attest_cbor_read(&cbor, ATTEST_CBOR_TAG, &tag) < 0)
        return error_set(ret_error, "the evidence is not tagged CBOR");
    if (tag == ATTEST_RATLS_TAG_REPORT || tag == ATTEST_RATLS_TAG_SGX_REPORT)
        return error_set(ret_error, "the evidence is a report for its own machine, not a quote");
    if (tag != ATTEST_RATLS_TAG_QUOTE)
        return error_set(ret_error, "the evidence is of an unknown kind, CBOR tag %llu", (unsigned long long)tag);
    if (attest_cbor_read(&cbor, ATTEST_CBOR_ARRAY, &count) < 0 || count != 2 ||
        attest_cbor_read_string(&cbor, ATTEST_CBOR_BYTES, &evidence.quote, &evidence.quote_size) < 0 ||
        attest_cbor_read_string(&cbor, ATTEST_CBOR_BYTES, &evidence.claims, &evidence.claims_size) < 0)
        return error_set(ret_error, "the evidence is not an array of a quote and claims");
    if (cbor.next != cbor.end)
        return error_set(ret_error, "the evidence is followed by other bytes");
    if (read_claims(&evidence, &hash, &hash_size, &evidence.nonce, &evidence.nonce_size) < 0)
        return error_set(ret_error, "the claims are not a map with one pubkey-hash");
    *ret_evidence = evidence;
    return 0;
}

/* The claim's value is itself CBOR: [algorithm, hash], algorithms as IANA numbers them for named information. */
static int check_key_hash(const struct attest_ratls_evidence *evidence, const uint8_t *spki, size_t spki_size,
                          char **ret_error)
{
    const uint8_t *claim, *nonce, *hash;
    size_t claim_size, nonce_size, hash_size;
    uint64_t count, algorithm;
    if (read_claims(evidence, &claim, &claim_size, &nonce, &nonce_size) < 0)
        return error_set(ret_error, "the claims are not a map with one pubkey-hash");
    struct attest_cbor cbor = {claim, claim + claim_size};
    if (attest_cbor_read(&cbor, ATTEST_CBOR_ARRAY, &count) < 0 || count != 2 ||
        attest_cbor_read(&cbor, ATTEST_CBOR_UINT, &algorithm) < 0 ||
        attest_cbor_read_string(&cbor, ATTEST_CBOR_BYTES, &hash, &hash_size) < 0 || cbor.next != cbor.end)
        return error_set(ret_error, "the claim pubkey-hash is not an algorithm and a hash");
    const EVP_MD *md = algorithm == 1   ? EVP_sha256()
                       : algorithm == 7 ? EVP_sha384()
                       : algorithm == 8 ? EVP_sha512()
                                        : NULL;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_size;
    if (!md)
        return error_set(ret_error, "the claim pubkey-hash is of the unknown algorithm %llu",
                         (unsigned long long)algorithm);
    if (EVP_Digest(spki, spki_size, digest, &digest_size, md, NULL) != 1 || digest_size != hash_size ||
        memcmp(digest, hash, hash_size) != 0)
        return error_set(ret_error, "the evidence is for another key than the certificate's");
    return 0;
}

static bool commits_to(const uint8_t *report_data, const void *data, size_t size)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(data, size, digest);
    return memcmp(report_data, digest, sizeof(digest)) == 0;
}

/*
 * Older forms hash the key itself: as DER (Gramine), or as the PEM text of it, with its NUL (Open Enclave) or without.
 * Whichever it is, the report data commits to this key.
 */
static bool commits_to_key(const uint8_t *report_data, EVP_PKEY *key, const uint8_t *spki, size_t spki_size)
{
    if (commits_to(report_data, spki, spki_size))
        return true;
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool found = false;
    if (bio && key && PEM_write_bio_PUBKEY(bio, key) == 1 && BIO_write(bio, "", 1) == 1) {
        size_t size = (size_t)BIO_get_mem_data(bio, &text);
        found = commits_to(report_data, text, size) || commits_to(report_data, text, size - 1);
    }
    BIO_free(bio);
    return found;
}

static int check_binding(const X509 *certificate, const struct attest_ratls_evidence *evidence, char **ret_error)
{
    struct attest_quote quote;
    uint8_t *spki = NULL;
    if (attest_quote_parse(evidence->quote, evidence->quote_size, &quote, ret_error) < 0)
        return error_wrap(ret_error, "the quote");
    int spki_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki), result = 0;
    const uint8_t *report_data = attest_quote_report_data(&quote);
    if (spki_size <= 0)
        result = error_set(ret_error, "the certificate's key cannot be read");
    else if (evidence->claims && !commits_to(report_data, evidence->claims, evidence->claims_size))
        result = error_set(ret_error, "the quote is for other claims than the certificate's");
    else if (evidence->claims)
        result = check_key_hash(evidence, spki, (size_t)spki_size, ret_error);
    else if (!commits_to_key(report_data, X509_get0_pubkey(certificate), spki, (size_t)spki_size))
        result = error_set(ret_error, "the quote is for another key than the certificate's");
    OPENSSL_free(spki);
    return result;
}

static uint64_t get_le(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    while (size--)
        value = value << 8 | bytes[size];
    return value;
}

static int read_extension(enum attest_ratls_form form, const uint8_t *data, size_t size,
                          struct attest_ratls_evidence *evidence, char **ret_error)
{
    if (size > ATTEST_RATLS_EXTENSION_SIZE_MAX)
        return error_set(ret_error, "the evidence is too long");
    if (form == ATTEST_RATLS_INTEROPERABLE)
        return attest_ratls_evidence_parse(data, size, evidence, ret_error);
    *evidence = (struct attest_ratls_evidence){.form = form, .quote = data, .quote_size = size};
    if (form != ATTEST_RATLS_OPEN_ENCLAVE)
        return 0;
    if (size < OPEN_ENCLAVE_HEADER_SIZE || get_le(data, 4) != 1 || get_le(data + 4, 4) != OPEN_ENCLAVE_TYPE_REMOTE ||
        get_le(data + 8, 8) != size - OPEN_ENCLAVE_HEADER_SIZE)
        return error_set(ret_error, "Open Enclave's header is not that of a quote");
    evidence->quote += OPEN_ENCLAVE_HEADER_SIZE;
    evidence->quote_size -= OPEN_ENCLAVE_HEADER_SIZE;
    return 0;
}

/* The extension with these OID contents: 1 if it is there once, 0 if not, -1 if twice. */
static int find_extension(const X509 *certificate, const uint8_t *oid, size_t oid_size,
                          const ASN1_OCTET_STRING **ret_value)
{
    int found = 0;
    for (int i = 0; i < X509_get_ext_count(certificate); i++) {
        X509_EXTENSION *extension = X509_get_ext(certificate, i);
        const ASN1_OBJECT *object = X509_EXTENSION_get_object(extension);
        if (OBJ_length(object) != oid_size || memcmp(OBJ_get0_data(object), oid, oid_size) != 0)
            continue;
        if (found)
            return -1;
        *ret_value = X509_EXTENSION_get_data(extension);
        found = 1;
    }
    return found;
}

int attest_ratls_evidence_get(const X509 *certificate, struct attest_ratls_evidence *ret_evidence, char **ret_error)
{
    struct attest_ratls_evidence evidence;
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        const ASN1_OCTET_STRING *value = NULL;
        int found = find_extension(certificate, extensions[i].oid, extensions[i].size, &value);
        if (found < 0)
            return error_set(ret_error, "the certificate has its evidence twice");
        if (found == 0)
            continue;
        if (read_extension(extensions[i].form, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value),
                           &evidence, ret_error) < 0 ||
            check_binding(certificate, &evidence, ret_error) < 0)
            return -1;
        *ret_evidence = evidence;
        return 0;
    }
    return error_set(ret_error, "the certificate carries no evidence");
}
