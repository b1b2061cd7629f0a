/*
 * The budget of descriptors: what the settings let a process have open, against the limit it runs
 * under.  Master only; children inherit the limit.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "base/errlog.h"
#include "master/master.h"
#include "server/budget.h"

#define OWN_DESCRIPTORS 64u /* log, loop, children of a reload, clients of the control socket */

static uint64_t
master_wants(const struct tk_settings *settings)
{
	return 8 * (uint64_t)tk_settings_workers(settings) + OWN_DESCRIPTORS +
	       8 * settings->data_directories.count + 2 * settings->listeners.count;
}

uint64_t
tk_master_descriptors_wanted(const struct tk_settings *settings)
{
	uint64_t most = TK_MAX(tk_budget_worker_wants(settings), tk_budget_writer_wants());

	return TK_MAX(most, master_wants(settings));
}

void
tk_master_limits_raise(const struct tk_settings *settings)
{
	uint64_t wanted = tk_master_descriptors_wanted(settings);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = TK_MIN((rlim_t)wanted, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		tk_warn("could not raise the limit of open files: %s", strerror(errno));
	if (limit.rlim_cur < wanted)
		tk_warn("a process may open %" PRIu64 " files, but worker_connections = %" PRId32
			" can take %" PRIu64 ": a worker takes %" PRIu64 " connections",
		    (uint64_t)limit.rlim_cur, settings->worker_connections, wanted,
		    tk_budget_worker(limit.rlim_cur, settings).connections);
}

static void
worker_print(uint64_t limit, const struct tk_settings *settings)
{
	const struct tk_worker_budget budget = tk_budget_worker(limit, settings);

	(void)printf("# a worker               %8" PRIu64 "   to have all that it can use\n",
	    tk_budget_worker_wants(settings));
	(void)printf("#   connections          %8" PRIu64 "   of worker_connections = %" PRId32
		     "\n",
	    budget.connections, settings->worker_connections);
	(void)printf("#   open segments        %8" PRIu64 "   2 each\n", budget.segments);
	(void)printf("#   and of slow replies  %8" PRIu64 "   1 each\n", budget.held);
	(void)printf("#   its own              %8" PRIu64 "\n", budget.own);
}

static void
writer_print(uint64_t limit)
{
	const struct tk_writer_budget budget = tk_budget_writer(limit);

	(void)printf("# a writer               %8" PRIu64 "   to have all that it can use\n",
	    tk_budget_writer_wants());
	(void)printf("#   open partitions      %8" PRIu64 "   3 each\n", budget.partitions);
	(void)printf("#   its own              %8" PRIu64 "\n", budget.own);
}

void
tk_master_limits_print(const struct tk_settings *settings)
{
	uint64_t wanted = tk_master_descriptors_wanted(settings), raised;
	struct rlimit limit = { .rlim_cur = 0 };

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	raised = TK_MIN((uint64_t)limit.rlim_max, TK_MAX(wanted, (uint64_t)limit.rlim_cur));
	(void)printf("\n# Descriptors (comments; RLIMIT_NOFILE is for each process)\n");
	worker_print(raised, settings);
	writer_print(raised);
	(void)printf("# the master             %8" PRIu64 "\n", master_wants(settings));
	(void)printf("# the limit, raised to   %8" PRIu64 "   (now %" PRIu64 "): %s\n", raised,
	    (uint64_t)limit.rlim_cur,
	    limit.rlim_max >= wanted ? "enough" : "too low for worker_connections");
}
