/* SGX2: the ioctls that restrict permissions, change types and remove pages of a running enclave. */
#include <errno.h>
#include <sys/mman.h>

#include "host/softsgx/softsgx.h"

#define PERMISSIONS_VALID 0x7UL

/* Linux's checks that come before any page is looked at. */
static int check_range(uint64_t offset, uint64_t length)
{
    if (!softsgx.created || !softsgx.initialized)
        return -EINVAL;
    if (!softsgx.edmm)
        return -ENODEV;
    if ((offset | length) & (PAGE_SIZE - 1) || length == 0 || offset + length < offset ||
        offset + length > softsgx.secs.size)
        return -EINVAL;
    return 0;
}

static bool reserved_page(uint64_t addr)
{
    return addr < softsgx.elrange_start;
}

/* One EMODPR. Returns 0, -EFAULT (no such page) or an SGX error code. */
static int emodpr(uint64_t addr, uint64_t permissions)
{
    if (reserved_page(addr))
        return -EFAULT;
    _Atomic uint32_t *entry = softsgx_epcm(addr);
    uint32_t e = atomic_load(entry);
    do {
        if (!(e & EPCM_VALID) || (e & EPCM_TYPE_MASK) != EPCM_TYPE(PT_REG))
            return -EFAULT;
        if (e & (EPCM_PENDING | EPCM_MODIFIED))
            return SGX_PAGE_NOT_MODIFIABLE;
    } while (!atomic_compare_exchange_weak(entry, &e, (e & ~(EPCM_RWX & ~(uint32_t)permissions)) | EPCM_PR));
    return 0;
}

/*
 * What the two ioctls do page by page, up to the first that says no: an SGX error code goes to *ret_result. What was
 * done is dropped from the page tables.
 */
static int each_page(uint64_t offset, uint64_t length, int (*leaf)(uint64_t addr, uint64_t how), uint64_t how,
                     __u64 *ret_result, __u64 *ret_count)
{
    uint64_t done = 0, base = softsgx.secs.base + offset;
    int r = 0;
    for (; done < length && r == 0; done += r ? 0 : PAGE_SIZE) {
        r = leaf(base + done, how);
        softsgx_charge(softsgx.cost.page);
    }
    if (r > 0) {
        *ret_result = (uint64_t)r;
        r = -EFAULT;
    }
    *ret_count = done;
    int dropped = done ? softsgx_pte_drop(base, base + done) : 0;
    return r ? r : dropped;
}

int softsgx_restrict_permissions(struct sgx_enclave_restrict_permissions *arg)
{
    int r = check_range(arg->offset, arg->length);
    if (r)
        return r;
    if (arg->permissions & ~PERMISSIONS_VALID || ((arg->permissions & EPCM_W) && !(arg->permissions & EPCM_R)) ||
        arg->result || arg->count)
        return -EINVAL;
    return each_page(arg->offset, arg->length, emodpr, arg->permissions, &arg->result, &arg->count);
}

/* One EMODT. */
static int emodt(uint64_t addr, uint64_t type)
{
    if (reserved_page(addr))
        return -EFAULT;
    _Atomic uint32_t *entry = softsgx_epcm(addr);
    uint32_t e = atomic_load(entry), kept;
    do {
        uint32_t old = e & EPCM_TYPE_MASK;
        if (!(e & EPCM_VALID))
            return -EFAULT;
        if (!(old == EPCM_TYPE(PT_REG) || (old == EPCM_TYPE(PT_TCS) && type == PT_TRIM)))
            return -EINVAL;
        if (e & (EPCM_PENDING | EPCM_MODIFIED))
            return SGX_PAGE_NOT_MODIFIABLE;
        kept = e & ~(EPCM_RWX | EPCM_PR | EPCM_TYPE_MASK);
    } while (!atomic_compare_exchange_weak(entry, &e, kept | EPCM_MODIFIED | EPCM_TYPE(type)));
    struct softsgx_tcs *tcs = softsgx_tcs_at(addr);
    if (tcs)
        tcs->nssa = 0; /* no entry any more, for threads that have it at hand too */
    return 0;
}

int softsgx_modify_types(struct sgx_enclave_modify_types *arg)
{
    int r = check_range(arg->offset, arg->length);
    if (r)
        return r;
    if ((arg->page_type != PT_TCS && arg->page_type != PT_TRIM) || arg->result || arg->count)
        return -EINVAL;
    return each_page(arg->offset, arg->length, emodt, arg->page_type, &arg->result, &arg->count);
}

/* Trimmed and accepted: may go. */
static int removable(uint64_t addr)
{
    if (reserved_page(addr))
        return -EFAULT;
    uint32_t e = atomic_load(softsgx_epcm(addr));
    if (!(e & EPCM_VALID))
        return -EFAULT;
    if ((e & EPCM_TYPE_MASK) != EPCM_TYPE(PT_TRIM) || (e & EPCM_MODIFIED))
        return -EPERM;
    return 0;
}

int softsgx_remove_pages(struct sgx_enclave_remove_pages *arg)
{
    int r = check_range(arg->offset, arg->length);
    if (r)
        return r;
    if (arg->count)
        return -EINVAL;
    uint64_t base = softsgx.secs.base + arg->offset, done = 0;
    bool contents = false; /* in sparse areas they went when the page was trimmed */
    for (; done < arg->length; done += PAGE_SIZE) {
        r = removable(base + done);
        if (r)
            break;
        contents |= !softsgx_entry_sparse(atomic_load(softsgx_epcm(base + done)));
        softsgx_charge(softsgx.cost.page);
    }
    /* The contents go before the entries: an EAUG that follows must find zeros. */
    if (contents && madvise((void *)base, done, MADV_DONTNEED))
        return -errno;
    for (uint64_t a = base; a < base + done; a += PAGE_SIZE) {
        struct softsgx_tcs *tcs = softsgx_tcs_at(a);
        if (tcs) {
            softsgx_tcs_table[((a - softsgx.secs.base) >> PAGE_SHIFT) + 1] = NULL;
            tcs->removed = true;
        }
        atomic_fetch_and(softsgx_epcm(a), ~EPCM_ARCH);
    }
    atomic_fetch_add(&softsgx.epc_left, (int64_t)(done >> PAGE_SHIFT));
    arg->count = done;
    return r;
}
