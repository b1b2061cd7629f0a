/*
 * Partitions that are not compacted any more, and the one that is being compacted: in the cleaner's
 * own page, which outlives the process.
 *
 * What a cleaner was at when it died is found there by the next one; after the second death it is
 * quarantined.  An orderly stop leaves nothing.  The list lasts as long as the master; the oldest
 * of more than it holds gets another try.  Cleaner process, one thread; the master reads.
 */
#include <stdio.h>
#include <string.h>

#include "base/errlog.h"
#include "cleaner/cleaner_private.h"

#define DEATHS_MAX 2

static struct tk_page_compaction *
page(void)
{
	return &tk_page->compaction;
}

static bool
same(const struct tk_page_partition *a, const struct tk_page_partition *b)
{
	return a->incarnation == b->incarnation && a->slot == b->slot &&
	       a->directory == b->directory;
}

bool
tk_quarantine_has(const struct tk_page_partition *part)
{
	uint64_t count = TK_MIN(page()->quarantined_count, (uint64_t)TK_PAGE_QUARANTINED);

	for (uint64_t i = 0; i < count; i++)
		if (same(&page()->quarantined[i], part))
			return true;
	return false;
}

void
tk_quarantine_put(const struct tk_page_partition *part, const char *why)
{
	struct tk_page_partition *to =
	    &page()->quarantined[page()->quarantined_count % TK_PAGE_QUARANTINED];

	tk_err("partition \"%s\" is not compacted any more: %s", part->name, why);
	*to = *part;
	(void)snprintf(to->why, sizeof(to->why), "%s", why);
	__atomic_store_n(
	    &page()->quarantined_count, page()->quarantined_count + 1, __ATOMIC_RELEASE);
}

void
tk_quarantine_begin(const struct tk_page_partition *part)
{
	if (!same(&page()->at, part))
		page()->deaths = 0;
	page()->at = *part;
	__atomic_store_n(&page()->running, 1, __ATOMIC_RELEASE);
}

void
tk_quarantine_end(bool survived)
{
	if (survived)
		page()->deaths = 0;
	__atomic_store_n(&page()->running, 0, __ATOMIC_RELEASE);
}

void
tk_quarantine_start(void)
{
	if (page()->running == 0)
		return;
	page()->deaths++;
	tk_warn("the cleaner before this one died while it compacted partition \"%s\"",
	    page()->at.name);
	if (page()->deaths >= DEATHS_MAX)
		tk_quarantine_put(&page()->at, "the cleaner died on it twice");
	tk_quarantine_end(page()->deaths >= DEATHS_MAX);
}
