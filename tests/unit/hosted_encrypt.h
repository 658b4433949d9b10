/* The encryption of root images, for tests of the kernel's side: image/'s headers and the kernel's do not mix. */
#ifndef COFRE_TESTS_HOSTED_ENCRYPT_H
#define COFRE_TESTS_HOSTED_ENCRYPT_H

#include <stdbool.h>
#include <stdint.h>

/* Encrypts a whole image file in place, as `cofre convert --encrypt` does; IMAGE_KEY_SIZE bytes of key. */
bool hosted_encrypt(const char *path, const uint8_t *key);

#endif
