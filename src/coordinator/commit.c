/*
 * One transaction at a time into the journal.
 *
 * The batch lies in this process's arena until its fate is known.  Its writer answers when it is on
 * the disk.  If instead the writer is gone, or answers with an error, nobody knows: the journal is
 * read, and the transaction's name says whether it is there.
 *
 *	not there	it is sent again (a writer that greets us has fenced what it had of us),
 *			or given up once its time has passed
 *	there		perhaps not on the disk yet: an empty transaction is appended behind it and
 *			waited for, which has both on the disk
 *
 * Two regions of the arena take turns, so that a writer that is slow to die never reads half of
 * the next transaction.
 */
#include <string.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "base/uuid.h"
#include "coordinator/coordinator_private.h"

static size_t
region_offset(const struct tk_coordinator *coord)
{
	bool two = coord->proc->arena_size >= 2 * TK_META_BATCH_MAX;

	return two && coord->commit.region % 2 == 1 ? TK_META_BATCH_MAX : 0;
}

void *
tk_commit_memory(struct tk_coordinator *coord, size_t *ret_room)
{
	size_t offset = region_offset(coord);

	*ret_room = TK_MIN(coord->proc->arena_size - offset, TK_META_BATCH_MAX);
	return coord->proc->arena + offset;
}

static void
commit_finish(struct tk_coordinator *coord, enum tk_error error)
{
	struct tk_job *job = coord->commit.job;

	coord->commit.state = TK_COMMIT_IDLE;
	coord->commit.job = NULL;
	tk_job_committed(job, error, coord->commit.revision);
}

static void
commit_send(struct tk_coordinator *coord)
{
	struct tk_commit *commit = &coord->commit;
	const struct tk_zone *zone = coord->ties[TK_META_DIRECTORY].zone;
	struct tk_frame_append append = {
		.arena_offset = commit->arena_offset,
		.len = (uint32_t)commit->len,
		.slot = TK_META_SLOT,
		.leader_epoch = -1,
		.flags = TK_APPEND_SYNC,
		.deadline_ms = commit->deadline_ms,
	};
	struct tk_part_state state;

	commit->state = TK_COMMIT_WAITING;
	if (!tk_zone_read(zone, TK_META_SLOT, &state, NULL))
		return;
	append.incarnation = state.incarnation;
	commit->frame_id = ++coord->next_frame_id;
	if (tk_tie_append(coord, &append, commit->frame_id) == 0)
		commit->state = TK_COMMIT_SENT;
}

static void
commit_take(struct tk_coordinator *coord, const struct tk_meta_txn *txn, size_t len)
{
	coord->commit.arena_offset = region_offset(coord);
	coord->commit.len = len;
	coord->commit.id = txn->id;
	coord->commit.region++;
}

void
tk_commit_start(
    struct tk_coordinator *coord, struct tk_job *job, const struct tk_meta_txn *txn, size_t len)
{
	struct tk_commit *commit = &coord->commit;

	tk_assert(commit->state == TK_COMMIT_IDLE);
	commit->job = job;
	commit->revision = txn->revision;
	commit->deadline_ms = job->deadline_ms;
	commit->landed = false;
	commit_take(coord, txn, len);
	commit_send(coord);
}

/* The transaction is in the journal: one behind it, whose answer says that both are safe. */
static void
commit_barrier(struct tk_coordinator *coord)
{
	struct tk_meta_txn txn;
	size_t room, len;
	void *memory = tk_commit_memory(coord, &room);

	coord->commit.landed = true;
	coord->commit.deadline_ms = 0;
	tk_meta_txn_begin(&txn, coord->meta, memory, room);
	if (tk_meta_txn_end(&txn, tk_clock_wall_ms(), &len) < 0) {
		commit_finish(coord, TK_ERR_REQUEST_TIMED_OUT);
		return;
	}
	commit_take(coord, &txn, len);
	commit_send(coord);
}

static bool
commit_is_in_journal(const struct tk_coordinator *coord)
{
	struct tk_uuid last = tk_meta_transaction(coord->meta);

	return tk_uuid_equal(&last, &coord->commit.id);
}

void
tk_commit_writer_up(struct tk_coordinator *coord)
{
	struct tk_commit *commit = &coord->commit;

	if (commit->state != TK_COMMIT_WAITING || !tk_coordinator_catch_up(coord))
		return;
	if (commit->landed || commit_is_in_journal(coord))
		commit_barrier(coord);
	else if (tk_meta_revision(coord->meta) >= commit->revision)
		commit_finish(coord, TK_ERR_REQUEST_TIMED_OUT); /* an older one came to light */
	else if (commit->deadline_ms <= tk_loop_now_ms(coord->loop))
		commit_finish(coord, TK_ERR_REQUEST_TIMED_OUT);
	else
		commit_send(coord);
}

void
tk_commit_writer_down(struct tk_coordinator *coord)
{
	if (coord->commit.state == TK_COMMIT_SENT)
		coord->commit.state = TK_COMMIT_WAITING;
}

static enum tk_error
commit_error(int32_t error)
{
	static struct tk_errlog_limit limit;

	if (error == TK_ERR_REQUEST_TIMED_OUT)
		return TK_ERR_REQUEST_TIMED_OUT;
	if (tk_errlog_allowed(&limit, 5))
		tk_err("could not append to the metadata journal: %s", tk_error_name(error));
	return TK_ERR_KAFKA_STORAGE_ERROR;
}

void
tk_commit_appended(struct tk_coordinator *coord, uint64_t id, int32_t error)
{
	struct tk_commit *commit = &coord->commit;
	bool there;

	if (commit->state != TK_COMMIT_SENT || id != commit->frame_id)
		return;
	commit->state = TK_COMMIT_WAITING;
	if (!tk_coordinator_catch_up(coord))
		return;
	there = commit_is_in_journal(coord);
	if (error == TK_ERR_NONE && there)
		commit_finish(coord, TK_ERR_NONE);
	else if (error == TK_ERR_NONE)
		commit_finish(coord, TK_ERR_UNKNOWN_SERVER_ERROR);
	else if (commit->landed)
		commit_finish(coord, TK_ERR_REQUEST_TIMED_OUT);
	else if (there)
		commit_barrier(coord);
	else
		commit_finish(coord, commit_error(error));
}
