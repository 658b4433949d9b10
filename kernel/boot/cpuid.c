/*
 * CPUID as the application sees it: the host's answers, less what the enclave's XFRM does not enable and what cannot be
 * used in an enclave. The host may lie here: a program then takes a path whose instructions fault, or a slow one.
 */
#include "kernel/boot/cpuid.h"

#include "kernel/arch/untrusted.h"
#include "kernel/arch/vector.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"

#define TABLE_MAX 256

#define XFRM_AVX 0x4
#define XFRM_AVX512 0xe0
#define XFRM_AMX 0x60000

#define BIT(n) (1u << (n))

static struct boot_cpuid table[TABLE_MAX];
static size_t table_count;

struct hidden {
    uint64_t xfrm_needed; /* hidden unless XFRM has all of these; 0 = always */
    uint32_t leaf, subleaf;
    uint32_t eax, ebx, ecx, edx;
};

static const struct hidden hidden[] = {
    /* MONITOR, VMX, SMX; PDCM; PCID, x2APIC, TSC deadline are the kernel's business but harmless */
    {0, 1, 0, .ecx = BIT(3) | BIT(5) | BIT(6)},
    {XFRM_AVX, 1, 0, .ecx = BIT(12) | BIT(28) | BIT(29)}, /* FMA, AVX, F16C */
    /* SGX, HLE, RTM, MPX, PT; PKU, OSPKE, WAITPKG, SHSTK, RDPID, SGX_LC, PKS, KL; RTM_ALWAYS_ABORT, UINTR, IBT */
    {0, 7, 0, .ebx = BIT(2) | BIT(4) | BIT(11) | BIT(14) | BIT(25),
     .ecx = BIT(3) | BIT(4) | BIT(5) | BIT(7) | BIT(22) | BIT(23) | BIT(30) | BIT(31),
     .edx = BIT(5) | BIT(11) | BIT(13) | BIT(20)},
    {XFRM_AVX, 7, 0, .ebx = BIT(5), .ecx = BIT(9) | BIT(10)}, /* AVX2; VAES, VPCLMULQDQ */
    {XFRM_AVX | XFRM_AVX512, 7, 0, .ebx = BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31),
     .ecx = BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14), .edx = BIT(2) | BIT(3) | BIT(8) | BIT(23)},
    {XFRM_AMX, 7, 0, .edx = BIT(22) | BIT(24) | BIT(25)},
    {0, 7, 1, .eax = BIT(17) | BIT(18) | BIT(19) | BIT(26), .edx = BIT(14) | BIT(18)}, /* FRED, LKGS, WRMSRNS, LAM */
    {XFRM_AVX, 7, 1, .eax = BIT(0) | BIT(1) | BIT(2) | BIT(4) | BIT(23), .edx = BIT(4) | BIT(5) | BIT(10)},
    {XFRM_AVX | XFRM_AVX512, 7, 1, .eax = BIT(5), .edx = BIT(19)},
    {XFRM_AMX, 7, 1, .eax = BIT(21), .edx = BIT(8)},
    {0, 0x80000001, 0, .ecx = BIT(2) | BIT(15) | BIT(28)}, /* SVM, LWP, performance counters */
    {XFRM_AVX, 0x80000001, 0, .ecx = BIT(11) | BIT(16)},   /* XOP, FMA4 */
};

static void sanitise_xsave(struct boot_cpuid *e, uint64_t bits, uint32_t bytes)
{
    switch (e->subleaf) {
    case 0:
        e->eax = (uint32_t)bits;
        e->edx = (uint32_t)(bits >> 32);
        e->ebx = e->ecx = bytes;
        break;
    case 1:
        e->eax &= 7; /* XSAVEOPT, XSAVEC, XGETBV(1); no supervisor states */
        e->ebx = bytes;
        e->ecx = e->edx = 0;
        break;
    default:
        if (e->subleaf >= 63 || !(bits >> e->subleaf & 1))
            e->eax = e->ebx = e->ecx = e->edx = 0;
    }
}

void cpuid_sanitise(struct boot_cpuid *e, uint64_t bits, uint32_t bytes)
{
    for (size_t i = 0; i < ARRAY_COUNT(hidden); i++) {
        const struct hidden *h = &hidden[i];
        if (h->leaf != e->leaf || h->subleaf != e->subleaf ||
            (h->xfrm_needed && (bits & h->xfrm_needed) == h->xfrm_needed))
            continue;
        e->eax &= ~h->eax;
        e->ebx &= ~h->ebx;
        e->ecx &= ~h->ecx;
        e->edx &= ~h->edx;
    }
    if (e->leaf == 0xd)
        sanitise_xsave(e, bits, bytes);
    if (e->leaf == 0x12 || e->leaf == 0x14 || e->leaf == 0x23 || e->leaf == 0x24) /* SGX, PT, PMU, AVX10 */
        e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* Bytes of a standard-format XSAVE image: where the last enabled component ends. */
static uint32_t xsave_bytes(uint64_t bits)
{
    uint32_t bytes = XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE;
    for (size_t i = 0; i < table_count; i++) {
        const struct boot_cpuid *e = &table[i];
        if (e->leaf != 0xd || e->subleaf < 2 || e->subleaf >= 63 || !(bits >> e->subleaf & 1))
            continue;
        if (e->eax > PAGE_SIZE || e->ebx > PAGE_SIZE || e->eax + e->ebx > PAGE_SIZE)
            host_lied("the layout of XSAVE");
        bytes = MAX(bytes, e->eax + e->ebx);
    }
    return bytes;
}

/*
 * On hardware XCR0 is XFRM in an enclave, and XFRM is the policy's. The software enclave leaves XCR0 as it is, and
 * where CPUID cannot be made to fault programs use all of it: then all of it is kept when tasks are switched, too.
 */
#define XFRM_KEPT 0x2e7

static uint64_t state_components(void)
{
    uint64_t bits = policy()->xfrm_low;
    return boot_params()->flags & BOOT_XCR0 ? bits | (xcr0_read() & XFRM_KEPT) : bits;
}

void cpuid_init(void)
{
    const struct boot_blob *blob = &boot_params()->cpuid;
    uint64_t bits = state_components();
    table_count = MIN(blob->size / sizeof(table[0]), (uint64_t)TABLE_MAX);
    untrusted_copy_in(table, (host_ptr){blob->addr}, table_count * sizeof(table[0]));
    uint32_t bytes = xsave_bytes(bits);
    for (size_t i = 0; i < table_count; i++)
        cpuid_sanitise(&table[i], bits, bytes);
    uint32_t regs[4];
    cpuid_query(0xd, 1, regs);
    vector_init(bits, bytes, regs[0] & BIT(2));
}

void cpuid_query(uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4])
{
    const struct boot_cpuid *found = NULL;
    for (size_t i = 0; i < table_count; i++) {
        if (table[i].leaf != leaf)
            continue;
        if (table[i].subleaf == subleaf) {
            found = &table[i];
            break;
        }
        /* leaves without subleaves are listed once, as subleaf 0 */
        if (table[i].subleaf == 0 && leaf != 4 && leaf != 7 && leaf != 0xb && leaf != 0xd && leaf != 0x1f)
            found = &table[i];
    }
    ret_regs[0] = found ? found->eax : 0;
    ret_regs[1] = found ? found->ebx : 0;
    ret_regs[2] = found ? found->ecx : 0;
    ret_regs[3] = found ? found->edx : 0;
    if (!found && (leaf == 0xb || leaf == 0x1f))
        ret_regs[2] = subleaf; /* the end of the topology list */
}
