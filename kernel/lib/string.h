/* The C library's memory and string functions, and bounded formatting. In the hosted build these are libc's own. */
#ifndef COFRE_KERNEL_LIB_STRING_H
#define COFRE_KERNEL_LIB_STRING_H

#include <stdarg.h>

#include "kernel/lib/types.h"

#ifdef COFRE_HOSTED
#include <stdio.h>
#include <string.h>
#else
void *memcpy(void *restrict dst, const void *restrict src, size_t size);
void *memmove(void *dst, const void *src, size_t size);
void *memset(void *dst, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *s, int c, size_t size);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *haystack, const char *needle);
int snprintf(char *restrict buf, size_t size, const char *restrict format, ...) printf_like(3, 4);
int vsnprintf(char *restrict buf, size_t size, const char *restrict format, va_list args);
/* Freestanding code gets no built-in expansion unless it asks: small constant sizes must become plain moves. */
#define memcpy(dst, src, size) __builtin_memcpy(dst, src, size)
#define memmove(dst, src, size) __builtin_memmove(dst, src, size)
#define memset(dst, byte, size) __builtin_memset(dst, byte, size)
#define memcmp(a, b, size) __builtin_memcmp(a, b, size)
#endif

/* Copy at most size - 1 bytes and terminate; returns the length of src (so >= size means cut). */
size_t string_copy(char *dst, const char *src, size_t size);
/* Decimal, no sign, whole string, <= max; returns false if it is anything else. */
bool string_to_u64(const char *s, uint64_t max, uint64_t *ret_value);

#endif
