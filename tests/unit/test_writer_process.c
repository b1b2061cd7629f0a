/*
 * The writer as a process: started, fed, killed and started again by a master of a few lines, which
 * is this test.  It is worker and coordinator as well: what it is called at a channel is what it
 * announced of itself before.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "base/killpoint.h"
#include "log/batch.h"
#include "log/logdir.h"
#include "meta/meta.h"
#include "meta/txn.h"
#include "os/file.h"
#include "os/shm.h"
#include "os/unix.h"
#include "server/process.h"
#include "test_writer_batch.h"
#include "unit.h"
#include "wire/error_codes.h"
#include "writer/writer.h"

#define ARENA_BYTES ((size_t)1 << 20)
#define DIRECTORIES 2u
#define SLOT        1u
#define PRODUCER    4242

/* ---- a master of a few lines ---- */

struct child {
	pid_t pid;
	int control;
};

static struct tk_arena settings_arena;
static struct tk_cycle cycle;
static char base_path[64], paths[DIRECTORIES][96];
static struct child writers[DIRECTORIES];
static int arena_fd, page_fd;
static uint8_t *arena;

static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "cannot go on: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
setup(void)
{
	struct tk_settings_errors errors = { .arena = &settings_arena };
	struct tk_settings *settings;
	char path[96];
	void *at;

	(void)snprintf(base_path, sizeof(base_path), "/tmp/tkwriterp.XXXXXX");
	must(mkdtemp(base_path) != NULL, "mkdtemp");
	tk_arena_init(&settings_arena, (size_t)16 << 20);
	must(tk_settings_load(&settings_arena, &(struct tk_settings_source){ .prefix = base_path },
		 &settings, &errors) == 0,
	    "settings");
	settings->num_recovery_threads_per_data_dir = 1;
	(void)snprintf(path, sizeof(path), "%s/run", base_path);
	must(mkdir(path, 0700) == 0, "mkdir");
	cycle = (struct tk_cycle){ .settings = settings,
		.generation = 1,
		.run_dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.directory_count = DIRECTORIES,
		.coordinator_fd = -1 };
	for (unsigned i = 0; i < DIRECTORIES; i++) {
		char name[32];

		(void)snprintf(paths[i], sizeof(paths[i]), "%s/data%u", base_path, i);
		(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, i);
		cycle.directories[i].path = paths[i];
		cycle.directories[i].channel_fd = tk_unix_listen(cycle.run_dir_fd, name, 0600, 64);
		must(cycle.directories[i].channel_fd >= 0, "listen");
	}
	page_fd = tk_shm_new("page", sizeof(struct tk_process_page));
	arena_fd = tk_shm_new("arena", ARENA_BYTES);
	must(page_fd >= 0 && arena_fd >= 0, "memfd");
	must(tk_shm_map(arena_fd, 0, ARENA_BYTES, true, &at) == 0, "map");
	arena = at;
}

static void
teardown(void)
{
	char command[128];

	for (unsigned i = 0; i < DIRECTORIES; i++)
		(void)close(cycle.directories[i].channel_fd);
	(void)close(cycle.run_dir_fd);
	(void)close(page_fd);
	(void)close(arena_fd);
	tk_shm_unmap(arena, ARENA_BYTES);
	tk_arena_reset(&settings_arena);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", base_path);
	CU_ASSERT(system(command) == 0);
}

static void
tell(const struct child *child, uint32_t type, pid_t pid, enum tk_role role, unsigned index)
{
	const struct tk_control msg = {
		.type = type, .pid = pid, .role = role, .index = index, .arena_size = ARENA_BYTES
	};
	bool announce = type == TK_CONTROL_ANNOUNCE;

	must(tk_unix_send(child->control, &msg, sizeof(msg), announce ? &arena_fd : NULL,
		 announce ? 1 : 0) == 0,
	    "control socket");
}

static void
spawn(unsigned index, const char *killpoint)
{
	struct child *child = &writers[index];
	int fds[2];

	must(tk_unix_pair(fds) == 0, "pair");
	child->control = fds[0];
	(void)fflush(NULL);
	child->pid = fork();
	must(child->pid >= 0, "fork");
	if (child->pid == 0) {
		const struct tk_birth birth = { .role = TK_ROLE_WRITER,
			.index = index,
			.control_fd = fds[1],
			.page_fd = page_fd,
			.arena_fd = -1 };

		tk_errlog_level(TK_LEVEL_WARN);
		tk_killpoint_arm(killpoint);
		_exit(tk_writer_main(&cycle, &birth));
	}
	(void)close(fds[1]);
	for (unsigned i = 0; i < DIRECTORIES; i++) /* everybody is told of everybody */
		if (i != index && writers[i].pid > 0) {
			tell(child, TK_CONTROL_ANNOUNCE, writers[i].pid, TK_ROLE_WRITER, i);
			tell(&writers[i], TK_CONTROL_ANNOUNCE, child->pid, TK_ROLE_WRITER, index);
		}
	tell(child, TK_CONTROL_ANNOUNCE, getpid(), TK_ROLE_WORKER, 0);
	tell(child, TK_CONTROL_GO, 0, TK_ROLE_MASTER, 0);
}

static bool
ready(const struct child *child, int wait_ms)
{
	struct pollfd pfd = { .fd = child->control, .events = POLLIN };
	struct tk_control msg;
	size_t count;
	int fds[4];

	return poll(&pfd, 1, wait_ms) == 1 &&
	       tk_unix_receive(child->control, &msg, sizeof(msg), fds, &count) ==
		   (ssize_t)sizeof(msg) &&
	       msg.type == TK_CONTROL_READY;
}

/* Exit code, or -signal. */
static int
reap(struct child *child)
{
	int status;

	must(waitpid(child->pid, &status, 0) == child->pid, "waitpid");
	(void)close(child->control);
	*child = (struct child){ 0 };
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int
stop(unsigned index)
{
	tell(&writers[index], TK_CONTROL_STOP, 0, TK_ROLE_MASTER, 0);
	return reap(&writers[index]);
}

/* ---- a channel's other end ---- */

static int
send_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		struct pollfd pfd = { .fd = fd, .events = POLLOUT };

		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0)
			(void)poll(&pfd, 1, 1000);
		at += n < 0 ? 0 : n;
		len -= n < 0 ? 0 : (size_t)n;
	}
	return 0;
}

static int
send_frame(int fd, enum tk_frame_type type, uint64_t id, const void *payload, size_t len)
{
	const struct tk_frame frame = { .len = (uint32_t)len, .type = (uint16_t)type, .id = id };
	int rc = send_all(fd, &frame, sizeof(frame));

	return rc < 0 ? rc : send_all(fd, payload, len);
}

static bool
receive_all(int fd, void *data, size_t len)
{
	uint8_t *at = data;

	while (len > 0) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, 10000) != 1)
			return false;
		n = recv(fd, at, len, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		at += n < 0 ? 0 : n;
		len -= n < 0 ? 0 : (size_t)n;
	}
	return true;
}

/* The next frame, its payload in room bytes; false: the channel has ended. */
static bool
receive(int fd, struct tk_frame *frame, void *payload, size_t room)
{
	if (!receive_all(fd, frame, sizeof(*frame)) || frame->len > room)
		return false;
	return receive_all(fd, payload, frame->len);
}

static int
connect_as(unsigned index, enum tk_role role)
{
	const struct tk_frame_hello hello = { .version = TK_FRAMES_VERSION };
	char name[32];
	int fd;

	if (role != TK_ROLE_WORKER) {
		tell(&writers[index], TK_CONTROL_GONE, getpid(), TK_ROLE_WORKER, 0);
		tell(&writers[index], TK_CONTROL_ANNOUNCE, getpid(), role, 0);
	}
	(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, index);
	fd = tk_unix_connect(cycle.run_dir_fd, name);
	must(fd >= 0, "connect");
	(void)send_frame(fd, TK_FRAME_HELLO, 0, &hello, sizeof(hello));
	return fd;
}

static void
become_worker(unsigned index)
{
	tell(&writers[index], TK_CONTROL_GONE, getpid(), TK_ROLE_WORKER, 0);
	tell(&writers[index], TK_CONTROL_ANNOUNCE, getpid(), TK_ROLE_WORKER, 0);
}

/* ---- a topic of one partition in each directory ---- */

static void
apply(unsigned index, uint64_t revision)
{
	const struct tk_frame_apply frame = { .revision = revision };
	struct tk_frame_applied answer = { .error = -EIO };
	int fd = connect_as(index, TK_ROLE_COORDINATOR);
	struct tk_frame head;

	(void)send_frame(fd, TK_FRAME_APPLY, 1, &frame, sizeof(frame));
	CU_ASSERT_FATAL(receive(fd, &head, &answer, sizeof(answer)));
	CU_ASSERT(answer.error == 0 && answer.revision == revision);
	(void)close(fd);
	become_worker(index);
}

static void
put_partition(struct tk_meta_txn *txn, int32_t index, struct tk_uuid directory)
{
	int32_t broker = 1;
	struct tk_meta_partition_value partition;
	const struct tk_bytes name = { (const uint8_t *)"t", 1 };

	tk_meta_partition_value_init(&partition);
	partition.directory = directory;
	partition.slot = SLOT;
	partition.leader = 1;
	partition.leader_epoch = 0;
	partition.replicas = partition.isr = &broker;
	partition.replicas_count = partition.isr_count = 1;
	tk_meta_txn_put_partition(txn, name, index, &partition);
}

static size_t
make_topic(struct tk_meta *meta, struct tk_uuid *ids, unsigned count)
{
	struct tk_meta_topic_value topic;
	struct tk_meta_txn txn;
	size_t len = 0;

	tk_meta_topic_value_init(&topic);
	topic.topic_id = (struct tk_uuid){ { 1, 2, 3 } };
	topic.partition_count = (int32_t)count;
	tk_meta_txn_begin(&txn, meta, arena, ARENA_BYTES);
	tk_meta_txn_put_topic(&txn, (struct tk_bytes){ (const uint8_t *)"t", 1 }, &topic);
	for (unsigned i = 0; i < count; i++)
		put_partition(&txn, (int32_t)i, ids[i]);
	CU_ASSERT_FATAL(tk_meta_txn_end(&txn, tk_clock_wall_ms(), &len) == 0);
	return len;
}

/* Revision of the topic: the incarnation of its partitions. */
static uint64_t
create_topic(unsigned count)
{
	struct tk_uuid ids[DIRECTORIES];
	struct tk_zone *zones[DIRECTORIES];
	struct tk_frame_append append = append_frame(TK_META_SLOT, TK_META_INCARNATION, 0, 0);
	struct tk_frame_appended answer = { .error = -1 };
	struct tk_frame head;
	struct tk_meta *meta;
	uint64_t revision;
	int fd;

	for (unsigned i = 0; i < count; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), TK_ZONE_FMT, i);
		CU_ASSERT_FATAL(tk_zone_open_readonly(cycle.run_dir_fd, name, &zones[i]) == 0);
		ids[i] = tk_zone_header(zones[i])->directory_id;
	}
	CU_ASSERT_FATAL(tk_meta_open(zones[0], paths[0], cycle.settings, &meta) == 0);
	CU_ASSERT_FATAL(tk_meta_catch_up(meta) == 0);
	append.len = (uint32_t)make_topic(meta, ids, count);
	append.flags = TK_APPEND_SYNC;
	fd = connect_as(0, TK_ROLE_COORDINATOR);
	(void)send_frame(fd, TK_FRAME_APPEND, 1, &append, sizeof(append));
	CU_ASSERT_FATAL(receive(fd, &head, &answer, sizeof(answer)));
	CU_ASSERT_FATAL(answer.error == 0);
	(void)close(fd);
	become_worker(0);
	CU_ASSERT(tk_meta_catch_up(meta) == 0);
	revision = tk_meta_revision(meta);
	tk_meta_close(&meta);
	for (unsigned i = 0; i < count; i++) {
		apply(i, revision);
		tk_zone_close(&zones[i]);
	}
	return revision;
}

/* ---- what is on the disk ---- */

/* Walks the log of t-<index> up to its published end: batches in it, or -1 for one out of order. */
static int64_t
check_log(unsigned index)
{
	struct tk_batch_header header;
	struct tk_part_state state;
	struct tk_zone *zone;
	int64_t position = 0, offset = 0, batches = 0;
	char path[160], name[32];
	int fd;

	(void)snprintf(name, sizeof(name), TK_ZONE_FMT, index);
	CU_ASSERT_FATAL(tk_zone_open_readonly(cycle.run_dir_fd, name, &zone) == 0);
	CU_ASSERT_FATAL(tk_zone_read(zone, SLOT, &state, NULL));
	tk_zone_close(&zone);
	(void)snprintf(path, sizeof(path), "%s/t-%u/%020d.log", paths[index], index, 0);
	CU_ASSERT_FATAL(tk_file_open(AT_FDCWD, path, O_RDONLY, 0, &fd) == 0);
	while (position < state.log_end.position) {
		uint8_t bytes[TK_BATCH_HEADER_BYTES];

		CU_ASSERT_FATAL(tk_file_pread_full(fd, bytes, sizeof(bytes), position) == 0);
		tk_batch_header_read(bytes, &header);
		if (header.base_offset != offset || header.base_sequence != offset)
			break;
		position += tk_batch_size(&header);
		offset = tk_batch_last_offset(&header) + 1;
		batches++;
	}
	tk_file_close(&fd);
	return position == state.log_end.position && offset == state.log_end.offset ? batches : -1;
}

/* ---- an idempotent producer that survives its writer ---- */

struct producer {
	unsigned directory;
	uint64_t incarnation;
	int fd;
	int64_t acked; /* batches, in order */
	int64_t sent;
	int64_t back_ms; /* from the end of a channel to the next answer, the longest */
};

#define PRODUCE_WINDOW 5
#define PRODUCE_ROOM   4096u

static void
producer_send(struct producer *producer)
{
	size_t at = (size_t)(producer->sent % PRODUCE_WINDOW) * PRODUCE_ROOM;
	struct tk_frame_append frame = append_frame(SLOT, producer->incarnation, at,
	    writer_batch(arena + at, PRODUCE_ROOM, 1, 1000, PRODUCER, (int32_t)producer->sent));

	(void)send_frame(
	    producer->fd, TK_FRAME_APPEND, (uint64_t)producer->sent, &frame, sizeof(frame));
	producer->sent++;
}

/* Produces until so many are acknowledged; false once the channel has ended. */
static bool
producer_run(struct producer *producer, int64_t target)
{
	while (producer->acked < target) {
		struct tk_frame_appended answer;
		struct tk_frame head;

		while (producer->sent < TK_MIN(target, producer->acked + PRODUCE_WINDOW))
			producer_send(producer);
		if (!receive(producer->fd, &head, &answer, sizeof(answer)))
			return false;
		CU_ASSERT_FATAL(answer.error == 0);
		CU_ASSERT_FATAL(answer.base_offset == producer->acked);
		CU_ASSERT_FATAL(head.id == (uint64_t)producer->acked);
		producer->acked++;
	}
	return true;
}

static void
producer_connect(struct producer *producer)
{
	producer->fd = connect_as(producer->directory, TK_ROLE_WORKER);
	producer->sent = producer->acked; /* what was not answered is sent again */
}

/* ---- tests ---- */

static void
test_start_stop(void)
{
	struct producer producer = { 0 };

	setup();
	spawn(0, NULL);
	CU_ASSERT_FATAL(ready(&writers[0], 10000));
	producer.incarnation = create_topic(1);
	producer_connect(&producer);
	CU_ASSERT(producer_run(&producer, 100));
	(void)close(producer.fd);
	CU_ASSERT(stop(0) == 0);
	CU_ASSERT(tk_logdir_mark_clean(paths[0]) == 0);
	CU_ASSERT(check_log(0) == 100);
	spawn(0, NULL);
	CU_ASSERT_FATAL(ready(&writers[0], 10000));
	producer_connect(&producer);
	CU_ASSERT(producer_run(&producer, 200));
	(void)close(producer.fd);
	CU_ASSERT(stop(0) == 0);
	CU_ASSERT(check_log(0) == 200);
	teardown();
}

/* Killed at each named point: what was answered is there, and everything is there once. */
static void
test_killpoints(void)
{
	static const char *const points[] = { "before_append", "before_pwritev", "after_pwritev",
		"before_publish", "after_publish", "before_index", "after_index",
		"after_answer_queued" };
	struct producer producer = { 0 };

	setup();
	spawn(0, NULL);
	CU_ASSERT_FATAL(ready(&writers[0], 10000));
	producer.incarnation = create_topic(1);
	CU_ASSERT(stop(0) == 0);
	for (size_t i = 0; i < 5 * TK_COUNT_OF(points); i++) {
		int64_t target = producer.acked + 200;
		char point[64];

		/* Opening the journal and the partition publishes as well: no point before the
		 * 3rd. */
		(void)snprintf(point, sizeof(point), "%s:%zu", points[i % TK_COUNT_OF(points)],
		    3 + 4 * i / TK_COUNT_OF(points));
		spawn(0, point);
		CU_ASSERT_FATAL(ready(&writers[0], 10000));
		producer_connect(&producer);
		CU_ASSERT(!producer_run(&producer, target));
		(void)close(producer.fd);
		CU_ASSERT(reap(&writers[0]) == -SIGKILL);
		spawn(0, NULL);
		CU_ASSERT_FATAL(ready(&writers[0], 10000));
		producer_connect(&producer);
		CU_ASSERT(producer_run(&producer, target));
		(void)close(producer.fd);
		CU_ASSERT(kill(writers[0].pid, SIGKILL) == 0);
		CU_ASSERT(reap(&writers[0]) == -SIGKILL);
		CU_ASSERT_FATAL(check_log(0) == target);
	}
	teardown();
}

/* Killed at any moment, by another process, under load. */
static void
test_kills(void)
{
	struct producer producer = { 0 };
	int64_t longest_ms = 0;
	uint64_t random = 7;

	setup();
	spawn(0, NULL);
	CU_ASSERT_FATAL(ready(&writers[0], 10000));
	producer.incarnation = create_topic(1);
	for (int i = 0; i < 40; i++) {
		pid_t killer;
		int64_t died_ms;

		producer_connect(&producer);
		killer = fork();
		if (killer == 0) {
			(void)usleep(make_random(&random) % 30000 + 1000);
			(void)kill(writers[0].pid, SIGKILL);
			_exit(0);
		}
		(void)make_random(&random);
		CU_ASSERT(!producer_run(&producer, INT64_MAX));
		died_ms = tk_clock_mono_ms();
		(void)close(producer.fd);
		CU_ASSERT(waitpid(killer, NULL, 0) == killer);
		CU_ASSERT(reap(&writers[0]) == -SIGKILL);
		spawn(0, NULL);
		producer_connect(&producer); /* at once: the connection waits for the writer */
		CU_ASSERT(producer_run(&producer, producer.acked + 1));
		longest_ms = TK_MAX(longest_ms, tk_clock_mono_ms() - died_ms);
		(void)close(producer.fd);
		CU_ASSERT(ready(&writers[0], 10000));
	}
	CU_ASSERT(stop(0) == 0);
	CU_ASSERT(check_log(0) == producer.acked);
	printf("%lld batches, back after at most %lld ms ", (long long)producer.acked,
	    (long long)longest_ms);
	CU_ASSERT(longest_ms < 1000); /* 100 where the machine is free; a system test looks */
	teardown();
}

/* A writer of another directory waits for the journal's, whenever that one comes or dies. */
static void
test_two_directories(void)
{
	struct producer producer = { .directory = 1 };

	setup();
	spawn(1, NULL);
	CU_ASSERT(!ready(&writers[1], 200));
	spawn(0, NULL);
	CU_ASSERT_FATAL(ready(&writers[0], 10000));
	CU_ASSERT_FATAL(ready(&writers[1], 10000));
	producer.incarnation = create_topic(2);
	producer_connect(&producer);
	CU_ASSERT(producer_run(&producer, 50));
	CU_ASSERT(kill(writers[0].pid, SIGKILL) == 0); /* the other one's business alone */
	CU_ASSERT(reap(&writers[0]) == -SIGKILL);
	CU_ASSERT(producer_run(&producer, 100));
	(void)close(producer.fd);
	CU_ASSERT(stop(1) == 0);
	spawn(1, NULL); /* waits again */
	CU_ASSERT(!ready(&writers[1], 200));
	spawn(0, "before_publish"); /* dies at its start */
	CU_ASSERT(reap(&writers[0]) == -SIGKILL);
	CU_ASSERT(!ready(&writers[1], 200));
	spawn(0, NULL);
	CU_ASSERT_FATAL(ready(&writers[0], 10000));
	CU_ASSERT_FATAL(ready(&writers[1], 10000));
	producer_connect(&producer);
	CU_ASSERT(producer_run(&producer, 150));
	(void)close(producer.fd);
	CU_ASSERT(stop(1) == 0);
	CU_ASSERT(stop(0) == 0);
	CU_ASSERT(check_log(1) == 150);
	teardown();
}

/* A directory that is not ours to use: one line, exit 1. */
static void
test_bad_directory(void)
{
	char path[128];
	int fd;

	setup();
	CU_ASSERT(mkdir(paths[0], 0700) == 0);
	(void)snprintf(path, sizeof(path), "%s/meta.properties", paths[0]);
	CU_ASSERT_FATAL(tk_file_open(AT_FDCWD, path, O_WRONLY | O_CREAT, 0600, &fd) == 0);
	CU_ASSERT(tk_file_pwrite(fd, "version=1\nnode.id=9\ncluster.id=x\n", 33, 0) == 0);
	tk_file_close(&fd);
	spawn(0, NULL);
	CU_ASSERT(reap(&writers[0]) == 1);
	teardown();
}

/* The end of the master's socket is the master's death: an orderly end, soon. */
static void
test_orphan(void)
{
	int64_t began_ms;

	setup();
	spawn(0, NULL);
	CU_ASSERT_FATAL(ready(&writers[0], 10000));
	(void)create_topic(1);
	began_ms = tk_clock_mono_ms();
	(void)shutdown(writers[0].control, SHUT_RDWR);
	CU_ASSERT(reap(&writers[0]) >= 0);
	CU_ASSERT(tk_clock_mono_ms() - began_ms < 2000);
	spawn(1, NULL); /* and while it waits for the journal */
	(void)usleep(100000);
	(void)shutdown(writers[1].control, SHUT_RDWR);
	CU_ASSERT(reap(&writers[1]) == 1);
	teardown();
}

TK_UNIT_MAIN("writer process", { "start and stop", test_start_stop },
    { "kill points", test_killpoints }, { "kills", test_kills },
    { "two directories", test_two_directories }, { "bad directory", test_bad_directory },
    { "orphan", test_orphan })
