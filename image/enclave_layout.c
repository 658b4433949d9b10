/* The enclave's pages in build order: kernel segments, policy, vCPU blocks, and without EDMM the heap and user memory.
 */
#include "image/enclave_layout.h"

#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/layout.h"
#include "image/sgx_arch.h"

#define REG_R (SGX_SECINFO_REG | SGX_SECINFO_R)
#define REG_RW (REG_R | SGX_SECINFO_W)
#define REG_RWX (REG_RW | SGX_SECINFO_X)

struct walk {
    enclave_page_fn fn;
    void *arg;
    char **error;
};

__attribute__((format(printf, 2, 3))) static int fail(struct walk *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (vasprintf(w->error, format, args) < 0)
        *w->error = NULL;
    va_end(args);
    return -1;
}

/* Bytes at address (page aligned), zero-padded to whole pages; the part beyond size and up to pages is zero too. */
static int emit_bytes(struct walk *w, uint64_t address, const uint8_t *data, uint64_t size, uint64_t page_count,
                      uint64_t flags)
{
    uint64_t whole = size / PAGE_SIZE;
    if (whole > page_count)
        return fail(w, "more bytes than pages");
    if (whole) {
        int r = w->fn(w->arg, address, data, whole, flags, 1);
        if (r)
            return r;
    }
    uint64_t tail = size % PAGE_SIZE;
    if (tail) {
        static _Thread_local uint8_t page[PAGE_SIZE];
        memcpy(page, data + whole * PAGE_SIZE, tail);
        memset(page + tail, 0, PAGE_SIZE - tail);
        int r = w->fn(w->arg, address + whole * PAGE_SIZE, page, 1, flags, 1);
        if (r)
            return r;
        whole++;
    }
    if (whole < page_count)
        return w->fn(w->arg, address + whole * PAGE_SIZE, NULL, page_count - whole, flags, 1);
    return 0;
}

static int check_policy(struct walk *w, const struct enclave_parts *parts)
{
    const struct policy *p = parts->policy;
    if (parts->policy_size < sizeof(*p) || parts->policy_size > POLICY_SIZE_MAX)
        return fail(w, "policy has %zu bytes", parts->policy_size);
    if (p->magic != POLICY_MAGIC || p->version != POLICY_VERSION || p->size != parts->policy_size)
        return fail(w, "policy has a wrong magic, version or size");
    if (p->elrange_size < ELRANGE_SIZE_MIN || (p->elrange_size & (p->elrange_size - 1)) || p->elrange_size > 1UL << 46)
        return fail(w, "policy asks for an enclave of %#llx bytes", (unsigned long long)p->elrange_size);
    if (p->vcpu_max < 1 || p->vcpu_max > VCPU_MAX)
        return fail(w, "policy asks for %u vCPUs (1 to %d)", p->vcpu_max, VCPU_MAX);
    if (p->kernel_heap_size % PAGE_SIZE || p->kernel_heap_size > KHEAP_END - KHEAP_BASE)
        return fail(w, "policy asks for a kernel heap of %#llx bytes", (unsigned long long)p->kernel_heap_size);
    if (p->memory_size % PAGE_SIZE || (!(p->flags & POLICY_EDMM) && p->memory_size > KERNEL_BASE - USER_BASE))
        return fail(w, "policy asks for %#llx bytes of memory", (unsigned long long)p->memory_size);
    return 0;
}

static int check_kernel(struct walk *w, const struct enclave_parts *parts)
{
    const Elf64_Ehdr *eh = parts->kernel;
    if (parts->kernel_size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 ||
        eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64 || eh->e_type != ET_EXEC)
        return fail(w, "kernel is not an x86-64 executable");
    if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phoff > parts->kernel_size || eh->e_phoff % 8 ||
        (parts->kernel_size - eh->e_phoff) / sizeof(Elf64_Phdr) < eh->e_phnum)
        return fail(w, "kernel has a bad program header table");
    if (eh->e_entry < KERNEL_BASE || eh->e_entry >= KERNEL_BASE + KERNEL_IMAGE_SIZE_MAX)
        return fail(w, "kernel's entry %#llx is outside its image", (unsigned long long)eh->e_entry);
    return 0;
}

static int emit_kernel(struct walk *w, const struct enclave_parts *parts)
{
    const uint8_t *file = parts->kernel;
    const Elf64_Ehdr *eh = parts->kernel;
    const Elf64_Phdr *ph = (const Elf64_Phdr *)(file + eh->e_phoff);
    uint64_t next = KERNEL_BASE;
    for (unsigned i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type != PT_LOAD || ph[i].p_memsz == 0)
            continue;
        if (ph[i].p_vaddr % PAGE_SIZE || ph[i].p_vaddr < next || ph[i].p_filesz > ph[i].p_memsz ||
            ph[i].p_memsz > KERNEL_IMAGE_SIZE_MAX ||
            ph[i].p_vaddr + ph[i].p_memsz > KERNEL_BASE + KERNEL_IMAGE_SIZE_MAX ||
            ph[i].p_offset > parts->kernel_size || ph[i].p_filesz > parts->kernel_size - ph[i].p_offset)
            return fail(w, "kernel segment %u lies badly", i);
        if ((ph[i].p_flags & PF_W) && (ph[i].p_flags & PF_X))
            return fail(w, "kernel segment %u is writable and executable", i);
        uint64_t flags = SGX_SECINFO_REG | (ph[i].p_flags & PF_R ? SGX_SECINFO_R : 0) |
                         (ph[i].p_flags & PF_W ? SGX_SECINFO_W : 0) | (ph[i].p_flags & PF_X ? SGX_SECINFO_X : 0);
        uint64_t pages = (ph[i].p_memsz + PAGE_SIZE - 1) / PAGE_SIZE;
        int r = emit_bytes(w, ph[i].p_vaddr, file + ph[i].p_offset, ph[i].p_filesz, pages, flags);
        if (r)
            return r;
        next = ph[i].p_vaddr + pages * PAGE_SIZE;
    }
    return 0;
}

/* A TCS as EADD takes it (SDM 3D, 38.8): offsets are from ELRANGE's base, which is 0. */
static int emit_tcs(struct walk *w, uint64_t block, uint64_t entry)
{
    static _Thread_local struct {
        _Alignas(PAGE_SIZE) struct sgx_tcs tcs;
        uint8_t rest[PAGE_SIZE - sizeof(struct sgx_tcs)];
    } page;
    _Static_assert(sizeof(page) == PAGE_SIZE, "a TCS is one page");
    memset(&page, 0, sizeof(page));
    page.tcs.ossa = block + VCPU_SSA;
    page.tcs.nssa = VCPU_NSSA;
    page.tcs.oentry = entry;
    page.tcs.ofsbase = block + VCPU_GS; /* overwritten by WRFSBASE before any use */
    page.tcs.ogsbase = block + VCPU_GS;
    page.tcs.ofslimit = 0xffffffff;
    page.tcs.ogslimit = 0xffffffff;
    return w->fn(w->arg, block + VCPU_TCS, &page, 1, SGX_SECINFO_TCS, 1);
}

static int emit_vcpu(struct walk *w, uint64_t block, uint64_t entry)
{
    static const struct {
        uint64_t offset, size;
    } zero_runs[] = {
        {VCPU_GS, PAGE_SIZE},
        {VCPU_EXCEPTION_STACK, VCPU_EXCEPTION_STACK_SIZE},
        {VCPU_IDLE_STACK, VCPU_IDLE_STACK_SIZE},
        {VCPU_SSA, VCPU_NSSA * SSA_FRAME_PAGES * PAGE_SIZE},
    };
    int r = emit_tcs(w, block, entry);
    for (size_t i = 0; r == 0 && i < sizeof(zero_runs) / sizeof(zero_runs[0]); i++)
        r = w->fn(w->arg, block + zero_runs[i].offset, NULL, zero_runs[i].size / PAGE_SIZE, REG_RW, 1);
    return r;
}

int enclave_layout_for_each(const struct enclave_parts *parts, enclave_page_fn fn, void *arg, char **ret_error)
{
    struct walk w = {.fn = fn, .arg = arg, .error = ret_error};
    *ret_error = NULL;
    int r = check_policy(&w, parts);
    if (r == 0)
        r = check_kernel(&w, parts);
    if (r == 0)
        r = emit_kernel(&w, parts);
    if (r)
        return r;
    const struct policy *p = parts->policy;
    const Elf64_Ehdr *eh = parts->kernel;
    r = emit_bytes(&w, POLICY_BASE, parts->policy, parts->policy_size, (parts->policy_size + PAGE_SIZE - 1) / PAGE_SIZE,
                   REG_R);
    for (uint32_t i = 0; r == 0 && i < p->vcpu_max; i++)
        r = emit_vcpu(&w, VCPU_BASE + i * VCPU_STRIDE, eh->e_entry);
    if (r || (p->flags & POLICY_EDMM))
        return r;
    /* Without EDMM everything the kernel may ever use is added now. It is not extended: the kernel clears before use.
     */
    if (p->kernel_heap_size)
        r = fn(arg, KHEAP_BASE, NULL, p->kernel_heap_size / PAGE_SIZE, REG_RW, 0);
    if (r == 0 && p->memory_size)
        r = fn(arg, USER_BASE, NULL, p->memory_size / PAGE_SIZE, REG_RWX, 0);
    return r;
}
