/*
 * DescribeLogDirs: what is in the data directories, and how full their file systems are.  Runs in
 * workers.
 *
 * A partition's size is the sum of its segments as its writer lists them, the active one as far as
 * it is published.  Every writer is asked for the lists of its partitions; a directory whose writer
 * does not answer in time has REQUEST_TIMED_OUT in place of its partitions.
 */
#include <string.h>
#include <sys/statvfs.h>

#include "handlers.h"
#include "server/frames.h"

#define WRITERS_WAIT_MS 10000

struct dirs_part {
	struct tk_bytes topic;
	int32_t partition;
	unsigned directory;
	struct tk_ask *asked; /* while its writer has it */
	bool told;            /* else it is gone */
	int64_t size_bytes;
};

struct describe_dirs {
	struct tk_request *req;
	struct tk_describe_log_dirs_request msg;
	struct dirs_part *parts;
	size_t count, room;
	size_t pending;
	int16_t errors[TK_DIRECTORIES_MAX];
};

/* ---- asking ---- */

static void
part_segments_are(void *owner, unsigned index, const void *payload, size_t len)
{
	struct describe_dirs *dirs = owner;
	struct dirs_part *part = &dirs->parts[index];
	const uint8_t *list = (const uint8_t *)payload + sizeof(struct tk_frame_segments_are);
	struct tk_frame_segments_are head;
	struct tk_segment_info info;

	memcpy(&head, payload, sizeof(head));
	part->asked = NULL;
	part->told = head.error == 0 && len == sizeof(head) + head.count * sizeof(info);
	if (!part->told && head.error != -ENOENT)
		dirs->errors[part->directory] = TK_ERR_KAFKA_STORAGE_ERROR;
	for (uint32_t i = 0; part->told && i < head.count; i++) {
		memcpy(&info, list + i * sizeof(info), sizeof(info));
		part->size_bytes += info.size_bytes;
	}
	if (--dirs->pending == 0)
		tk_request_wake(dirs->req);
}

static bool
part_add(struct describe_dirs *dirs, const struct tk_meta_topic *topic, int32_t partition)
{
	struct tk_request *req = dirs->req;
	struct tk_frame_segments frame = { 0 };
	struct dirs_part *part;
	struct tk_part where;

	if (tk_worker_part(req->worker, topic, partition, &where) != TK_ERR_NONE)
		return true; /* not here, or not to be read: left out, as in Kafka */
	tk_assert(dirs->count < dirs->room);
	part = &dirs->parts[dirs->count];
	/* The view may move on while we wait. */
	*part = (struct dirs_part){ .topic = { (const uint8_t *)tk_arena_strndup(&req->arena,
						   (const uint8_t *)topic->name, topic->name_len),
					(uint32_t)topic->name_len },
		.partition = partition,
		.directory = where.key.directory };
	frame.incarnation = where.key.incarnation;
	frame.slot = where.key.slot;
	if (part->topic.data == NULL ||
	    tk_worker_ask(req->worker, part->directory, TK_FRAME_SEGMENTS, &frame, sizeof(frame),
		part_segments_are, dirs, (unsigned)dirs->count, &part->asked) < 0)
		return false;
	dirs->count++;
	dirs->pending++;
	return true;
}

static bool
parts_room(struct describe_dirs *dirs, size_t room)
{
	dirs->room = room;
	dirs->parts = tk_arena_calloc(&dirs->req->arena, room + 1, sizeof(*dirs->parts));
	return dirs->parts != NULL;
}

static bool
parts_all(struct describe_dirs *dirs)
{
	const struct tk_meta *meta = dirs->req->worker->meta;
	const struct tk_meta_topic *topic;

	if (!parts_room(dirs, tk_meta_partition_count(meta)))
		return false;
	for (topic = tk_meta_topic_first(meta); topic != NULL; topic = tk_meta_topic_next(topic))
		for (int32_t i = 0; i < topic->partition_count; i++)
			if (!part_add(dirs, topic, i))
				return false;
	return true;
}

static bool
parts_asked_for(struct describe_dirs *dirs)
{
	const struct tk_describe_log_dirs_request *msg = &dirs->msg;
	size_t room = 0;

	for (int32_t i = 0; i < msg->topics_count; i++)
		room += (size_t)TK_MAX(msg->topics[i].partitions_count, 0);
	if (!parts_room(dirs, room))
		return false;
	for (int32_t i = 0; i < msg->topics_count; i++) {
		const struct tk_describe_log_dirs_request_topic *ask = &msg->topics[i];
		const struct tk_meta_topic *topic =
		    tk_meta_topic_find(dirs->req->worker->meta, ask->topic.data, ask->topic.len);

		for (int32_t k = 0; topic != NULL && k < ask->partitions_count; k++)
			if (!part_add(dirs, topic, ask->partitions[k]))
				return false;
	}
	return true;
}

static void
dirs_give_up(struct describe_dirs *dirs)
{
	for (size_t i = 0; i < dirs->count; i++) {
		if (dirs->parts[i].asked == NULL)
			continue;
		tk_ask_forget(dirs->parts[i].asked);
		dirs->parts[i].asked = NULL;
		dirs->errors[dirs->parts[i].directory] = TK_ERR_REQUEST_TIMED_OUT;
	}
	dirs->pending = 0;
}

/* ---- answering ---- */

static bool
is_of(const struct dirs_part *part, unsigned directory)
{
	return part->directory == directory && part->told;
}

static bool
same_topic(const struct tk_bytes *a, const struct tk_bytes *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* The partitions of one directory, those of a topic that follow each other under one name. */
static bool
result_topics(const struct describe_dirs *dirs, unsigned directory,
    struct tk_describe_log_dirs_response_result *ret)
{
	struct tk_arena *arena = &dirs->req->arena;
	struct tk_describe_log_dirs_response_topic *topic = NULL;
	struct tk_describe_log_dirs_response_partition *parts;

	ret->topics = tk_arena_calloc(arena, dirs->count + 1, sizeof(*ret->topics));
	parts = tk_arena_calloc(arena, dirs->count + 1, sizeof(*parts));
	if (ret->topics == NULL || parts == NULL)
		return false;
	for (size_t i = 0; i < dirs->count; i++) {
		const struct dirs_part *part = &dirs->parts[i];

		if (!is_of(part, directory))
			continue;
		if (topic == NULL || !same_topic(&topic->name, &part->topic)) {
			topic = &ret->topics[ret->topics_count++];
			tk_describe_log_dirs_response_topic_init(topic);
			topic->name = part->topic;
			topic->partitions = parts;
		}
		tk_describe_log_dirs_response_partition_init(parts);
		parts->partition_index = part->partition;
		parts->partition_size = part->size_bytes;
		parts++;
		topic->partitions_count++;
	}
	return true;
}

static bool
result_fill(const struct describe_dirs *dirs, unsigned directory,
    struct tk_describe_log_dirs_response_result *ret)
{
	const struct tk_worker *worker = dirs->req->worker;
	struct statvfs fs;

	tk_describe_log_dirs_response_result_init(ret);
	ret->log_dir = tk_text(worker->proc->cycle->directories[directory].path);
	if (fstatvfs(worker->directory_fds[directory], &fs) < 0) {
		ret->error_code = TK_ERR_KAFKA_STORAGE_ERROR;
		return true;
	}
	ret->total_bytes = (int64_t)(fs.f_blocks * fs.f_frsize);
	ret->usable_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
	ret->error_code = dirs->errors[directory];
	return ret->error_code != TK_ERR_NONE || result_topics(dirs, directory, ret);
}

static enum tk_io
dirs_reply(struct describe_dirs *dirs)
{
	struct tk_request *req = dirs->req;
	struct tk_describe_log_dirs_response msg;

	tk_describe_log_dirs_response_init(&msg);
	msg.results =
	    tk_arena_calloc(&req->arena, req->worker->directory_count + 1, sizeof(*msg.results));
	if (msg.results == NULL)
		return TK_IO_ERROR;
	for (unsigned i = 0; i < req->worker->directory_count; i++)
		if (!result_fill(dirs, i, &msg.results[msg.results_count++]))
			return TK_IO_ERROR;
	return tk_request_reply(req, &msg);
}

static enum tk_io
describe_log_dirs_handle(struct tk_request *req)
{
	struct describe_dirs *dirs = req->ctx;

	if (dirs == NULL) {
		dirs = tk_arena_calloc(&req->arena, 1, sizeof(*dirs));
		if (dirs == NULL || !tk_request_decode(req, &dirs->msg))
			return TK_IO_ERROR;
		req->ctx = dirs;
		dirs->req = req;
		(void)!tk_meta_catch_up(req->worker->meta);
		if (dirs->msg.topics_count < 0 ? !parts_all(dirs) : !parts_asked_for(dirs)) {
			dirs_give_up(dirs);
			return TK_IO_ERROR;
		}
		if (dirs->pending > 0)
			tk_request_wake_after(req, WRITERS_WAIT_MS);
	} else if (req->timer_fired) {
		dirs_give_up(dirs);
	}
	return dirs->pending > 0 ? TK_IO_AGAIN : dirs_reply(dirs);
}

static void
describe_log_dirs_cancel(struct tk_request *req)
{
	if (req->ctx != NULL)
		dirs_give_up(req->ctx);
}

static const struct tk_api apis[] = {
	{ 35, 1, 4, 0, 0, describe_log_dirs_handle, describe_log_dirs_cancel },
};

static const struct tk_handler describe_log_dirs_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_describe_log_dirs = { .abi = TK_MODULE_ABI,
	.name = "describe_log_dirs",
	.kind = TK_MODULE_HANDLER,
	.handler = &describe_log_dirs_handler };
