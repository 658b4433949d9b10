/* Included before each source of a target: the kernel's variables lie together, so that a run can start from new ones.
 */
#pragma clang section bss = "kernel_bss" data = "kernel_data"
