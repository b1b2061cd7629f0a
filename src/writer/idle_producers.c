/*
 * Which idempotent producers a writer forgets, and when: those that were idle for too long by the
 * clock, the longest idle when there are too many.  Writer process, one thread.
 *
 * The log keeps the order (log/producers_pool.c); here are the settings, the timer, the counters
 * and a line for the operator.  A check forgets a few thousand at a time, so that it delays nobody.
 */
#include "base/errlog.h"
#include "writer/writer_private.h"

#define GO_ON_MS   10
#define SAY_BURST  1
#define LONGEST_MS ((int64_t)24 * 60 * 60 * 1000) /* that a timer waits */

void
tk_idle_producers_settings(struct tk_writer *writer, const struct tk_settings *settings)
{
	tk_logdir_limit_producers(
	    writer->dir, settings->producer_state_max_bytes, settings->producer_id_expiration_ms);
	writer->producers_check_ms =
	    TK_MIN(settings->producer_id_expiration_check_interval_ms, LONGEST_MS);
	(void)tk_timer_start(writer->loop, &writer->idle_producers, writer->producers_check_ms);
}

void
tk_idle_producers_run(struct tk_timer *timer)
{
	struct tk_writer *writer = TK_CONTAINER_OF(timer, struct tk_writer, idle_producers);
	bool more = tk_logdir_expire_producers(writer->dir, tk_loop_now_ms(writer->loop));

	(void)tk_timer_start(
	    writer->loop, &writer->idle_producers, more ? GO_ON_MS : writer->producers_check_ms);
}

void
tk_idle_producers_count(struct tk_writer *writer)
{
	static struct tk_errlog_limit limit;
	struct tk_producer_totals totals;

	if (writer->dir == NULL)
		return;
	totals = tk_logdir_producer_totals(writer->dir);
	tk_count(TK_COUNT_producers_expired, totals.expired - writer->producers_expired);
	writer->producers_expired = totals.expired;
	if (totals.evicted == writer->producers_evicted)
		return;
	tk_count(TK_COUNT_producers_evicted, totals.evicted - writer->producers_evicted);
	writer->producers_evicted = totals.evicted;
	if (tk_errlog_allowed(&limit, SAY_BURST))
		tk_warn("\"%s\" has no room for more than %llu idempotent producers: the longest "
			"idle are forgotten, %llu so far; see producer_state_max_bytes",
		    tk_logdir_path(writer->dir), (unsigned long long)totals.count,
		    (unsigned long long)totals.evicted);
}
