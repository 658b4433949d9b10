/*
 * An event at every instruction of the transitions: random timers never hit the narrow windows, so the host's trap flag
 * steps through EENTER, the enclave, EEXIT, AEX and ERESUME, and at the Nth step (then at pairs of steps) something
 * happens: a tick, a host signal, or page-table entries go away. The result must be right every time.
 * Pairs are sampled unless COFRE_TEST_FULL is set.
 */
#include "tests/unit/softsgx/support.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RFLAGS_TF 0x100UL

enum event { EVENT_TICK, EVENT_SIGNAL, EVENT_UNMAP, EVENT_COUNT };
static const char *const event_names[] = {"tick", "host signal", "page table"};

static struct {
    struct test_enclave *t;
    long count;         /* steps so far */
    long first, second; /* events happen at these steps; 0 = never */
    enum event event;
    bool on;
    long sent;
    long interesting[4096]; /* steps of the first run in the stubs or the enclave: elsewhere is host code like any other
                             */
    long interesting_count;
} step;
static volatile int signals_seen;

static void on_usr1(int signum, siginfo_t *info, void *context)
{
    char text[64];
    signals_seen += snprintf(text, sizeof(text), "%d", signum) == 2; /* with the host's FS */
}

/* Pending and blocked while this handler runs: it is delivered at the instruction that is being stepped. */
static void send_at_return(int signum)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signum);
    sigprocmask(SIG_BLOCK, &set, NULL);
    syscall(SYS_tgkill, getpid(), step.t->thread->tid, signum);
}

static bool on_step(ucontext_t *context, struct sgx_thread *thread)
{
    if (!step.on)
        return false;
    step.count++;
    uint64_t rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    bool stub = rip >= (uint64_t)softsgx_text_start && rip < (uint64_t)softsgx_text_end;
    if (!step.first && step.interesting_count < 4096 && (stub || softsgx_in_elrange(rip)))
        step.interesting[step.interesting_count++] = step.count;
    if (step.first && step.count >= step.first && step.count >= step.second)
        context->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)RFLAGS_TF; /* nothing more to come */
    if (step.count != step.first && step.count != step.second)
        return true;
    step.sent++;
    switch (step.event) {
    case EVENT_TICK:
        send_at_return(SGX_TICK_SIGNAL);
        break;
    case EVENT_SIGNAL:
        send_at_return(SIGUSR1);
        break;
    default:
        sgx_protect(step.t->enclave, VCPU(0), 0x20000, PROT_NONE);
        sgx_protect(step.t->enclave, VCPU(0), 0x20000, PROT_READ | PROT_WRITE);
    }
    return true;
}

static void trap_flag(bool on)
{
    uint64_t flags;
    __asm__ volatile("pushfq; pop %0" : "=r"(flags));
    flags = on ? flags | RFLAGS_TF : flags & ~RFLAGS_TF;
    __asm__ volatile("push %0; popfq" ::"r"(flags) : "cc");
}

/* EENTER and what follows until the operation is done; ticks are answered by ERESUME, ud2 is stepped over. */
static uint64_t run(struct test_enclave *t, uint64_t op, uint64_t arg, int *ret_ticks)
{
    uint32_t function = SGX_ENCLU_EENTER;
    *ret_ticks = 0;
    for (;;) {
        struct test_exit e = test_enter(t->thread, function, op, arg);
        if (e.function == SGX_ENCLU_EEXIT && e.rdi == 1)
            return e.rsi;
        function = SGX_ENCLU_ERESUME;
        if (e.function == SGX_ENCLU_EEXIT && e.rdi == 0x101)
            ++*ret_ticks;
        else if (e.function == SGX_ENCLU_ERESUME && e.vector == 6)
            test_gpr(t, 0)->rip += 2;
        else
            return 0xbad0000 + e.vector + (e.function << 8) + (e.rdi << 32);
    }
}

static bool step_once(struct test_enclave *t, uint64_t op, uint64_t arg, uint64_t expected)
{
    int ticks;
    t->thread->pending = 0;
    step.count = 0;
    step.on = true;
    trap_flag(true);
    uint64_t result = run(t, op, arg, &ticks);
    trap_flag(false);
    step.on = false;
    const struct softsgx_tcs *tcs = softsgx_tcs_at(VCPU(0));
    if (result == expected && tcs->cssa == 0 && tcs->busy == 0)
        return true;
    print_message("%s at steps %ld and %ld of %ld: result %#lx, CSSA %u, busy %u, ticks %d\n", event_names[step.event],
                  step.first, step.second, step.count, result, tcs->cssa, tcs->busy, ticks);
    return false;
}

static void every_step(enum event event, bool pairs, bool patched)
{
    struct test_enclave t;
    if (!patched)
        setenv("COFRE_SOFTSGX_PATCH", "0", 1);
    test_enclave_new(&t, NULL);
    unsetenv("COFRE_SOFTSGX_PATCH");
    assert_int_equal(sgx_signal(t.enclave, SIGUSR1, on_usr1, 0), 0);
    step.t = &t;
    step.event = event;
    softsgx_step_hook = on_step;
    signals_seen = 0;
    step.sent = 0;
    uint64_t ticks_before = t.thread->ticks;
    long runs = 0;
    struct {
        uint64_t op, arg, expected;
    } scenarios[] = {{OP(work), 3, 3}, {OP(trap_ud2), 0, 0}, {OP(bases), DATA, DATA - VCPU(0) - 0x1000}};
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        step.first = step.second = step.interesting_count = 0;
        assert_true(step_once(&t, scenarios[i].op, scenarios[i].arg, scenarios[i].expected));
        assert_true(step.interesting_count > 50);
        long stride = pairs && !getenv("COFRE_TEST_FULL") ? 7 : 1;
        for (long n = 0; n < step.interesting_count; n += stride) {
            long first = step.first = step.interesting[n];
            for (long next = 0; next <= (pairs ? 60 : 0); next += 1 + next / 16) {
                step.second = next ? first + next : 0;
                runs++;
                assert_true(step_once(&t, scenarios[i].op, scenarios[i].arg, scenarios[i].expected));
            }
        }
    }
    softsgx_step_hook = NULL;
    print_message("%s%s: %ld runs, %lu ticks delivered\n", event_names[event], pairs ? ", pairs" : "", runs,
                  t.thread->ticks - ticks_before);
    if (event == EVENT_TICK)
        assert_true(t.thread->ticks - ticks_before > 100);
    if (event == EVENT_SIGNAL)
        assert_true(signals_seen == step.sent);
    test_enclave_free(&t);
}

static void ticks_at_every_instruction(void **state)
{
    every_step(EVENT_TICK, false, true);
}

static void ticks_at_pairs_of_instructions(void **state)
{
    every_step(EVENT_TICK, true, true);
}

static void ticks_at_every_instruction_unpatched(void **state)
{
    every_step(EVENT_TICK, false, false);
}

static void host_signals_at_every_instruction(void **state)
{
    every_step(EVENT_SIGNAL, false, true);
}

static void page_table_changes_at_every_instruction(void **state)
{
    every_step(EVENT_UNMAP, false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_at_every_instruction),        cmocka_unit_test(ticks_at_every_instruction_unpatched),
        cmocka_unit_test(host_signals_at_every_instruction), cmocka_unit_test(page_table_changes_at_every_instruction),
        cmocka_unit_test(ticks_at_pairs_of_instructions),
    };
    return cmocka_run_group_tests_name("softsgx single step", tests, NULL, NULL);
}
