/* Signals that the host forwards to PID 1: docker stop, ^C without a terminal. Standard ones only, as bits of a word.
 */
#include <asm/siginfo.h>
#include <asm/signal.h>

#include "kernel/arch/untrusted.h"
#include "kernel/arch/vcpu.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/sched/sched.h"

void host_signals_poll(void)
{
    host_ptr word = host_ptr_add(vcpu_at(0)->shared, offsetof(struct vcpu_shared, signals));
    struct process *process = process_first();
    if (likely(untrusted_load32(word) == 0) || !process->leader)
        return;
    uint32_t bits = untrusted_exchange32(word, 0);
    for (int signal = 1; signal <= 31; signal++) {
        struct signal_source source = {.signal = signal, .code = SI_USER};
        if (bits >> (signal - 1) & 1)
            signal_send_process(process, &source);
    }
}
