/*
 * Sealed pages: what a process writes to a pipe, page by page, on its way to the enclave that reads it without a stay
 * in the init enclave. The writer's enclave encrypts a page into a frame, a page of untrusted memory that the init
 * enclave gave it (frames.h), and sends only the struct below, over its link. A pipe holds that in place of the page.
 * The reader's reply brings it along, and the reader's enclave opens the page. Whatever else touches it in the init
 * enclave opens it there: to a pipe it is as any page.
 *
 * The key is the container's: the init enclave makes it and tells members over their links. A nonce is a number that
 * the init enclave gives each member with its frames, never again to another, and a count of the member's. What a page
 * must be is in its tag, which travels over links only: the host can change, repeat or move a frame's bytes, and then
 * the page does not open, which is the host's lie.
 */
#ifndef COFRE_KERNEL_REMOTE_SEALED_H
#define COFRE_KERNEL_REMOTE_SEALED_H

#include "kernel/crypto/aes_gcm.h"
#include "kernel/lib/types.h"

struct sealed_page {
    uint64_t count; /* of pages that `writer` has sealed */
    uint32_t writer;
    uint32_t frame; /* link_area_frame() */
    uint8_t tag[AES_GCM_TAG_SIZE];
};

/* All enclaves of a container have the same. */
void sealed_key_set(const uint8_t key[AES_GCM_KEY_SIZE]);
/* Seal the page of kernel memory, which then holds cipher text, into ret->frame as (ret->writer, ret->count); fills in
 * the tag. */
void sealed_seal(struct sealed_page *page, uint8_t *plain);
/* Into a page of kernel memory. Ends the container if the frame is not what it was: the host's lie. */
void sealed_open(const struct sealed_page *page, uint8_t *ret_plain);

#endif
