/*
 * What is due by the clock: deleted files go, checkpoints are written.  Writer process, one thread.
 * The log says when it wants to be called again; whoever deletes something has it asked anew.
 */
#include "writer/writer_private.h"

#define UPKEEP_MS 60000

void
tk_upkeep_run(struct tk_timer *timer)
{
	struct tk_writer *writer = TK_CONTAINER_OF(timer, struct tk_writer, upkeep);
	int64_t wait_ms = tk_logdir_tick(writer->dir, tk_loop_now_ms(writer->loop));

	if (wait_ms < 0 || wait_ms > UPKEEP_MS)
		wait_ms = UPKEEP_MS;
	tk_apply_again(writer);
	(void)tk_timer_start(writer->loop, &writer->upkeep, TK_MAX(wait_ms, 1));
}

void
tk_upkeep_soon(struct tk_writer *writer)
{
	if (tk_timer_running(&writer->upkeep))
		(void)tk_timer_start(writer->loop, &writer->upkeep, 1);
}
