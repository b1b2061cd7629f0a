/*
 * Reading a segment batch by batch with checksums.  Recovery's threads, each on its own file.
 *
 * What is wrong may be the torn last write or damage.  It is damage if a good batch follows; until
 * that is known it is kept in mind.  Memory: that of the walk, and a run of index entries.
 */
#include "log/recovery_scan.h"

#include <stdlib.h>

#include "log/salvage.h"

struct scanning {
	struct tk_recovery_scan *scan;
	struct tk_index_run *run;
	struct tk_recovery_damage damage; /* bytes 0: none that is not settled */
	size_t holes;                     /* of the scan's, those not settled included */
	int64_t removed;                  /* bytes of settled holes */
};

static void
add_damage(struct scanning *scanning, const struct tk_salvage_step *step, bool hole)
{
	struct tk_recovery_damage *damage = &scanning->damage;

	if (damage->bytes == 0) {
		*damage = (struct tk_recovery_damage){ .position = step->position,
			.first_offset = scanning->scan->next_offset,
			.last_offset = -1 };
		if (!hole)
			damage->first_offset = step->header.base_offset;
	}
	damage->bytes += step->bytes;
	damage->hole |= hole;
	if (hole)
		scanning->scan->holes[scanning->holes++] =
		    (struct tk_recovery_hole){ step->position, step->bytes };
	else
		damage->last_offset = tk_batch_last_offset(&step->header);
}

/* A good batch is there: all before it counts, damaged or not. */
static void
settle_damage(struct scanning *scanning, const struct tk_batch_header *header)
{
	struct tk_recovery_scan *scan = scanning->scan;
	int64_t kept = scanning->damage.bytes;

	if (scanning->damage.bytes == 0)
		return;
	if (scanning->damage.hole)
		scanning->damage.last_offset = header->base_offset - 1;
	scan->damaged(scan->arg, &scanning->damage);
	for (; scan->hole_count < scanning->holes; scan->hole_count++) {
		scanning->removed += scan->holes[scan->hole_count].bytes;
		kept -= scan->holes[scan->hole_count].bytes;
	}
	scan->index->bytes_since += kept;
	scanning->damage.bytes = 0;
}

static int
accept(struct scanning *scanning, const struct tk_salvage_step *step)
{
	struct tk_recovery_scan *scan = scanning->scan;

	settle_damage(scanning, &step->header);
	tk_index_add(scan->index, scanning->run, scan->interval_bytes, &step->header,
	    step->position - scanning->removed);
	scan->leader_epoch = TK_MAX(scan->leader_epoch, step->header.leader_epoch);
	scan->next_offset = tk_batch_last_offset(&step->header) + 1;
	scan->end_position = step->position + step->bytes;
	return scanning->run->offset_count == TK_INDEX_RUN_MAX
		   ? tk_index_flush(scan->index, scanning->run)
		   : 0;
}

static int
scan_batches(struct scanning *scanning, struct tk_salvage *walk)
{
	for (;;) {
		struct tk_salvage_step step;
		int64_t at;
		bool hole;
		int rc = tk_salvage_next(walk, &step);

		if (rc == 0)
			scanning->scan->have_read(scanning->scan->arg, step.bytes);
		if (rc < 0 || step.kind == TK_SALVAGE_END || step.kind == TK_SALVAGE_TORN)
			return rc;
		if (step.kind == TK_SALVAGE_GOOD) {
			rc = accept(scanning, &step);
			if (rc < 0)
				return rc;
			continue;
		}
		hole = step.kind != TK_SALVAGE_BAD_CHECKSUM;
		at = hole ? scanning->scan->next_offset : step.header.base_offset;
		if (at >= scanning->scan->strict_from)
			return 0;
		if (hole &&
		    (scanning->holes == TK_RECOVERY_HOLES_MAX || at >= scanning->scan->holes_below))
			return 0;
		add_damage(scanning, &step, hole);
	}
}

int
tk_recovery_scan(struct tk_recovery_scan *scan)
{
	struct scanning scanning = { .scan = scan };
	struct tk_salvage walk;
	int rc;

	scan->end_position = 0;
	scan->leader_epoch = -1;
	scan->hole_count = 0;
	scanning.run = calloc(1, sizeof(*scanning.run));
	rc = tk_salvage_begin(
	    &walk, scan->fd, scan->size_bytes, scan->index->base_offset, scan->next_offset);
	if (rc == 0 && scanning.run == NULL)
		rc = -ENOMEM;
	if (rc == 0)
		rc = scan_batches(&scanning, &walk);
	if (rc == 0)
		rc = tk_index_flush(scan->index, scanning.run);
	tk_salvage_end(&walk);
	free(scanning.run);
	return rc;
}
