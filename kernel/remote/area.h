/*
 * The link area (abi/link.h) as this kernel sees it, and the doorbells in it. Its header is read and checked once; all
 * else in it changes under our hands.
 */
#ifndef COFRE_KERNEL_REMOTE_AREA_H
#define COFRE_KERNEL_REMOTE_AREA_H

#include "kernel/lib/types.h"

/* NULL, or what is wrong with the header. self: the number of this process, 0 = init. */
const char *link_area_init(host_ptr base, uint64_t size, uint32_t self);
bool link_area_present(void);
uint32_t link_area_self(void);
uint32_t link_area_member_max(void);
uint32_t link_area_link_count(void);
uint32_t link_area_ring_size(void);
host_ptr link_area_link(uint32_t number); /* struct link_shared */
host_ptr link_area_ring(uint32_t number, unsigned side);
host_ptr link_area_frame(uint32_t frame);         /* page `frame` of all rings */
uint32_t link_area_member_state(uint32_t member); /* the host's word */

/*
 * Doorbells. Something was put in a ring for process `number`: tell it, by a host call only if it sleeps or runs its
 * application. Never lost: whoever stops polling looks at the bell once more before it sleeps. False: it had to be
 * woken.
 */
bool doorbell_ring(uint32_t number);
bool doorbell_take(void); /* of this process: was it rung? Then look at the rings. */
bool doorbell_rung(void); /* the same, without taking it */
/* A vCPU (one more, one fewer) looks at it all the time. */
void doorbell_set_polling(bool polling);
/* Does the host say that more threads want to run than it has processors? */
bool host_crowded(void);

#endif
