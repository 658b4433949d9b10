/* The enclave page cache map: what every page of ELRANGE is and what the enclave may do with it. */
#include <errno.h>
#include <sys/mman.h>

#include "host/softsgx/softsgx.h"

int softsgx_epcm_init(void)
{
    uint64_t pages = softsgx.secs.size >> PAGE_SHIFT;
    void *epcm = mmap(NULL, pages * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (epcm == MAP_FAILED)
        return -ENOMEM;
    void *table = mmap(NULL, (pages + 1) * sizeof(void *), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        munmap(epcm, pages * sizeof(uint32_t));
        return -ENOMEM;
    }
    softsgx.epcm = epcm;
    softsgx_tcs_table = table;
    softsgx_page_count = pages;
    softsgx_base_page = softsgx.secs.base >> PAGE_SHIFT;
    return softsgx_pte_init();
}

uint32_t softsgx_entry_prot(uint32_t e)
{
    if ((e & (EPCM_VALID | EPCM_TYPE_MASK | EPCM_PENDING | EPCM_MODIFIED)) != (EPCM_VALID | EPCM_TYPE(PT_REG)))
        return 0;
    return e & EPCM_RWX & ~(e >> EPCM_DENY_SHIFT);
}

bool softsgx_epcm_allows(uint64_t addr, uint32_t need)
{
    if (addr < softsgx.elrange_start || addr >= softsgx.elrange_end)
        return false;
    return (softsgx_entry_prot(atomic_load(softsgx_epcm(addr))) & need) == need;
}

bool softsgx_eaug(uint64_t addr)
{
    addr &= ~(PAGE_SIZE - 1);
    if (!softsgx.edmm || !softsgx.initialized || addr < softsgx.elrange_start || addr >= softsgx.elrange_end)
        return false;
    _Atomic uint32_t *entry = softsgx_epcm(addr);
    uint32_t e = atomic_load(entry);
    if (e & EPCM_VALID)
        return false;
    if (atomic_fetch_sub(&softsgx.epc_left, 1) <= 0) {
        atomic_fetch_add(&softsgx.epc_left, 1);
        return false;
    }
    uint32_t added = EPCM_VALID | EPCM_R | EPCM_W | EPCM_PENDING | EPCM_TYPE(PT_REG);
    if (!atomic_compare_exchange_strong(entry, &e, (e & ~EPCM_ARCH) | added)) {
        atomic_fetch_add(&softsgx.epc_left, 1);
        return false;
    }
    softsgx_charge(softsgx.cost.eaug);
    return true;
}
