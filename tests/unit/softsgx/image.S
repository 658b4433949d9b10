/*
 * The code of the test enclave, position-independent, copied in page by page.
 *
 * EENTER with RDI = the address (in the enclave) of an operation, RSI its argument: the operation runs on the enclave's
 * stack and the result leaves in RSI with RDI = 1. At CSSA > 0 the entry leaves at once with RDI = 0x100 + CSSA.
 */
        .macro op name
        .globl image_\name
        .hidden image_\name
        .p2align 4, 0x90
image_\name:
        .endm

        .section .rodata.softsgx_image, "a", @progbits
        .p2align 12
        .globl softsgx_image_start
        .hidden softsgx_image_start
softsgx_image_start:
op entry
        test %rax, %rax
        jnz 1f
        mov %rcx, %gs:0
        mov %rsp, %gs:8
        mov %rbp, %gs:16
        mov %r12, %gs:24
        mov %r13, %gs:32
        mov %r14, %gs:40
        mov %r15, %gs:48
        rdgsbase %rax
        lea 0x5000(%rax), %rsp
        mov %rdi, %rax
        mov %rsi, %rdi
        call *%rax
op leave
        mov %rax, %rsi
        mov $1, %edi
        mov %gs:0, %rbx
        mov %gs:8, %rsp
        mov %gs:16, %rbp
        mov %gs:24, %r12
        mov %gs:32, %r13
        mov %gs:40, %r14
        mov %gs:48, %r15
        mov $4, %eax
        jmp image_enclu
1:      lea 0x100(%rax), %edi   /* nothing was touched: RSP and RBP are the host's */
        mov %rcx, %rbx
        mov $4, %eax
        jmp image_enclu

        .p2align 5, 0x90
        .globl image_enclu
        .hidden image_enclu
image_enclu:
        .byte 0x0f, 0x01, 0xd7, 0xc3
        .fill 28, 1, 0xcc

op nop
        lea 7(%rdi), %rax
        ret

/* RDI = struct { secinfo, page, source }; RAX = leaf result */
op eaccept
        push %rbx
        mov (%rdi), %rbx
        mov 8(%rdi), %rcx
        mov $5, %eax
        call image_enclu
        pop %rbx
        ret
op emodpe
        push %rbx
        mov (%rdi), %rbx
        mov 8(%rdi), %rcx
        mov $6, %eax
        call image_enclu
        mov $0, %eax
        pop %rbx
        ret
/* any leaf: RDI = struct { rbx, rcx, rdx, leaf, flags out } */
op leaf
        push %rbx
        mov (%rdi), %rbx
        mov 8(%rdi), %rcx
        mov 16(%rdi), %rdx
        mov 24(%rdi), %rax
        call image_enclu
        pushfq
        pop %rcx
        mov %rcx, 32(%rdi)
        pop %rbx
        ret
op load
        mov (%rdi), %rax
        ret
/* RDI = struct { address, value } */
op store
        mov 8(%rdi), %rcx
        mov (%rdi), %rax
        mov %rcx, (%rax)
        ret
op call
        jmp *%rdi
op spin                         /* until *RDI is not zero */
        xor %eax, %eax
1:      inc %rax
        mov (%rdi), %rcx
        test %rcx, %rcx
        jz 1b
        ret
/* Many iterations of transition-like work: bases, stack. RDI = count */
op work
        xor %eax, %eax
1:      push %rax
        add $1, %rax
        pop %rcx
        dec %rdi
        jnz 1b
        ret
op fxstate                      /* RDI = 64-byte aligned buffer in the enclave: XSAVE all of XFRM */
        mov $-1, %eax
        mov $-1, %edx
        xsave64 (%rdi)
        ret

/* One instruction that traps, among known registers. RDI = what goes to RDX for the trap. */
        .macro known_registers
        mov %rdi, %rdx
        mov $0x1111111111111111, %rbx
        mov $0x3333333333333333, %rsi
        mov $0x4444444444444444, %rdi
        mov $0x5555555555555555, %rbp
        mov $0x8888888888888888, %r8
        mov $0x9999999999999999, %r9
        mov $0xaaaaaaaaaaaaaaaa, %r10
        mov $0xbbbbbbbbbbbbbbbb, %r11
        mov $0xcccccccccccccccc, %r12
        mov $0xdddddddddddddddd, %r13
        mov $0xeeeeeeeeeeeeeeee, %r14
        mov $0x7777777777777777, %r15
        mov $1, %eax
        mov $0x2222222222222222, %rcx
        .endm
        .macro trap name
op trap_\name
        mov %rsp, %gs:0x100
        movq $0x1234, -8(%rsp)          /* the red zone must survive */
        movq $0x5678, -128(%rsp)
        known_registers
        .globl image_trap_\name\()_at
        .hidden image_trap_\name\()_at
image_trap_\name\()_at:
        .endm
        .macro trap_end
        jmp image_trap_check
        .endm
trap ud2
        ud2
        trap_end
trap int3
        int3
        trap_end
trap divide
        xor %edx, %edx
        xor %eax, %eax
        mov $1, %eax
        .globl image_trap_divide_here
        .hidden image_trap_divide_here
image_trap_divide_here:
        div %rdx
        trap_end
trap hlt
        hlt
        trap_end
trap fault
        mov (%rdx), %rax
        trap_end
trap write
        mov %rax, (%rdx)
        trap_end
trap jump
        jmp *%rdx
        trap_end
trap syscall
        syscall
        trap_end
trap int80
        int $0x80
        trap_end
trap cpuid
        cpuid
        trap_end
/* Verifies what known_registers set, but RAX, RCX, R11 and RDX, which some traps change. Result: 0, or which differs. */
op trap_check
        mov $1, %eax
        mov $0x1111111111111111, %rcx
        cmp %rcx, %rbx
        jne 9f
        inc %eax
        mov $0x3333333333333333, %rcx
        cmp %rcx, %rsi
        jne 9f
        inc %eax
        mov $0x4444444444444444, %rcx
        cmp %rcx, %rdi
        jne 9f
        inc %eax
        mov $0x5555555555555555, %rcx
        cmp %rcx, %rbp
        jne 9f
        inc %eax
        mov $0x8888888888888888, %rcx
        cmp %rcx, %r8
        jne 9f
        inc %eax
        mov $0x9999999999999999, %rcx
        cmp %rcx, %r9
        jne 9f
        inc %eax
        mov $0xaaaaaaaaaaaaaaaa, %rcx
        cmp %rcx, %r10
        jne 9f
        inc %eax
        mov $0xcccccccccccccccc, %rcx
        cmp %rcx, %r12
        jne 9f
        inc %eax
        mov $0xdddddddddddddddd, %rcx
        cmp %rcx, %r13
        jne 9f
        inc %eax
        mov $0xeeeeeeeeeeeeeeee, %rcx
        cmp %rcx, %r14
        jne 9f
        inc %eax
        mov $0x7777777777777777, %rcx
        cmp %rcx, %r15
        jne 9f
        inc %eax
        cmp %rsp, %gs:0x100
        jne 9f
        inc %eax
        cmpq $0x1234, -8(%rsp)
        jne 9f
        inc %eax
        cmpq $0x5678, -128(%rsp)
        jne 9f
        xor %eax, %eax
9:      ret

/* zmm0-31, k0-7, MXCSR and the x87 control word through a trap. RDI = struct { 32 * 64 bytes in, out, masks... } */
op vectors
        mov %rdi, %rax
        .set i, 0
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovdqu64 64*\n(%rax), %zmm\n
        .endr
        .irp n, 0,1,2,3,4,5,6,7
        kmovq 4096+8*\n(%rax), %k\n
        .endr
        ldmxcsr 4224(%rax)
        fldcw 4228(%rax)
        fldpi
        ud2
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovdqu64 %zmm\n, 2048+64*\n(%rax)
        .endr
        .irp n, 0,1,2,3,4,5,6,7
        kmovq %k\n, 4160+8*\n(%rax)
        .endr
        stmxcsr 4232(%rax)
        fstcw 4236(%rax)
        fstpt 4240(%rax)
        vzeroupper
        xor %eax, %eax
        ret

/* FS and GS through a trap. RDI = FS base to set. */
op bases
        wrfsbase %rdi
        ud2
        rdfsbase %rax
        rdgsbase %rcx
        sub %rcx, %rax
        ret

        .p2align 12
        .globl softsgx_image_end
        .hidden softsgx_image_end
softsgx_image_end:
        .section .note.GNU-stack, "", @progbits
