/* process_group.c with children that fork made. */
#define NEEDS_EDMM
#define CHILDREN_FORK
#include "process_group.c"
