/* Sealed pages (contract in sealed.h). */
#include "kernel/remote/sealed.h"

#include "kernel/arch/untrusted.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/remote/area.h"

static struct aes_gcm_key key;

void sealed_key_set(const uint8_t bytes[AES_GCM_KEY_SIZE])
{
    aes_gcm_key_init(&key, bytes);
}

static void nonce_of(const struct sealed_page *page, uint8_t ret_nonce[AES_GCM_NONCE_SIZE])
{
    memcpy(ret_nonce, &page->writer, sizeof(page->writer));
    memcpy(ret_nonce + sizeof(page->writer), &page->count, sizeof(page->count));
}

void sealed_seal(struct sealed_page *page, uint8_t *plain)
{
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    nonce_of(page, nonce);
    aes_gcm_seal(&key, nonce, NULL, 0, plain, PAGE_SIZE, plain, page->tag);
    untrusted_copy_out(link_area_frame(page->frame), plain, PAGE_SIZE);
}

void sealed_open(const struct sealed_page *page, uint8_t *ret_plain)
{
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    nonce_of(page, nonce);
    untrusted_copy_in(ret_plain, link_area_frame(page->frame), PAGE_SIZE);
    if (aes_gcm_open(&key, nonce, NULL, 0, ret_plain, PAGE_SIZE, page->tag, ret_plain) < 0)
        host_lied("a page of a pipe: it is not what was written");
}
