/* A process that ends as soon as its fork has returned: its child goes on all the same, as daemons do. */
#include "show.h"

#include <signal.h>
#include <sys/wait.h>

#define COUNT 40

/* The caller's child ends at once; its child adds a byte. */
static void begin(int out, char *memory, int i)
{
    int pid = fork();
    if (pid != 0) {
        if (pid > 0)
            waitpid(pid, NULL, 0);
        return;
    }
    memset(memory, i, 1 << 20); /* takes a while to send */
    pid = fork();
    if (pid == 0 && memory[12345] == (char)i && write(out, &memory[54321], 1) != 1)
        _exit(1);
    _exit(pid < 0);
}

int main(void)
{
    static char memory[1 << 20];
    char seen[COUNT] = {0}, byte;
    int ends[2], count = 0;
    signal(SIGCHLD, SIG_DFL);
    if (pipe(ends) < 0)
        return 1;
    for (int i = 0; i < COUNT; i++)
        begin(ends[1], memory, i);
    close(ends[1]);
    while (read(ends[0], &byte, 1) == 1) /* until the last one has ended */
        if (byte >= 0 && byte < COUNT && !seen[(int)byte]++)
            count++;
    printf("%d of %d\n", count, COUNT);
    return 0;
}
