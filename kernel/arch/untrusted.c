/*
 * Untrusted memory. Loads and stores are whole aligned 8-byte words whatever was asked (CVE-2022-21233: narrower or
 * unaligned loads may return stale data; CVE-2022-21166: narrower or unaligned stores may leak it). A partial word is
 * stored by a locked compare-and-exchange of the word around it, so that neighbours the host writes are not lost.
 */
#include "kernel/arch/untrusted.h"

#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"

uint64_t elrange_end = ELRANGE_SIZE_MIN;

/* Canonical, above ELRANGE (which starts at 0), no wrap. */
bool untrusted_range_ok(host_ptr p, uint64_t size)
{
    uint64_t last;
    if (p.addr < elrange_end || __builtin_add_overflow(p.addr, size, &last))
        return false;
    return last <= 1UL << 47;
}

static void check(host_ptr p, uint64_t size)
{
    if (unlikely(!untrusted_range_ok(p, size)))
        host_lied("an address that is not in untrusted memory");
}

static inline uint64_t load(uint64_t addr)
{
    return __atomic_load_n((const uint64_t *)addr, __ATOMIC_ACQUIRE);
}

static inline void store(uint64_t addr, uint64_t value)
{
    __atomic_store_n((uint64_t *)addr, value, __ATOMIC_RELEASE);
}

/* Replaces the bits of mask in the aligned word at addr; returns what was there. */
static uint64_t store_bits(uint64_t addr, uint64_t mask, uint64_t value)
{
    uint64_t old = load(addr);
    while (!__atomic_compare_exchange_n((uint64_t *)addr, &old, (old & ~mask) | (value & mask), false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
        ;
    return old;
}

/* rep movsq costs tens of cycles before it moves anything; sanitizers do not see what it touches. */
#ifdef COFRE_HOSTED
#define LOOP_WORDS UINT64_MAX
#else
#define LOOP_WORDS 32
#endif

static inline void load_words(void *dst, uint64_t from, uint64_t words)
{
    if (words > LOOP_WORDS) {
        __asm__ volatile("rep movsq" : "+D"(dst), "+S"(from), "+c"(words) : : "memory");
        return;
    }
    for (uint64_t i = 0; i < words; i++) {
        uint64_t word = __atomic_load_n((const uint64_t *)from + i, __ATOMIC_RELAXED);
        memcpy((uint8_t *)dst + i * 8, &word, 8);
    }
}

static inline void store_words(uint64_t to, const void *src, uint64_t words)
{
    if (words > LOOP_WORDS) {
        __asm__ volatile("rep movsq" : "+D"(to), "+S"(src), "+c"(words) : : "memory");
        return;
    }
    for (uint64_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)src + i * 8, 8);
        __atomic_store_n((uint64_t *)to + i, word, __ATOMIC_RELAXED);
    }
}

void untrusted_copy_in(void *dst, host_ptr src, size_t size)
{
    uint8_t *d = dst;
    if (size == 0)
        return;
    check(src, size);
    uint64_t word_addr = ALIGN_DOWN(src.addr, 8), skip = src.addr - word_addr;
    if (skip) {
        uint64_t word = load(word_addr);
        size_t n = MIN(8 - skip, size);
        memcpy(d, (uint8_t *)&word + skip, n);
        d += n;
        size -= n;
        word_addr += 8;
    }
    if (size >= 8) {
        load_words(d, word_addr, size / 8);
        d += size & ~7UL;
        word_addr += size & ~7UL;
        size %= 8;
    }
    if (size) {
        uint64_t word = load(word_addr);
        memcpy(d, &word, size);
    }
}

void untrusted_copy_out(host_ptr dst, const void *src, size_t size)
{
    const uint8_t *s = src;
    if (size == 0)
        return;
    check(dst, size);
    uint64_t word_addr = ALIGN_DOWN(dst.addr, 8), skip = dst.addr - word_addr;
    if (skip) {
        uint64_t word = 0, mask = 0;
        size_t n = MIN(8 - skip, size);
        memcpy((uint8_t *)&word + skip, s, n);
        memset((uint8_t *)&mask + skip, 0xff, n);
        store_bits(word_addr, mask, word);
        s += n;
        size -= n;
        word_addr += 8;
    }
    if (size >= 8) {
        store_words(word_addr, s, size / 8);
        s += size & ~7UL;
        word_addr += size & ~7UL;
        size %= 8;
    }
    if (size) {
        uint64_t word = 0, mask = (1ULL << (size * 8)) - 1;
        memcpy(&word, s, size);
        store_bits(word_addr, mask, word);
    }
}

static void store_part(uint64_t addr, size_t skip, const uint8_t *src, size_t size)
{
    uint64_t word = load(addr);
    memcpy((uint8_t *)&word + skip, src, size);
    store(addr, word);
}

void untrusted_copy_out_own(host_ptr dst, const void *src, size_t size)
{
    const uint8_t *s = src;
    check(dst, size);
    uint64_t word_addr = ALIGN_DOWN(dst.addr, 8), skip = dst.addr - word_addr;
    if (size && skip) {
        size_t n = MIN(8 - skip, size);
        store_part(word_addr, skip, s, n);
        s += n;
        size -= n;
        word_addr += 8;
    }
    store_words(word_addr, s, size / 8);
    if (size % 8)
        store_part(word_addr + (size & ~7UL), 0, s + (size & ~7UL), size % 8);
}

uint64_t untrusted_load64(host_ptr p)
{
    check(p, 8);
    if (unlikely(p.addr % 8))
        host_lied("a word that is not aligned");
    return load(p.addr);
}

void untrusted_store64(host_ptr p, uint64_t value)
{
    check(p, 8);
    if (unlikely(p.addr % 8))
        host_lied("a word that is not aligned");
    store(p.addr, value);
}

static unsigned half_shift(host_ptr p)
{
    check(p, 4);
    if (unlikely(p.addr % 4))
        host_lied("a word that is not aligned");
    return (p.addr & 4) * 8;
}

uint32_t untrusted_load32(host_ptr p)
{
    unsigned shift = half_shift(p);
    return (uint32_t)(load(ALIGN_DOWN(p.addr, 8)) >> shift);
}

void untrusted_store32(host_ptr p, uint32_t value)
{
    unsigned shift = half_shift(p);
    store_bits(ALIGN_DOWN(p.addr, 8), 0xffffffffULL << shift, (uint64_t)value << shift);
}

uint32_t untrusted_exchange32(host_ptr p, uint32_t value)
{
    unsigned shift = half_shift(p);
    return (uint32_t)(store_bits(ALIGN_DOWN(p.addr, 8), 0xffffffffULL << shift, (uint64_t)value << shift) >> shift);
}

uint32_t untrusted_or32(host_ptr p, uint32_t bits)
{
    unsigned shift = half_shift(p);
    uint64_t mask = (uint64_t)bits << shift;
    return (uint32_t)(store_bits(ALIGN_DOWN(p.addr, 8), mask, mask) >> shift);
}

uint32_t untrusted_and32(host_ptr p, uint32_t bits)
{
    unsigned shift = half_shift(p);
    uint64_t mask = (uint64_t)(uint32_t)~bits << shift;
    return (uint32_t)(store_bits(ALIGN_DOWN(p.addr, 8), mask, 0) >> shift);
}
