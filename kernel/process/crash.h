/* What is told of a program that its own fault ends, if the policy allows diagnostics. */
#ifndef COFRE_KERNEL_PROCESS_CRASH_H
#define COFRE_KERNEL_PROCESS_CRASH_H

/* Signals that a program raises by what it does wrong. */
#define CRASH_SIGNALS                                                                                                  \
    (SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGABRT) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) |        \
     SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGSYS))

struct signal_source;
struct trap_frame;

/* The current process is about to be ended by source->signal; *frame is where its current thread was. */
void process_crashed(const struct trap_frame *frame, const struct signal_source *source);

#endif
