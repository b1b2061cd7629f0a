/*
 * The budget of descriptors: how a process divides RLIMIT_NOFILE, which it inherits from the
 * master.
 *
 * What can grow without bound otherwise, segments of many partitions, is a cache that gets a share;
 * connections get the rest.  A process that keeps to it meets EMFILE only where the whole machine
 * has none left.  Any process; the numbers follow from the limit and the settings alone.
 */
#ifndef TK_SERVER_BUDGET_H
#define TK_SERVER_BUDGET_H

#include "base/settings.h"

/* The limit this process runs under. */
uint64_t tk_budget_limit(void);

struct tk_worker_budget {
	uint64_t own;         /* log, loop, channels, listeners, directories */
	uint64_t segments;    /* open segments, two descriptors each */
	uint64_t held;        /* more segments that only replies under way hold, one each */
	uint64_t connections; /* worker_connections, or fewer */
};
struct tk_worker_budget tk_budget_worker(uint64_t limit, const struct tk_settings *settings);

struct tk_writer_budget {
	uint64_t own;        /* channels, helpers, recovery's threads */
	uint64_t partitions; /* that keep their files open between appends, three each */
};
struct tk_writer_budget tk_budget_writer(uint64_t limit);

/* The limit with which a worker, or a writer, has all that it can use. */
uint64_t tk_budget_worker_wants(const struct tk_settings *settings);
uint64_t tk_budget_writer_wants(void);

#endif
