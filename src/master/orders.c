/*
 * What master and child say to each other through the control pair.  Master only.
 *
 * The master never waits for a child.  An order that does not fit into the socket of a child that
 * stands still is kept, with a descriptor of its own; a child that lets more than ORDERS_MAX pile
 * up is killed, which costs less than what it would miss.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errlog.h"
#include "master/master.h"
#include "os/poll.h"
#include "os/unix.h"

#define ORDERS_MAX 4096u

static void
order_free(struct tk_slot *slot, struct tk_order *order)
{
	STAILQ_REMOVE_HEAD(&slot->orders, link);
	slot->order_count--;
	if (order->fd >= 0)
		(void)close(order->fd);
	free(order);
}

void
tk_slot_orders_drop(struct tk_slot *slot)
{
	struct tk_order *order;

	while ((order = STAILQ_FIRST(&slot->orders)) != NULL)
		order_free(slot, order);
}

/* Keeps an order until there is room; false if that is not possible. */
static bool
order_keep(struct tk_slot *slot, const struct tk_control *msg, int fd)
{
	struct tk_order *order;

	if (slot->order_count >= ORDERS_MAX)
		return false;
	order = calloc(1, sizeof(*order));
	if (order == NULL)
		return false;
	order->msg = *msg;
	order->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (fd >= 0 && order->fd < 0) {
		free(order);
		return false;
	}
	STAILQ_INSERT_TAIL(&slot->orders, order, link);
	slot->order_count++;
	tk_event_want(slot->master->loop, &slot->control, TK_POLL_READ | TK_POLL_WRITE);
	return true;
}

static int
order_send(struct tk_slot *slot, const struct tk_control *msg, int fd)
{
	int rc;

	do {
		rc = tk_unix_send(slot->control.fd, msg, sizeof(*msg), &fd, fd >= 0 ? 1 : 0);
	} while (rc == -EINTR);
	return rc;
}

void
tk_slot_tell(struct tk_slot *slot, const struct tk_control *msg, int fd)
{
	int rc = -EAGAIN;

	if (!tk_slot_alive(slot) || slot->control.fd < 0)
		return;
	if (STAILQ_EMPTY(&slot->orders))
		rc = order_send(slot, msg, fd);
	/* Any other error is its death, which SIGCHLD tells. */
	if ((rc == -EAGAIN || rc == -ETOOMANYREFS) && !order_keep(slot, msg, fd)) {
		tk_err("%s (pid %ld) does not take orders: killing it", tk_slot_name(slot),
		    (long)slot->pid);
		tk_slot_kill(slot);
	}
}

void
tk_slot_tell_type(struct tk_slot *slot, enum tk_control_type type)
{
	struct tk_control msg = { .type = type,
		.generation = slot->master->cycle->cycle.generation,
		.topics_generation = slot->master->cycle->cycle.topics_generation };

	tk_slot_tell(slot, &msg, -1);
}

void
tk_slot_stop(struct tk_slot *slot, bool graceful)
{
	if (!tk_slot_alive(slot))
		return;
	slot->state = TK_SLOT_STOPPING;
	tk_slot_tell_type(slot, graceful ? TK_CONTROL_QUIT : TK_CONTROL_STOP);
}

void
tk_slot_kill(struct tk_slot *slot)
{
	if (!tk_slot_alive(slot))
		return;
	(void)kill(slot->pid, SIGKILL);
}

static void
orders_flush(struct tk_slot *slot)
{
	struct tk_order *order;

	while ((order = STAILQ_FIRST(&slot->orders)) != NULL) {
		if (order_send(slot, &order->msg, order->fd) == -EAGAIN)
			return;
		order_free(slot, order);
	}
	tk_event_want(slot->master->loop, &slot->control, TK_POLL_READ);
}

static void
slot_is_ready(struct tk_slot *slot)
{
	if (slot->state != TK_SLOT_STARTING)
		return;
	slot->state = TK_SLOT_READY;
	slot->ready_ms = tk_loop_now_ms(slot->master->loop);
	tk_debug("%s is ready", tk_slot_name(slot));
	tk_master_start_go_on(slot->master);
	tk_master_reload_slot_ready(slot);
}

static void
slot_said(struct tk_slot *slot, const struct tk_control *msg)
{
	if (msg->type == TK_CONTROL_READY)
		slot_is_ready(slot);
	else if (msg->type == TK_CONTROL_PREPARED)
		tk_master_reload_prepared(slot, msg);
}

/* Reads what the child says, a bounded number of messages a turn; false at its end. */
static bool
slot_listen(struct tk_slot *slot)
{
	for (int i = 0; i < 16; i++) {
		struct tk_control msg;
		size_t count = 0;
		int fds[4];
		ssize_t n = tk_unix_receive(slot->control.fd, &msg, sizeof(msg), fds, &count);

		for (size_t k = 0; k < count; k++)
			(void)close(fds[k]);
		if (n == -EAGAIN || n == -EINTR)
			return true;
		if (n <= 0)
			return false;
		msg.text[sizeof(msg.text) - 1] = '\0';
		if (n == (ssize_t)sizeof(msg))
			slot_said(slot, &msg);
	}
	return true;
}

void
tk_slot_control_ready(struct tk_event *event, unsigned what)
{
	struct tk_slot *slot = TK_CONTAINER_OF(event, struct tk_slot, control);

	if ((what & TK_POLL_WRITE) != 0)
		orders_flush(slot);
	if ((what & TK_POLL_READ) != 0 && !slot_listen(slot))
		tk_event_remove(slot->master->loop, event);
}
