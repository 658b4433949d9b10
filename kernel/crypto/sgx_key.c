/* EREPORT and EGETKEY for the rest of the kernel (contract in sgx_key.h). */
#include "kernel/crypto/sgx_key.h"

#include <linux/errno.h>

#include "kernel/arch/enclu.h"
#include "kernel/crypto/aes_cmac.h"
#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"

enum key_name { KEY_REPORT = 3, KEY_SEAL = 4 };

struct key_request {
    uint16_t keyname, keypolicy, isvsvn;
    uint8_t cet_attributes_mask, reserved1;
    uint8_t cpusvn[16];
    uint64_t attribute_mask, xfrm_mask;
    uint8_t keyid[32];
    uint32_t miscmask;
    uint16_t configsvn;
    uint8_t reserved2[434];
} __attribute__((aligned(512)));
_Static_assert(sizeof(struct key_request) == 512, "SDM 38.17");

#define ATTRIBUTE_INIT 1UL
/* What RAX says (SDM table 37-4). */
#define SGX_INVALID_CPUSVN 32
#define SGX_INVALID_ISVSVN 64

void sgx_report(const struct sgx_targetinfo *target, const uint8_t reportdata[64], struct sgx_report *ret_report)
{
    /* Copies: the leaf insists on alignment and on enclave memory that the application cannot unmap. */
    struct sgx_targetinfo aligned_target = {0};
    uint8_t aligned_data[64] __attribute__((aligned(128)));
    struct sgx_report report __attribute__((aligned(512)));
    if (target)
        aligned_target = *target;
    memcpy(aligned_data, reportdata, sizeof(aligned_data));
    enclu_ereport(&aligned_target, aligned_data, &report);
    *ret_report = report;
}

void sgx_report_target(const struct sgx_report *report, struct sgx_targetinfo *ret_target)
{
    const struct sgx_report_body *body = &report->body;
    *ret_target = (struct sgx_targetinfo){
        .attributes = body->attributes,
        .xfrm = body->xfrm,
        .cet_attributes = body->cet_attributes,
        .configsvn = body->configsvn,
        .miscselect = body->miscselect,
    };
    memcpy(ret_target->mrenclave, body->mrenclave, sizeof(ret_target->mrenclave));
    memcpy(ret_target->configid, body->configid, sizeof(ret_target->configid));
}

static uint64_t get_key(const struct key_request *request, uint8_t ret_key[16])
{
    uint8_t key[16] __attribute__((aligned(16)));
    uint64_t status = enclu_egetkey(request, key);
    if (status == 0)
        memcpy(ret_key, key, sizeof(key));
    memory_wipe(key, sizeof(key));
    return status;
}

bool sgx_report_verify(const struct sgx_report *report)
{
    struct key_request request = {.keyname = KEY_REPORT};
    uint8_t key[16], mac[16];
    memcpy(request.keyid, report->keyid, sizeof(request.keyid));
    uint64_t status = get_key(&request, key);
    if (status)
        panic("EGETKEY gives no report key: %lu", (unsigned long)status);
    aes_cmac(key, &report->body, sizeof(report->body), mac);
    memory_wipe(key, sizeof(key));
    bool good = memory_equal_ct(mac, report->mac, sizeof(mac));
    memory_wipe(mac, sizeof(mac)); /* the right one for a report that was refused */
    return good;
}

void sgx_svn_current(struct sgx_svn *ret_svn)
{
    static const uint8_t nothing[64];
    struct sgx_report self;
    sgx_report(NULL, nothing, &self);
    memcpy(ret_svn->cpusvn, self.body.cpusvn, sizeof(ret_svn->cpusvn));
    ret_svn->isvsvn = self.body.isvsvn;
}

int sgx_seal_key(enum sgx_seal_policy policy, const uint8_t keyid[32], const struct sgx_svn *svn, uint8_t ret_key[16])
{
    struct key_request request = {
        .keyname = KEY_SEAL,
        .keypolicy = policy,
        .isvsvn = svn->isvsvn,
        .attribute_mask = ATTRIBUTE_INIT | SGX_ATTRIBUTE_DEBUG,
    };
    memcpy(request.cpusvn, svn->cpusvn, sizeof(request.cpusvn));
    memcpy(request.keyid, keyid, sizeof(request.keyid));
    uint64_t status = get_key(&request, ret_key);
    if (status == SGX_INVALID_CPUSVN || status == SGX_INVALID_ISVSVN)
        return -ESTALE;
    if (status)
        panic("EGETKEY gives no seal key: %lu", (unsigned long)status);
    return 0;
}

int sgx_seal_key_256(enum sgx_seal_policy policy, const uint8_t keyid[32], const struct sgx_svn *svn,
                     const char *purpose, uint8_t ret_key[32])
{
    uint8_t halves[2][16], other_keyid[32];
    memcpy(other_keyid, keyid, sizeof(other_keyid));
    other_keyid[31] ^= 1;
    int error = sgx_seal_key(policy, keyid, svn, halves[0]);
    if (!error)
        error = sgx_seal_key(policy, other_keyid, svn, halves[1]);
    if (!error)
        hkdf_sha256(halves, sizeof(halves), NULL, 0, purpose, strlen(purpose), ret_key, 32);
    memory_wipe(halves, sizeof(halves));
    return error;
}
