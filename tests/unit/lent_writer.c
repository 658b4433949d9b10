/* The kernel of the member that writes in lent_world.c: its end of a lent pipe. */
#define pipe_ends_init writer_ends_init
#define pipe_ends_call writer_ends_call
#define pipe_ends_exited writer_ends_exited
#define pipe_ends_drain writer_ends_drain
#define pipe_ends_poll writer_ends_poll
#define client_post writer_post
#define client_on_message writer_on_message
#define process_self writer_self
#include "../../kernel/remote/pipe_ends.c"
