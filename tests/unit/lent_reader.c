/* The kernel of the member that reads in lent_world.c: its end of a lent pipe. */
#define pipe_ends_init reader_ends_init
#define pipe_ends_call reader_ends_call
#define pipe_ends_exited reader_ends_exited
#define pipe_ends_drain reader_ends_drain
#define pipe_ends_poll reader_ends_poll
#define client_post reader_post
#define client_on_message reader_on_message
#define process_self reader_self
#include "../../kernel/remote/pipe_ends.c"
