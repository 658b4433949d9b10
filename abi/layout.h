/*
 * The enclave's address map. Measured, so shared by whoever builds an enclave (host/), whoever predicts its
 * measurement (image/) and the kernel in it (kernel/).
 *
 * ELRANGE starts at 0 and is a power of two; host code and all untrusted memory live above it.
 *
 *   0x0_0001_0000 .. KERNEL_BASE      application memory
 *   KERNEL_BASE   .. KERNEL_END       the kernel: image, policy, vCPU blocks, kernel heap
 *   KERNEL_END    .. ELRANGE size     application memory (only if the policy asks for more than 64 GiB)
 */
#ifndef COFRE_ABI_LAYOUT_H
#define COFRE_ABI_LAYOUT_H

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096UL
#define PAGE_MASK (~(PAGE_SIZE - 1))

#define ELRANGE_BASE 0UL
#define ELRANGE_SIZE_MIN (1UL << 36)

#define USER_BASE 0x10000UL

#define KERNEL_BASE 0xF00000000UL
#define KERNEL_IMAGE_SIZE_MAX 0x4000000UL
#define KERNEL_END 0x1000000000UL

/* The compiled policy (abi/policy.h), read-only, measured, zero-padded to whole pages. */
#define POLICY_BASE 0xF04000000UL
#define POLICY_SIZE_MAX 0x1000000UL

/* One block per vCPU. What is not named inside a block is never added: it guards what is. */
#define VCPU_BASE 0xF08000000UL
#define VCPU_STRIDE 0x20000UL
#define VCPU_MAX 64
#define VCPU_TCS 0x0UL                /* 1 page, PT_TCS */
#define VCPU_GS 0x1000UL              /* 1 page: struct vcpu, the GS base (always TCS + 4096: softsgx relies on it) */
#define VCPU_EXCEPTION_STACK 0x3000UL /* used only at CSSA = 1 */
#define VCPU_EXCEPTION_STACK_SIZE 0x4000UL
#define VCPU_IDLE_STACK 0x8000UL /* boot and idle task */
#define VCPU_IDLE_STACK_SIZE 0x4000UL
#define VCPU_SSA 0x10000UL /* VCPU_NSSA frames of SSA_FRAME_PAGES pages */
#define VCPU_NSSA 2
#define SSA_FRAME_PAGES 1 /* enough for XFRM up to x87|SSE|AVX|AVX-512|PKRU */

/* Kernel heap. With EDMM it grows by EAUG + EACCEPT; without, policy.kernel_heap_size bytes are added at build. */
#define KHEAP_BASE 0xF10000000UL
#define KHEAP_END KERNEL_END

#endif
