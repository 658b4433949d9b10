/* A system call's instructions that lie across two pages of text, of which children use now one, now both. */
#include "show.h"

#include <sys/wait.h>

__asm__(".section .text.border, \"ax\", @progbits\n"
        ".balign 4096\n"
        "before: mov $7, %eax\n"
        "ret\n"
        ".org before + 4096 - 3\n"
        "across: mov $39, %eax\n" /* getpid */
        "syscall\n"
        "ret\n"
        "after: mov $9, %eax\n"
        "ret\n"
        ".balign 4096\n"
        ".text\n");
int before(void), across(void), after(void);

static int in_child(int what)
{
    int status = -1;
    int pid = fork();
    if (pid == 0) {
        if (what == 0)
            _exit(before());
        if (what == 1)
            _exit(after());
        _exit(across() == getpid() ? 1 : 2);
    }
    waitpid(pid, &status, 0);
    return status;
}

int main(void)
{
    printf("%d %d %d\n", before(), across() == getpid(), after());
    for (int first = 0; first < 2; first++)
        for (int i = 0; i < 3; i++) {
            printf("one page: %x\n", in_child(first));
            printf("both: %x\n", in_child(2));
        }
    return 0;
}
