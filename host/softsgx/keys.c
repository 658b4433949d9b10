/*
 * EREPORT and EGETKEY (SDM 3D, table "Key Derivation"), over a secret that stands for this machine's fuses: made on
 * first use in the state folder (state.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <nettle/cmac.h>
#include <nettle/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "host/softsgx/softsgx.h"
#include "host/softsgx/state.h"

enum key_name { KEY_EINITTOKEN, KEY_PROVISION, KEY_PROVISION_SEAL, KEY_REPORT, KEY_SEAL };

#define POLICY_MRENCLAVE 0x1
#define POLICY_MRSIGNER 0x2
#define POLICY_NOISVPRODID 0x4
#define POLICY_CONFIGID 0x8
#define POLICY_ISVFAMILYID 0x10
#define POLICY_ISVEXTPRODID 0x20
#define POLICY_KNOWN 0x3f

struct targetinfo {
    uint8_t measurement[32];
    uint64_t attributes, xfrm;
    uint8_t cet_attributes, reserved1;
    uint16_t configsvn;
    uint32_t miscselect;
    uint8_t reserved2[8];
    uint8_t configid[64];
    uint8_t reserved3[384];
};
_Static_assert(sizeof(struct targetinfo) == 512, "SDM 38.16");

struct report {
    uint8_t cpusvn[16];
    uint32_t miscselect;
    uint8_t cet_attributes, reserved1[11];
    uint8_t isvextprodid[16];
    uint64_t attributes, xfrm;
    uint8_t mrenclave[32], reserved2[32], mrsigner[32], reserved3[32], configid[64];
    uint16_t isvprodid, isvsvn, configsvn;
    uint8_t reserved4[42], isvfamilyid[16], reportdata[64];
    uint8_t keyid[32], mac[16];
};
_Static_assert(sizeof(struct report) == 432, "SDM 38.15");

struct keyrequest {
    uint16_t keyname, keypolicy, isvsvn;
    uint8_t cet_attributes_mask, reserved1;
    uint8_t cpusvn[16];
    uint64_t attribute_mask, xfrm_mask;
    uint8_t keyid[32];
    uint32_t miscmask;
    uint16_t configsvn;
    uint8_t reserved2[434];
};
_Static_assert(sizeof(struct keyrequest) == 512, "SDM 38.17");

/* All that a key may depend on; what it does not depend on is zero. */
struct key_dependencies {
    uint16_t keyname, keypolicy, isvsvn, isvprodid, configsvn, owner_epoch;
    uint32_t miscselect, miscmask, reserved;
    uint64_t attributes, xfrm, attribute_mask, xfrm_mask;
    uint8_t cpusvn[16], keyid[32], mrenclave[32], mrsigner[32], configid[64], isvfamilyid[16], isvextprodid[16];
};

static const uint8_t cpusvn_now[16] = {1, 1};
static uint8_t report_keyid[32];

static void derive(const struct key_dependencies *dependencies, uint8_t ret_key[16])
{
    struct hmac_sha256_ctx hmac;
    hmac_sha256_set_key(&hmac, sizeof(softsgx.secret), softsgx.secret);
    hmac_sha256_update(&hmac, sizeof(*dependencies), (const uint8_t *)dependencies);
    hmac_sha256_digest(&hmac, 16, ret_key);
}

static bool secret_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, softsgx.secret, sizeof(softsgx.secret));
    close(fd);
    return n == sizeof(softsgx.secret);
}

/* Written aside and linked into place, so that two first users agree. */
static bool secret_write(const char *path)
{
    char aside[4200];
    if (snprintf(aside, sizeof(aside), "%s.%d", path, (int)getpid()) >= (int)sizeof(aside))
        return false;
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, softsgx.secret, sizeof(softsgx.secret)) == sizeof(softsgx.secret);
    close(fd);
    if (ok)
        ok = link(aside, path) == 0 || errno == EEXIST;
    unlink(aside);
    return ok && secret_read(path);
}

/* Nothing on the way here is fatal: without a place to keep it the secret lasts as long as the process. */
int softsgx_secret_load(void)
{
    char path[4096];
    bool kept = softsgx_state_path("softsgx.key", path, sizeof(path) - 16);
    if (getrandom(report_keyid, sizeof(report_keyid), 0) != sizeof(report_keyid))
        return -EIO;
    if (kept && secret_read(path))
        return 0;
    if (getrandom(softsgx.secret, sizeof(softsgx.secret), 0) != sizeof(softsgx.secret))
        return -EIO;
    if (kept)
        secret_write(path);
    return 0;
}

static int64_t general_protection(struct softsgx_fault *ret_fault)
{
    *ret_fault = (struct softsgx_fault){.vector = 13};
    return -1;
}

static int64_t page_fault(struct softsgx_fault *ret_fault, uint64_t addr, uint32_t error_code)
{
    *ret_fault = (struct softsgx_fault){.vector = 14, .error_code = error_code, .addr = addr};
    return -1;
}

/* An operand in enclave memory: aligned, inside, accessible. */
static int64_t operand(uint64_t addr, uint64_t size, uint64_t align, uint32_t need, struct softsgx_fault *ret_fault)
{
    if (addr % align || !softsgx_in_elrange(addr) || !softsgx_in_elrange(addr + size - 1))
        return general_protection(ret_fault);
    if (!softsgx_touch(addr, size, need))
        return page_fault(ret_fault, addr, PF_U | PF_P | PF_SGX | (need & EPCM_W ? PF_W : 0));
    return 0;
}

static bool zero(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum |= bytes[i];
    return sum == 0;
}

static void report_key(const struct targetinfo *target, const uint8_t keyid[32], uint8_t ret_key[16])
{
    struct key_dependencies d;
    memset(&d, 0, sizeof(d));
    d.keyname = KEY_REPORT;
    d.owner_epoch = 1;
    d.attributes = target->attributes;
    d.xfrm = target->xfrm;
    d.miscselect = target->miscselect;
    d.configsvn = target->configsvn;
    memcpy(d.configid, target->configid, sizeof(d.configid));
    memcpy(d.mrenclave, target->measurement, sizeof(d.mrenclave));
    memcpy(d.cpusvn, cpusvn_now, sizeof(d.cpusvn));
    memcpy(d.keyid, keyid, sizeof(d.keyid));
    derive(&d, ret_key);
}

static void report_mac(const struct targetinfo *target, const struct report *report, uint8_t ret_mac[16])
{
    uint8_t key[16];
    struct cmac_aes128_ctx cmac;
    report_key(target, report->keyid, key);
    cmac_aes128_set_key(&cmac, key);
    cmac_aes128_update(&cmac, offsetof(struct report, keyid), (const uint8_t *)report);
    cmac_aes128_digest(&cmac, 16, ret_mac);
}

bool softsgx_report_verify(const void *targetinfo, const void *report_bytes)
{
    struct targetinfo target;
    struct report report;
    uint8_t mac[16];
    memcpy(&target, targetinfo, sizeof(target));
    memcpy(&report, report_bytes, sizeof(report));
    report_mac(&target, &report, mac);
    return memcmp(mac, report.mac, sizeof(mac)) == 0;
}

int64_t softsgx_ereport(uint64_t targetinfo, uint64_t reportdata, uint64_t out, struct softsgx_fault *ret_fault)
{
    if (operand(targetinfo, 512, 512, EPCM_R, ret_fault) || operand(reportdata, 64, 128, EPCM_R, ret_fault) ||
        operand(out, 432, 512, EPCM_R | EPCM_W, ret_fault))
        return -1;
    struct targetinfo target = *(const struct targetinfo *)targetinfo;
    if (target.reserved1 || !zero(target.reserved2, sizeof(target.reserved2)) ||
        !zero(target.reserved3, sizeof(target.reserved3)))
        return general_protection(ret_fault);
    const struct secs *secs = &softsgx.secs;
    struct report r;
    memset(&r, 0, sizeof(r));
    memcpy(r.cpusvn, cpusvn_now, sizeof(r.cpusvn));
    r.miscselect = secs->miscselect;
    r.attributes = secs->attributes;
    r.xfrm = secs->xfrm;
    memcpy(r.isvextprodid, softsgx.isvextprodid, sizeof(r.isvextprodid));
    memcpy(r.isvfamilyid, softsgx.isvfamilyid, sizeof(r.isvfamilyid));
    memcpy(r.mrenclave, secs->mrenclave, sizeof(r.mrenclave));
    memcpy(r.mrsigner, secs->mrsigner, sizeof(r.mrsigner));
    memcpy(r.configid, secs->configid, sizeof(r.configid));
    r.isvprodid = secs->isvprodid;
    r.isvsvn = secs->isvsvn;
    r.configsvn = secs->configsvn;
    memcpy(r.reportdata, (const void *)reportdata, sizeof(r.reportdata));
    memcpy(r.keyid, report_keyid, sizeof(r.keyid));
    report_mac(&target, &r, r.mac);
    memcpy((void *)out, &r, sizeof(r));
    return SGX_SUCCESS;
}

static bool cpusvn_beyond(const uint8_t cpusvn[16])
{
    for (int i = 0; i < 16; i++) {
        if (cpusvn[i] > cpusvn_now[i])
            return true;
    }
    return false;
}

/* The security versions asked for must not be newer than what runs. */
static int64_t check_versions(const struct keyrequest *request)
{
    if (cpusvn_beyond(request->cpusvn))
        return SGX_INVALID_CPUSVN;
    if (request->isvsvn > softsgx.secs.isvsvn || request->configsvn > softsgx.secs.configsvn)
        return SGX_INVALID_ISVSVN;
    return 0;
}

/* What all keys but the report key have in common. */
static void common_dependencies(struct key_dependencies *d, const struct keyrequest *request)
{
    const struct secs *secs = &softsgx.secs;
    d->attributes = (request->attribute_mask | SGX_ATTR_INIT | SGX_ATTR_DEBUG) & secs->attributes;
    d->xfrm = request->xfrm_mask & secs->xfrm;
    d->miscselect = request->miscmask & secs->miscselect;
    d->isvsvn = request->isvsvn;
    d->isvprodid = secs->isvprodid;
    memcpy(d->cpusvn, request->cpusvn, sizeof(d->cpusvn));
}

/* Sealing and provisioning seal keys also depend on the policy and on what it names. */
static void policy_dependencies(struct key_dependencies *d, const struct keyrequest *request)
{
    const struct secs *secs = &softsgx.secs;
    uint16_t policy = request->keypolicy;
    d->keypolicy = policy;
    d->attribute_mask = request->attribute_mask;
    d->xfrm_mask = request->xfrm_mask;
    d->miscmask = request->miscmask;
    if (policy & POLICY_NOISVPRODID)
        d->isvprodid = 0;
    if (policy & POLICY_CONFIGID) {
        memcpy(d->configid, secs->configid, sizeof(d->configid));
        d->configsvn = request->configsvn;
    }
    if (policy & POLICY_ISVFAMILYID)
        memcpy(d->isvfamilyid, softsgx.isvfamilyid, sizeof(d->isvfamilyid));
    if (policy & POLICY_ISVEXTPRODID)
        memcpy(d->isvextprodid, softsgx.isvextprodid, sizeof(d->isvextprodid));
}

static int64_t get_key(const struct keyrequest *request, uint8_t ret_key[16])
{
    const struct secs *secs = &softsgx.secs;
    struct key_dependencies d;
    memset(&d, 0, sizeof(d));
    d.keyname = request->keyname;
    if (request->keyname == KEY_REPORT) {
        struct targetinfo self;
        memset(&self, 0, sizeof(self));
        memcpy(self.measurement, secs->mrenclave, sizeof(self.measurement));
        memcpy(self.configid, secs->configid, sizeof(self.configid));
        self.attributes = secs->attributes;
        self.xfrm = secs->xfrm;
        self.miscselect = secs->miscselect;
        self.configsvn = secs->configsvn;
        report_key(&self, request->keyid, ret_key);
        return SGX_SUCCESS;
    }
    uint64_t gate = request->keyname == KEY_SEAL         ? 0
                    : request->keyname == KEY_EINITTOKEN ? SGX_ATTR_EINITTOKENKEY
                                                         : SGX_ATTR_PROVISIONKEY;
    if ((secs->attributes & gate) != gate)
        return SGX_INVALID_ATTRIBUTE;
    int64_t e = check_versions(request);
    if (e)
        return e;
    common_dependencies(&d, request);
    if (request->keyname == KEY_SEAL || request->keyname == KEY_PROVISION_SEAL)
        policy_dependencies(&d, request);
    if (request->keyname == KEY_SEAL || request->keyname == KEY_EINITTOKEN) {
        d.owner_epoch = 1;
        memcpy(d.keyid, request->keyid, sizeof(d.keyid));
    }
    if (request->keyname == KEY_SEAL && request->keypolicy & POLICY_MRENCLAVE)
        memcpy(d.mrenclave, secs->mrenclave, sizeof(d.mrenclave));
    if (request->keyname != KEY_SEAL || request->keypolicy & POLICY_MRSIGNER)
        memcpy(d.mrsigner, secs->mrsigner, sizeof(d.mrsigner));
    derive(&d, ret_key);
    return SGX_SUCCESS;
}

int64_t softsgx_egetkey(uint64_t keyrequest, uint64_t out, struct softsgx_fault *ret_fault)
{
    if (operand(keyrequest, 512, 512, EPCM_R, ret_fault) || operand(out, 16, 16, EPCM_R | EPCM_W, ret_fault))
        return -1;
    struct keyrequest request = *(const struct keyrequest *)keyrequest;
    bool kss = softsgx.secs.attributes & SGX_ATTR_KSS;
    if (request.reserved1 || request.cet_attributes_mask || !zero(request.reserved2, sizeof(request.reserved2)) ||
        request.keypolicy & ~POLICY_KNOWN ||
        (!kss && (request.keypolicy & ~(POLICY_MRENCLAVE | POLICY_MRSIGNER) || request.configsvn)))
        return general_protection(ret_fault);
    if (request.keyname > KEY_SEAL)
        return SGX_INVALID_KEYNAME;
    uint8_t key[16];
    int64_t e = get_key(&request, key);
    if (e == SGX_SUCCESS)
        memcpy((void *)out, key, sizeof(key));
    return e;
}
