/* Making and ending tasks. */
#include "kernel/sched/task.h"

#include "kernel/arch/vcpu.h"
#include "kernel/arch/vector.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/sched.h"

/* What context_switch() pops. */
struct switch_frame {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    void (*entry)(void);
};

static struct task *task_alloc(void)
{
    struct task *task = kzalloc(sizeof(*task));
    if (!task)
        return NULL;
    task->kernel_stack = page_alloc_many(KERNEL_STACK_SIZE / PAGE_SIZE);
    if (!task->kernel_stack) {
        kfree(task);
        return NULL;
    }
    *(uint64_t *)task->kernel_stack = KERNEL_STACK_MAGIC;
    task->kernel_stack_top = (uint64_t)task->kernel_stack + KERNEL_STACK_SIZE;
    task->state = TASK_SLEEPING;
    task->affinity_mask = ~0ULL;
    TAILQ_INIT(&task->signals.pending.queue);
    return task;
}

void task_free(struct task *task)
{
    page_free_many(task->kernel_stack, KERNEL_STACK_SIZE / PAGE_SIZE);
    if (task->vector_state)
        page_free(task->vector_state);
    kfree(task);
}

static void task_set_entry(struct task *task, uint64_t rsp, void (*entry)(void))
{
    struct switch_frame *frame = (struct switch_frame *)rsp - 1;
    *frame = (struct switch_frame){.entry = entry};
    task->saved_rsp = (uint64_t)frame;
}

struct task *task_new(struct process *process, const struct trap_frame *frame, bool clone_vector)
{
    struct task *task = task_alloc();
    if (!task)
        return NULL;
    task->vector_state = page_alloc();
    if (!task->vector_state) {
        task_free(task);
        return NULL;
    }
    memset(task->vector_state, 0, PAGE_SIZE);
    if (clone_vector)
        vector_state_save(task->vector_state);
    else
        vector_state_init(task->vector_state);
    task->process = process;
    if (task_current()->process) {
        task->nice = task_current()->nice;
        task->policy = task_current()->policy;
        task->affinity_mask = task_current()->affinity_mask;
        task->fs_base = clone_vector ? fs_base_get() : 0;
    }
    task->frame = (struct trap_frame *)task->kernel_stack_top - 1;
    *task->frame = *frame;
    task_set_entry(task, (uint64_t)task->frame, task_entry);
    return task;
}

void task_start(struct task *task)
{
    task_wake(task);
}

static noreturn_fn void kernel_thread_main(void)
{
    struct task *task = task_current();
    void (*fn)(void *) = (void (*)(void *))task->restart_args[0];
    sched_finish_switch();
    fn((void *)task->restart_args[1]);
    task_exit();
}

struct task *kernel_thread_start(const char *name, void (*fn)(void *), void *arg)
{
    struct task *task = task_alloc();
    if (!task)
        return NULL;
    string_copy(task->comm, name, sizeof(task->comm));
    task->restart_args[0] = (uint64_t)fn;
    task->restart_args[1] = (uint64_t)arg;
    task_set_entry(task, task->kernel_stack_top - 8, kernel_thread_main);
    task_start(task);
    return task;
}

noreturn_fn void task_exit(void)
{
    struct vcpu *vcpu = vcpu_self();
    vcpu->current->state = TASK_DEAD;
    vcpu->dead = vcpu->current;
    schedule();
    panic("a dead task ran");
}

/* The idle task lives in the vCPU's block; it is made before there is a heap. */
void sched_init_vcpu(struct vcpu *vcpu)
{
    static struct task idle_tasks[VCPU_MAX];
    struct task *idle = &idle_tasks[vcpu->index];
    idle->kernel_stack = (void *)(vcpu_block(vcpu) + VCPU_IDLE_STACK);
    idle->kernel_stack_top = vcpu_block(vcpu) + VCPU_IDLE_STACK + VCPU_IDLE_STACK_SIZE;
    *(uint64_t *)idle->kernel_stack = KERNEL_STACK_MAGIC;
    idle->state = TASK_RUNNING;
    idle->vcpu = vcpu;
    idle->affinity_mask = 1ULL << vcpu->index;
    string_copy(idle->comm, "idle", sizeof(idle->comm));
    vcpu->idle = vcpu->current = idle;
    vcpu->kernel_stack = idle->kernel_stack_top;
    vcpu->syscall_entry = syscall_entry;
}
