/*
 * One document of collateral as a service answers it: its exact bytes, the certificates that its signature is checked
 * by, and until when it holds. What is asked for is described by a request; documents are compared with it, so that
 * another platform's is noticed before it is kept. Signatures are not looked at here: attest/verify.h does that, each
 * time.
 */
#ifndef COFRE_ATTEST_DOCUMENT_H
#define COFRE_ATTEST_DOCUMENT_H

#include <stddef.h>
#include <stdint.h>

enum attest_document_kind {
    ATTEST_DOCUMENT_TCB_INFO,    /* JSON */
    ATTEST_DOCUMENT_QE_IDENTITY, /* JSON */
    ATTEST_DOCUMENT_PCK_CRL,     /* DER */
    ATTEST_DOCUMENT_ROOT_CRL,    /* DER */
    ATTEST_DOCUMENT_PCK_CERT,    /* PEM, one certificate */
    ATTEST_DOCUMENT_KIND_COUNT
};

enum attest_document_tee { ATTEST_DOCUMENT_SGX, ATTEST_DOCUMENT_TDX };
enum attest_document_ca { ATTEST_DOCUMENT_CA_PROCESSOR, ATTEST_DOCUMENT_CA_PLATFORM };

/* What a PCK certificate is asked by: the certification data of type 2 or 3 of a quote. */
struct attest_pck_request {
    const uint8_t *encrypted_ppid; /* NULL: the service knows the platform by QEID alone */
    size_t encrypted_ppid_size;
    const uint8_t *qeid; /* 16 bytes, or NULL */
    uint8_t cpusvn[16];
    uint16_t pcesvn;
    uint16_t pceid;
};

struct attest_document_request {
    enum attest_document_kind kind;
    enum attest_document_tee tee;         /* TCB info, QE identity */
    enum attest_document_ca ca;           /* PCK CRL */
    uint8_t fmspc[6];                     /* TCB info; PCK certificate, unless all zero */
    const struct attest_pck_request *pck; /* PCK certificate */
};

struct attest_document {
    uint8_t *data; /* size bytes and a NUL after them */
    size_t size;
    char *chain;         /* PEM, the signer first; NULL where the service sends none (root CRL) */
    char *tcbm;          /* PCK certificate: CPUSVN and PCESVN it stands for, 36 hex digits */
    int64_t issued;      /* seconds since 1970 */
    int64_t next_update; /* a PCK certificate: its last second of validity */
};

#define ATTEST_DOCUMENT_SIZE_MAX (1U << 20)
#define ATTEST_DOCUMENT_CHAIN_SIZE_MAX (32U << 10)

/* "TCB info", "QE identity", ... for messages. */
const char *attest_document_kind_name(enum attest_document_kind kind);

/*
 * Takes an answer's body and makes it a document: a CRL in PEM or hex becomes DER; the JSON must have its one object,
 * its signature and no key twice; and it must be what was asked for (TEE, FMSPC, CA). data is copied. 0, or -1 with
 * *ret_error.
 */
int attest_document_parse(const struct attest_document_request *request, const void *data, size_t size,
                          struct attest_document *ret_document, char **ret_error);

/* Checks that text is one to four PEM certificates and nothing else. */
int attest_document_check_chain(const char *text, char **ret_error);

void attest_document_free(struct attest_document *document);

#endif
