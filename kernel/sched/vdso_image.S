/* The linked vDSO, in writable data: vdso_init() fills in one address. */
    .section .data.vdso, "aw", @progbits
    .balign 4096
    .globl vdso_image_start, vdso_image_end
    .hidden vdso_image_start, vdso_image_end
vdso_image_start:
    .incbin VDSO_FILE
vdso_image_end:
    .section .note.GNU-stack, "", @progbits
