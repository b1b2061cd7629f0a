/*
 * The control socket, takhin.sock in the run directory: one JSON object a line, answered by one
 * line. Master only.
 *
 * Who may open the socket may do all of it; its mode is the permission.  Bounds: CLIENTS_MAX
 * clients, LINE_MAX bytes a line, and no further line of a client is read before it has taken the
 * answer to the last one.
 */
#include "master/control.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/errlog.h"
#include "os/poll.h"
#include "os/unix.h"

#define SOCKET_MODE 0660u
#define BACKLOG     128
#define CLIENTS_MAX 32u
#define LINE_BYTES  4096u

struct tk_client {
	LIST_ENTRY(tk_client) link;
	struct tk_master *master;
	struct tk_event event;
	char in[LINE_BYTES];
	size_t in_len;
	char *out; /* the answer that is leaving */
	size_t out_len, out_at;
	bool waiting; /* for the outcome of a reload */
	bool ended;   /* it sends no more */
};

static void
client_free(struct tk_client *client)
{
	struct tk_master *master = client->master;

	tk_event_remove(master->loop, &client->event);
	(void)close(client->event.fd);
	LIST_REMOVE(client, link);
	master->client_count--;
	free(client->out);
	free(client);
}

/* Sends what there is to send; false if the client is lost. */
static bool
client_flush(struct tk_client *client)
{
	while (client->out_at < client->out_len) {
		ssize_t n = send(client->event.fd, client->out + client->out_at,
		    client->out_len - client->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		client->out_at += (size_t)n;
	}
	free(client->out);
	client->out = NULL;
	client->out_len = client->out_at = 0;
	return true;
}

/* Takes over the answer; false if the client is lost. */
static bool
client_answer(struct tk_client *client, json_t *answer)
{
	char *text = answer == NULL ? NULL : json_dumps(answer, JSON_COMPACT);
	size_t len = text == NULL ? 0 : strlen(text);

	json_decref(answer);
	if (text == NULL)
		return false;
	text[len] = '\n'; /* in the place of its NUL */
	client->out = text;
	client->out_len = len + 1;
	return client_flush(client);
}

static bool
client_line(struct tk_client *client, const char *line, size_t len)
{
	json_error_t error;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	json_t *answer;

	if (request == NULL)
		return client_answer(client, tk_master_refusal("not a line of JSON"));
	client->waiting = true;
	answer = tk_master_command_run(client->master, request);
	json_decref(request);
	if (answer == NULL)
		return true;
	client->waiting = false;
	return client_answer(client, answer);
}

/* Runs the lines that are whole, up to the first that has to wait. */
static bool
client_lines(struct tk_client *client)
{
	char *end;

	while (client->out == NULL && !client->waiting &&
	       (end = memchr(client->in, '\n', client->in_len)) != NULL) {
		size_t len = (size_t)(end - client->in);

		if (!client_line(client, client->in, len))
			return false;
		client->in_len -= len + 1;
		memmove(client->in, end + 1, client->in_len);
	}
	if (client->in_len == sizeof(client->in) && client->out == NULL && !client->waiting) {
		(void)client_answer(client, tk_master_refusal("the line is too long"));
		return false;
	}
	return true;
}

/* False once the client has nothing more to say and has got its answers. */
static bool
client_go_on(struct tk_client *client)
{
	if (!client_lines(client))
		return false;
	if (client->ended && client->out == NULL && !client->waiting)
		return false;
	tk_event_want(client->master->loop, &client->event,
	    (client->out != NULL ? TK_POLL_WRITE : 0) |
		(client->out == NULL && !client->waiting && !client->ended ? TK_POLL_READ : 0));
	return true;
}

static bool
client_read(struct tk_client *client)
{
	ssize_t n = recv(client->event.fd, client->in + client->in_len,
	    sizeof(client->in) - client->in_len, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		client->ended = true;
	client->in_len += (size_t)n;
	return true;
}

static void
client_ready(struct tk_event *event, unsigned what)
{
	struct tk_client *client = TK_CONTAINER_OF(event, struct tk_client, event);
	bool alive = true;

	if ((what & TK_POLL_WRITE) != 0 && client->out != NULL)
		alive = client_flush(client);
	if (alive && (what & TK_POLL_READ) != 0 && client->out == NULL && !client->waiting)
		alive = client_read(client);
	/* Gone altogether, while it was waiting. */
	if (alive && (what & TK_POLL_HANGUP) != 0 && client->waiting)
		alive = false;
	if (!alive || !client_go_on(client))
		client_free(client);
}

static void
client_new(struct tk_master *master, int fd)
{
	struct tk_client *client = calloc(1, sizeof(*client));

	if (client == NULL) {
		(void)close(fd);
		return;
	}
	client->master = master;
	client->event = (struct tk_event){ .fd = fd, .ready = client_ready };
	LIST_INSERT_HEAD(&master->clients, client, link);
	master->client_count++;
	if (tk_event_add(master->loop, &client->event, TK_POLL_READ) < 0)
		client_free(client);
}

static void
control_ready(struct tk_event *event, unsigned what)
{
	struct tk_master *master = TK_CONTAINER_OF(event, struct tk_master, control);
	int fd = accept4(event->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	/* Out of descriptors, it would be ready for ever: the next look at progress turns it on. */
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		tk_event_want(master->loop, event, 0);
	if (fd < 0)
		return;
	if (master->client_count >= CLIENTS_MAX)
		(void)close(fd);
	else
		client_new(master, fd);
}

int
tk_master_control_open(struct tk_master *master)
{
	const char *dir = master->cycle->cycle.settings->run_directory;
	int rc;

	LIST_INIT(&master->clients);
	master->control = (struct tk_event){ .fd = tk_unix_listen(master->run_dir_fd,
						 TK_MASTER_SOCKET, SOCKET_MODE, BACKLOG),
		.ready = control_ready };
	rc = master->control.fd < 0 ? master->control.fd
				    : tk_event_add(master->loop, &master->control, TK_POLL_READ);
	if (rc < 0)
		tk_err("could not make socket \"%s/" TK_MASTER_SOCKET "\": %s", dir, strerror(-rc));
	return rc;
}

void
tk_master_control_close(struct tk_master *master)
{
	while (!LIST_EMPTY(&master->clients))
		client_free(LIST_FIRST(&master->clients));
	if (master->control.fd < 0)
		return;
	tk_event_remove(master->loop, &master->control);
	(void)close(master->control.fd);
	master->control.fd = -1;
}

void
tk_master_control_reloaded(struct tk_master *master, bool ok, const char *text)
{
	struct tk_client *client, *next;

	for (client = LIST_FIRST(&master->clients); client != NULL; client = next) {
		json_t *answer;

		next = LIST_NEXT(client, link);
		if (!client->waiting)
			continue;
		client->waiting = false;
		answer = !ok ? tk_master_refusal(text)
			     : json_pack("{s:b,s:I}", "ok", 1, "generation",
				   (json_int_t)master->cycle->cycle.generation);
		if (!client_answer(client, answer)) {
			client_free(client);
			continue;
		}
		/* Its next line, if it is here already, is looked at when the socket has room. */
		tk_event_want(master->loop, &client->event, TK_POLL_READ | TK_POLL_WRITE);
	}
}
