/* The instructions that touch application memory. Each may fault: see extable.h. Ranges were checked by the caller. */
#include "kernel/arch/extable.h"

.macro FUNCTION name
    .balign 16
    .globl \name
    .hidden \name
    .type \name, @function
\name:
.endm

    .text

/*
 * size_t raw_copy_user(void *dst, const void *src, size_t size): bytes NOT copied. Either side may be the
 * application's. Small copies avoid the start-up cost of rep movsb.
 */
FUNCTION raw_copy_user
    mov %rdx, %rcx
    cmp $128, %rdx
    jae 5f
1:  cmp $8, %rcx
    jb 3f
2:  mov (%rsi), %rax
21: mov %rax, (%rdi)
    add $8, %rsi
    add $8, %rdi
    sub $8, %rcx
    jmp 1b
3:  test %rcx, %rcx
    jz 6f
4:  mov (%rsi), %al
41: mov %al, (%rdi)
    inc %rsi
    inc %rdi
    dec %rcx
    jmp 3b
5:  rep movsb
6:  mov %rcx, %rax
    ret
    /* a word failed: go on byte by byte, so that the count is exact */
    EXTABLE 2b, 3b, EXTABLE_USER
    EXTABLE 21b, 3b, EXTABLE_USER
    EXTABLE 4b, 6b, EXTABLE_USER
    EXTABLE 41b, 6b, EXTABLE_USER
    EXTABLE 5b, 6b, EXTABLE_USER

/* size_t raw_clear_user(void *dst, size_t size): bytes NOT cleared */
FUNCTION raw_clear_user
    mov %rsi, %rcx
    xor %eax, %eax
1:  rep stosb
2:  mov %rcx, %rax
    ret
    EXTABLE 1b, 2b, EXTABLE_USER

/*
 * ssize_t raw_strncpy_user(char *dst, const char *src, size_t size): length without NUL; size if there was no NUL in
 * size bytes; -14 (EFAULT) at a bad address.
 */
FUNCTION raw_strncpy_user
    xor %ecx, %ecx
1:  cmp %rdx, %rcx
    je 3f
2:  mov (%rsi,%rcx), %al
    mov %al, (%rdi,%rcx)
    test %al, %al
    jz 3f
    inc %rcx
    jmp 1b
3:  mov %rcx, %rax
    ret
4:  mov $-14, %rax
    ret
    EXTABLE 2b, 4b, EXTABLE_USER

/* int raw_get_user32(uint32_t *dst, const uint32_t *src): 0 or -EFAULT; a single load */
FUNCTION raw_get_user32
1:  mov (%rsi), %eax
    mov %eax, (%rdi)
    xor %eax, %eax
    ret
2:  mov $-14, %eax
    ret
    EXTABLE 1b, 2b, EXTABLE_USER

FUNCTION raw_get_user64
1:  mov (%rsi), %rax
    mov %rax, (%rdi)
    xor %eax, %eax
    ret
2:  mov $-14, %eax
    ret
    EXTABLE 1b, 2b, EXTABLE_USER

/* int raw_put_user32(uint32_t *dst, uint32_t value): 0 or -EFAULT; a single store */
FUNCTION raw_put_user32
1:  mov %esi, (%rdi)
    xor %eax, %eax
    ret
2:  mov $-14, %eax
    ret
    EXTABLE 1b, 2b, EXTABLE_USER

FUNCTION raw_put_user64
1:  mov %rsi, (%rdi)
    xor %eax, %eax
    ret
2:  mov $-14, %eax
    ret
    EXTABLE 1b, 2b, EXTABLE_USER

/* int raw_cmpxchg_user32(uint32_t *p, uint32_t expected, uint32_t desired, uint32_t *ret_old): 0 or -EFAULT */
FUNCTION raw_cmpxchg_user32
    mov %esi, %eax
1:  lock cmpxchg %edx, (%rdi)
    mov %eax, (%rcx)
    xor %eax, %eax
    ret
2:  mov $-14, %eax
    ret
    EXTABLE 1b, 2b, EXTABLE_USER

    .section .note.GNU-stack, "", @progbits
