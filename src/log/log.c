/*
 * A partition's handle: what is published of it, settings, closing.  Writer process; see log.h.
 */
#include "log/log.h"

#include <stdlib.h>
#include <string.h>

#include "base/killpoint.h"
#include "log/log_private.h"

struct tk_log_config
tk_log_config_default(void)
{
	return (struct tk_log_config){ .segment_bytes = 1073741824,
		.segment_ms = 604800000,
		.segment_index_bytes = 10485760,
		.index_interval_bytes = 4096,
		.max_message_bytes = 1048588,
		.file_delete_delay_ms = 60000,
		.flush_ms = INT64_MAX,
		.flush_messages = INT64_MAX };
}

void
tk_log_publish(struct tk_log *log)
{
	tk_killpoint("before_publish");
	tk_zone_publish(log->dir->zone, log->slot, &log->state);
	tk_killpoint("after_publish");
}

void
tk_log_set_watermark(struct tk_log *log, const struct tk_position *durable)
{
	if (durable->offset < log->state.high_watermark.offset)
		return;
	log->state.high_watermark = *durable;
	log->state.last_stable = *durable;
}

void
tk_log_set_all(struct tk_log *log, struct tk_position end)
{
	log->state.log_end = end;
	log->state.high_watermark = end;
	log->state.last_stable = end;
}

/* Where commits wait for the disk, the watermark stands until a sync moves it. */
void
tk_log_set_end(struct tk_log *log, struct tk_position end)
{
	log->state.log_end = end;
	if (!log->config.flush_commit || log->state.high_watermark.offset == end.offset)
		tk_log_set_all(log, end);
}

void
tk_log_free(struct tk_log **plog)
{
	struct tk_log *log = *plog;

	if (log == NULL)
		return;
	tk_log_close_files(log);
	tk_segment_list_free(&log->segments);
	tk_producers_free(&log->producers);
	free(log);
	*plog = NULL;
}

void
tk_log_close(struct tk_log **plog)
{
	if (*plog == NULL)
		return;
	TAILQ_REMOVE(&(*plog)->dir->logs, *plog, link);
	tk_log_free(plog);
}

void
tk_log_configure(struct tk_log *log, const struct tk_log_config *config)
{
	log->config = *config;
	log->state.config_revision = config->revision;
	if (!config->flush_commit && log->state.status != TK_PART_OFFLINE)
		tk_log_set_all(log, log->state.log_end);
	tk_log_publish(log);
}

int
tk_log_set_leader_epoch(struct tk_log *log, int32_t leader_epoch)
{
	int rc;

	if (leader_epoch <= log->state.leader_epoch)
		return leader_epoch == log->state.leader_epoch ? 0 : -EINVAL;
	rc = tk_epochs_add(log->dir->fd, log->name, leader_epoch, log->state.log_end.offset);
	if (rc < 0)
		return rc;
	log->state.leader_epoch = leader_epoch;
	tk_log_publish(log);
	return 0;
}

int
tk_log_segments(struct tk_log *log, struct tk_segment_info **ret_infos, size_t *ret_count)
{
	struct tk_segment_info *infos;
	size_t count;
	int rc;

	rc = tk_log_load_segments(log);
	if (rc < 0)
		return rc;
	count = log->segments.count;
	infos = malloc(count * sizeof(*infos));
	if (infos == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct tk_segment_info *info = &log->segments.items[i].info;

		if (i == count - 1) {
			info->size_bytes = log->state.log_end.position;
			info->max_timestamp = -1;
		} else if (info->max_timestamp == TK_TIMESTAMP_UNREAD) {
			info->max_timestamp =
			    tk_index_last_time(log->dir->fd, log->name, info->base_offset);
		}
		infos[i] = *info;
	}
	*ret_infos = infos;
	*ret_count = count;
	return 0;
}

int64_t
tk_log_clean_point(const struct tk_log *log)
{
	return log->clean_point;
}

int
tk_log_set_clean_point(struct tk_log *log, int64_t offset)
{
	if (offset < 0 || offset > log->state.log_end.offset)
		return -EINVAL;
	log->clean_point = offset;
	return tk_logdir_write_clean_points(log->dir);
}

const struct tk_part_state *
tk_log_state(const struct tk_log *log)
{
	return &log->state;
}

const struct tk_log_config *
tk_log_config(const struct tk_log *log)
{
	return &log->config;
}

const char *
tk_log_name(const struct tk_log *log)
{
	return log->name;
}

uint32_t
tk_log_slot(const struct tk_log *log)
{
	return log->slot;
}

struct tk_uuid
tk_log_topic_id(const struct tk_log *log)
{
	return log->topic_id;
}

void
tk_log_set_user(struct tk_log *log, void *user)
{
	log->user = user;
}

void *
tk_log_user(const struct tk_log *log)
{
	return log->user;
}
