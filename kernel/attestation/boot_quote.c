/* A quote that the host asks for instead of running the container: `cofre quote`. */
#include "abi/boot.h"
#include "kernel/arch/hostcall.h"
#include "kernel/attestation/attestation.h"
#include "kernel/boot/boot.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define STATUS_FAILED 125

_Static_assert(sizeof(BOOT_QUOTE_MARK) == 32, "the second half of REPORTDATA");

noreturn_fn void boot_quote(void)
{
    struct sha256 hash;
    uint8_t report_data[64], *quote;
    char text[96];
    size_t size;

    sha256_init(&hash);
    sha256_update(&hash, BOOT_QUOTE_PREFIX, sizeof(BOOT_QUOTE_PREFIX) - 1);
    sha256_update(&hash, boot_params()->quote_data, sizeof(boot_params()->quote_data));
    sha256_final(&hash, report_data);
    memcpy(report_data + 32, BOOT_QUOTE_MARK, 32);
    int r = quote_make(report_data, &quote, &size);
    if (r == 0) {
        kfree(quote); /* the host has it: it brought it */
        hostcall_exit(0);
    }
    int n = snprintf(text, sizeof(text), "cofre: making a quote failed: error %d\n", -r);
    hostcall_log(text, (size_t)n);
    hostcall_exit(STATUS_FAILED);
}
