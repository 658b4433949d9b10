/*
 * ECDSA quotes of version 3, 4 and 5 (Intel, "SGX ECDSA QuoteLibReference DCAP API" appendix A.4 for version 3, "TDX
 * DCAP Quoting Library API" appendix A.3 for 4 and 5). Parsing borrows: every pointer in struct attest_quote leads into
 * the caller's bytes, which it must not change meanwhile. Parsing says nothing about whether a quote is genuine.
 */
#ifndef COFRE_ATTEST_QUOTE_H
#define COFRE_ATTEST_QUOTE_H

#include <stddef.h>
#include <stdint.h>

#include "attest/report.h"

#define ATTEST_QUOTE_SIZE_MAX (64U << 10)
#define ATTEST_QUOTE_HEADER_SIZE 48
#define ATTEST_KEY_TYPE_ECDSA_P256 2
#define ATTEST_TEE_SGX 0
#define ATTEST_TEE_TDX 0x81

extern const uint8_t attest_intel_qe_vendor_id[16];

/* The values are those of a version 5 quote's body descriptor. */
enum attest_body_type { ATTEST_BODY_SGX = 1, ATTEST_BODY_TD10 = 2, ATTEST_BODY_TD15 = 3 };

/* Certification data types: how the quote says which PCK certificate its quoting enclave was certified by. */
enum attest_certification_type {
    ATTEST_CERTIFICATION_PPID = 1,              /* PPID in clear text, CPUSVN, PCESVN, PCEID */
    ATTEST_CERTIFICATION_PPID_RSA2048 = 2,      /* the same with the PPID encrypted */
    ATTEST_CERTIFICATION_PPID_RSA3072 = 3,      /* the same with the PPID encrypted */
    ATTEST_CERTIFICATION_PCK_LEAF = 4,          /* PEM */
    ATTEST_CERTIFICATION_PCK_CHAIN = 5,         /* PEM: leaf, CA, root */
    ATTEST_CERTIFICATION_QE_REPORT = 6,         /* versions 4 and 5: wraps one of the others */
    ATTEST_CERTIFICATION_PLATFORM_MANIFEST = 7, /* of a platform that is not registered yet */
};

struct attest_quote {
    uint16_t version;            /* 3, 4 or 5 */
    uint16_t key_type;           /* ATTEST_KEY_TYPE_ECDSA_P256 */
    uint32_t tee_type;           /* ATTEST_TEE_SGX or ATTEST_TEE_TDX */
    uint16_t qe_svn, pce_svn;    /* version 3; nothing vouches for them (the PCK certificate's count) */
    const uint8_t *qe_vendor_id; /* 16 */
    const uint8_t *user_data;    /* 20; Intel's QE puts the QEID into the first 16 */
    enum attest_body_type body_type;
    const uint8_t *body; /* unaligned: struct attest_sgx_body or the first body_size bytes of struct attest_td_body */
    size_t body_size;
    const uint8_t *signed_bytes; /* header, (version 5) body descriptor, body */
    size_t signed_size;
    const uint8_t *signature;           /* r, s big-endian, 64, by the attestation key over signed_bytes */
    const uint8_t *attestation_key;     /* x, y big-endian, 64 */
    const uint8_t *qe_report;           /* 384: struct attest_sgx_body */
    const uint8_t *qe_report_signature; /* 64, by the PCK key */
    const uint8_t *qe_auth_data;
    size_t qe_auth_data_size;
    enum attest_certification_type certification_type; /* never ATTEST_CERTIFICATION_QE_REPORT: that is unwrapped */
    const uint8_t *certification_data;
    size_t certification_data_size;
};

/* The fixed part of certification data of types 1 to 3. */
struct attest_ppid_data {
    const uint8_t *ppid; /* clear (16), or encrypted (256 or 384) */
    size_t ppid_size;
    const uint8_t *cpusvn; /* 16 */
    uint16_t pce_svn;
    uint16_t pce_id;
};

/*
 * Parses a whole quote: size must be its own length exactly. 0, or -1 with *ret_error saying what is wrong where: too
 * short, too long, a length field that reaches past the end, an unknown version, key, TEE, body or certification data.
 */
int attest_quote_parse(const void *data, size_t size, struct attest_quote *ret_quote, char **ret_error);

/* The length that a quote in a larger buffer (AESM's, /dev/attestation/quote's) says it has; 0 if it does not say. */
size_t attest_quote_length(const void *data, size_t size);

/* Certification data of type 1, 2 or 3. 0, or -1 with *ret_error. */
int attest_quote_ppid_data(const struct attest_quote *quote, struct attest_ppid_data *ret_data, char **ret_error);

/* The 64 bytes of REPORTDATA of either body. */
const uint8_t *attest_quote_report_data(const struct attest_quote *quote);

#endif
