/* Included before every kernel source (kernel/meson.build): all symbols are the kernel's own, so none needs a GOT. */
#ifndef __ASSEMBLER__
#pragma GCC visibility push(hidden)
#endif
