/*
 * What the metadata says, made true in this writer's directory.  Writer process, one thread.
 *
 * A pass begins with the view catching up, then walks what that took: partitions of topics that are
 * gone are deleted, those of new and changed topics are opened or configured.  After a pass in
 * which something failed, and after a change of the settings, the next one walks everything, and at
 * its end deletes what it has not met.  A pass goes on over as many turns as it needs, a few
 * milliseconds each, so appends go on beside it; nothing else moves the view meanwhile, so its
 * pointers stay good.  Orders (APPLY) are answered at the end of the first pass that began with the
 * view at their revision.
 *
 * The journal wins: a slot that holds another incarnation is deleted first.  Doing it twice does
 * nothing.  A partition that could not be made is named in the log, and its errno answered.
 */
#include "writer/writer_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "base/topic_config.h"
#include "meta/meta.h"

#define TURN_MS       5
#define ORDERS_MAX    1024u
#define OPENINGS_MAX  256u /* opened together at a start */
#define OPENINGS_TURN 8u   /* and beside appends */

enum apply_phase { APPLY_IDLE, APPLY_DELETED, APPLY_CHANGED, APPLY_SWEEP };

/* An APPLY that waits for its pass. */
struct apply_order {
	STAILQ_ENTRY(apply_order) link;
	struct tk_caller *caller;
	uint64_t id;
	uint64_t revision;
};

struct tk_apply {
	struct tk_writer *writer;
	struct tk_meta *meta;
	struct tk_post step;
	enum apply_phase phase;
	bool whole; /* this pass walks everything, not only what changed */
	bool whole_next;
	bool starting;
	uint64_t pass;                     /* its number */
	const struct tk_meta_topic *topic; /* where the pass is */
	int32_t partition;
	uint32_t slot; /* and in its last phase */
	int rc;        /* first failure of the pass */
	STAILQ_HEAD(, apply_order) orders;
	size_t order_count;
	void (*started)(struct tk_writer *writer);
	struct tk_log_opening openings[OPENINGS_MAX];
	bool internal[OPENINGS_MAX]; /* of the same index */
	size_t opening_count;
};

static void
apply_failed(struct tk_apply *apply, int rc)
{
	if (apply->rc == 0)
		apply->rc = rc;
	apply->whole_next = true;
}

/* ---- what a topic's settings are to the log ---- */

/* flush = "commit", or a topic that wants each record on the disk before it is answered. */
static void
topic_flush(const struct tk_settings *settings, const struct tk_topic_config *topic,
    struct tk_log_config *config)
{
	bool own_ms = tk_topic_config_is_set(topic, "flush.ms");
	bool own_messages = tk_topic_config_is_set(topic, "flush.messages");

	if (own_ms || settings->flush == TK_FLUSH_INTERVAL)
		config->flush_ms = topic->flush_ms;
	if (own_messages || (settings->flush == TK_FLUSH_INTERVAL &&
				settings->log_flush_interval_messages < INT32_MAX))
		config->flush_messages = topic->flush_messages;
	config->flush_commit = settings->flush == TK_FLUSH_COMMIT || config->flush_messages == 1;
}

static struct tk_log_config
topic_log_config(const struct tk_apply *apply, const struct tk_meta_topic *topic)
{
	struct tk_log_config config = tk_log_config_default();

	config.revision = tk_meta_stamp(apply->meta, topic);
	config.segment_bytes = topic->config->segment_bytes;
	config.segment_ms = topic->config->segment_ms;
	if ((topic->config->cleanup_policy & TK_CLEANUP_COMPACT) != 0)
		config.segment_ms = TK_MIN(config.segment_ms, topic->config->max_compaction_lag_ms);
	config.index_interval_bytes = topic->config->index_interval_bytes;
	config.max_message_bytes = topic->config->max_message_bytes;
	config.file_delete_delay_ms = topic->config->file_delete_delay_ms;
	config.log_append_time = topic->config->timestamp_type == TK_TIMESTAMP_LOG_APPEND_TIME;
	config.preallocate = topic->config->preallocate != 0;
	topic_flush(apply->writer->proc->settings, topic->config, &config);
	return config;
}

static bool
log_config_equal(const struct tk_log_config *a, const struct tk_log_config *b)
{
	return a->revision == b->revision && a->segment_bytes == b->segment_bytes &&
	       a->segment_ms == b->segment_ms &&
	       a->index_interval_bytes == b->index_interval_bytes &&
	       a->max_message_bytes == b->max_message_bytes &&
	       a->file_delete_delay_ms == b->file_delete_delay_ms &&
	       a->log_append_time == b->log_append_time && a->preallocate == b->preallocate &&
	       a->flush_commit == b->flush_commit && a->flush_ms == b->flush_ms &&
	       a->flush_messages == b->flush_messages;
}

/* ---- opening ---- */

static void
opening_finish(struct tk_apply *apply, struct tk_log_opening *opening, bool internal)
{
	struct tk_writer_part *part;
	int rc = opening->rc;

	if (rc < 0)
		tk_err("%s", opening->problem.text);
	else
		rc = tk_part_adopt(
		    apply->writer, &opening->log, opening->identity.incarnation, internal, &part);
	if (rc < 0)
		apply_failed(apply, rc);
	else
		part->applied = apply->pass;
}

static void
apply_open(struct tk_apply *apply)
{
	if (apply->opening_count == 0)
		return;
	tk_logdir_open_logs(apply->writer->dir, apply->openings, apply->opening_count);
	for (size_t i = 0; i < apply->opening_count; i++)
		opening_finish(apply, &apply->openings[i], apply->internal[i]);
	apply->opening_count = 0;
}

static void
partition_open(struct tk_apply *apply, const struct tk_meta_topic *topic, int32_t index)
{
	const struct tk_meta_partition *partition = &topic->partitions[index];
	size_t at = apply->opening_count++;

	apply->internal[at] = topic->is_internal;
	apply->openings[at] = (struct tk_log_opening){
		.identity = { .topic = topic->name,
		    .partition = index,
		    .topic_id = topic->id,
		    .slot = partition->slot,
		    .incarnation = partition->incarnation,
		    .leader_epoch = partition->leader_epoch },
		.config = topic_log_config(apply, topic),
	};
	if (apply->opening_count == (apply->starting ? OPENINGS_MAX : OPENINGS_TURN))
		apply_open(apply);
}

/* ---- one partition ---- */

static void
partition_delete(struct tk_apply *apply, struct tk_writer_part *part)
{
	int rc = tk_part_delete(apply->writer, part);

	if (rc == 0)
		return;
	tk_err("could not delete partition \"%s\": %s", tk_log_name(part->log), strerror(-rc));
	apply_failed(apply, rc);
}

static void
partition_configure(struct tk_apply *apply, struct tk_writer_part *part,
    const struct tk_meta_topic *topic, int32_t leader_epoch)
{
	const struct tk_log_config config = topic_log_config(apply, topic);
	int rc = 0;

	part->applied = apply->pass;
	if (!log_config_equal(&config, tk_log_config(part->log)))
		tk_log_configure(part->log, &config);
	if (leader_epoch > part->state.leader_epoch && tk_trouble_busy(part))
		rc = -EBUSY; /* its files are a helper's: again when that is done */
	else if (leader_epoch > part->state.leader_epoch)
		rc = tk_log_set_leader_epoch(part->log, leader_epoch);
	if (rc < 0)
		apply_failed(apply, rc);
	tk_part_published(apply->writer, part);
}

static void
partition_apply(struct tk_apply *apply, const struct tk_meta_topic *topic, int32_t index)
{
	const struct tk_meta_partition *partition = &topic->partitions[index];
	struct tk_writer *writer = apply->writer;
	struct tk_writer_part *part;

	if (partition->incarnation == 0 || partition->directory != writer->proc->index)
		return;
	part = tk_part_find(writer, partition->slot);
	if (part != NULL && part->incarnation == partition->incarnation) {
		partition_configure(apply, part, topic, partition->leader_epoch);
		return;
	}
	if (part != NULL && part->incarnation == TK_META_INCARNATION) {
		tk_err("the metadata gives the journal's own slot to partition \"%s-%d\"",
		    topic->name, (int)index);
		apply_failed(apply, -EBADMSG);
		return;
	}
	if (part != NULL)
		partition_delete(apply, part);
	if (tk_trouble_busy_name(writer, topic->name, index))
		apply_failed(apply, -EBUSY); /* one of that name is being read */
	else if (tk_part_find(writer, partition->slot) == NULL)
		partition_open(apply, topic, index);
}

/* True if the view has this partition of a deleted topic still: the topic was made again. */
static bool
partition_lives(struct tk_apply *apply, const struct tk_meta_topic *topic, int32_t index)
{
	const struct tk_meta_topic *now =
	    tk_meta_topic_find(apply->meta, topic->name, topic->name_len);
	const struct tk_meta_partition *partition =
	    now == NULL ? NULL : tk_meta_partition_find(now, index);

	return partition != NULL && partition->incarnation == topic->partitions[index].incarnation;
}

static void
partition_vanish(struct tk_apply *apply, const struct tk_meta_topic *topic, int32_t index)
{
	const struct tk_meta_partition *partition = &topic->partitions[index];
	struct tk_writer *writer = apply->writer;
	struct tk_writer_part *part;

	if (partition->incarnation == 0 || partition->directory != writer->proc->index ||
	    partition_lives(apply, topic, index))
		return;
	part = tk_part_find_exact(writer, partition->slot, partition->incarnation);
	if (part != NULL)
		partition_delete(apply, part);
	else if (apply->starting)
		tk_stray_remove(writer, topic->name, index, &topic->id);
}

/* ---- a pass ---- */

static void
pass_enter_changed(struct tk_apply *apply)
{
	apply->phase = APPLY_CHANGED;
	apply->partition = 0;
	apply->topic =
	    apply->whole ? tk_meta_topic_first(apply->meta) : tk_meta_changed(apply->meta);
}

static void
pass_next_topic(struct tk_apply *apply)
{
	apply->partition = 0;
	if (apply->phase == APPLY_DELETED)
		apply->topic = tk_meta_deleted_next(apply->topic);
	else if (apply->whole)
		apply->topic = tk_meta_topic_next(apply->topic);
	else
		apply->topic = tk_meta_changed_next(apply->topic);
}

/* What stands open though the whole view has it nowhere: a deletion that failed before. */
static bool
pass_sweep(struct tk_apply *apply)
{
	struct tk_writer *writer = apply->writer;
	struct tk_writer_part *part;

	if (!apply->whole || apply->slot >= writer->parts_room)
		return false;
	part = writer->parts[apply->slot++];
	if (part != NULL && part->applied != apply->pass &&
	    part->incarnation != TK_META_INCARNATION)
		partition_delete(apply, part);
	return true;
}

/* One partition further; false at the end of the pass. */
static bool
pass_step(struct tk_apply *apply)
{
	if (apply->topic == NULL && apply->phase == APPLY_DELETED)
		pass_enter_changed(apply);
	if (apply->topic == NULL && apply->phase == APPLY_CHANGED) {
		apply_open(apply);
		apply->slot = 0;
		apply->phase = APPLY_SWEEP;
	}
	if (apply->phase == APPLY_SWEEP)
		return pass_sweep(apply);
	if (apply->partition >= apply->topic->partition_count)
		pass_next_topic(apply);
	else if (apply->phase == APPLY_DELETED)
		partition_vanish(apply, apply->topic, apply->partition++);
	else
		partition_apply(apply, apply->topic, apply->partition++);
	return true;
}

static void
order_answer(struct tk_apply *apply, struct apply_order *order, int rc)
{
	const struct tk_frame_applied answer = { .revision = tk_meta_revision(apply->meta),
		.error = rc };

	tk_caller_send(order->caller, TK_FRAME_APPLIED, order->id, &answer, sizeof(answer));
	apply->order_count--;
	free(order);
}

/* Answers those whose revision the view had when the pass began, or all of them with an error. */
static void
orders_answer(struct tk_apply *apply, int rc, bool all)
{
	STAILQ_HEAD(, apply_order) later = STAILQ_HEAD_INITIALIZER(later);
	struct apply_order *order;

	while ((order = STAILQ_FIRST(&apply->orders)) != NULL) {
		STAILQ_REMOVE_HEAD(&apply->orders, link);
		if (all || order->revision <= tk_meta_revision(apply->meta))
			order_answer(apply, order, rc);
		else
			STAILQ_INSERT_TAIL(&later, order, link);
	}
	STAILQ_CONCAT(&apply->orders, &later);
}

static int
pass_begin(struct tk_apply *apply)
{
	int rc = tk_meta_catch_up(apply->meta);

	if (rc < 0) {
		apply->whole_next = true;
		return rc;
	}
	apply->whole = apply->whole_next;
	apply->whole_next = false;
	apply->pass++;
	apply->rc = 0;
	apply->phase = APPLY_DELETED;
	apply->partition = 0;
	apply->topic = tk_meta_deleted(apply->meta);
	tk_post(apply->writer->loop, &apply->step);
	return 0;
}

/* Begins the pass that the orders waiting need, if they do. */
static void
orders_look(struct tk_apply *apply)
{
	struct apply_order *first;
	uint64_t revision;
	int rc;

	if (apply->phase != APPLY_IDLE || (first = STAILQ_FIRST(&apply->orders)) == NULL)
		return;
	revision = first->revision;
	rc = pass_begin(apply);
	if (rc < 0)
		tk_err("could not read the metadata journal: %s", strerror(-rc));
	else if (tk_meta_revision(apply->meta) < revision)
		rc = -ESTALE; /* nobody can have been told of a revision that is not published */
	if (rc < 0)
		orders_answer(apply, rc, true);
}

static void
pass_end(struct tk_apply *apply)
{
	apply->phase = APPLY_IDLE;
	apply->topic = NULL;
	tk_logdir_recovery_done(apply->writer->dir);
	if (apply->starting) {
		apply->starting = false;
		tk_strays_report(apply->writer);
		apply->started(apply->writer);
	}
	orders_answer(apply, apply->rc, false);
	orders_look(apply);
}

static void
apply_step(struct tk_post *post)
{
	struct tk_apply *apply = TK_CONTAINER_OF(post, struct tk_apply, step);
	int64_t end_ms = tk_clock_mono_ms() + TURN_MS;

	do {
		if (!pass_step(apply)) {
			pass_end(apply);
			return;
		}
	} while (tk_clock_mono_ms() < end_ms);
	tk_post(apply->writer->loop, &apply->step);
}

/* ---- what others call ---- */

bool
tk_apply_take(struct tk_caller *caller, uint64_t id, const struct tk_frame_apply *frame)
{
	struct tk_apply *apply = caller->writer->apply;
	struct apply_order *order;

	if (apply == NULL || apply->order_count >= ORDERS_MAX)
		return false;
	order = calloc(1, sizeof(*order));
	if (order == NULL)
		return false;
	order->caller = caller;
	order->id = id;
	order->revision = frame->revision;
	STAILQ_INSERT_TAIL(&apply->orders, order, link);
	apply->order_count++;
	orders_look(apply);
	return true;
}

/* What the view says of an open partition; NULL if it is not there any more. */
static const struct tk_meta_topic *
part_topic(const struct tk_apply *apply, const struct tk_writer_part *part, int32_t *ret_index)
{
	const char *name = tk_log_name(part->log);
	const char *dash = strrchr(name, '-');
	const struct tk_meta_partition *partition;
	const struct tk_meta_topic *topic;

	if (dash == NULL)
		return NULL;
	topic = tk_meta_topic_find(apply->meta, name, (size_t)(dash - name));
	*ret_index = (int32_t)strtol(dash + 1, NULL, 10);
	partition = topic == NULL ? NULL : tk_meta_partition_find(topic, *ret_index);
	return partition == NULL || partition->incarnation != part->incarnation ? NULL : topic;
}

/*
 * The order will come; whoever has seen the settings already need not wait for it, nor for the pass
 * to come to this partition.
 */
void
tk_apply_look(struct tk_writer *writer, struct tk_writer_part *part, uint64_t stamp)
{
	struct tk_apply *apply = writer->apply;
	const struct tk_meta_topic *topic;
	int32_t index;

	if (apply == NULL)
		return;
	if (apply->phase == APPLY_IDLE &&
	    tk_meta_stamp_revision(stamp) > tk_meta_revision(apply->meta) && pass_begin(apply) < 0)
		tk_debug("could not look into the metadata journal");
	if (apply->phase == APPLY_IDLE || part->incarnation == TK_META_INCARNATION)
		return;
	topic = part_topic(apply, part, &index);
	if (topic != NULL)
		partition_apply(apply, topic, index);
}

void
tk_apply_again(struct tk_writer *writer)
{
	struct tk_apply *apply = writer->apply;

	if (apply != NULL && apply->phase == APPLY_IDLE && apply->whole_next && !writer->stopping &&
	    pass_begin(apply) < 0)
		tk_debug("could not look into the metadata journal");
}

void
tk_apply_drop_caller(struct tk_caller *caller)
{
	struct tk_apply *apply = caller->writer->apply;
	struct apply_order *order, *next;

	if (apply == NULL)
		return;
	for (order = STAILQ_FIRST(&apply->orders); order != NULL; order = next) {
		next = STAILQ_NEXT(order, link);
		if (order->caller != caller)
			continue;
		STAILQ_REMOVE(&apply->orders, order, apply_order, link);
		apply->order_count--;
		free(order);
	}
}

void
tk_apply_settings(struct tk_writer *writer, const struct tk_settings *settings)
{
	struct tk_apply *apply = writer->apply;
	int rc = 0;

	if (apply == NULL)
		return;
	while (apply->phase != APPLY_IDLE) { /* its pointers are about to go */
		tk_post_cancel(writer->loop, &apply->step);
		if (!pass_step(apply))
			pass_end(apply);
	}
	tk_meta_set_settings(apply->meta, settings);
	tk_meta_set_generation(apply->meta, writer->proc->topics_generation);
	apply->whole_next = true;
	rc = pass_begin(apply);
	if (rc < 0)
		tk_err("could not read the metadata journal: %s", strerror(-rc));
}

bool
tk_apply_busy(const struct tk_writer *writer)
{
	return writer->apply != NULL && writer->apply->phase != APPLY_IDLE;
}

int
tk_apply_start(struct tk_writer *writer, const struct tk_zone *journal_zone,
    const char *journal_directory, void (*started)(struct tk_writer *writer))
{
	struct tk_uuid ids[TK_DIRECTORIES_MAX] = { 0 };
	struct tk_apply *apply = calloc(1, sizeof(*apply));
	int rc;

	if (apply == NULL)
		return -ENOMEM;
	rc = tk_meta_open(journal_zone, journal_directory, writer->proc->settings, &apply->meta);
	if (rc < 0) {
		free(apply);
		return rc;
	}
	tk_meta_set_generation(apply->meta, writer->proc->topics_generation);
	ids[writer->proc->index] = tk_logdir_directory_id(writer->dir);
	tk_meta_set_directories(apply->meta, ids, writer->proc->index + 1);
	apply->writer = writer;
	apply->step.run = apply_step;
	apply->starting = true;
	apply->started = started;
	STAILQ_INIT(&apply->orders);
	writer->apply = apply;
	return pass_begin(apply);
}

void
tk_apply_free(struct tk_writer *writer)
{
	struct tk_apply *apply = writer->apply;
	struct apply_order *order;

	if (apply == NULL)
		return;
	while ((order = STAILQ_FIRST(&apply->orders)) != NULL) {
		STAILQ_REMOVE_HEAD(&apply->orders, link);
		free(order);
	}
	tk_post_cancel(writer->loop, &apply->step);
	tk_meta_close(&apply->meta);
	free(apply);
	writer->apply = NULL;
}
