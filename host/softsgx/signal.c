/*
 * What a signal means. Decided by RIP: enclave code (then it is an asynchronous exit), a window of the stubs (then it
 * is rolled back or completed where that is needed), or host code.
 *
 * A handler returns 0: go on where you were, with the FS and GS that were found; 1: the context is the host's now; or
 * leaves by a jump, which is cheaper than rt_sigreturn (the mask is unchanged: SA_NODEFER, empty sa_mask).
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/hostcall.h"
#include "host/softsgx/softsgx.h"

#define TRAP_DB 1
#define TRAP_BP 3
#define TRAP_UD 6
#define TRAP_GP 13
#define TRAP_PF 14
#define EXITINFO_VALID 0x80000000u
#define EXITINFO_HARDWARE (3u << 8)
#define EXITINFO_SOFTWARE (6u << 8)
#define RFLAGS_STATUS 0x8d5UL /* OF SF ZF AF PF CF */
#define RFLAGS_ZF 0x40UL
#define RFLAGS_TF 0x100UL
#define RFLAGS_IF 0x200UL
#define SYS_USER_DISPATCH_CODE 2

bool (*softsgx_step_hook)(ucontext_t *context, struct sgx_thread *thread);
void (*softsgx_handlers[65])(int, siginfo_t *, void *);

#define REG(context, name) ((context)->uc_mcontext.gregs[REG_##name])

static bool within(uint64_t rip, const char *start, const char *end)
{
    return rip >= (uint64_t)start && rip < (uint64_t)end;
}

static bool is_fault(int signum, const siginfo_t *info)
{
    bool kind = signum == SIGSEGV || signum == SIGILL || signum == SIGFPE || signum == SIGBUS || signum == SIGTRAP ||
                signum == SIGSYS;
    return kind && info->si_code > 0;
}

/* Linux marks x87 as in use in every signal frame; hardware only when it is. */
static bool x87_initial(const uint8_t *image)
{
    static const uint8_t control[2] = {0x7f, 0x03}, zero[128];
    if (memcmp(image, control, 2) != 0 || memcmp(image + 2, zero, 22) != 0)
        return false;
    for (int i = 0; i < 8; i++)
        if (memcmp(image + 32 + i * 16, zero, 10) != 0)
            return false;
    return true;
}

/* The vector state of the signal frame, as XSAVE with XFRM (kept_state) would store it. */
static void save_vector_state(uint8_t *frame, const ucontext_t *context)
{
    const uint8_t *from = (const uint8_t *)context->uc_mcontext.fpregs;
    uint32_t magic, available;
    uint64_t present;
    memcpy(&magic, from + 464, 4);
    memcpy(&available, from + 464 + 16, 4);
    uint64_t size = 512;
    present = 3;
    if (magic == 0x46505853) {
        memcpy(&present, from + 512, 8);
        size = softsgx.xsave_size < available ? softsgx.xsave_size : available;
        if (!(present & ~3UL) && size > 576)
            size = 576;
    }
    memcpy(frame, from, 464);
    memset(frame + 464, 0, 48);
    if (size > 576)
        memcpy(frame + 576, from + 576, size - 576);
    memset(frame + 512, 0, 64);
    present &= softsgx.kept_state;
    if (x87_initial(from))
        present &= ~1UL;
    memcpy(frame + 512, &present, 8);
}

/* AEX: the enclave's state goes to SSA, the TCS is free again. The caller continues at the AEP. */
static void aex(struct sgx_thread *t, ucontext_t *context, uint64_t fs, uint64_t gs, uint32_t exitinfo, uint64_t maddr,
                uint32_t error_code)
{
    struct softsgx_tcs *tcs = t->tcs;
    uint8_t *frame = (uint8_t *)(tcs->ssa + tcs->cssa * tcs->frame);
    if (!softsgx_touch((uint64_t)frame, tcs->frame, EPCM_R | EPCM_W))
        softsgx_die("the SSA of the running TCS is not accessible (hardware would shut the machine down)");
    struct gprsgx *gpr = (struct gprsgx *)(frame + tcs->frame - sizeof(*gpr));
    save_vector_state(frame, context);
    gpr->rax = (uint64_t)REG(context, RAX);
    gpr->rcx = (uint64_t)REG(context, RCX);
    gpr->rdx = (uint64_t)REG(context, RDX);
    gpr->rbx = (uint64_t)REG(context, RBX);
    gpr->rsp = (uint64_t)REG(context, RSP);
    gpr->rbp = (uint64_t)REG(context, RBP);
    gpr->rsi = (uint64_t)REG(context, RSI);
    gpr->rdi = (uint64_t)REG(context, RDI);
    gpr->r8 = (uint64_t)REG(context, R8);
    gpr->r9 = (uint64_t)REG(context, R9);
    gpr->r10 = (uint64_t)REG(context, R10);
    gpr->r11 = (uint64_t)REG(context, R11);
    gpr->r12 = (uint64_t)REG(context, R12);
    gpr->r13 = (uint64_t)REG(context, R13);
    gpr->r14 = (uint64_t)REG(context, R14);
    gpr->r15 = (uint64_t)REG(context, R15);
    gpr->rflags = (uint64_t)REG(context, EFL);
    gpr->rip = (uint64_t)REG(context, RIP);
    gpr->exitinfo = exitinfo;
    memset(gpr->reserved, 0, sizeof(gpr->reserved));
    gpr->aexnotify = 0;
    gpr->fsbase = fs;
    gpr->gsbase = gs;
    if (softsgx.secs.miscselect & 1) {
        uint64_t exinfo[2] = {maddr, error_code};
        memcpy((uint8_t *)gpr - sizeof(exinfo), exinfo, sizeof(exinfo));
    }
    tcs->cssa++;
    atomic_store_explicit(&tcs->busy, 0, memory_order_release);
    t->aex++;
    if (exitinfo)
        t->aex_by_vector[exitinfo & 31]++;
    softsgx_charge(softsgx.cost.aex);
}

static const struct gprsgx *outer_frame(const struct softsgx_tcs *tcs)
{
    return (const struct gprsgx *)(tcs->gpr + (tcs->cssa - 1) * tcs->frame);
}

/* The host's flags: clear, but for TF, which tests step with. */
static uint64_t host_flags(const ucontext_t *context)
{
    return ((uint64_t)REG(context, EFL) & RFLAGS_TF) | RFLAGS_IF | 2;
}

/* The host continues at the AEP with this leaf. */
static void leave_to_aep(struct sgx_thread *t, const ucontext_t *context, uint64_t leaf, uint64_t rdi, uint64_t rsp,
                         uint64_t rbp) __attribute__((noreturn));
static void leave_to_aep(struct sgx_thread *t, const ucontext_t *context, uint64_t leaf, uint64_t rdi, uint64_t rsp,
                         uint64_t rbp)
{
    struct softsgx_leave state = {.rax = leaf,
                                  .rbx = t->bound_va,
                                  .rcx = (uint64_t)softsgx_aep,
                                  .rdi = rdi,
                                  .rsp = rsp,
                                  .rbp = rbp,
                                  .rip = (uint64_t)softsgx_aep,
                                  .rflags = host_flags(context)};
    softsgx_leave_now(&state);
}

/* The enter function reports an exception on this leaf to its caller. */
static void leave_with_exception(const ucontext_t *context, uint64_t leaf, uint32_t vector, uint32_t error_code,
                                 uint64_t addr, uint64_t rsp, uint64_t rbp) __attribute__((noreturn));
static void leave_with_exception(const ucontext_t *context, uint64_t leaf, uint32_t vector, uint32_t error_code,
                                 uint64_t addr, uint64_t rsp, uint64_t rbp)
{
    struct softsgx_leave state = {.rax = leaf,
                                  .rdi = vector,
                                  .rsi = error_code,
                                  .rdx = addr & ~(PAGE_SIZE - 1),
                                  .rsp = rsp,
                                  .rbp = rbp,
                                  .rip = (uint64_t)softsgx_exception,
                                  .rflags = host_flags(context)};
    softsgx_leave_now(&state);
}

/* A fault of enclave code: AEX, then Linux reports it; #DB and #BP are signals there, which host/sgx turns into EENTER.
 */
static void enclave_exception(struct sgx_thread *t, ucontext_t *context, uint64_t fs, uint64_t gs, uint32_t vector,
                              uint32_t error_code, uint64_t addr) __attribute__((noreturn));
static void enclave_exception(struct sgx_thread *t, ucontext_t *context, uint64_t fs, uint64_t gs, uint32_t vector,
                              uint32_t error_code, uint64_t addr)
{
    static const uint32_t always =
        1u << 0 | 1u << TRAP_DB | 1u << TRAP_BP | 1u << 5 | 1u << TRAP_UD | 1u << 16 | 1u << 17 | 1u << 19;
    uint32_t reported = always, exitinfo = 0;
    if (softsgx.secs.miscselect & 1)
        reported |= 1u << TRAP_GP | 1u << TRAP_PF;
    if (reported >> vector & 1)
        exitinfo = EXITINFO_VALID | vector | (vector == TRAP_BP ? EXITINFO_SOFTWARE : EXITINFO_HARDWARE);
    aex(t, context, fs, gs, exitinfo, vector == TRAP_PF ? addr : 0, error_code);
    const struct gprsgx *gpr = outer_frame(t->tcs);
    if (vector == TRAP_DB || vector == TRAP_BP)
        leave_to_aep(t, context, SGX_ENCLU_EENTER, ENTER_EXCEPTION, gpr->ursp, gpr->urbp);
    leave_with_exception(context, SGX_ENCLU_ERESUME, vector, error_code, addr, gpr->ursp, gpr->urbp);
}

static bool is_page_fault(int signum, const ucontext_t *context)
{
    return (signum == SIGSEGV || signum == SIGBUS) && REG(context, TRAPNO) == TRAP_PF;
}

static uint32_t page_fault_need(uint32_t error_code)
{
    return error_code & PF_W ? EPCM_W : error_code & PF_I ? EPCM_X : EPCM_R;
}

static bool code_is(uint64_t rip, const uint8_t *bytes, size_t size)
{
    uint8_t code[8];
    return softsgx_copy_safe(code, (const void *)rip, size) == 0 && memcmp(code, bytes, size) == 0;
}

/* EEXIT that trapped: the context becomes the host's. */
static int eexit(struct sgx_thread *t, ucontext_t *context)
{
    t->eexit++;
    REG(context, RIP) = REG(context, RBX);
    REG(context, RCX) = (greg_t)softsgx_aep;
    atomic_store_explicit(&t->tcs->busy, 0, memory_order_release);
    return 1;
}

/*
 * An ENCLU leaf that trapped, at the enclave's own site or after a patched site jumped to the stub. With EEXIT the
 * context becomes the host's.
 */
static int emulate_leaf(struct sgx_thread *t, ucontext_t *context, uint64_t fs, uint64_t gs, bool from_stub)
{
    uint64_t rbx = (uint64_t)REG(context, RBX), rcx = (uint64_t)REG(context, RCX), rdx = (uint64_t)REG(context, RDX);
    struct softsgx_fault fault = {.vector = TRAP_GP};
    uint32_t leaf = (uint32_t)REG(context, RAX);
    int64_t result = -1;
    switch (leaf) {
    case 0:
        result = softsgx_ereport(rbx, rcx, rdx, &fault);
        break;
    case 1:
        result = softsgx_egetkey(rbx, rcx, &fault);
        break;
    case 4:
        return eexit(t, context);
    case 5:
        result = softsgx_eaccept(t, rbx, rcx, &fault);
        break;
    case 6:
        result = softsgx_emodpe(t, rbx, rcx, &fault);
        break;
    case 7:
        result = softsgx_eacceptcopy(t, rbx, rcx, rdx, &fault);
        break;
    default:
        break;
    }
    if (result < 0) {
        if (from_stub)
            REG(context, RIP) = REG(context, R11);
        enclave_exception(t, context, fs, gs, fault.vector, fault.error_code, fault.addr);
    }
    if (leaf == 1 || leaf == 5 || leaf == 7) {
        REG(context, RAX) = result;
        REG(context, EFL) = (greg_t)(((uint64_t)REG(context, EFL) & ~RFLAGS_STATUS) | (result ? RFLAGS_ZF : 0));
    }
    if (!from_stub) {
        REG(context, RIP) += 3;
        return 0;
    }
    uint64_t back; /* the site's ret */
    if (softsgx_copy_safe(&back, (const void *)REG(context, RSP), sizeof(back))) {
        REG(context, RIP) = REG(context, R11);
        enclave_exception(t, context, fs, gs, TRAP_PF, PF_U, (uint64_t)REG(context, RSP));
    }
    REG(context, RIP) = (greg_t)back;
    REG(context, RSP) += 8;
    return 0;
}

static const uint8_t enclu_code[3] = {0x0f, 0x01, 0xd7}, cpuid_code[2] = {0x0f, 0xa2};

/* What a fault on a page of the EPC says: the page is there; and PF_SGX if it is the EPCM that forbids, not the host.
 */
static uint32_t epcm_error(uint32_t entry, uint32_t need)
{
    if (!(entry & EPCM_VALID))
        return 0;
    bool usable = (entry & EPCM_TYPE_MASK) == EPCM_TYPE(PT_REG) && !(entry & (EPCM_PENDING | EPCM_MODIFIED));
    return usable && (entry & need) == need ? PF_P : PF_P | PF_SGX;
}

static int in_enclave_fault(struct sgx_thread *t, int signum, siginfo_t *info, ucontext_t *context, uint64_t fs,
                            uint64_t gs)
{
    uint32_t vector = (uint32_t)REG(context, TRAPNO) & 31, error_code = (uint32_t)REG(context, ERR);
    uint64_t rip = (uint64_t)REG(context, RIP), addr = (uint64_t)REG(context, CR2);
    if (signum == SIGSYS) { /* syscall or int 0x80: #UD at the instruction */
        REG(context, RIP) -= 2;
        enclave_exception(t, context, fs, gs, TRAP_UD, 0, 0);
    }
    if (is_page_fault(signum, context)) {
        bool inside = softsgx_in_elrange(addr);
        if (inside && softsgx_pte_fill(addr, page_fault_need(error_code)))
            return 0;
        if (inside && addr >= softsgx.elrange_start) {
            softsgx_eaug(addr);
            error_code |= epcm_error(atomic_load(softsgx_epcm(addr)), page_fault_need(error_code));
        }
        enclave_exception(t, context, fs, gs, TRAP_PF, error_code, addr);
    }
    if (vector == TRAP_UD || vector == TRAP_GP) {
        if (code_is(rip, enclu_code, sizeof(enclu_code)))
            return emulate_leaf(t, context, fs, gs, false);
        if (vector == TRAP_GP && code_is(rip, cpuid_code, sizeof(cpuid_code)))
            vector = TRAP_UD;
    }
    if (vector == TRAP_UD)
        error_code = 0;
    enclave_exception(t, context, fs, gs, vector, error_code, 0);
}

/* Whether a tick may turn into EENTER: it would be at CSSA = 1, over code that ran at CSSA = 0. */
static bool tick_deliverable(const struct softsgx_tcs *tcs, uint32_t outstanding)
{
    return outstanding == 0 && tcs->nssa > 1;
}

static int tick_in_enclave(struct sgx_thread *t, ucontext_t *context, uint64_t fs, uint64_t gs)
{
    if (!tick_deliverable(t->tcs, t->tcs->cssa)) {
        t->pending = 1;
        return 0;
    }
    aex(t, context, fs, gs, 0, 0, 0);
    t->ticks++;
    const struct gprsgx *gpr = outer_frame(t->tcs);
    leave_to_aep(t, context, SGX_ENCLU_EENTER, ENTER_TICK, gpr->ursp, gpr->urbp);
}

/* EENTER's TCS is taken: the entry is completed here, and the enclave left again before its first instruction. */
static void complete_eenter(struct sgx_thread *t, ucontext_t *context)
{
    struct softsgx_tcs *tcs = t->tcs;
    uint64_t addr = tcs->gpr + tcs->cssa * tcs->frame;
    if (!softsgx_touch(addr, sizeof(struct gprsgx), EPCM_R | EPCM_W))
        softsgx_die("the SSA of the TCS being entered is not accessible");
    struct gprsgx *gpr = (struct gprsgx *)addr;
    gpr->ursp = (uint64_t)REG(context, RSP);
    gpr->urbp = (uint64_t)REG(context, RBP);
    tcs->thread = t;
    REG(context, RAX) = tcs->cssa;
    REG(context, RBX) = (greg_t)tcs->va;
    REG(context, RCX) = (greg_t)softsgx_after_enclu;
    REG(context, RIP) = (greg_t)tcs->oentry;
}

/* ERESUME has not happened. */
static void roll_back_eresume(struct sgx_thread *t, uint64_t rip)
{
    if (rip >= (uint64_t)softsgx_eresume_committed)
        t->tcs->cssa++;
    atomic_store_explicit(&t->tcs->busy, 0, memory_order_release);
}

static int tick_in_stub(struct sgx_thread *t, ucontext_t *context)
{
    uint64_t rip = (uint64_t)REG(context, RIP);
    struct softsgx_tcs *tcs = t->tcs;
    if (within(rip, softsgx_eenter_owned, softsgx_eenter_end) && tick_deliverable(tcs, tcs->cssa)) {
        complete_eenter(t, context);
        return tick_in_enclave(t, context, tcs->fsbase, tcs->gsbase);
    }
    if (within(rip, softsgx_eresume_owned, softsgx_eresume_end)) {
        uint32_t after = tcs->cssa - (rip >= (uint64_t)softsgx_eresume_committed ? 0 : 1);
        if (tick_deliverable(tcs, after)) {
            roll_back_eresume(t, rip);
            t->ticks++;
            leave_to_aep(t, context, SGX_ENCLU_EENTER, ENTER_TICK, t->eresume_rsp, t->eresume_rbp);
        }
    }
    t->pending = 1;
    return 0;
}

/* Host code reached for memory that the page table does not show yet. */
static bool fill_for_host(int signum, const ucontext_t *context)
{
    uint64_t addr = (uint64_t)REG(context, CR2);
    return is_page_fault(signum, context) && softsgx_in_elrange(addr) &&
           softsgx_pte_fill(addr, page_fault_need((uint32_t)REG(context, ERR)));
}

/* A host CPUID while faulting is on for this thread. */
static bool host_cpuid(int signum, ucontext_t *context)
{
    if (signum != SIGSEGV || REG(context, TRAPNO) != TRAP_GP ||
        !code_is((uint64_t)REG(context, RIP), cpuid_code, sizeof(cpuid_code)))
        return false;
    uint32_t eax, ebx, ecx, edx;
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __cpuid_count(REG(context, RAX), REG(context, RCX), eax, ebx, ecx, edx);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    REG(context, RAX) = eax;
    REG(context, RBX) = ebx;
    REG(context, RCX) = ecx;
    REG(context, RDX) = edx;
    REG(context, RIP) += 2;
    return true;
}

/* True if execution can go on. */
static bool host_fault_fixed(int signum, ucontext_t *context)
{
    if (fill_for_host(signum, context) || host_cpuid(signum, context))
        return true;
    if (REG(context, RIP) == (greg_t)softsgx_copy_safe_at) {
        REG(context, RIP) = (greg_t)softsgx_copy_safe_failed;
        return true;
    }
    return false;
}

/* A bug of the host program: as without us, and with a core dump at the place. */
static void host_crash(int signum, ucontext_t *context)
{
    softsgx_default_action(signum);
}

static int fault_in_stub(struct sgx_thread *t, int signum, siginfo_t *info, ucontext_t *context, uint64_t fs,
                         uint64_t gs)
{
    uint64_t rip = (uint64_t)REG(context, RIP), addr = (uint64_t)REG(context, CR2);
    uint32_t vector = (uint32_t)REG(context, TRAPNO) & 31, error_code = (uint32_t)REG(context, ERR);
    if (rip == (uint64_t)softsgx_leaf_trap)
        return emulate_leaf(t, context, fs, gs, true);
    if (host_fault_fixed(signum, context))
        return 0;
    if (vector != TRAP_PF)
        addr = 0;
    if (within(rip, softsgx_eenter_owned, softsgx_eenter_end)) {
        atomic_store_explicit(&t->tcs->busy, 0, memory_order_release);
        leave_with_exception(context, SGX_ENCLU_EENTER, vector, error_code, addr, (uint64_t)REG(context, RSP),
                             (uint64_t)REG(context, RBP));
    }
    if (within(rip, softsgx_eresume_owned, softsgx_eresume_end)) {
        roll_back_eresume(t, rip);
        leave_with_exception(context, SGX_ENCLU_ERESUME, vector, error_code, addr, t->eresume_rsp, t->eresume_rbp);
    }
    if (within(rip, softsgx_leaf_stub, softsgx_copy_safe_at) && fs != t->host_fs) {
        REG(context, RIP) = REG(context, R11);
        enclave_exception(t, context, fs, gs, vector, error_code, addr);
    }
    host_crash(signum, context);
    return 0;
}

int softsgx_handle(int signum, siginfo_t *info, ucontext_t *context, struct sgx_thread *t, uint64_t fs, uint64_t gs)
{
    uint64_t rip = (uint64_t)REG(context, RIP);
    bool fault = is_fault(signum, info);
    if (signum == SIGTRAP && softsgx_step_hook && softsgx_step_hook(context, t))
        return 0;
    bool stub = within(rip, softsgx_text_start, softsgx_text_end);
    bool inside = t->bound_va && t->tcs->busy && t->tcs->thread == t && !t->in_leaf && !stub;
    /* A jump out of ELRANGE is still the enclave's: nothing of the host's runs with other bases. */
    inside = inside && (softsgx_in_elrange(rip - (signum == SIGSYS ? 2 : 0)) || (fault && fs != t->host_fs));
    if (signum == SGX_TICK_SIGNAL) {
        if (inside)
            return tick_in_enclave(t, context, fs, gs);
        if (stub && t->bound_va)
            return tick_in_stub(t, context);
        t->pending = 1;
        return 0;
    }
    if (!fault) {
        if (signum > 0 && signum < 65 && softsgx_handlers[signum])
            softsgx_handlers[signum](signum, info, context);
        return 0;
    }
    if (inside)
        return in_enclave_fault(t, signum, info, context, fs, gs);
    if (stub && t->bound_va)
        return fault_in_stub(t, signum, info, context, fs, gs);
    if (!host_fault_fixed(signum, context))
        host_crash(signum, context);
    return 0;
}

void softsgx_handle_plain(int signum, siginfo_t *info, ucontext_t *context)
{
    if (is_fault(signum, info)) {
        if (!host_fault_fixed(signum, context))
            host_crash(signum, context);
    } else if (signum > 0 && signum < 65 && softsgx_handlers[signum]) {
        softsgx_handlers[signum](signum, info, context);
    }
}
