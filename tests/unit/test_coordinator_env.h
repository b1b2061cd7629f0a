/*
 * For tests of the coordinator: one, with writers and a worker that the test plays, all on one loop
 * and joined by real sockets.
 */
#ifndef TK_TESTS_COORDINATOR_ENV_H
#define TK_TESTS_COORDINATOR_ENV_H

#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/errlog.h"
#include "base/uuid.h"
#include "coordinator/coordinator_private.h"
#include "os/poll.h"
#include "os/unix.h"
#include "test_meta_env.h"

#define ARENA_BYTES ((size_t)33 << 20)
#define WRITERS_MAX 2
#define ANSWERS_MAX 512

/*
 * What a writer does with the next APPENDs, a letter each; behind the last all is well.
 *
 *	o all is well           e an error, nothing written    E an error, but written
 *	b dies before writing   a dies after writing
 *	s freezes before        S freezes after
 */
struct fake_writer {
	struct world *world;
	unsigned index;
	struct tk_event listen;
	struct tk_channel *chan;
	const char *script;
	bool frozen;
	bool apply_silent, apply_fails;
	struct tk_zone *zone;
	struct tk_meta *view;
	unsigned appends, applies, hellos;
};

struct fake_answer {
	uint64_t id;
	int32_t status;
	uint8_t *body;
	size_t len;
};

struct world {
	struct meta_env env;
	struct tk_loop *loop;
	struct tk_cycle cycle;
	struct tk_process proc;
	struct tk_peer peer;
	int control_other; /* the master's end */
	struct tk_coordinator *coord;
	struct fake_writer writers[WRITERS_MAX];
	unsigned writer_count;
	struct tk_channel *worker;
	bool worker_closed;
	struct fake_answer answers[ANSWERS_MAX];
	size_t answer_count;
	uint64_t next_id;
	struct tk_arena arena; /* of requests and answers */
	bool (*until)(struct world *world);
	uint64_t until_id;
	struct tk_turn_hook hook;
	struct tk_timer timeout;
	bool timed_out;
};

/* ---- the writers ---- */

static inline void
writer_publish(struct fake_writer *writer)
{
	const struct tk_meta_topic *topic;

	for (topic = tk_meta_topic_first(writer->view); topic != NULL;
	     topic = tk_meta_topic_next(topic))
		for (int32_t i = 0; i < topic->partition_count; i++) {
			const struct tk_meta_partition *part = &topic->partitions[i];
			const struct tk_part_state state = { .incarnation = part->incarnation,
				.status = TK_PART_ONLINE };

			if (part->directory != writer->index || part->incarnation == 0)
				continue;
			env_must(!(writer->index == 0 && part->slot == TK_META_SLOT),
			    "the journal's slot was given away");
			env_must(tk_zone_reserve(writer->zone, part->slot) == 0, "reserve");
			tk_zone_publish(writer->zone, part->slot, &state);
		}
}

static inline void
writer_applies(struct fake_writer *writer, uint64_t id, const struct tk_frame_apply *apply)
{
	struct tk_frame_applied applied = { .error = writer->apply_fails ? -ENOSPC : 0 };
	struct tk_uuid ids[WRITERS_MAX];

	writer->applies++;
	if (writer->apply_silent)
		return;
	for (unsigned i = 0; i < writer->world->writer_count; i++)
		ids[i] = tk_zone_header(writer->world->writers[i].zone)->directory_id;
	env_must(tk_meta_catch_up(writer->view) == 0, "a writer could not read the journal");
	tk_meta_set_directories(writer->view, ids, writer->world->writer_count);
	applied.revision = tk_meta_revision(writer->view);
	env_must(applied.revision >= apply->revision, "told of a revision that is not there");
	if (!writer->apply_fails)
		writer_publish(writer);
	(void)tk_channel_send1(writer->chan, TK_FRAME_APPLIED, id, &applied, sizeof(applied));
}

/* What a writer makes sure of before it writes. */
static inline void
writer_checks(struct world *world, const struct tk_frame_append *append, uint8_t **ret_copy)
{
	struct tk_batch_header header;
	uint8_t *copy;

	env_must(append->slot == TK_META_SLOT && (append->flags & TK_APPEND_SYNC) != 0 &&
		     append->incarnation == world->env.state.incarnation,
	    "a strange append");
	env_must(append->arena_offset + append->len <= ARENA_BYTES && append->len > 61, "bounds");
	copy = malloc(append->len);
	env_must(copy != NULL, "malloc");
	memcpy(copy, world->proc.arena + append->arena_offset, append->len);
	tk_batch_header_read(copy, &header);
	env_must(tk_batch_size(&header) == append->len, "length");
	env_must(tk_crc32c(0, copy + 21, append->len - 21) == header.crc, "checksum");
	*ret_copy = copy;
}

static inline bool
writer_appends(struct fake_writer *writer, uint64_t id, const struct tk_frame_append *append)
{
	struct tk_frame_appended answer = { .log_start = 0 };
	struct world *world = writer->world;
	char what = *writer->script == '\0' ? 'o' : *writer->script++;
	uint8_t *copy;

	writer->appends++;
	writer_checks(world, append, &copy);
	answer.base_offset = world->env.state.log_end.offset;
	if (strchr("oEaS", what) != NULL)
		env_append(&world->env, copy, append->len);
	free(copy);
	if (what == 's' || what == 'S')
		writer->frozen = true;
	if (what == 'e' || what == 'E')
		answer.error = TK_ERR_KAFKA_STORAGE_ERROR;
	if (strchr("oeE", what) != NULL)
		(void)tk_channel_send1(
		    writer->chan, TK_FRAME_APPENDED, id, &answer, sizeof(answer));
	return what != 'a' && what != 'b';
}

static inline bool
writer_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct fake_writer *writer = tk_channel_owner(chan);
	struct tk_frame_append append;
	struct tk_frame_apply apply;

	if (frame->type == TK_FRAME_HELLO) {
		writer->hellos++;
		return true;
	}
	if (writer->frozen)
		return true;
	if (frame->type == TK_FRAME_APPLY) {
		env_must(frame->len == sizeof(apply), "APPLY");
		memcpy(&apply, payload, sizeof(apply));
		writer_applies(writer, frame->id, &apply);
		return true;
	}
	env_must(frame->type == TK_FRAME_APPEND && frame->len == sizeof(append), "APPEND");
	memcpy(&append, payload, sizeof(append));
	return writer_appends(writer, frame->id, &append);
}

static inline void
writer_closed(struct tk_channel *chan)
{
	struct fake_writer *writer = tk_channel_owner(chan);

	tk_channel_free(&writer->chan);
}

static const struct tk_channel_ops writer_ops = { .frame = writer_frame, .closed = writer_closed };

static inline void
writer_accepts(struct tk_event *event, unsigned what)
{
	struct fake_writer *writer = TK_CONTAINER_OF(event, struct fake_writer, listen);
	int fd = accept4(event->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	tk_channel_free(&writer->chan);
	env_must(tk_channel_new(writer->world->loop, fd, &writer_ops, writer, &writer->chan) == 0,
	    "channel");
}

/* Dies and is there again; what it had of the coordinator is fenced. */
static inline void
writer_restart(struct fake_writer *writer)
{
	writer->frozen = false;
	tk_channel_free(&writer->chan);
}

static inline void
writer_init(struct world *world, unsigned index)
{
	struct fake_writer *writer = &world->writers[index];
	char name[32];

	writer->world = world;
	writer->index = index;
	writer->script = "";
	(void)snprintf(name, sizeof(name), TK_ZONE_FMT, index);
	if (index == 0)
		writer->zone = world->env.zone;
	else
		env_must(tk_zone_open(world->env.dir_fd, name, &writer->zone) == 0, "zone");
	tk_zone_header(writer->zone)->directory_id = tk_uuid_random();
	writer->view = env_open(&world->env);
	(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, index);
	writer->listen = (struct tk_event){ .fd = tk_unix_listen(world->env.dir_fd, name, 0600, 16),
		.ready = writer_accepts };
	env_must(writer->listen.fd >= 0, "listen");
	env_must(tk_event_add(world->loop, &writer->listen, TK_POLL_READ) == 0, "event");
}

/* ---- the loop ---- */

static inline void
world_hook(struct tk_turn_hook *hook)
{
	struct world *world = TK_CONTAINER_OF(hook, struct world, hook);

	if (world->until != NULL && world->until(world))
		tk_loop_stop(world->loop);
}

static inline void
world_timeout(struct tk_timer *timer)
{
	struct world *world = TK_CONTAINER_OF(timer, struct world, timeout);

	world->timed_out = true;
	tk_loop_stop(world->loop);
}

static inline bool
never(struct world *world)
{
	(void)world;
	return false;
}

/* Runs until it is so; false if that takes longer than ms. */
static inline bool
world_run(struct world *world, bool (*until)(struct world *world), int64_t ms)
{
	if (until(world))
		return true;
	world->until = until;
	world->timed_out = false;
	/* The loop's clock stood still while it did not run. */
	ms += tk_clock_mono_ms() - tk_loop_now_ms(world->loop);
	env_must(tk_timer_start(world->loop, &world->timeout, ms) == 0, "timer");
	tk_loop_run(world->loop);
	tk_timer_stop(world->loop, &world->timeout);
	world->until = NULL;
	return !world->timed_out;
}

/* ---- the coordinator and its worker ---- */

static inline bool
is_ready(struct world *world)
{
	return world->coord->ready;
}

static inline void
world_start(struct world *world)
{
	world->coord = calloc(1, sizeof(*world->coord));
	env_must(world->coord != NULL, "calloc");
	env_must(tk_coordinator_start(world->coord, &world->proc) == 0, "start");
}

/* As a kill -9: nothing of it is left but what it wrote. */
static inline void
world_kill(struct world *world)
{
	tk_coordinator_free(world->coord);
	free(world->coord);
	world->coord = NULL;
	memset(world->proc.arena, 0xee, 4096);
}

static inline bool
worker_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct world *world = tk_channel_owner(chan);
	struct tk_frame_forwarded forwarded;
	struct fake_answer *answer = &world->answers[world->answer_count++];

	env_must(world->answer_count < ANSWERS_MAX, "answers");
	env_must(frame->type == TK_FRAME_FORWARDED && frame->len >= sizeof(forwarded), "frame");
	memcpy(&forwarded, payload, sizeof(forwarded));
	env_must(frame->len == sizeof(forwarded) + forwarded.body_len, "length");
	answer->id = frame->id;
	answer->status = forwarded.status;
	answer->len = forwarded.body_len;
	answer->body = malloc(answer->len + 1);
	env_must(answer->body != NULL, "malloc");
	memcpy(answer->body, (const uint8_t *)payload + sizeof(forwarded), answer->len);
	return true;
}

static inline void
worker_closed(struct tk_channel *chan)
{
	struct world *world = tk_channel_owner(chan);

	world->worker_closed = true;
	tk_channel_free(&world->worker);
}

static const struct tk_channel_ops worker_ops = { .frame = worker_frame, .closed = worker_closed };

static inline void
worker_connect(struct world *world)
{
	tk_channel_free(&world->worker);
	world->worker_closed = false;
	env_must(tk_channel_connect(world->loop, world->env.dir_fd, TK_CHANNEL_COORDINATOR,
		     &worker_ops, world, &world->worker) == 0,
	    "connect");
}

static inline struct fake_answer *
answer_find(struct world *world, uint64_t id)
{
	for (size_t i = 0; i < world->answer_count; i++)
		if (world->answers[i].id == id)
			return &world->answers[i];
	return NULL;
}

static inline bool
is_answered(struct world *world)
{
	return answer_find(world, world->until_id) != NULL;
}

static inline void
answers_forget(struct world *world)
{
	for (size_t i = 0; i < world->answer_count; i++)
		free(world->answers[i].body);
	world->answer_count = 0;
}

/* Sends body; its id. */
static inline uint64_t
forward_bytes(struct world *world, int16_t api_key, int16_t version, const void *body, size_t len,
    int64_t timeout_ms)
{
	const struct tk_frame_forward forward = { .deadline_ms = tk_clock_mono_ms() + timeout_ms,
		.api_key = api_key,
		.api_version = version,
		.client_id_len = 4,
		.host_len = 9,
		.body_len = (uint32_t)len };
	const struct iovec pieces[] = { { (void *)(uintptr_t)&forward, sizeof(forward) },
		{ (void *)(uintptr_t) "cl\nt127.0.0.1", 13 }, { (void *)(uintptr_t)body, len } };

	env_must(tk_channel_send(world->worker, TK_FRAME_FORWARD, ++world->next_id, pieces, 3) == 0,
	    "send");
	return world->next_id;
}

static inline uint64_t
forward(struct world *world, int16_t api_key, int16_t version, const struct tk_chain *body,
    int64_t timeout_ms)
{
	uint8_t *flat = malloc(body->len + 1);
	size_t len = 0;
	uint64_t id;

	env_must(flat != NULL && !tk_chain_failed(body), "chain");
	for (const struct tk_piece *piece = body->first; piece != NULL; piece = piece->next) {
		memcpy(flat + len, piece->data, piece->len);
		len += piece->len;
	}
	id = forward_bytes(world, api_key, version, flat, len, timeout_ms);
	free(flat);
	return id;
}

/* The answer to id, waited for. */
static inline struct fake_answer *
answer_wait(struct world *world, uint64_t id)
{
	world->until_id = id;
	env_must(world_run(world, is_answered, 20000), "no answer came");
	return answer_find(world, id);
}

static inline void
world_init(struct world *world, unsigned writers, const char *settings)
{
	int pair[2];

	memset(world, 0, sizeof(*world));
	tk_errlog_level(TK_LEVEL_ERROR);
	(void)tk_errlog_open("/dev/null");
	env_init(&world->env);
	tk_arena_init(&world->arena, (size_t)256 << 20);
	env_must(tk_loop_new(&world->loop) == 0, "loop");
	world->hook.run = world_hook;
	tk_turn_hook_add(world->loop, &world->hook);
	world->timeout.expire = world_timeout;
	world->writer_count = writers;
	for (unsigned i = 0; i < writers; i++)
		writer_init(world, i);
	env_must(tk_unix_pair(pair) == 0, "pair");
	world->control_other = pair[1];
	world->cycle.run_dir_fd = world->env.dir_fd;
	world->cycle.directory_count = writers;
	world->cycle.directories[0].path = world->env.path;
	world->cycle.directories[1].path = "/nowhere";
	world->cycle.coordinator_fd =
	    tk_unix_listen(world->env.dir_fd, TK_CHANNEL_COORDINATOR, 0600, 16);
	env_must(world->cycle.coordinator_fd >= 0, "listen");
	world->proc = (struct tk_process){ .role = TK_ROLE_COORDINATOR,
		.cycle = &world->cycle,
		.settings = env_settings(&world->env.arena, settings),
		.loop = world->loop,
		.arena = calloc(1, ARENA_BYTES),
		.arena_size = ARENA_BYTES,
		.arena_fd = -1,
		.control = { .fd = pair[0] } };
	env_must(world->proc.arena != NULL, "arena");
	LIST_INIT(&world->proc.peers);
	world->peer = (struct tk_peer){ .pid = getpid(), .role = TK_ROLE_WORKER, .references = 1 };
	LIST_INSERT_HEAD(&world->proc.peers, &world->peer, link);
	world_start(world);
	worker_connect(world);
}

static inline void
world_free(struct world *world)
{
	if (world->coord != NULL)
		world_kill(world);
	answers_forget(world);
	tk_channel_free(&world->worker);
	for (unsigned i = 0; i < world->writer_count; i++) {
		struct fake_writer *writer = &world->writers[i];

		tk_channel_free(&writer->chan);
		tk_event_remove(world->loop, &writer->listen);
		(void)close(writer->listen.fd);
		tk_meta_close(&writer->view);
		if (i > 0)
			tk_zone_close(&writer->zone);
	}
	(void)close(world->control_other);
	(void)close(world->proc.control.fd);
	(void)close(world->cycle.coordinator_fd);
	tk_turn_hook_remove(world->loop, &world->hook);
	tk_loop_free(&world->loop);
	free(world->proc.arena);
	tk_arena_reset(&world->arena);
	env_free(&world->env);
}

#endif
