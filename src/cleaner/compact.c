/*
 * A compaction job: its two passes in steps.  Cleaner process, one thread; see compact.h.
 */
#include "cleaner/compact.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "cleaner/compact_private.h"
#include "os/file.h"

#define STEP_BYTES      ((int64_t)4 << 20)
#define TXNINDEX_BYTES  34
#define TXNINDEX_MAX    ((size_t)16 << 20) /* of one segment */
#define CLEANED_SUFFIX  ".cleaned"
#define PRODUCERS_SPARE 1024u

/* ---- transactions that were aborted ---- */

static int
compare_aborted(const void *a, const void *b)
{
	const struct compact_aborted *x = a, *y = b;

	if (x->producer_id != y->producer_id)
		return x->producer_id < y->producer_id ? -1 : 1;
	return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

static int
aborted_add(struct tk_compact *compact, const uint8_t *entries, size_t count)
{
	size_t total = compact->aborted_count + count;
	struct compact_aborted *grown = realloc(compact->aborted, total * sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	compact->aborted = grown;
	for (size_t i = 0; i < count; i++, entries += TXNINDEX_BYTES)
		grown[compact->aborted_count++] =
		    (struct compact_aborted){ .producer_id = (int64_t)tk_be64_get(entries + 2),
			    .first_offset = (int64_t)tk_be64_get(entries + 10),
			    .last_offset = (int64_t)tk_be64_get(entries + 18) };
	return 0;
}

/* The marker of a transaction may lie behind what is cleaned, so all segments are asked. */
static int
aborted_read(struct tk_compact *compact, const struct tk_segment_info *infos, size_t count)
{
	char path[TK_SEGMENT_PATH_MAX];
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		size_t len;
		char *data;

		tk_segment_path(path, compact->name, infos[i].base_offset, ".txnindex");
		rc = tk_file_read_all(compact->dir_fd, path, TXNINDEX_MAX, &data, &len);
		if (rc == -ENOENT) {
			rc = 0;
			continue;
		}
		if (rc < 0)
			break;
		if (len >= TXNINDEX_BYTES)
			rc = aborted_add(compact, (const uint8_t *)data, len / TXNINDEX_BYTES);
		free(data);
	}
	if (rc == 0 && compact->aborted_count > 1)
		qsort(compact->aborted, compact->aborted_count, sizeof(*compact->aborted),
		    compare_aborted);
	return rc;
}

/* ---- beginning and end ---- */

static int
take_list(struct tk_compact *compact, const struct tk_segment_info *infos, size_t count)
{
	while (compact->count + 1 < count &&
	       infos[compact->count + 1].base_offset <= compact->rules.end)
		compact->count++;
	compact->behind = infos[compact->count].base_offset;
	compact->infos = calloc(compact->count + 1, sizeof(*infos));
	if (compact->infos == NULL)
		return -ENOMEM;
	memcpy(compact->infos, infos, (compact->count + 1) * sizeof(*infos));
	return 0;
}

int
tk_compact_new(int dir_fd, const char *log_name, uint64_t job, const struct tk_segment_info *infos,
    size_t count, const struct tk_compact_rules *rules, struct tk_compact **ret_compact)
{
	struct tk_compact *compact = calloc(1, sizeof(*compact));
	int64_t dirty;
	int rc;

	tk_assert(count > 0 && strlen(log_name) < sizeof(compact->name));
	if (compact == NULL)
		return -ENOMEM;
	compact->dir_fd = dir_fd;
	(void)snprintf(compact->name, sizeof(compact->name), "%s", log_name);
	(void)snprintf(compact->tail, sizeof(compact->tail), ".%" PRIu64 CLEANED_SUFFIX, job);
	compact->rules = *rules;
	compact->input.fd = -1;
	rc = take_list(compact, infos, count);
	dirty = TK_MAX(compact->behind - rules->first_dirty, 0);
	if (rc == 0)
		rc = aborted_read(compact, infos, count);
	if (rc == 0)
		rc = tk_offset_map_init(
		    &compact->map, rules->map_bytes, 2 * (uint64_t)dirty + PRODUCERS_SPARE);
	if (rc < 0) {
		tk_compact_free(&compact);
		return rc;
	}
	*ret_compact = compact;
	return 0;
}

void
tk_compact_free(struct tk_compact **pcompact)
{
	struct tk_compact *compact = *pcompact;

	if (compact == NULL)
		return;
	compact_output_close(compact, true);
	compact_input_free(&compact->input);
	tk_offset_map_free(&compact->map);
	free(compact->aborted);
	free(compact->infos);
	free(compact->inflated.data);
	free(compact->kept.data);
	free(compact->built);
	free(compact->keep);
	free(compact);
	*pcompact = NULL;
}

void
tk_compact_sweep(int dir_fd, const char *log_name)
{
	const struct dirent *entry;
	DIR *dir;
	int fd, rc;

	if (tk_file_open(dir_fd, log_name, O_RDONLY | O_DIRECTORY, 0, &fd) < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		if (dot == NULL || strcmp(dot, CLEANED_SUFFIX) != 0)
			continue;
		if (dot - entry->d_name >= 4 && memcmp(dot - 4, ".log", 4) == 0)
			continue; /* no job's: the writer's recovery is at it */
		rc = tk_file_unlink(fd, entry->d_name);
		(void)rc; /* a job of that number does not come again */
	}
	(void)closedir(dir);
}

/* ---- the first pass ---- */

static int64_t
segment_end(const struct tk_compact *compact, size_t segment)
{
	return compact->infos[segment + 1].base_offset;
}

/*
 * The map is full: what was mapped whole is cleaned, the rest stays dirty.  What the map holds of
 * the segment that did not fit is true all the same: later records than those that go are there.
 */
static int
map_full(struct tk_compact *compact)
{
	size_t segment = compact->segment;

	if (segment == 0 || segment_end(compact, segment - 1) <= compact->rules.first_dirty)
		return -ENOSPC;
	compact->count = segment;
	compact->behind = compact->infos[segment].base_offset;
	return 0;
}

static void
map_done(struct tk_compact *compact)
{
	compact_input_close(&compact->input);
	compact->mapped = true;
	compact->segment = 0;
}

static int
map_batch(struct tk_compact *compact, bool dirty)
{
	size_t batch_max = dirty ? compact->rules.batch_bytes_max : 0;
	struct compact_batch batch;
	int rc = compact_input_next(&compact->input, batch_max, &batch);

	if (rc <= 0)
		return rc;
	if (!dirty || tk_batch_last_offset(&batch.header) < compact->rules.first_dirty)
		compact_map_producer(compact, &batch.header);
	else
		rc = compact_map_batch(compact, &batch);
	return rc < 0 ? rc : 1;
}

static int
map_step(struct tk_compact *compact)
{
	struct compact_input *input = &compact->input;
	bool dirty;
	int64_t from;
	int rc = 0;

	if (compact->segment == compact->count) {
		map_done(compact);
		return 0;
	}
	if (input->fd < 0)
		rc = compact_input_open(input, compact, &compact->infos[compact->segment]);
	if (rc < 0)
		return rc;
	dirty = segment_end(compact, compact->segment) > compact->rules.first_dirty;
	from = input->at;
	do
		rc = map_batch(compact, dirty);
	while (rc > 0 && input->at - from < STEP_BYTES);
	if (rc == -ENOSPC) {
		rc = map_full(compact);
		if (rc == 0)
			map_done(compact);
		return rc;
	}
	if (rc == 0) {
		compact_input_close(input);
		compact->segment++;
	}
	return TK_MIN(rc, 0);
}

/* ---- the second pass ---- */

/* The next segments that fit into one. */
static void
group_choose(struct tk_compact *compact)
{
	const struct tk_segment_info *infos = compact->infos;
	int64_t bytes = infos[compact->segment].size_bytes;
	size_t last = compact->segment;

	while (
	    last + 1 < compact->count && last + 1 - compact->segment < TK_CLEANED_SOURCES_MAX &&
	    bytes + infos[last + 1].size_bytes <= compact->rules.segment_bytes &&
	    segment_end(compact, last + 1) - 1 - infos[compact->segment].base_offset <= INT32_MAX) {
		last++;
		bytes += infos[last].size_bytes;
	}
	compact->first = compact->segment;
	compact->last = last;
	compact->changed = last > compact->first;
	compact->slack_bytes = INT32_MAX - bytes;
}

static int
group_begin(struct tk_compact *compact)
{
	group_choose(compact);
	compact->group_open = true;
	return compact_output_open(compact, compact->infos[compact->first].base_offset);
}

static int
clean_batch(struct tk_compact *compact)
{
	struct compact_batch batch;
	enum compact_fate fate;
	int rc = compact_input_next(&compact->input, compact->rules.batch_bytes_max, &batch);

	if (rc <= 0)
		return rc;
	rc = compact_judge_batch(compact, &batch, &fate);
	if (rc < 0)
		return rc;
	compact->changed |= fate != COMPACT_KEEP;
	if (fate == COMPACT_KEEP)
		rc = compact_output_keep(compact, &batch);
	else if (fate == COMPACT_BUILT)
		rc = compact_output_built(compact);
	return rc < 0 ? rc : 1;
}

static int
segment_finish(struct tk_compact *compact)
{
	int rc = compact_output_copy(compact);

	if (rc == 0)
		rc = compact_output_txnindex(compact, &compact->infos[compact->segment]);
	compact->output.mtime_ns = TK_MAX(compact->output.mtime_ns, compact->input.mtime_ns);
	compact_input_close(&compact->input);
	compact->segment++;
	return rc;
}

/* A single segment that would come out as it is stays. */
static int
group_finish(struct tk_compact *compact, enum tk_compact_step *ret_step)
{
	int rc = 0;

	compact->group_open = false;
	if (compact->changed)
		rc = compact_output_finish(compact);
	if (rc < 0)
		return rc;
	compact_output_close(compact, !compact->changed);
	if (compact->changed)
		*ret_step = TK_COMPACT_GROUP;
	return 0;
}

static int
clean_step(struct tk_compact *compact, enum tk_compact_step *ret_step)
{
	struct compact_input *input = &compact->input;
	int64_t from;
	int rc = 0;

	if (compact->group_open && compact->segment > compact->last)
		return group_finish(compact, ret_step);
	if (compact->segment == compact->count) {
		*ret_step = TK_COMPACT_DONE;
		return 0;
	}
	if (!compact->group_open)
		rc = group_begin(compact);
	if (rc == 0 && input->fd < 0)
		rc = compact_input_open(input, compact, &compact->infos[compact->segment]);
	if (rc < 0)
		return rc;
	from = input->at;
	do
		rc = clean_batch(compact);
	while (rc > 0 && input->at - from < STEP_BYTES);
	return rc == 0 ? segment_finish(compact) : TK_MIN(rc, 0);
}

/* On the disk's account; within this file it means the map. */
static int
disk_error(int rc)
{
	return rc == -ENOSPC ? -EDQUOT : rc;
}

int
tk_compact_step(struct tk_compact *compact, enum tk_compact_step *ret_step)
{
	*ret_step = TK_COMPACT_MORE;
	return compact->mapped ? disk_error(clean_step(compact, ret_step)) : map_step(compact);
}

size_t
tk_compact_group(
    const struct tk_compact *compact, struct tk_cleaned_source sources[TK_CLEANED_SOURCES_MAX])
{
	size_t count = compact->last + 1 - compact->first;

	tk_assert(count <= TK_CLEANED_SOURCES_MAX);
	for (size_t i = 0; i < count; i++)
		sources[i] =
		    (struct tk_cleaned_source){ .base_offset =
						    compact->infos[compact->first + i].base_offset,
			    .log_inode = compact->infos[compact->first + i].log_inode };
	return count;
}

int64_t
tk_compact_point(const struct tk_compact *compact)
{
	return compact->behind;
}
