/* EREPORT and EGETKEY: what keys depend on, and what they must not. */
#include "tests/unit/softsgx/support.h"

#include <nettle/cmac.h>

#define EREPORT 0
#define EGETKEY 1
#define REQUEST (DATA + 0x2000)
#define KEY (DATA + 0x2200)
#define TARGET (DATA + 0x3000)
#define REPORTDATA (DATA + 0x3200)
#define REPORT (DATA + 0x3400)

struct request {
    uint16_t name, policy, isvsvn, cet;
    uint8_t cpusvn[16];
    uint64_t flags_mask, xfrm_mask;
    uint8_t keyid[32];
    uint32_t miscmask;
    uint16_t configsvn;
    uint8_t reserved[434];
};
_Static_assert(sizeof(struct request) == 512, "SDM 38.17");

struct key {
    uint8_t bytes[16];
};

/* RAX of EGETKEY; the fault's vector as a negative number. */
static int64_t get_key(struct test_enclave *t, const struct request *request, struct key *ret_key)
{
    memcpy((void *)REQUEST, request, sizeof(*request));
    memset((void *)KEY, 0, 16);
    struct test_exit e = test_leaf(t, EGETKEY, REQUEST, KEY, 0);
    if (e.function == SGX_ENCLU_ERESUME) {
        softsgx_tcs_at(VCPU(0))->cssa = 0;
        return -(int64_t)e.vector;
    }
    assert_int_equal(((uint64_t *)(DATA + 0xf100))[4] >> 6 & 1, e.rsi != 0); /* ZF */
    if (ret_key)
        memcpy(ret_key, (void *)KEY, 16);
    return (int64_t)e.rsi;
}

static struct key key_of(const struct test_options *o, const struct request *request)
{
    struct test_enclave t;
    struct key key;
    test_enclave_new(&t, o);
    assert_int_equal(t.init_result, 0);
    assert_int_equal(get_key(&t, request, &key), 0);
    test_enclave_free(&t);
    return key;
}

static bool same(struct key a, struct key b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void family_a(struct sgx_sigstruct *sig)
{
    sig->isvfamilyid[0] = 1;
}

static void extprod_a(struct sgx_sigstruct *sig)
{
    sig->isvextprodid[0] = 1;
}

static void seal_keys_follow_the_policy(void **state)
{
    /* one row a difference between two enclaves; 1: the key differs under this policy bit or always */
    const struct test_options base = {.miscselect = 1, .isvprodid = 5, .isvsvn = 3, .attributes = 0x84};
    struct test_options other_code = base, other_product = base, newer = base, debug = base, family = base,
                        extprod = base, config = base, configsvn = base;
    other_code.vcpus = 1;
    other_product.isvprodid = 6;
    newer.isvsvn = 4;
    debug.attributes |= SGX_ATTR_DEBUG;
    family.before_sign = family_a;
    extprod.before_sign = extprod_a;
    config.configid_byte = 9;
    configsvn.configsvn = 1;
    const struct {
        const char *name;
        const struct test_options *other;
        uint16_t differs_with; /* policy bits each of which makes the key differ; 0xffff always; 0 never */
        uint16_t same_with;    /* bits that take the dependency away */
    } rows[] = {
        {"code", &other_code, 0x01, 0}, {"product", &other_product, 0xffff, 0x04},
        {"isvsvn", &newer, 0, 0},       {"debug", &debug, 0xffff, 0},
        {"family", &family, 0x10, 0},   {"extprod", &extprod, 0x20, 0},
        {"configid", &config, 0x08, 0}, {"configsvn", &configsvn, 0, 0},
    };
    for (uint16_t policy = 0; policy < 64; policy++) {
        struct request r = {.name = 4, .policy = policy, .isvsvn = 3, .flags_mask = ~0UL, .xfrm_mask = ~0UL};
        struct key reference = key_of(&base, &r);
        assert_true(same(reference, key_of(&base, &r)));
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            bool differs = (rows[i].differs_with == 0xffff && !(policy & rows[i].same_with)) ||
                           (rows[i].differs_with != 0xffff && (policy & rows[i].differs_with));
            if (same(reference, key_of(rows[i].other, &r)) == differs)
                fail_msg("policy %#x: %s", policy, rows[i].name);
        }
    }
}

static void request_fields_matter(void **state)
{
    struct test_options o = {.miscselect = 1, .isvsvn = 3, .attributes = 0x84, .configsvn = 2};
    struct test_enclave t;
    test_enclave_new(&t, &o);
    const struct request good = {.name = 4, .policy = 2 | 8, .isvsvn = 2, .flags_mask = ~0UL, .xfrm_mask = ~0UL};
    struct request r = good;
    struct key reference, key;
    assert_int_equal(get_key(&t, &r, &reference), 0);
#define DIFFERS(change)                                                                                                \
    r = good;                                                                                                          \
    change;                                                                                                            \
    assert_int_equal(get_key(&t, &r, &key), 0);                                                                        \
    assert_false(same(reference, key))
    DIFFERS(r.isvsvn = 3);
    DIFFERS(r.isvsvn = 0);
    DIFFERS(r.cpusvn[0] = 1);
    DIFFERS(r.keyid[31] = 1);
    DIFFERS(r.flags_mask = 0);
    DIFFERS(r.xfrm_mask = 3);
    DIFFERS(r.miscmask = 1);
    DIFFERS(r.policy = 1 | 8);
    DIFFERS(r.configsvn = 1);
#define GIVES(result, change)                                                                                          \
    r = good;                                                                                                          \
    change;                                                                                                            \
    assert_int_equal(get_key(&t, &r, &key), result)
    GIVES(SGX_INVALID_ISVSVN, r.isvsvn = 4);
    GIVES(SGX_INVALID_ISVSVN, r.configsvn = 3);
    GIVES(SGX_INVALID_CPUSVN, r.cpusvn[15] = 1);
    GIVES(SGX_INVALID_KEYNAME, r.name = 5);
    GIVES(SGX_INVALID_ATTRIBUTE, r.name = 0);
    GIVES(SGX_INVALID_ATTRIBUTE, r.name = 1);
    GIVES(SGX_INVALID_ATTRIBUTE, r.name = 2);
    GIVES(-13, r.policy = 0x40);
    GIVES(-13, r.reserved[433] = 1);
    GIVES(-13, r.cet = 1);
    memcpy((void *)REQUEST, &good, sizeof(good));
    struct test_exit e = test_leaf(&t, EGETKEY, REQUEST + 256, KEY, 0);
    assert_int_equal(e.vector, 13);
    softsgx_tcs_at(VCPU(0))->cssa = 0;
    e = test_leaf(&t, EGETKEY, REQUEST, TEXT, 0); /* not writable */
    assert_int_equal(e.vector, 14);
    test_enclave_free(&t);
    o = (struct test_options){.miscselect = 1};
    test_enclave_new(&t, &o); /* without KSS */
    GIVES(-13, r.policy = 4);
    GIVES(-13, r.policy = 2; r.configsvn = 1);
    GIVES(0, r.policy = 3; r.isvsvn = 0);
    test_enclave_free(&t);
}

static void provisioning_needs_the_attribute(void **state)
{
    struct test_options o = {
        .miscselect = 1, .attributes = SGX_ATTR_MODE64BIT | SGX_ATTR_PROVISIONKEY, .no_init = true};
    struct test_enclave t;
    test_enclave_new(&t, &o);
    struct sgx_enclave_provision provision = {.fd = (uint64_t)-1};
    assert_int_equal(sgx_ioctl(t.enclave, SGX_IOC_ENCLAVE_PROVISION, &provision), -EINVAL);
    provision.fd = 0;
    assert_int_equal(sgx_ioctl(t.enclave, SGX_IOC_ENCLAVE_PROVISION, &provision), 0);
    struct sgx_enclave_init init = {.sigstruct = (uint64_t)&t.sig};
    assert_int_equal(sgx_ioctl(t.enclave, SGX_IOC_ENCLAVE_INIT, &init), 0);
    assert_int_equal(sgx_map(t.enclave, TEXT, t.text_size, PROT_READ | PROT_EXEC), 0);
    assert_int_equal(sgx_thread_init(t.enclave, VCPU(0), &t.thread), 0);
    softsgx_signals_init();
    struct request r = {.name = 1, .flags_mask = ~0UL, .xfrm_mask = ~0UL};
    struct key a, b;
    assert_int_equal(get_key(&t, &r, &a), 0);
    r.keyid[0] = 1; /* no dependency on KEYID */
    assert_int_equal(get_key(&t, &r, &b), 0);
    assert_true(same(a, b));
    r.name = 2;
    assert_int_equal(get_key(&t, &r, &b), 0);
    assert_false(same(a, b));
    test_enclave_free(&t);
}

static void reports_verify(void **state)
{
    struct test_options o = {.miscselect = 1, .isvprodid = 0x1234, .isvsvn = 7};
    struct test_enclave t;
    test_enclave_new(&t, &o);
    memset((void *)TARGET, 0, 512);
    memcpy((void *)TARGET, softsgx.secs.mrenclave, 32);
    memcpy((void *)(TARGET + 32), &softsgx.secs.attributes, 16);
    memcpy((void *)(TARGET + 52), &softsgx.secs.miscselect, 4);
    memset((void *)REPORTDATA, 0x5a, 64);
    struct test_exit e = test_leaf(&t, EREPORT, TARGET, REPORTDATA, REPORT);
    assert_int_equal(e.function, SGX_ENCLU_EEXIT);
    const uint8_t *report = (const uint8_t *)REPORT;
    assert_memory_equal(report + 64, t.mrenclave, 32);
    assert_int_equal(*(uint16_t *)(report + 256), 0x1234);
    assert_int_equal(*(uint16_t *)(report + 258), 7);
    assert_int_equal(*(uint64_t *)(report + 48), SGX_ATTR_MODE64BIT | SGX_ATTR_INIT);
    assert_memory_equal(report + 320, (void *)REPORTDATA, 64);
    uint8_t mrsigner[32];
    sigstruct_mrsigner(&t.sig, mrsigner);
    assert_memory_equal(report + 128, mrsigner, 32);
    struct request r = {.name = 3};
    memcpy(r.keyid, report + 384, 32);
    struct key key;
    assert_int_equal(get_key(&t, &r, &key), 0);
    uint8_t mac[16];
    struct cmac_aes128_ctx cmac;
    cmac_aes128_set_key(&cmac, key.bytes);
    cmac_aes128_update(&cmac, 384, report);
    cmac_aes128_digest(&cmac, 16, mac);
    assert_memory_equal(mac, report + 416, 16);
    /* for another enclave it does not */
    ((uint8_t *)TARGET)[0] ^= 1;
    test_leaf(&t, EREPORT, TARGET, REPORTDATA, REPORT);
    assert_memory_not_equal(mac, report + 416, 16);
    ((uint8_t *)TARGET)[511] = 1; /* reserved */
    e = test_leaf(&t, EREPORT, TARGET, REPORTDATA, REPORT);
    assert_int_equal(e.vector, 13);
    softsgx_tcs_at(VCPU(0))->cssa = 0;
    e = test_leaf(&t, EREPORT, TARGET, REPORTDATA + 64, REPORT);
    assert_int_equal(e.vector, 13);
    test_enclave_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seal_keys_follow_the_policy),
        cmocka_unit_test(request_fields_matter),
        cmocka_unit_test(provisioning_needs_the_attribute),
        cmocka_unit_test(reports_verify),
    };
    return cmocka_run_group_tests_name("softsgx keys", tests, NULL, NULL);
}
