/* AES-128-CMAC (SP 800-38B, RFC 4493): what EREPORT authenticates reports with. */
#ifndef COFRE_KERNEL_CRYPTO_AES_CMAC_H
#define COFRE_KERNEL_CRYPTO_AES_CMAC_H

#include "kernel/lib/types.h"

void aes_cmac(const uint8_t key[16], const void *data, size_t size, uint8_t ret_mac[16]);

#endif
