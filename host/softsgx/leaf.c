/*
 * EACCEPT, EMODPE and EACCEPTCOPY as the SDM writes them. Compiled for general registers only: the fast path runs here
 * with the enclave's vector state, FS and GS in place.
 */
#include "host/softsgx/softsgx.h"

#define SECINFO_RESERVED (~(uint64_t)(EPCM_RWX | EPCM_STATE | 0xff00))

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

/* SECINFO operand: 64 bytes of accessible enclave memory with nothing reserved set. */
static int64_t secinfo_read(uint64_t addr, uint64_t *ret_flags, struct softsgx_fault *ret_fault)
{
    if (addr % 64 || !softsgx_in_elrange(addr))
        return general_protection(ret_fault);
    if (!softsgx_touch(addr, 64, EPCM_R))
        return page_fault(ret_fault, addr, PF_U | PF_P | PF_SGX);
    const struct secinfo *secinfo = (const struct secinfo *)addr;
    uint64_t reserved = 0;
    for (int i = 0; i < 7; i++)
        reserved |= secinfo->reserved[i];
    *ret_flags = secinfo->flags;
    if (reserved || *ret_flags & SECINFO_RESERVED)
        return general_protection(ret_fault);
    return 0;
}

static bool page_operand_ok(uint64_t page)
{
    return page % PAGE_SIZE == 0 && softsgx_in_elrange(page);
}

/* The page must be in the EPC; with SGX2 the fault that finds it missing adds it, and the leaf runs again. */
static bool page_present(struct sgx_thread *thread, uint64_t page)
{
    if (page < softsgx.elrange_start)
        return false;
    if (atomic_load(softsgx_epcm(page)) & EPCM_VALID)
        return true;
    if (!softsgx_eaug(page))
        return false;
    thread->aex++;
    thread->aex_by_vector[14]++;
    thread->eresume++;
    thread->eaug++;
    return true;
}

static bool accept_tcs(uint64_t page)
{
    if (softsgx_tcs_at(page))
        return true;
    softsgx_pte_peek(page, true);
    struct softsgx_tcs *tcs = softsgx_tcs_new(page, (const struct tcs_page *)page);
    softsgx_pte_peek(page, false);
    return tcs;
}

int64_t softsgx_eaccept(struct sgx_thread *thread, uint64_t secinfo, uint64_t page, struct softsgx_fault *ret_fault)
{
    uint64_t flags;
    if (!softsgx.edmm || !page_operand_ok(page))
        return general_protection(ret_fault);
    if (secinfo_read(secinfo, &flags, ret_fault))
        return -1;
    uint32_t type = flags & 0xff00, state = flags & EPCM_STATE;
    bool reg = type == EPCM_TYPE(PT_REG) && (state & (EPCM_PR | EPCM_PENDING)) && !(state & EPCM_MODIFIED);
    bool changed = (type == EPCM_TYPE(PT_TCS) || type == EPCM_TYPE(PT_TRIM)) && state == EPCM_MODIFIED;
    if (!reg && !changed)
        return general_protection(ret_fault);
    softsgx_charge(softsgx.cost.eaccept);
    if (!page_present(thread, page))
        return page_fault(ret_fault, page, PF_U | PF_W);
    _Atomic uint32_t *entry = softsgx_epcm(page);
    uint32_t e = atomic_load(entry);
    do {
        uint32_t had = e & EPCM_TYPE_MASK;
        if (!(e & EPCM_VALID) || (had != EPCM_TYPE(PT_REG) && had != EPCM_TYPE(PT_TCS) && had != EPCM_TYPE(PT_TRIM)))
            return page_fault(ret_fault, page, PF_U | PF_P | PF_SGX);
        if ((e & (EPCM_RWX | EPCM_STATE | EPCM_TYPE_MASK)) != (flags & (EPCM_RWX | EPCM_STATE | 0xff00)))
            return SGX_PAGE_ATTRIBUTES_MISMATCH;
        if (had == EPCM_TYPE(PT_TCS) && !accept_tcs(page))
            return general_protection(ret_fault);
    } while (!atomic_compare_exchange_weak(entry, &e, e & ~EPCM_STATE));
    return SGX_SUCCESS;
}

int64_t softsgx_emodpe(struct sgx_thread *thread, uint64_t secinfo, uint64_t page, struct softsgx_fault *ret_fault)
{
    uint64_t flags;
    if (!softsgx.edmm || !page_operand_ok(page))
        return general_protection(ret_fault);
    if (secinfo_read(secinfo, &flags, ret_fault))
        return -1;
    if (page < softsgx.elrange_start)
        return page_fault(ret_fault, page, PF_U | PF_W);
    softsgx_charge(softsgx.cost.eaccept);
    uint32_t more = flags & EPCM_RWX;
    _Atomic uint32_t *entry = softsgx_epcm(page);
    uint32_t e = atomic_load(entry);
    do {
        if (!(e & EPCM_VALID))
            return page_fault(ret_fault, page, PF_U | PF_W);
        if ((e & (EPCM_PENDING | EPCM_MODIFIED)) || (e & EPCM_TYPE_MASK) != EPCM_TYPE(PT_REG))
            return page_fault(ret_fault, page, PF_U | PF_W | PF_P | PF_SGX);
        if (!(e & EPCM_R) && !(more & EPCM_R) && (more & EPCM_W))
            return general_protection(ret_fault);
    } while (!atomic_compare_exchange_weak(entry, &e, e | more));
    if (!(e & EPCM_RWX)) /* out of reach until now: it will be used at once */
        (void)softsgx_pte_fill(page, more);
    return SGX_SUCCESS;
}

int64_t softsgx_eacceptcopy(struct sgx_thread *thread, uint64_t secinfo, uint64_t page, uint64_t source,
                            struct softsgx_fault *ret_fault)
{
    uint64_t flags;
    if (!softsgx.edmm || !page_operand_ok(page) || !page_operand_ok(source))
        return general_protection(ret_fault);
    if (secinfo_read(secinfo, &flags, ret_fault))
        return -1;
    if ((flags & ~(uint64_t)EPCM_RWX) != EPCM_TYPE(PT_REG) || ((flags & EPCM_W) && !(flags & EPCM_R)))
        return general_protection(ret_fault);
    softsgx_charge(softsgx.cost.eaccept);
    if (!softsgx_touch(source, PAGE_SIZE, EPCM_R))
        return page_fault(ret_fault, source, PF_U | PF_P | PF_SGX);
    if (!page_present(thread, page))
        return page_fault(ret_fault, page, PF_U | PF_W);
    _Atomic uint32_t *entry = softsgx_epcm(page);
    uint32_t e = atomic_load(entry);
    if (!(e & EPCM_VALID) || (e & EPCM_TYPE_MASK) != EPCM_TYPE(PT_REG))
        return page_fault(ret_fault, page, PF_U | PF_P | PF_SGX);
    if ((e & (EPCM_STATE | EPCM_RWX)) != (EPCM_PENDING | EPCM_R | EPCM_W))
        return SGX_PAGE_ATTRIBUTES_MISMATCH;
    uint32_t accepted = (e & ~(EPCM_STATE | EPCM_RWX)) | ((uint32_t)flags & EPCM_RWX);
    if (!softsgx_pte_copy(page, source, e, accepted)) {
        if ((atomic_load(entry) ^ e) & EPCM_ARCH)
            return general_protection(ret_fault); /* another thread had the page */
        return page_fault(ret_fault, page, PF_U | PF_P | PF_SGX);
    }
    return SGX_SUCCESS;
}

static bool is_tcs(uint64_t page)
{
    return page_operand_ok(page) && (atomic_load(softsgx_epcm(page)) & EPCM_TYPE_MASK) == EPCM_TYPE(PT_TCS);
}

int64_t softsgx_leaf_fast(struct sgx_thread *thread, uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
    struct softsgx_fault fault;
    /* A new TCS is checked with library code: the slow way, where vector registers are saved. */
    if (leaf == 5 && is_tcs(rcx))
        return -1;
    if (leaf == 7)
        return softsgx_eacceptcopy(thread, rbx, rcx, rdx, &fault);
    return leaf == 5 ? softsgx_eaccept(thread, rbx, rcx, &fault) : softsgx_emodpe(thread, rbx, rcx, &fault);
}
