/*
 * The software enclave: the Linux SGX interface in user space. One enclave per process.
 *
 * Files: build.c ECREATE, EADD, EEXTEND and the ioctls; einit.c SIGSTRUCT and EINIT; epcm.c the page map; pte.c
 * the page-table cache over it; sparse.c areas of it with holes; edmm.c SGX2 ioctls; leaf.c ENCLU leaves; keys.c
 * EREPORT and EGETKEY; entry.S the enter function, stubs and the signal entry; signal.c what signals mean; thread.c
 * registration; patch.c ENCLU sites.
 */
#ifndef COFRE_HOST_SOFTSGX_SOFTSGX_H
#define COFRE_HOST_SOFTSGX_SOFTSGX_H

#include <nettle/sha2.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "host/sgx/thread.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096UL

/* EPCM entry, 32 bits: the low ones as in SECINFO.FLAGS. */
#define EPCM_R 0x1u
#define EPCM_W 0x2u
#define EPCM_X 0x4u
#define EPCM_RWX 0x7u
#define EPCM_PENDING 0x8u
#define EPCM_MODIFIED 0x10u
#define EPCM_PR 0x20u
#define EPCM_STATE (EPCM_PENDING | EPCM_MODIFIED | EPCM_PR)
#define EPCM_VALID 0x40u
#define EPCM_TYPE(t) ((uint32_t)(t) << 8)
#define EPCM_TYPE_MASK 0x700u
#define EPCM_ARCH 0xffffu    /* what the architecture knows; the rest is ours */
#define EPCM_PTE_SHIFT 16    /* R W X the page table has now */
#define EPCM_DENY_SHIFT 20   /* R W X the host's mmap/mprotect took away */
#define EPCM_MAX_SHIFT 24    /* R W X of EADD that mmap may not exceed: inverted, so that zero means all */
#define EPCM_SPARSE_SHIFT 28 /* R W X of the sparse area that the page lies in; zero: in none */
#define PT_TCS 1
#define PT_REG 2
#define PT_TRIM 4

#define SGX_ATTR_INIT 0x1UL
#define SGX_ATTR_DEBUG 0x2UL
#define SGX_ATTR_MODE64BIT 0x4UL
#define SGX_ATTR_PROVISIONKEY 0x10UL
#define SGX_ATTR_EINITTOKENKEY 0x20UL
#define SGX_ATTR_KSS 0x80UL

/* SDM table of error codes, as far as they occur. */
enum sgx_error {
    SGX_SUCCESS = 0,
    SGX_INVALID_SIG_STRUCT = 1,
    SGX_INVALID_ATTRIBUTE = 2,
    SGX_INVALID_MEASUREMENT = 4,
    SGX_INVALID_SIGNATURE = 8,
    SGX_PAGE_ATTRIBUTES_MISMATCH = 19,
    SGX_PAGE_NOT_MODIFIABLE = 20,
    SGX_INVALID_CPUSVN = 32,
    SGX_INVALID_ISVSVN = 64,
    SGX_INVALID_KEYNAME = 256,
};

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_I 16u
#define PF_SGX 0x8000u

struct secs {
    uint64_t size, base;
    uint32_t ssaframesize, miscselect;
    uint64_t cet_leg_bitmap_offset;
    uint8_t cet_attributes;
    uint8_t reserved1[15];
    uint64_t attributes, xfrm;
    uint8_t mrenclave[32];
    uint8_t reserved2[32];
    uint8_t mrsigner[32];
    uint8_t reserved3[32];
    uint8_t configid[64];
    uint16_t isvprodid, isvsvn, configsvn;
    uint8_t reserved4[3834];
} __attribute__((packed, aligned(8)));
_Static_assert(sizeof(struct secs) == 4096, "SDM 38.7");

struct tcs_page {
    uint64_t state, flags, ossa;
    uint32_t cssa, nssa;
    uint64_t oentry, aep, ofsbase, ogsbase;
    uint32_t ofslimit, ogslimit;
    uint8_t reserved[4024];
};
_Static_assert(sizeof(struct tcs_page) == 4096, "SDM 38.8");

struct secinfo {
    uint64_t flags;
    uint64_t reserved[7];
};

struct gprsgx {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip, ursp, urbp;
    uint32_t exitinfo;
    uint8_t reserved[3], aexnotify;
    uint64_t fsbase, gsbase;
};
_Static_assert(sizeof(struct gprsgx) == GPR_SIZE, "SDM 38.9");
_Static_assert(offsetof(struct gprsgx, ursp) == GPR_URSP && offsetof(struct gprsgx, gsbase) == GPR_GSBASE, "SDM 38.9");

struct softsgx_tcs {
    /* known to assembly */
    _Atomic uint32_t busy; /* STATE = ACTIVE: a thread is inside */
    uint32_t cssa, nssa, pad;
    struct sgx_thread *thread; /* the one inside */
    uint64_t oentry, fsbase, gsbase;
    uint64_t gpr;   /* GPRSGX of SSA[0] */
    uint64_t frame; /* bytes per SSA frame */
    uint64_t xfrm;
    /* C only */
    uint64_t va, ssa;
    bool removed;
};
SGX_OFFSET(softsgx_tcs, busy, TCS_BUSY);
SGX_OFFSET(softsgx_tcs, cssa, TCS_CSSA);
SGX_OFFSET(softsgx_tcs, nssa, TCS_NSSA);
SGX_OFFSET(softsgx_tcs, thread, TCS_THREAD);
SGX_OFFSET(softsgx_tcs, oentry, TCS_OENTRY);
SGX_OFFSET(softsgx_tcs, fsbase, TCS_FSBASE);
SGX_OFFSET(softsgx_tcs, gsbase, TCS_GSBASE);
SGX_OFFSET(softsgx_tcs, gpr, TCS_GPR);
SGX_OFFSET(softsgx_tcs, frame, TCS_FRAME);
SGX_OFFSET(softsgx_tcs, xfrm, TCS_XFRM);

#define SOFTSGX_TCS_MAX 4096

struct softsgx_cost {
    bool on;
    uint64_t transition, aex, eaccept, eaug, page; /* TSC cycles */
};

#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif

struct softsgx {
    struct sgx_enclave enclave; /* first */
    bool open, created, initialized, edmm, patch, cpuid_faulting, provision;
    uint64_t elrange_start, elrange_end; /* what is reserved: base 0 starts at 64 KiB */
    struct secs secs;
    uint64_t attributes_mask; /* ATTRIBUTES allowed to be initialised */
    uint8_t isvfamilyid[16], isvextprodid[16];
    struct sha256_ctx measurement;
    uint8_t secret[32];
    _Atomic uint32_t *epcm; /* one entry a page of ELRANGE */
    _Atomic int64_t epc_left;
    struct softsgx_tcs *tcs;
    uint32_t tcs_count;
    /* Vector state that asynchronous exits keep: SECS.XFRM, and more where programs see more (see kept_state()). */
    uint64_t kept_state;
    uint32_t xsave_size; /* standard format, for kept_state */
    uint32_t sgx_error;  /* of the last EINIT, for tests and diagnosis */
    uint64_t sites_patched;
    struct softsgx_cost cost;
    atomic_flag pte_lock;
    int64_t areas, areas_max; /* of the kernel's memory areas, about; beyond the maximum spans are guarded */
    int mem_fd;               /* /proc/self/mem: writes past the page table */
    int fault_fd;             /* userfaultfd, or -1: no sparse areas */
};

extern struct softsgx softsgx;
/* TCS page number + 1 -> struct softsgx_tcs; known to assembly. */
extern struct softsgx_tcs **softsgx_tcs_table;
extern uint64_t softsgx_page_count, softsgx_base_page;
/* Components that XCR0 has and the enclave must not see, and an image that puts them in their initial state. */
struct softsgx_xsave_area {
    uint8_t bytes[576];
} __attribute__((aligned(64)));
extern uint32_t softsgx_foreign_state;
extern const struct softsgx_xsave_area softsgx_initial_state;

static inline bool softsgx_in_elrange(uint64_t addr)
{
    return addr - softsgx.secs.base < softsgx.secs.size && softsgx.created;
}

static inline _Atomic uint32_t *softsgx_epcm(uint64_t addr)
{
    return &softsgx.epcm[(addr - softsgx.secs.base) >> PAGE_SHIFT];
}

static inline struct softsgx_tcs *softsgx_tcs_at(uint64_t va)
{
    if ((va & (PAGE_SIZE - 1)) || !softsgx_in_elrange(va))
        return NULL;
    return softsgx_tcs_table[((va - softsgx.secs.base) >> PAGE_SHIFT) + 1];
}

/* build.c */
uint32_t softsgx_xsave_size(uint64_t xfrm);
/* Makes the TCS object for a page with these contents; NULL if the SDM's checks at EADD fail. */
struct softsgx_tcs *softsgx_tcs_new(uint64_t va, const struct tcs_page *page);

/* einit.c: an errno, with the SGX error code in softsgx.sgx_error. */
int softsgx_einit(const void *sigstruct);
int softsgx_sigstruct_check(const void *sigstruct, uint8_t ret_mrsigner[32]); /* 0 or an sgx_error */

/* epcm.c. All async-signal-safe. need is a mask of EPCM_R/W/X. */
int softsgx_epcm_init(void);
/* True if the EPCM lets the enclave access the page so. */
bool softsgx_epcm_allows(uint64_t addr, uint32_t need);
/* Adds a zero page: PENDING, RW, REG. False when the EPC is full, the page is there already or there is no SGX2. */
bool softsgx_eaug(uint64_t addr);
/* R, W, X that the page table should allow for an EPCM entry. */
uint32_t softsgx_entry_prot(uint32_t entry);
/* R, W, X that the page table allows now. */
static inline uint32_t softsgx_entry_pte(uint32_t entry)
{
    return (entry >> EPCM_PTE_SHIFT) & EPCM_RWX;
}
/* Nobody will miss what is in the page. */
static inline bool softsgx_nothing_to_keep(uint32_t entry)
{
    return !(entry & EPCM_VALID) || (entry & EPCM_PENDING) || (entry & EPCM_TYPE_MASK) == EPCM_TYPE(PT_TRIM);
}

/* pte.c. All async-signal-safe. */
int softsgx_pte_init(void);
void softsgx_pte_deinit(void);
/* Makes the page table agree with the EPCM around addr. False if the EPCM does not allow the access: a true fault. */
bool softsgx_pte_fill(uint64_t addr, uint32_t need);
/* After permissions were taken away in [start, end): the page table follows now. */
int softsgx_pte_drop(uint64_t start, uint64_t end);
/* The page table of [start, end), and nothing else: for sparse.c. 0, or a negative errno. */
long softsgx_pte_protect(uint64_t start, uint64_t end, uint32_t prot);
/* Lets the host look at a page that nobody may access now (a new TCS), and stops that. */
void softsgx_pte_peek(uint64_t page, bool on);
/*
 * EACCEPTCOPY of a page that nobody may access yet, from memory that is readable now: its entry becomes `accepted` when
 * all of the contents are there. False if the page cannot be filled, or the entry is no longer `entry`.
 */
bool softsgx_pte_copy(uint64_t page, uint64_t source, uint32_t entry, uint32_t accepted);
/* After ADD_PAGES: fills by runs. */
int softsgx_pte_fill_all(uint64_t start, uint64_t end);
/* Makes sure host code may access [addr, addr + size) as the enclave may. */
bool softsgx_touch(uint64_t addr, uint64_t size, uint32_t need);

/* sparse.c. Async-signal-safe but for open. Where pte_lock matters it is held. */
void softsgx_sparse_open(void);
/* Makes [page, a page that has something to keep) a sparse area of these rights (no W). False: it is none. */
bool softsgx_sparse_make(uint64_t page, uint32_t prot);
/* No page of [start, end) is in a sparse area any more; the page table's rights stay. 0 or -1. */
int softsgx_sparse_leave(uint64_t start, uint64_t end);
/* A page of a sparse area that is not there: it is now, whole. */
bool softsgx_sparse_copy(uint64_t page, uint64_t source);
static inline uint32_t softsgx_entry_sparse(uint32_t e)
{
    return (e >> EPCM_SPARSE_SHIFT) & EPCM_RWX;
}

/* edmm.c */
int softsgx_restrict_permissions(struct sgx_enclave_restrict_permissions *arg);
int softsgx_modify_types(struct sgx_enclave_modify_types *arg);
int softsgx_remove_pages(struct sgx_enclave_remove_pages *arg);

/* A fault that an ENCLU leaf takes. */
struct softsgx_fault {
    uint32_t vector, error_code;
    uint64_t addr;
};

/* leaf.c: return RAX; or -1 with *ret_fault. Host FS is not needed. */
int64_t softsgx_eaccept(struct sgx_thread *thread, uint64_t secinfo, uint64_t page, struct softsgx_fault *ret_fault);
int64_t softsgx_emodpe(struct sgx_thread *thread, uint64_t secinfo, uint64_t page, struct softsgx_fault *ret_fault);
int64_t softsgx_eacceptcopy(struct sgx_thread *thread, uint64_t secinfo, uint64_t page, uint64_t source,
                            struct softsgx_fault *ret_fault);

/* keys.c */
int softsgx_secret_load(void);
int64_t softsgx_ereport(uint64_t targetinfo, uint64_t reportdata, uint64_t report, struct softsgx_fault *ret_fault);
/* Whether a REPORT (432 bytes) was made on this machine for the enclave that a TARGETINFO (512 bytes) describes. */
bool softsgx_report_verify(const void *targetinfo, const void *report);
int64_t softsgx_egetkey(uint64_t keyrequest, uint64_t key, struct softsgx_fault *ret_fault);

/* patch.c: ENCLU sites of an executable page just added (mapped writable). */
void softsgx_patch_page(uint8_t *page);

/* cost.c */
void softsgx_cost_parse(const char *text);
void softsgx_cost_spin(uint64_t cycles);
static inline void softsgx_charge(uint64_t cycles)
{
    if (__builtin_expect(softsgx.cost.on, 0))
        softsgx_cost_spin(cycles);
}

/* thread.c */
int softsgx_thread_init(struct sgx_thread *thread);
void softsgx_thread_exit(struct sgx_thread *thread);
int softsgx_signal_install(int signum, void (*handler)(int, siginfo_t *, void *), int flags);
void softsgx_signals_init(void);
/* The next such signal kills the process as if nobody handled it. */
void softsgx_default_action(int signum);
void softsgx_die(const char *why) __attribute__((noreturn));

/* signal.c. Called by the signal entry; see there. */
int softsgx_handle(int signum, siginfo_t *info, ucontext_t *context, struct sgx_thread *thread, uint64_t fs,
                   uint64_t gs);
void softsgx_handle_plain(int signum, siginfo_t *info, ucontext_t *context);
/* Tests: called for every SIGTRAP before anything else; true = it was mine, go on where you were. */
extern bool (*softsgx_step_hook)(ucontext_t *context, struct sgx_thread *thread);
/* Host handlers by signal number. */
extern void (*softsgx_handlers[65])(int, siginfo_t *, void *);

/* entry.S */
int softsgx_enter(unsigned long rdi, unsigned long rsi, unsigned long rdx, unsigned int function, unsigned long r8,
                  unsigned long r9, struct sgx_enclave_run *run);
void softsgx_sig_entry(int signum, siginfo_t *info, void *context);
void softsgx_sig_restore(void);
/* What the host's registers are after leaving a handler by a jump. */
struct softsgx_leave {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, rip, rflags;
};
void softsgx_leave_now(const struct softsgx_leave *state) __attribute__((noreturn));
/* memcpy that survives a fault: 0, or -1. */
int softsgx_copy_safe(void *dst, const void *src, size_t size);
extern const char softsgx_text_start[], softsgx_text_end[], softsgx_aep[], softsgx_after_enclu[], softsgx_exception[],
    softsgx_eenter[], softsgx_eenter_owned[], softsgx_eenter_end[], softsgx_eresume_start[], softsgx_eresume_owned[],
    softsgx_eresume_committed[], softsgx_eresume_end[], softsgx_leaf_stub[], softsgx_leaf_trap[],
    softsgx_copy_safe_at[], softsgx_copy_safe_failed[];
/* entry.S calls these. */
int softsgx_bind(uint64_t tcs_va);
int64_t softsgx_leaf_fast(struct sgx_thread *thread, uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);

#endif
