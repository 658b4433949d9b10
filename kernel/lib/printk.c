/* Messages to the host's stderr, panic, and host_lied. */
#include "kernel/lib/printk.h"

#include "kernel/arch/hostcall.h"
#include "kernel/arch/vcpu.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/string.h"

#define LINE_SIZE 512

static bool level_visible(enum log_level level)
{
    if (!boot_ready() || !policy_allows(POLICY_DIAGNOSTICS))
        return false;
    return level < LOG_DEBUG || (boot_params()->flags & BOOT_LOG_DEBUG) != 0;
}

void printk(enum log_level level, const char *format, ...)
{
    char line[LINE_SIZE];
    if (!level_visible(level))
        return;
    int size = snprintf(line, sizeof(line), "cofre: ");
    va_list args;
    va_start(args, format);
    size += vsnprintf(line + size, sizeof(line) - (size_t)size, format, args);
    va_end(args);
    size_t length = MIN((size_t)size, sizeof(line) - 1);
    if (line[length - 1] != '\n') {
        length = MIN(length, sizeof(line) - 2);
        line[length++] = '\n';
    }
    hostcall_log(line, length);
}

/* What the application computed must not leak through a panic: without diagnostics only the place is told. */
noreturn_fn void panic_at(const char *file, int line, const char *format, ...)
{
    char text[LINE_SIZE];
    struct vcpu *vcpu = vcpu_self();
    if (vcpu->panicking)
        vcpu_die();
    vcpu->panicking = true;
    if (vcpu->shared.addr != 0) {
        int size = snprintf(text, sizeof(text), "cofre: panic at %s:%d", file, line);
        if (boot_ready() && policy_allows(POLICY_DIAGNOSTICS)) {
            size += snprintf(text + size, sizeof(text) - (size_t)size, ": ");
            va_list args;
            va_start(args, format);
            size += vsnprintf(text + size, sizeof(text) - (size_t)size, format, args);
            va_end(args);
        }
        size_t length = MIN((size_t)size, sizeof(text) - 2);
        text[length++] = '\n';
        hostcall_log(text, length);
    }
    vcpu_die();
}

noreturn_fn void host_lied(const char *what)
{
    char text[LINE_SIZE];
    struct vcpu *vcpu = vcpu_self();
    if (!vcpu->panicking && vcpu->shared.addr != 0) {
        vcpu->panicking = true;
        int size = snprintf(text, sizeof(text), "cofre: the host broke its contract: %s\n", what);
        hostcall_log(text, MIN((size_t)size, sizeof(text) - 1));
    }
    vcpu_die();
}

noreturn_fn void __stack_chk_fail(void);
noreturn_fn void __stack_chk_fail(void)
{
    panic("stack overwritten");
}
