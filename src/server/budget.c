/*
 * The arithmetic of the budget; see budget.h.
 */
#include "server/budget.h"

#include <sys/resource.h>

#define WORKER_OWN          64u
#define WORKER_SEGMENTS_MAX 512u
#define WORKER_HELD_MAX     1024u
#define WORKER_SEGMENTS_MIN 4u
#define WORKER_HELD_MIN     8u
#define WRITER_OWN          256u
#define WRITER_PARTS_MAX    1000u
#define WRITER_PARTS_MIN    16u

uint64_t
tk_budget_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 1024 : (uint64_t)limit.rlim_cur;
}

static uint64_t
worker_own(const struct tk_settings *settings)
{
	return WORKER_OWN + settings->listeners.count + 2 * settings->data_directories.count;
}

uint64_t
tk_budget_worker_wants(const struct tk_settings *settings)
{
	return worker_own(settings) + (uint64_t)settings->worker_connections +
	       2 * WORKER_SEGMENTS_MAX + WORKER_HELD_MAX;
}

/* Where there is not enough for all, half is for files: a connection that reads needs both. */
struct tk_worker_budget
tk_budget_worker(uint64_t limit, const struct tk_settings *settings)
{
	struct tk_worker_budget budget = { .own = worker_own(settings) };
	uint64_t rest = limit > budget.own ? limit - budget.own : 0;
	uint64_t files = 2 * WORKER_SEGMENTS_MAX + WORKER_HELD_MAX;

	if (limit < tk_budget_worker_wants(settings))
		files = TK_MIN(files, rest / 2);
	budget.segments = TK_MAX(files / 4, (uint64_t)WORKER_SEGMENTS_MIN);
	budget.held = TK_MAX(files / 2, (uint64_t)WORKER_HELD_MIN);
	budget.connections = TK_MAX(rest > files ? rest - files : 0, (uint64_t)1);
	budget.connections = TK_MIN(budget.connections, (uint64_t)settings->worker_connections);
	return budget;
}

uint64_t
tk_budget_writer_wants(void)
{
	return WRITER_OWN + 3 * WRITER_PARTS_MAX;
}

/* A small limit is divided: the callers are few there, but each has a channel. */
struct tk_writer_budget
tk_budget_writer(uint64_t limit)
{
	struct tk_writer_budget budget = { .own = TK_MIN((uint64_t)WRITER_OWN, limit / 2) };

	budget.partitions = (limit - budget.own) / 3;
	budget.partitions = TK_MIN(
	    TK_MAX(budget.partitions, (uint64_t)WRITER_PARTS_MIN), (uint64_t)WRITER_PARTS_MAX);
	return budget;
}
