/*
 * What hardware says of an enclave or a trust domain: the body of an SGX REPORT (Intel SDM 3D, table 38-21), of a TDX
 * 1.0 report and of a TDX 1.5 report as quotes carry them. All numbers are little-endian.
 */
#ifndef COFRE_ATTEST_REPORT_H
#define COFRE_ATTEST_REPORT_H

#include <stddef.h>
#include <stdint.h>

/* ATTRIBUTES.flags */
#define ATTEST_SGX_INIT (1ULL << 0)
#define ATTEST_SGX_DEBUG (1ULL << 1)
#define ATTEST_SGX_MODE64 (1ULL << 2)
#define ATTEST_SGX_PROVISION_KEY (1ULL << 4)
#define ATTEST_SGX_EINITTOKEN_KEY (1ULL << 5)
#define ATTEST_SGX_CET (1ULL << 6)
#define ATTEST_SGX_KSS (1ULL << 7)
#define ATTEST_SGX_AEX_NOTIFY (1ULL << 10)

/* TDATTRIBUTES */
#define ATTEST_TD_DEBUG (1ULL << 0)
#define ATTEST_TD_TUD_MASK 0xffULL /* a TD with any of these bits is under debug: it may not be trusted */
#define ATTEST_TD_SEPT_VE_DISABLE (1ULL << 28)
#define ATTEST_TD_MIGRATABLE (1ULL << 29)
#define ATTEST_TD_PKS (1ULL << 30)
#define ATTEST_TD_KL (1ULL << 31)
#define ATTEST_TD_PERFMON (1ULL << 63)

struct attest_sgx_body {
    uint8_t cpusvn[16];
    uint32_t miscselect;
    uint8_t cet_attributes;
    uint8_t reserved1[11];
    uint8_t isv_ext_product_id[16];
    uint64_t attributes;
    uint64_t xfrm;
    uint8_t mrenclave[32];
    uint8_t reserved2[32];
    uint8_t mrsigner[32];
    uint8_t reserved3[32];
    uint8_t config_id[64];
    uint16_t isv_product_id;
    uint16_t isv_svn;
    uint16_t config_svn;
    uint8_t reserved4[42];
    uint8_t isv_family_id[16];
    uint8_t report_data[64];
} __attribute__((packed));
_Static_assert(sizeof(struct attest_sgx_body) == 384, "SGX report body");

/* TDX 1.5: version 1.0's 584 bytes and two fields more, which are zero where a 1.0 body was copied in. */
struct attest_td_body {
    uint8_t tee_tcb_svn[16];
    uint8_t mrseam[48];
    uint8_t mrsigner_seam[48];
    uint64_t seam_attributes;
    uint64_t td_attributes;
    uint64_t xfam;
    uint8_t mrtd[48];
    uint8_t mrconfig_id[48];
    uint8_t mrowner[48];
    uint8_t mrowner_config[48];
    uint8_t rtmr[4][48];
    uint8_t report_data[64];
    uint8_t tee_tcb_svn2[16];
    uint8_t mrservice_td[48];
} __attribute__((packed));
#define ATTEST_TD10_BODY_SIZE 584
_Static_assert(offsetof(struct attest_td_body, tee_tcb_svn2) == ATTEST_TD10_BODY_SIZE, "TDX 1.0 report body");
_Static_assert(sizeof(struct attest_td_body) == 648, "TDX 1.5 report body");

#define ATTEST_SGX_REPORT_SIZE 432 /* the body, KEYID 32, MAC 16: what EREPORT writes */

/* Which bits the SDM (and the TDX module's specification) defines; a report with another one set comes from a processor
 * that this library does not know. */
#define ATTEST_SGX_ATTRIBUTES_KNOWN                                                                                    \
    (ATTEST_SGX_INIT | ATTEST_SGX_DEBUG | ATTEST_SGX_MODE64 | ATTEST_SGX_PROVISION_KEY | ATTEST_SGX_EINITTOKEN_KEY |   \
     ATTEST_SGX_CET | ATTEST_SGX_KSS | ATTEST_SGX_AEX_NOTIFY)
#define ATTEST_TD_ATTRIBUTES_KNOWN                                                                                     \
    (ATTEST_TD_TUD_MASK | ATTEST_TD_SEPT_VE_DISABLE | ATTEST_TD_MIGRATABLE | ATTEST_TD_PKS | ATTEST_TD_KL |            \
     ATTEST_TD_PERFMON)
#define ATTEST_SGX_MISCSELECT_KNOWN 3U   /* EXINFO, CPINFO */
#define ATTEST_SGX_XFRM_KNOWN 0xe02ffULL /* XCR0: x87 to AVX-512, PKRU, AMX, APX */
#define ATTEST_TD_XFAM_KNOWN 0xfffffULL  /* and those of IA32_XSS */

/* 0 if the reserved fields are zero and INIT is set, else -1 with *ret_error. */
int attest_sgx_body_check(const struct attest_sgx_body *body, char **ret_error);

#endif
