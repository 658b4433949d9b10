/* The smallest program worth putting in an enclave: one line, then exit. */
#include <stdio.h>

int main(void)
{
    puts("hello from a container");
    return 0;
}
