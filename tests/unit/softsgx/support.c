/* See support.h. */
#include "tests/unit/softsgx/support.h"

#include <time.h>
#include <unistd.h>

#define REG_R 0x201UL
#define REG_RW 0x203UL
#define REG_RX 0x205UL
#define TCS_FLAGS 0x100UL
#define SECINFO_SLOT (DATA + 0xf000)
#define ARGUMENT_SLOT (DATA + 0xf100)

static EVP_PKEY *signing_key(void)
{
    static EVP_PKEY *key;
    char path[64], *error = NULL;
    if (key)
        return key;
    snprintf(path, sizeof(path), "/tmp/softsgx-test-%d.pem", (int)getpid());
    assert_int_equal(sigstruct_keygen(path, &error), 0);
    key = sigstruct_key_load(path, 1, &error);
    unlink(path);
    assert_non_null(key);
    return key;
}

int test_add(struct test_enclave *t, struct measure *m, uint64_t address, const void *data, uint64_t pages,
             uint64_t flags, bool measured)
{
    static const uint8_t zeros[DATA_PAGES * 4096] __attribute__((aligned(4096)));
    struct secinfo secinfo = {.flags = flags};
    struct sgx_enclave_add_pages add = {.src = (uint64_t)(data ? data : zeros),
                                        .offset = address - t->enclave->base,
                                        .length = pages * 4096,
                                        .secinfo = (uint64_t)&secinfo,
                                        .flags = measured ? SGX_PAGE_MEASURE : 0};
    int r = sgx_ioctl(t->enclave, SGX_IOC_ENCLAVE_ADD_PAGES, &add);
    for (uint64_t i = 0; m && r == 0 && i < pages; i++)
        measure_page(m, add.offset + i * 4096, flags, data ? (const uint8_t *)data + i * 4096 : zeros, measured);
    return r;
}

static void add_vcpu(struct test_enclave *t, struct measure *m, uint64_t base, uint64_t block, uint32_t nssa)
{
    static struct tcs_page tcs __attribute__((aligned(4096)));
    memset(&tcs, 0, sizeof(tcs));
    tcs.ossa = block + VCPU_SSA_OFFSET;
    tcs.nssa = nssa;
    tcs.oentry = OP(entry);
    tcs.ofsbase = tcs.ogsbase = block + 0x1000;
    tcs.ofslimit = tcs.ogslimit = 0xffffffff;
    assert_int_equal(test_add(t, m, base + block, &tcs, 1, TCS_FLAGS, true), 0);
    assert_int_equal(test_add(t, m, base + block + 0x1000, NULL, 1 + VCPU_STACK_PAGES, REG_RW, true), 0);
    assert_int_equal(test_add(t, m, base + block + VCPU_SSA_OFFSET, NULL, nssa, REG_RW, true), 0);
}

static void map_all(struct test_enclave *t, uint64_t base, int vcpus)
{
    assert_int_equal(sgx_map(t->enclave, base + TEXT, t->text_size, PROT_READ | PROT_EXEC), 0);
    assert_int_equal(sgx_map(t->enclave, base + DATA, DATA_PAGES * 4096, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(sgx_map(t->enclave, base + VCPU(0), (uint64_t)vcpus * 0x20000, PROT_READ | PROT_WRITE), 0);
    if (sgx_has_edmm(t->enclave))
        assert_int_equal(sgx_map(t->enclave, base + DYNAMIC, DYNAMIC, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
}

static void sign(struct test_enclave *t, const struct test_options *o, uint64_t attributes, uint64_t xfrm)
{
    char *error = NULL;
    struct sigstruct_params params = {.attributes_flags = attributes,
                                      .attributes_mask_flags = ~0x2UL,
                                      .attributes_xfrm = xfrm,
                                      .attributes_mask_xfrm = ~0UL,
                                      .miscselect = o->miscselect,
                                      .miscmask = ~0u,
                                      .isvprodid = o->isvprodid,
                                      .isvsvn = o->isvsvn,
                                      .date = 0x20240101};
    memcpy(params.mrenclave, t->mrenclave, 32);
    memset(&t->sig, 0, sizeof(t->sig));
    sigstruct_fill(&t->sig, &params);
    if (o->before_sign)
        o->before_sign(&t->sig);
    assert_int_equal(sigstruct_sign(&t->sig, signing_key(), &error), 0);
    if (o->after_sign)
        o->after_sign(&t->sig);
}

void test_enclave_new(struct test_enclave *t, const struct test_options *options)
{
    static struct secs secs __attribute__((aligned(4096)));
    struct test_options o = options ? *options : (struct test_options){.miscselect = 1};
    memset(t, 0, sizeof(*t));
    if (softsgx.open) { /* a test before failed */
        if (sgx_current)
            sgx_thread_exit(sgx_current);
        sgx_close(&softsgx.enclave);
    }
    o.size = o.size ? o.size : DEFAULT_SIZE;
    o.nssa = o.nssa ? o.nssa : 3;
    o.vcpus = o.vcpus ? o.vcpus : 2;
    memset(&secs, 0, sizeof(secs));
    secs.base = o.base;
    secs.size = o.size;
    secs.ssaframesize = 1;
    secs.miscselect = o.miscselect;
    secs.attributes = o.attributes ? o.attributes : SGX_ATTR_MODE64BIT;
    secs.xfrm = o.xfrm ? o.xfrm : 0xe7;
    memset(secs.configid, o.configid_byte, sizeof(secs.configid));
    secs.configsvn = o.configsvn;
    assert_int_equal(sgx_open(SGX_SOFTWARE, &t->enclave), 0);
    assert_int_equal(sgx_reserve(t->enclave, o.base, o.size), 0);
    struct sgx_enclave_create create = {.src = (uint64_t)&secs};
    assert_int_equal(sgx_ioctl(t->enclave, SGX_IOC_ENCLAVE_CREATE, &create), 0);
    struct measure *m = measure_new();
    measure_ecreate(m, o.size, 1);
    t->text_size = (uint64_t)(softsgx_image_end - softsgx_image_start);
    assert_int_equal(test_add(t, m, o.base + TEXT, softsgx_image_start, t->text_size / 4096, REG_RX, true), 0);
    assert_int_equal(test_add(t, m, o.base + DATA, NULL, DATA_PAGES, REG_RW, true), 0);
    for (int i = 0; i < o.vcpus; i++)
        add_vcpu(t, m, o.base, VCPU(i), o.nssa);
    measure_final(m, t->mrenclave);
    measure_free(m);
    sign(t, &o, secs.attributes, secs.xfrm);
    if (o.no_init)
        return;
    struct sgx_enclave_init init = {.sigstruct = (uint64_t)&t->sig};
    t->init_result = sgx_ioctl(t->enclave, SGX_IOC_ENCLAVE_INIT, &init);
    if (t->init_result)
        return;
    map_all(t, o.base, o.vcpus);
    assert_int_equal(sgx_thread_init(t->enclave, o.base + VCPU(0), &t->thread), 0);
    softsgx_signals_init(); /* cmocka puts in its own for each test */
}

void test_enclave_free(struct test_enclave *t)
{
    if (t->thread)
        sgx_thread_exit(t->thread);
    sgx_close(t->enclave);
}

/* Never inlined, so that all entries happen at one stack depth below the caller. */
__attribute__((noinline)) struct test_exit test_enter(struct sgx_thread *thread, uint32_t function, uint64_t rdi,
                                                      uint64_t rsi)
{
    thread->run.exception_vector = 0;
    thread->run.exception_error_code = 0;
    thread->run.exception_addr = 0;
    int r = sgx_enter_saved(rdi, rsi, 0, function, 0, 0, &thread->run, thread->enclave->ops->enter);
    return (struct test_exit){.result = r,
                              .function = thread->run.function,
                              .rdi = thread->exit_rdi,
                              .rsi = thread->exit_rsi,
                              .vector = thread->run.exception_vector,
                              .error_code = thread->run.exception_error_code,
                              .addr = thread->run.exception_addr};
}

uint64_t test_call(struct test_enclave *t, uint64_t op, uint64_t arg)
{
    struct test_exit e = test_enter(t->thread, SGX_ENCLU_EENTER, t->enclave->base + op, arg);
    if (e.function != SGX_ENCLU_EEXIT || e.rdi != 1)
        fail_msg("left by leaf %u (result %d), RDI %#lx, vector %u, error %#x, address %#lx", e.function, e.result,
                 e.rdi, e.vector, e.error_code, e.addr);
    return e.rsi;
}

struct gprsgx *test_gpr(struct test_enclave *t, uint32_t frame)
{
    const struct softsgx_tcs *tcs = softsgx_tcs_at(t->thread->tcs_va);
    return (struct gprsgx *)(tcs->gpr + frame * tcs->frame);
}

static uint64_t accept_or_extend(struct test_enclave *t, uint64_t op, uint64_t flags, uint64_t page)
{
    uint64_t base = t->enclave->base, *argument = (uint64_t *)(base + ARGUMENT_SLOT);
    struct secinfo *secinfo = (struct secinfo *)(base + SECINFO_SLOT);
    memset(secinfo, 0, sizeof(*secinfo));
    secinfo->flags = flags;
    argument[0] = (uint64_t)secinfo;
    argument[1] = page;
    return test_call(t, op, (uint64_t)argument);
}

uint64_t test_eaccept(struct test_enclave *t, uint64_t flags, uint64_t page)
{
    return accept_or_extend(t, OP(eaccept), flags, page);
}

uint64_t test_emodpe(struct test_enclave *t, uint64_t flags, uint64_t page)
{
    return accept_or_extend(t, OP(emodpe), flags, page);
}

struct test_exit test_leaf(struct test_enclave *t, uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
    uint64_t base = t->enclave->base, *argument = (uint64_t *)(base + ARGUMENT_SLOT);
    argument[0] = rbx;
    argument[1] = rcx;
    argument[2] = rdx;
    argument[3] = leaf;
    argument[4] = 0;
    return test_enter(t->thread, SGX_ENCLU_EENTER, base + OP(leaf), (uint64_t)argument);
}

double test_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
