/* Signals that the host forwards to PID 1 (stop, terminal keys). */
#include "kernel/sched/sched.h"

void host_signals_poll(void)
{
}
