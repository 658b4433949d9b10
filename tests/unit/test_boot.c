/* What the kernel checks before it believes anything: policy, boot parameters, CPUID; and its formatted printing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/hostcall.h"
#include "abi/key_release.h"
#include "abi/stats.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/cpuid.h"
#include "kernel/boot/params.h"
#include "kernel/boot/policy.h"

/* ---- the rest of the kernel, as far as these need it ---- */

uint64_t elrange_end = ELRANGE_SIZE_MIN;
static struct policy the_policy;

const struct policy *policy(void)
{
    return &the_policy;
}

bool untrusted_range_ok(host_ptr p, uint64_t size);
bool untrusted_range_ok(host_ptr p, uint64_t size)
{
    uint64_t end;
    return p.addr >= elrange_end && !__builtin_add_overflow(p.addr, size, &end) && end <= 1UL << 47;
}

void untrusted_copy_in(void *dst, host_ptr src, size_t size);
void untrusted_copy_in(void *dst, host_ptr src, size_t size)
{
    memcpy(dst, (const void *)src.addr, size);
}

void host_lied(const char *what);
void host_lied(const char *what)
{
    fail_msg("host_lied: %s", what);
    abort();
}

void *kmalloc(size_t size);
void *kmalloc(size_t size)
{
    return malloc(size);
}

uint64_t xcr0_read(void);
uint64_t xcr0_read(void)
{
    return 0xe7;
}
void vector_init(uint64_t features, uint32_t size, bool xgetbv1);
static uint32_t vector_size;
void vector_init(uint64_t features, uint32_t size, bool xgetbv1)
{
    (void)features;
    (void)xgetbv1;
    vector_size = size;
}

/* ---- policy ---- */

static struct {
    struct policy policy;
    char strings[256];
} __attribute__((aligned(8))) blob;

static void make_policy(void)
{
    static const char strings[] = "/bin/sh\0-c\0PATH=/bin\0/tmp\0";
    memset(&blob, 0, sizeof(blob));
    memcpy(blob.strings, strings, sizeof(strings));
    blob.policy = (struct policy){
        .magic = POLICY_MAGIC,
        .version = POLICY_VERSION,
        .size = sizeof(blob),
        .elrange_size = ELRANGE_SIZE_MIN,
        .memory_size = 1 << 30,
        .kernel_heap_size = 1 << 24,
        .vcpu_max = 4,
        .process_max = 1,
        .xfrm_low = 7,
        .entrypoint = {sizeof(struct policy), 2},
        .env = {sizeof(struct policy) + 11, 1},
        .workdir_offset = sizeof(struct policy) + 21,
        .root_size = 8192,
        .root_hash_offset = 8192,
    };
}

static void a_good_policy_is_read(void **state)
{
    (void)state;
    make_policy();
    assert_int_equal(policy_check(&blob, sizeof(blob)), 0);
    assert_int_equal(policy_check(&blob, 1 << 20), 0);
}

static void a_wrong_policy_is_refused(void **state)
{
    (void)state;
#define WRONG(change)                                                                                                  \
    do {                                                                                                               \
        make_policy();                                                                                                 \
        struct policy *p = &blob.policy;                                                                               \
        change;                                                                                                        \
        assert_int_not_equal(policy_check(&blob, sizeof(blob)), 0);                                                    \
    } while (0)
    WRONG(p->magic++);
    WRONG(p->version++);
    WRONG(p->size++);
    WRONG(p->size = sizeof(*p) - 1);
    WRONG(p->elrange_size = ELRANGE_SIZE_MIN / 2);
    WRONG(p->elrange_size += 4096);
    WRONG(p->memory_size++);
    WRONG(p->kernel_heap_size++);
    WRONG(p->vcpu_max = 0);
    WRONG(p->process_max = 0);
    WRONG(p->vcpu_max = VCPU_MAX + 1);
    WRONG(p->xfrm_low = 5);
    WRONG(p->root_hash_offset = 4096);
    WRONG(p->entrypoint.offset = sizeof(blob));
    WRONG(p->entrypoint.offset = 8);
    WRONG(p->entrypoint.offset = 0xffffffff);
    WRONG(p->entrypoint.count = 0xffffffff);
    WRONG(p->entrypoint.count = 300);
    WRONG(p->workdir_offset = sizeof(blob));
    WRONG((void)p; memset(blob.strings + 20, 'x', sizeof(blob.strings) - 20));
    WRONG(p->tmpfs.count = 1; p->tmpfs.offset = sizeof(blob) - 8);
    WRONG(p->tmpfs.count = 1; p->tmpfs.offset = sizeof(*p) + 1);
    WRONG(p->ports.count = 0x10000000; p->ports.offset = sizeof(*p));
    WRONG(p->root_cipher = POLICY_CIPHER_AES_XTS);
    WRONG(p->root_key_release = POLICY_KEY_FILE);
    WRONG(p->root_cipher = 2; p->root_key_release = POLICY_KEY_FILE);
    WRONG(p->root_cipher = POLICY_CIPHER_AES_XTS; p->root_key_release = 3);
#define BY_SERVER(p)                                                                                                   \
    (p)->root_cipher = POLICY_CIPHER_AES_XTS, (p)->root_key_release = POLICY_KEY_SERVER,                               \
    (p)->key_server.address_offset = sizeof(*(p)), (p)->root_key_name_offset = sizeof(*(p)) + 11
    WRONG(BY_SERVER(p); p->root_key_name_offset = 0);
    WRONG(BY_SERVER(p); p->root_key_name_offset = sizeof(blob));
    WRONG(BY_SERVER(p); p->key_server.address_offset = 0);
    WRONG(BY_SERVER(p); p->key_server.address_offset = sizeof(blob));
    WRONG(BY_SERVER(p); p->key_server.timeout_ms = POLICY_SERVICE_TIMEOUT_MAX + 1);
    WRONG(BY_SERVER(p); p->root_key_release = POLICY_KEY_FILE);
    WRONG(BY_SERVER(p); memset(blob.strings + 11, 'x', KEY_NAME_SIZE)); /* a longer name than requests have room for */
    WRONG(p->marble.point_offset = sizeof(*p));                         /* no point */
    WRONG(p->marble.key_release = POLICY_KEY_FILE);
    WRONG(p->marble.key_name_offset = sizeof(*p));
#define AT_MARBLERUN(p)                                                                                                \
    memset(blob.strings + 30, 'a', POLICY_POINT_P384), (p)->anchor.address_offset = sizeof(*(p)),                      \
                                                       (p)->marble.point_offset = sizeof(*(p)) + 30,                   \
                                                       (p)->marble.key_release = POLICY_KEY_FILE
    WRONG(AT_MARBLERUN(p); p->anchor.address_offset = 0);
    WRONG(AT_MARBLERUN(p); p->marble.point_offset++);
    WRONG(AT_MARBLERUN(p); p->marble.point_offset = sizeof(blob));
    WRONG(AT_MARBLERUN(p); blob.strings[40] = 'A');
    WRONG(AT_MARBLERUN(p); p->marble.key_release = POLICY_KEY_NONE);
    WRONG(AT_MARBLERUN(p); p->marble.key_release = POLICY_KEY_SERVER);
    WRONG(AT_MARBLERUN(p); p->marble.key_name_offset = sizeof(*p));
    make_policy();
    AT_MARBLERUN(&blob.policy);
    assert_int_equal(policy_check(&blob, sizeof(blob)), 0);
    make_policy();
    BY_SERVER(&blob.policy);
    assert_int_equal(policy_check(&blob, sizeof(blob)), 0);
    make_policy();
    blob.policy.root_cipher = POLICY_CIPHER_AES_XTS;
    blob.policy.root_key_release = POLICY_KEY_FILE;
    assert_int_equal(policy_check(&blob, sizeof(blob)), 0);
    make_policy();
    for (size_t size = 0; size < sizeof(blob); size += 8)
        assert_int_not_equal(policy_check(&blob, size), 0);
}

/* ---- boot parameters ---- */

static struct boot_params make_params(void)
{
    const uint64_t high = 0x7f0000000000;
    return (struct boot_params){
        .magic = BOOT_MAGIC,
        .version = BOOT_VERSION,
        .size = sizeof(struct boot_params),
        .vcpu_count = 2,
        .arena = {high, 1 << 20},
        .root = {high + (1 << 20), 1 << 20},
        .vcpu_shared = {high + (2 << 20), 2 * VCPU_SHARED_STRIDE},
        .args = {high + (3 << 20), 100},
    };
}

static void boot_parameters_are_checked(void **state)
{
    (void)state;
    make_policy();
    struct boot_params p = make_params();
    assert_null(boot_params_check(&p, &blob.policy));
#define LIE(change)                                                                                                    \
    do {                                                                                                               \
        p = make_params();                                                                                             \
        change;                                                                                                        \
        assert_non_null(boot_params_check(&p, &blob.policy));                                                          \
    } while (0)
    LIE(p.magic++);
    LIE(p.size++);
    LIE(p.vcpu_count = 0);
    LIE(p.vcpu_count = 5);
    LIE(p.vcpu_shared.size = 2 * VCPU_SHARED_STRIDE - 1);
    LIE(p.vcpu_shared.addr += 8);
    LIE(p.vcpu_shared.addr = KERNEL_BASE);
    LIE(p.arena.addr = ELRANGE_SIZE_MIN - 4096);
    LIE(p.arena.addr = UINT64_MAX - 4095);
    LIE(p.arena.size = UINT64_MAX);
    LIE(p.root.size = 4096);
    LIE(p.args.addr = 0x1000);
    LIE(p.args.size = 1 << 30);
    LIE(p.env = ((struct boot_blob){UINT64_MAX - 10, 20}));
    LIE(p.cpuid = ((struct boot_blob){0x7f0000000000, 25}));
    LIE(p.stats = ((struct boot_blob){0x7f0000000000, sizeof(struct run_stats) - 8}));
    const struct boot_blob key = {0x7f0000000000, IMAGE_KEY_SIZE};
    LIE(p.image_key = key);
    blob.policy.root_key_release = POLICY_KEY_FILE;
    p = make_params();
    assert_null(boot_params_check(&p, &blob.policy)); /* none: refused later, with a message */
    p.image_key = key;
    assert_null(boot_params_check(&p, &blob.policy));
    LIE(p.image_key = key; p.image_key.size--);
    LIE(p.image_key = key; p.image_key.size++);
    LIE(p.image_key = key; p.image_key.addr = KERNEL_BASE);
    blob.policy.root_key_release = POLICY_KEY_SERVER;
    LIE(p.image_key = key); /* the host has none to give */
}

/* ---- CPUID ---- */

static void cpuid_shows_what_xfrm_enables(void **state)
{
    (void)state;
    struct boot_cpuid all = {7, 0, ~0u, ~0u, ~0u, ~0u}, e = all;
    cpuid_sanitise(&e, 7, 832);
    assert_int_equal(e.ebx & (1u << 5), 1u << 5);                             /* AVX2 */
    assert_int_equal(e.ebx & (1u << 2 | 1u << 4 | 1u << 11 | 1u << 16), 0);   /* SGX, HLE, RTM, AVX512F */
    assert_int_equal(e.ecx & (1u << 3 | 1u << 4 | 1u << 7 | 1u << 11), 0);    /* PKU, OSPKE, SHSTK, VNNI */
    assert_int_equal(e.edx & (1u << 22 | 1u << 24 | 1u << 25 | 1u << 20), 0); /* AMX, IBT */
    e = all;
    cpuid_sanitise(&e, 3, 576);
    assert_int_equal(e.ebx & (1u << 5), 0);
    e = all;
    cpuid_sanitise(&e, 0xe7, 2688);
    assert_int_equal(e.ebx & (1u << 16), 1u << 16);
    e = (struct boot_cpuid){1, 0, ~0u, ~0u, ~0u, ~0u};
    cpuid_sanitise(&e, 3, 576);
    assert_int_equal(e.ecx & (1u << 28 | 1u << 5 | 1u << 6), 0); /* AVX, VMX, SMX */
    e = (struct boot_cpuid){0xd, 0, 0xe7, 2696, 2696, 0};
    cpuid_sanitise(&e, 7, 832);
    assert_int_equal(e.eax, 7);
    assert_int_equal(e.ebx, 832);
    assert_int_equal(e.ecx, 832);
    e = (struct boot_cpuid){0xd, 5, 64, 1088, 0, 0};
    cpuid_sanitise(&e, 7, 832);
    assert_int_equal(e.eax | e.ebx, 0);
    e = (struct boot_cpuid){0xd, 1, 0xf, 100, 0x1800, 0};
    cpuid_sanitise(&e, 7, 832);
    assert_int_equal(e.eax, 7);
    assert_int_equal(e.ecx, 0);
    e = (struct boot_cpuid){0x12, 0, 1, 1, 1, 1};
    cpuid_sanitise(&e, 7, 832);
    assert_int_equal(e.eax | e.ebx | e.ecx | e.edx, 0);
}

/* ---- printing, against the C library's ---- */

int kernel_vsnprintf(char *restrict buf, size_t size, const char *restrict format, va_list args);
int kernel_snprintf(char *restrict buf, size_t size, const char *restrict format, ...);

#define SAME(...)                                                                                                      \
    do {                                                                                                               \
        for (size_t size_ = 0; size_ < 40; size_ += 13) {                                                              \
            char a_[64], b_[64];                                                                                       \
            memset(a_, '#', sizeof(a_));                                                                               \
            memset(b_, '#', sizeof(b_));                                                                               \
            assert_int_equal(kernel_snprintf(a_, size_, __VA_ARGS__), snprintf(b_, size_, __VA_ARGS__));               \
            assert_memory_equal(a_, b_, sizeof(a_));                                                                   \
        }                                                                                                              \
    } while (0)

#ifndef __clang__
#pragma GCC diagnostic ignored "-Wformat-truncation"
#endif
#pragma GCC diagnostic ignored "-Wformat"
static void formats_as_the_library_does(void **state)
{
    (void)state;
    SAME("plain %% text");
    SAME("%s|%10s|%-10s|%.2s", "abc", "abc", "abc", "abc");
    SAME("%d %d %i", 0, -1, INT32_MIN);
    SAME("%5d|%-5d|%05d|%+d|% d", 42, 42, 42, 42, 42);
    SAME("%5d|%-5d|%05d", -42, -42, -42);
    SAME("%u %x %X %o", 0xdeadbeef, 0xdeadbeef, 0xdeadbeef, 0755);
    SAME("%#x %#o %#x", 255, 8, 0);
    SAME("%08x|%.8x|%12.8x", 0xbeef, 0xbeef, 0xbeef);
    SAME("%ld %lu %lx", INT64_MIN, UINT64_MAX, UINT64_MAX);
    SAME("%lld %llu %zu %jd", -5LL, 5ULL, (size_t)7, (intmax_t)-9);
    SAME("%hd %hhu %hhx", (short)-3, (unsigned char)250, (unsigned char)0xab);
    SAME("%c%c%3c", 'a', 'b', 'c');
    SAME("%*d|%-*d|%.*s", 6, 42, 6, 42, 2, "xyz");
    SAME("%p", (void *)0x1234);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_policy_is_read),       cmocka_unit_test(a_wrong_policy_is_refused),
        cmocka_unit_test(boot_parameters_are_checked), cmocka_unit_test(cpuid_shows_what_xfrm_enables),
        cmocka_unit_test(formats_as_the_library_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
