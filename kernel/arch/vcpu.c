/* What assembly assumes about C structures. */
#include "kernel/arch/vcpu.h"

#include "kernel/arch/offsets.h"
#include "kernel/sched/task.h"

#define AT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)
AT(struct vcpu, self, VCPU_SELF);
AT(struct vcpu, syscall_entry, VCPU_SYSCALL_ENTRY);
AT(struct vcpu, current, VCPU_CURRENT);
AT(struct vcpu, kernel_stack, VCPU_KERNEL_STACK);
AT(struct vcpu, user_rsp, VCPU_USER_RSP);
AT(struct vcpu, canary, VCPU_CANARY);
AT(struct vcpu, user_rip, VCPU_USER_RIP);
AT(struct vcpu, booted, VCPU_BOOTED);
AT(struct vcpu, hostcall_rsp, VCPU_HOSTCALL_RSP);
AT(struct vcpu, hostcall_fs, VCPU_HOSTCALL_FS);
AT(struct vcpu, host, VCPU_HOST);
AT(struct vcpu, host_exception, VCPU_HOST_X);
AT(struct host_context, rcx, HOST_RCX);
AT(struct host_context, rsp, HOST_RSP);
AT(struct host_context, rbp, HOST_RBP);
AT(struct host_context, r12, HOST_R12);
AT(struct host_context, r13, HOST_R13);
AT(struct host_context, r14, HOST_R14);
AT(struct host_context, r15, HOST_R15);
AT(struct task, work_pending, TASK_WORK_PENDING);
AT(struct trap_frame, r15, FRAME_R15);
AT(struct trap_frame, rbx, FRAME_RBX);
AT(struct trap_frame, r11, FRAME_R11);
AT(struct trap_frame, r8, FRAME_R8);
AT(struct trap_frame, rax, FRAME_RAX);
AT(struct trap_frame, rdi, FRAME_RDI);
AT(struct trap_frame, orig_rax, FRAME_ORIG_RAX);
AT(struct trap_frame, rip, FRAME_RIP);
AT(struct trap_frame, rflags, FRAME_RFLAGS);
AT(struct trap_frame, rsp, FRAME_RSP);
AT(struct trap_frame, vector, FRAME_VECTOR);
AT(struct trap_frame, fault_addr, FRAME_ADDR);
_Static_assert(sizeof(struct trap_frame) == FRAME_SIZE && FRAME_SIZE % 16 == 0, "frames keep the stack aligned");
_Static_assert(VCPU_IDLE_STACK_TOP == VCPU_IDLE_STACK + VCPU_IDLE_STACK_SIZE - VCPU_GS, "layout");
_Static_assert(VCPU_EXCEPTION_STACK_TOP == VCPU_EXCEPTION_STACK + VCPU_EXCEPTION_STACK_SIZE - VCPU_GS, "layout");
