/*
 * The enter function (the vDSO's contract), the stubs that stand for EENTER, ERESUME and EEXIT, the landing of patched
 * ENCLU sites, and the entry of all signal handlers.
 *
 * Signals may come at every instruction here, with FS and GS half switched. signal.c decides by RIP ranges:
 *   [eenter_owned, eenter_end)      the TCS is taken, the enclave not yet entered
 *   [eresume_owned, eresume_end)    the same; after eresume_committed CSSA has been decremented
 */
#include "host/sgx/offsets.h"

        .macro global name
        .globl \name
        .hidden \name
\name:
        .endm

        .section .text.softsgx, "ax", @progbits
        .p2align 6
global softsgx_text_start

/* int softsgx_enter(rdi, rsi, rdx, u32 function, r8, r9, struct sgx_enclave_run *run) */
        .type softsgx_enter, @function
global softsgx_enter
        push %rbp
        mov %rsp, %rbp
        push %rbx
        mov %ecx, %eax
.Lenter_enclave:
        cmp $2, %eax
        jb .Linvalid
        cmp $3, %eax
        ja .Linvalid
        mov 16(%rbp), %rcx
        mov RUN_RESERVED(%rcx), %rbx
        .set offset, RUN_RESERVED + 8
        .rept (RUN_SIZE - RUN_RESERVED) / 8 - 1
        or offset(%rcx), %rbx
        .set offset, offset + 8
        .endr
        test %rbx, %rbx
        jnz .Linvalid
        mov RUN_TCS(%rcx), %rbx
        lea softsgx_aep(%rip), %rcx
/* Where ENCLU would stand: RAX is the leaf, RBX the TCS, RCX the AEP. */
global softsgx_aep
        cmp $2, %eax
        je softsgx_eenter
        cmp $3, %eax
        je softsgx_eresume_start
        jmp .Lgeneral_protection
global softsgx_after_enclu
        mov 16(%rbp), %rbx
        movl $4, RUN_FUNCTION(%rbx)
.Lhandle_exit:
        cmpq $0, RUN_HANDLER(%rbx)
        jne .Luser_handler
        xor %eax, %eax
.Lout:
        mov -8(%rbp), %rbx
        leave
        ret
.Linvalid:
        mov $-22, %eax
        jmp .Lout
/* EAX = leaf, EDI = vector, ESI = error code, RDX = address; RBP as in the enter function. */
.Lgeneral_protection:
        mov $13, %edi
        xor %esi, %esi
        xor %edx, %edx
global softsgx_exception
        mov 16(%rbp), %rbx
        mov %eax, RUN_FUNCTION(%rbx)
        mov %di, RUN_VECTOR(%rbx)
        mov %si, RUN_ERROR_CODE(%rbx)
        mov %rdx, RUN_ADDR(%rbx)
        jmp .Lhandle_exit
.Luser_handler:
        mov %rsp, %rcx
        mov %rbx, %rax
        mov %rsp, %rbx
        and $0xf, %rbx
        and $-16, %rsp
        push %rax
        push %rax
        cld
        call *RUN_HANDLER(%rax)
        lea 16(%rsp, %rbx), %rsp
        cmp $0, %eax
        jle .Lout
        jmp .Lenter_enclave
        .size softsgx_enter, . - softsgx_enter

/* First use of this TCS by this thread. Keeps all but RAX and RCX; EAX = leaf on the way back. */
.Lbind:
        push %rax
        push %rdi
        push %rsi
        push %rdx
        push %r8
        push %r9
        push %r10
        push %r11
        push %r12
        mov %rsp, %r12
        and $-16, %rsp
        mov %rbx, %rdi
        call softsgx_bind
        mov %r12, %rsp
        mov %eax, %ecx
        pop %r12
        pop %r11
        pop %r10
        pop %r9
        pop %r8
        pop %rdx
        pop %rsi
        pop %rdi
        pop %rax
        test %ecx, %ecx
        jnz .Lgeneral_protection
        lea softsgx_aep(%rip), %rcx
        jmp softsgx_aep

/*
 * CPU state that XFRM does not enable is not there in an enclave: XCR0 is XFRM, so neither XSAVEC sees what host code left
 * in it. Here XCR0 stays the host's; state that is in its initial configuration is at least not saved. Keeps all but
 * RAX and RCX.
 */
        .macro foreign_state_reset
        cmpl $0, softsgx_foreign_state(%rip)
        je 9f
        push %rdx
        mov $1, %ecx
        xgetbv
        and softsgx_foreign_state(%rip), %eax
        jz 8f
        xor %edx, %edx
        xrstor64 softsgx_initial_state(%rip)
8:      pop %rdx
9:
        .endm

/* EENTER. Everything but RAX, RBX and RCX passes through. */
        .p2align 5
global softsgx_eenter
        foreign_state_reset
        mov $2, %eax
        mov sgx_current@gottpoff(%rip), %rcx
        mov %fs:(%rcx), %rcx
        test %rcx, %rcx
        jz .Lgeneral_protection
        cmp %rbx, T_TCS_VA(%rcx)
        jne .Lbind
        mov T_TCS(%rcx), %rax
        lock btsl $0, TCS_BUSY(%rax)
        jc .Leenter_busy
global softsgx_eenter_owned
        mov %rcx, TCS_THREAD(%rax)
        incq T_EENTER(%rcx)
        cmpl $0, TCS_CSSA(%rax)
        jne 1f                  /* who comes to handle an exception does not look at what a tick is for */
        movl $0, T_PENDING(%rcx)
1:      mov TCS_CSSA(%rax), %ecx
        cmp TCS_NSSA(%rax), %ecx
        jae .Leenter_no_ssa
        imul TCS_FRAME(%rax), %rcx
        add TCS_GPR(%rax), %rcx
        mov %rsp, GPR_URSP(%rcx)
        mov %rbp, GPR_URBP(%rcx)
        mov TCS_OENTRY(%rax), %rcx
        mov %rcx, -8(%rsp)
        mov TCS_FSBASE(%rax), %rcx
        wrfsbase %rcx
        mov TCS_GSBASE(%rax), %rcx
        wrgsbase %rcx
        mov TCS_CSSA(%rax), %eax
        lea softsgx_after_enclu(%rip), %rcx
        jmp *-8(%rsp)
global softsgx_eenter_end
.Leenter_no_ssa:
        movl $0, TCS_BUSY(%rax)
.Leenter_busy:
        mov $2, %eax
        jmp .Lgeneral_protection

/* ERESUME. */
        .p2align 5
global softsgx_eresume_start
        foreign_state_reset
        mov $3, %eax
        mov sgx_current@gottpoff(%rip), %rdx
        mov %fs:(%rdx), %rdx
        test %rdx, %rdx
        jz .Lgeneral_protection
        cmp %rbx, T_TCS_VA(%rdx)
        jne .Lbind
        mov T_TCS(%rdx), %rsi
        cmpl $0, T_PENDING(%rdx)
        jne .Lpending
.Lno_pending:
        lock btsl $0, TCS_BUSY(%rsi)
        jc .Lgeneral_protection
        mov %rsp, T_RSP(%rdx)
        mov %rbp, T_RBP(%rdx)
global softsgx_eresume_owned
        mov %rdx, TCS_THREAD(%rsi)
        mov TCS_CSSA(%rsi), %ecx
        test %ecx, %ecx
        jz .Leresume_no_ssa
        incq T_ERESUME(%rdx)
        dec %ecx
        imul TCS_FRAME(%rsi), %rcx
        add TCS_GPR(%rsi), %rcx
        mov GPR_RIP(%rcx), %rax
        mov %rax, T_IRET(%rdx)
        mov %cs, %eax
        mov %rax, T_IRET + 8(%rdx)
        mov GPR_RFLAGS(%rcx), %rax
        mov %rax, T_IRET + 16(%rdx)
        mov GPR_RSP(%rcx), %rax
        mov %rax, T_IRET + 24(%rdx)
        mov %ss, %eax
        mov %rax, T_IRET + 32(%rdx)
        mov %rcx, %rdi
        mov %rdx, %r9
        lea GPR_SIZE(%rcx), %r8
        sub TCS_FRAME(%rsi), %r8
        mov TCS_XFRM(%rsi), %eax
        mov TCS_XFRM + 4(%rsi), %edx
        xrstor64 (%r8)
        mov GPR_FSBASE(%rdi), %rax
        wrfsbase %rax
        mov GPR_GSBASE(%rdi), %rax
        wrgsbase %rax
        lea T_IRET(%r9), %rsp
        decl TCS_CSSA(%rsi)
global softsgx_eresume_committed
        mov GPR_RAX(%rdi), %rax
        mov GPR_RCX(%rdi), %rcx
        mov GPR_RDX(%rdi), %rdx
        mov GPR_RBX(%rdi), %rbx
        mov GPR_RBP(%rdi), %rbp
        mov GPR_RSI(%rdi), %rsi
        mov GPR_R8(%rdi), %r8
        mov GPR_R9(%rdi), %r9
        mov GPR_R10(%rdi), %r10
        mov GPR_R11(%rdi), %r11
        mov GPR_R12(%rdi), %r12
        mov GPR_R13(%rdi), %r13
        mov GPR_R14(%rdi), %r14
        mov GPR_R15(%rdi), %r15
        mov GPR_RDI(%rdi), %rdi
        iretq
global softsgx_eresume_end
.Leresume_no_ssa:
        movl $0, TCS_BUSY(%rsi)
        jmp .Lgeneral_protection
/* A tick came while it could not be delivered: enter at CSSA = 1 with it now. */
.Lpending:
        cmpl $1, TCS_CSSA(%rsi)
        jne .Lno_pending
        movl $0, T_PENDING(%rdx)
        incq T_TICKS(%rdx)
        mov $3, %edi            /* ENTER_TICK */
        mov $2, %eax
        jmp softsgx_aep

/* Patched ENCLU sites land here: R11 = the site, else as ENCLU finds them. Sites are functions, so R11 is free. */
        .p2align 5
global softsgx_leaf_stub
        cmp $4, %eax
        jne .Lleaf_other
        rdgsbase %rax
        shr $12, %rax
        sub softsgx_base_page(%rip), %rax
        cmp softsgx_page_count(%rip), %rax
        ja .Leexit_trap
        shl $3, %rax
        add softsgx_tcs_table(%rip), %rax
        mov (%rax), %rax        /* GS base = TCS + 4096, and the table is one entry off */
        test %rax, %rax
        jz .Leexit_trap
        cmpl $0, TCS_BUSY(%rax) /* a GS base that suits another TCS finds that one idle */
        je .Leexit_trap
        mov TCS_THREAD(%rax), %rcx
        incq T_EEXIT(%rcx)
        mov T_HOST_FS(%rcx), %r11
        wrfsbase %r11
        mov T_HOST_GS(%rcx), %r11
        wrgsbase %r11
        movl $0, TCS_BUSY(%rax)
        lea softsgx_aep(%rip), %rcx
        mov $4, %eax
        jmp *%rbx
.Leexit_trap:
        mov $4, %eax
global softsgx_leaf_trap
        .byte 0x0f, 0x01, 0xd7  /* ENCLU: #UD, emulated with all registers at hand */

/* EACCEPT, EMODPE, EACCEPTCOPY: C code with general registers only, on the leaf stack, with the enclave's FS and GS. */
.Lleaf_other:
        cmp $5, %eax
        jb softsgx_leaf_trap
        cmp $7, %eax
        ja softsgx_leaf_trap
        push %rdi
        mov %eax, %edi
        rdgsbase %rax
        shr $12, %rax
        sub softsgx_base_page(%rip), %rax
        cmp softsgx_page_count(%rip), %rax
        ja .Lleaf_lost
        shl $3, %rax
        add softsgx_tcs_table(%rip), %rax
        mov (%rax), %rax
        test %rax, %rax
        jz .Lleaf_lost
        cmpl $0, TCS_BUSY(%rax)
        je .Lleaf_lost
        mov TCS_THREAD(%rax), %rax
        movl $1, T_IN_LEAF(%rax)
        mov %r11, T_SITE(%rax)
        mov %rsp, T_LEAF_REGS(%rax)
        mov %rdx, T_LEAF_REGS + 8(%rax)
        mov %rsi, T_LEAF_REGS + 16(%rax)
        mov %r8, T_LEAF_REGS + 24(%rax)
        mov %r9, T_LEAF_REGS + 32(%rax)
        mov %r10, T_LEAF_REGS + 40(%rax)
        mov %rcx, T_LEAF_REGS + 48(%rax)
        mov %rbx, T_LEAF_REGS + 56(%rax)
        mov %rdi, T_LEAF_REGS + 64(%rax)
        lea SGX_THREAD_LEAF_STACK_TOP(%rax), %rsp
        mov %edi, %esi
        mov %rdx, %r8
        mov %rbx, %rdx
        mov %rax, %rbx
        mov %rax, %rdi
        call softsgx_leaf_fast
        mov T_LEAF_REGS(%rbx), %rsp
        mov T_LEAF_REGS + 8(%rbx), %rdx
        mov T_LEAF_REGS + 16(%rbx), %rsi
        mov T_LEAF_REGS + 24(%rbx), %r8
        mov T_LEAF_REGS + 32(%rbx), %r9
        mov T_LEAF_REGS + 40(%rbx), %r10
        mov T_LEAF_REGS + 48(%rbx), %rcx
        mov T_SITE(%rbx), %r11
        movl $0, T_IN_LEAF(%rbx)
        test %rax, %rax
        js .Lleaf_fault
        mov T_LEAF_REGS + 56(%rbx), %rbx
        pop %rdi
        xor %r11d, %r11d
        test %eax, %eax
        setz %r11b
        test %r11d, %r11d       /* ZF = the leaf failed */
        ret
.Lleaf_fault:                   /* a fault: once more, with all registers at hand */
        mov T_LEAF_REGS + 64(%rbx), %rax
        mov T_LEAF_REGS + 56(%rbx), %rbx
        pop %rdi
        jmp softsgx_leaf_trap
.Lleaf_lost:
        mov %edi, %eax
        pop %rdi
        jmp softsgx_leaf_trap

/* int softsgx_copy_safe(void *dst, const void *src, size_t size) */
global softsgx_copy_safe
        mov %rdx, %rcx
        cld
global softsgx_copy_safe_at
        rep movsb
        xor %eax, %eax
        ret
global softsgx_copy_safe_failed
        mov $-1, %eax
        ret

/*
 * All signals. RSP tells a vCPU thread: it is on its alternate stack. The kernel saves neither base in the frame, so the
 * ones found are put back unless the handler says that the context is the host's now.
 */
global softsgx_sig_entry
        mov %rsp, %rax
        sub sgx_blocks_base(%rip), %rax
        cmp sgx_blocks_size(%rip), %rax
        jae .Lplain
        rdfsbase %r12
        rdgsbase %r13
        mov %rsp, %r14
        and $-SGX_THREAD_SIZE, %r14
        mov T_HOST_FS(%r14), %rax
        wrfsbase %rax
        mov T_HOST_GS(%r14), %rax
        wrgsbase %rax
        mov %r14, %rcx
        mov %r12, %r8
        mov %r13, %r9
        sub $8, %rsp
        cld
        call softsgx_handle
        add $8, %rsp
        test %eax, %eax
        jnz softsgx_sig_restore
        wrfsbase %r12
        wrgsbase %r13
        jmp 1f
.Lplain:
        sub $8, %rsp
        cld
        call softsgx_handle_plain
        add $8, %rsp
/* The return address is never used: RSP must be at the frame for rt_sigreturn, as after ret. */
1:      add $8, %rsp
        mov $15, %eax           /* rt_sigreturn */
        syscall
        ud2
global softsgx_sig_restore
        add $8, %rsp
        mov $15, %eax
        syscall
        ud2

/* void softsgx_leave_now(const struct softsgx_leave *): what AEX leaves, zero elsewhere. RSP last. */
global softsgx_leave_now
        push 72(%rdi)
        popfq
        mov 0(%rdi), %rax
        mov 8(%rdi), %rbx
        mov 16(%rdi), %rcx
        mov 24(%rdi), %rdx
        mov 32(%rdi), %rsi
        mov 56(%rdi), %rbp
        mov 64(%rdi), %r11
        mov 48(%rdi), %r10
        mov 40(%rdi), %rdi
        xor %r8d, %r8d
        xor %r9d, %r9d
        xor %r12d, %r12d
        xor %r13d, %r13d
        xor %r14d, %r14d
        xor %r15d, %r15d
        mov %r10, %rsp
        jmp *%r11
global softsgx_text_end

        .section .note.GNU-stack, "", @progbits
