/* Seal keys and reports: what they must depend on, and what they must not. Over softsgx's EREPORT and EGETKEY. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <linux/errno.h>

#include "kernel/crypto/crypto.h"
#include "kernel/crypto/sgx_key.h"
#include "sgx_machine.h"

static const struct sgx_identity production = {
    .mrenclave = 0x11, .mrsigner = 0x22, .isvprodid = 3, .isvsvn = 5, .xfrm = 0xe7};
static const uint8_t keyid[32] = {7};

struct key {
    uint8_t bytes[32];
};

/* The seal key that an enclave gets for svn (NULL: its own). */
static struct key seal_key(struct sgx_identity identity, enum sgx_seal_policy policy, const struct sgx_svn *svn)
{
    struct key key;
    struct sgx_svn current;
    sgx_machine_run(identity);
    sgx_svn_current(&current);
    assert_int_equal(sgx_seal_key_256(policy, keyid, svn ? svn : &current, "test", key.bytes), 0);
    return key;
}

static bool same(struct key a, struct key b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void seal_depends(void **state)
{
    struct key a = seal_key(production, SGX_SEAL_MRENCLAVE, NULL), s = seal_key(production, SGX_SEAL_MRSIGNER, NULL);
    struct sgx_identity other = production;
    assert_true(same(a, seal_key(production, SGX_SEAL_MRENCLAVE, NULL)));
    assert_false(same(a, s));

    other.mrenclave = 0x12;
    assert_false(same(a, seal_key(other, SGX_SEAL_MRENCLAVE, NULL)));
    assert_true(same(s, seal_key(other, SGX_SEAL_MRSIGNER, NULL)));

    other = production;
    other.mrsigner = 0x23;
    assert_false(same(s, seal_key(other, SGX_SEAL_MRSIGNER, NULL)));

    other = production;
    other.isvprodid = 4;
    assert_false(same(s, seal_key(other, SGX_SEAL_MRSIGNER, NULL)));

    other = production;
    other.debug = true;
    assert_false(same(a, seal_key(other, SGX_SEAL_MRENCLAVE, NULL)));
    assert_false(same(s, seal_key(other, SGX_SEAL_MRSIGNER, NULL)));

    other = production;
    other.xfrm = 3;
    assert_true(same(s, seal_key(other, SGX_SEAL_MRSIGNER, NULL)));
}

static void seal_versions(void **state)
{
    struct sgx_svn old, new;
    struct sgx_identity update = production;
    uint8_t bytes[32];
    update.isvsvn = 6;
    struct key before = seal_key(production, SGX_SEAL_MRSIGNER, NULL);
    sgx_svn_current(&old);
    assert_int_equal(old.isvsvn, 5);
    assert_true(same(before, seal_key(update, SGX_SEAL_MRSIGNER, &old)));
    assert_false(same(before, seal_key(update, SGX_SEAL_MRSIGNER, NULL)));
    sgx_svn_current(&new);
    sgx_machine_run(production);
    assert_int_equal(sgx_seal_key_256(SGX_SEAL_MRSIGNER, keyid, &new, "test", bytes), -ESTALE);
    new = old;
    new.cpusvn[15]++;
    assert_int_equal(sgx_seal_key_256(SGX_SEAL_MRSIGNER, keyid, &new, "test", bytes), -ESTALE);
}

static void seal_separates(void **state)
{
    struct sgx_svn svn;
    uint8_t one[32], two[32], half[16], other_keyid[32];
    sgx_machine_run(production);
    sgx_svn_current(&svn);
    assert_int_equal(sgx_seal_key_256(SGX_SEAL_MRSIGNER, keyid, &svn, "one", one), 0);
    assert_int_equal(sgx_seal_key_256(SGX_SEAL_MRSIGNER, keyid, &svn, "two", two), 0);
    assert_memory_not_equal(one, two, 32);
    assert_memory_not_equal(one, one + 16, 16);
    assert_int_equal(sgx_seal_key(SGX_SEAL_MRSIGNER, keyid, &svn, half), 0);
    assert_memory_not_equal(one, half, 16);
    /* its partner, whose halves are the same two the other way round, and any other */
    memcpy(other_keyid, keyid, sizeof(keyid));
    other_keyid[31] ^= 1;
    assert_int_equal(sgx_seal_key_256(SGX_SEAL_MRSIGNER, other_keyid, &svn, "one", two), 0);
    assert_memory_not_equal(one, two, 32);
    other_keyid[0] ^= 1;
    assert_int_equal(sgx_seal_key_256(SGX_SEAL_MRSIGNER, other_keyid, &svn, "one", two), 0);
    assert_memory_not_equal(one, two, 32);
}

static const uint8_t data[64] = "hello";

static void report_verified_by_its_target_only(void **state)
{
    struct sgx_identity peer = production, stranger = production;
    struct sgx_report of_peer, report;
    struct sgx_targetinfo target;
    peer.mrenclave = 0x77;
    stranger.mrenclave = 0x78;
    sgx_machine_run(peer);
    sgx_report(NULL, data, &of_peer);
    sgx_report_target(&of_peer, &target);

    sgx_machine_run(production);
    sgx_report(&target, data, &report);
    assert_int_equal(report.body.mrenclave[0], 0x11);
    assert_int_equal(report.body.isvsvn, 5);
    assert_memory_equal(report.body.reportdata, data, 64);
    assert_false(sgx_report_verify(&report));
    sgx_machine_run(stranger);
    assert_false(sgx_report_verify(&report));
    sgx_machine_run(peer);
    assert_true(sgx_report_verify(&report));
    assert_false(sgx_report_verify(&of_peer)); /* addressed to nobody */
    peer.debug = true;
    sgx_machine_run(peer);
    assert_false(sgx_report_verify(&report));
}

static void report_changed(void **state)
{
    struct sgx_report self, report;
    struct sgx_targetinfo target;
    sgx_machine_run(production);
    sgx_report(NULL, data, &self);
    sgx_report_target(&self, &target);
    sgx_report(&target, data, &report);
    assert_true(sgx_report_verify(&report));
    for (size_t i = 0; i < sizeof(report); i++) {
        ((uint8_t *)&report)[i] ^= 1;
        assert_false(sgx_report_verify(&report));
        ((uint8_t *)&report)[i] ^= 1;
    }
}

static int setup(void **state)
{
    crypto_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seal_depends),   cmocka_unit_test(seal_versions),
        cmocka_unit_test(seal_separates), cmocka_unit_test(report_verified_by_its_target_only),
        cmocka_unit_test(report_changed),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
