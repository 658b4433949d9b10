/*
 * The result of verifying one piece of evidence: every fact that was established, and which check failed if one did.
 * A plain structure without pointers: it may be copied, and need not be freed.
 */
#ifndef COFRE_ATTEST_RESULT_H
#define COFRE_ATTEST_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/quote.h"
#include "attest/report.h"

/* What came out. Only the first two mean that the evidence is what it says it is. */
enum attest_outcome {
    ATTEST_OUTCOME_VERIFIED,   /* every check passed; judge tcb_status and identities by a policy */
    ATTEST_OUTCOME_EXPIRED,    /* all checks but one passed: at that time something was not (or not yet) valid */
    ATTEST_OUTCOME_INCOMPLETE, /* collateral is missing: nothing is known either way */
    ATTEST_OUTCOME_REJECTED,   /* a check failed */
};

/* The checks, in the order in which they are made. Their names (attest_check_name) are stable. */
enum attest_check {
    ATTEST_CHECK_NONE,
    ATTEST_CHECK_CERTIFICATE,         /* that carries evidence: attest_ratls_evidence_get */
    ATTEST_CHECK_TOKEN,               /* of a service that verified the quote: attest_maa_verify */
    ATTEST_CHECK_QUOTE_FORMAT,        /* attest_quote_parse */
    ATTEST_CHECK_QE_VENDOR,           /* header: Intel's quoting enclave */
    ATTEST_CHECK_CERTIFICATION_DATA,  /* can be read; a PCK certificate is to be had from it or from collateral */
    ATTEST_CHECK_QUOTE_SIGNATURE,     /* by the attestation key */
    ATTEST_CHECK_QE_REPORT_DATA,      /* SHA-256 of attestation key and authentication data */
    ATTEST_CHECK_REPORT_BODY,         /* of quoting enclave and enclave: reserved fields zero, INIT set */
    ATTEST_CHECK_PCK_CHAIN,           /* form, order, names, key usage, signatures */
    ATTEST_CHECK_PCK_EXTENSIONS,      /* SGX extensions of the PCK certificate */
    ATTEST_CHECK_ROOT,                /* the chain's root is one of those trusted */
    ATTEST_CHECK_QE_REPORT_SIGNATURE, /* by the PCK key */
    ATTEST_CHECK_ROOT_CRL,            /* form, issuer, signature */
    ATTEST_CHECK_PCK_CRL,             /* and its issuers' chain */
    ATTEST_CHECK_REVOCATION,          /* no certificate of any chain is on its CA's list */
    ATTEST_CHECK_TCB_INFO,            /* form, signature, chain of its signer */
    ATTEST_CHECK_QE_IDENTITY,         /* form, signature, chain of its signer */
    ATTEST_CHECK_COLLATERAL_MATCH,    /* TCB info and PCK certificate: FMSPC, PCEID; TEE of all */
    ATTEST_CHECK_QE_REPORT,           /* against the QE identity: MISCSELECT, ATTRIBUTES, MRSIGNER, ISVPRODID */
    ATTEST_CHECK_TDX_MODULE,          /* MRSIGNERSEAM and SEAMATTRIBUTES against the TDX module identity */
    ATTEST_CHECK_VALIDITY,            /* of certificates, lists and documents at the time of evaluation */
    ATTEST_CHECK_COUNT
};

/* The words of Intel's TCB info, and two for what matches none of them. */
enum attest_tcb_status {
    ATTEST_TCB_UNKNOWN, /* not evaluated */
    ATTEST_TCB_UP_TO_DATE,
    ATTEST_TCB_SW_HARDENING_NEEDED,
    ATTEST_TCB_CONFIGURATION_NEEDED,
    ATTEST_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED,
    ATTEST_TCB_TD_RELAUNCH_ADVISED,
    ATTEST_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
    ATTEST_TCB_OUT_OF_DATE,
    ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED,
    ATTEST_TCB_REVOKED,
    ATTEST_TCB_NOT_SUPPORTED, /* no TCB level of the collateral is as low as this one */
    ATTEST_TCB_UNRECOGNIZED,  /* a status word that is not of these */
    ATTEST_TCB_STATUS_COUNT
};

#define ATTEST_ADVISORY_COUNT_MAX 192 /* three levels of LEVEL_ADVISORY_COUNT_MAX (attest/signed_json.h) */
#define ATTEST_ADVISORY_SIZE_MAX 32

struct attest_advisories {
    size_t count;
    char ids[ATTEST_ADVISORY_COUNT_MAX][ATTEST_ADVISORY_SIZE_MAX]; /* "INTEL-SA-00615"; none twice */
};

/* One of the three things that have a TCB level: the platform, the quoting enclave, the TDX module. */
struct attest_tcb {
    enum attest_tcb_status status;
    int64_t date; /* of the level: all that was disclosed until then is dealt with; seconds since 1970, 0 if none */
    struct attest_advisories advisories; /* that the level is affected by */
};

/* From a document's issue (or notBefore) to its nextUpdate (or notAfter), seconds since 1970. */
struct attest_validity {
    int64_t from, until;
};

/* What validities a result holds. */
enum attest_dated {
    ATTEST_DATED_PCK_CERT,
    ATTEST_DATED_PCK_CA,
    ATTEST_DATED_ROOT, /* of the PCK certificate's chain */
    ATTEST_DATED_PCK_CRL,
    ATTEST_DATED_ROOT_CRL,
    ATTEST_DATED_TCB_SIGNER,
    ATTEST_DATED_QE_IDENTITY_SIGNER,
    ATTEST_DATED_TCB_INFO,
    ATTEST_DATED_QE_IDENTITY,
    ATTEST_DATED_COUNT
};

/* The SGX extensions of a PCK certificate (OID 1.2.840.113741.1.13.1). */
struct attest_pck {
    uint8_t ppid[16];
    uint8_t components[16]; /* TCB component SVNs 1 to 16 */
    uint16_t pce_svn;
    uint8_t cpusvn[16];
    uint8_t pce_id[2];
    uint8_t fmspc[6];
    uint8_t sgx_type; /* 0 standard, 1 scalable, 2 scalable with integrity */
    bool has_platform_instance_id, has_configuration;
    uint8_t platform_instance_id[16];
    bool dynamic_platform, cached_keys, smt_enabled; /* if has_configuration */
};

enum attest_pck_ca { ATTEST_PCK_CA_PROCESSOR, ATTEST_PCK_CA_PLATFORM };

struct attest_result {
    enum attest_outcome outcome;
    enum attest_check failed_check; /* ATTEST_CHECK_NONE if verified */
    char reason[512];               /* why it failed, one line; "" if verified */
    int64_t time;                   /* of evaluation, seconds since 1970 */

    bool has_quote; /* what follows was read; whether it is true is the outcome's to say */
    uint16_t quote_version;
    uint32_t tee_type;
    enum attest_body_type body_type;
    struct attest_sgx_body sgx; /* ATTEST_BODY_SGX */
    struct attest_td_body td;   /* ATTEST_BODY_TD10, ATTEST_BODY_TD15 */
    struct attest_sgx_body qe;
    uint8_t qe_id[16]; /* QEID, from the header */
    enum attest_certification_type certification_type;

    bool has_pck;
    struct attest_pck pck;
    enum attest_pck_ca pck_ca;
    uint8_t pck_serial[20]; /* big-endian, padded with zeros in front */

    bool has_root;
    uint8_t root_key_sha256[32]; /* of the 64 bytes of the root's public key */
    bool simulation;             /* that root is not Intel's */

    bool has_tcb;                      /* evaluated */
    enum attest_tcb_status tcb_status; /* of platform, QE and TDX module together */
    struct attest_tcb platform, quoting_enclave, tdx_module;
    struct attest_advisories advisories;                  /* of all three */
    uint32_t tcb_evaluation_number, qe_evaluation_number; /* tcbEvaluationDataNumber of TCB info and QE identity */
    uint32_t tcb_info_version;

    bool has_validity[ATTEST_DATED_COUNT];
    struct attest_validity validity[ATTEST_DATED_COUNT];
};

/* "verified", "expired", ... */
const char *attest_outcome_name(enum attest_outcome outcome);
/* "quote-signature", "pck-chain", ... */
const char *attest_check_name(enum attest_check check);
/* "UpToDate", ... as in TCB info; "Unknown", "NotSupported", "Unrecognized". */
const char *attest_tcb_status_name(enum attest_tcb_status status);
/* ATTEST_TCB_UNRECOGNIZED for any other word. */
enum attest_tcb_status attest_tcb_status_parse(const char *name);
const char *attest_dated_name(enum attest_dated dated);

/* Adds an advisory unless it is there; those past the limit are dropped, which the caller's limits exclude. */
void attest_advisories_add(struct attest_advisories *advisories, const char *id);

const uint8_t *attest_result_report_data(const struct attest_result *result);
/* DEBUG of the enclave, or a TD under debug. */
bool attest_result_debug(const struct attest_result *result);

/* One JSON object with every fact; malloc'd, NULL if there is no memory. docs/ATTESTATION.md documents it. */
char *attest_result_json(const struct attest_result *result);

#endif
