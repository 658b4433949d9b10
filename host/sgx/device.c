/* The SGX device of Linux: /dev/sgx_enclave and the vDSO's __vdso_sgx_enter_enclave. */
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "abi/hostcall.h"
#include "host/sgx/thread.h"

#define DEVICE "/dev/sgx_enclave"
#define LOW_LIMIT 0x10000UL

static vdso_sgx_enter_enclave_t vdso_enter;
static void (*handlers[65])(int, siginfo_t *, void *);

bool sgx_device_present(void)
{
    return access(DEVICE, R_OK | W_OK) == 0;
}

/* Finds a dynamic symbol of the vDSO image by name. */
static void *vdso_symbol(const char *name)
{
    const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
    if (!image)
        return NULL;
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)image;
    const Elf64_Phdr *ph = (const Elf64_Phdr *)(image + eh->e_phoff);
    const Elf64_Dyn *dynamic = NULL;
    uint64_t load = 0;
    for (unsigned i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_DYNAMIC)
            dynamic = (const Elf64_Dyn *)(image + ph[i].p_offset);
        else if (ph[i].p_type == PT_LOAD && !load)
            load = (uint64_t)image + ph[i].p_offset - ph[i].p_vaddr;
    }
    const char *strings = NULL;
    const Elf64_Sym *symbols = NULL;
    const uint32_t *hash = NULL;
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_STRTAB)
            strings = (const char *)(load + dynamic->d_un.d_ptr);
        else if (dynamic->d_tag == DT_SYMTAB)
            symbols = (const Elf64_Sym *)(load + dynamic->d_un.d_ptr);
        else if (dynamic->d_tag == DT_HASH)
            hash = (const uint32_t *)(load + dynamic->d_un.d_ptr);
    }
    if (!strings || !symbols)
        return NULL;
    /* The symbol table is followed by the string table where there is no DT_HASH to count it. */
    size_t count = hash ? hash[1] : (size_t)((const char *)strings - (const char *)symbols) / sizeof(*symbols);
    for (size_t i = 0; i < count; i++) {
        if (symbols[i].st_shndx != SHN_UNDEF && strcmp(strings + symbols[i].st_name, name) == 0)
            return (void *)(load + symbols[i].st_value);
    }
    return NULL;
}

static int device_enter(unsigned long rdi, unsigned long rsi, unsigned long rdx, unsigned int function,
                        unsigned long r8, unsigned long r9, struct sgx_enclave_run *run)
{
    struct sgx_thread *thread = sgx_current;
    int r =
        sgx_enter_saved(rdi, rsi, rdx, function, r8, r9, run, vdso_enter); /* this function has registers to lose too */
    if (function == SGX_ENCLU_EENTER)
        thread->eenter++;
    else
        thread->eresume++;
    if (run->function == SGX_ENCLU_EEXIT) {
        thread->eexit++;
    } else {
        thread->aex++;
        thread->aex_by_vector[run->exception_vector & 31]++;
    }
    return r;
}

static int device_open(struct sgx_enclave **ret_enclave)
{
    vdso_enter = (vdso_sgx_enter_enclave_t)vdso_symbol("__vdso_sgx_enter_enclave");
    if (!vdso_enter)
        return -ENOSYS;
    struct sgx_enclave *enclave = calloc(1, sizeof(*enclave));
    if (!enclave)
        return -ENOMEM;
    enclave->ops = &sgx_device_ops;
    enclave->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
    if (enclave->fd < 0) {
        int r = -errno;
        free(enclave);
        return r;
    }
    *ret_enclave = enclave;
    return 0;
}

static void device_close(struct sgx_enclave *enclave)
{
    if (enclave->size) {
        uint64_t start = enclave->base ? enclave->base : LOW_LIMIT;
        munmap((void *)start, enclave->base + enclave->size - start);
    }
    close(enclave->fd);
    free(enclave);
}

static int device_map(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot)
{
    void *p = mmap((void *)addr, size, prot, MAP_SHARED | MAP_FIXED, enclave->fd, 0);
    return p == MAP_FAILED ? -errno : 0;
}

static int device_reserve(struct sgx_enclave *enclave, uint64_t base, uint64_t size)
{
    if (size < 8192 || (size & (size - 1)) || (base & (size - 1)))
        return -EINVAL;
    uint64_t start = base ? base : LOW_LIMIT;
    void *p = mmap((void *)start, base + size - start, PROT_NONE, MAP_SHARED | MAP_FIXED_NOREPLACE, enclave->fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    enclave->base = base;
    enclave->size = size;
    return 0;
}

static int device_protect(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot)
{
    return mprotect((void *)addr, size, prot) ? -errno : 0;
}

static int device_ioctl(struct sgx_enclave *enclave, unsigned long request, void *arg)
{
    int r = ioctl(enclave->fd, request, arg);
    return r < 0 ? -errno : r > 0 ? -EPERM : 0;
}

static bool device_has_edmm(struct sgx_enclave *enclave)
{
    uint32_t eax, ebx, ecx, edx;
    return __get_cpuid_count(0x12, 0, &eax, &ebx, &ecx, &edx) && (eax & 2);
}

/* At the AEP with ERESUME pending: an asynchronous exit has just happened. */
static bool at_aep(const ucontext_t *context, const struct sgx_thread *thread)
{
    static const uint8_t enclu[3] = {0x0f, 0x01, 0xd7};
    const greg_t *gregs = context->uc_mcontext.gregs;
    return (uint32_t)gregs[REG_RAX] == SGX_ENCLU_ERESUME && (uint64_t)gregs[REG_RBX] == thread->tcs_va &&
           gregs[REG_RIP] == gregs[REG_RCX] && memcmp((const void *)gregs[REG_RIP], enclu, sizeof(enclu)) == 0;
}

/* Ticks, and the exceptions that Linux leaves to signals (#DB and #BP), become EENTER at CSSA = 1. */
static void device_handle(int signum, siginfo_t *info, void *context)
{
    struct sgx_thread *thread = sgx_current;
    greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (!thread || thread->depth || !at_aep(context, thread))
        return;
    thread->aex++;
    thread->depth = 1; /* until the loop resumes */
    if (signum == SIGTRAP) {
        thread->aex_by_vector[gregs[REG_TRAPNO] & 31]++;
        gregs[REG_RDI] = ENTER_EXCEPTION;
    } else {
        thread->ticks++;
        gregs[REG_RDI] = ENTER_TICK;
    }
    gregs[REG_RAX] = SGX_ENCLU_EENTER;
}

static void device_dispatch(int signum, siginfo_t *info, void *context)
{
    handlers[signum](signum, info, context);
}

static int device_signal(int signum, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | (flags & SA_RESTART)};
    if (signum < 1 || signum > 64)
        return -EINVAL;
    if ((void *)handler == (void *)SIG_DFL || (void *)handler == (void *)SIG_IGN) {
        action.sa_flags = 0;
        action.sa_sigaction = handler;
    } else {
        handlers[signum] = handler;
        action.sa_sigaction = device_dispatch;
    }
    return sigaction(signum, &action, NULL) ? -errno : 0;
}

static int device_thread_init(struct sgx_thread *thread)
{
    int r = device_signal(SGX_TICK_SIGNAL, device_handle, 0);
    return r ? r : device_signal(SIGTRAP, device_handle, 0);
}

static void device_thread_exit(struct sgx_thread *thread)
{
}

const struct sgx_ops sgx_device_ops = {
    .name = "device",
    .simulation = false,
    .has_edmm = device_has_edmm,
    .open = device_open,
    .close = device_close,
    .reserve = device_reserve,
    .ioctl = device_ioctl,
    .map = device_map,
    .protect = device_protect,
    .thread_init = device_thread_init,
    .thread_exit = device_thread_exit,
    .signal = device_signal,
    .enter = device_enter,
};
