/*
 * The kernel's cryptography: published vectors, and against OpenSSL for every size near a boundary, with every set of
 * CPU features that picks other code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <intel-ipsec-mb.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include <linux/errno.h>

#include "kernel/crypto/aes_cmac.h"
#include "kernel/crypto/aes_gcm.h"
#include "kernel/crypto/aes_xts.h"
#include "kernel/crypto/assembly.h"
#include "kernel/crypto/crypto.h"
#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/hmac.h"
#include "kernel/crypto/secret.h"
#include "kernel/crypto/sha256.h"

#define BIT_AVX (1u << 28)
#define BIT_MOVBE (1u << 22)
#define BIT_VAES (1u << 9)
#define BIT_VPCLMULQDQ (1u << 10)
#define BIT_AVX512VL (1u << 31)

static uint32_t feature_words[4];

struct features {
    uint32_t leaf1_ecx, leaf7_ecx, leaf7_ebx;
};

static void features_without(struct features bits)
{
    memcpy(OPENSSL_ia32cap_P, feature_words, sizeof(feature_words));
    OPENSSL_ia32cap_P[1] &= ~bits.leaf1_ecx;
    OPENSSL_ia32cap_P[3] &= ~bits.leaf7_ecx;
    OPENSSL_ia32cap_P[2] &= ~bits.leaf7_ebx;
}

/* All that this CPU has; without AVX-512; and then ever less. */
static const struct features absent[] = {
    {0, 0, 0},
    {0, BIT_VPCLMULQDQ, 0},
    {0, 0, BIT_AVX512VL},
    {0, BIT_VAES, 0},
    {BIT_MOVBE, BIT_VAES, 0},
    {BIT_AVX, 0, BIT_AVX512VL},
    {BIT_AVX, BIT_VAES, 0},
    {BIT_AVX | BIT_MOVBE, BIT_VAES, 0},
};

static int setup(void **state)
{
    crypto_init();
    memcpy(feature_words, OPENSSL_ia32cap_P, sizeof(feature_words));
    return 0;
}

static int restore_features(void **state)
{
    features_without((struct features){0});
    return 0;
}

static uint64_t seed = 88172645463325252ULL;

static void fill(uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        p[i] = (uint8_t)(seed >> 56);
    }
}

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        char byte[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return n;
}

/* ---- AES-GCM ---- */

/* What the kernel gives the library in place of its own structures. */
static void gcm_library_structures(void **state)
{
    assert_int_equal(offsetof(struct wide_ctr, schedule), offsetof(IMB_JOB, enc_keys));
    assert_int_equal(offsetof(struct wide_ctr, in), offsetof(IMB_JOB, src));
    assert_int_equal(offsetof(struct wide_ctr, out), offsetof(IMB_JOB, dst));
    assert_int_equal(offsetof(struct wide_ctr, offset), offsetof(IMB_JOB, cipher_start_src_offset_in_bytes));
    assert_int_equal(offsetof(struct wide_ctr, size), offsetof(IMB_JOB, msg_len_to_cipher_in_bytes));
    assert_int_equal(offsetof(struct wide_ctr, counter), offsetof(IMB_JOB, iv));
    assert_int_equal(offsetof(struct wide_ctr, counter_size), offsetof(IMB_JOB, iv_len_in_bytes));
    assert_int_equal(WIDE_GHASH_TABLE_AT, offsetof(struct gcm_key_data, ghash_keys.vaes_avx512));
    assert_int_equal(sizeof(((struct aes_gcm_key *)0)->wide_ghash),
                     sizeof(((struct gcm_key_data *)0)->ghash_keys.vaes_avx512));
    assert_true(sizeof(imb_errno_types) >= sizeof(int) * (IMB_ERR_MAX - IMB_ERR_MIN));
}

/* The cases of "The Galois/Counter Mode of Operation", appendix B, with 256-bit keys and 96-bit nonces. */
static const struct gcm_vector {
    const char *key, *nonce, *aad, *plain, *cipher, *tag;
} gcm_vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
     "ba637b391aafd255",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
     "bcc9f662898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
     "ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
     "bcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void gcm_published(void **state)
{
    for (size_t f = 0; f < ARRAY_COUNT(absent); f++) {
        features_without(absent[f]);
        for (size_t i = 0; i < ARRAY_COUNT(gcm_vectors); i++) {
            const struct gcm_vector *v = &gcm_vectors[i];
            uint8_t bytes[32], nonce[12], aad[64], plain[64], expected[64], cipher[64], tag[16], expected_tag[16];
            struct aes_gcm_key key;
            from_hex(v->key, bytes);
            from_hex(v->nonce, nonce);
            from_hex(v->tag, expected_tag);
            size_t aad_size = from_hex(v->aad, aad), size = from_hex(v->plain, plain);
            from_hex(v->cipher, expected);
            aes_gcm_key_init(&key, bytes);
            aes_gcm_seal(&key, nonce, aad, aad_size, plain, size, cipher, tag);
            assert_memory_equal(tag, expected_tag, 16);
            if (size) /* memcmp of nothing is not allowed a null pointer */
                assert_memory_equal(cipher, expected, size);
            assert_int_equal(aes_gcm_open(&key, nonce, aad, aad_size, cipher, size, tag, cipher), 0);
            if (size)
                assert_memory_equal(cipher, plain, size);
        }
    }
}

static void openssl_gcm(const uint8_t bytes[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_size,
                        const uint8_t *plain, size_t size, uint8_t *cipher, uint8_t tag[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, bytes, nonce), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_size), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, cipher, &n, plain, (int)size), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, cipher + n, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag), 1);
    EVP_CIPHER_CTX_free(ctx);
}

#define GCM_SIZE_MAX 20000

static void gcm_compare(size_t size, size_t aad_size, bool in_place)
{
    static uint8_t plain[GCM_SIZE_MAX], expected[GCM_SIZE_MAX + 16], cipher[GCM_SIZE_MAX + 1], back[GCM_SIZE_MAX];
    uint8_t bytes[32], nonce[12], aad[100], tag[16], expected_tag[16];
    struct aes_gcm_key key;
    fill(bytes, sizeof(bytes));
    fill(nonce, sizeof(nonce));
    fill(aad, aad_size);
    fill(plain, size);
    openssl_gcm(bytes, nonce, aad, aad_size, plain, size, expected, expected_tag);
    aes_gcm_key_init(&key, bytes);
    cipher[size] = 0xa5;
    if (in_place)
        memcpy(cipher, plain, size);
    aes_gcm_seal(&key, nonce, aad, aad_size, in_place ? cipher : plain, size, cipher, tag);
    assert_memory_equal(tag, expected_tag, 16);
    assert_int_equal(memcmp(cipher, expected, size), 0);
    assert_int_equal(cipher[size], 0xa5);
    uint8_t *out = in_place ? cipher : back;
    assert_int_equal(aes_gcm_open(&key, nonce, aad, aad_size, cipher, size, tag, out), 0);
    assert_int_equal(memcmp(out, plain, size), 0);
}

static void gcm_differential(void **state)
{
    for (size_t f = 0; f < ARRAY_COUNT(absent); f++) {
        features_without(absent[f]);
        for (size_t size = 0; size <= 1100; size++)
            gcm_compare(size, size % 49, size & 1);
        for (size_t aad_size = 0; aad_size <= 100; aad_size++)
            gcm_compare(333, aad_size, true);
        static const size_t sizes[] = {1024, 4080, 4096, 4097, 4096 + 28, 8192, 16384, 16384 + 95, GCM_SIZE_MAX};
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
            gcm_compare(sizes[i], 16, i & 1);
    }
}

/* Every bit of every input counts, and what is refused is not given out. */
static void gcm_refuses(void **state)
{
    uint8_t bytes[32], nonce[12], aad[20], cipher[300], tag[16], out[300], zeros[300] = {0};
    struct aes_gcm_key key;
    fill(bytes, sizeof(bytes));
    fill(nonce, sizeof(nonce));
    fill(aad, sizeof(aad));
    fill(cipher, sizeof(cipher));
    for (size_t f = 0; f < ARRAY_COUNT(absent); f++) {
        features_without(absent[f]);
        aes_gcm_key_init(&key, bytes);
        aes_gcm_seal(&key, nonce, aad, sizeof(aad), cipher, sizeof(cipher), cipher, tag);
        const struct {
            uint8_t *p;
            size_t size;
        } inputs[] = {{nonce, sizeof(nonce)}, {aad, sizeof(aad)}, {cipher, sizeof(cipher)}, {tag, sizeof(tag)}};
        for (size_t i = 0; i < ARRAY_COUNT(inputs); i++) {
            for (size_t bit = 0; bit < 8 * inputs[i].size; bit++) {
                inputs[i].p[bit / 8] ^= 1 << bit % 8;
                memset(out, 0xff, sizeof(out));
                assert_int_equal(aes_gcm_open(&key, nonce, aad, sizeof(aad), cipher, sizeof(cipher), tag, out),
                                 -EBADMSG);
                assert_memory_equal(out, zeros, sizeof(out));
                inputs[i].p[bit / 8] ^= 1 << bit % 8;
            }
        }
        assert_int_equal(aes_gcm_open(&key, nonce, aad, sizeof(aad), cipher, sizeof(cipher) - 1, tag, out), -EBADMSG);
        assert_int_equal(aes_gcm_open(&key, nonce, aad, sizeof(aad) - 1, cipher, sizeof(cipher), tag, out), -EBADMSG);
        assert_int_equal(aes_gcm_open(&key, nonce, aad, sizeof(aad), cipher, sizeof(cipher), tag, out), 0);
    }
}

/* ---- AES-XTS ---- */

/* IEEE 1619-2007, annex B, vector 10: the first and the last block of the data unit, and all of it by OpenSSL. */
static void xts_published(void **state)
{
    uint8_t bytes[64], data[512], first[16], last[16];
    struct aes_xts_key key;
    from_hex("2718281828459045235360287471352662497757247093699959574966967627"
             "3141592653589793238462643383279502884197169399375105820974944592",
             bytes);
    from_hex("1c3b3a102f770386e4836c99e370cf9b", first);
    from_hex("c4f36ffda9fcea70b9c6e693e148c151", last);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t tweak[16] = {0xff};
    int n;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_xts(), NULL, bytes, tweak), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, data, &n, data, sizeof(data)), 1);
    EVP_CIPHER_CTX_free(ctx);
    assert_memory_equal(data, first, 16);
    assert_memory_equal(data + 496, last, 16);
    assert_int_equal(aes_xts_key_init(&key, bytes), 0);
    aes_xts_decrypt(&key, 0xff, &(void *){data}, 1, sizeof(data));
    for (size_t i = 0; i < sizeof(data); i++)
        assert_int_equal(data[i], (uint8_t)i);
}

static void xts_differential(void **state)
{
    static uint8_t plain[16384], cipher[16384];
    static const size_t sector_sizes[] = {512, 1024, 1536, 2048, 4096};
    static const uint64_t units[] = {0, 1, 8, 0xffffffff, 0x100000000, 0xffffffffffff, UINT64_MAX - 100};
    uint8_t bytes[64];
    struct aes_xts_key key;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    for (size_t s = 0; s < ARRAY_COUNT(sector_sizes); s++) {
        for (size_t u = 0; u < ARRAY_COUNT(units); u++) {
            size_t sector = sector_sizes[s], total = sector * (1 + u % 4);
            fill(bytes, sizeof(bytes));
            fill(plain, total);
            for (size_t done = 0; done < total; done += sector) {
                uint64_t tweak[2] = {units[u] + done / 512, 0};
                int n;
                assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_xts(), NULL, bytes, (uint8_t *)tweak), 1);
                assert_int_equal(EVP_EncryptUpdate(ctx, cipher + done, &n, plain + done, (int)sector), 1);
            }
            assert_int_equal(aes_xts_key_init(&key, bytes), 0);
            void *sectors[4];
            for (size_t i = 0; i < total / sector; i++)
                sectors[i] = cipher + i * sector;
            aes_xts_decrypt(&key, units[u], sectors, total / sector, sector);
            assert_memory_equal(cipher, plain, total);
        }
    }
    EVP_CIPHER_CTX_free(ctx);
}

static void xts_equal_halves(void **state)
{
    uint8_t bytes[64];
    struct aes_xts_key key;
    fill(bytes, 32);
    memcpy(bytes + 32, bytes, 32);
    assert_int_equal(aes_xts_key_init(&key, bytes), -EINVAL);
    bytes[63] ^= 1;
    assert_int_equal(aes_xts_key_init(&key, bytes), 0);
}

/* ---- MACs and derivation ---- */

/* RFC 4493, section 4. */
static void cmac_published(void **state)
{
    static const struct {
        size_t size;
        const char *mac;
    } cases[] = {{0, "bb1d6929e95937287fa37d129b756746"},
                 {16, "070a16b46b4d4144f79bdd9dd04a287c"},
                 {40, "dfa66747de9ae63030ca32611497c827"},
                 {64, "51f0bebf7e3b9d92fc49741779363cfe"}};
    uint8_t key[16], message[64], mac[16], expected[16];
    from_hex("2b7e151628aed2a6abf7158809cf4f3c", key);
    from_hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445"
             "df4f9b17ad2b417be66c3710",
             message);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        aes_cmac(key, message, cases[i].size, mac);
        from_hex(cases[i].mac, expected);
        assert_memory_equal(mac, expected, 16);
    }
}

/* RFC 4231, cases 1 and 2. */
static void hmac_published(void **state)
{
    uint8_t key[20], mac[32], expected[32];
    memset(key, 0x0b, sizeof(key));
    hmac_sha256(key, sizeof(key), "Hi There", 8, mac);
    from_hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", expected);
    assert_memory_equal(mac, expected, 32);
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    from_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", expected);
    assert_memory_equal(mac, expected, 32);
}

static void hmac_differential(void **state)
{
    uint8_t key[150], data[300], mac[32], expected[32];
    fill(key, sizeof(key));
    fill(data, sizeof(data));
    for (size_t key_size = 0; key_size <= sizeof(key); key_size++) {
        size_t size = key_size * 2, half = size / 3;
        assert_non_null(HMAC(EVP_sha256(), key, (int)key_size, data, size, expected, NULL));
        struct hmac_sha256 ctx;
        hmac_sha256_init(&ctx, key, key_size);
        hmac_sha256_update(&ctx, data, half);
        hmac_sha256_update(&ctx, data + half, size - half);
        hmac_sha256_final(&ctx, mac);
        assert_memory_equal(mac, expected, 32);
    }
}

/* RFC 5869, appendix A.1 to A.3. */
static void hkdf_published(void **state)
{
    uint8_t secret[80], salt[80], info[80], out[82], expected[82];
    memset(secret, 0x0b, 22);
    size_t salt_size = from_hex("000102030405060708090a0b0c", salt);
    size_t info_size = from_hex("f0f1f2f3f4f5f6f7f8f9", info);
    hkdf_sha256(secret, 22, salt, salt_size, info, info_size, out, 42);
    from_hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865", expected);
    assert_memory_equal(out, expected, 42);
    hkdf_sha256(secret, 22, NULL, 0, NULL, 0, out, 42);
    from_hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8", expected);
    assert_memory_equal(out, expected, 42);
    for (size_t i = 0; i < 80; i++) {
        secret[i] = (uint8_t)i;
        salt[i] = (uint8_t)(0x60 + i);
        info[i] = (uint8_t)(0xb0 + i);
    }
    hkdf_sha256(secret, 80, salt, 80, info, 80, out, 82);
    from_hex(
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c"
        "2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        expected);
    assert_memory_equal(out, expected, 82);
}

static void secrets(void **state)
{
    uint8_t a[33], b[33];
    fill(a, sizeof(a));
    memcpy(b, a, sizeof(a));
    for (size_t size = 0; size <= sizeof(a); size++)
        assert_true(memory_equal_ct(a, b, size));
    for (size_t bit = 0; bit < 8 * sizeof(a); bit++) {
        b[bit / 8] ^= 1 << bit % 8;
        assert_false(memory_equal_ct(a, b, sizeof(a)));
        assert_true(memory_equal_ct(a, b, bit / 8));
        b[bit / 8] ^= 1 << bit % 8;
    }
    memory_wipe(a, sizeof(a));
    for (size_t i = 0; i < sizeof(a); i++)
        assert_int_equal(a[i], 0);
}

#define MANY (SHA256_LANES + 3)

/* Of the salt, then data, by OpenSSL. */
static void salted(const uint8_t *salt, const uint8_t *data, size_t size, uint8_t ret[32])
{
    uint8_t message[32 + 4096];
    memcpy(message, salt, 32);
    memcpy(message + 32, data, size);
    assert_int_equal(EVP_Digest(message, 32 + size, ret, NULL, EVP_sha256(), NULL), 1);
}

static void sha256_of_many(void **state)
{
    static const size_t sizes[] = {0, 31, 32, 63, 64, 87, 88, 95, 96, 97, 500, 4096};
    static uint8_t data[MANY][4096], salt[32], digests[MANY + 1][32], expected[MANY][32];
    const void *p[MANY];

    fill(salt, sizeof(salt));
    for (size_t i = 0; i < MANY; i++) {
        fill(data[i], sizeof(data[i]));
        p[i] = data[i];
    }
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (size_t i = 0; i < MANY; i++)
            salted(salt, data[i], sizes[s], expected[i]);
        for (size_t f = 0; f < sizeof(absent) / sizeof(absent[0]); f++) {
            features_without(absent[f]);
            for (size_t count = 1; count <= MANY; count++) {
                memset(digests, 0xee, sizeof(digests));
                sha256_salted_many(salt, p, count, sizes[s], digests);
                assert_memory_equal(digests, expected, count * sizeof(digests[0]));
                assert_int_equal(digests[count][0], 0xee);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gcm_library_structures),
        cmocka_unit_test_teardown(gcm_published, restore_features),
        cmocka_unit_test_teardown(gcm_differential, restore_features),
        cmocka_unit_test_teardown(gcm_refuses, restore_features),
        cmocka_unit_test(xts_published),
        cmocka_unit_test(xts_differential),
        cmocka_unit_test(xts_equal_halves),
        cmocka_unit_test_teardown(sha256_of_many, restore_features),
        cmocka_unit_test(cmac_published),
        cmocka_unit_test(hmac_published),
        cmocka_unit_test(hmac_differential),
        cmocka_unit_test(hkdf_published),
        cmocka_unit_test(secrets),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
