/*
 * A writer in this process, and callers that speak to it through socket pairs.
 *
 * Everything is one thread: a test writes frames into a pair's other end, lets the writer's loop
 * turn, and reads what has come back.  Callers' arenas are heap memory of exactly their size, so a
 * read past the end is seen.
 */
#ifndef TK_TESTS_WRITER_H
#define TK_TESTS_WRITER_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "log/batch.h"
#include "meta/meta.h"
#include "os/file.h"
#include "test_writer_batch.h"
#include "unit.h"
#include "wire/error_codes.h"
#include "writer/writer_private.h"

#define ARENA_BYTES ((size_t)256 << 10)

/* ---- the writer ---- */

static struct tk_arena settings_arena;
static struct tk_settings *settings;
static struct tk_cycle cycle;
static struct tk_process proc;
static struct tk_writer writer;
static char base_path[64], data_path[96], run_path[96];
static struct tk_post turn_end;
static const struct tk_process_ops no_ops;

static void
turn_stop(struct tk_post *post)
{
	(void)post;
	tk_loop_stop(proc.loop);
}

/* Lets the loop turn; it never waits.  (Each run of the loop begins with one more turn's end.) */
static void
turns(unsigned count)
{
	while (count-- > 0) {
		tk_post(proc.loop, &turn_end);
		tk_loop_run(proc.loop);
	}
}

static void
env_paths(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(base_path, sizeof(base_path), "%s/tkwriter.XXXXXX",
	    tmp == NULL || strlen(tmp) > 40 ? "/tmp" : tmp);
	CU_ASSERT_FATAL(mkdtemp(base_path) != NULL);
	(void)snprintf(data_path, sizeof(data_path), "%s/data", base_path);
	(void)snprintf(run_path, sizeof(run_path), "%s/run", base_path);
	CU_ASSERT_FATAL(mkdir(run_path, 0700) == 0);
}

static void
env_settings(void)
{
	struct tk_settings_errors errors = { .arena = &settings_arena };

	tk_arena_init(&settings_arena, (size_t)16 << 20);
	CU_ASSERT_FATAL(
	    tk_settings_load(&settings_arena, &(struct tk_settings_source){ .prefix = base_path },
		&settings, &errors) == 0);
	settings->num_recovery_threads_per_data_dir = 1;
}

/* A writer of directory 0 on what base_path has; ready, with nothing but the journal. */
static void
env_open(void)
{
	memset(tk_page, 0, sizeof(*tk_page));
	cycle = (struct tk_cycle){ .settings = settings, .generation = 1, .directory_count = 1 };
	cycle.directories[0].path = data_path;
	cycle.run_dir_fd = open(run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(cycle.run_dir_fd >= 0);
	proc = (struct tk_process){ .role = TK_ROLE_WRITER,
		.cycle = &cycle,
		.settings = settings,
		.ops = &no_ops,
		.arena_fd = -1,
		.control = { .fd = -1 } };
	CU_ASSERT_FATAL(tk_loop_new(&proc.loop) == 0);
	turn_end.run = turn_stop;
	tk_writer_init(&writer, &proc);
	CU_ASSERT_FATAL(tk_writer_open(&writer) == 0);
	writer.ready = true;
}

static void
env_new(void)
{
	env_paths();
	env_settings();
	env_open();
}

/* As kill -9 would leave it. */
static void
env_crash(void)
{
	tk_writer_free(&writer);
	tk_loop_free(&proc.loop);
	(void)close(cycle.run_dir_fd);
}

static void
remove_tree(void)
{
	char command[160];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", base_path);
	CU_ASSERT(system(command) == 0);
}

static void
env_free(void)
{
	env_crash();
	tk_arena_reset(&settings_arena);
	remove_tree();
}

static inline uint64_t
counter(enum tk_counter which)
{
	return tk_count_of(tk_page, which);
}

/* ---- partitions ---- */

static inline struct tk_writer_part *
part_make(
    const char *topic, uint32_t slot, uint64_t incarnation, const struct tk_log_config *config)
{
	const struct tk_log_identity identity = { .topic = topic,
		.topic_id = { { (uint8_t)slot, 1 } },
		.slot = slot,
		.incarnation = incarnation };
	const struct tk_log_config defaults = tk_log_config_default();
	struct tk_log_problem problem;

	CU_ASSERT_FATAL(tk_part_open(&writer, &identity, config == NULL ? &defaults : config, false,
			    &problem) == 0);
	return tk_part_find(&writer, slot);
}

/* ---- callers ---- */

struct caller {
	int fd;
	struct tk_peer *peer;
	uint8_t *arena;
	uint8_t in[128 << 10];
	size_t in_len;
	struct tk_frame frame; /* received last */
	uint8_t payload[64 << 10];
};

static pid_t next_pid = 1000;

static inline void
caller_connect(struct caller *caller)
{
	int fds[2];

	CU_ASSERT_FATAL(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	caller->fd = fds[0];
	tk_caller_new(&writer, fds[1], caller->peer);
}

static inline void
send_frame(
    struct caller *caller, enum tk_frame_type type, uint64_t id, const void *payload, size_t len)
{
	struct tk_frame frame = { .len = (uint32_t)len, .type = (uint16_t)type, .id = id };
	uint8_t bytes[sizeof(frame) + 2048];
	size_t at = 0;

	CU_ASSERT_FATAL(len <= 2048);
	memcpy(bytes, &frame, sizeof(frame));
	memcpy(bytes + sizeof(frame), payload, len);
	while (at < sizeof(frame) + len) {
		ssize_t n = send(caller->fd, bytes + at, sizeof(frame) + len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EPIPE)
			return;
		CU_ASSERT_FATAL(n > 0 || errno == EAGAIN);
		if (n < 0)
			turns(1); /* its buffer is full: let the writer read */
		else
			at += (size_t)n;
	}
}

static inline void
hello(struct caller *caller, uint32_t version)
{
	const struct tk_frame_hello frame = { .version = version };

	send_frame(caller, TK_FRAME_HELLO, 0, &frame, sizeof(frame));
}

static inline struct caller *
caller_new_sized(enum tk_role role, size_t arena_bytes)
{
	struct caller *caller = calloc(1, sizeof(*caller));

	CU_ASSERT_FATAL(caller != NULL);
	caller->peer = calloc(1, sizeof(*caller->peer));
	caller->arena = calloc(1, arena_bytes);
	CU_ASSERT_FATAL(caller->peer != NULL && caller->arena != NULL);
	*caller->peer = (struct tk_peer){ .pid = next_pid++,
		.role = role,
		.arena = caller->arena,
		.arena_size = arena_bytes,
		.references = 1 };
	caller_connect(caller);
	hello(caller, TK_FRAMES_VERSION);
	return caller;
}

static inline struct caller *
caller_new(enum tk_role role)
{
	return caller_new_sized(role, ARENA_BYTES);
}

/* The writer must have let go of the peer by then. */
static inline void
caller_free(struct caller *caller)
{
	if (caller->fd >= 0)
		(void)close(caller->fd);
	turns(3);
	CU_ASSERT(caller->peer->references == 1);
	free(caller->arena);
	free(caller->peer);
	free(caller);
}

static inline bool
take_frame(struct caller *caller)
{
	size_t whole;

	if (caller->in_len < sizeof(caller->frame))
		return false;
	memcpy(&caller->frame, caller->in, sizeof(caller->frame));
	whole = sizeof(caller->frame) + caller->frame.len;
	if (caller->in_len < whole)
		return false;
	CU_ASSERT_FATAL(caller->frame.len <= sizeof(caller->payload));
	memcpy(caller->payload, caller->in + sizeof(caller->frame), caller->frame.len);
	memmove(caller->in, caller->in + whole, caller->in_len - whole);
	caller->in_len -= whole;
	return true;
}

/* Reads what is there; false at the end of the channel. */
static inline bool
fill(struct caller *caller)
{
	ssize_t n = recv(caller->fd, caller->in + caller->in_len,
	    sizeof(caller->in) - caller->in_len, MSG_DONTWAIT);

	if (n > 0)
		caller->in_len += (size_t)n;
	return n > 0 || (n < 0 && errno == EAGAIN);
}

/* The next frame that comes within two seconds; false: none, or the channel has ended. */
static inline bool
receive(struct caller *caller)
{
	int64_t until_ms = tk_clock_mono_ms() + 20000; /* a slow disk is no failure */

	while (!take_frame(caller)) {
		turns(1);
		if (!fill(caller))
			return take_frame(caller);
		if (tk_clock_mono_ms() > until_ms)
			return false;
	}
	return true;
}

/* Nothing comes in a few turns. */
static inline bool
silent(struct caller *caller)
{
	turns(4);
	return fill(caller) && !take_frame(caller);
}

/* The writer has ended the channel. */
static inline bool
ended(struct caller *caller)
{
	turns(4);
	while (take_frame(caller))
		continue;
	return !fill(caller);
}

static inline const void *
expect(struct caller *caller, enum tk_frame_type type, uint64_t id)
{
	bool got = receive(caller);

	CU_ASSERT_FATAL(got);
	CU_ASSERT_EQUAL(caller->frame.type, type);
	CU_ASSERT_EQUAL(caller->frame.id, id);
	return caller->payload;
}

/* ---- appends ---- */

static inline uint32_t
put_batch(struct caller *caller, size_t at, int count, int64_t value_len, int64_t producer,
    int32_t sequence)
{
	return writer_batch(
	    caller->arena + at, ARENA_BYTES - at, count, value_len, producer, sequence);
}

static inline void
send_append(struct caller *caller, uint64_t id, const struct tk_frame_append *frame)
{
	send_frame(caller, TK_FRAME_APPEND, id, frame, sizeof(*frame));
}

/* count of them, numbered from 1, so that they arrive together. */
static inline void
send_appends(struct caller *caller, unsigned count, const struct tk_frame_append *frame)
{
	struct tk_frame head = { .len = sizeof(*frame), .type = TK_FRAME_APPEND };
	size_t each = sizeof(head) + sizeof(*frame);
	uint8_t *bytes = malloc(count * each);

	CU_ASSERT_FATAL(bytes != NULL);
	for (unsigned i = 0; i < count; i++) {
		head.id = i + 1;
		memcpy(bytes + i * each, &head, sizeof(head));
		memcpy(bytes + i * each + sizeof(head), frame, sizeof(*frame));
	}
	CU_ASSERT_FATAL(send(caller->fd, bytes, count * each, 0) == (ssize_t)(count * each));
	free(bytes);
}

/* Error of the answer to append id; its offset if asked for. */
static inline int
appended(struct caller *caller, uint64_t id, int64_t *ret_offset)
{
	struct tk_frame_appended answer;

	memcpy(&answer, expect(caller, TK_FRAME_APPENDED, id), sizeof(answer));
	if (ret_offset != NULL)
		*ret_offset = answer.base_offset;
	return answer.error;
}

#endif
