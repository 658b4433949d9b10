/* Pages that come, change and go: EACCEPT, EMODPE, EACCEPTCOPY, the SGX2 ioctls; with and without SGX2. */
#include "tests/unit/softsgx/support.h"

#include <sys/wait.h>
#include <unistd.h>

#define REG(rwx) (0x200UL | (rwx))
#define R 1UL
#define W 2UL
#define X 4UL
#define PENDING 8UL
#define MODIFIED 16UL
#define PR 32UL
#define NEW_PAGE (REG(R | W) | PENDING)
#define MISMATCH 19

static uint64_t load(struct test_enclave *t, uint64_t addr)
{
    return test_call(t, OP(load), addr);
}

static void store(struct test_enclave *t, uint64_t addr, uint64_t value)
{
    uint64_t *argument = (uint64_t *)(DATA + 0xf200);
    argument[0] = addr;
    argument[1] = value;
    test_call(t, OP(store), (uint64_t)argument);
}

/* The access faults, and the enclave is put back to where it was before. */
static void faults(struct test_enclave *t, uint64_t op, uint64_t arg, uint32_t vector, uint32_t error_code,
                   uint64_t addr)
{
    struct test_exit e = test_enter(t->thread, SGX_ENCLU_EENTER, op, arg);
    assert_int_equal(e.function, SGX_ENCLU_ERESUME);
    assert_int_equal(e.vector, vector);
    assert_int_equal(e.error_code, error_code);
    assert_int_equal(e.addr, addr & ~4095UL);
    softsgx_tcs_at(VCPU(0))->cssa = 0;
}

static void store_faults(struct test_enclave *t, uint64_t addr, uint32_t error_code)
{
    uint64_t *argument = (uint64_t *)(DATA + 0xf200);
    argument[0] = addr;
    faults(t, OP(store), (uint64_t)argument, 14, error_code, addr);
}

static int restrict_to(struct test_enclave *t, uint64_t addr, uint64_t size, uint64_t rwx, uint64_t *ret_result)
{
    struct sgx_enclave_restrict_permissions arg = {.offset = addr, .length = size, .permissions = rwx};
    int r = sgx_ioctl(t->enclave, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &arg);
    if (ret_result)
        *ret_result = arg.result;
    if (r == 0)
        assert_int_equal(arg.count, size);
    return r;
}

static int modify_type(struct test_enclave *t, uint64_t addr, uint64_t size, uint64_t type)
{
    struct sgx_enclave_modify_types arg = {.offset = addr, .length = size, .page_type = type};
    return sgx_ioctl(t->enclave, SGX_IOC_ENCLAVE_MODIFY_TYPES, &arg);
}

static int remove_pages(struct test_enclave *t, uint64_t addr, uint64_t size)
{
    struct sgx_enclave_remove_pages arg = {.offset = addr, .length = size};
    return sgx_ioctl(t->enclave, SGX_IOC_ENCLAVE_REMOVE_PAGES, &arg);
}

static void accept_range(struct test_enclave *t, uint64_t flags, uint64_t addr, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++)
        assert_int_equal(test_eaccept(t, flags, addr + i * 4096), 0);
}

static void pages_are_added_and_accepted(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    store_faults(&t, DYNAMIC, 7 | PF_SGX); /* the fault adds it; without EACCEPT it stays out of reach */
    store_faults(&t, DYNAMIC, 7 | PF_SGX);
    assert_int_equal(test_eaccept(&t, REG(R) | PENDING, DYNAMIC), MISMATCH);
    assert_int_equal(test_eaccept(&t, NEW_PAGE, DYNAMIC), 0);
    assert_int_equal(load(&t, DYNAMIC), 0);
    store(&t, DYNAMIC + 8, 0x55);
    assert_int_equal(load(&t, DYNAMIC + 8), 0x55);
    assert_int_equal(test_eaccept(&t, NEW_PAGE, DYNAMIC), MISMATCH); /* twice */
    /* without a fault first: EACCEPT's own adds it */
    uint64_t aex = t.thread->aex_by_vector[14];
    accept_range(&t, NEW_PAGE, DYNAMIC + 0x10000, 16);
    assert_int_equal(t.thread->aex_by_vector[14], aex + 16);
    store(&t, DYNAMIC + 0x1fff8, 1);
    test_enclave_free(&t);
}

static void malformed_leaves_fault(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    struct secinfo *secinfo = (struct secinfo *)(DATA + 0xe000);
    uint64_t s = (uint64_t)secinfo;
    struct {
        uint64_t flags, reserved, rbx, rcx;
        uint32_t vector;
    } cases[] = {
        {NEW_PAGE, 0, s + 8, DYNAMIC, 13},          /* SECINFO not aligned */
        {NEW_PAGE, 0, s, DYNAMIC + 8, 13},          /* page not aligned */
        {NEW_PAGE, 0, s, DEFAULT_SIZE, 13},         /* outside ELRANGE */
        {NEW_PAGE, 0, DEFAULT_SIZE, DYNAMIC, 13},   /* SECINFO outside */
        {NEW_PAGE, 0, DYNAMIC, DYNAMIC, 14},        /* SECINFO not there */
        {NEW_PAGE, 1, s, DYNAMIC, 13},              /* reserved field */
        {NEW_PAGE | 64, 0, s, DYNAMIC, 13},         /* reserved flag */
        {REG(R | W), 0, s, DYNAMIC, 13},            /* neither pending nor restricted */
        {REG(R | W) | MODIFIED, 0, s, DYNAMIC, 13}, /* a regular page is never modified */
        {0x400 | PENDING, 0, s, DYNAMIC, 13},       /* trimmed pages are */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(secinfo, 0, sizeof(*secinfo));
        secinfo->flags = cases[i].flags;
        secinfo->reserved[6] = cases[i].reserved;
        struct test_exit e = test_leaf(&t, 5, cases[i].rbx, cases[i].rcx, 0);
        assert_int_equal(e.function, SGX_ENCLU_ERESUME);
        assert_int_equal(e.vector, cases[i].vector);
        assert_int_equal(test_gpr(&t, 0)->rip, OP(enclu)); /* at the instruction, patched or not */
        assert_int_equal(test_gpr(&t, 0)->rax, 5);
        assert_int_equal(test_gpr(&t, 0)->rbx, cases[i].rbx);
        softsgx_tcs_at(VCPU(0))->cssa = 0;
    }
    /* TCS pages and pages below the lowest address are not for EACCEPT of new pages */
    assert_int_equal(test_eaccept(&t, NEW_PAGE, VCPU(0)), MISMATCH);
    test_enclave_free(&t);
}

static void flags_follow_the_result(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    struct secinfo *secinfo = (struct secinfo *)(DATA + 0xe000);
    memset(secinfo, 0, sizeof(*secinfo));
    secinfo->flags = NEW_PAGE;
    for (int patched = 0; patched < 2; patched++) {
        struct test_exit e = test_leaf(&t, 5, (uint64_t)secinfo, DYNAMIC + (uint64_t)patched * 4096, 0);
        assert_int_equal(e.rsi, 0);
        assert_false(((uint64_t *)(DATA + 0xf100))[4] & 0x40);
        e = test_leaf(&t, 5, (uint64_t)secinfo, DYNAMIC, 0);
        assert_int_equal(e.rsi, MISMATCH);
        assert_true(((uint64_t *)(DATA + 0xf100))[4] & 0x40);
    }
    test_enclave_free(&t);
}

static void permissions_are_extended_and_restricted(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    uint64_t page = DYNAMIC, result;
    accept_range(&t, NEW_PAGE, page, 4);
    store(&t, page, 0xc3); /* ret */
    faults(&t, OP(call), page, 14, 0x15 | PF_SGX, page);
    assert_int_equal(test_emodpe(&t, R | X, page), 0);
    test_call(&t, OP(call), page); /* executable at once */
    store(&t, page, 0xc3);
    assert_int_equal(restrict_to(&t, page, 0x4000, R | X, NULL), 0);
    store_faults(&t, page, 7 | PF_SGX); /* at once, before EACCEPT */
    assert_int_equal(test_eaccept(&t, REG(R | W | X) | PR, page), MISMATCH);
    assert_int_equal(test_eaccept(&t, REG(R | X) | PR, page), 0);
    assert_int_equal(test_eaccept(&t, REG(R) | PR, page + 4096), 0); /* RW & RX = R */
    assert_int_equal(load(&t, page + 4096), 0);
    test_call(&t, OP(call), page);
    assert_int_equal(restrict_to(&t, page, 0x1000, 0, NULL), 0);
    assert_int_equal(test_eaccept(&t, REG(0) | PR, page), 0);
    faults(&t, OP(load), page, 14, 5 | PF_SGX, page);
    assert_int_equal(test_emodpe(&t, R, page), 0);
    assert_int_equal(load(&t, page), 0xc3);
    /* what the driver refuses */
    assert_int_equal(restrict_to(&t, page, 0x1000, W, NULL), -EINVAL);
    assert_int_equal(restrict_to(&t, page, 0x1000, 8, NULL), -EINVAL);
    assert_int_equal(restrict_to(&t, page + 1, 0x1000, R, NULL), -EINVAL);
    assert_int_equal(restrict_to(&t, page, 0, R, NULL), -EINVAL);
    assert_int_equal(restrict_to(&t, DEFAULT_SIZE, 0x1000, R, NULL), -EINVAL);
    assert_int_equal(restrict_to(&t, page + 0x100000, 0x1000, R, NULL), -EFAULT);
    assert_int_equal(restrict_to(&t, VCPU(0), 0x1000, R, NULL), -EFAULT);
    store_faults(&t, page + 0x200000, 7 | PF_SGX);
    assert_int_equal(restrict_to(&t, page + 0x200000, 0x1000, R, &result), -EFAULT); /* pending */
    assert_int_equal(result, SGX_PAGE_NOT_MODIFIABLE);
    test_enclave_free(&t);
}

static void pages_are_trimmed_and_removed(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    uint64_t page = DYNAMIC;
    accept_range(&t, NEW_PAGE, page, 8);
    store(&t, page + 0x2000, 77);
    assert_int_equal(remove_pages(&t, page, 0x8000), -EPERM); /* not trimmed */
    assert_int_equal(modify_type(&t, page, 0x8000, 4), 0);
    store_faults(&t, page + 0x2000, 7 | PF_SGX);
    assert_int_equal(remove_pages(&t, page, 0x8000), -EPERM); /* not accepted */
    accept_range(&t, 0x400 | MODIFIED, page, 8);
    assert_int_equal(modify_type(&t, page, 0x1000, 4), -EINVAL); /* is trimmed */
    assert_int_equal(remove_pages(&t, page, 0x8000), 0);
    assert_int_equal(remove_pages(&t, page, 0x1000), -EFAULT); /* gone */
    accept_range(&t, NEW_PAGE, page, 8);
    assert_int_equal(load(&t, page + 0x2000), 0); /* new pages are zero */
    assert_int_equal(modify_type(&t, page, 0x1000, 3), -EINVAL);
    assert_int_equal(modify_type(&t, page + 0x100000, 0x1000, 4), -EFAULT);
    test_enclave_free(&t);
}

static void a_page_becomes_a_tcs(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    uint64_t page = DYNAMIC;
    accept_range(&t, NEW_PAGE, page, 1);
    struct tcs_page *tcs = (struct tcs_page *)page;
    load(&t, page);
    store(&t, (uint64_t)&tcs->ossa, VCPU(1) + VCPU_SSA_OFFSET);
    store(&t, (uint64_t)&tcs->cssa, 2UL << 32); /* NSSA = 2 */
    store(&t, (uint64_t)&tcs->oentry, OP(entry));
    store(&t, (uint64_t)&tcs->ogsbase, VCPU(1) + 0x1000);
    assert_int_equal(modify_type(&t, page, 0x1000, 1), 0);
    assert_int_equal(test_eaccept(&t, 0x100 | MODIFIED, page), 0);
    faults(&t, OP(load), page, 14, 5 | PF_SGX, page);
    t.thread->run.tcs = page;
    /* GS base is not TCS + 4096 here: EEXIT goes the slow way */
    assert_int_equal(test_call(&t, OP(nop), 1), 8);
    t.thread->run.tcs = VCPU(0);
    assert_int_equal(test_call(&t, OP(nop), 1), 8);
    assert_int_equal(modify_type(&t, page, 0x1000, 4), 0); /* and goes */
    t.thread->run.tcs = page;
    struct test_exit e = test_enter(t.thread, SGX_ENCLU_EENTER, OP(nop), 1);
    assert_int_equal(e.function, SGX_ENCLU_EENTER);
    assert_int_equal(e.vector, 13);
    t.thread->run.tcs = VCPU(0);
    assert_int_equal(test_eaccept(&t, 0x400 | MODIFIED, page), 0);
    assert_int_equal(remove_pages(&t, page, 0x1000), 0);
    test_enclave_free(&t);
}

static void eacceptcopy_fills_a_new_page(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    struct secinfo *secinfo = (struct secinfo *)(DATA + 0xe000);
    memset(secinfo, 0, sizeof(*secinfo));
    secinfo->flags = REG(R | X);
    memset((void *)(DATA + 0x1000), 0xc3, 4096);
    struct test_exit e = test_leaf(&t, 7, (uint64_t)secinfo, DYNAMIC, DATA + 0x1000);
    assert_int_equal(e.rsi, 0);
    test_call(&t, OP(call), DYNAMIC + 100);
    store_faults(&t, DYNAMIC, 7 | PF_SGX);
    e = test_leaf(&t, 7, (uint64_t)secinfo, DYNAMIC, DATA + 0x1000);
    assert_int_equal(e.rsi, MISMATCH);
    test_enclave_free(&t);
}

static void the_host_can_only_take_away(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    assert_int_equal(sgx_protect(t.enclave, TEXT, t.text_size, PROT_READ | PROT_WRITE), -EACCES);
    assert_int_equal(sgx_protect(t.enclave, DATA, 0x1000, PROT_READ), 0);
    store_faults(&t, DATA, 7);
    assert_int_equal(sgx_protect(t.enclave, DATA, 0x1000, PROT_READ | PROT_WRITE), 0);
    store(&t, DATA, 1);
    test_enclave_free(&t);
}

static void the_epc_is_finite(void **state)
{
    struct test_enclave t;
    setenv("COFRE_SOFTSGX_EPC", "0x100000", 1);
    test_enclave_new(&t, NULL);
    unsetenv("COFRE_SOFTSGX_EPC");
    uint64_t i, left = (uint64_t)softsgx.epc_left;
    assert_true(left > 10 && left < 256);
    for (i = 0; i < left; i++)
        assert_int_equal(test_eaccept(&t, NEW_PAGE, DYNAMIC + i * 4096), 0);
    struct secinfo *secinfo = (struct secinfo *)(DATA + 0xe000);
    secinfo->flags = NEW_PAGE;
    struct test_exit e = test_leaf(&t, 5, (uint64_t)secinfo, DYNAMIC + i * 4096, 0);
    assert_int_equal(e.vector, 14);
    softsgx_tcs_at(VCPU(0))->cssa = 0;
    assert_int_equal(modify_type(&t, DYNAMIC, 0x1000, 4), 0);
    accept_range(&t, 0x400 | MODIFIED, DYNAMIC, 1);
    assert_int_equal(remove_pages(&t, DYNAMIC, 0x1000), 0);
    assert_int_equal(test_eaccept(&t, NEW_PAGE, DYNAMIC + i * 4096), 0);
    test_enclave_free(&t);
}

static void without_sgx2_nothing_changes(void **state)
{
    struct test_enclave t;
    setenv("COFRE_SOFTSGX_EDMM", "0", 1);
    test_enclave_new(&t, NULL);
    unsetenv("COFRE_SOFTSGX_EDMM");
    assert_false(sgx_has_edmm(t.enclave));
    store_faults(&t, DYNAMIC, 6);
    store_faults(&t, DYNAMIC, 6); /* nothing was added */
    struct secinfo *secinfo = (struct secinfo *)(DATA + 0xe000);
    secinfo->flags = NEW_PAGE;
    struct test_exit e = test_leaf(&t, 5, (uint64_t)secinfo, DYNAMIC, 0);
    assert_int_equal(e.vector, 13);
    softsgx_tcs_at(VCPU(0))->cssa = 0;
    assert_int_equal(restrict_to(&t, DATA, 0x1000, R, NULL), -ENODEV);
    assert_int_equal(modify_type(&t, DATA, 0x1000, 4), -ENODEV);
    assert_int_equal(remove_pages(&t, DATA, 0x1000), -ENODEV);
    assert_int_equal(sgx_protect(t.enclave, DATA, 0x1000, PROT_READ), 0);
    store_faults(&t, DATA, 7);
    test_enclave_free(&t);
}

static int areas_in_use(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    int areas = 0;
    while (fgets(line, sizeof(line), f))
        areas += strtoul(line, NULL, 16) >= DYNAMIC && strtoul(line, NULL, 16) < DEFAULT_SIZE;
    fclose(f);
    return areas;
}

static uint64_t copy_page(struct test_enclave *t, uint64_t page, uint64_t rwx)
{
    struct secinfo *secinfo = (struct secinfo *)(DATA + 0xe000);
    memset(secinfo, 0, sizeof(*secinfo));
    secinfo->flags = REG(rwx);
    memset((void *)(DATA + 0x1000), 0xc3, 4096);
    return test_leaf(t, 7, (uint64_t)secinfo, page, DATA + 0x1000).rsi;
}

static void fetch_faults(struct test_enclave *t, uint64_t addr, uint32_t error_code)
{
    faults(t, OP(call), addr, 14, PF_I | error_code, addr);
}

static const uint64_t returns = 0xc3c3c3c3c3c3c3c3;

/* Pages that come one by one, far apart and out of order, each with its own rights; nothing is to be had between them.
 */
static void copies_with_holes(struct test_enclave *t)
{
    int before = areas_in_use();
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(copy_page(t, DYNAMIC + 0x1000 + (i * 37 % 100) * 0x2000, R | X), 0);
    for (uint64_t i = 0; i < 100; i++)
        test_call(t, OP(call), DYNAMIC + 0x1010 + i * 0x2000);
    if (softsgx.fault_fd >= 0)
        assert_true(areas_in_use() - before < 10);
    for (uint64_t i = 0; i < 100; i++)
        fetch_faults(t, DYNAMIC + 0x2000 + i * 0x2000, 5 | PF_SGX);
    faults(t, OP(load), DYNAMIC + 0xa000, 14, 5 | PF_SGX, DYNAMIC + 0xa000);
    store_faults(t, DYNAMIC + 0x1000, 7 | PF_SGX);
    store_faults(t, DYNAMIC + 0xa000, 7 | PF_SGX);
    assert_int_equal(copy_page(t, DYNAMIC + 0x1000, R | X), MISMATCH);
}

static void holes_are_filled(struct test_enclave *t)
{
    uint64_t hole = DYNAMIC + 0x4000;
    accept_range(t, NEW_PAGE, hole, 1);
    assert_int_equal(load(t, hole), 0);
    store(t, hole, 7);
    fetch_faults(t, hole, 5 | PF_SGX);
    assert_int_equal(copy_page(t, DYNAMIC + 0x6000, R), 0);
    assert_int_equal(load(t, DYNAMIC + 0x6008), returns);
    fetch_faults(t, DYNAMIC + 0x6000, 5 | PF_SGX);
    assert_int_equal(copy_page(t, DYNAMIC + 0x8000, R | W), 0);
    store(t, DYNAMIC + 0x8000, 9);
    assert_int_equal(load(t, DYNAMIC + 0x8008), returns);
    /* accepted, restricted, and only then used */
    accept_range(t, NEW_PAGE, DYNAMIC + 0xc000, 1);
    assert_int_equal(restrict_to(t, DYNAMIC + 0xc000, 0x1000, R, NULL), 0);
    assert_int_equal(test_eaccept(t, REG(R) | PR, DYNAMIC + 0xc000), 0);
    assert_int_equal(test_emodpe(t, R | X, DYNAMIC + 0xc000), 0);
    assert_int_equal(load(t, DYNAMIC + 0xc000), 0);
    for (uint64_t i = 0; i < 100; i++)
        test_call(t, OP(call), DYNAMIC + 0x1010 + i * 0x2000);
    assert_int_equal(load(t, hole), 7);
}

static void rights_change_among_holes(struct test_enclave *t)
{
    uint64_t page = DYNAMIC + 0x3000, other = DYNAMIC + 0x7000;
    assert_int_equal(restrict_to(t, other, 0x1000, R, NULL), 0);
    assert_int_equal(test_eaccept(t, REG(R) | PR, other), 0);
    assert_int_equal(load(t, other), returns);
    fetch_faults(t, other, 5 | PF_SGX);
    assert_int_equal(test_emodpe(t, R | X, other), 0);
    test_call(t, OP(call), other);
    assert_int_equal(sgx_protect(t->enclave, DYNAMIC + 0x9000, 0x3000, PROT_NONE), 0);
    faults(t, OP(load), DYNAMIC + 0x9000, 14, 5, DYNAMIC + 0x9000);
    assert_int_equal(sgx_protect(t->enclave, DYNAMIC + 0x9000, 0x3000, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    test_call(t, OP(call), DYNAMIC + 0x9000);
    assert_int_equal(modify_type(t, page, 0x1000, 4), 0);
    faults(t, OP(load), page, 14, 5 | PF_SGX, page);
    accept_range(t, 0x400 | MODIFIED, page, 1);
    faults(t, OP(load), page, 14, 5 | PF_SGX, page);
    assert_int_equal(remove_pages(t, page, 0x1000), 0);
    faults(t, OP(load), page, 14, 5 | PF_SGX, page);
    accept_range(t, NEW_PAGE, page, 1);
    assert_int_equal(load(t, page), 0);
    assert_int_equal(modify_type(t, page, 0x1000, 4), 0);
    accept_range(t, 0x400 | MODIFIED, page, 1);
    assert_int_equal(remove_pages(t, page, 0x1000), 0);
    assert_int_equal(copy_page(t, page, R | X), 0);
    test_call(t, OP(call), page);
    store_faults(t, DYNAMIC + 0xa000, 7 | PF_SGX);
    /* all that comes later at once, whatever it is */
    assert_int_equal(modify_type(t, DYNAMIC + 0x3000, 0x2000, 4), 0);
    accept_range(t, 0x400 | MODIFIED, DYNAMIC + 0x3000, 2);
    for (uint64_t a = DYNAMIC + 0x3000; a < DYNAMIC + 0x5000; a += 4096) {
        faults(t, OP(load), a, 14, 5 | PF_SGX, a);
        fetch_faults(t, a, 5 | PF_SGX);
    }
    assert_int_equal(remove_pages(t, DYNAMIC + 0x3000, 0x2000), 0);
    accept_range(t, NEW_PAGE, DYNAMIC + 0x3000, 2);
    assert_int_equal(load(t, DYNAMIC + 0x3000) | load(t, DYNAMIC + 0x4000), 0);
    test_call(t, OP(call), DYNAMIC + 0x5000);
}

static void sparse_areas_keep_the_rules(void **state)
{
    struct test_enclave t;
    for (int i = 0; i < 2; i++) { /* with userfaultfd, where that is allowed, and without */
        test_enclave_new(&t, NULL);
        copies_with_holes(&t);
        holes_are_filled(&t);
        rights_change_among_holes(&t);
        test_enclave_free(&t);
        setenv("COFRE_SOFTSGX_SPARSE", "0", 1);
    }
    unsetenv("COFRE_SOFTSGX_SPARSE");
}

/* Scattered windows of 64 KiB, all accepted in the end: the kernel's areas must have merged again. */
static void areas_merge_again(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    enum { WINDOWS = 500 };
    unsigned order[WINDOWS];
    for (unsigned i = 0; i < WINDOWS; i++)
        order[i] = i;
    srand(1);
    for (unsigned i = WINDOWS - 1; i > 0; i--) {
        unsigned j = (unsigned)rand() % (i + 1), k = order[i];
        order[i] = order[j];
        order[j] = k;
    }
    double start = test_now_ns();
    for (unsigned i = 0; i < WINDOWS; i++) {
        uint64_t window = DYNAMIC + order[i] * 0x10000UL;
        accept_range(&t, NEW_PAGE, window, 16);
        store(&t, window, i);
        store(&t, window + 0x8000, i);
    }
    print_message("a window of 16 pages, accepted one by one and touched: %.1f us\n",
                  (test_now_ns() - start) / WINDOWS / 1000);
    int areas = areas_in_use();
    print_message("areas in the dynamic range: %d\n", areas);
    assert_true(areas < 10);
    test_enclave_free(&t);
}

/* Every other window: with many areas the page table is kept by guards, and all rules hold as before. */
static void many_areas_are_guarded(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    softsgx.areas_max = 64;
    enum { WINDOWS = 600 };
    for (uint64_t i = 0; i < WINDOWS; i++) {
        accept_range(&t, NEW_PAGE, DYNAMIC + i * 0x8000, 4);
        store(&t, DYNAMIC + i * 0x8000, i);
    }
    print_message("areas for %d windows: %d (counted: %ld)\n", WINDOWS, areas_in_use(), (long)softsgx.areas);
    if (softsgx.areas_max == INT64_MAX) { /* guards are from Linux 6.13 on */
        test_enclave_free(&t);
        skip();
    }
    assert_true(areas_in_use() < 200);
    uint64_t last = DYNAMIC + (WINDOWS - 1) * 0x8000UL;
    store_faults(&t, last + 0x4000, 7 | PF_SGX);
    accept_range(&t, NEW_PAGE, last + 0x4000, 1);
    assert_int_equal(load(&t, last + 0x4000), 0);
    assert_int_equal(load(&t, last), WINDOWS - 1);
    assert_int_equal(restrict_to(&t, last, 0x1000, 0, NULL), 0); /* what is in it stays */
    assert_int_equal(test_eaccept(&t, REG(0) | PR, last), 0);
    faults(&t, OP(load), last, 14, 5 | PF_SGX, last);
    assert_int_equal(test_emodpe(&t, R | W, last), 0);
    assert_int_equal(load(&t, last), WINDOWS - 1);
    assert_int_equal(modify_type(&t, last, 0x1000, 4), 0);
    faults(&t, OP(load), last, 14, 5 | PF_SGX, last);
    accept_range(&t, 0x400 | MODIFIED, last, 1);
    assert_int_equal(remove_pages(&t, last, 0x1000), 0);
    store_faults(&t, last, 7 | PF_SGX);
    accept_range(&t, NEW_PAGE, last, 1);
    assert_int_equal(load(&t, last), 0);
    struct secinfo *secinfo = (struct secinfo *)(DATA + 0xe000);
    memset(secinfo, 0, sizeof(*secinfo));
    secinfo->flags = REG(R | X);
    memset((void *)(DATA + 0x1000), 0xc3, 4096);
    struct test_exit e = test_leaf(&t, 7, (uint64_t)secinfo, last + 0x5000, DATA + 0x1000);
    assert_int_equal(e.rsi, 0);
    test_call(&t, OP(call), last + 0x5000);
    store_faults(&t, last + 0x5000, 7 | PF_SGX);
    for (uint64_t i = 0; i + 1 < WINDOWS; i++)
        assert_int_equal(load(&t, DYNAMIC + i * 0x8000), i);
    test_enclave_free(&t);
}

/* What the child of a fork does with its enclave; its exit status. */
static int use_inherited(struct test_enclave *t)
{
    struct secinfo *secinfo = (struct secinfo *)(DATA + 0xe000);
    if (sgx_inherit(t->enclave) || sgx_thread_init(t->enclave, VCPU(0), &t->thread) || load(t, DATA) != 1)
        return 1;
    store(t, DATA, 2);
    accept_range(t, NEW_PAGE, DYNAMIC, 1);
    store(t, DYNAMIC, 3);
    memset(secinfo, 0, sizeof(*secinfo));
    secinfo->flags = REG(R | X);
    memset((void *)(DATA + 0x1000), 0xc3, 4096);
    if (test_leaf(t, 7, (uint64_t)secinfo, DYNAMIC + 0x1000, DATA + 0x1000).rsi != 0)
        return 2;
    test_call(t, OP(call), DYNAMIC + 0x1000);
    return load(t, DATA) == 2 && load(t, DYNAMIC) == 3 ? 0 : 3;
}

/* A copy of its own, as if it had been built once more: neither sees what the other does. */
static void a_child_inherits(void **state)
{
    struct test_enclave t;
    int status;
    test_enclave_new(&t, NULL);
    store(&t, DATA, 1);
    sgx_thread_exit(t.thread);
    assert_true(sgx_can_inherit(SGX_SOFTWARE));
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_inherited(&t));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(sgx_thread_init(t.enclave, VCPU(0), &t.thread), 0);
    assert_int_equal(load(&t, DATA), 1);
    store_faults(&t, DYNAMIC, 7 | PF_SGX);
    store_faults(&t, DYNAMIC + 0x1000, 7 | PF_SGX);
    test_enclave_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_added_and_accepted),
        cmocka_unit_test(malformed_leaves_fault),
        cmocka_unit_test(flags_follow_the_result),
        cmocka_unit_test(permissions_are_extended_and_restricted),
        cmocka_unit_test(pages_are_trimmed_and_removed),
        cmocka_unit_test(a_page_becomes_a_tcs),
        cmocka_unit_test(eacceptcopy_fills_a_new_page),
        cmocka_unit_test(the_host_can_only_take_away),
        cmocka_unit_test(the_epc_is_finite),
        cmocka_unit_test(without_sgx2_nothing_changes),
        cmocka_unit_test(sparse_areas_keep_the_rules),
        cmocka_unit_test(areas_merge_again),
        cmocka_unit_test(a_child_inherits),
        cmocka_unit_test(many_areas_are_guarded),
    };
    return cmocka_run_group_tests_name("softsgx pages", tests, NULL, NULL);
}
