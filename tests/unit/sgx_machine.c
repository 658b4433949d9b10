/* softsgx's leaves, called as the kernel calls ENCLU (contract in sgx_machine.h). */
#include "sgx_machine.h"

#include <stdlib.h>
#include <string.h>

#include "host/softsgx/softsgx.h"

struct softsgx softsgx;

bool softsgx_touch(uint64_t addr, uint64_t size, uint32_t need)
{
    return true;
}

void sgx_machine_run(struct sgx_identity identity)
{
    softsgx.created = true;
    memset(softsgx.secret, 0x5a, sizeof(softsgx.secret));
    memset(&softsgx.secs, 0, sizeof(softsgx.secs));
    softsgx.secs.size = UINT64_MAX;
    memset(softsgx.secs.mrenclave, identity.mrenclave, 32);
    memset(softsgx.secs.mrsigner, identity.mrsigner, 32);
    softsgx.secs.isvprodid = identity.isvprodid;
    softsgx.secs.isvsvn = identity.isvsvn;
    softsgx.secs.attributes = SGX_ATTR_INIT | SGX_ATTR_MODE64BIT | (identity.debug ? SGX_ATTR_DEBUG : 0);
    softsgx.secs.xfrm = identity.xfrm;
}

void enclu_ereport(const void *targetinfo, const void *reportdata, void *report);
void enclu_ereport(const void *targetinfo, const void *reportdata, void *report)
{
    struct softsgx_fault fault;
    if (softsgx_ereport((uint64_t)targetinfo, (uint64_t)reportdata, (uint64_t)report, &fault))
        abort();
}

uint64_t enclu_egetkey(const void *keyrequest, void *key);
uint64_t enclu_egetkey(const void *keyrequest, void *key)
{
    struct softsgx_fault fault;
    int64_t status = softsgx_egetkey((uint64_t)keyrequest, (uint64_t)key, &fault);
    if (status < 0)
        abort();
    return (uint64_t)status;
}
