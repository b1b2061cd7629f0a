/*
 * What processes count.  One row a counter: its name in `takhinctl status`, and one line of help.
 *
 * A counter is written by the process whose page it is in and by nobody else; master and status
 * read.  A page outlives the process, so a respawned one counts on.
 */
#ifndef TK_SERVER_COUNTERS_H
#define TK_SERVER_COUNTERS_H

#include "takhin/base.h"

#define TK_COUNTERS(row)                                                                           \
	row(connections_accepted, "connections accepted") row(connections_refused,                 \
	    "connections refused by a limit or a deny list") row(connections_closed,               \
	    "connections closed") row(connections_idle_closed,                                     \
	    "connections closed for being idle") row(connections_malformed,                        \
	    "connections closed for a request that could not be read") row(requests,               \
	    "requests answered") row(produce_requests, "Produce requests") row(produce_batches,    \
	    "batches appended for clients") row(produce_bytes,                                     \
	    "bytes of those batches") row(fetch_requests, "Fetch requests") row(fetch_waits,       \
	    "Fetch requests that waited for data") row(bytes_in, "bytes received from clients")    \
	    row(bytes_out, "bytes sent to clients") row(sendfile_calls, "sendfile calls") row(     \
		sendfile_bytes, "bytes sent from the page cache by sendfile") row(copied_ranges,   \
		"file ranges copied, together") row(copied_bytes,                                  \
		"bytes of file ranges copied") row(copied_small,                                   \
		"file ranges copied since they were small") row(copied_sendfile_off,               \
		"file ranges copied since sendfile is off") row(copied_unsupported,                \
		"file ranges copied since sendfile is not supported there") row(sendmsg_calls,     \
		"sendmsg calls") row(sends_partial, "sends that found the socket full")            \
		row(memory_waits, "times reading stopped for lack of memory within the bound")     \
		    row(forwarded, "requests forwarded to the coordinator") row(                   \
			appends, "append turns of partitions") row(append_batches,                 \
			"batches appended") row(append_bytes, "bytes appended") row(append_errors, \
			"batches refused or failed") row(watches, "watches set")                   \
			row(notifies, "watches answered") row(segments_rolled, "segments rolled")  \
			    row(segments_deleted, "segments deleted by retention")                 \
				row(segments_cleaned, "segments replaced by compaction")           \
				    row(fetch_sessions, "fetch sessions made") row(                \
					fetch_sessions_unknown,                                    \
					"fetch sessions asked for that this worker does not have") \
					row(producers_evicted,                                     \
					    "idempotent producers forgotten for want of memory")   \
					    row(producers_expired,                                 \
						"idempotent producers forgotten for being idle")

enum tk_counter {
#define TK_COUNTER_ENUM(name, help) TK_COUNT_##name,
	TK_COUNTERS(TK_COUNTER_ENUM)
#undef TK_COUNTER_ENUM
	    TK_COUNTER_TOTAL
};

struct tk_counter_row {
	const char *name;
	const char *help;
};

extern const struct tk_counter_row tk_counter_rows[TK_COUNTER_TOTAL];

#define TK_PAGE_PANIC_BYTES   512u
#define TK_PAGE_ADDRESS_COUNT 1024u
#define TK_PAGE_LISTENERS     64u

/* How many connections of this process come from one address (by its hash; 0: never used). */
struct tk_page_address {
	uint64_t hash;
	uint64_t count;
};

#define TK_PAGE_QUARANTINED 32u

/* A partition as the cleaner knows it. */
struct tk_page_partition {
	uint64_t incarnation;
	uint32_t slot;
	uint32_t directory;
	char name[272]; /* terminated */
	char why[112];  /* likewise; of a quarantined one */
};

/* The cleaner's: what it compacts, and what it does not any more. */
struct tk_page_compaction {
	uint64_t running; /* 1: it is at work on `at` */
	uint64_t deaths;  /* of cleaners at work on `at` */
	struct tk_page_partition at;
	uint64_t quarantined_count; /* ever; stored after the entry */
	struct tk_page_partition quarantined[TK_PAGE_QUARANTINED];
};

/* The page of a process: shared memory that it writes and others read. */
struct tk_process_page {
	uint64_t progress;     /* grows with every turn of the loop; stands still in a dead lock */
	uint64_t connections;  /* open now */
	uint64_t memory_bytes; /* held for requests and replies now */
	char panic[TK_PAGE_PANIC_BYTES];
	uint64_t counters[TK_COUNTER_TOTAL];
	uint64_t listener_connections[TK_PAGE_LISTENERS]; /* of them, by listener */
	struct tk_page_address addresses[TK_PAGE_ADDRESS_COUNT];
	struct tk_page_compaction compaction;
};

/* This process's own page; before there is one, a private stand-in. */
extern struct tk_process_page *tk_page;

/* Another process's counter. */
static inline uint64_t
tk_count_of(const struct tk_process_page *page, enum tk_counter counter)
{
	return __atomic_load_n(&page->counters[counter], __ATOMIC_RELAXED);
}

static inline void
tk_count(enum tk_counter counter, uint64_t by)
{
	uint64_t *at = &tk_page->counters[counter];

	__atomic_store_n(at, *at + by, __ATOMIC_RELAXED);
}

#endif
