/*
 * The budget of descriptors: what the settings let a process have open, against the limit it runs
 * under.  Master only; children inherit the limit.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "base/errlog.h"
#include "master/master.h"

#define OWN_DESCRIPTORS    64u   /* log, loop, channels, listeners, pool */
#define WORKER_SEGMENTS    2048u /* segments and indexes a worker keeps open */
#define WRITER_DESCRIPTORS 3000u /* 1000 partitions between appends: log and two indexes */

static uint64_t
worker_wants(const struct tk_settings *settings)
{
	return (uint64_t)settings->worker_connections + WORKER_SEGMENTS + OWN_DESCRIPTORS +
	       settings->listeners.count + settings->data_directories.count;
}

static uint64_t
writer_wants(void)
{
	return WRITER_DESCRIPTORS + OWN_DESCRIPTORS + TK_WORKERS_MAX;
}

static uint64_t
master_wants(const struct tk_settings *settings)
{
	return 8 * (uint64_t)tk_settings_workers(settings) + OWN_DESCRIPTORS +
	       8 * settings->data_directories.count + 2 * settings->listeners.count;
}

uint64_t
tk_master_descriptors_wanted(const struct tk_settings *settings)
{
	uint64_t most = TK_MAX(worker_wants(settings), writer_wants());

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
			" can take %" PRIu64 ": connections beyond will be refused",
		    (uint64_t)limit.rlim_cur, settings->worker_connections, wanted);
}

void
tk_master_limits_print(const struct tk_settings *settings)
{
	struct rlimit limit = { .rlim_cur = 0 };
	uint64_t wanted = tk_master_descriptors_wanted(settings);

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	(void)printf("\n# Descriptors (comments; RLIMIT_NOFILE is for each process)\n");
	(void)printf("# a worker may need      %8" PRIu64 "   worker_connections + %u for logs\n",
	    worker_wants(settings), WORKER_SEGMENTS + OWN_DESCRIPTORS);
	(void)printf("# a writer may need      %8" PRIu64 "   3 for each of 1000 partitions\n",
	    writer_wants());
	(void)printf("# the master may need    %8" PRIu64 "\n", master_wants(settings));
	(void)printf("# the limit, raised to   %8" PRIu64 "   (now %" PRIu64 "): %s\n",
	    TK_MIN((uint64_t)limit.rlim_max, TK_MAX(wanted, (uint64_t)limit.rlim_cur)),
	    (uint64_t)limit.rlim_cur,
	    limit.rlim_max >= wanted ? "enough" : "too low for worker_connections");
}
