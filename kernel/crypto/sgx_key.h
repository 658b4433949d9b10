/*
 * Keys and reports that the CPU makes for this enclave (SDM vol. 3D: 38.15 REPORT, 38.16 TARGETINFO, 38.17 KEYREQUEST,
 * chapter 40 EREPORT and EGETKEY).
 */
#ifndef COFRE_KERNEL_CRYPTO_SGX_KEY_H
#define COFRE_KERNEL_CRYPTO_SGX_KEY_H

#include "kernel/lib/types.h"

struct sgx_targetinfo {
    uint8_t mrenclave[32];
    uint64_t attributes, xfrm;
    uint8_t cet_attributes, reserved1;
    uint16_t configsvn;
    uint32_t miscselect;
    uint8_t reserved2[8];
    uint8_t configid[64];
    uint8_t reserved3[384];
} __attribute__((aligned(512)));
_Static_assert(sizeof(struct sgx_targetinfo) == 512, "SDM 38.16");

struct sgx_report_body {
    uint8_t cpusvn[16];
    uint32_t miscselect;
    uint8_t cet_attributes, reserved1[11];
    uint8_t isvextprodid[16];
    uint64_t attributes, xfrm;
    uint8_t mrenclave[32], reserved2[32];
    uint8_t mrsigner[32], reserved3[32];
    uint8_t configid[64];
    uint16_t isvprodid, isvsvn, configsvn;
    uint8_t reserved4[42], isvfamilyid[16], reportdata[64];
};
_Static_assert(sizeof(struct sgx_report_body) == 384, "SDM 38.15");

struct sgx_report {
    struct sgx_report_body body;
    uint8_t keyid[32], mac[16];
};
_Static_assert(sizeof(struct sgx_report) == 432, "SDM 38.15");

#define SGX_ATTRIBUTE_DEBUG 2UL

/*
 * A report of this enclave with 64 bytes of the caller's, which the enclave that target describes can verify; target
 * may be NULL for a report to nobody, which tells this enclave about itself.
 */
void sgx_report(const struct sgx_targetinfo *target, const uint8_t reportdata[64], struct sgx_report *ret_report);

/* The target that can verify reports made for it, out of a report that it made (verified or not: it is only an
 * address). */
void sgx_report_target(const struct sgx_report *report, struct sgx_targetinfo *ret_target);

/*
 * Whether a report was made by the EREPORT of an enclave on this machine for this enclave. What the report says is then
 * true; whether it is welcome (mrenclave, DEBUG, ...) is for the caller to check.
 */
must_check bool sgx_report_verify(const struct sgx_report *report);

enum sgx_seal_policy {
    SGX_SEAL_MRENCLAVE = 1, /* this very kernel, policy and root image */
    SGX_SEAL_MRSIGNER = 2,  /* any enclave of the same signer and ISVPRODID, of the same or a newer version */
};

/* The security versions a key is bound to: kept beside the sealed data, so that a newer enclave can ask for the old
 * key. */
struct sgx_svn {
    uint8_t cpusvn[16];
    uint16_t isvsvn;
};

void sgx_svn_current(struct sgx_svn *ret_svn);

/*
 * The 128-bit seal key. keyid is random or fixed, and not secret: another keyid, another key. Of the attributes the key
 * depends on INIT and DEBUG: an enclave that can be debugged never derives a production enclave's keys. It does not
 * depend on XFRM, so that a newer version may use other CPU features (under MRENCLAVE the policy, which is measured,
 * fixes them). 0; -ESTALE if svn is newer than the CPU or the enclave: sealed before an update was undone.
 */
must_check int sgx_seal_key(enum sgx_seal_policy policy, const uint8_t keyid[32], const struct sgx_svn *svn,
                            uint8_t ret_key[16]);

/*
 * A 256-bit key: HKDF-SHA-256 over two seal keys, of keyid and of keyid with the last bit flipped, so it has the
 * strength of 256 bits. purpose, a string, keeps keys for different uses apart. Errors as above.
 */
must_check int sgx_seal_key_256(enum sgx_seal_policy policy, const uint8_t keyid[32], const struct sgx_svn *svn,
                                const char *purpose, uint8_t ret_key[32]);

#endif
