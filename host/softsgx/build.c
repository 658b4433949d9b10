/* Building an enclave: address range, ECREATE, EADD, EEXTEND, and the ioctls as Linux answers them. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/softsgx/softsgx.h"

#define LOW_LIMIT 0x10000UL /* mmap_min_addr */
#define SECINFO_RESERVED (~(uint64_t)(EPCM_RWX | 0xff00))
#define TAG_ECREATE 0x0045544145524345UL
#define TAG_EADD 0x0000000044444145UL
#define TAG_EEXTEND 0x00444E4554584545UL
#define RANGES_MAX 1024

struct softsgx softsgx;
struct softsgx_tcs **softsgx_tcs_table;
uint64_t softsgx_page_count, softsgx_base_page;
uint32_t softsgx_foreign_state;
const struct softsgx_xsave_area softsgx_initial_state;

/* What ADD_PAGES has added, coalesced: INIT and mmap look only there. */
static struct {
    uint64_t start, end;
} ranges[RANGES_MAX];
static uint32_t range_count;
static bool reserved_writable;

static bool env_off(const char *name)
{
    const char *value = getenv(name);
    return value && strcmp(value, "0") == 0;
}

static bool cpuid_can_fault(void)
{
    return syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) == 0 && syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1) == 0;
}

static int soft_open(struct sgx_enclave **ret_enclave)
{
    if (softsgx.open)
        return -EBUSY;
    memset(&softsgx, 0, sizeof(softsgx));
    range_count = 0;
    softsgx.open = true;
    softsgx.edmm = !env_off("COFRE_SOFTSGX_EDMM");
    softsgx.patch = !env_off("COFRE_SOFTSGX_PATCH");
    softsgx.cpuid_faulting = !env_off("COFRE_SOFTSGX_CPUID") && cpuid_can_fault();
    const char *epc = getenv("COFRE_SOFTSGX_EPC");
    int64_t bytes = epc ? strtoll(epc, NULL, 0) : INT64_MAX;
    softsgx.epc_left = bytes > 0 ? bytes >> PAGE_SHIFT : INT64_MAX >> PAGE_SHIFT;
    softsgx_cost_parse(getenv("COFRE_SOFTSGX_COST"));
    softsgx.attributes_mask = SGX_ATTR_DEBUG | SGX_ATTR_MODE64BIT | SGX_ATTR_KSS | SGX_ATTR_INIT;
    softsgx.enclave.ops = &sgx_softsgx_ops;
    softsgx.enclave.fd = -1;
    softsgx.mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    softsgx.fault_fd = -1;
    if (!env_off("COFRE_SOFTSGX_SPARSE"))
        softsgx_sparse_open();
    *ret_enclave = &softsgx.enclave;
    return softsgx_secret_load();
}

/* All is memory that fork copied but the descriptors, which are the parent's memory. */
static int soft_inherit(struct sgx_enclave *enclave)
{
    if (softsgx.mem_fd >= 0)
        close(softsgx.mem_fd);
    softsgx.mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    if (softsgx.fault_fd >= 0) {
        close(softsgx.fault_fd);
        softsgx_sparse_open();
    }
    return 0;
}

static void soft_close(struct sgx_enclave *enclave)
{
    if (softsgx.elrange_end)
        munmap((void *)softsgx.elrange_start, softsgx.elrange_end - softsgx.elrange_start);
    softsgx_pte_deinit();
    if (softsgx.epcm) {
        munmap(softsgx.epcm, softsgx_page_count * sizeof(uint32_t));
        munmap(softsgx_tcs_table, (softsgx_page_count + 1) * sizeof(void *));
        softsgx_tcs_table = NULL;
        softsgx_page_count = 0;
    }
    free(softsgx.tcs);
    if (softsgx.mem_fd >= 0)
        close(softsgx.mem_fd);
    if (softsgx.fault_fd >= 0)
        close(softsgx.fault_fd);
    memset(&softsgx, 0, sizeof(softsgx));
}

/*
 * The range is made writable and one page of it touched while it is still one area: areas split from it later share its
 * anon_vma, so that the kernel can merge them again.
 */
static int soft_reserve(struct sgx_enclave *enclave, uint64_t base, uint64_t size)
{
    if (softsgx.elrange_end)
        return -EBUSY;
    if (size < 2 * PAGE_SIZE || (size & (size - 1)) || (base & (size - 1)))
        return -EINVAL;
    uint64_t start = base ? base : LOW_LIMIT, end = base + size;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    reserved_writable = true;
    void *p = mmap((void *)start, end - start, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED && errno == ENOMEM) {
        reserved_writable = false;
        p = mmap((void *)start, end - start, PROT_NONE, flags, -1, 0);
    }
    if (p == MAP_FAILED)
        return -errno;
    if (p != (void *)start) {
        munmap(p, end - start);
        return -EEXIST;
    }
    if (reserved_writable) {
        *(volatile char *)p = 0;
        madvise(p, PAGE_SIZE, MADV_DONTNEED);
    }
    softsgx.elrange_start = start;
    softsgx.elrange_end = end;
    enclave->base = base;
    enclave->size = size;
    return 0;
}

/* Standard-format XSAVE size for these components. */
uint32_t softsgx_xsave_size(uint64_t xfrm)
{
    uint32_t size = 576;
    for (int i = 2; i < 63; i++) {
        uint32_t eax, ebx, ecx, edx;
        if (!(xfrm >> i & 1))
            continue;
        __cpuid_count(0xd, i, eax, ebx, ecx, edx);
        if (ebx + eax > size)
            size = ebx + eax;
    }
    return size;
}

static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

static bool all_zero(const void *p, size_t size)
{
    const unsigned char *bytes = p;
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* The same for a page, by cache lines: a heap added at build has many. */
static bool page_is_zero(const void *page)
{
    typedef uint64_t vector __attribute__((vector_size(64), may_alias));
    const vector *lines = page;
    for (size_t i = 0; i < PAGE_SIZE / sizeof(vector); i += 8) {
        vector sum = lines[i] | lines[i + 1] | lines[i + 2] | lines[i + 3] | lines[i + 4] | lines[i + 5] |
                     lines[i + 6] | lines[i + 7];
        uint64_t all = 0;
        for (int j = 0; j < 8; j++)
            all |= sum[j];
        if (all)
            return false;
    }
    return true;
}

/*
 * Where CPUID answers inside because the CPU cannot make it fault, programs see all that the machine has and use it,
 * and XGETBV says that they may. Then AVX, AVX-512 and PKRU are kept whatever XFRM says, if the SSA frame has room.
 */
static uint64_t kept_state(const struct secs *secs)
{
    uint64_t more = secs->xfrm | (xcr0() & 0x2e4);
    uint64_t room = secs->ssaframesize * PAGE_SIZE - GPR_SIZE - 16;

    return softsgx.cpuid_faulting || softsgx_xsave_size(more) > room ? secs->xfrm : more;
}

/* AVX and AVX-512 state that the host has and the enclave has not. */
static uint32_t foreign_state(uint64_t xfrm)
{
    uint32_t a, b, c, d;

    __cpuid_count(0xd, 1, a, b, c, d);
    return a & 4 /* XGETBV(1) */ ? (uint32_t)(xcr0() & ~xfrm & 0xe4) : 0;
}

static bool xfrm_ok(uint64_t xfrm)
{
    if ((xfrm & 3) != 3 || xfrm & ~xcr0())
        return false;
    uint64_t avx512 = xfrm & 0xe0;
    return !avx512 || (avx512 == 0xe0 && xfrm & 4);
}

static bool secs_ok(const struct secs *secs)
{
    uint64_t known =
        SGX_ATTR_DEBUG | SGX_ATTR_MODE64BIT | SGX_ATTR_PROVISIONKEY | SGX_ATTR_EINITTOKENKEY | SGX_ATTR_KSS;
    if (secs->size < 2 * PAGE_SIZE || (secs->size & (secs->size - 1)) || (secs->base & (secs->size - 1)) ||
        secs->size > 1UL << 46)
        return false;
    if (secs->attributes & ~known || !(secs->attributes & SGX_ATTR_MODE64BIT) || !xfrm_ok(secs->xfrm))
        return false;
    if (secs->miscselect & ~1u || secs->cet_leg_bitmap_offset || secs->cet_attributes)
        return false;
    uint32_t need = softsgx_xsave_size(secs->xfrm) + GPR_SIZE + (secs->miscselect & 1 ? 16 : 0);
    if (secs->ssaframesize == 0 || secs->ssaframesize > 1024 || secs->ssaframesize * PAGE_SIZE < need)
        return false;
    if (!(secs->attributes & SGX_ATTR_KSS) && (!all_zero(secs->configid, 64) || secs->configsvn))
        return false;
    return all_zero(secs->reserved1, sizeof(secs->reserved1)) && all_zero(secs->reserved2, sizeof(secs->reserved2)) &&
           all_zero(secs->reserved3, sizeof(secs->reserved3)) && all_zero(secs->reserved4, sizeof(secs->reserved4)) &&
           secs->isvprodid == 0 && secs->isvsvn == 0 && all_zero(secs->mrenclave, 32) && all_zero(secs->mrsigner, 32);
}

static int ecreate(const struct sgx_enclave_create *arg)
{
    if (softsgx.created)
        return -EINVAL;
    if (!arg->src)
        return -EFAULT;
    struct secs *secs = &softsgx.secs;
    memcpy(secs, (const void *)arg->src, sizeof(*secs));
    if (!secs_ok(secs) || secs->base != softsgx.enclave.base || secs->size != softsgx.enclave.size)
        return -EIO;
    int r = softsgx_epcm_init();
    if (r)
        return r;
    softsgx.tcs = calloc(SOFTSGX_TCS_MAX, sizeof(*softsgx.tcs));
    if (!softsgx.tcs)
        return -ENOMEM;
    softsgx.kept_state = kept_state(secs);
    softsgx.xsave_size = softsgx_xsave_size(softsgx.kept_state);
    softsgx_foreign_state = foreign_state(softsgx.kept_state);
    struct {
        uint64_t tag;
        uint32_t ssaframesize;
        uint64_t size;
        uint8_t zero[44];
    } __attribute__((packed)) block = {TAG_ECREATE, secs->ssaframesize, secs->size, {0}};
    sha256_init(&softsgx.measurement);
    sha256_update(&softsgx.measurement, 64, (const uint8_t *)&block);
    softsgx.created = true;
    return 0;
}

static void measure_page(uint64_t offset, const struct secinfo *secinfo, const uint8_t *data)
{
    uint64_t block[8] = {TAG_EADD, offset, secinfo->flags};
    sha256_update(&softsgx.measurement, 64, (const uint8_t *)block);
    if (!data)
        return;
    memset(block, 0, sizeof(block));
    block[0] = TAG_EEXTEND;
    for (uint64_t chunk = 0; chunk < PAGE_SIZE; chunk += 256) {
        block[1] = offset + chunk;
        sha256_update(&softsgx.measurement, 64, (const uint8_t *)block);
        sha256_update(&softsgx.measurement, 256, data + chunk);
    }
}

struct softsgx_tcs *softsgx_tcs_new(uint64_t va, const struct tcs_page *page)
{
    const struct secs *secs = &softsgx.secs;
    uint64_t ssa_size = (uint64_t)page->nssa * secs->ssaframesize * PAGE_SIZE;
    if (page->state || page->flags & ~1UL || page->cssa || page->aep || page->ossa % PAGE_SIZE ||
        page->ofsbase % PAGE_SIZE || page->ogsbase % PAGE_SIZE || !all_zero(page->reserved, sizeof(page->reserved)))
        return NULL;
    if (page->ossa >= secs->size || ssa_size > secs->size - page->ossa || page->ofsbase >= secs->size ||
        page->ogsbase >= secs->size || softsgx.tcs_count == SOFTSGX_TCS_MAX)
        return NULL;
    struct softsgx_tcs *tcs = &softsgx.tcs[softsgx.tcs_count++];
    tcs->va = va;
    tcs->nssa = page->nssa;
    tcs->frame = secs->ssaframesize * PAGE_SIZE;
    tcs->ssa = secs->base + page->ossa;
    tcs->gpr = tcs->ssa + tcs->frame - GPR_SIZE;
    tcs->oentry = secs->base + page->oentry;
    tcs->fsbase = secs->base + page->ofsbase;
    tcs->gsbase = secs->base + page->ogsbase;
    tcs->xfrm = softsgx.kept_state;
    softsgx_tcs_table[((va - secs->base) >> PAGE_SHIFT) + 1] = tcs;
    return tcs;
}

static void range_added(uint64_t start, uint64_t end)
{
    if (range_count && ranges[range_count - 1].end == start) {
        ranges[range_count - 1].end = end;
    } else if (range_count < RANGES_MAX) {
        ranges[range_count].start = start;
        ranges[range_count++].end = end;
    } else { /* out of slots: the last one grows over the gap */
        ranges[range_count - 1].start = start < ranges[range_count - 1].start ? start : ranges[range_count - 1].start;
        ranges[range_count - 1].end = end > ranges[range_count - 1].end ? end : ranges[range_count - 1].end;
    }
}

/* EADD and, if measure, sixteen EEXTENDs. */
static int add_page(uint64_t offset, const uint8_t *data, const struct secinfo *secinfo, bool measure)
{
    uint64_t va = softsgx.secs.base + offset;
    _Atomic uint32_t *entry = softsgx_epcm(va);
    if (va < softsgx.elrange_start)
        return -EINVAL;
    if (atomic_load(entry) & EPCM_VALID)
        return -EBUSY;
    if (softsgx.epc_left <= 0)
        return -ENOMEM;
    uint32_t type = secinfo->flags & 0xff00, rwx = secinfo->flags & EPCM_RWX, pte = EPCM_RWX & ~EPCM_X;
    if (type == EPCM_TYPE(PT_TCS)) {
        if (!softsgx_tcs_new(va, (const struct tcs_page *)data))
            return -EIO;
    } else if (!page_is_zero(data)) {
        if (!reserved_writable && mprotect((void *)va, PAGE_SIZE, PROT_READ | PROT_WRITE))
            return -ENOMEM;
        memcpy((void *)va, data, PAGE_SIZE);
        if (softsgx.patch && rwx & EPCM_X)
            softsgx_patch_page((uint8_t *)va);
    }
    if (!reserved_writable)
        pte = 0;
    uint32_t max = type == EPCM_TYPE(PT_TCS) ? EPCM_R | EPCM_W : rwx;
    atomic_store_explicit(entry, EPCM_VALID | type | rwx | pte << EPCM_PTE_SHIFT | (EPCM_RWX & ~max) << EPCM_MAX_SHIFT,
                          memory_order_relaxed);
    atomic_store_explicit(&softsgx.epc_left, softsgx.epc_left - 1, memory_order_relaxed);
    measure_page(offset, secinfo, measure ? data : NULL);
    return 0;
}

static int add_pages(struct sgx_enclave_add_pages *arg)
{
    if (!softsgx.created || softsgx.initialized)
        return -EINVAL;
    if (arg->src % PAGE_SIZE || arg->offset % PAGE_SIZE || arg->length == 0 || arg->length % PAGE_SIZE ||
        arg->offset + arg->length < arg->offset || arg->offset + arg->length > softsgx.secs.size ||
        arg->flags & ~(uint64_t)SGX_PAGE_MEASURE)
        return -EINVAL;
    if (!arg->secinfo || !arg->src)
        return -EFAULT;
    struct secinfo secinfo = *(const struct secinfo *)arg->secinfo;
    uint64_t type = secinfo.flags & 0xff00, rwx = secinfo.flags & EPCM_RWX;
    if ((type != EPCM_TYPE(PT_REG) && type != EPCM_TYPE(PT_TCS)) || ((rwx & EPCM_W) && !(rwx & EPCM_R)) ||
        (type == EPCM_TYPE(PT_TCS) && rwx) || secinfo.flags & SECINFO_RESERVED ||
        !all_zero(secinfo.reserved, sizeof(secinfo.reserved)))
        return -EINVAL;
    uint64_t done = 0;
    int r = 0;
    for (; done < arg->length && r == 0; done += r ? 0 : PAGE_SIZE)
        r = add_page(arg->offset + done, (const uint8_t *)arg->src + done, &secinfo, arg->flags & SGX_PAGE_MEASURE);
    if (done)
        range_added(softsgx.secs.base + arg->offset, softsgx.secs.base + arg->offset + done);
    arg->count = done;
    return r;
}

static int init(const struct sgx_enclave_init *arg)
{
    if (!softsgx.created || softsgx.initialized)
        return -EINVAL;
    if (!arg->sigstruct)
        return -EFAULT;
    int r = softsgx_einit((const void *)arg->sigstruct);
    if (r)
        return r;
    uint64_t length = softsgx.elrange_end - softsgx.elrange_start;
    if (reserved_writable && mprotect((void *)softsgx.elrange_start, length, PROT_NONE))
        return -ENOMEM;
    for (uint32_t i = 0; i < range_count; i++) {
        for (uint64_t a = ranges[i].start; a < ranges[i].end; a += PAGE_SIZE) { /* nobody else runs yet */
            _Atomic uint32_t *entry = softsgx_epcm(a);
            uint32_t e = atomic_load_explicit(entry, memory_order_relaxed) & ~(EPCM_RWX << EPCM_PTE_SHIFT);
            atomic_store_explicit(entry, e, memory_order_relaxed);
        }
        r = softsgx_pte_fill_all(ranges[i].start, ranges[i].end);
        if (r)
            return r;
    }
    softsgx.initialized = true;
    return 0;
}

/* Any open descriptor stands for /dev/sgx_provision. */
static int provision(const struct sgx_enclave_provision *arg)
{
    if (fcntl((int)arg->fd, F_GETFD) < 0)
        return -EINVAL;
    softsgx.provision = true;
    softsgx.attributes_mask |= SGX_ATTR_PROVISIONKEY;
    return 0;
}

static int soft_ioctl(struct sgx_enclave *enclave, unsigned long request, void *arg)
{
    if (!arg)
        return -EFAULT;
    switch (request) {
    case SGX_IOC_ENCLAVE_CREATE:
        return ecreate(arg);
    case SGX_IOC_ENCLAVE_ADD_PAGES:
        return add_pages(arg);
    case SGX_IOC_ENCLAVE_INIT:
        return init(arg);
    case SGX_IOC_ENCLAVE_PROVISION:
        return provision(arg);
    case SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS:
        return softsgx_restrict_permissions(arg);
    case SGX_IOC_ENCLAVE_MODIFY_TYPES:
        return softsgx_modify_types(arg);
    case SGX_IOC_ENCLAVE_REMOVE_PAGES:
        return softsgx_remove_pages(arg);
    default:
        return -ENOTTY;
    }
}

static uint32_t from_prot(int prot)
{
    return (prot & PROT_READ ? EPCM_R : 0) | (prot & PROT_WRITE ? EPCM_R | EPCM_W : 0) |
           (prot & PROT_EXEC ? EPCM_X : 0);
}

/* mmap refuses more than a page was added with. */
static bool may_map(uint64_t start, uint64_t end, uint32_t rwx)
{
    for (uint32_t i = 0; i < range_count; i++) {
        uint64_t a = ranges[i].start > start ? ranges[i].start : start;
        for (; a < ranges[i].end && a < end; a += PAGE_SIZE) {
            if (atomic_load(softsgx_epcm(a)) >> EPCM_MAX_SHIFT & rwx)
                return false;
        }
    }
    return true;
}

static int soft_protect(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot)
{
    static uint64_t denied_low = UINT64_MAX, denied_high; /* where entries with denials can be */
    uint64_t end = addr + size;
    if (!softsgx.created || (addr | size) & (PAGE_SIZE - 1) || end < addr || addr < softsgx.elrange_start ||
        end > softsgx.elrange_end)
        return -EINVAL;
    uint32_t rwx = from_prot(prot), deny = EPCM_RWX & ~rwx;
    if (!may_map(addr, end, rwx))
        return -EACCES;
    if (!deny) {
        addr = addr > denied_low ? addr : denied_low;
        end = end < denied_high ? end : denied_high;
    } else {
        denied_low = addr < denied_low ? addr : denied_low;
        denied_high = end > denied_high ? end : denied_high;
    }
    for (uint64_t a = addr; a < end; a += PAGE_SIZE) {
        _Atomic uint32_t *entry = softsgx_epcm(a);
        uint32_t e = atomic_load(entry);
        while (!atomic_compare_exchange_weak(entry, &e, (e & ~(EPCM_RWX << EPCM_DENY_SHIFT)) | deny << EPCM_DENY_SHIFT))
            ;
    }
    if (!softsgx.initialized || addr >= end)
        return 0;
    /* What is opened again will be used: as mprotect does it for pages that are there. */
    return deny ? softsgx_pte_drop(addr, end) : softsgx_pte_fill_all(addr, end);
}

static bool soft_keeps_xcr0(struct sgx_enclave *enclave)
{
    return softsgx.kept_state != softsgx.secs.xfrm;
}

static bool soft_has_edmm(struct sgx_enclave *enclave)
{
    return softsgx.edmm;
}

static uint32_t soft_init_error(struct sgx_enclave *enclave)
{
    return softsgx.sgx_error;
}

/* The entries and exits since the last time; asynchronous exits and EAUG were charged when they happened. */
static void soft_charge(struct sgx_thread *thread)
{
    uint64_t now = thread->eenter + thread->eexit + thread->eresume - thread->eaug;
    softsgx_charge((now - thread->charged) * softsgx.cost.transition);
    thread->charged = now;
}

const struct sgx_ops sgx_softsgx_ops = {
    .name = "softsgx",
    .simulation = true,
    .has_edmm = soft_has_edmm,
    .keeps_xcr0 = soft_keeps_xcr0,
    .open = soft_open,
    .inherit = soft_inherit,
    .close = soft_close,
    .reserve = soft_reserve,
    .ioctl = soft_ioctl,
    .init_error = soft_init_error,
    .map = soft_protect,
    .protect = soft_protect,
    .thread_init = softsgx_thread_init,
    .thread_exit = softsgx_thread_exit,
    .signal = softsgx_signal_install,
    .charge = soft_charge,
    .enter = softsgx_enter,
};
