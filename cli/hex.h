/* Printing bytes as hexadecimal. */
#ifndef COFRE_CLI_HEX_H
#define COFRE_CLI_HEX_H

#include <stddef.h>
#include <stdint.h>

/* 2 * size + 1 bytes. */
void hex_format(char *ret_text, const uint8_t *bytes, size_t size);

#endif
