/*
 * ENCLU leaves. Every ENCLU is the first instruction of a 32-byte function of its own, "0f 01 d7 c3" and padding:
 * a software enclave recognises these bytes and patches its private copy.
 */
#include "kernel/arch/offsets.h"
#include "kernel/arch/extable.h"

.macro ENCLU_SITE name
    .balign 32
    .globl enclu_site_\name
    .hidden enclu_site_\name
    .type enclu_site_\name, @function
enclu_site_\name:
    .byte 0x0f, 0x01, 0xd7, 0xc3
    .fill 28, 1, 0xcc
    .size enclu_site_\name, 32
.endm

.macro FUNCTION name
    .balign 16
    .globl \name
    .hidden \name
    .type \name, @function
\name:
.endm

    .section .text.enclu, "ax", @progbits
    ENCLU_SITE ereport
    ENCLU_SITE egetkey
    ENCLU_SITE eexit
    ENCLU_SITE eaccept
    ENCLU_SITE emodpe
    ENCLU_SITE eacceptcopy

/* uint64_t enclu_eaccept(const struct secinfo *, uint64_t page) */
FUNCTION enclu_eaccept
    push %rbx
    mov %rdi, %rbx
    mov %rsi, %rcx
    mov $5, %eax
    call enclu_site_eaccept
    pop %rbx
    ret
    /* a fault that the host does not resolve: an error for the caller, never a loop */
2:  mov $ENCLU_FAULT, %eax
    add $8, %rsp
    pop %rbx
    ret
    EXTABLE enclu_site_eaccept, 2b, EXTABLE_FIXUP

/* void enclu_emodpe(const struct secinfo *, uint64_t page) */
FUNCTION enclu_emodpe
    push %rbx
    mov %rdi, %rbx
    mov %rsi, %rcx
    mov $6, %eax
    call enclu_site_emodpe
    pop %rbx
    ret

/* uint64_t enclu_eacceptcopy(const struct secinfo *, uint64_t page, uint64_t source_page) */
FUNCTION enclu_eacceptcopy
    push %rbx
    mov %rdi, %rbx
    mov %rsi, %rcx
    mov $7, %eax
    call enclu_site_eacceptcopy
    pop %rbx
    ret
2:  mov $ENCLU_FAULT, %eax
    add $8, %rsp
    pop %rbx
    ret
    EXTABLE enclu_site_eacceptcopy, 2b, EXTABLE_FIXUP

/* void enclu_ereport(const void *targetinfo, const void *reportdata, void *report) */
FUNCTION enclu_ereport
    push %rbx
    mov %rdi, %rbx
    mov %rsi, %rcx
    xor %eax, %eax
    call enclu_site_ereport
    pop %rbx
    ret

/* uint64_t enclu_egetkey(const void *keyrequest, void *key) */
FUNCTION enclu_egetkey
    push %rbx
    mov %rdi, %rbx
    mov %rsi, %rcx
    mov $1, %eax
    call enclu_site_egetkey
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
