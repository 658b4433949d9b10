/* The end of a container that cannot start (contract in refuse.h). */
#include "kernel/boot/refuse.h"

#include "kernel/arch/hostcall.h"
#include "kernel/lib/string.h"

noreturn_fn void refuse(int status, const char *format, ...)
{
    char text[512] = "cofre: ";
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text + 7, sizeof text - 8, format, args);
    va_end(args);
    size_t size = 7 + MIN((size_t)MAX(n, 0), sizeof text - 9);
    text[size++] = '\n';
    hostcall_log(text, size);
    hostcall_exit(status);
}
