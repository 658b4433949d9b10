/*
 * Every way into the kernel and out of it: EENTER, system calls, exceptions, host calls, task switches.
 *
 * The kernel text is not preemptible: an exception or tick that finds RIP in it only leaves a flag (exception.c), with
 * one exception. Between user_return and user_return_end nothing but registers changes, so that code may be started
 * again: a tick there goes back to user_return, which then sees the flag.
 */
#include "kernel/arch/offsets.h"

#define EXIT_HOSTCALL 1
#define EXIT_RESUME 2
#define EXIT_DEAD 3
#define EEXIT 4
#define TRAP_SYSCALL 256

.macro FUNCTION name
    .balign 16
    .globl \name
    .hidden \name
    .type \name, @function
\name:
.endm

.macro SAVE_HOST base
    mov %rcx, %gs:(\base + HOST_RCX)
    mov %rsp, %gs:(\base + HOST_RSP)
    mov %rbp, %gs:(\base + HOST_RBP)
    mov %r12, %gs:(\base + HOST_R12)
    mov %r13, %gs:(\base + HOST_R13)
    mov %r14, %gs:(\base + HOST_R14)
    mov %r15, %gs:(\base + HOST_R15)
.endm

/* Leave with RDI = reason; nothing of ours stays in a register or in the flags. */
.macro LEAVE base, reason
    mov %gs:(\base + HOST_RCX), %rbx
    mov %gs:(\base + HOST_RSP), %rsp
    mov %gs:(\base + HOST_RBP), %rbp
    mov %gs:(\base + HOST_R12), %r12
    mov %gs:(\base + HOST_R13), %r13
    mov %gs:(\base + HOST_R14), %r14
    mov %gs:(\base + HOST_R15), %r15
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    mov $\reason, %edi
    mov $EEXIT, %eax
    test %eax, %eax
    jmp enclu_site_eexit
.endm

    .section .text.entry, "ax", @progbits

/*
 * EENTER: RAX = CSSA, RBX = TCS, RCX = the address after EENTER, RDI and RSI as the host likes, flags and RSP the
 * host's.
 */
FUNCTION enclave_entry
    test %rax, %rax
    jnz .Lexception
    SAVE_HOST VCPU_HOST
    mov %gs:VCPU_HOSTCALL_RSP, %rsp
    test %rsp, %rsp
    jz .Lboot

    /* back from a host call */
    movq $0, %gs:VCPU_HOSTCALL_RSP
    pushq $2
    popfq
    mov %gs:VCPU_HOSTCALL_FS, %rax
    wrfsbase %rax
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

.Lboot:
    rdgsbase %rax
    lea VCPU_IDLE_STACK_TOP(%rax), %rsp
    cmpq $0, %gs:VCPU_BOOTED
    jne .Ldead
    movq $1, %gs:VCPU_BOOTED
    pushq $2
    popfq
    mov %rax, %gs:VCPU_SELF
    /* One canary for all vCPUs: a task that sleeps in a function may wake on another. */
1:  rdrand %rdx
    jnc 1b
    shl $8, %rdx        /* a zero byte first stops string overruns */
    jz 1b
    xor %eax, %eax
    lock cmpxchg %rdx, stack_canary(%rip)
    cmovne %rax, %rdx
    mov %rdx, %gs:VCPU_CANARY
    mov %rsi, %rdi
    xor %ebp, %ebp
    xor %eax, %eax
    wrfsbase %rax
    call vcpu_main
    ud2

.Lexception:
    SAVE_HOST VCPU_HOST_X
    rdgsbase %rax
    lea VCPU_EXCEPTION_STACK_TOP(%rax), %rsp
    pushq $2
    popfq
    mov %rax, %gs:VCPU_SELF     /* it may have been interrupted before it set that */
    xor %ebp, %ebp
    call exception_handle
    LEAVE VCPU_HOST_X, EXIT_RESUME

/* noreturn void vcpu_die(void) */
FUNCTION vcpu_die
    LEAVE VCPU_HOST, EXIT_DEAD
/* The same, at CSSA = 1 */
FUNCTION exception_die
.Ldead:
    LEAVE VCPU_HOST_X, EXIT_DEAD

/* void hostcall_exit_enter(void): the request is in the shared page. Vector state is the caller's business. */
FUNCTION hostcall_exit_enter
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    rdfsbase %rax
    mov %rax, %gs:VCPU_HOSTCALL_FS
    mov %rsp, %gs:VCPU_HOSTCALL_RSP
    LEAVE VCPU_HOST, EXIT_HOSTCALL

/*
 * A rewritten system call site: RCX = where to return, EAX = number, everything else the application's, RSP too.
 * Flags survive: nothing before pushfq changes them.
 */
FUNCTION syscall_entry
    mov %rsp, %gs:VCPU_USER_RSP
    mov %gs:VCPU_KERNEL_STACK, %rsp
    lea -24(%rsp), %rsp         /* fault_addr, error_code, vector: the last is set below */
    pushq %gs:VCPU_USER_RSP
    pushfq
    push %rcx                   /* rip */
    push %rax                   /* orig_rax */
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    mov FRAME_RFLAGS - FRAME_R10(%rsp), %r11
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    test $(RFLAGS_DF | RFLAGS_NT | RFLAGS_AC), %r11d
    jnz 2f
1:  movq $TRAP_SYSCALL, FRAME_VECTOR(%rsp)
    mov %rsp, %rdi
    xor %ebp, %ebp
    call syscall_handle
    jmp user_return
2:  pushq $2
    popfq
    jmp 1b

/* Where ERESUME goes after exception.c moved the user context to a trap frame: RSP = frame. */
FUNCTION trap_entry
    mov %rsp, %rdi
    xor %ebp, %ebp
    call trap_handle
    jmp user_return

/* A new task's first steps: RSP = its trap frame. */
FUNCTION task_entry
    mov %rsp, %rdi
    xor %ebp, %ebp
    call task_first_run
    jmp user_return

/* RSP = trap frame of the current task; the kernel lock is not held. */
FUNCTION user_return
    mov %gs:VCPU_CURRENT, %rax
    cmpb $0, TASK_WORK_PENDING(%rax)
    jne .Luser_work
    mov FRAME_RIP(%rsp), %rax
    mov FRAME_RFLAGS(%rsp), %ecx
    mov %rax, %gs:VCPU_USER_RIP
    test $RFLAGS_RARE, %ecx
    jnz .Lrare_flags
    mov %cl, %ah
    bt $11, %ecx                /* OF: 1 + 0x7f overflows, 0 + 0x7f does not */
    setc %al
    add $0x7f, %al
    sahf
.Lrestore:
    mov FRAME_R15(%rsp), %r15
    mov FRAME_R14(%rsp), %r14
    mov FRAME_R13(%rsp), %r13
    mov FRAME_R12(%rsp), %r12
    mov FRAME_RBP(%rsp), %rbp
    mov FRAME_RBX(%rsp), %rbx
    mov FRAME_R11(%rsp), %r11
    mov FRAME_R10(%rsp), %r10
    mov FRAME_R9(%rsp), %r9
    mov FRAME_R8(%rsp), %r8
    mov FRAME_RAX(%rsp), %rax
    mov FRAME_RCX(%rsp), %rcx
    mov FRAME_RDX(%rsp), %rdx
    mov FRAME_RSI(%rsp), %rsi
    mov FRAME_RDI(%rsp), %rdi
    mov FRAME_RSP(%rsp), %rsp
    jmp *%gs:VCPU_USER_RIP
.Lrare_flags:
    and $~RFLAGS_TF, %ecx
    push %rcx                   /* below the frame: nothing of it is lost if this starts again */
    popfq
    jmp .Lrestore
FUNCTION user_return_end
.Luser_work:
    mov %rsp, %rdi
    xor %ebp, %ebp
    call user_return_work
    jmp user_return

/* Where ERESUME goes after a fault of kernel code: RSP = a nested trap frame below the interrupted stack. */
FUNCTION nested_trap_entry
    mov %rsp, %rdi
    call nested_trap_handle
    mov FRAME_R15(%rsp), %r15
    mov FRAME_R14(%rsp), %r14
    mov FRAME_R13(%rsp), %r13
    mov FRAME_R12(%rsp), %r12
    mov FRAME_RBP(%rsp), %rbp
    mov FRAME_RBX(%rsp), %rbx
    mov FRAME_R11(%rsp), %r11
    mov FRAME_R10(%rsp), %r10
    mov FRAME_R9(%rsp), %r9
    mov FRAME_R8(%rsp), %r8
    mov FRAME_RCX(%rsp), %rcx
    mov FRAME_RDX(%rsp), %rdx
    mov FRAME_RSI(%rsp), %rsi
    mov FRAME_RDI(%rsp), %rdi
    mov FRAME_RIP(%rsp), %rax
    mov %rax, %gs:VCPU_USER_RIP
    pushq FRAME_RFLAGS(%rsp)
    popfq
    mov FRAME_RAX(%rsp), %rax
    mov FRAME_RSP(%rsp), %rsp
    jmp *%gs:VCPU_USER_RIP

/* void context_switch(uint64_t *save_rsp, uint64_t next_rsp) */
FUNCTION context_switch
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits

    .section .bss.stack_canary, "aw", @nobits
    .balign 8
stack_canary:
    .quad 0
