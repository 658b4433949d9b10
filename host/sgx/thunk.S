/* The vDSO's enter function from C: it loses R12 to R15 when the enclave leaves by an exception. */
        .text
        .globl sgx_enter_saved
        .hidden sgx_enter_saved
        .type sgx_enter_saved, @function
sgx_enter_saved:
        mov 8(%rsp), %r10       /* run */
        mov 16(%rsp), %rax      /* function to call */
        push %r12
        push %r13
        push %r14
        push %r15
        push %r10
        call *%rax
        add $8, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        ret
        .size sgx_enter_saved, . - sgx_enter_saved
        .section .note.GNU-stack, "", @progbits
