/*
 * ENCLU sites become jumps in our private mapping (the measured bytes stay what they are): #UD costs 8 us, a jump 1 ns.
 * A site is a function of 32 bytes at a multiple of 32: 0f 01 d7 c3, then padding. It is patched right after its page
 * was added, before any thread can run.
 */
#include <string.h>

#include "host/softsgx/softsgx.h"

#define SITE_SIZE 32

/* int3, nop, or bytes that assemblers make long nops of. */
static bool is_padding(const uint8_t *p, size_t size)
{
    static const uint8_t filler[] = {0xcc, 0x90, 0x00, 0x66, 0x2e, 0x0f, 0x1f, 0x80, 0x84, 0x40, 0x44};
    for (size_t i = 0; i < size; i++) {
        if (!memchr(filler, p[i], sizeof(filler)))
            return false;
    }
    return true;
}

static void patch_site(uint8_t *site)
{
    /* +0 jmp +3; +3 lea site(%rip), %r11; +10 jmp *16(site) */
    static const uint8_t code[16] = {0xeb, 0x01, 0xd7, 0x4c, 0x8d, 0x1d, 0xf6, 0xff,
                                     0xff, 0xff, 0xff, 0x25, 0x00, 0x00, 0x00, 0x00};
    const void *stub = softsgx_leaf_stub;
    memcpy(site, code, sizeof(code));
    memcpy(site + sizeof(code), &stub, sizeof(stub));
}

void softsgx_patch_page(uint8_t *page)
{
    static const uint8_t enclu_ret[4] = {0x0f, 0x01, 0xd7, 0xc3};
    for (uint8_t *p = page; p < page + PAGE_SIZE; p += SITE_SIZE) {
        if (memcmp(p, enclu_ret, sizeof(enclu_ret)) == 0 && is_padding(p + 4, SITE_SIZE - 4)) {
            patch_site(p);
            softsgx.sites_patched++;
        }
    }
}
