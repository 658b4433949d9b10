/* Where assembly finds things in struct sgx_thread, struct softsgx_tcs and the SSA. Asserted in thread.h and softsgx.h.
 */
#ifndef COFRE_HOST_SGX_OFFSETS_H
#define COFRE_HOST_SGX_OFFSETS_H

/* Thread block: struct sgx_thread, leaf stack, alternate signal stack. Aligned to its size. */
#define SGX_THREAD_SIZE 0x20000
#define SGX_THREAD_LEAF_STACK_TOP 0x5000
#define SGX_THREAD_ALT_STACK 0x5000

#define T_HOST_FS 0
#define T_HOST_GS 8
#define T_TCS 16
#define T_TCS_VA 24
#define T_PENDING 32
#define T_IN_LEAF 36
#define T_IRET 40
#define T_RSP 80
#define T_RBP 88
#define T_SITE 96
#define T_LEAF_REGS 104
#define T_EENTER 184
#define T_EEXIT 192
#define T_ERESUME 200
#define T_TICKS 208

#define TCS_BUSY 0
#define TCS_CSSA 4
#define TCS_NSSA 8
#define TCS_THREAD 16
#define TCS_OENTRY 24
#define TCS_FSBASE 32
#define TCS_GSBASE 40
#define TCS_GPR 48
#define TCS_FRAME 56
#define TCS_XFRM 64

#define GPR_SIZE 184
#define GPR_RAX 0
#define GPR_RCX 8
#define GPR_RDX 16
#define GPR_RBX 24
#define GPR_RSP 32
#define GPR_RBP 40
#define GPR_RSI 48
#define GPR_RDI 56
#define GPR_R8 64
#define GPR_R9 72
#define GPR_R10 80
#define GPR_R11 88
#define GPR_R12 96
#define GPR_R13 104
#define GPR_R14 112
#define GPR_R15 120
#define GPR_RFLAGS 128
#define GPR_RIP 136
#define GPR_URSP 144
#define GPR_URBP 152
#define GPR_FSBASE 168
#define GPR_GSBASE 176

#define RUN_TCS 0
#define RUN_FUNCTION 8
#define RUN_VECTOR 12
#define RUN_ERROR_CODE 14
#define RUN_ADDR 16
#define RUN_HANDLER 24
#define RUN_RESERVED 40
#define RUN_SIZE 256

#endif
