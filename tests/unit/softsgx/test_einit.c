/* What hardware and the driver refuse while an enclave is built and initialised; and real SIGSTRUCTs. */
#include "tests/unit/softsgx/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

/* Builds, expects INIT to answer so, and the SGX error code behind it. */
static void init_gives(const struct test_options *o, int result, uint32_t sgx_error)
{
    struct test_enclave t;
    test_enclave_new(&t, o);
    assert_int_equal(t.init_result, result);
    if (result == -EPERM)
        assert_int_equal(softsgx.sgx_error, sgx_error);
    test_enclave_free(&t);
}

#define SPOILER(name, statement)                                                                                       \
    static void name(struct sgx_sigstruct *sig)                                                                        \
    {                                                                                                                  \
        statement;                                                                                                     \
    }
SPOILER(spoil_header1, sig->header1[0] = 7)
SPOILER(spoil_header2, sig->header2[15] = 1)
SPOILER(spoil_vendor, sig->vendor = 1)
SPOILER(spoil_vendor_intel, sig->vendor = 0x8086)
SPOILER(spoil_reserved1, sig->reserved1[83] = 1)
SPOILER(spoil_reserved2, sig->reserved2[1] = 1)
SPOILER(spoil_reserved3, sig->reserved3[15] = 1)
SPOILER(spoil_reserved4, sig->reserved4[11] = 1)
SPOILER(spoil_exponent, sig->exponent = 65537)
SPOILER(spoil_signature, sig->signature[5] ^= 1)
SPOILER(spoil_signature_size, memset(sig->signature, 0xff, 384))
SPOILER(spoil_modulus, sig->modulus[5] ^= 2)
SPOILER(spoil_q1, sig->q1[0] ^= 1)
SPOILER(spoil_q2, sig->q2[383] ^= 1)
SPOILER(spoil_date, sig->date++)
SPOILER(spoil_hash_signed, sig->enclavehash[31] ^= 1)
SPOILER(spoil_attributes, sig->attributes_flags |= SGX_ATTR_KSS)
SPOILER(spoil_xfrm, sig->attributes_xfrm = 3)
SPOILER(spoil_misc, sig->miscselect = 0)
SPOILER(spoil_family, sig->isvfamilyid[0] = 1)
SPOILER(mask_all_off, sig->attributes_mask_flags = 0; sig->attributes_mask_xfrm = 0; sig->miscmask = 0;
        sig->miscselect = 0; sig->attributes_xfrm = 3)

static void init_checks_the_sigstruct(void **state)
{
    struct test_options o = {.miscselect = 1};
    init_gives(&o, 0, 0);
    static const struct {
        void (*before)(struct sgx_sigstruct *), (*after)(struct sgx_sigstruct *);
        int result;
        uint32_t sgx_error;
    } cases[] = {
        {spoil_header1, NULL, -EPERM, SGX_INVALID_SIG_STRUCT},
        {spoil_header2, NULL, -EPERM, SGX_INVALID_SIG_STRUCT},
        {spoil_vendor, NULL, -EINVAL, 0},
        {spoil_vendor_intel, NULL, 0, 0},
        {spoil_reserved1, NULL, -EPERM, SGX_INVALID_SIG_STRUCT},
        {spoil_reserved2, NULL, -EPERM, SGX_INVALID_SIG_STRUCT},
        {spoil_reserved3, NULL, -EPERM, SGX_INVALID_SIG_STRUCT},
        {spoil_reserved4, NULL, -EPERM, SGX_INVALID_SIG_STRUCT},
        {NULL, spoil_exponent, -EPERM, SGX_INVALID_SIG_STRUCT},
        {NULL, spoil_signature, -EPERM, SGX_INVALID_SIGNATURE},
        {NULL, spoil_signature_size, -EPERM, SGX_INVALID_SIGNATURE},
        {NULL, spoil_modulus, -EPERM, SGX_INVALID_SIGNATURE},
        {NULL, spoil_q1, -EPERM, SGX_INVALID_SIGNATURE},
        {NULL, spoil_q2, -EPERM, SGX_INVALID_SIGNATURE},
        {NULL, spoil_date, -EPERM, SGX_INVALID_SIGNATURE},
        {NULL, spoil_hash_signed, -EPERM, SGX_INVALID_SIGNATURE},
        {spoil_hash_signed, NULL, -EPERM, SGX_INVALID_MEASUREMENT},
        {spoil_attributes, NULL, -EPERM, SGX_INVALID_ATTRIBUTE},
        {spoil_xfrm, NULL, -EPERM, SGX_INVALID_ATTRIBUTE},
        {spoil_misc, NULL, -EPERM, SGX_INVALID_ATTRIBUTE},
        {spoil_family, NULL, -EPERM, SGX_INVALID_SIG_STRUCT}, /* needs KSS */
        {mask_all_off, NULL, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        o.before_sign = cases[i].before;
        o.after_sign = cases[i].after;
        init_gives(&o, cases[i].result, cases[i].sgx_error);
    }
}

static void init_checks_attributes(void **state)
{
    struct test_options o = {.miscselect = 1, .attributes = SGX_ATTR_MODE64BIT | SGX_ATTR_PROVISIONKEY};
    init_gives(&o, -EACCES, 0);
    o.attributes = SGX_ATTR_MODE64BIT | SGX_ATTR_EINITTOKENKEY;
    init_gives(&o, -EACCES, 0);
    o.attributes = SGX_ATTR_MODE64BIT | SGX_ATTR_DEBUG; /* DEBUG is not in the mask */
    init_gives(&o, 0, 0);
}

/* The same enclave with one thing different has another measurement. */
static void every_change_is_measured(void **state)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));
    struct test_options o = {.miscselect = 1, .no_init = true};
    for (int i = 0; i < 6; i++) {
        struct test_enclave t;
        test_enclave_new(&t, &o);
        page[4000] = i == 1;
        if (i == 2) { /* in another order */
            assert_int_equal(test_add(&t, NULL, 0x600000, NULL, 1, 0x203, true), 0);
            assert_int_equal(test_add(&t, NULL, 0x500000, page, 1, 0x203, true), 0);
        } else {
            assert_int_equal(test_add(&t, NULL, i == 3 ? 0x501000 : 0x500000, page, 1, i == 4 ? 0x201 : 0x203, i != 5),
                             0);
            assert_int_equal(test_add(&t, NULL, 0x600000, NULL, 1, 0x203, true), 0);
        }
        static uint8_t first[32];
        uint8_t hash[32];
        struct sha256_ctx sha = softsgx.measurement;
        sha256_digest(&sha, 32, hash);
        if (i == 0)
            memcpy(first, hash, 32);
        else
            assert_memory_not_equal(first, hash, 32);
        struct sgx_enclave_init init = {.sigstruct = (uint64_t)&t.sig};
        assert_int_equal(sgx_ioctl(t.enclave, SGX_IOC_ENCLAVE_INIT, &init), -EPERM);
        assert_int_equal(softsgx.sgx_error, SGX_INVALID_MEASUREMENT);
        test_enclave_free(&t);
    }
}

static int create_with(struct secs *secs, uint64_t reserve_size)
{
    struct sgx_enclave *e;
    assert_int_equal(sgx_open(SGX_SOFTWARE, &e), 0);
    assert_int_equal(sgx_reserve(e, 0, reserve_size), 0);
    struct sgx_enclave_create create = {.src = (uint64_t)secs};
    int r = sgx_ioctl(e, SGX_IOC_ENCLAVE_CREATE, &create);
    if (r == 0)
        assert_int_equal(sgx_ioctl(e, SGX_IOC_ENCLAVE_CREATE, &create), -EINVAL); /* once only */
    sgx_close(e);
    return r;
}

static void create_checks_the_secs(void **state)
{
    static const struct secs good = {
        .size = 1 << 28, .ssaframesize = 1, .attributes = SGX_ATTR_MODE64BIT, .xfrm = 3, .miscselect = 1};
    struct secs s = good;
    assert_int_equal(create_with(&s, 1 << 28), 0);
#define REFUSED(change)                                                                                                \
    s = good;                                                                                                          \
    change;                                                                                                            \
    assert_int_equal(create_with(&s, 1 << 28), -EIO)
    REFUSED(s.size = 3 << 26);
    REFUSED(s.size = 1 << 29);
    REFUSED(s.base = 0x1000);
    REFUSED(s.ssaframesize = 0);
    REFUSED(s.xfrm = 1);
    REFUSED(s.xfrm = 3 | 1UL << 40);
    REFUSED(s.xfrm = 0xe3);
    REFUSED(s.attributes = 0);
    REFUSED(s.attributes |= SGX_ATTR_INIT);
    REFUSED(s.attributes |= 8);
    REFUSED(s.miscselect = 4);
    REFUSED(s.reserved4[100] = 1);
    REFUSED(s.mrenclave[0] = 1);
    REFUSED(s.configid[0] = 1);
    REFUSED(s.configsvn = 1);
}

static void add_pages_checks_its_arguments(void **state)
{
    static uint8_t page[8192] __attribute__((aligned(4096)));
    struct test_enclave t;
    struct test_options o = {.miscselect = 1, .no_init = true};
    test_enclave_new(&t, &o);
    assert_int_equal(test_add(&t, NULL, 0x500000, page, 1, 0x203, true), 0);
    assert_int_equal(test_add(&t, NULL, 0x500000, page, 1, 0x203, true), -EBUSY);
    assert_int_equal(test_add(&t, NULL, 0x501000, page + 1, 1, 0x203, true), -EINVAL);
    assert_int_equal(test_add(&t, NULL, 0x501001, page, 1, 0x203, true), -EINVAL);
    assert_int_equal(test_add(&t, NULL, 0x501000, page, 0, 0x203, true), -EINVAL);
    assert_int_equal(test_add(&t, NULL, DEFAULT_SIZE, page, 1, 0x203, true), -EINVAL);
    assert_int_equal(test_add(&t, NULL, 0x501000, page, 1, 0x202, true), -EINVAL); /* W without R */
    assert_int_equal(test_add(&t, NULL, 0x501000, page, 1, 0x303, true), -EINVAL); /* type */
    assert_int_equal(test_add(&t, NULL, 0x501000, page, 1, 0x103, true), -EINVAL); /* TCS with permissions */
    assert_int_equal(test_add(&t, NULL, 0x501000, page, 1, 0x20b, true), -EINVAL); /* PENDING */
    page[8] = 2;                                                                   /* TCS.FLAGS */
    assert_int_equal(test_add(&t, NULL, 0x501000, page, 1, 0x100, true), -EIO);
    page[8] = 0;
    page[4095] = 1;
    assert_int_equal(test_add(&t, NULL, 0x501000, page, 1, 0x100, true), -EIO);
    page[4095] = 0;
    struct sgx_enclave_restrict_permissions restrict_arg = {.offset = DATA, .length = 4096, .permissions = 1};
    assert_int_equal(sgx_ioctl(t.enclave, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &restrict_arg), -EINVAL);
    assert_int_equal(sgx_ioctl(t.enclave, 12345, page), -ENOTTY);
    test_enclave_free(&t);
    o.no_init = false;
    test_enclave_new(&t, &o);
    assert_int_equal(test_add(&t, NULL, 0x500000, page, 1, 0x203, true), -EINVAL); /* initialised */
    test_enclave_free(&t);
}

static void real_sigstructs_verify(void **state)
{
    const char *folder = getenv("COFRE_VECTORS");
    char path[4096], dir[4000];
    snprintf(dir, sizeof(dir), "%s/sigstructs", folder ? folder : COFRE_SOURCE_ROOT "/../shared/vectors");
    DIR *d = opendir(dir);
    if (!d) {
        print_message("no SIGSTRUCTs of real enclaves in %s (COFRE_VECTORS): skipped\n", dir);
        skip();
    }
    int count = 0;
    for (struct dirent *e; (e = readdir(d));) {
        uint8_t sig[1808], mrsigner[32];
        size_t length = strlen(e->d_name);
        if (length < 10 || strcmp(e->d_name + length - 10, ".sigstruct") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        int fd = open(path, O_RDONLY);
        assert_int_equal(read(fd, sig, sizeof(sig)), sizeof(sig));
        close(fd);
        assert_int_equal(softsgx_sigstruct_check(sig, mrsigner), 0);
        for (size_t i = 0; i < sizeof(sig); i += 37) { /* any byte changed: refused (some are not signed) */
            bool unsigned_part = i >= 1028 && i < 1040;
            sig[i] ^= 0x10;
            int r = softsgx_sigstruct_check(sig, mrsigner);
            assert_true(r != 0 || unsigned_part);
            sig[i] ^= 0x10;
        }
        count++;
    }
    closedir(d);
    print_message("%d SIGSTRUCTs of real enclaves verify\n", count);
    assert_true(count > 0);
}

static void a_megabyte_is_quick(void **state)
{
    struct test_enclave t;
    struct test_options o = {.miscselect = 1, .no_init = true};
    static uint8_t image[1 << 20] __attribute__((aligned(4096)));
    for (size_t i = 0; i < sizeof(image); i++)
        image[i] = (uint8_t)(i * 31 + i / 4096);
    test_enclave_new(&t, &o);
    double start = test_now_ns();
    assert_int_equal(test_add(&t, NULL, 0x1000000, image, 256, 0x205, true), 0);
    print_message("1 MiB added and measured: %.2f ms\n", (test_now_ns() - start) / 1e6);
    struct sgx_enclave_init init = {.sigstruct = (uint64_t)&t.sig};
    start = test_now_ns();
    sgx_ioctl(t.enclave, SGX_IOC_ENCLAVE_INIT, &init);
    print_message("EINIT (refused): %.3f ms\n", (test_now_ns() - start) / 1e6);
    test_enclave_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_checks_the_sigstruct),
        cmocka_unit_test(init_checks_attributes),
        cmocka_unit_test(every_change_is_measured),
        cmocka_unit_test(create_checks_the_secs),
        cmocka_unit_test(add_pages_checks_its_arguments),
        cmocka_unit_test(real_sigstructs_verify),
        cmocka_unit_test(a_megabyte_is_quick),
    };
    return cmocka_run_group_tests_name("softsgx build", tests, NULL, NULL);
}
