/* Gives out the vDSO image, linked to the kernel's clock data. */
#include "kernel/sched/vdso.h"

#include "kernel/lib/printk.h"
#include "kernel/sched/vdso_data.h"

extern uint8_t vdso_image_start[], vdso_image_end[];

void vdso_init(void)
{
    for (uint8_t *p = vdso_image_start; p + sizeof(struct vdso_link) <= vdso_image_end; p += 8) {
        struct vdso_link *link = (struct vdso_link *)p;
        if (link->magic == VDSO_LINK_MAGIC) {
            link->data = (uint64_t)&vdso_data;
            return;
        }
    }
    panic("no link in the vDSO image");
}

const void *vdso_image(size_t *ret_size)
{
    *ret_size = (size_t)(vdso_image_end - vdso_image_start);
    return vdso_image_start;
}
