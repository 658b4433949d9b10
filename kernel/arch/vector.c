/* Vector and x87 state by XSAVE, and the segment bases. The kernel itself uses general registers only. */
#include "kernel/arch/vector.h"
#include "kernel/arch/trap.h"
#include "kernel/arch/vcpu.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/sched/task.h"

uint32_t xsave_size = XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE;
uint64_t xfrm = 3;

/* XSTATE_BV = 0: XRSTOR puts every component in its initial state. MXCSR is taken from here. */
static const struct {
    uint8_t legacy[XSAVE_LEGACY_SIZE];
    uint64_t xstate_bv, xcomp_bv, reserved[6];
} __attribute__((aligned(64))) initial_state = {.legacy = {[24] = 0x80, [25] = 0x1f}};

static bool has_xinuse; /* XGETBV with ECX = 1 */

uint64_t xcr0_read(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

void vector_init(uint64_t features, uint32_t size, bool xgetbv1)
{
    xfrm = features;
    xsave_size = size;
    has_xinuse = xgetbv1;
}

void vector_state_save(void *buf)
{
    /* XSAVE leaves the header's reserved bytes alone, and XRSTOR insists that they are zero */
    memset((uint8_t *)buf + XSAVE_LEGACY_SIZE, 0, XSAVE_HEADER_SIZE);
    __asm__ volatile("xsave64 (%0)" : : "r"(buf), "a"((uint32_t)xfrm), "d"((uint32_t)(xfrm >> 32)) : "memory");
}

void vector_state_load(const void *buf)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(buf), "a"((uint32_t)xfrm), "d"((uint32_t)(xfrm >> 32)) : "memory");
}

/*
 * Between tasks most often only SSE registers are in use (libc clears the upper halves). Then plain moves do, at a
 * third of the time of XSAVE and XRSTOR. The image is a valid XSAVE image in either case.
 */
#define XSTATE_SSE 2
#define XSTATE_AVX 4
#define XSTATE_ZMM_HI256 0x40
#define XSTATE_AVX512 0xe4
#define XSTATE_HIGH 0xa0u /* opmasks, registers 16 to 31 */
#define XSTATE_BV(buf) (*(uint64_t *)((uint8_t *)(buf) + XSAVE_LEGACY_SIZE))

/* Components that may hold other than their initial state. */
static uint32_t in_use(void)
{
    uint32_t low, high;
    if (!has_xinuse)
        return (uint32_t)xfrm;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return low & (uint32_t)xfrm;
}

static void sse_save(void *buf)
{
    __asm__ volatile("stmxcsr 24(%0)\n"
                     "movaps %%xmm0, 160(%0)\nmovaps %%xmm1, 176(%0)\nmovaps %%xmm2, 192(%0)\n"
                     "movaps %%xmm3, 208(%0)\nmovaps %%xmm4, 224(%0)\nmovaps %%xmm5, 240(%0)\n"
                     "movaps %%xmm6, 256(%0)\nmovaps %%xmm7, 272(%0)\nmovaps %%xmm8, 288(%0)\n"
                     "movaps %%xmm9, 304(%0)\nmovaps %%xmm10, 320(%0)\nmovaps %%xmm11, 336(%0)\n"
                     "movaps %%xmm12, 352(%0)\nmovaps %%xmm13, 368(%0)\nmovaps %%xmm14, 384(%0)\n"
                     "movaps %%xmm15, 400(%0)\n"
                     :
                     : "r"(buf)
                     : "memory");
}

static void sse_load(const void *buf)
{
    __asm__ volatile("ldmxcsr 24(%0)\n"
                     "movaps 160(%0), %%xmm0\nmovaps 176(%0), %%xmm1\nmovaps 192(%0), %%xmm2\n"
                     "movaps 208(%0), %%xmm3\nmovaps 224(%0), %%xmm4\nmovaps 240(%0), %%xmm5\n"
                     "movaps 256(%0), %%xmm6\nmovaps 272(%0), %%xmm7\nmovaps 288(%0), %%xmm8\n"
                     "movaps 304(%0), %%xmm9\nmovaps 320(%0), %%xmm10\nmovaps 336(%0), %%xmm11\n"
                     "movaps 352(%0), %%xmm12\nmovaps 368(%0), %%xmm13\nmovaps 384(%0), %%xmm14\n"
                     "movaps 400(%0), %%xmm15\n"
                     :
                     : "r"(buf)
                     : "memory");
}

void vector_switch(void *from, const void *to)
{
    bool light = from && (in_use() & ~XSTATE_SSE) == 0;
    if (light) {
        sse_save(from);
        XSTATE_BV(from) = XSTATE_SSE;
    } else if (from) {
        vector_state_save(from);
    }
    if (!to)
        return;
    if (light && (XSTATE_BV(to) & ~(uint64_t)XSTATE_SSE) == 0 && XSTATE_BV(to) != 0)
        sse_load(to);
    else
        vector_state_load(to);
}

void vector_state_reset(void)
{
    vector_state_load(&initial_state);
}

void vector_state_init(void *buf)
{
    memset(buf, 0, xsave_size);
    memcpy(buf, &initial_state, sizeof(initial_state));
}

/* Opmasks and registers 16 to 31, also by plain moves. Their place is none that an XSAVE image has. */
#define HIGH_OPMASKS (XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE)
#define HIGH_REGISTERS (HIGH_OPMASKS + 64)

/* clang-format off */
#define EIGHT(EVERY) EVERY(0) EVERY(1) EVERY(2) EVERY(3) EVERY(4) EVERY(5) EVERY(6) EVERY(7)
#define UPPER(EVERY)                                                                                                   \
    EVERY(16) EVERY(17) EVERY(18) EVERY(19) EVERY(20) EVERY(21) EVERY(22) EVERY(23) EVERY(24) EVERY(25) EVERY(26)      \
    EVERY(27) EVERY(28) EVERY(29) EVERY(30) EVERY(31)
/* clang-format on */
#define K_SAVE(n) "kmovq %%k" #n ", 8*" #n "(%0)\n"
#define K_LOAD(n) "kmovq 8*" #n "(%0), %%k" #n "\n"
#define ZMM_SAVE(n) "vmovdqa64 %%zmm" #n ", 64*(" #n "-16)(%0)\n"
#define ZMM_LOAD(n) "vmovdqa64 64*(" #n "-16)(%0), %%zmm" #n "\n"

static __attribute__((noinline)) void vector_high_save(uint8_t *buf)
{
    __asm__ volatile(EIGHT(K_SAVE) : : "r"(buf + HIGH_OPMASKS) : "memory");
    __asm__ volatile(UPPER(ZMM_SAVE) : : "r"(buf + HIGH_REGISTERS) : "memory");
}

static __attribute__((noinline)) void vector_high_load(const uint8_t *buf)
{
    __asm__ volatile(EIGHT(K_LOAD) : : "r"(buf + HIGH_OPMASKS) : "memory");
    __asm__ volatile(UPPER(ZMM_LOAD) : : "r"(buf + HIGH_REGISTERS) : "memory");
}

/* Not by moves of zeros: after those they count as in use, and task switches get dearer. */
static void vector_high_reset(void)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(&initial_state), "a"(XSTATE_HIGH), "d"(0) : "memory");
}

/*
 * Cryptography uses the lower 256 bits of registers 0 to 15 and nothing else (tools/check-kernel), unless its bracket
 * is the wide one. While the application has only the lower 128 of them in use, plain moves do, at a sixth of the time;
 * opmasks and registers 16 to 31, which libc's string functions leave in use, stay where they are or are moved, too.
 */
static void vector_begin(bool wide)
{
    struct vcpu *vcpu = vcpu_self();
    void *state = vcpu->current ? vcpu->current->vector_state : NULL;
    uint32_t used = in_use();
    ASSERT(vcpu->vector_depth == 0);
    vcpu->vector_depth = 1;
    vcpu->vector_wide = wide;
    vcpu->vector_light = (used & (XSTATE_AVX | XSTATE_ZMM_HI256)) == 0;
    vcpu->vector_high = wide && (used & XSTATE_HIGH) != 0;
    if (!state)
        return;
    if (!vcpu->vector_light) {
        vector_state_save(state);
        return;
    }
    sse_save(state);
    if (vcpu->vector_high)
        vector_high_save(state);
}

void kernel_vector_begin(void)
{
    vector_begin(false);
}

void kernel_vector_begin_wide(void)
{
    ASSERT((xfrm & XSTATE_AVX512) == XSTATE_AVX512);
    vector_begin(true);
}

void kernel_vector_end(void)
{
    struct vcpu *vcpu = vcpu_self();
    const void *state = vcpu->current ? vcpu->current->vector_state : NULL;
    ASSERT(vcpu->vector_depth == 1);
    vcpu->vector_depth = 0;
    if (!state)
        return;
    if (!vcpu->vector_light) {
        vector_state_load(state);
        return;
    }
    if (xfrm & XSTATE_AVX)
        __asm__ volatile("vzeroupper");
    sse_load(state);
    if (vcpu->vector_high)
        vector_high_load(state);
    else if (vcpu->vector_wide)
        vector_high_reset();
}

uint64_t fs_base_get(void)
{
    uint64_t base;
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

void fs_base_set(uint64_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base) : "memory");
}

uint64_t tsc_read(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
