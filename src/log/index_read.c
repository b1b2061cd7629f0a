/*
 * Index look-ups.  Worker, one thread.  A search reads whole blocks: the one kept, then a guess
 * from how dense entries are, then by halves.  Failures are the caller's to pass on; nothing here
 * is changed by them.
 */
#include "log/index_read.h"

#include <sys/stat.h>

#include "base/endian.h"
#include "log/reader_private.h"

#define GUESSES 2

static unsigned
entry_bytes(const struct index_view *view)
{
	return view->by_time ? 12 : 8;
}

static unsigned
block_entries(const struct index_view *view)
{
	return INDEX_BLOCK_BYTES / entry_bytes(view);
}

static struct index_entry
entry_get(const struct index_view *view, unsigned i)
{
	const uint8_t *at = view->block->bytes + i * entry_bytes(view);

	if (view->by_time)
		return (struct index_entry){
			.timestamp = (int64_t)tk_be64_get(at),
			.offset = view->base_offset + (int32_t)tk_be32_get(at + 8),
		};
	return (struct index_entry){
		.offset = view->base_offset + (int32_t)tk_be32_get(at),
		.position = (int32_t)tk_be32_get(at + 4),
	};
}

static bool
entry_live(const struct index_view *view, const struct index_entry *entry)
{
	if (entry->offset < view->base_offset || entry->offset >= view->live_offset)
		return false;
	if (view->by_time)
		return entry->timestamp > 0 || entry->offset > view->base_offset;
	return entry->position > 0 && entry->position < view->live_position;
}

static int64_t
entry_key(const struct index_entry *entry, enum index_key key)
{
	switch (key) {
	case INDEX_OFFSET:
		return entry->offset;
	case INDEX_POSITION:
		return entry->position;
	case INDEX_TIMESTAMP:
		break;
	}
	return entry->timestamp;
}

/* How many entries of the block are live: these stand in front. */
static unsigned
block_live(const struct index_view *view, unsigned have)
{
	unsigned low = 0, high = have;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		struct index_entry entry = entry_get(view, mid);

		if (entry_live(view, &entry))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int
block_load(struct index_view *view, int64_t number)
{
	ssize_t got;

	view->block->number = -1;
	view->block->live = 0;
	got = reader_pread(view->reader, view->fd, view->block->bytes,
	    (size_t)block_entries(view) * entry_bytes(view),
	    number * block_entries(view) * entry_bytes(view));
	if (got < 0)
		return (int)got;
	view->block->number = number;
	view->block->live = block_live(view, (unsigned)got / entry_bytes(view));
	return 0;
}

/* How many live entries of the block have a key of at most value. */
static unsigned
block_floor(const struct index_view *view, enum index_key key, int64_t value)
{
	unsigned low = 0, high = view->block->live;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		struct index_entry entry = entry_get(view, mid);

		if (entry_key(&entry, key) <= value)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Where the entry might be, from the density of those in the block kept; else from the bound's. */
static int64_t
block_guess(const struct index_view *view, enum index_key key, int64_t value, int64_t blocks)
{
	int64_t origin = key == INDEX_OFFSET ? view->base_offset : 0;
	int64_t bound = key == INDEX_OFFSET ? view->live_offset : view->live_position;
	double entries = (double)(blocks * block_entries(view)), span = (double)(bound - origin);
	double guess;

	if (view->block->live > 0) {
		struct index_entry last = entry_get(view, view->block->live - 1);

		entries = (double)(view->block->number * block_entries(view) + view->block->live);
		span = (double)(entry_key(&last, key) - origin);
	}
	guess = span > 0 ? entries / span * (double)(value - origin) / block_entries(view) : 0;
	return guess < (double)blocks ? (int64_t)guess : blocks - 1;
}

/*
 * The last block that begins with an entry of at most value: loaded, 1; or 0 if there is none.
 * Blocks below low begin so; those from high on do not.
 */
static int
block_search(struct index_view *view, enum index_key key, int64_t value, int64_t blocks)
{
	int64_t low = 0, high = blocks;
	int guesses = key == INDEX_TIMESTAMP ? 0 : GUESSES;

	while (low < high) {
		int64_t number = (low + high) / 2;
		unsigned below;
		int rc;

		if (guesses-- > 0) {
			number = block_guess(view, key, value, blocks);
			number = TK_MIN(TK_MAX(number, low), high - 1);
		}
		rc = block_load(view, number);
		if (rc < 0)
			return rc;
		below = block_floor(view, key, value);
		if (below == 0) {
			high = number;
			continue;
		}
		low = number + 1;
		if (below < block_entries(view))
			return 1;
	}
	if (low == 0)
		return 0;
	if (view->block->number != low - 1) {
		int rc = block_load(view, low - 1);

		return rc < 0 ? rc : 1;
	}
	return 1;
}

int
index_floor(
    struct index_view *view, enum index_key key, int64_t value, struct index_entry *ret_entry)
{
	unsigned below = block_floor(view, key, value);
	struct stat st;
	int64_t blocks;
	int rc;

	/* Between two live entries nothing changes any more: what is published stays. */
	if (below == 0 || below == view->block->live) {
		if (fstat(view->fd, &st) < 0)
			return -errno;
		blocks = st.st_size / entry_bytes(view) + block_entries(view) - 1;
		blocks /= block_entries(view);
		rc = block_search(view, key, value, blocks);
		if (rc <= 0)
			return rc;
		below = block_floor(view, key, value);
		if (below == 0)
			return 0; /* cut meanwhile */
	}
	*ret_entry = entry_get(view, below - 1);
	return 1;
}
