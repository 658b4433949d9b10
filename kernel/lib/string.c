/* Memory and string functions of the freestanding kernel. General registers only. */
#include "kernel/lib/string.h"

#ifndef COFRE_HOSTED
#undef memcpy
#undef memmove
#undef memset
#undef memcmp

typedef uint64_t __attribute__((may_alias, aligned(1))) word_u;
typedef uint32_t __attribute__((may_alias, aligned(1))) half_u;
typedef uint16_t __attribute__((may_alias, aligned(1))) quarter_u;

/* Below this, "rep movsb" costs more to start than it saves. */
#define REP_MIN 256

static inline void copy_small(uint8_t *d, const uint8_t *s, size_t size)
{
    /* Both ends are loaded before anything is stored, so these are right for overlapping ranges too. */
    if (size >= 8) {
        uint64_t head = *(const word_u *)s, tail = *(const word_u *)(s + size - 8);
        *(word_u *)d = head;
        *(word_u *)(d + size - 8) = tail;
    } else if (size >= 4) {
        uint32_t head = *(const half_u *)s, tail = *(const half_u *)(s + size - 4);
        *(half_u *)d = head;
        *(half_u *)(d + size - 4) = tail;
    } else if (size >= 2) {
        uint16_t head = *(const quarter_u *)s, tail = *(const quarter_u *)(s + size - 2);
        *(quarter_u *)d = head;
        *(quarter_u *)(d + size - 2) = tail;
    } else if (size) {
        *d = *s;
    }
}

void *memcpy(void *restrict dst, const void *restrict src, size_t size)
{
    uint8_t *d = dst;
    const uint8_t *s = src;
    if (size <= 16) {
        copy_small(d, s, size);
        return dst;
    }
    if (size >= REP_MIN) {
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(size) : : "memory");
        return dst;
    }
    const word_u *last = (const word_u *)(s + size - 8);
    word_u *dst_last = (word_u *)(d + size - 8);
    for (; size > 16; size -= 16, d += 16, s += 16) {
        uint64_t a = ((const word_u *)s)[0], b = ((const word_u *)s)[1];
        ((word_u *)d)[0] = a;
        ((word_u *)d)[1] = b;
    }
    if (size > 8)
        *(word_u *)d = *(const word_u *)s;
    *dst_last = *last;
    return dst;
}

void *memmove(void *dst, const void *src, size_t size)
{
    uint8_t *d = dst;
    const uint8_t *s = src;
    if (size <= 16) {
        copy_small(d, s, size);
        return dst;
    }
    if (d <= s || d >= s + size) {
        /* rep movsb copies upwards byte by byte as far as anyone can tell: right when dst is below src */
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(size) : : "memory");
        return dst;
    }
    for (; size >= 8; size -= 8)
        *(word_u *)(d + size - 8) = *(const word_u *)(s + size - 8);
    while (size--)
        d[size] = s[size];
    return dst;
}

void *memset(void *dst, int byte, size_t size)
{
    uint8_t *d = dst;
    uint64_t pattern = 0x0101010101010101ULL * (uint8_t)byte;
    if (size >= REP_MIN) {
        __asm__ volatile("rep stosb" : "+D"(d), "+c"(size) : "a"(byte) : "memory");
        return dst;
    }
    if (size >= 8) {
        word_u *last = (word_u *)(d + size - 8);
        for (; size > 8; size -= 8, d += 8)
            *(word_u *)d = pattern;
        *last = pattern;
        return dst;
    }
    if (size >= 4) {
        *(half_u *)d = (uint32_t)pattern;
        *(half_u *)(d + size - 4) = (uint32_t)pattern;
        return dst;
    }
    while (size--)
        d[size] = (uint8_t)byte;
    return dst;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *p = a, *q = b;
    for (; size >= 8; size -= 8, p += 8, q += 8) {
        uint64_t x = *(const word_u *)p, y = *(const word_u *)q;
        if (x != y)
            return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
    }
    for (; size; size--, p++, q++)
        if (*p != *q)
            return *p - *q;
    return 0;
}

void *memchr(const void *s, int c, size_t size)
{
    for (const uint8_t *p = s; size; size--, p++)
        if (*p == (uint8_t)c)
            return (void *)p;
    return NULL;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;
    while (n < max && s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t max)
{
    for (; max; max--, a++, b++)
        if (*a != *b || !*a)
            return (uint8_t)*a - (uint8_t)*b;
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)s;
        if (!*s)
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;
    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)found;
    }
}

char *strstr(const char *haystack, const char *needle)
{
    size_t size = strlen(needle);
    for (;; haystack++) {
        if (strncmp(haystack, needle, size) == 0)
            return (char *)haystack;
        if (!*haystack)
            return NULL;
    }
}
#endif

size_t string_copy(char *dst, const char *src, size_t size)
{
    size_t length = strlen(src);
    if (size) {
        size_t n = MIN(length, size - 1);
        memcpy(dst, src, n);
        dst[n] = '\0';
    }
    return length;
}

bool string_to_u64(const char *s, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
            return false;
    }
    if (value > max)
        return false;
    *ret_value = value;
    return true;
}
