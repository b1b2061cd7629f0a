/*
 * What every child does alike: being born, being told, dying with the master.  Runs in all
 * children. If the control socket ends, the master is dead; the child stops as for TK_CONTROL_STOP
 * and, should that take longer than a second, ends at once (nothing acknowledged depends on a clean
 * end).
 */
#include "server/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/errlog.h"
#include "os/poll.h"
#include "os/proctitle.h"
#include "os/shm.h"
#include "os/unix.h"

#define ORPHAN_MS         800
#define NO_FILES_MS       100
#define SETTINGS_TEXT_MAX ((size_t)1 << 20)

static struct tk_process_page stand_in_page;
struct tk_process_page *tk_page = &stand_in_page;

const struct tk_counter_row tk_counter_rows[TK_COUNTER_TOTAL] = {
#define TK_COUNTER_ROW(name, help) [TK_COUNT_##name] = { #name, help },
	TK_COUNTERS(TK_COUNTER_ROW)
#undef TK_COUNTER_ROW
};

const char *
tk_role_name(enum tk_role role)
{
	static const char *const names[TK_ROLE_COUNT] = { "master", "worker", "writer",
		"coordinator", "cleaner" };

	tk_assert(role < TK_ROLE_COUNT);
	return names[role];
}

struct tk_peer *
tk_peer_ref(struct tk_peer *peer)
{
	peer->references++;
	return peer;
}

void
tk_peer_unref(struct tk_peer **peer)
{
	struct tk_peer *gone = *peer;

	*peer = NULL;
	if (gone == NULL || --gone->references > 0)
		return;
	tk_shm_unmap((void *)(uintptr_t)gone->arena, gone->arena_size);
	free(gone);
}

static struct tk_peer *
peer_find(struct tk_process *proc, pid_t pid)
{
	struct tk_peer *peer;

	LIST_FOREACH (peer, &proc->peers, link)
		if (peer->pid == pid)
			return peer;
	return NULL;
}

static void
peer_announced(struct tk_process *proc, const struct tk_control *msg, const int *fds, size_t count)
{
	struct tk_peer *peer = calloc(1, sizeof(*peer));
	void *arena = NULL;

	if (peer == NULL || msg->role >= TK_ROLE_COUNT) {
		free(peer);
		return;
	}
	peer->pid = msg->pid;
	peer->role = msg->role;
	peer->index = msg->index;
	peer->references = 1;
	if (count > 0 && tk_shm_map(fds[0], 0, msg->arena_size, false, &arena) == 0) {
		peer->arena = arena;
		peer->arena_size = msg->arena_size;
	}
	LIST_INSERT_HEAD(&proc->peers, peer, link);
}

static void
peer_gone(struct tk_process *proc, pid_t pid)
{
	struct tk_peer *peer = peer_find(proc, pid);

	if (peer == NULL)
		return;
	peer->gone = true;
	LIST_REMOVE(peer, link);
	if (proc->ops->peer_gone != NULL)
		proc->ops->peer_gone(proc, peer);
	tk_peer_unref(&peer);
}

static void
process_send(struct tk_process *proc, struct tk_control *msg)
{
	msg->pid = getpid();
	msg->role = proc->role;
	msg->index = proc->index;
	(void)tk_unix_send(proc->control.fd, msg, sizeof(*msg), NULL, 0);
}

/* The whole of a file as a string to be freed, NULL if it cannot be had. */
static char *
text_read(int fd)
{
	char *text = malloc(SETTINGS_TEXT_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;

	while (text != NULL && n > 0 && len < SETTINGS_TEXT_MAX) {
		n = pread(fd, text + len, SETTINGS_TEXT_MAX - len, (off_t)len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (n != 0) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

/* Settings come as text that has every setting without a fixed default. */
static int
settings_from_text(int fd, struct tk_arena **ret_arena, struct tk_settings **ret_settings)
{
	struct tk_settings_errors errors = { .arena = NULL };
	struct tk_settings_source source = { .text = text_read(fd), .text_only = true };
	struct tk_arena *arena = calloc(1, sizeof(*arena));
	int rc = -ENOMEM;

	if (arena != NULL && source.text != NULL) {
		tk_arena_init(arena, (size_t)16 << 20);
		rc = tk_settings_load(arena, &source, ret_settings, &errors);
	}
	free((void *)(uintptr_t)source.text);
	if (rc < 0) {
		if (errors.first != NULL)
			tk_err("%s", errors.first->text);
		if (arena != NULL)
			tk_arena_reset(arena);
		free(arena);
		return rc;
	}
	*ret_arena = arena;
	return 0;
}

static int
process_read_settings(struct tk_process *proc, int fd)
{
	if (proc->prepared_arena != NULL) {
		tk_arena_reset(proc->prepared_arena);
		free(proc->prepared_arena);
		proc->prepared_arena = NULL;
		proc->prepared = NULL;
	}
	return settings_from_text(fd, &proc->prepared_arena, &proc->prepared);
}

static void
process_prepare(struct tk_process *proc, const struct tk_control *order, int fd)
{
	struct tk_control answer = { .type = TK_CONTROL_PREPARED, .generation = order->generation };

	answer.error = process_read_settings(proc, fd);
	if (answer.error < 0)
		(void)snprintf(answer.text, sizeof(answer.text), "could not read the new settings");
	else if (proc->ops->prepare != NULL)
		answer.error =
		    proc->ops->prepare(proc, proc->prepared, answer.text, sizeof(answer.text));
	process_send(proc, &answer);
}

static void
process_commit(struct tk_process *proc, const struct tk_control *order)
{
	if (proc->prepared == NULL)
		return;
	proc->topics_generation = order->topics_generation;
	if (proc->ops->commit != NULL)
		proc->ops->commit(proc, proc->prepared);
	proc->settings = proc->prepared;
	if (proc->settings_arena != NULL) {
		tk_arena_reset(proc->settings_arena);
		free(proc->settings_arena);
	}
	proc->settings_arena = proc->prepared_arena;
	proc->prepared_arena = NULL;
	proc->prepared = NULL;
	tk_errlog_level((enum tk_level)proc->settings->log_level);
}

static void
process_stop(struct tk_process *proc, bool fast)
{
	proc->stopping = true;
	if (proc->loop == NULL)
		_exit(0); /* told to begin and to stop in one breath: nothing was begun */
	if (proc->ops->stop != NULL)
		proc->ops->stop(proc, fast);
	else
		tk_process_exit(proc, 0);
}

static void
orphan_alarm(int signo)
{
	(void)signo;
	_exit(1);
}

static void
process_orphaned(struct tk_process *proc)
{
	struct timeval tv = { .tv_usec = ORPHAN_MS * 1000 };

	tk_warn("the master is gone: stopping");
	proc->orphaned = true;
	tk_event_remove(proc->loop, &proc->control);
	(void)signal(SIGALRM, orphan_alarm);
	(void)setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = tv }, NULL);
	process_stop(proc, true);
}

static void
process_told(struct tk_process *proc, const struct tk_control *msg, const int *fds, size_t count)
{
	switch (msg->type) {
	case TK_CONTROL_ANNOUNCE:
		peer_announced(proc, msg, fds, count);
		break;
	case TK_CONTROL_GONE:
		peer_gone(proc, msg->pid);
		break;
	case TK_CONTROL_GO:
		proc->go = true;
		break;
	case TK_CONTROL_STOP:
	case TK_CONTROL_QUIT:
		process_stop(proc, msg->type == TK_CONTROL_STOP);
		break;
	case TK_CONTROL_REOPEN:
		/* The master has opened it; we may not be able to. */
		if (count > 0)
			(void)dup3(fds[0], tk_errlog_fd(), O_CLOEXEC);
		break;
	case TK_CONTROL_PREPARE:
		if (count > 0)
			process_prepare(proc, msg, fds[0]);
		break;
	case TK_CONTROL_COMMIT:
		process_commit(proc, msg);
		break;
	case TK_CONTROL_ADOPT:
		if (count > 0 && process_read_settings(proc, fds[0]) == 0)
			process_commit(proc, msg);
		break;
	default:
		break;
	}
}

/* Reads all the master has sent; false once it is gone. */
static bool
process_listen(struct tk_process *proc)
{
	for (;;) {
		struct tk_control msg;
		size_t count = 0;
		int fds[4];
		ssize_t n = tk_unix_receive(proc->control.fd, &msg, sizeof(msg), fds, &count);

		if (n == -EAGAIN || n == -EINTR)
			return true;
		if (n <= 0)
			return false;
		if (n == (ssize_t)sizeof(msg))
			process_told(proc, &msg, fds, count);
		for (size_t i = 0; i < count; i++)
			(void)close(fds[i]);
	}
}

static void
process_control_ready(struct tk_event *event, unsigned what)
{
	struct tk_process *proc = TK_CONTAINER_OF(event, struct tk_process, control);

	(void)what;
	if (!process_listen(proc))
		process_orphaned(proc);
}

struct tk_peer *
tk_process_peer(struct tk_process *proc, pid_t pid)
{
	struct tk_peer *peer = peer_find(proc, pid);

	if (peer == NULL && process_listen(proc))
		peer = peer_find(proc, pid);
	return peer;
}

static void
process_progress_run(struct tk_turn_hook *hook)
{
	(void)hook;
	__atomic_store_n(&tk_page->progress, tk_page->progress + 1, __ATOMIC_RELAXED);
}

/*
 * Of the master's descriptors a child keeps those below; anything else was opened close-on-exec
 * for nobody and is closed here: the listening ends of others, their pages and arenas.
 */
static void
process_close_others(struct tk_process *proc, const struct tk_birth *birth)
{
	struct tk_cycle *cycle = proc->cycle;
	int keep[8 + TK_WORKERS_MAX];
	size_t count = 0;
	int from = 3;

	keep[count++] = birth->control_fd;
	keep[count++] = birth->page_fd;
	keep[count++] = birth->arena_fd;
	keep[count++] = cycle->run_dir_fd;
	keep[count++] = tk_errlog_fd();
	if (proc->role == TK_ROLE_WRITER)
		keep[count++] = cycle->directories[proc->index].channel_fd;
	if (proc->role == TK_ROLE_COORDINATOR)
		keep[count++] = cycle->coordinator_fd;
	for (size_t i = 0; i < birth->worker_count && i < TK_WORKERS_MAX; i++)
		keep[count++] = birth->worker_page_fds[i];
	for (;;) {
		int next = INT32_MAX;

		for (size_t i = 0; i < count; i++)
			if (keep[i] >= from)
				next = TK_MIN(next, keep[i]);
		for (size_t i = 0; proc->role == TK_ROLE_WORKER && i < cycle->listener_count; i++)
			if (cycle->listeners[i].fd >= from)
				next = TK_MIN(next, cycle->listeners[i].fd);
		if (next > from)
			(void)close_range(
			    (unsigned)from, next == INT32_MAX ? ~0u : (unsigned)next - 1, 0);
		if (next == INT32_MAX)
			break;
		from = next + 1;
	}
}

/* The other workers' pages: who has how many connections. */
static int
process_map_workers(struct tk_process *proc, const struct tk_birth *birth)
{
	proc->worker_count = TK_MIN(birth->worker_count, (size_t)TK_WORKERS_MAX);
	for (size_t i = 0; i < proc->worker_count; i++) {
		void *at;
		int rc = tk_shm_map(birth->worker_page_fds[i], 0, sizeof(*tk_page), false, &at);

		if (rc < 0)
			return rc;
		(void)close(birth->worker_page_fds[i]);
		proc->worker_pages[i] = at;
	}
	return 0;
}

static int
process_map(struct tk_process *proc, const struct tk_birth *birth)
{
	void *at;
	int rc = tk_shm_map(birth->page_fd, 0, sizeof(*tk_page), true, &at);

	if (rc < 0)
		return rc;
	(void)close(birth->page_fd);
	tk_page = at;
	tk_page->panic[0] = '\0';
	tk_panic_page = tk_page->panic;
	tk_panic_page_size = sizeof(tk_page->panic);
	proc->arena_fd = birth->arena_fd;
	if (birth->arena_fd < 0)
		return 0;
	rc = tk_shm_map(birth->arena_fd, 0, birth->arena_size, true, &at);
	if (rc < 0)
		return rc;
	proc->arena = at;
	proc->arena_size = birth->arena_size;
	return 0;
}

static void
process_signals(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	for (int signo = 1; signo < 32; signo++)
		if (signo != SIGKILL && signo != SIGSTOP)
			(void)signal(signo, SIG_DFL);
	/* The operator's signals are the master's to hear; some senders reach the whole group. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	(void)signal(SIGUSR2, SIG_IGN);
	(void)signal(SIGWINCH, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
process_name(struct tk_process *proc)
{
	static char name[48];

	if (proc->role == TK_ROLE_WORKER || proc->role == TK_ROLE_WRITER)
		(void)snprintf(name, sizeof(name), "%s %u", tk_role_name(proc->role), proc->index);
	else
		(void)snprintf(name, sizeof(name), "%s", tk_role_name(proc->role));
	tk_errlog_name(name);
	tk_proctitle("%s process%s", tk_role_name(proc->role),
	    proc->role == TK_ROLE_WORKER || proc->role == TK_ROLE_WRITER ? strchr(name, ' ') : "");
}

int
tk_process_init(struct tk_process *proc, struct tk_cycle *cycle, const struct tk_birth *birth,
    const struct tk_process_ops *ops)
{
	int rc;

	*proc = (struct tk_process){ .role = birth->role,
		.index = birth->index,
		.cycle = cycle,
		.settings = cycle->settings,
		.topics_generation = cycle->topics_generation,
		.ops = ops,
		.progress.run = process_progress_run,
		.control = { .fd = birth->control_fd, .ready = process_control_ready } };
	LIST_INIT(&proc->peers);
	process_signals();
	process_name(proc);
	process_close_others(proc, birth);
	rc = process_map(proc, birth);
	if (rc == 0)
		rc = process_map_workers(proc, birth);
	if (rc < 0)
		return rc;
	while (!proc->go) {
		struct pollfd pfd = { .fd = proc->control.fd, .events = POLLIN };

		(void)poll(&pfd, 1, -1);
		if (!process_listen(proc))
			return -EPIPE;
	}
	rc = tk_loop_new(&proc->loop);
	if (rc < 0)
		return rc;
	tk_turn_hook_add(proc->loop, &proc->progress);
	return tk_event_add(proc->loop, &proc->control, TK_POLL_READ);
}

void
tk_process_ready(struct tk_process *proc)
{
	struct tk_control msg = { .type = TK_CONTROL_READY };

	process_send(proc, &msg);
}

int
tk_process_run(struct tk_process *proc)
{
	tk_loop_run(proc->loop);
	return proc->exit_code;
}

void
tk_process_exit(struct tk_process *proc, int exit_code)
{
	proc->exit_code = exit_code;
	tk_loop_stop(proc->loop);
}

static void
server_again(struct tk_timer *timer)
{
	struct tk_channel_server *server = TK_CONTAINER_OF(timer, struct tk_channel_server, again);
	struct tk_loop *loop = server->proc->loop;

	if (tk_event_add(loop, &server->event, TK_POLL_READ) < 0)
		(void)tk_timer_start(loop, &server->again, NO_FILES_MS);
}

/* Who connects waits in the socket's backlog until there is a descriptor for him. */
static void
server_step_back(struct tk_channel_server *server)
{
	static struct tk_errlog_limit limit;

	if (tk_errlog_allowed(&limit, 1))
		tk_err("could not accept a process's connection: %s", strerror(errno));
	tk_event_remove(server->proc->loop, &server->event);
	(void)tk_timer_start(server->proc->loop, &server->again, NO_FILES_MS);
}

static void
server_ready(struct tk_event *event, unsigned what)
{
	struct tk_channel_server *server = TK_CONTAINER_OF(event, struct tk_channel_server, event);
	struct tk_peer *peer;
	int fd = accept4(event->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			server_step_back(server);
		return;
	}
	peer = tk_process_peer(server->proc, tk_unix_peer_pid(fd));
	if (peer == NULL) {
		(void)close(fd);
		return;
	}
	server->accepted(server, fd, peer);
}

int
tk_channel_server_start(struct tk_channel_server *server, struct tk_process *proc, int listening_fd)
{
	server->proc = proc;
	server->event = (struct tk_event){ .fd = listening_fd, .ready = server_ready };
	server->again = (struct tk_timer){ .expire = server_again };
	return tk_event_add(proc->loop, &server->event, TK_POLL_READ);
}

void
tk_channel_server_stop(struct tk_channel_server *server)
{
	tk_event_remove(server->proc->loop, &server->event);
	tk_timer_stop(server->proc->loop, &server->again);
}
