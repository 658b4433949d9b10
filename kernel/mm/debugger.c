/* Telling a debugger of executable mappings (contract in debugger.h). */
#include "kernel/mm/debugger.h"

#include "kernel/mm/vma.h"

volatile uint8_t debugger_attached;

__attribute__((noinline)) void debugger_mapped(uaddr_t start, uaddr_t end)
{
    __asm__ volatile("" : : "r"(start), "r"(end));
}

void debugger_map(struct vma *vma)
{
    if (likely(!debugger_attached) || !vma->file || vma->ops)
        return;
    if (vma_populate(vma, vma->start, vma->end, 0) == 0)
        debugger_mapped(vma->start, vma->end);
}
