/*
 * The open partitions of a writer: a table by slot, and what is noticed of each after it may have
 * published.  Writer process, one thread.  A partition stands in the table exactly while its log is
 * open here; what waits for it (batches, watches) is answered before it leaves.  Bounded by the
 * slots of a zone.
 */
#include "writer/writer_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/errlog.h"
#include "wire/error_codes.h"

struct tk_writer_part *
tk_part_find(const struct tk_writer *writer, uint32_t slot)
{
	return slot < writer->parts_room ? writer->parts[slot] : NULL;
}

struct tk_writer_part *
tk_part_find_exact(const struct tk_writer *writer, uint32_t slot, uint64_t incarnation)
{
	struct tk_writer_part *part = tk_part_find(writer, slot);

	return part != NULL && part->incarnation == incarnation ? part : NULL;
}

static int
parts_grow(struct tk_writer *writer, uint32_t slot)
{
	size_t room = TK_MAX(writer->parts_room, (size_t)64);
	struct tk_writer_part **grown;

	tk_assert(slot < TK_ZONE_SLOTS_MAX);
	if (slot < writer->parts_room)
		return 0;
	while (room <= slot)
		room *= 2;
	grown = realloc(writer->parts, room * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	memset(grown + writer->parts_room, 0, (room - writer->parts_room) * sizeof(*grown));
	writer->parts = grown;
	writer->parts_room = room;
	return 0;
}

int
tk_part_adopt(struct tk_writer *writer, struct tk_log **log, uint64_t incarnation, bool internal,
    struct tk_writer_part **ret_part)
{
	uint32_t slot = tk_log_slot(*log);
	struct tk_writer_part *part = calloc(1, sizeof(*part));

	if (part == NULL || parts_grow(writer, slot) < 0) {
		free(part);
		tk_log_close(log);
		return -ENOMEM;
	}
	tk_assert(writer->parts[slot] == NULL);
	part->log = *log;
	part->slot = slot;
	part->incarnation = incarnation;
	part->internal = internal;
	TAILQ_INIT(&part->lanes);
	LIST_INIT(&part->watches);
	STAILQ_INIT(&part->sync_waiting);
	writer->parts[slot] = part;
	writer->part_count++;
	tk_part_noticed(writer, part);
	*log = NULL;
	*ret_part = part;
	return 0;
}

int
tk_part_open(struct tk_writer *writer, const struct tk_log_identity *identity,
    const struct tk_log_config *config, bool internal, struct tk_log_problem *ret_problem)
{
	struct tk_writer_part *part;
	struct tk_log *log;
	int rc = tk_log_open(writer->dir, identity, config, &log, ret_problem);

	return rc < 0 ? rc : tk_part_adopt(writer, &log, identity->incarnation, internal, &part);
}

static bool
shape_differs(const struct tk_part_state *a, const struct tk_part_state *b)
{
	return a->status != b->status || a->leader_epoch != b->leader_epoch ||
	       a->log_start != b->log_start || a->incarnation != b->incarnation;
}

static void
part_tell_status(const struct tk_writer_part *part, uint32_t status)
{
	static const char *const texts[] = { [TK_PART_NONE] = "free",
		[TK_PART_ONLINE] = "online",
		[TK_PART_READ_ONLY] = "read-only: appends fail for now",
		[TK_PART_OFFLINE] = "offline",
		[TK_PART_DELETED] = "deleted" };
	const char *text = status < TK_COUNT_OF(texts) ? texts[status] : "in no known state";

	if (status == TK_PART_READ_ONLY || status == TK_PART_OFFLINE)
		tk_err("partition \"%s\" is %s", tk_log_name(part->log), text);
	else
		tk_info("partition \"%s\" is %s", tk_log_name(part->log), text);
}

void
tk_part_noticed(struct tk_writer *writer, struct tk_writer_part *part)
{
	struct tk_part_state state;
	bool first = part->seq == 0, rolled;
	uint64_t seq;

	if (!tk_zone_read(writer->zone, part->slot, &state, &seq) || seq == part->seq)
		return;
	if (shape_differs(&state, &part->state))
		part->shape_seq = seq;
	rolled = !first && state.log_end.segment != part->state.log_end.segment;
	if (rolled)
		tk_count(TK_COUNT_segments_rolled, 1);
	if (!first && state.status != part->state.status)
		part_tell_status(part, state.status);
	part->state = state;
	part->seq = seq;
	tk_durable_look(writer, part);
	tk_trouble_look(writer, part);
}

void
tk_part_published(struct tk_writer *writer, struct tk_writer_part *part)
{
	tk_part_noticed(writer, part);
	tk_watches_check(part);
}

static void
part_free(struct tk_writer *writer, struct tk_writer_part *part)
{
	tk_assert(writer->parts[part->slot] == part);
	tk_appends_refuse_part(part, TK_ERR_NOT_LEADER_OR_FOLLOWER);
	tk_durable_forget_part(writer, part);
	tk_trouble_forget(writer, part);
	tk_watches_fire(part);
	writer->parts[part->slot] = NULL;
	writer->part_count--;
	tk_log_close(&part->log);
	free(part);
}

int
tk_part_delete(struct tk_writer *writer, struct tk_writer_part *part)
{
	int rc;

	part->delete_wanted = true;
	if (tk_trouble_busy(part))
		return -EBUSY;
	tk_appends_refuse_part(part, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	rc = tk_log_delete(&part->log);
	if (rc < 0) {
		tk_part_published(writer, part);
		return rc;
	}
	part_free(writer, part);
	tk_upkeep_soon(writer);
	return 0;
}

void
tk_parts_close(struct tk_writer *writer)
{
	for (size_t slot = 0; slot < writer->parts_room; slot++)
		if (writer->parts[slot] != NULL)
			part_free(writer, writer->parts[slot]);
	free(writer->parts);
	writer->parts = NULL;
	writer->parts_room = 0;
}

void
tk_parts_clear_strays(struct tk_writer *writer)
{
	uint32_t mark = tk_zone_slot_mark(writer->zone);
	struct tk_part_state state;
	unsigned count = 0;
	uint64_t seq;

	for (uint32_t slot = 0; slot < mark; slot++) {
		if (tk_part_find(writer, slot) != NULL ||
		    !tk_zone_read(writer->zone, slot, &state, &seq))
			continue;
		if (state.status != TK_PART_ONLINE && state.status != TK_PART_READ_ONLY)
			continue; /* offline: one that could not be opened */
		state.status = TK_PART_DELETED;
		tk_zone_publish(writer->zone, slot, &state);
		count++;
	}
	if (count > 0)
		tk_warn("%u slots of \"%s\" held partitions that the metadata does not know", count,
		    tk_logdir_path(writer->dir));
}
