/*
 * A child process as it sees itself: its role, its loop, its tie to the master, its peers.
 *
 * The tie is a socket pair (messages, with descriptors where needed).  Its end means that the
 * master is dead: the child then stops in good order.  Whoever else is alive the master announces
 * by it before that process may run (GO), so a server looks a connecting pid up in what the master
 * said, never in what the peer claims.  One thread.
 */
#ifndef TK_SERVER_PROCESS_H
#define TK_SERVER_PROCESS_H

#include <sys/types.h>

#include "server/channel.h"
#include "server/counters.h"
#include "server/cycle.h"
#include "takhin/loop.h"

/* Messages of the control socket. */
enum tk_control_type {
	/* master -> child */
	TK_CONTROL_ANNOUNCE = 1, /* a process exists: pid, role, index; its arena's descriptor */
	TK_CONTROL_GONE,         /* that process was reaped */
	TK_CONTROL_GO,           /* everybody was told of you: begin */
	TK_CONTROL_STOP,         /* stop fast, in good order */
	TK_CONTROL_QUIT,         /* finish what is in flight first */
	TK_CONTROL_REOPEN,       /* log to the descriptor beside it */
	TK_CONTROL_PREPARE, /* new settings, as text in the descriptor: check, answer PREPARED */
	TK_CONTROL_COMMIT,  /* use what was prepared */
	TK_CONTROL_ADOPT, /* both at once, without an answer: to workers that are about to retire */
	TK_CONTROL_PING,  /* hear this: a turn of the loop is the answer */
	/* child -> master */
	TK_CONTROL_READY = 64,
	TK_CONTROL_PREPARED /* error: 0 or -errno; text */
};

struct tk_control {
	uint32_t type;
	int32_t pid;
	uint32_t role;
	uint32_t index;
	uint64_t arena_size;
	uint64_t generation; /* of the settings */
	int32_t error;
	uint32_t topics_generation; /* of COMMIT, ADOPT */
	char text[216];
};

_Static_assert(sizeof(struct tk_control) == 256, "one message");

/* Another process of this broker, as the master announced it. */
struct tk_peer {
	LIST_ENTRY(tk_peer) link;
	pid_t pid;
	enum tk_role role;
	unsigned index;
	const uint8_t *arena; /* its arena, mapped read-only, or NULL */
	size_t arena_size;
	unsigned references; /* who still points here, beside the list */
	bool gone;
};

struct tk_process;

/* What the process does about the master's orders; any may be NULL. */
struct tk_process_ops {
	/* Begin to stop; call tk_process_exit() when done.  fast: do not wait for clients. */
	void (*stop)(struct tk_process *proc, bool fast);
	/* New settings were checked by the master; say what this process has against them. */
	int (*prepare)(
	    struct tk_process *proc, const struct tk_settings *settings, char *text, size_t room);
	/* Use them from now on. */
	void (*commit)(struct tk_process *proc, const struct tk_settings *settings);
	void (*peer_gone)(struct tk_process *proc, struct tk_peer *peer);
};

struct tk_process {
	enum tk_role role;
	unsigned index;
	struct tk_cycle *cycle;
	const struct tk_settings *settings; /* in force; replaced by a commit */
	uint32_t topics_generation;         /* of them */
	struct tk_loop *loop;
	const struct tk_process_ops *ops;
	uint8_t *arena; /* its own, writable; NULL for those without */
	size_t arena_size;
	int arena_fd;
	bool stopping;
	bool orphaned; /* the master is dead */
	int exit_code;
	/* Of a worker: the pages of all workers of its generation, its own among them. */
	const struct tk_process_page *worker_pages[TK_WORKERS_MAX];
	size_t worker_count;
	/* private */
	struct tk_event control;
	struct tk_turn_hook progress;
	LIST_HEAD(, tk_peer) peers;
	struct tk_arena *prepared_arena, *settings_arena;
	struct tk_settings *prepared;
	bool go;
};

/* What a child is born with; the master fills it in before fork. */
struct tk_birth {
	enum tk_role role;
	unsigned index;
	int control_fd;
	int page_fd;  /* its page, writable */
	int arena_fd; /* its arena, writable, or -1 */
	size_t arena_size;
	/* Of a worker: read-only descriptors of the pages of its generation's workers, by index. */
	const int *worker_page_fds;
	size_t worker_count;
};

/*
 * In the new child: closes what it must not have, maps its page and arena, makes the loop, waits
 * for GO.  0 or -errno; on failure the child exits.
 */
int tk_process_init(struct tk_process *proc, struct tk_cycle *cycle, const struct tk_birth *birth,
    const struct tk_process_ops *ops) TK_MUST_CHECK;

/* Tells the master that this process serves. */
void tk_process_ready(struct tk_process *proc);

/* Runs the loop until tk_process_exit(); returns the exit code. */
int tk_process_run(struct tk_process *proc);

/* Ends the loop at this turn's end. */
void tk_process_exit(struct tk_process *proc, int exit_code);

/* The living process of this pid, or NULL.  Reads what the master has sent before it says NULL. */
struct tk_peer *tk_process_peer(struct tk_process *proc, pid_t pid);

struct tk_peer *tk_peer_ref(struct tk_peer *peer);
void tk_peer_unref(struct tk_peer **peer);

/* A server's end of channels: accepts and knows who it is before the first frame. */
struct tk_channel_server {
	struct tk_process *proc;
	struct tk_event event;
	struct tk_timer again; /* while there is no descriptor for who connects */
	/* Takes over fd, whose other end is peer (not yet referenced). */
	void (*accepted)(struct tk_channel_server *server, int fd, struct tk_peer *peer);
};

/* Serves listening_fd (of the cycle) from now on; 0 or -errno. */
int tk_channel_server_start(
    struct tk_channel_server *server, struct tk_process *proc, int listening_fd) TK_MUST_CHECK;
void tk_channel_server_stop(struct tk_channel_server *server);

#endif
