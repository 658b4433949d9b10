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

void vector_init(uint64_t features, uint32_t size)
{
    xfrm = features;
    xsave_size = size;
}

void vector_state_save(void *buf)
{
    /* XSAVE leaves the header's reserved bytes alone, and XRSTOR insists that they are zero */
    memset((uint8_t *)buf + XSAVE_LEGACY_SIZE, 0, XSAVE_HEADER_SIZE);
    __asm__ volatile("xsave64 (%0)" : : "r"(buf), "a"((uint32_t)xfrm), "d"((uint32_t)(xfrm >> 32)) : "memory");
}

void vector_state_load(const void *buf)
{
    /* XCR0 is XFRM on hardware. Where it is more, what is beyond goes to its initial state: the host's code leaves it
     * in use, and an application's XSAVEC would then store more than CPUID told it. */
    __asm__ volatile("xrstor64 (%0)" : : "r"(buf), "a"(-1), "d"(-1) : "memory");
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

void kernel_vector_begin(void)
{
    struct vcpu *vcpu = vcpu_self();
    ASSERT(vcpu->vector_depth == 0);
    vcpu->vector_depth = 1;
    if (vcpu->current && vcpu->current->vector_state)
        vector_state_save(vcpu->current->vector_state);
}

void kernel_vector_end(void)
{
    struct vcpu *vcpu = vcpu_self();
    ASSERT(vcpu->vector_depth == 1);
    vcpu->vector_depth = 0;
    if (vcpu->current && vcpu->current->vector_state)
        vector_state_load(vcpu->current->vector_state);
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
