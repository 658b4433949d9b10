/* EENTER, EEXIT, AEX and ERESUME: registers, exceptions, ticks. */
#include "tests/unit/softsgx/support.h"

#include <pthread.h>
#include <unistd.h>

static void enters_and_leaves(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    assert_int_equal(t.init_result, 0);
    assert_int_equal(test_call(&t, OP(nop), 35), 42);
    assert_int_equal(test_call(&t, OP(nop), 0), 7);
    assert_int_equal(t.thread->eenter, 2);
    assert_int_equal(t.thread->eexit, 2);
    assert_int_equal(t.thread->aex, 0);
    double best = 1e9;
    for (int i = 0; i < 50; i++) {
        double start = test_now_ns();
        for (int j = 0; j < 1000; j++)
            test_enter(t.thread, SGX_ENCLU_EENTER, OP(nop), 1);
        double each = (test_now_ns() - start) / 1000;
        best = each < best ? each : best;
    }
    print_message("EENTER and EEXIT, patched sites: %.1f ns\n", best);
    test_enclave_free(&t);
}

static void works_at_another_base(void **state)
{
    struct test_enclave t;
    struct test_options o = {.base = 1UL << 40, .miscselect = 1};
    test_enclave_new(&t, &o);
    assert_int_equal(test_call(&t, OP(nop), 35), 42);
    test_enclave_free(&t);
}

static void works_without_patching(void **state)
{
    struct test_enclave t;
    setenv("COFRE_SOFTSGX_PATCH", "0", 1);
    test_enclave_new(&t, NULL);
    unsetenv("COFRE_SOFTSGX_PATCH");
    assert_int_equal(softsgx.sites_patched, 0);
    assert_int_equal(test_call(&t, OP(nop), 35), 42);
    assert_int_equal(test_eaccept(&t, 0x20b, DYNAMIC), 0);
    test_enclave_free(&t);
}

struct trap_case {
    uint64_t op, at, arg;
    uint32_t exitinfo;
    uint16_t vector, error_code;
    uint64_t addr, exinfo_addr;
    int skip; /* bytes of the instruction */
    bool by_signal;
    uint64_t exact_rip; /* 0: at */
};

static void run_trap(struct test_enclave *t, const struct trap_case *c, const char *name)
{
    uint64_t aex = t->thread->aex;
    struct test_exit e = test_enter(t->thread, SGX_ENCLU_EENTER, c->op, c->arg);
    print_message("  %s: leaf %u vector %u error %#x address %#lx\n", name, e.function, e.vector, e.error_code, e.addr);
    if (c->by_signal) { /* #BP, #DB: the host enters again at CSSA = 1 */
        assert_int_equal(e.function, SGX_ENCLU_EEXIT);
        assert_int_equal(e.rdi, 0x101);
    } else {
        assert_int_equal(e.function, SGX_ENCLU_ERESUME);
        assert_int_equal(e.vector, c->vector);
        assert_int_equal(e.error_code, c->error_code);
        assert_int_equal(e.addr, c->addr);
    }
    struct gprsgx *gpr = test_gpr(t, 0);
    assert_int_equal(t->thread->aex, aex + 1);
    assert_int_equal(gpr->exitinfo, c->exitinfo);
    assert_int_equal(gpr->rip, c->exact_rip ? c->exact_rip : c->at);
    assert_int_equal(gpr->rbx, 0x1111111111111111);
    assert_int_equal(gpr->r15, 0x7777777777777777);
    assert_int_equal(gpr->gsbase, VCPU(0) + 0x1000);
    if (c->vector == 14)
        assert_int_equal(((uint64_t *)gpr)[-2], c->exinfo_addr);
    gpr->rip = c->at + (uint64_t)c->skip;
    e = test_enter(t->thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.function, SGX_ENCLU_EEXIT);
    assert_int_equal(e.rdi, 1);
    assert_int_equal(e.rsi, 0);
}

#define TRAP(name, ...)                                                                                                \
    run_trap(&t, &(struct trap_case){.op = OP(trap_##name), .at = OP(trap_##name##_at), __VA_ARGS__}, #name)

static void exceptions_reach_the_ssa(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    TRAP(ud2, .exitinfo = 0x80000306, .vector = 6, .skip = 2);
    TRAP(int3, .exitinfo = 0x80000603, .skip = 1, .by_signal = true, .exact_rip = OP(trap_int3_at) + 1);
    TRAP(hlt, .exitinfo = 0x8000030d, .vector = 13, .skip = 1);
    TRAP(fault, .arg = 0x20000123, .exitinfo = 0x8000030e, .vector = 14, .error_code = 5 | PF_SGX, .addr = 0x20000000,
         .exinfo_addr = 0x20000123, .skip = 3);
    TRAP(fault, .arg = 0x100, .exitinfo = 0x8000030e, .vector = 14, .error_code = 4, .addr = 0, .exinfo_addr = 0x100,
         .skip = 3);
    TRAP(write, .arg = TEXT, .exitinfo = 0x8000030e, .vector = 14, .error_code = 7 | PF_SGX, .addr = TEXT,
         .exinfo_addr = TEXT, .skip = 3);
    TRAP(fault, .arg = 0x123456789abcdef0, .exitinfo = 0x8000030d, .vector = 13, .skip = 3);
    TRAP(syscall, .exitinfo = 0x80000306, .vector = 6, .skip = 2);
    TRAP(int80, .exitinfo = 0x80000306, .vector = 6, .skip = 2);
    if (softsgx.cpuid_faulting)
        TRAP(cpuid, .exitinfo = 0x80000306, .vector = 6, .skip = 2);
    else
        print_message("  cpuid: cannot be made to fault on this CPU\n");
    TRAP(jump, .arg = 0x20000000, .exitinfo = 0x8000030e, .vector = 14, .error_code = 0x15 | PF_SGX, .addr = 0x20000000,
         .exinfo_addr = 0x20000000, .skip = 2, .exact_rip = 0x20000000);
    TRAP(divide, .exitinfo = 0x80000300, .vector = 0, .skip = 9 + 3, .exact_rip = OP(trap_divide_here));
    test_enclave_free(&t);
}

static void faults_are_not_reported_without_exinfo(void **state)
{
    struct test_enclave t;
    struct test_options o = {.miscselect = 0};
    test_enclave_new(&t, &o);
    TRAP(hlt, .exitinfo = 0, .vector = 13, .skip = 1);
    test_enclave_free(&t);
}

static void vector_state_survives(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    uint8_t *buffer = (uint8_t *)DATA;
    for (int i = 0; i < 2048; i++)
        buffer[i] = (uint8_t)(i * 7 + i / 64);
    for (int i = 0; i < 64; i++)
        buffer[4096 + i] = (uint8_t)(i * 5 + 1);
    *(uint32_t *)(buffer + 4224) = 0x3f80;
    *(uint16_t *)(buffer + 4228) = 0x27f;
    struct test_exit e = test_enter(t.thread, SGX_ENCLU_EENTER, OP(vectors), DATA);
    assert_int_equal(e.function, SGX_ENCLU_ERESUME);
    assert_int_equal(e.vector, 6);
    /* what the host does with the registers meanwhile does not matter */
    __asm__ volatile("vzeroall" ::: "xmm0");
    test_gpr(&t, 0)->rip += 2;
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.function, SGX_ENCLU_EEXIT);
    assert_memory_equal(buffer, buffer + 2048, 2048);
    assert_memory_equal(buffer + 4096, buffer + 4160, 64);
    assert_int_equal(*(uint32_t *)(buffer + 4232), 0x3f80);
    assert_int_equal(*(uint16_t *)(buffer + 4236), 0x27f);
    assert_memory_equal(buffer + 4240, "\x35\xc2\x68\x21\xa2\xda\x0f\xc9\x00\x40", 10);
    test_enclave_free(&t);
}

static void bases_survive(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    struct test_exit e = test_enter(t.thread, SGX_ENCLU_EENTER, OP(bases), DATA);
    assert_int_equal(e.vector, 6);
    assert_int_equal(test_gpr(&t, 0)->fsbase, DATA);
    test_gpr(&t, 0)->rip += 2;
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.rsi, DATA - (VCPU(0) + 0x1000));
    test_enclave_free(&t);
}

static void bad_resumes_are_reported(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    struct test_exit e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.function, SGX_ENCLU_ERESUME); /* nothing to resume: #GP */
    assert_int_equal(e.vector, 13);
    e = test_enter(t.thread, 4, 0, 0);
    assert_int_equal(e.result, -EINVAL);
    test_enter(t.thread, SGX_ENCLU_EENTER, OP(trap_ud2), 0);
    struct gprsgx *gpr = test_gpr(&t, 0), good = *gpr;
    gpr->rip = 0x123456789abcdef0; /* not canonical: IRET faults */
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.function, SGX_ENCLU_ERESUME);
    assert_int_equal(e.vector, 13);
    *gpr = good;
    gpr->fsbase = 0x123456789abcdef0;
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.vector, 13);
    *gpr = good;
    uint64_t *header = (uint64_t *)((uint64_t)gpr & ~4095UL) + 64;
    header[1] = 1; /* reserved: XRSTOR faults */
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.vector, 13);
    header[1] = 0;
    gpr->rip += 2;
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.function, SGX_ENCLU_EEXIT);
    assert_int_equal(e.rsi, 0);
    test_enclave_free(&t);
}

static void ssa_frames_nest_and_run_out(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    struct test_exit e = test_enter(t.thread, SGX_ENCLU_EENTER, OP(trap_ud2), 0);
    assert_int_equal(e.vector, 6);
    e = test_enter(t.thread, SGX_ENCLU_EENTER, 0, 0);
    assert_int_equal(e.rdi, 0x101);
    struct softsgx_tcs *tcs = softsgx_tcs_at(VCPU(0));
    tcs->cssa = 3;
    e = test_enter(t.thread, SGX_ENCLU_EENTER, 0, 0);
    assert_int_equal(e.function, SGX_ENCLU_EENTER);
    assert_int_equal(e.vector, 13);
    tcs->cssa = 1;
    test_gpr(&t, 0)->rip += 2;
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.rsi, 0);
    test_enclave_free(&t);
}

struct ticker {
    struct sgx_thread *thread;
    volatile uint64_t *stop;
    int count;
};

static void *ticker(void *arg)
{
    struct ticker *k = arg;
    for (int i = 0; i < k->count; i++) {
        usleep(200);
        sgx_tick(k->thread);
    }
    *k->stop = 1;
    return NULL;
}

static void ticks_enter_at_cssa_1(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    static volatile uint64_t stop;
    stop = 0;
    struct ticker k = {t.thread, &stop, 200};
    pthread_t thread;
    pthread_create(&thread, NULL, ticker, &k);
    int seen = 0;
    struct test_exit e = test_enter(t.thread, SGX_ENCLU_EENTER, OP(spin), (uint64_t)&stop);
    while (e.function == SGX_ENCLU_EEXIT && e.rdi == 0x101) {
        seen++;
        assert_int_equal(test_gpr(&t, 0)->exitinfo, 0);
        e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    }
    assert_int_equal(e.function, SGX_ENCLU_EEXIT);
    assert_int_equal(e.rdi, 1);
    pthread_join(thread, NULL);
    print_message("ticks seen: %d of %d; spins %lu\n", seen, k.count, e.rsi);
    assert_true(seen > 0);
    test_enclave_free(&t);
}

/* As where a program makes system calls without end that are exceptions: it would never be interrupted. */
static void a_tick_outlives_an_exception(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    struct test_exit e = test_enter(t.thread, SGX_ENCLU_EENTER, OP(trap_ud2), 0);
    assert_int_equal(e.vector, 6);
    sgx_tick(t.thread); /* in host code */
    e = test_enter(t.thread, SGX_ENCLU_EENTER, 0, 0);
    assert_int_equal(e.rdi, 0x101);
    assert_int_equal(t.thread->ticks, 0);
    test_gpr(&t, 0)->rip += 2;
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.rdi, 0x101);
    assert_int_equal(t.thread->ticks, 1);
    e = test_enter(t.thread, SGX_ENCLU_ERESUME, 0, 0);
    assert_int_equal(e.rdi, 1);
    assert_int_equal(t.thread->ticks, 1);
    test_enclave_free(&t);
}

static volatile int caught;

static void on_usr1(int signum, siginfo_t *info, void *context)
{
    char text[64];
    caught += snprintf(text, sizeof(text), "%d", signum) == 2; /* uses thread-local storage: FS must be the host's */
}

static void *signaller(void *arg)
{
    struct ticker *k = arg;
    for (int i = 0; i < k->count; i++) {
        usleep(100);
        tgkill(getpid(), k->thread->tid, SIGUSR1);
    }
    *k->stop = 1;
    return NULL;
}

static void host_signals_run_with_host_bases(void **state)
{
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    static volatile uint64_t stop;
    stop = 0;
    caught = 0;
    assert_int_equal(sgx_signal(t.enclave, SIGUSR1, on_usr1, 0), 0);
    struct ticker k = {t.thread, &stop, 100};
    pthread_t thread;
    pthread_create(&thread, NULL, signaller, &k);
    test_call(&t, OP(spin), (uint64_t)&stop);
    pthread_join(thread, NULL);
    assert_true(caught > 0);
    uint32_t eax, ebx, ecx, edx;
    __asm__ volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(0), "c"(0)); /* the host's own works */
    assert_true(eax > 10);
    test_enclave_free(&t);
}

static void costs_are_charged(void **state)
{
    struct test_enclave t;
    setenv("COFRE_SOFTSGX_COST", "hw,aex=2000000,eaccept=3000000,eaug=0", 1);
    test_enclave_new(&t, NULL);
    unsetenv("COFRE_SOFTSGX_COST");
    assert_int_equal(softsgx.cost.transition, 5000); /* of hw */
    uint64_t start = __builtin_ia32_rdtsc();
    assert_int_equal(test_eaccept(&t, 0x20b, DYNAMIC), 0);
    assert_true(__builtin_ia32_rdtsc() - start >= 3000000);
    start = __builtin_ia32_rdtsc();
    test_enter(t.thread, SGX_ENCLU_EENTER, OP(trap_ud2), 0);
    assert_true(__builtin_ia32_rdtsc() - start >= 2000000);
    test_enclave_free(&t);
}

static uint64_t boot_seen;

static enum sgx_vcpu_action stop_at_exit(void *context, uint64_t reason, uint64_t rsi)
{
    boot_seen = rsi;
    return SGX_VCPU_STOP;
}

static void the_vcpu_loop_stops(void **state)
{
    /* sgx_vcpu_run passes ENTER_BOOT (0) as RDI: the test entry would call address 0, which faults, twice */
    struct test_enclave t;
    test_enclave_new(&t, NULL);
    assert_int_equal(sgx_vcpu_run(t.thread, 0, stop_at_exit, NULL), 0);
    struct sgx_fault fault;
    sgx_thread_fault(t.thread, &fault);
    assert_int_equal(fault.vector, 14);
    test_enclave_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enters_and_leaves),
        cmocka_unit_test(works_at_another_base),
        cmocka_unit_test(works_without_patching),
        cmocka_unit_test(exceptions_reach_the_ssa),
        cmocka_unit_test(faults_are_not_reported_without_exinfo),
        cmocka_unit_test(vector_state_survives),
        cmocka_unit_test(bases_survive),
        cmocka_unit_test(bad_resumes_are_reported),
        cmocka_unit_test(ssa_frames_nest_and_run_out),
        cmocka_unit_test(ticks_enter_at_cssa_1),
        cmocka_unit_test(a_tick_outlives_an_exception),
        cmocka_unit_test(host_signals_run_with_host_bases),
        cmocka_unit_test(costs_are_charged),
        cmocka_unit_test(the_vcpu_loop_stops),
    };
    return cmocka_run_group_tests_name("softsgx transitions", tests, NULL, NULL);
}
