/* The key of an encrypted root image, and the encryption: dm-crypt's aes-xts-plain64 with sectors of 4096 bytes. */
#ifndef COFRE_IMAGE_IMAGE_KEY_H
#define COFRE_IMAGE_IMAGE_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/policy.h"

struct progress;

/*
 * The key in a file of IMAGE_KEY_SIZE bytes. If there is no such file a key is drawn and the file made, for its owner
 * only; *ret_made says so.
 */
int image_key_open(const char *path, uint8_t ret_key[IMAGE_KEY_SIZE], bool *ret_made, char **ret_error);

/*
 * A key that is drawn, and written only as the key server will open it (image/key_wrap.h), to a file that is not there
 * yet.
 */
int image_key_make_wrapped(const char *path, const uint8_t server[32], const char *name,
                           uint8_t ret_key[IMAGE_KEY_SIZE], char **ret_error);

/* What tells the right key from a wrong one, and nothing else about it (abi/policy.h). */
void image_key_check_value(const uint8_t key[IMAGE_KEY_SIZE], uint8_t ret_check[POLICY_KEY_CHECK_SIZE]);

/* Encrypts [offset, offset + size) of fd in place, size being a multiple of 4096, on all CPUs. */
int image_encrypt(int fd, uint64_t offset, uint64_t size, const uint8_t key[IMAGE_KEY_SIZE], struct progress *progress,
                  char **ret_error);

#endif
