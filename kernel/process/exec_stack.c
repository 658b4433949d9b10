/* The first things on a new program's stack: strings, auxiliary vector, environment, arguments, as Linux puts them. */
#include <asm-generic/errno.h>
#include <linux/auxvec.h>

#include "kernel/boot/boot.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/elf.h"
#include "kernel/process/exec.h"
#include "kernel/process/process.h"
#include "kernel/process/siginfo.h"

#define PLATFORM "x86_64"
#define CLOCK_TICKS_PER_SEC 100
#define PHDR_SIZE 56
#define AUX_MAX 24
#define HWCAP2_FSGSBASE 2
#define AT_SYSINFO_EHDR_ 33
#define AT_MINSIGSTKSZ_ 51
#define STACK_RANDOM_MASK 0x1ff0UL /* up to 8 KiB, 16-byte steps, as Linux's arch_align_stack */

/*
 * Nothing lies above the strings here. XSAVEC, which the dynamic linker runs near the top, probes all that XCR0 allows
 * even where it writes nothing, and in a software enclave XCR0 is the host's, larger than what CPUID says.
 */
#define STACK_HEADROOM 0x3000

struct aux {
    uint64_t entries[AUX_MAX * 2];
    size_t count;
};

static void aux_add(struct aux *aux, uint64_t type, uint64_t value)
{
    aux->entries[aux->count++] = type;
    aux->entries[aux->count++] = value;
}

struct stack_places {
    uaddr_t name, envp, argv, platform, random;
};

static void aux_fill(struct aux *aux, const struct exec *exec, const struct exec_layout *layout,
                     const struct stack_places *at)
{
    const struct credentials *c = &process_self()->credentials;
    const struct elf_image *image = exec->image;
    uint32_t features[4], extended[4];
    cpuid_query(1, 0, features);
    cpuid_query(7, 0, extended);
    aux->count = 0;
    if (layout->vdso)
        aux_add(aux, AT_SYSINFO_EHDR_, layout->vdso);
    aux_add(aux, AT_MINSIGSTKSZ_, sigframe_size_max());
    aux_add(aux, AT_HWCAP, features[3]);
    aux_add(aux, AT_PAGESZ, PAGE_SIZE);
    aux_add(aux, AT_CLKTCK, CLOCK_TICKS_PER_SEC);
    aux_add(aux, AT_PHDR, image->phdr_vaddr ? image->phdr_vaddr + layout->load_bias : 0);
    aux_add(aux, AT_PHENT, PHDR_SIZE);
    aux_add(aux, AT_PHNUM, image->phdr_count);
    aux_add(aux, AT_BASE, layout->interp_base);
    aux_add(aux, AT_FLAGS, 0);
    aux_add(aux, AT_ENTRY, image->entry + layout->load_bias);
    aux_add(aux, AT_UID, c->uid);
    aux_add(aux, AT_EUID, c->euid);
    aux_add(aux, AT_GID, c->gid);
    aux_add(aux, AT_EGID, c->egid);
    aux_add(aux, AT_SECURE, layout->secure);
    aux_add(aux, AT_RANDOM, at->random);
    aux_add(aux, AT_HWCAP2, extended[1] & 1 ? HWCAP2_FSGSBASE : 0);
    aux_add(aux, AT_EXECFN, at->name);
    aux_add(aux, AT_PLATFORM, at->platform);
    aux_add(aux, AT_NULL, 0);
}

/* Pointers to each of the strings that were copied to `base`, and the NULL after them. */
static uint64_t *pointers(uint64_t *out, const struct exec_strings *strings, uaddr_t base)
{
    size_t offset = 0;
    for (size_t i = 0; i < strings->count; i++) {
        *out++ = base + offset;
        offset += strlen(strings->text + offset) + 1;
    }
    *out++ = 0;
    return out;
}

static int put_strings(uaddr_t *sp, const void *text, size_t size)
{
    *sp -= size;
    return copy_to_user(*sp, text, size);
}

static int places_fill(const struct exec *exec, uaddr_t *sp, struct stack_places *at)
{
    uint8_t random[16];
    *sp -= sizeof(uint64_t);
    if (put_strings(sp, exec->name, strlen(exec->name) + 1) < 0)
        return -EFAULT;
    at->name = *sp;
    if (put_strings(sp, exec->envp.text, exec->envp.size) < 0)
        return -EFAULT;
    at->envp = *sp;
    if (put_strings(sp, exec->argv.text, exec->argv.size) < 0)
        return -EFAULT;
    at->argv = *sp;
    *sp = ALIGN_DOWN(*sp - (random_u64() & STACK_RANDOM_MASK), 16UL);
    if (put_strings(sp, PLATFORM, sizeof PLATFORM) < 0)
        return -EFAULT;
    at->platform = *sp;
    random_bytes(random, sizeof random);
    if (put_strings(sp, random, sizeof random) < 0)
        return -EFAULT;
    at->random = *sp;
    return 0;
}

int64_t exec_stack_fill(const struct exec *exec, const struct exec_layout *layout)
{
    struct stack_places at;
    struct aux aux;
    uaddr_t sp = layout->stack_top - STACK_HEADROOM;
    int r = places_fill(exec, &sp, &at);
    if (r < 0)
        return r;
    aux_fill(&aux, exec, layout, &at);

    size_t words = 1 + exec->argv.count + 1 + exec->envp.count + 1 + aux.count;
    uint64_t *table = kmalloc(words * sizeof *table), *out = table;
    if (!table)
        return -ENOMEM;
    *out++ = exec->argv.count;
    out = pointers(out, &exec->argv, at.argv);
    out = pointers(out, &exec->envp, at.envp);
    memcpy(out, aux.entries, aux.count * sizeof *out);
    sp = ALIGN_DOWN(sp - words * sizeof *table, 16UL);
    r = copy_to_user(sp, table, words * sizeof *table);
    kfree(table);
    if (r < 0)
        return r;

    struct mm *mm = mm_self();
    mm->arg_start = at.argv;
    mm->arg_end = mm->env_start = at.envp;
    mm->env_end = at.name;
    mm->start_stack = sp;
    mm->auxv_count = MIN(aux.count, (size_t)MM_AUXV_MAX);
    memcpy(mm->auxv, aux.entries, mm->auxv_count * sizeof *mm->auxv);
    return (int64_t)sp;
}
