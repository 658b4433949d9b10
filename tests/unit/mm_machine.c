/* A simulated enclave for tests of kernel/mm/ (contract in mm_machine.h). */
#include "mm_machine.h"

#include <linux/errno.h>
#include <linux/mman.h>
#include <setjmp.h>
#include <stdio.h>

#include "abi/hostcall.h"
#include "kernel/arch/enclu.h"
#include "kernel/arch/extable.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/rewrite.h"
#include "kernel/arch/trap.h"
#include "kernel/arch/untrusted.h"
#include "kernel/fs/verity.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

void *hosted_malloc(size_t size);
void *hosted_aligned(size_t alignment, size_t size);
void *hosted_realloc(void *p, size_t size);
void hosted_free(void *p);
noreturn_fn void hosted_abort(const char *message);

enum { VALID = 8, PENDING = 16, MODIFIED = 32, PR = 64, TRIM = 128 };

static uint8_t epcm[MACHINE_SIZE / PAGE_SIZE];
static uint8_t tables[MACHINE_SIZE / PAGE_SIZE]; /* the host's page tables */
static bool with_edmm;
static struct policy the_policy;
const struct member_ops *member_ops;
struct process machine_process;
unsigned long machine_hostcalls;
uaddr_t machine_straddled;
int machine_lie = -1;
bool machine_alone = true;

static jmp_buf death;
static bool may_die;

unsigned long machine_copies;
uint64_t machine_pages_left = UINT64_MAX;

/* ---- time ---- */

static uint64_t now_ns = 1;
static struct timer *armed;

/* ---- untrusted memory, and the root image: every byte of a block is its number, below 16 ---- */

void untrusted_copy_in(void *dst, host_ptr src, size_t size)
{
    memcpy(dst, (const void *)src.addr, size);
}

uint32_t untrusted_load32(host_ptr p)
{
    return *(const uint32_t *)p.addr;
}

void untrusted_store32(host_ptr p, uint32_t value)
{
    *(uint32_t *)p.addr = value;
}

void untrusted_store64(host_ptr p, uint64_t value)
{
    *(uint64_t *)p.addr = value;
}

struct verity *root_device;

size_t verity_read_these(struct verity *verity, const uint64_t *blocks, size_t count, void *dst)
{
    for (size_t i = 0; i < count; i++)
        memset((char *)dst + i * PAGE_SIZE, (int)(blocks[i] % 16), PAGE_SIZE);
    return count;
}

uint64_t time_monotonic_ns(void)
{
    return now_ns;
}

void timer_init(struct timer *timer, void (*fn)(struct timer *timer))
{
    *timer = (struct timer){.fn = fn};
}

void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
    timer->armed = true;
    timer->deadline_ns = deadline_ns;
    armed = timer;
}

void machine_pass_time(uint64_t ns)
{
    uint64_t end = now_ns + ns;

    while (armed && armed->deadline_ns <= end) {
        struct timer *timer = armed;

        now_ns = MAX(now_ns, timer->deadline_ns);
        armed = NULL;
        timer->armed = false;
        timer->fn(timer);
    }
    now_ns = end;
}

/* ---- the rest of the kernel ---- */

bool sched_alone(void)
{
    return machine_alone;
}

const struct policy *policy(void)
{
    return &the_policy;
}

struct process *process_self(void)
{
    return &machine_process;
}

bool process_capable(int capability)
{
    return true;
}

void panic_at(const char *file, int line, const char *format, ...)
{
    if (may_die)
        longjmp(death, 1);
    fprintf(stderr, "%s:%d: panic: %s\n", file, line, format);
    hosted_abort(format);
}

void host_lied(const char *what)
{
    if (may_die)
        longjmp(death, 1);
    hosted_abort(what);
}

bool machine_dies(void (*fn)(void))
{
    bool died = setjmp(death) != 0;

    if (!died) {
        may_die = true;
        fn();
    }
    may_die = false;
    return died;
}

unsigned machine_seed = 1;

unsigned machine_pick(unsigned below)
{
    machine_seed = machine_seed * 1103515245U + 12345U;
    return (machine_seed >> 12) % below;
}

void printk(enum log_level level, const char *format, ...)
{
}

void signal_force(const struct signal_source *source)
{
}

uint64_t random_u64(void)
{
    return 0;
}

void rewrite_text(uaddr_t start, size_t size)
{
}

void rewrite_text_copy(uaddr_t start, void *bytes, size_t size)
{
}

void rewrite_forget(uaddr_t start, size_t size)
{
}

void rewrite_forget_if(bool (*gone)(uaddr_t site))
{
}

bool rewrite_straddles(uaddr_t boundary)
{
    return boundary == machine_straddled;
}

int rewrite_save(struct stream *stream, bool stubs)
{
    return 0;
}

int rewrite_load(struct stream *stream)
{
    return 0;
}

void mutex_lock(struct mutex *mutex)
{
    mutex->depth++;
}

void mutex_unlock(struct mutex *mutex)
{
    mutex->depth--;
}

void mm_freeze(void)
{
    mm_self()->frozen++;
}

void mm_thaw(void)
{
    mm_self()->frozen--;
}

void mm_wait_thaw(void)
{
    if (mm_self()->frozen)
        hosted_abort("a mapping changes while it is copied");
}

struct file *file_get(struct file *file)
{
    file->refcount++;
    return file;
}

void file_put(struct file *file)
{
    if (--file->refcount == 0)
        hosted_abort("a file lost its last reference");
}

struct file *fd_get(int fd)
{
    return NULL;
}

bool inode_write_sealed(struct inode *inode)
{
    return false;
}

void *kmalloc(size_t size)
{
    return hosted_malloc(size);
}

void *kzalloc(size_t size)
{
    return memset(hosted_malloc(size), 0, size);
}

void *krealloc(void *p, size_t size)
{
    return hosted_realloc(p, size);
}

void kfree(void *p)
{
    hosted_free(p);
}

void *page_alloc_many(size_t count)
{
    return hosted_aligned(PAGE_SIZE, count * PAGE_SIZE);
}

void *page_alloc(void)
{
    return page_alloc_many(1);
}

void page_free_many(void *first, size_t count)
{
    hosted_free(first);
}

void page_free(void *page)
{
    hosted_free(page);
}

/* ---- the processor ---- */

static uint8_t *entry_of(uint64_t page)
{
    if (page % PAGE_SIZE || page >= MACHINE_SIZE)
        hosted_abort("an ENCLU leaf on no page of the enclave");
    return &epcm[page / PAGE_SIZE];
}

/* The fault that a leaf takes on a page that is not there. False: there is no more memory. */
static bool augment(uint64_t page)
{
    uint8_t *entry = entry_of(page);

    if (!with_edmm)
        hosted_abort("an SGX2 leaf without SGX2");
    if (!tables[page / PAGE_SIZE])
        hosted_abort("an ENCLU leaf on a page that the host's tables hide");
    if (!(*entry & VALID)) {
        if (machine_pages_left == 0)
            return false;
        machine_pages_left--;
        *entry = VALID | PENDING | SECINFO_R | SECINFO_W;
        memset((void *)page, 0, PAGE_SIZE);
    }
    return true;
}

uint64_t enclu_eaccept(const struct secinfo *secinfo, uint64_t page)
{
    uint8_t *entry = entry_of(page);
    uint64_t has;

    if (!augment(page))
        return ENCLU_FAULT;
    has = (*entry & 7u) | (*entry & PENDING ? SECINFO_PENDING : 0) | (*entry & MODIFIED ? SECINFO_MODIFIED : 0) |
          (*entry & PR ? SECINFO_PR : 0) | SECINFO_TYPE(*entry & TRIM ? PT_TRIM : PT_REG);
    if (*entry & TRIM)
        has &= ~7ULL;
    if (has != secinfo->flags || !(*entry & (PENDING | MODIFIED | PR)))
        return 19;
    *entry &= (uint8_t) ~(PENDING | MODIFIED | PR);
    return 0;
}

uint64_t enclu_eacceptcopy(const struct secinfo *secinfo, uint64_t page, uint64_t source)
{
    uint8_t *entry = entry_of(page);

    if (!augment(page))
        return ENCLU_FAULT;
    machine_copies++;
    if (source % PAGE_SIZE)
        hosted_abort("EACCEPTCOPY from no page");
    if (!(*entry & PENDING))
        return 19;
    memcpy((void *)page, (const void *)source, PAGE_SIZE);
    *entry = (uint8_t)(VALID | (secinfo->flags & 7));
    return 0;
}

void enclu_emodpe(const struct secinfo *secinfo, uint64_t page)
{
    uint8_t *entry = entry_of(page);

    if (!(*entry & VALID) || (*entry & (PENDING | MODIFIED | TRIM)))
        hosted_abort("EMODPE of a page that cannot be changed");
    *entry |= secinfo->flags & 7;
}

/* ---- the host ---- */

/* Others run: no page may come into their reach with what it contained for somebody else. */
static void check_reach(uint64_t page, uint64_t arg)
{
    uint8_t entry = *entry_of(page), state = page_state(page);
    /* Zeroed by this program: what is there since is its own threads'. */
    bool own = !(state & PAGE_OLD) && (!(state & PAGE_R) || (state & PAGE_W));

    if (arg == 0 || machine_alone || !with_edmm || own || !(state & PAGE_IDLE) || !(entry & VALID) ||
        (entry & (MODIFIED | TRIM)))
        return;
    for (size_t i = 0; i < PAGE_SIZE; i++)
        if (((const uint8_t *)page)[i])
            hosted_abort("what an idle page contains comes into reach");
}

static void edmm_page(enum edmm_op op, uint64_t page, uint64_t arg)
{
    uint8_t *entry = entry_of(page);

    switch (op) {
    case EDMM_RESTRICT:
        if (!(*entry & VALID) || (*entry & (PENDING | MODIFIED)))
            hosted_abort("EMODPR of a page that is not in use");
        *entry = (uint8_t)((*entry & ~7u) | (*entry & arg & 7) | PR);
        break;
    case EDMM_TRIM:
        if (!(*entry & VALID) || (*entry & (PENDING | MODIFIED)))
            hosted_abort("EMODT of a page that is not in use");
        *entry |= TRIM | MODIFIED;
        break;
    case EDMM_REMOVE:
        if (!(*entry & TRIM) || (*entry & MODIFIED))
            hosted_abort("EREMOVE of a page that was not trimmed and accepted");
        *entry = 0;
        break;
    case EDMM_PROTECT:
        check_reach(page, arg);
        tables[page / PAGE_SIZE] = (uint8_t)arg;
        break;
    case EDMM_POPULATE:
        (void)augment(page);
    }
}

int hostcall_edmm(enum edmm_op op, uint64_t addr, uint64_t size, uint64_t arg)
{
    machine_hostcalls++;
    if ((int)op == machine_lie)
        return 0;
    for (uint64_t page = addr; page < addr + size; page += PAGE_SIZE)
        edmm_page(op, page, arg);
    return 0;
}

/* ---- for tests ---- */

void machine_map_memory(uint64_t start, uint64_t end);

void machine_init(bool edmm, uint64_t limit_bytes)
{
    with_edmm = edmm;
    the_policy =
        (struct policy){.flags = edmm ? POLICY_EDMM : 0, .elrange_size = MACHINE_SIZE, .memory_size = limit_bytes};
    for (size_t i = 0; i < RLIM_NLIMITS; i++)
        machine_process.limits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
    machine_map_memory(USER_BASE, MACHINE_SIZE);
    memset(epcm, 0, sizeof epcm);
    memset(tables, 7, sizeof tables);
    if (!edmm) /* what the host left in pages that are not measured */
        memset((void *)USER_BASE, 0xee, limit_bytes);
    mm_init();
}

unsigned machine_rights(uaddr_t page)
{
    uint8_t entry = epcm[page / PAGE_SIZE];

    if (!with_edmm)
        return tables[page / PAGE_SIZE];
    if (!(entry & VALID) || (entry & (PENDING | MODIFIED | TRIM)))
        return 0;
    return entry & tables[page / PAGE_SIZE] & 7u;
}

int machine_touch(uaddr_t addr, bool write, uint8_t *value)
{
    uaddr_t page = ALIGN_DOWN(addr, PAGE_SIZE);
    unsigned wanted = write ? PAGE_W : PAGE_R;

    for (int tries = 0; !(machine_rights(page) & wanted); tries++) {
        int code, r = mm_fault(addr, PF_USER | (write ? PF_WRITE : 0), &code);

        if (r == -EIO)
            return TOUCH_BUS;
        if (r == -ENOMEM)
            return TOUCH_KILL;
        if (r < 0)
            return TOUCH_SEGV;
        if (tries > 1)
            hosted_abort("a fault that was resolved comes again");
    }
    if (write)
        *(uint8_t *)addr = *value;
    else
        *value = *(uint8_t *)addr;
    return 0;
}
