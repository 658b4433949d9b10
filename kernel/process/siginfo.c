/* siginfo_t as Linux lays it out, from and to the kernel's own form. */
#include "kernel/process/siginfo.h"

#include "kernel/lib/string.h"

static bool is_fault(const struct signal_source *source)
{
    if (source->code <= SI_USER || source->code >= SI_KERNEL)
        return false;
    return source->signal == SIGSEGV || source->signal == SIGBUS || source->signal == SIGILL ||
           source->signal == SIGFPE || source->signal == SIGTRAP;
}

void siginfo_fill(siginfo_t *info, const struct signal_source *source)
{
    memset(info, 0, sizeof *info);
    info->si_signo = source->signal;
    info->si_errno = source->error;
    info->si_code = source->code;
    if (is_fault(source)) {
        info->si_addr = (void *)source->value;
    } else if (source->from_child) {
        info->si_pid = source->pid;
        info->si_uid = source->uid;
        info->si_status = source->status;
        info->si_utime = (int64_t)(source->utime / 10000000);
        info->si_stime = (int64_t)(source->stime / 10000000);
    } else {
        /* kill, queue, timer and poll forms share these three places: two ints, then a word. */
        info->si_pid = source->pid;
        info->si_uid = source->uid;
        memcpy(&info->si_value, &source->value, sizeof source->value);
    }
}

void siginfo_parse(struct signal_source *source, const siginfo_t *info)
{
    *source = (struct signal_source){.signal = info->si_signo, .code = info->si_code, .error = info->si_errno};
    source->pid = info->si_pid;
    source->uid = info->si_uid;
    memcpy(&source->value, &info->si_value, sizeof source->value);
}
